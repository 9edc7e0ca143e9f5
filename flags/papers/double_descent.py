"""Deep Double Descent (Nakkiran et al. 2019, arXiv 1912.02292): one experiment per figure on images.

An experiment is one point of a figure; its `sweep` covers all points (`--mode=sweep`). `DEVIATIONS` lists what the
paper leaves open.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from flags.catalog import register
from flags.data import SmallImages
from flags.optimization import Adam, Momentum
from flags.ranges import Count
from flags.recipe import Experiment, Model, Paper
from flags.schedules import DynamicDrop, InverseSquareRoot, Stepwise
from flags.sweep import Ladder, Sweep
from flags.training import InMemoryTrain

CITATION = "Nakkiran et al. 2019, Deep Double Descent, arXiv 1912.02292"


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetOfWidth(Model):
    """A network whose width is set by `k`: k, 2k, 4k, 8k channels, or k hidden units."""

    k: Count
    resolution: Count = 32


PIXELS = "Pixels are scaled to -1..1, as in a later script of the first author; the paper does not say how."
DEVIATIONS = (
    "Weights and biases begin as PyTorch's defaults, batch norm has PyTorch's momentum and epsilon: as in the paper.",
    "Training error is measured in a pass of its own, on images that are not augmented, in inference mode.",
    "Every seed draws its own label noise and its own order; the paper does not say which of them its trials share.",
)
ON_DIGITS = (
    "Sample: handwritten digits, 4,000 unless the sweep says how many, gray, 16 pixels wide in place of 28 and not "
    "mirrored (for ResNet-18 not shifted, either), not 50,000 photographs.",
    "Sample: 40 % of the labels are wrong whatever the figure says, unless its sweep goes through several rates: with "
    "clean digits no peak is visible.",
    "Sample: narrow networks and few steps, with Adam at 1e-3, so that a sweep ends within half an hour on two cores.",
)
DIGITS = {
    "model.resolution": 16,
    "model.k": 8,
    "data.name": "digits",
    "data.channels": 1,
    "data.mean": (127.5,),
    "data.stddev": (127.5,),
    "data.flip": False,
}

WIDTHS = tuple(range(1, 65))
CNN_CLEAN_WIDTHS = (*range(1, 33), *range(34, 65, 2), 68, 72, 80, 84, 88, 92, 96, 104, 112, 120, 128)
CNN_NOISY_WIDTHS = (*WIDTHS, *range(68, 97, 4), 104, 112, 120, 128)
GRID_WIDTHS = (*range(1, 33), *range(36, 65, 4), 96, 128)
GRID_SAMPLES = (3_125, 4_419, 6_250, 8_839, 12_500, 17_678, 25_000, 35_355, 50_000)

ADAM = Adam(weight_decay=0.0)
SGD = Momentum(momentum=0.0, weight_decay=0.0)
CONSTANT = Stepwise(lr=1e-4, boundaries=())
INVERSE_SQUARE_ROOT = InverseSquareRoot(lr=0.1, period=512)


def images(name: str, *, noise: float = 0.0, augmented: bool = True, num_train: int | None = None) -> SmallImages:
    return SmallImages(
        name=name,
        train_split="train",
        validation_split="test",  # evaluated during training, as in the paper; not used for selection
        test_split="test",
        crop="pad_and_shift" if augmented else "none",  # by up to 4 pixels, zero-padded
        flip=augmented,
        crop_padding=0,
        resize="bilinear",
        mean=(127.5, 127.5, 127.5),
        stddev=(127.5, 127.5, 127.5),
        label_noise=noise,
        num_train=num_train,
    )


def trained_for(*, epochs: int | None = None, steps: int | None = None) -> InMemoryTrain:
    return InMemoryTrain(
        global_batch=128,
        epochs=epochs,
        steps=steps,
        evals_per_decade=12,
        measure_fit=True,
        log_every=500,
        eval_every=5_000,
        checkpoint_every=5_000,
        eval_batch=1_000,
    )


ADAM_4000_EPOCHS = {"optimizer": ADAM, "schedule": CONSTANT, "train": trained_for(epochs=4_000)}
SGD_500K_STEPS = {"optimizer": SGD, "schedule": INVERSE_SQUARE_ROOT, "train": trained_for(steps=500_000)}
SGD_1M_STEPS = {"optimizer": SGD, "schedule": INVERSE_SQUARE_ROOT, "train": trained_for(steps=1_000_000)}


def add_experiment(
    name: str,
    network: str,
    row: str,
    summary: str,
    *,
    k: int = 64,
    resolution: int = 32,
    data: SmallImages,
    sweep: Mapping[str, tuple],
    seeds: int = 1,
    sample: Mapping[str, Any],
    sample_sweep: Mapping[str, tuple],
    sample_seeds: int = 1,
    ladder: Ladder | None = None,
    numbers: Mapping[str, float] | None = None,
    pixels: str = PIXELS,
    deviations: tuple[str, ...] = (),
    sample_deviations: tuple[str, ...] = ON_DIGITS,
    **training,
) -> None:
    register(
        name,
        lambda: Experiment(
            name=name,
            summary=summary,
            task="classification",
            paper=Paper(citation=CITATION, row=row, numbers=numbers or {}),
            model=NetOfWidth(name=network, k=k, resolution=resolution),
            data=data,
            **training,
            deviations=(*deviations, pixels, *DEVIATIONS),
            sample=sample,
            sample_deviations=sample_deviations,
            sweep=Sweep(grid=sweep, seeds=tuple(range(seeds)), ladder=ladder),
            sample_sweep=Sweep(grid=sample_sweep, seeds=tuple(range(sample_seeds)), ladder=ladder),
            synthetic={"data.name": "synthetic_cifar10", "data.num_train": None},
        ),
    )


# Samples: widths and steps that two cores can handle. Apart from the rates, training is as in the figure.
CNN_SAMPLE = DIGITS | {"train.steps": 3_000, "data.label_noise": 0.4}
ADAM_SAMPLE = {"schedule.lr": 1e-3, "train.epochs": None}  # steps instead
RESNET_SAMPLE = DIGITS | {"data.crop": "none", "train.steps": 2_000, "data.label_noise": 0.4}
SAMPLE_WIDTHS = {"model.k": (1, 2, 3, 4, 5, 6, 8, 10, 12, 16)}
RESNET_SAMPLE_WIDTHS = {"model.k": (1, 2, 3, 4, 6, 8, 12, 16)}
NOISES = {"data.label_noise": (0.0, 0.1, 0.2)}
SAMPLE_NOISES = {"data.label_noise": (0.0, 0.2, 0.4)}

# Model-wise

add_experiment(
    "dd_resnet18_cifar10_noise15",
    "preact_resnet18",
    "Figures 1 and 2",
    "ResNet-18 on CIFAR-10 with 15 % label noise, over width and epochs",
    data=images("cifar10", noise=0.15),
    sweep={"model.k": WIDTHS},
    seeds=5,
    sample=RESNET_SAMPLE | ADAM_SAMPLE,
    sample_sweep=RESNET_SAMPLE_WIDTHS,
    sample_seeds=3,
    **ADAM_4000_EPOCHS,
)
add_experiment(
    "dd_resnet18_cifar100",
    "preact_resnet18",
    "Figures 4a and 19",
    "ResNet-18 on CIFAR-100 over width, at three rates of label noise",
    data=images("cifar100"),
    sweep={**NOISES, "model.k": WIDTHS},
    sample=RESNET_SAMPLE | ADAM_SAMPLE,
    sample_sweep={**SAMPLE_NOISES, **RESNET_SAMPLE_WIDTHS},
    **ADAM_4000_EPOCHS,
)
add_experiment(
    "dd_resnet18_cifar10",
    "preact_resnet18",
    "Figure 4b",
    "ResNet-18 on CIFAR-10 over width, at five rates of label noise",
    data=images("cifar10"),
    sweep={"data.label_noise": (0.0, 0.05, 0.10, 0.15, 0.20), "model.k": WIDTHS},
    sample=RESNET_SAMPLE | ADAM_SAMPLE,
    sample_sweep={**SAMPLE_NOISES, **RESNET_SAMPLE_WIDTHS},
    **ADAM_4000_EPOCHS,
)
add_experiment(
    "dd_cnn5_cifar10",
    "cnn5",
    "Figures 5a and 6, SGD",
    "5-layer CNN on CIFAR-10 over width, not augmented, at three rates of label noise",
    data=images("cifar10", augmented=False),
    sweep={**NOISES, "model.k": (*WIDTHS, 128)},
    sample=CNN_SAMPLE,
    sample_sweep={"data.label_noise": (0.2, 0.4), **SAMPLE_WIDTHS},
    **SGD_500K_STEPS,
)
add_experiment(
    "dd_cnn5_cifar10_augmented",
    "cnn5",
    "Figures 5b, 25 and 27",
    "5-layer CNN on CIFAR-10 over width, augmented, at three rates of label noise",
    data=images("cifar10"),
    sweep={**NOISES, "model.k": CNN_NOISY_WIDTHS},
    sample=CNN_SAMPLE,
    sample_sweep={**SAMPLE_NOISES, **SAMPLE_WIDTHS},
    deviations=("The released widths differ a little from rate to rate; here all three have those of 10 %.",),
    **SGD_500K_STEPS,
)
add_experiment(
    "dd_cnn5_cifar10_adam",
    "cnn5",
    "Figure 6, Adam",
    "5-layer CNN on CIFAR-10 over width, clean labels, Adam in place of SGD",
    data=images("cifar10", augmented=False),
    sweep={"model.k": (*WIDTHS, 128)},
    sample=CNN_SAMPLE | ADAM_SAMPLE,
    sample_sweep=SAMPLE_WIDTHS,
    sample_seeds=3,
    **ADAM_4000_EPOCHS,
)
add_experiment(
    "dd_cnn5_cifar100",
    "cnn5",
    "Figures 7 and 20",
    "5-layer CNN on CIFAR-100 over width, clean labels, not augmented, a million steps",
    data=images("cifar100", augmented=False),
    sweep={"model.k": WIDTHS},
    seeds=5,
    sample=CNN_SAMPLE,
    sample_sweep=SAMPLE_WIDTHS,
    **SGD_1M_STEPS,
)
add_experiment(
    "dd_cnn5_cifar10_weight_decay",
    "cnn5",
    "Figure 21",
    "5-layer CNN on CIFAR-10 with 10 % label noise over width, at three rates of weight decay",
    data=images("cifar10", noise=0.10),
    sweep={"optimizer.weight_decay": (0.0, 1e-4, 5e-4), "model.k": CNN_CLEAN_WIDTHS},
    sample=CNN_SAMPLE,
    sample_sweep={"optimizer.weight_decay": (0.0, 1e-4, 5e-4), **SAMPLE_WIDTHS},
    deviations=("10 % label noise, as in the figure; a table of the appendix says 20 %.",),
    **SGD_500K_STEPS,
)
add_experiment(
    "dd_cnn5_cifar10_ensemble",
    "cnn5",
    "Figure 29",
    "five 5-layer CNNs on CIFAR-10, clean labels, not augmented, and their plurality vote",
    data=images("cifar10", augmented=False),
    sweep={"model.k": WIDTHS},
    seeds=5,
    sample=CNN_SAMPLE,
    sample_sweep=SAMPLE_WIDTHS,
    sample_seeds=5,
    **SGD_500K_STEPS,
)
add_experiment(
    "dd_resnet18_cifar10_ensemble",
    "preact_resnet18",
    "Figure 28",
    "five ResNet-18 on CIFAR-10, each with its own 15 % of wrong labels, and their plurality vote",
    data=images("cifar10", noise=0.15),
    sweep={"model.k": WIDTHS},
    seeds=5,
    sample=RESNET_SAMPLE | ADAM_SAMPLE,
    sample_sweep=RESNET_SAMPLE_WIDTHS,
    sample_seeds=5,
    **ADAM_4000_EPOCHS,
)

# Epoch-wise

add_experiment(
    "dd_resnet18_cifar10_noise20",
    "preact_resnet18",
    "Figure 9",
    "ResNet-18 of three widths on CIFAR-10 with 20 % label noise, over epochs",
    data=images("cifar10", noise=0.20),
    numbers={"top1": 1 - 0.1963},  # width 64, at the end; from the authors' released arrays
    sweep={"model.k": (3, 12, 64)},
    sample=RESNET_SAMPLE | ADAM_SAMPLE,
    sample_sweep={"model.k": (1, 3, 12)},
    **ADAM_4000_EPOCHS,
)
for _figure, _data, _title in (("10a", "cifar10", "CIFAR-10"), ("10b", "cifar100", "CIFAR-100")):
    add_experiment(
        f"dd_resnet18_{_data}_epochs",
        "preact_resnet18",
        f"Figure {_figure}",
        f"ResNet-18 on {_title} over epochs, at three rates of label noise",
        data=images(_data),
        sweep=NOISES,
        sample=RESNET_SAMPLE | ADAM_SAMPLE,
        sample_sweep=SAMPLE_NOISES,
        **ADAM_4000_EPOCHS,
    )
add_experiment(
    "dd_cnn5_cifar10_epochs",
    "cnn5",
    "Figure 10c",
    "5-layer CNN on CIFAR-10 over epochs, at three rates of label noise",
    k=128,
    data=images("cifar10"),
    sweep=NOISES,
    sample=CNN_SAMPLE | {"model.k": 16, "data.num_train": 2_000, "data.crop": "none"},
    sample_sweep={**SAMPLE_NOISES, "model.k": (2, 6, 16)},
    sample_seeds=3,
    sample_deviations=(*ON_DIGITS, "Sample: of the digits 2,000, not augmented, so that they are fitted in time."),
    **SGD_500K_STEPS,
)

# Sample-wise

for _percent in (10, 20):
    add_experiment(
        f"dd_cnn5_cifar10_samples_noise{_percent}",
        "cnn5",
        f"Figure 11a, {_percent} %",
        f"5-layer CNN on parts of CIFAR-10 with {_percent} % label noise, over width",
        data=images("cifar10", noise=_percent / 100),
        sweep={"data.num_train": (12_500, 25_000, 50_000), "model.k": WIDTHS},
        seeds=5,
        sample=CNN_SAMPLE,
        sample_sweep={"data.num_train": (500, 1_000, 2_000, 4_000), **SAMPLE_WIDTHS},
        **SGD_500K_STEPS,
    )
add_experiment(
    "dd_cnn5_cifar10_width_by_samples",
    "cnn5",
    "Figure 12",
    "5-layer CNN on CIFAR-10 with 20 % label noise, over width and the number of examples",
    data=images("cifar10", noise=0.20),
    sweep={"data.num_train": GRID_SAMPLES, "model.k": GRID_WIDTHS},
    sample=CNN_SAMPLE,
    sample_sweep={"data.num_train": (250, 500, 1_000, 2_000, 4_000), **SAMPLE_WIDTHS},
    **SGD_500K_STEPS,
)

# Optimizers and schedules (Figures 16 to 18), weight decay over epochs (Figure 22)

OPTIMIZERS = {  # name -> figure, optimizer, rates of the constant schedule, rates of the decaying schedules
    "adam": (16, ADAM, (1e-4, 1e-3), (1e-4, 1e-3)),
    "sgd": (17, SGD, (1e-4, 1e-3, 1e-2), (1e-3, 1e-2, 1e-1)),
    "momentum": (18, Momentum(momentum=0.9, weight_decay=0.0), (1e-4, 1e-3, 1e-2), (1e-4, 1e-3, 1e-2)),
}
SCHEDULES = {
    "constant": lambda lr: Stepwise(lr=lr, boundaries=()),
    "inverse_sqrt": lambda lr: InverseSquareRoot(lr=lr),
    "dynamic_drop": lambda lr: DynamicDrop(lr=lr),
}
DROPS_SOON = {"schedule.patience": 200, "schedule.window": 50}
FACTOR_OPEN = (
    "The paper gives neither factor nor patience of the dynamic drop: 0.1 and 4,096 updates here, 200 in the sample."
)

for _optimizer, (_figure, _recipe, _constant, _falling) in OPTIMIZERS.items():
    for _schedule, _make in SCHEDULES.items():
        _rates = _constant if _schedule == "constant" else _falling
        add_experiment(
            f"dd_resnet18_cifar10_{_optimizer}_{_schedule}",
            "preact_resnet18",
            f"Figure {_figure}, {_schedule.replace('_', ' ')}",
            f"ResNet-18 on CIFAR-10 with 20 % label noise, {_optimizer}, {_schedule.replace('_', ' ')} rate",
            data=images("cifar10", noise=0.20),
            optimizer=_recipe,
            schedule=_make(_rates[0]),
            train=trained_for(steps=1_000_000),
            sweep={"schedule.lr": _rates},
            sample=RESNET_SAMPLE | (DROPS_SOON if _schedule == "dynamic_drop" else {}),
            sample_sweep={"schedule.lr": _rates},
            deviations=(FACTOR_OPEN,) if _schedule == "dynamic_drop" else (),
        )
COMPARED = {  # figure -> experiment -> its label in the figure
    "Figure 6": {"dd_cnn5_cifar10": "SGD", "dd_cnn5_cifar10_adam": "Adam"},
    **{
        f"Figure {figure}": {
            f"dd_resnet18_cifar10_{optimizer}_{schedule}": schedule.replace("_", " ") for schedule in SCHEDULES
        }
        for optimizer, (figure, *_) in OPTIMIZERS.items()
    },
}
add_experiment(
    "dd_resnet18_cifar10_weight_decay",
    "preact_resnet18",
    "Figure 22",
    "ResNet-18 on CIFAR-10 with 20 % label noise, over weight decay and epochs",
    data=images("cifar10", noise=0.20),
    sweep={"optimizer.weight_decay": (0.0, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1)},
    sample=RESNET_SAMPLE,
    sample_sweep={"optimizer.weight_decay": (0.0, 1e-4, 1e-3, 1e-2, 0.1)},
    deviations=("The paper's values of weight decay from 0 to 0.1 are not known.",),
    **SGD_500K_STEPS,
)
