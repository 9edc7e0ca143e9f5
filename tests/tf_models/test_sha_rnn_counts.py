"""The numbers of SHA-RNN's networks on enwik8, against those of the author's code, counts to the unit."""

import keras
import pytest

import tf_models
from tf_models import inspection, sha_rnn

pytestmark = pytest.mark.usefixtures("weights_not_drawn")

# Layers with attention: parameters that are trained; that the author's code defines; of these, those that are left
# when the value gates are folded; multiply-adds a byte.
D, H, V, S = 1024, 4096, 205, 5000  # width, Boom's width, symbols, memory
WITHOUT_ATTENTION = 4 * (8 * D * D + D * H) + V * D
ATTENTION = D * D + 2 * S * D
ENWIK8 = {
    (): (50_615_501, 50_640_077, 50_640_077, WITHOUT_ATTENTION),
    (2,): (53_773_517, 53_798_093, 51_698_893, WITHOUT_ATTENTION + ATTENTION),
    (0, 1, 2, 3): (63_247_565, 63_272_141, 54_875_341, WITHOUT_ATTENTION + 4 * ATTENTION),
}


@pytest.fixture(scope="module", params=ENWIK8, ids=["no attention", "single-headed", "4-headed"])
def variant(request):
    keras.backend.clear_session()
    model = tf_models.build_model("sha_rnn", num_classes=V, attention_layers=request.param)
    return model, ENWIK8[request.param]


def test_a_network_counts_to_the_unit(variant):
    model, (trained, as_defined, collapsed, _) = variant
    assert inspection.parameters(model) == inspection.Parameters(trainable=trained, non_trainable=0)
    assert inspection.parameter_notes(model) == {
        "defined by the author's code": as_defined,
        "of these, with value gates folded": collapsed,
    }


def test_the_author_never_uses_as_many_parameters_whatever_the_attention(variant):
    _, (trained, as_defined, *_) = variant
    assert as_defined - trained == 24_576


def test_multiply_adds_count_to_the_unit(variant):
    model, (*_, multiply_adds) = variant
    assert inspection.multiply_adds(model) == multiply_adds


def test_61_8_million_multiply_adds_take_a_byte_through_the_single_headed_network():
    assert ENWIK8[(2,)][-1] == pytest.approx(61.8e6, rel=1e-3)


def test_collapsing_leaves_what_was_counted_before():
    options = {"width": 16, "boom_width": 64, "attention_layers": (1, 3), "memory_size": 7}
    model = tf_models.build_model("sha_rnn", num_classes=V, **options)
    before, after = (list(inspection.parameter_notes(each).values()) for each in (model, sha_rnn.collapse(model)))
    assert after == [before[1], before[1]]


def test_a_network_without_boom_leaves_two_more_norms_of_a_block_unused():
    options = {"width": 16, "attention_layers": (2,), "memory_size": 7}
    unused = [
        inspection.parameter_notes(model)["defined by the author's code"] - inspection.parameters(model).total
        for model in (tf_models.build_model("sha_rnn", num_classes=V, boom_width=boom, **options) for boom in (64, 0))
    ]
    assert unused[1] - unused[0] == 4 * 2 * 2 * 16


def test_the_plain_lstm_has_as_many_parameters_as_the_single_headed_network():
    model = tf_models.build_model("plain_lstm", num_classes=V)
    assert inspection.parameters(model).total == pytest.approx(ENWIK8[(2,)][0], rel=0.01)
    assert inspection.multiply_adds(model) == 4 * 8 * 1296**2 + V * 1296
