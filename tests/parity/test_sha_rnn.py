"""SHA-RNN against numbers that its author's code gave, and against a reference in PyTorch.

The golden numbers vouch for the reference, and the reference for what they do not cover: attention in every layer or in
none, a Boom whose width is no multiple, no Boom, memories that fill slowly or within a segment.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is loaded

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

import tf_models
from benchmarks.pytorch_sha_rnn import Lamb, ShaRnn, split_softmax_loss
from tests.parity import golden_sha_rnn as golden
from tf_models.weights.sha_rnn import our_arrays, our_name
from trainers.optimizers.lamb import LambMinTrust

GOLDEN = 1e-9  # relative: the golden numbers have ten to thirteen digits
RATIOS = 1e-7  # and their trust ratios eight


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Threads of PyTorch that wait for each other over tensors this small starve a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Reference:
    """The PyTorch network and the state that it carries, seen in our names and axes."""

    def __init__(self, arrays, options, dtype="float64"):
        self.module = ShaRnn(**options).to(getattr(torch, dtype))
        tied = {**arrays, "decoder.weight": arrays["encoder.weight"]}
        self.module.load_state_dict({name: torch.tensor(array) for name, array in tied.items()})
        self.optimizer = Lamb(self.module.parameters(), golden.LAMB_LR, golden.LAMB_DECAY, golden.LAMB_FLOOR)

    def begin(self):
        self.state = self.module.empty_state(golden.BATCH)

    def segment(self, tokens, targets):
        """Loss, outputs and new state by name, and gradients by (layer, weight), of tokens [batch, time]."""
        self.module.zero_grad()
        logits, hidden, *self.state = self.module(torch.tensor(tokens.T), *self.state)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(targets.T).flatten())
        loss.backward()
        values = {"loss": loss, "logits": logits.transpose(0, 1), "hidden": hidden.transpose(0, 1)}
        for i, (h, c) in enumerate(self.state[0]):
            values |= {f"block{i}_h": h[0], f"block{i}_c": c[0]}
        for i, rows in self.state[1].items():
            missing = self.module.blocks[i].memory_size - len(rows)
            values[f"block{i}_memory"] = torch.nn.functional.pad(rows.transpose(0, 1), (0, 0, missing, 0))
            values["memory_rows"] = torch.full([golden.BATCH], len(rows))
        return {name: value.detach().numpy() for name, value in values.items()}, self._by_name(lambda p: p.grad)

    def weights(self):
        return self._by_name(lambda parameter: parameter.detach().clone())

    def _by_name(self, part):
        return our_arrays({name: part(parameter).numpy() for name, parameter in self.module.named_parameters()})

    def update(self, gradients):
        """A step of LAMB; `gradients` are those of the last segment."""
        self.optimizer.step(golden.LAMB_CLIP)


class Ours:
    """Our network and the state that it carries."""

    def __init__(self, arrays, options, dtype="float64"):
        self.model = build(options, dtype)
        assign(self.model, our_arrays(arrays))
        self.optimizer = LambMinTrust(min_trust=golden.LAMB_FLOOR, decay=golden.LAMB_DECAY)
        self.optimizer.build(self.model.trainable_weights)

    def begin(self):
        self.state = tf_models.empty_state(self.model, golden.BATCH)

    def segment(self, tokens, targets):
        with tf.GradientTape() as tape:
            outputs = self.model({"tokens": tf.constant(tokens, tf.int32), "state": self.state}, training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, outputs["logits"])
            loss = tf.reduce_mean(losses)
        variables = self.model.trainable_weights
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        self.state = outputs.pop("state")
        values = {"loss": loss, **outputs, **self.state}
        return {name: value.numpy() for name, value in values.items()}, by_name(variables, gradients)

    def weights(self):
        return by_name(self.model.weights, self.model.weights)

    def update(self, gradients):
        for variable in self.model.trainable_weights:
            gradient = clip_scale(gradients) * gradients[name_of(variable)]
            self.optimizer.update_step(gradient, variable, golden.LAMB_LR)


def build(options, dtype="float64"):
    """Our network with weights, computation and state in `dtype`."""
    before = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_dtype_policy(dtype)
    keras.config.set_floatx(dtype)  # of the model's inputs, hence of the state
    try:
        return tf_models.build_model("sha_rnn", **options)
    finally:
        keras.config.set_dtype_policy(before[0])
        keras.config.set_floatx(before[1])


def name_of(variable):
    layer, _, weight = variable.path.rpartition("/")
    return layer, weight


def by_name(variables, values):
    """Dense arrays by (layer, weight); a gradient of an embedding may be sparse."""
    return {name_of(v): tf.convert_to_tensor(value).numpy() for v, value in zip(variables, values, strict=True)}


def assign(model, arrays):
    for variable in model.weights:
        variable.assign(arrays[name_of(variable)])


def norm(arrays):
    return np.sqrt(sum(np.sum(np.square(array)) for array in arrays))


def clip_scale(gradients):
    return min(1, golden.LAMB_CLIP / (norm(gradients.values()) + 1e-6))


def distance(ours, reference):
    """Relative difference of two arrays, in the Euclidean norm."""
    return np.linalg.norm(np.subtract(ours, reference)) / np.linalg.norm(reference)


@pytest.fixture(params=[Reference, Ours])
def network(request):
    """The reference or ours with the golden weights."""
    used = {name: array for name, array in golden.weights().items() if not golden.is_unused(name)}
    return request.param(used, golden.OPTIONS)


def test_the_golden_weights_and_tokens_are_made_as_written_down():
    arrays = golden.weights()
    assert len(arrays) == 85
    assert arrays["encoder.weight"][0, :3] == pytest.approx([-0.1095194529, -0.5327553096, 0.4736633650], abs=1e-10)
    tokens, targets = golden.segment(0)
    assert tokens.T.tolist() == [[0, 5], [5, 10], [5, 10], [0, 5], [1, 6]]
    assert np.array_equal(targets[:, :-1], tokens[:, 1:])


def test_four_segments_give_the_golden_losses_states_and_gradients(network):
    network.begin()
    for number in range(4):
        values, gradients = network.segment(*golden.segment(number))
        memory, cell = values[f"block{golden.ATTENTION}_memory"], values[f"block{golden.LAYERS - 1}_c"]
        assert values["loss"] == pytest.approx(golden.LOSSES[number], rel=GOLDEN)
        assert values["hidden"].sum() == pytest.approx(golden.HIDDEN_SUMS[number], rel=GOLDEN)
        assert values["hidden"][0, -1, 0] == pytest.approx(golden.HIDDEN_LAST[number], rel=GOLDEN)
        assert cell.sum() == pytest.approx(golden.CELL_SUMS[number], rel=GOLDEN)
        assert values["memory_rows"].tolist() == [golden.MEMORY_ROWS[number]] * golden.BATCH
        assert memory.sum() == pytest.approx(golden.MEMORY_SUMS[number], rel=GOLDEN)
        assert norm(gradients.values()) == pytest.approx(golden.GRADIENT_NORMS[number], rel=GOLDEN)
        if number == 2:
            norms = {name: norm([gradients[our_name(name)]]) for name in golden.GRADIENT_NORMS_OF_SEGMENT_2}
            assert norms == pytest.approx(golden.GRADIENT_NORMS_OF_SEGMENT_2, rel=GOLDEN)


def test_three_steps_of_lamb_give_the_golden_losses_norms_and_trust_ratios(network):
    means = squares = dict.fromkeys(network.weights(), 0)
    for number in range(4):
        network.begin()
        values, gradients = network.segment(*golden.segment(0))
        assert values["loss"] == pytest.approx(golden.LAMB_LOSSES[number], rel=GOLDEN)
        if number == 3:
            break
        assert norm(gradients.values()) == pytest.approx(golden.LAMB_NORMS[number], rel=GOLDEN)
        clipped = {name: clip_scale(gradients) * gradient for name, gradient in gradients.items()}
        before = network.weights()
        network.update(gradients)
        after = network.weights()
        means = {name: 0.9 * means[name] + 0.1 * clipped[name] for name in clipped}
        squares = {name: 0.999 * squares[name] + 0.001 * clipped[name] ** 2 for name in clipped}
        for his, ratios in golden.LAMB_RATIOS.items():
            name = our_name(his)
            update = means[name] / (np.sqrt(squares[name]) + 1e-6) + golden.LAMB_DECAY * before[name]
            moved = norm([after[name] - before[name]]) / (golden.LAMB_LR * norm([update]))
            assert moved == pytest.approx(ratios[number], rel=RATIOS)


def swap_halves(arrays):
    for part in ("value_kernel", "value_bias"):
        name = f"block{golden.ATTENTION}_attention", part
        arrays[name] = np.roll(arrays[name], golden.WIDTH, -1)


def drop_recurrent_bias(arrays):
    for i in range(golden.LAYERS):
        arrays[f"block{i}_lstm", "recurrent_bias"] *= 0


@pytest.mark.parametrize(
    ("mistake", "losses"),
    [
        (swap_halves, [7.260729, 4.230314, 3.759620]),
        (drop_recurrent_bias, [7.573566, 3.972180, 3.744342]),
    ],
)
def test_a_mistake_gives_the_losses_that_it_gives_with_the_author_s_code(mistake, losses):
    ours = Ours(golden.weights(), golden.OPTIONS)
    arrays = ours.weights()
    mistake(arrays)
    assign(ours.model, arrays)
    ours.begin()
    measured = [ours.segment(*golden.segment(number))[0]["loss"] for number in range(3)]
    assert measured == pytest.approx(losses, rel=1e-6)


OPTIONS = {**golden.OPTIONS, "width": 12, "boom_width": 24, "memory_size": 60}
# Segments of unequal length: 20 rows of memory, 55 and, of 93 and 67, the last 60.
LENGTHS = (20, 35, 38, 7)
CASES = {
    "single": (OPTIONS, LENGTHS),
    "all layers": ({**OPTIONS, "attention_layers": (0, 1, 2, 3)}, LENGTHS),
    "none": ({**OPTIONS, "attention_layers": ()}, LENGTHS),
    "a remainder of the Boom is cut off": ({**OPTIONS, "boom_width": 41}, LENGTHS),
    "no Boom": ({**OPTIONS, "boom_width": 0}, LENGTHS),
    "segments as long as the memory and longer": ({**OPTIONS, "memory_size": 9}, (4, 9, 17, 3)),
}
TOLERANCE = {"float64": 1e-10, "float32": 1e-4}  # 2e-14 and 7e-6 were measured


def noisy(options, seed=3):
    """Arrays by the author's names that tell on the outputs: gains of about 1, all others of about 0."""
    random = np.random.default_rng(seed)
    arrays = {}
    for name, parameter in ShaRnn(**options).named_parameters():
        gain = "ln" in name and name.endswith("weight")
        arrays[name] = random.normal(1.0 if gain else 0.0, 0.3, parameter.shape)
    return arrays


