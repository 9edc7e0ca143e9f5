"""SHA-RNN's recipes against the author's code and README, and what is ours among them."""

import dataclasses

import pytest

from flags import catalog, overrides
from flags.papers.sha_rnn import CITATION
from flags.run import parse

ENWIK8 = ["sha_rnn_enwik8", "sha_rnn_enwik8_4head", "sha_lstm_enwik8", "sha_rnn_enwik8_no_boom", "plain_lstm_enwik8"]
WORDS = ["sha_rnn_wikitext103", "sha_rnn_wikitext2"]
EVERY = ENWIK8 + WORDS
OURS = ["sha_rnn_enwik8_no_boom", "plain_lstm_enwik8", *WORDS]
V = 205  # symbols of enwik8


def sample_of(name):
    return catalog.variant(catalog.get(name), "sample")


def test_every_experiment_is_listed_in_this_order():
    assert [experiment.name for experiment in catalog.by_paper()[CITATION]] == EVERY
    assert {catalog.get(name).task for name in EVERY} == {"language_modelling"}


# The author's recipe


def test_the_network_is_that_of_the_code():
    assert catalog.get("sha_rnn_enwik8").model.options() == {
        "width": 1024,
        "boom_width": 4096,
        "num_layers": 4,
        "attention_layers": (2,),
        "memory_size": 5000,
        "input_dropout": 0.1,
        "hidden_dropout": 0.1,
        "dropout": 0.1,
        "softmax_splits": (),
    }


def test_the_optimizer_is_lamb_with_a_least_trust_of_a_quarter():
    optimizer = catalog.get("sha_rnn_enwik8").optimizer
    assert dataclasses.asdict(optimizer) == {
        "weight_decay": 1.2e-6,
        "decayed": "all",
        "beta_1": 0.9,
        "beta_2": 0.999,
        "epsilon": 1e-6,
        "min_trust": 0.25,
        "max_weight_norm": 10.0,
    }


def test_training_is_that_of_the_readme():
    recipe = catalog.get("sha_rnn_enwik8")
    schedule, train = recipe.schedule, recipe.train
    assert (schedule.lr, schedule.warmup_steps, schedule.cooldown_steps) == (2e-3, 800, None)
    assert schedule.lr * schedule.second_pass_factor == 1e-3
    assert (train.epochs - schedule.second_pass_epochs, schedule.second_pass_epochs) == (32, 5)
    assert (train.global_batch, train.clip_norm, train.ema_decay, train.select) == (16, 0.25, 0, "best")
    assert (train.log_every, train.eval_every) == (100, 5640)


def test_text_is_cut_as_the_code_cuts_it():
    data = catalog.get("sha_rnn_enwik8").data
    assert (data.name, data.segment_length) == ("enwik8", 1024)
    assert (data.length_seed, data.second_pass_length_seed) == (5512, 125)
    assert (data.validation_lanes, data.test_lanes) == (16, 8)
    assert (data.train_split, data.validation_split, data.test_split) == ("train", "validation", "test")


@pytest.mark.parametrize("name", ["sha_rnn_enwik8", "sha_rnn_enwik8_4head"])
def test_there_are_as_many_validation_lanes_as_the_code_takes(name):
    recipe = catalog.get(name)
    assert recipe.data.validation_lanes == min(100, recipe.train.global_batch)


# The papers' rows


@pytest.mark.parametrize(
    ("name", "layers", "bpc", "parameters"),
    [
        ("sha_rnn_enwik8", (2,), 1.076, 52e6),
        ("sha_rnn_enwik8_4head", (0, 1, 2, 3), 1.068, 54e6),
        ("sha_lstm_enwik8", (), 1.330, 51e6),
    ],
)
def test_a_row_of_the_paper_differs_by_its_attention_layers(name, layers, bpc, parameters):
    recipe = catalog.get(name)
    assert recipe.paper.numbers == {"bpc": bpc, "parameters": parameters}
    assert recipe.model == dataclasses.replace(catalog.get("sha_rnn_enwik8").model, attention_layers=layers)


