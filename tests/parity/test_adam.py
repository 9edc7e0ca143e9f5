"""Adam equals PyTorch's, which the paper used."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

from trainers.optimizers.adam import FusedAdam

LR = 2.0**-7  # a rate that float32, through which TensorFlow casts it, does not change


@pytest.mark.parametrize("epsilon", [1e-8, 1e-2])
@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-11), ("float32", 1e-5)])
def test_a_hundred_updates_equal_pytorchs(dtype, rtol, epsilon):
    draws = np.random.default_rng(0)
    start = draws.normal(size=(4, 3)).astype(dtype)
    gradients = (draws.normal(size=(100, 4, 3)) ** 3).astype(dtype)
    ours = keras.Variable(start, dtype=dtype)
    optimizer = FusedAdam(epsilon=epsilon)
    optimizer.build([ours])
    theirs = torch.nn.Parameter(torch.tensor(start))
    reference = torch.optim.Adam([theirs], lr=LR, eps=epsilon)
    for gradient in gradients:
        optimizer.update_step(tf.constant(gradient), ours, LR)
        optimizer.iterations.assign_add(1)
        theirs.grad = torch.tensor(gradient)
        reference.step()
        np.testing.assert_allclose(ours.numpy(), theirs.detach().numpy(), rtol=rtol, atol=rtol * LR)


def test_its_defaults_are_pytorchs():
    theirs = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))]).defaults
    ours = FusedAdam()
    assert float(ours.learning_rate) == pytest.approx(theirs["lr"])
    assert ((ours.beta_1, ours.beta_2), ours.epsilon) == (theirs["betas"], theirs["eps"])
