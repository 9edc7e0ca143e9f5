"""The command line: every flag, every mistake, and runs that are found in their folders."""

import dataclasses
import json
import pathlib

import pytest

from flags import flag_table, run

pytestmark = pytest.mark.usefixtures("empty_folder")

B0 = "--experiment=effnet_b0"
SHA = "--experiment=sha_rnn_enwik8"


def parse(*arguments):
    return run.parse(["main.py", *arguments])


def write_config(folder, **changes) -> pathlib.Path:
    config = {
        "experiment": "effnet_b1",
        "data": "sample",
        "overrides": ["train.steps=7"],
        "seed": 3,
        "recipe": {},
        **changes,
    }
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config | changes))
    return folder


# What a command line means


def test_an_experiment_alone_trains_with_every_default():
    assert dataclasses.asdict(parse(B0)) == {
        "experiment": "effnet_b0",
        "overrides": (),
        "mode": "train",
        "init_from": None,
        "model_dir": None,
        "data_dir": None,
        "data": "auto",
        "download": False,
        "strategy": "auto",
        "cluster": None,
        "devices": None,
        "precision": "auto",
        "jit_compile": "auto",
        "seed": 0,
        "deterministic": False,
        "split": "test",
        "ensemble": None,
        "runs": None,
        "images": None,
        "prompt": "",
        "length": 1000,
        "temperature": 1.0,
        "top_k": None,
        "top_p": 0.98,
        "json": False,
        "profile": None,
        "export": True,
        "parallel": None,
        "grid": (),
        "seeds": None,
        "trials_per_gpu": None,
        "sweep_shard": None,
        "sweep_runner": "local",
        "ray_address": None,
        "quiet": False,
        "verbosity": -1,
    }


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        (["--mode=describe"], "mode", "describe"),
        (["--mode", "prepare"], "mode", "prepare"),
        (["--model_dir=out"], "model_dir", "out"),
        (["--data_dir=~/tfds"], "data_dir", str(pathlib.Path("~/tfds").expanduser())),
        (["--data=sample"], "data", "sample"),
        (["--download"], "download", True),
        (["--download=yes"], "download", True),
        (["--nodownload"], "download", False),
        (
            ["--set=train.log_every=1", "--set", "data.mean=1,2,3"],
            "overrides",
            ("train.log_every=1", "data.mean=1,2,3"),
        ),
        (["--strategy=multi_worker", "--cluster=slurm"], "cluster", "slurm"),
        (["--cluster=tpu"], "cluster", "tpu"),
        (["--devices=cpu*2"], "devices", "cpu*2"),
        (["--devices=GPU:0, gpu:1"], "devices", "gpu:0,gpu:1"),
        (["--devices=gpu", "--strategy=one_device"], "devices", "gpu:0"),
        (["--precision=mixed_bfloat16"], "precision", "mixed_bfloat16"),
        (["--jit_compile=off"], "jit_compile", "off"),
        (["--seed=7"], "seed", 7),
        (["--seed=1", "--seed=2"], "seed", 2),
        (["--deterministic"], "deterministic", True),
        (["--init_from=weights.h5"], "init_from", "weights.h5"),
        (["--profile=100,110"], "profile", (100, 110)),
        (["--mode=describe", "--json"], "json", True),
        (["--quiet"], "quiet", True),
        (["--verbosity=1"], "verbosity", 1),
        (["-v", "-1"], "verbosity", -1),
        (["--mode=predict", "--images=*.jpg"], "images", "*.jpg"),
        (["--mode=evaluate", "--split=validation"], "split", "validation"),
    ],
)
def test_a_flag_sets_its_field(arguments, field, value):
    assert getattr(parse(B0, *arguments), field) == value