@pytest.mark.parametrize(
    ("case", "dtype"),
    [
        pytest.param(case, dtype, marks=() if dtype == "float64" or case == "all layers" else pytest.mark.slow)
        for case in CASES
        for dtype in TOLERANCE
    ],
)
def test_segments_of_unequal_length_give_the_reference_s_outputs_states_and_gradients(case, dtype):
    options, lengths = CASES[case]
    arrays = {name: array.astype(dtype) for name, array in noisy(options).items()}
    networks = Ours(arrays, options, dtype), Reference(arrays, options, dtype)
    text = np.random.default_rng(5).integers(0, golden.VOCABULARY, (golden.BATCH, sum(lengths) + 1))
    for network in networks:
        network.begin()
    for end, length in zip(np.cumsum(lengths), lengths, strict=True):
        tokens, targets = text[:, end - length : end], text[:, end - length + 1 : end + 1]
        (ours, our_gradients), (expected, gradients) = (network.segment(tokens, targets) for network in networks)
        for found, wanted in ((ours, expected), (our_gradients, gradients)):
            assert found.keys() == wanted.keys()
            distances = {name: distance(found[name], wanted[name]) for name in wanted}
            assert max(distances.values()) < TOLERANCE[dtype], max(distances, key=distances.get)


def test_split_softmax_gives_the_reference_s_losses_and_gradients():
    """Of targets in the head and in every part; a model's log probabilities are the same numbers."""
    splits = (4, 7, 9)
    model = build({**golden.OPTIONS, "softmax_splits": splits})
    random = np.random.default_rng(7)
    for variable in model.weights:
        variable.assign(random.normal(0, 0.5, variable.shape))
    tokens, targets = random.permutation(22).reshape(2, 11) % golden.VOCABULARY, np.arange(22).reshape(2, 11) % 11
    outputs = model({"tokens": tf.constant(tokens, tf.int32), "state": tf_models.empty_state(model, 2)})
    embedding = model.get_layer("embedding")
    hidden, variables = outputs["hidden"], embedding.weights
    with tf.GradientTape() as tape:
        tape.watch(hidden)
        losses = embedding.losses_of(hidden, tf.constant(targets, tf.int32))
        loss = tf.reduce_mean(losses)
    gradients = tape.gradient(loss, [hidden, *(variable.value for variable in variables)])

    inputs = [torch.tensor(hidden.numpy().reshape(22, -1)), *(torch.tensor(v.numpy()) for v in variables)]
    for tensor in inputs:
        tensor.requires_grad_(True)
    expected = split_softmax_loss(inputs[0], torch.tensor(targets.ravel()), *inputs[1:], splits)
    expected.mean().backward()

    assert distance(losses.numpy().ravel(), expected.detach().numpy()) < TOLERANCE["float64"]
    of_targets = np.take_along_axis(outputs["logits"].numpy(), targets[..., np.newaxis], -1)
    assert distance(-of_targets.ravel(), expected.detach().numpy()) < TOLERANCE["float64"]
    for found, tensor in zip(gradients, inputs, strict=True):
        assert distance(tf.reshape(tf.convert_to_tensor(found), tensor.shape), tensor.grad) < TOLERANCE["float64"]