@pytest.mark.parametrize("name", ["sha_rnn_enwik8", "sha_rnn_enwik8_4head", "sha_lstm_enwik8"])
def test_the_parameter_counts_of_the_deviations_add_up(name):
    d, boom, layers = 1024, 4096, 4
    attention = len(catalog.get(name).model.attention_layers)
    lstm, boom_layer, norm = 8 * d * d + 8 * d, boom * d + boom, 2 * d
    gates, query, value = 3 * d, d * d + d, 2 * d * d + 2 * d
    dense = layers * (lstm + boom_layer) + V * d + V
    used = dense + 3 * layers * norm + attention * (2 * norm + gates + query + norm + value)
    unused = layers * norm + (layers - attention) * 2 * norm + attention * 4 * d
    defined = dense + 6 * layers * norm + attention * (gates + query + norm + value + 4 * d)
    text = catalog.get(name).deviations[0]
    assert unused == defined - used == 24_576 and "24,576" in text
    assert f"{used:,} parameters are trained" in text and f"{defined:,}" in text
    if attention:
        folded = defined - attention * value
        assert f"{folded:,}" in text
        assert catalog.get(name).paper.numbers["parameters"] == pytest.approx(folded, rel=0.02)


def test_attention_everywhere_trains_in_batches_of_8_for_19_epochs():
    train = catalog.get("sha_rnn_enwik8_4head").train
    assert (train.global_batch, train.epochs, train.eval_every) == (8, 19, 11_290)
    text = " ".join(catalog.get("sha_rnn_enwik8_4head").deviations)
    assert round(19 * 4020 / 3600) == 21 and "21 hours" in text
    assert round(37 * 4020 / 3600) == 41 and "41" in text


# What is ours


@pytest.mark.parametrize("name", OURS)
def test_what_the_paper_has_no_figure_for_says_so(name):
    experiment = catalog.get(name)
    assert not experiment.paper.numbers
    assert experiment.paper.row.startswith("no figure in the paper")
    assert "our" in experiment.summary and "paper" in experiment.summary
    assert experiment.deviations[0].startswith("Not an experiment of the paper")


@pytest.mark.parametrize("name", ["sha_lstm_enwik8", "sha_rnn_enwik8_no_boom", "plain_lstm_enwik8"])
def test_an_ablation_changes_nothing_but_the_network(name):
    single, other = catalog.get("sha_rnn_enwik8"), catalog.get(name)
    for group in ("data", "optimizer", "schedule", "train"):
        assert getattr(other, group) == getattr(single, group)


def test_no_boom_is_a_width_of_0():
    single, other = (catalog.get(name).model for name in ("sha_rnn_enwik8", "sha_rnn_enwik8_no_boom"))
    assert other == dataclasses.replace(single, boom_width=0)
    assert other.options()["boom_width"] == 0


def test_no_attention_reaches_the_builder_as_no_layers():
    assert catalog.get("sha_lstm_enwik8").model.options()["attention_layers"] == ()


def test_the_plain_lstm_has_as_many_parameters_as_multiples_of_16_allow():
    model = catalog.get("plain_lstm_enwik8").model
    count = lambda d: 4 * (8 * d * d + 8 * d) + V * d + V  # noqa: E731
    assert model.width == min(range(16, 2048, 16), key=lambda d: abs(count(d) - 53_773_517))
    assert f"{count(model.width):,}" in catalog.get("plain_lstm_enwik8").deviations[0]
    assert model.options() == {
        "width": 1296, "num_layers": 4, "input_dropout": 0.1, "hidden_dropout": 0.1, "dropout": 0.1
    }  # fmt: skip


def test_only_the_large_vocabulary_has_a_split_softmax():
    assert catalog.get("sha_rnn_wikitext103").model.softmax_splits == (2800, 20_000, 76_000)
    assert catalog.get("sha_rnn_wikitext2").model.softmax_splits == ()


def test_on_words_optimizer_rate_and_seeds_are_those_of_enwik8():
    single = catalog.get("sha_rnn_enwik8")
    for name in WORDS:
        other = catalog.get(name)
        assert (other.optimizer, other.train.clip_norm) == (single.optimizer, single.train.clip_norm)
        assert dataclasses.replace(other.schedule, second_pass_epochs=5) == single.schedule
        assert (other.data.length_seed, other.data.second_pass_length_seed) == (5512, 125)
        assert any(deviation.startswith("Our choice") for deviation in other.deviations)


# Variants


