"""Translation as a task: its loss by its definition, whole runs on the embedded sample, replicas, what a run keeps."""

import contextlib
import io
import json
import math
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from flags import run as run_flags
from flags.errors import UserError
from trainers.main import main
from trainers.modes import benchmark
from trainers.modes.train import Training
from trainers.run.checkpoints import Checkpoints
from trainers.run.signals import StopSignals
from trainers.session import open_session
from trainers.tasks.translation import vocabulary

ON_CPU = ("--strategy=one_device", "--devices=cpu:0")
TINY = (
    "--experiment=dd_transformer_iwslt14", "--data=sample", "--quiet", "--set=model.d_model=16", "--set=model.layers=1",
    "--set=model.heads=2", "--set=data.vocabulary=200", "--set=data.num_train=60",
    "--set=data.validation_split=validation[:10]", "--set=data.test_split=test[:12]", "--set=data.max_length=24",
    "--set=train.global_batch=160", "--set=train.steps=12", "--set=train.log_every=4", "--set=train.eval_every=6",
    "--set=train.evals_per_decade=none", "--set=train.checkpoint_every=6", "--set=schedule.warmup_steps=4",
)  # fmt: skip


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("tfds_django")


@pytest.fixture(scope="module")
def command(data_dir):
    """Makes the command line of a tiny run in a folder."""
    return lambda folder, *more: ["main", *TINY, f"--data_dir={data_dir}", f"--model_dir={folder}", *more]


@pytest.fixture(scope="module")
def session_of(command, tmp_path_factory):
    """Opens a session with these flags besides those of the tiny run."""

    def open_with(*more, strategy=None):
        return open_session(run_flags.parse(command(tmp_path_factory.mktemp("open"), *more)), strategy=strategy)

    return open_with


@pytest.fixture(scope="module")
def session(session_of):
    return session_of(*ON_CPU)


@pytest.fixture(scope="module")
def finished(command, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    assert main(command(folder, *ON_CPU)) == 0
    return folder


@pytest.fixture(scope="module")
def results(finished):
    return json.loads((finished / "results.json").read_text())


def rows(folder, split):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line for line in lines if line["split"] == split}


# The loss


def numpy_losses(logits, labels, smoothing):
    """Sums over each pair's labels that are no padding: against smoothed labels, and against labels."""
    log_probabilities = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    nll = -np.take_along_axis(log_probabilities, labels[..., None], -1)[..., 0]
    smoothed = (1 - smoothing) * nll - smoothing * log_probabilities.mean(-1)
    return [np.where(labels == 0, 0.0, losses).sum(1) for losses in (smoothed, nll)]


def batch_of(session, step=0, replicas=1):
    context = tf.distribute.InputContext(num_replicas_in_sync=replicas)
    return list(session.task.batches(step, context).take(replicas))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_smoothed_cross_entropy_of_what_is_no_padding(session_of, smoothing):
    session = session_of(*ON_CPU, f"--set=train.label_smoothing={smoothing}")
    model = session.task.build_model()
    batches = (batch for step in range(9) for batch in batch_of(session, step))
    batch = next(batch for batch in batches if (batch["labels"] == 0).numpy().any())
    logits = model({"source": batch["source"], "target": batch["target"]}).numpy().astype(np.float64)
    expected = numpy_losses(logits, batch["labels"].numpy(), smoothing)
    losses, metrics = session.task.losses(model, batch, training=True)
    tokens = np.count_nonzero(batch["labels"])
    for measured, sums in zip((losses, metrics["nll"]), expected):
        np.testing.assert_allclose(measured, sums * 160 / tokens, rtol=1e-5)


def test_the_parts_of_two_replicas_add_up_to_the_mean_over_all_tokens(session):
    model = session.task.build_model()
    (whole,), parts = batch_of(session), batch_of(session, replicas=2)
    total = sum(tf.reduce_sum(session.task.losses(model, part, training=True)[0]) for part in parts)
    assert float(total) == pytest.approx(float(tf.reduce_sum(session.task.losses(model, whole, training=True)[0])))


