import keras
import pytest

import tf_models
from tf_models.registry import register_model


def test_every_published_efficientnet_is_listed():
    published = {f"efficientnet_b{i}" for i in range(9)} | {"efficientnet_l2", "efficientnet"}
    assert published <= set(tf_models.list_models())


def test_names_are_listed_in_order():
    assert tf_models.list_models() == sorted(tf_models.list_models())


def test_an_unknown_name_is_answered_with_the_nearest_ones():
    with pytest.raises(ValueError, match=r"name='efnet_b0': no such model\. Near: efficientnet_b0"):
        tf_models.build_model("efnet_b0")


def test_a_name_like_no_other_is_answered_with_all_of_them():
    with pytest.raises(ValueError, match=r"Known: .*efficientnet_b0.*efficientnet_l2"):
        tf_models.build_model("zzz")


def test_an_unknown_option_is_answered_with_the_nearest_one():
    with pytest.raises(ValueError, match=r"widht=2: efficientnet_b0 has no such option\. Near: width"):
        tf_models.build_model("efficientnet_b0", widht=2)


def test_a_name_cannot_be_taken_twice():
    def efficientnet_b0() -> keras.Model:
        raise AssertionError("never built")

    with pytest.raises(ValueError, match="'efficientnet_b0' is registered already"):
        register_model(efficientnet_b0)


def test_a_model_carries_its_registered_name():
    assert tf_models.build_model("efficientnet_b0", input_shape=(32, 32, 3), num_classes=2).name == "efficientnet_b0"