@pytest.mark.parametrize(
    ("flag", "field", "value"),
    [
        ("--prompt=Once upon a time", "prompt", "Once upon a time"),
        ("--prompt=", "prompt", ""),
        ("--prompt=-", "prompt", "-"),
        ("--prompt=two\nlines, an é", "prompt", "two\nlines, an é"),
        ("--prompt=--seed=3", "prompt", "--seed=3"),
        ("--length=20", "length", 20),
        ("--temperature=.5", "temperature", 0.5),
        ("--top_k=40", "top_k", 40),
        ("--top_p=1", "top_p", 1.0),
        ("--seed=9", "seed", 9),
    ],
)
def test_a_flag_of_generate_sets_its_field(flag, field, value):
    assert getattr(parse(SHA, "--mode=generate", flag), field) == value


def test_every_mode_of_the_table_is_accepted():
    for mode in flag_table.MODES:
        images = ["--images=*.png"] if mode == "predict" else []
        experiment = SHA if mode == "generate" else B0
        assert parse(experiment, f"--mode={mode}", *images).mode == mode


def test_flags_may_come_from_a_file(empty_folder):
    (empty_folder / "mine.txt").write_text("--seed=5\n--set=train.steps=3\n")
    found = parse(B0, "--flagfile=mine.txt")
    assert (found.seed, found.overrides) == (5, ("train.steps=3",))


def test_a_run_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        parse(B0).seed = 1


def test_overrides_are_applied_to_the_variant_that_runs():
    found = parse(B0, "--set=train.global_batch=32")
    assert found.recipe_for("paper").train.global_batch == 32
    assert found.recipe_for("sample").train.global_batch == 32
    assert found.recipe_for("paper").data.name == "imagenet2012"
    assert found.recipe_for("sample").data.name == "digits"
    assert found.recipe_for("synthetic").data.name == "synthetic"


def test_the_folder_is_the_one_named_or_follows_from_experiment_and_data():
    assert parse(B0).folder_for("sample") == pathlib.Path("runs/effnet_b0/sample")
    assert parse(B0, "--model_dir=out").folder_for("sample") == pathlib.Path("out")


# Questions that are answered at once


@pytest.mark.parametrize("flag", ["--help", "--helpfull", "--helpshort", "-help", "-h"])
def test_help_shows_every_flag_and_ends(flag, capsys):
    assert parse("--exeriment=x", flag) is None
    text = capsys.readouterr().out
    for name in flag_table.every_flag():
        assert f"--{name}" in text
    assert max(map(len, text.splitlines())) <= 100
    assert "python -m trainers.main --experiment=effnet_b0" in text


def test_list_experiments_prints_the_table_and_ends(capsys):
    assert parse("--list_experiments") is None
    assert "effnet_b7" in capsys.readouterr().out