# Steps


def test_the_tokens_of_steps_are_those_of_their_batches(session):
    per_epoch = session.task.length.per_epoch
    counts = [np.count_nonzero(batch["labels"]) for step in range(per_epoch + 3) for batch in batch_of(session, step)]
    task = session.task
    assert [task.units(step, 1) for step in range(per_epoch + 3)] == counts
    assert task.units(2, per_epoch + 1) == sum(counts[2:])
    assert task.units(0, per_epoch) == task.training_set.num_target_tokens


def test_a_replicas_same_batch_has_its_share_of_the_first_step(session):
    dataset, units = session.task.one_batch(2)
    (batch,) = dataset
    assert batch["source"].shape == batch_of(session, replicas=2)[0]["source"].shape
    assert units == 2 * np.count_nonzero(batch["labels"])


def test_epochs_become_steps(session_of):
    task = session_of(*ON_CPU, "--set=train.epochs=2.5").task
    assert task.length.total == round(2.5 * task.length.per_epoch)


@pytest.mark.parametrize("d_model, rate", [(16, 1 / math.sqrt(16 * 4)), (64, 1 / math.sqrt(64 * 4))])
def test_the_largest_rate_follows_the_width(session_of, d_model, rate):
    schedule = session_of(*ON_CPU, f"--set=model.d_model={d_model}").build_schedule()
    assert max(float(schedule(step)) for step in range(20)) == float(schedule(3)) == pytest.approx(rate)


# Whole runs


def test_loss_nll_and_perplexity_are_logged(finished):
    for split, steps in (("train", [4, 8, 12]), ("eval", [6, 12]), ("fit", [6, 12])):
        lines = rows(finished, split)
        assert list(lines) == steps
        assert all(line["perplexity"] == pytest.approx(math.exp(line["nll"])) for line in lines.values())
    assert all(line["tokens_per_second"] > 0 for line in rows(finished, "train").values())


def test_an_untrained_model_guesses_among_all_subwords(finished, results):
    assert rows(finished, "train")[4]["nll"] == pytest.approx(math.log(results["vocabulary"]), abs=0.5)


def test_the_loss_falls(finished):
    assert rows(finished, "train")[12]["nll"] < rows(finished, "train")[4]["nll"] - 0.2


def test_results_have_bleu_its_signature_and_translations(results):
    assert {"loss", "nll", "perplexity", "bleu", "tokens", "pairs"} == set(results["metrics"])
    assert results["metrics"]["pairs"] == 12 and 0 <= results["metrics"]["bleu"] <= 100
    assert "tok:13a" in results["bleu_signature"] and results["test_protocol"] == "greedy"
    assert [list(one) for one in results["translations"]] == [["source", "ours", "reference"]] * 5


def test_results_say_which_pairs_were_trained_on(results):
    pairs, fit = results["training_pairs"], results["fit"]
    assert pairs["used"] + pairs["left_out"] == 60 and pairs["left_out"] > 0
    assert fit["pairs"] == pairs["used"]


def test_evaluate_gives_the_numbers_of_the_run(finished, results, data_dir, capsys):
    arguments = ["main", "--mode=evaluate", f"--model_dir={finished}", f"--data_dir={data_dir}", "--json", *ON_CPU]
    assert main(arguments) == 0
    evaluated = json.loads(capsys.readouterr().out)
    assert evaluated["metrics"] == pytest.approx(results["metrics"], rel=1e-5)
    assert evaluated["translations"] == results["translations"]


