"""Double descent in a network with one hidden layer, the smallest that shows the curve. Not in the paper."""

from __future__ import annotations

import dataclasses

from flags.papers.double_descent import ADAM, add_experiment, images, trained_for
from flags.schedules import Stepwise
from flags.sweep import Ladder

MLP_GRID = {
    "data.label_noise": (0.2, 0.4),
    "model.k": (1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 20, 24, 32, 48, 64, 100, 160),
}
EMC_WIDTHS = {"model.k": (1, 2, 3, 4, 6, 8, 12, 16)}
MLP = {
    "resolution": 28,
    "data": dataclasses.replace(
        images("mnist", noise=0.20, augmented=False, num_train=4_000),
        channels=1,
        mean=(0.0,),
        stddev=(255.0,),
    ),
    "optimizer": ADAM,
    "schedule": Stepwise(lr=4e-3, boundaries=()),
    "train": dataclasses.replace(trained_for(steps=2_500), global_batch=4_000, eval_batch=4_000),
    "seeds": 3,
    "sample": {"data.name": "digits"},
    "sample_seeds": 3,
    "pixels": "Pixels are scaled to 0..1: where black is -1 narrow networks learn nothing at this rate.",
    "sample_deviations": (
        "Sample: 4,000 of the 5,000 digits that a package carries, 400 per class, not of all of MNIST.",
    ),
}
add_experiment(
    "dd_mlp_mnist",
    "mlp",
    "no figure in the paper; the smallest network that shows Figure 1",
    "one hidden layer on 4,000 digits over width, every step on all of them",
    sweep=MLP_GRID,
    sample_sweep=MLP_GRID,
    **MLP,
)
add_experiment(
    "dd_mlp_mnist_emc",
    "mlp",
    "no figure in the paper; the effective model complexity of section 2, measured",
    "how many digits one hidden layer fits, by its width, and the test error at 4,000 digits over that",
    sweep=EMC_WIDTHS,
    sample_sweep=EMC_WIDTHS,
    ladder=Ladder(first=125, last=4_000, at=4_000),
    **MLP,
)