@pytest.mark.parametrize("name", EVERY)
def test_the_sample_is_bytes_of_wikipedia_in_a_smaller_network(name):
    paper, sample = catalog.get(name), sample_of(name)
    assert sample.data.name == "wikipedia_sample" and sample.data.segment_length == 64
    assert sample.model.width < paper.model.width and sample.model.num_layers == paper.model.num_layers
    assert (sample.train.epochs, sample.schedule.second_pass_epochs, sample.train.global_batch) == (0.6, 0, 16)
    assert sample.optimizer == paper.optimizer and sample.train.select == "best"
    assert "6.1 MB" in " ".join(sample.deviations) and "bytes" in sample.deviations[0 if name in WORDS else 1]


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("data", ["sample", "synthetic"])
def test_a_vocabulary_of_bytes_is_not_split(name, data):
    assert catalog.variant(catalog.get(name), data).model.options().get("softmax_splits", ()) == ()


@pytest.mark.parametrize("name", EVERY)
def test_the_sample_keeps_what_the_experiment_is_about(name):
    paper, sample = catalog.get(name).model, sample_of(name).model
    assert sample.name == paper.name
    assert sample.options().get("attention_layers") == paper.options().get("attention_layers")
    assert sample.options().get("boom_width") in (None, 0, 768)
    assert bool(sample.options().get("boom_width")) == bool(paper.options().get("boom_width"))


def test_the_samples_plain_lstm_has_as_many_parameters_too():
    d, boom = 192, 768
    attention = 3 * d + (d * d + d) + 2 * d + (2 * d * d + 2 * d) + 4 * d
    sha_rnn = 4 * (8 * d * d + 8 * d + boom * d + boom + 6 * d) + attention + 257 * d
    width = sample_of("plain_lstm_enwik8").model.width
    assert 4 * (8 * width * width + 8 * width) + 257 * width == pytest.approx(sha_rnn, rel=0.03)


@pytest.mark.parametrize("name", EVERY)
def test_synthetic_text_keeps_the_networks_size(name):
    paper, synthetic = catalog.get(name), catalog.variant(catalog.get(name), "synthetic")
    assert synthetic.data == dataclasses.replace(paper.data, name="synthetic_text")
    assert synthetic.model.width == paper.model.width
    assert synthetic.train == dataclasses.replace(paper.train, epochs=1)


# Mistakes


def message_of(mistake_of, flag, name="sha_rnn_enwik8"):
    return mistake_of(parse, ["main", f"--experiment={name}", "--data=paper", f"--set={flag}"])


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("model.attention_layers=4", ["model.attention_layers=(4,)", "from 0 to 3", "or none"]),
        ("model.attention_layers=2,1", ["model.attention_layers=(2, 1)", "ascending"]),
        ("model.attention_layers=-1", ["model.attention_layers=(-1,)"]),
        ("model.num_layers=2", ["model.attention_layers=(2,)", "from 0 to 1"]),
        ("model.boom_width=100", ["model.boom_width=100", "model.width=1024", "0 for no Boom"]),
        ("model.width=0", ["model.width=0"]),
        ("model.memory_size=0", ["model.memory_size=0"]),
        ("model.hidden_dropout=1", ["model.hidden_dropout=1"]),
        ("model.softmax_splits=300,200", ["model.softmax_splits=(300, 200)", "ascending"]),
        ("model.name=plain_lstm", ["one of sha_rnn"]),
        ("optimizer.decayed=kernels", ["one of all"]),
        ("train.micro_batches=2", ["train.micro_batches=2", "no such field"]),
        ("train.steps=100", ["train.steps=100", "schedule.second_pass_epochs=0"]),
        ("train.epochs=3", ["train.epochs=3", "schedule.second_pass_epochs=0"]),
        ("data.test_protocol=ten_crop", ["no such field"]),
    ],
)
def test_a_field_that_makes_no_sense_is_refused(mistake_of, flag, words):
    message = message_of(mistake_of, flag)
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("flag", "path", "value"),
    [
        ("model.attention_layers=none", "model.attention_layers", []),
        ("model.attention_layers=0,3", "model.attention_layers", [0, 3]),
        ("model.boom_width=0", "model.boom_width", 0),
        ("data.segment_length=64", "data.segment_length", 64),
    ],
)
def test_the_networks_parts_are_set_from_the_command_line(flag, path, value):
    for data in ("paper", "sample"):
        recipe = parse(["main", "--experiment=sha_rnn_enwik8", f"--set={flag}"]).recipe_for(data)
        assert overrides.flatten(recipe)[path] == value


def test_a_run_of_some_steps_leaves_the_second_pass_out():
    flags = ["--set=train.steps=100", "--set=schedule.second_pass_epochs=0"]
    recipe = parse(["main", "--experiment=sha_rnn_enwik8", *flags]).recipe_for("paper")
    assert (recipe.train.steps, recipe.train.epochs) == (100, None)