def test_evaluate_prints_translations_of_another_split(finished, data_dir, capsys):
    arguments = ["main", "--mode=evaluate", f"--model_dir={finished}", f"--data_dir={data_dir}", *ON_CPU]
    assert main([*arguments, "--split=validation"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "dd_transformer_iwslt14 on django_de_en, validation[:10], greedy (sample data)"
    assert sum(line.startswith("  reference    ") for line in lines) == 5
    assert "  pairs             10" in lines


def test_a_run_that_was_stopped_ends_where_an_unbroken_one_does(finished, command, tmp_path):
    folder = tmp_path / "stopped"
    shutil.copytree(finished, folder)
    shutil.rmtree(Checkpoints(folder / "checkpoints", keep=9).path(12))
    for name in ("results.json", "model.keras"):
        (folder / name).unlink()
    assert main(command(folder, *ON_CPU)) == 0
    whole, resumed = (keras.saving.load_model(path / "model.keras").get_weights() for path in (finished, folder))
    for one, other in zip(whole, resumed):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    assert {step: line["tokens"] for step, line in rows(folder, "train").items()} == {
        step: line["tokens"] for step, line in rows(finished, "train").items()
    }


def test_two_replicas_train_and_test_as_one_does(finished, results, command, tmp_path, two_replicas):
    keras.utils.set_random_seed(0)  # which the devices of the other run were set up with
    session = open_session(run_flags.parse(command(tmp_path / "two")), strategy=two_replicas)
    with session.folder.locked(), StopSignals() as signals:
        Training(session, signals).run()
    one, two = rows(finished, "eval"), rows(tmp_path / "two", "eval")
    assert two[6]["nll"] == pytest.approx(one[6]["nll"], rel=1e-4)
    tested = json.loads((tmp_path / "two" / "results.json").read_text())["metrics"]
    assert tested["nll"] == pytest.approx(results["metrics"]["nll"], rel=1e-4)
    assert tested["tokens"] == results["metrics"]["tokens"]


def test_an_evaluation_counts_every_token_once(session):
    state = session.build_state()
    task = session.task
    evaluation = session.task.evaluation(task.test_protocol, session.strategy, state.model)
    found = evaluation.run("test[:12]")
    assert evaluation.run("test[:12]") == found
    pairs = task.dataset.pairs("test[:12]")
    sums = np.zeros(2)
    for source, target in zip(task.subwords.encode(pairs.source), task.subwords.encode(pairs.target)):
        source, target = [*source, vocabulary.END], [vocabulary.BEGIN, *target, vocabulary.END]
        logits = state.model({"source": tf.constant([source]), "target": tf.constant([target[:-1]])}).numpy()
        sums += np.concatenate(numpy_losses(logits.astype(np.float64), np.array([target[1:]]), 0.1))
    assert found["tokens"] == sum(map(len, task.subwords.encode(pairs.target))) + 12
    assert [found["loss"], found["nll"]] == pytest.approx(sums / found["tokens"], rel=1e-5)


@pytest.mark.slow
def test_pairs_that_were_memorised_are_translated(command, tmp_path):
    memorising = (
        "--set=data.num_train=50", "--set=model.d_model=64", "--set=model.heads=4", "--set=train.steps=400",
        "--set=train.global_batch=512", "--set=train.eval_every=400", "--set=train.checkpoint_every=400",
        "--set=schedule.warmup_steps=200", "--set=schedule.lr=0.003", "--set=data.max_length=99", "--noexport",
    )  # fmt: skip
    assert main(command(tmp_path, *ON_CPU, *memorising)) == 0
    out = io.StringIO()
    data_dir = next(argument for argument in command(tmp_path) if argument.startswith("--data_dir"))
    arguments = ["main", "--mode=evaluate", f"--model_dir={tmp_path}", "--split=train", "--json", data_dir, *ON_CPU]
    with contextlib.redirect_stdout(out):
        assert main(arguments) == 0
    assert json.loads(out.getvalue())["metrics"]["bleu"] > 90


# What a run keeps


def test_a_run_is_looked_at_with_the_subwords_of_its_folder(finished, data_dir):
    arguments = ["main", "--mode=evaluate", f"--model_dir={finished}", f"--data_dir={data_dir}"]
    task = open_session(run_flags.parse([*arguments, "--set=data.vocabulary=150", *ON_CPU])).task
    assert task.subwords.model == (finished / "vocabulary.model").read_bytes()
    assert len(task.subwords) == 200


def test_a_benchmark_has_its_own_subwords(finished, data_dir):
    arguments = ["main", "--mode=benchmark", *TINY[:-1], f"--model_dir={finished}", f"--data_dir={data_dir}", *ON_CPU]
    assert len(open_session(run_flags.parse([*arguments, "--set=data.vocabulary=150"])).task.subwords) == 150


def test_damaged_subwords_are_told_by_their_file(finished, data_dir, tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(finished, folder)
    (folder / "vocabulary.model").write_bytes(b"\x00")
    arguments = ["main", "--mode=evaluate", f"--model_dir={folder}", f"--data_dir={data_dir}", *ON_CPU]
    task = open_session(run_flags.parse(arguments)).task
    with pytest.raises(UserError, match=r"vocabulary.model: the vocabulary is damaged"):
        _ = task.subwords


# Mistakes, descriptions, speed


@pytest.mark.parametrize(
    "flag, message",
    [
        ("--set=data.num_train=5000", "data.num_train=5000: data.train_split=train of django_de_en has 682 pairs"),
        ("--set=train.micro_batches=2", "--set=train.micro_batches=2: no such field."),
        ("--set=train.global_batch=8", "train.global_batch=8: the longest training pair has"),
        ("--set=model.d_model=9", "model.d_model=9: must be even, at least 4, and a multiple of model.heads=2"),
        ("--jit_compile=on", "--jit_compile=on: dd_transformer_iwslt14's sentences vary in length"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(flag, message, command, tmp_path, capsys):
    assert main(command(tmp_path, *ON_CPU, flag)) == 2
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith(message)
    assert not (tmp_path / "config.json").exists()


def described(capsys, tmp_path, *more):
    arguments = ["main", "--experiment=dd_transformer_iwslt14", "--mode=describe", f"--data_dir={tmp_path}", *more]
    assert main([*arguments, *ON_CPU]) == 0
    return capsys.readouterr().out


def test_what_is_not_there_is_described_by_its_recipe(capsys, tmp_path):
    facts = json.loads(described(capsys, tmp_path, "--json"))
    assert (facts["steps"], facts["pairs"], facts["epochs"]) == (80_000, 4_000, None)
    d, vocabulary_size = 64, 10_000
    assert facts["parameters"] == 168 * d**2 + 192 * d + 2 * d * vocabulary_size
    assert facts["lr"]["3999"] == pytest.approx((64 * 4_000) ** -0.5)
    assert facts["data"]["prepared"] is False and "--mode=prepare --download" in facts["data"]["how"]


def test_the_sample_is_described_with_its_pairs(capsys, tmp_path):
    text = described(capsys, tmp_path, "--data=sample")
    assert "682 pairs in a vocabulary of at most 1,000" in text and "test loss per token, unit not stated" in text


def test_benchmark_counts_the_tokens_of_translations(command, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(benchmark, "WINDOW_SECONDS", 0.05)
    assert main(command(tmp_path, *ON_CPU, "--mode=benchmark", "--json")) == 0
    numbers = json.loads(capsys.readouterr().out)
    for name in ("tokens_per_second", "tokens_per_second_same_batch", "input_tokens_per_second", "loop_share"):
        assert numbers[name] > 0
    assert numbers["traces"] == 1


def test_a_strategy_gives_every_step_to_both_replicas(session_of, two_replicas):
    session = session_of(strategy=two_replicas)
    batch = next(iter(session.task.distributed_batches(session.strategy, 0)))
    tokens = two_replicas.experimental_local_results(batch["tokens"])
    assert {float(value) for part in tokens for value in part} == {float(session.task.units(0, 1))}