def test_list_experiments_as_json_prints_one_object_and_ends(capsys):
    assert parse("--list_experiments", "--json") is None
    assert len(json.loads(capsys.readouterr().out)["experiments"]) >= 8


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--experiment is missing", "--list_experiments"]),
        (["--exeriment=effnet_b0"], ["--exeriment: no such flag", "Near: --experiment", "--help"]),
        (["--zzz"], ["--zzz: no such flag", "--help"]),
        (["--train.steps=3"], ["no such flag", "--set=train.steps="]),
        (["--experiment=efnet_b0"], ["no such experiment", "Near: effnet_b0"]),
        (["--experiment="], ["--experiment=: ", "empty"]),
        ([B0, "--mode=trian"], ["--mode=trian: ", "Near: train.", "Allowed: train, evaluate"]),
        ([B0, "--mode"], ["--mode: a value is missing", "--mode=train|evaluate"]),
        ([B0, "--set"], ["--set: a value is missing", "PATH=VALUE"]),
        ([B0, "--data=papr"], ["Near: paper", "auto, paper, sample, synthetic"]),
        ([B0, "--precision=bfloat16"], ["Near: mixed_bfloat16", "Allowed: auto, float32"]),
        ([B0, "--strategy=mirored"], ["Near: mirrored", "multi_worker"]),
        ([B0, "--jit_compile=true"], ["Allowed: auto, on, off"]),
        ([B0, "--cluster=k8s"], ["Allowed: tf_config, slurm, tpu"]),
        ([B0, "--seed=-1"], ["--seed=-1: ", "from 0 to"]),
        ([B0, "--seed=abc"], ["--seed=abc: ", "whole number"]),
        ([B0, "--seed=2147483648"], ["from 0 to 2147483647"]),
        ([B0, "--seed=1.5"], ["whole number"]),
        ([B0, "--download=maybe"], ["--download=maybe: ", "true or false"]),
        ([B0, "--nodownload=1"], ["--nodownload=1: ", "takes no value"]),
        ([B0, "--verbosity=9"], ["--verbosity=9: ", "0 (info)"]),
        ([B0, "--model_dir="], ["--model_dir=: ", "empty"]),
        ([B0, f"--model_dir={'q' * 256}"], ["too long", "255 bytes"]),
        ([B0, f"--model_dir={'q/' * 2001}"], ["too long", "4000"]),
        ([B0, "--data_dir=lat\udce4"], ["--data_dir=lat", "not UTF-8", "Rename it"]),
        ([B0, "--flagfile=nowhere"], ["nowhere", "flagfile"]),
        ([B0, "--profile=5"], ["--profile=5: ", "100,110"]),
        ([B0, "--profile=7,7"], ["--profile=7,7: ", "first smaller"]),
        ([B0, "--devices=tpu:0"], ["--devices=tpu:0: ", "gpu:0,gpu:1", "cpu*2"]),
        ([B0, "--devices=cpu*0"], ["cpu*2"]),
        ([B0, "--devices=gpu*2"], ["gpu:0,gpu:1"]),
        ([B0, "--devices=gpu:0,gpu"], ["twice"]),
        ([B0, "--devices=gpu:0,cpu:0"], ["mixes device types"]),
        ([B0, "--devices="], ["gpu:0,gpu:1"]),
        ([B0, "--devices=cpu*2", "--strategy=one_device"], ["--strategy=one_device", "--strategy=mirrored"]),
        ([B0, "--devices=gpu:0", "--strategy=tpu"], ["--devices=gpu:0", "Remove --devices"]),
        ([B0, "--devices=gpu:0", "--cluster=slurm"], ["--devices=gpu:0", "Remove --devices"]),
        ([B0, "--cluster=slurm", "--strategy=mirrored"], ["--cluster=slurm", "--strategy=multi_worker"]),
        ([B0, "--cluster=slurm", "--strategy=tpu"], ["--cluster=slurm", "--strategy=multi_worker"]),
        ([B0, "--cluster=tpu", "--strategy=multi_worker"], ["--cluster=tpu", "--strategy=tpu"]),
        ([B0, "--json"], ["--json", "--mode=train", "describe or evaluate or benchmark"]),
        ([B0, "--json", "--mode=predict", "--images=x"], ["--json", "--mode=predict"]),
        ([B0, "--split=test"], ["--split", "--mode=evaluate"]),
        ([B0, "--images=x"], ["--images", "--mode=predict"]),
        ([B0, "--mode=describe", "--profile=1,2"], ["--profile", "--mode=train"]),
        ([B0, "--mode=describe", "--init_from=x"], ["--init_from", "--mode=train or evaluate or export"]),
        ([B0, "--mode=evaluate", "--init_from=x", "--model_dir=y"], ["--init_from", "Remove --model_dir"]),
        (["--mode=evaluate", "--init_from=x", "--ensemble=a,b"], ["--init_from", "Remove --ensemble"]),
        (["--mode=evaluate", "--ensemble=a"], ["--ensemble=a", "two or more"]),
        ([B0, "--mode=predict"], ["--images is missing", "--images='photos/*.jpg'"]),
        ([B0, "--mode=generate"], ["--mode=generate: effnet_b0 classifies images", "--mode=predict"]),
        ([SHA, "--mode=predict"], ["--mode=predict: sha_rnn_enwik8 is a language model", "--mode=generate"]),
        ([SHA, "--mode=predict", "--images=x"], ["is a language model", "--mode=generate"]),
        ([SHA, "--prompt=x"], ["--prompt", "--mode=train", "Use it with --mode=generate"]),
        ([SHA, "--prompt="], ["--prompt", "Use it with --mode=generate"]),
        ([SHA, "--mode=evaluate", "--length=5"], ["--length", "Use it with --mode=generate"]),
        ([SHA, "--mode=export", "--temperature=1"], ["--temperature", "Use it with --mode=generate"]),
        ([SHA, "--top_k=5"], ["--top_k", "Use it with --mode=generate"]),
        ([SHA, "--top_p=0.5"], ["--top_p", "Use it with --mode=generate"]),
        ([SHA, "--mode=generate", "--length=0"], ["--length=0: ", "from 1"]),
        ([SHA, "--mode=generate", "--length=1e3"], ["--length=1e3: ", "whole number"]),
        ([SHA, "--mode=generate", "--top_k=0"], ["--top_k=0: ", "from 1"]),
        ([SHA, "--mode=generate", "--temperature=0"], ["--temperature=0: ", "above 0"]),
        ([SHA, "--mode=generate", "--temperature=hot"], ["--temperature=hot: ", "a number"]),
        ([SHA, "--mode=generate", "--temperature=nan"], ["--temperature=nan: ", "above 0"]),
        ([SHA, "--mode=generate", "--temperature=inf"], ["--temperature=inf: ", "above 0"]),
        ([SHA, "--mode=generate", "--top_p=0"], ["--top_p=0: ", "at most 1"]),
        ([SHA, "--mode=generate", "--top_p=1.1"], ["--top_p=1.1: ", "at most 1"]),
        ([SHA, "--mode=generate", "--json"], ["--json", "--mode=generate"]),
        ([SHA, "--mode=generate", "--init_from=x"], ["--init_from", "--mode=generate"]),
        (["generate"], ["Write --mode=generate"]),
        (["--mode=evaluate"], ["--mode=evaluate", "--model_dir", "--experiment"]),
        (["--mode=evaluate", "--model_dir=nowhere"], ["--model_dir=nowhere", "config.json"]),
        (["effnet_b0"], ["effnet_b0: not a flag", "--experiment=effnet_b0"]),
        ([B0, "evaluate"], ["--mode=evaluate"]),
        (["experiment=effnet_b0"], ["Write --experiment=effnet_b0"]),
        ([B0, "train.steps=3"], ["Write --set=train.steps=3"]),
        ([B0, "foo"], ["foo: not a flag", "--help"]),
        ([B0, "-"], ["-: not a flag"]),
        ([B0, "--set=train.lr=1"], ["--set=train.lr=1: no such field", "schedule.lr_per_256"]),
        ([B0, "--set=train.steps=x"], ["--set=train.steps=x: ", "whole number"]),
        ([B0, "--set=train"], ["train is a group"]),
        ([B0, "--set=data.crop=inceptoin"], ["inception, scale_jitter, pad_and_shift, none", "Near: inception"]),
        ([B0, "--set=train.micro_batches=3"], ["train.micro_batches=3", "train.global_batch=4096"]),
    ],
)
def test_a_mistake_says_what_is_wrong_and_what_to_do(mistake_of, arguments, words):
    message = mistake_of(parse, *arguments)
    for word in words:
        assert word in message


