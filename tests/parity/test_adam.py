"""Adam equals PyTorch's, which the paper used."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

from trainers.optimizers.adam import FusedAdam


@pytest.mark.parametrize("epsilon", [1e-8, 1e-2])
def test_a_hundred_updates_equal_pytorchs(epsilon):
    draws = np.random.default_rng(0)
    start, gradients = draws.normal(size=(4, 3)), draws.normal(size=(100, 4, 3)) ** 3
    ours = keras.Variable(start, dtype="float64")
    optimizer = FusedAdam(learning_rate=0.01, epsilon=epsilon)
    optimizer.build([ours])
    theirs = torch.nn.Parameter(torch.tensor(start))
    reference = torch.optim.Adam([theirs], lr=0.01, eps=epsilon)
    for gradient in gradients:
        optimizer.update_step(tf.constant(gradient), ours, 0.01)
        optimizer.iterations.assign_add(1)
        theirs.grad = torch.tensor(gradient)
        reference.step()
    np.testing.assert_allclose(ours.numpy(), theirs.detach().numpy(), rtol=1e-6, atol=1e-6)