def test_the_reference_s_split_softmax_is_a_distribution():
    random = torch.Generator().manual_seed(0)
    hidden, weight, tombstones = (torch.randn(n, 6, generator=random, dtype=torch.float64) for n in (1, 10, 2))
    bias, tombstone_bias = (torch.randn(n, generator=random, dtype=torch.float64) for n in (10, 2))
    losses = split_softmax_loss(
        hidden.expand(10, -1), torch.arange(10), weight, bias, tombstones, tombstone_bias, (3, 5)
    )
    assert torch.exp(-losses).sum().item() == pytest.approx(1, rel=1e-12)


def test_a_model_with_collapsed_gates_computes_the_same():
    options = {**OPTIONS, "attention_layers": (1, 3)}
    ours = Ours(noisy(options), options)
    collapsed = tf_models.sha_rnn.collapse(ours.model)
    tokens = tf.constant(np.random.default_rng(5).integers(0, golden.VOCABULARY, (golden.BATCH, 20)), tf.int32)
    state = tf_models.empty_state(ours.model, golden.BATCH)
    for _ in range(2):
        expected, outputs = (model({"tokens": tokens, "state": state}) for model in (ours.model, collapsed))
        state = expected["state"]
        assert distance(outputs["logits"], expected["logits"]) < TOLERANCE["float64"]
    width = options["width"]
    assert ours.model.count_params() - collapsed.count_params() == 2 * 2 * (width**2 + width)