def test_what_only_the_sample_refuses_is_said_so(mistake_of):
    # 128 divides the paper's batch of 4,096, and not the sample's of 64.
    message = mistake_of(parse, B0, "--set=train.micro_batches=128")
    assert "train.micro_batches=128" in message and "sample variant" in message and "--data=paper" in message
    assert parse(B0, "--set=train.micro_batches=128", "--data=paper").data == "paper"


def test_a_named_data_set_is_checked_alone():
    assert parse(B0, "--data=sample", "--set=train.global_batch=9", "--set=train.micro_batches=3").data == "sample"


# Runs that are there already


@pytest.mark.parametrize("mode", ["evaluate", "export"])
def test_a_finished_run_says_itself_what_it_is(mode):
    write_config("out")
    found = parse(f"--mode={mode}", "--model_dir=out")
    assert (found.experiment, found.data, found.seed, found.model_dir) == ("effnet_b1", "sample", 3, "out")
    assert found.recipe_for("sample").train.steps == 7


def test_generate_finds_a_finished_run_and_its_seed():
    write_config("out", experiment="sha_rnn_enwik8", overrides=["model.width=256"])
    found = parse("--mode=generate", "--model_dir=out", "--prompt=The ")
    assert (found.experiment, found.data, found.seed) == ("sha_rnn_enwik8", "sample", 3)
    assert parse("--mode=generate", "--model_dir=out", "--seed=8").seed == 8


@pytest.mark.parametrize(
    ("mode", "experiment", "instead"),
    [("generate", "effnet_b1", "--mode=predict"), ("predict", "sha_rnn_enwik8", "--mode=generate")],
)
def test_a_finished_run_of_another_kind_is_refused(mistake_of, mode, experiment, instead):
    write_config("out", experiment=experiment, overrides=[])
    message = mistake_of(parse, f"--mode={mode}", "--model_dir=out")
    assert message.startswith(f"--mode={mode}: {experiment} ") and instead in message


def test_runs_of_a_language_model_have_no_mean(mistake_of):
    for folder in ("a", "b"):
        write_config(folder, experiment="sha_rnn_enwik8", overrides=[])
    message = mistake_of(parse, "--mode=evaluate", "--ensemble=a,b")
    assert message.startswith("--ensemble: the run in a is a language model, sha_rnn_enwik8")
    assert "--model_dir" in message


def test_predict_finds_a_finished_run_too():
    write_config("out")
    assert parse("--mode=predict", "--model_dir=out", "--images=x.png").experiment == "effnet_b1"


def test_overrides_of_the_command_line_come_after_those_of_the_run():
    write_config("out")
    found = parse("--mode=evaluate", "--model_dir=out", "--set=train.eval_batch=8", "--seed=4")
    assert found.overrides == ("train.steps=7", "train.eval_batch=8")
    assert found.seed == 4


def test_the_only_run_of_an_experiment_is_found_in_its_default_folder():
    write_config("runs/effnet_b1/sample")
    found = parse("--mode=evaluate", "--experiment=effnet_b1")
    assert (found.model_dir, found.data) == ("runs/effnet_b1/sample", "sample")


def test_of_several_runs_the_user_names_one(mistake_of):
    write_config("runs/effnet_b1/sample")
    write_config("runs/effnet_b1/paper", data="paper", overrides=[])
    message = mistake_of(parse, "--mode=evaluate", "--experiment=effnet_b1")
    assert "2 runs" in message
    assert "--model_dir=runs/effnet_b1/paper or --model_dir=runs/effnet_b1/sample" in message
    assert parse("--mode=evaluate", "--experiment=effnet_b1", "--data=paper").model_dir == "runs/effnet_b1/paper"


@pytest.mark.parametrize("flag", ["--experiment=effnet_b0", "--data=paper"])
def test_a_flag_that_contradicts_the_finished_run_is_refused(flag, mistake_of):
    write_config("out")
    message = mistake_of(parse, "--mode=evaluate", "--model_dir=out", flag)
    assert message.startswith(f"{flag}: the run in out has --")


def test_an_experiment_without_a_run_is_left_to_the_mode():
    assert parse(B0, "--mode=evaluate").model_dir is None
    assert parse(B0, "--mode=evaluate", "--model_dir=new").model_dir == "new"


def test_training_takes_nothing_from_the_folder():
    write_config("out")
    assert parse(B0, "--model_dir=out").overrides == ()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"experiment": "effnet_b0"}', "null"])
def test_a_config_that_cannot_be_read_is_one_clear_line(empty_folder, mistake_of, text):
    (empty_folder / "config.json").write_text(text)
    assert "config.json: not the config.json of a run" in mistake_of(parse, "--mode=evaluate", "--model_dir=.")


@pytest.mark.parametrize(
    "changes", [{"data": "auto"}, {"data": []}, {"overrides": [1]}, {"overrides": "a"}, {"seed": "x"}]
)
def test_a_config_with_other_values_is_one_clear_line(mistake_of, changes):
    write_config("out", **changes)
    assert "config.json: not the config.json of a run" in mistake_of(parse, "--mode=evaluate", "--model_dir=out")
