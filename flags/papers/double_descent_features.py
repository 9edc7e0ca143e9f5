"""Double descent without training: random features solved exactly (Deep Double Descent, appendix D), and linear data.

Random features fit the training set exactly from D = n (as many features as examples) on, at any noise. The two-layer
network on linear data is not in the paper; it follows Heckel & Yilmaz's example of double descent over steps.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from flags.catalog import register
from flags.data import LinearData, SmallImages
from flags.errors import require
from flags.optimization import LayerwiseSGD, LeastSquares
from flags.papers.double_descent import CITATION
from flags.ranges import Count, Natural, Positive
from flags.recipe import Experiment, Model, Paper
from flags.schedules import Stepwise
from flags.sweep import Ladder, Sweep
from flags.training import ClosedFormTrain, WholeSetTrain


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomFeatures(Model):
    """`num_features` frozen features of an image and a linear head; `scale` is the option of `tf_models`."""

    name: str = "random_features"
    num_features: Count
    kind: Literal["complex", "cosine", "relu"] = "complex"
    scale: Literal["input_dim", "num_features"] | float = "input_dim"
    feature_seed: Natural | None = None  # none: the run's --seed
    resolution: int = 28

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            isinstance(self.scale, str) or self.scale > 0,
            f"model.scale={self.scale}: must be a positive number, input_dim or num_features",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TwoLayer(Model):
    """One hidden ReLU layer; the scales multiply the initial weights of the two layers."""

    name: str = "two_layer"
    hidden: Count = 250
    hidden_scale: Positive = 1.0
    output_scale: Positive = 1.0


SEEDS = (0, 1, 2)
NOISES = (0.0, 0.1, 0.2)
FEATURES = (50, 100, 200, 300, 500, 700, 800, 900, 950, 980)
FEATURES += (1_000, 1_020, 1_050, 1_100, 1_200, 1_500, 2_000, 3_000, 5_000, 8_000)
MAP = (100, 200, 300, 400, 600, 800, 1_000, 1_200, 1_500, 2_000, 3_000, 4_000)  # numbers of features, and of examples
EXAMPLES = (100, 200, 300, 500, 700, 800, 900, 950, 1_000, 1_050, 1_100, 1_200, 1_500, 2_000, 3_000, 5_000, 8_000)
FEW_EXAMPLES = (100, 200, 300, 400, 450, 500, 550, 700, 1_000, 2_000, 4_000)

SOLVED = (
    "Gradient flow from 0 is not run: its limit, the least-squares solution of least norm, is computed, in float64.",
    "A head of complex numbers is fitted to labels that are real; the score is its real part.",
    "The paper draws frequencies from N(0, 1/d), and which d is open: here the number of pixels, as in later code of "
    "the first author; --set=model.scale=num_features takes that of features.",
    "Pixels are scaled to -1..1, as in a later script of the first author; the paper does not say how.",
    "Labels are clean, as far as is known of the paper.",
)
GRID_OPEN = "The paper's grid is not known; the one here surrounds as many features as examples."
DIGITS = "Sample: digits in place of Fashion-MNIST, with three rates of label noise."
ALL_PARTS = (
    "Sample: the 1,000 digits of the test split are trained on, and the 4,000 of the training split are tested: four "
    "times as many, and none is in both."
)
SWAPPED = {"data.train_split": "test", "data.validation_split": "train", "data.test_split": "train"}


def _images(name: str, num_train: int, *, mean: float = 127.5, stddev: float = 127.5) -> SmallImages:
    return SmallImages(
        name=name,
        train_split="train",
        validation_split="test",  # evaluated during training; not used for selection
        test_split="test",
        flip=False,
        crop_padding=0,
        resize="bilinear",
        channels=1,
        mean=(mean,),
        stddev=(stddev,),
        num_train=num_train,
    )


def _random_features(
    name: str,
    row: str,
    summary: str,
    *,
    model: RandomFeatures,
    data: SmallImages,
    deviations: tuple[str, ...],
    sweep: Sweep,
    sample: dict,
    sample_deviations: tuple[str, ...],
    sample_sweep: Sweep,
) -> None:
    register(
        name,
        lambda: Experiment(
            name=name,
            summary=summary,
            task="least_squares",
            paper=Paper(citation=CITATION, row=row, numbers={}),
            model=model,
            data=data,
            optimizer=LeastSquares(),
            schedule=None,
            train=ClosedFormTrain(
                global_batch=64, steps=1, measure_fit=True, eval_every=1, checkpoint_every=1, eval_batch=1_000
            ),
            deviations=deviations,
            sample=sample,
            sample_deviations=sample_deviations,
            sweep=sweep,
            sample_sweep=sample_sweep,
            synthetic={"data.name": "synthetic_cifar10"},
        ),
    )


_random_features(
    "dd_random_features_fashion_mnist",
    "Figure 14",
    "random features of Fashion-MNIST, over features and examples",
    model=RandomFeatures(num_features=1_000),
    data=_images("fashion_mnist", 1_000),
    deviations=(*SOLVED, GRID_OPEN),
    sweep=Sweep(grid={"data.num_train": MAP, "model.num_features": MAP}),
    sample={"data.name": "digits", **SWAPPED},
    sample_deviations=(DIGITS, ALL_PARTS),
    sample_sweep=Sweep(grid={"data.label_noise": NOISES, "model.num_features": FEATURES}, seeds=SEEDS),
)
_random_features(
    "dd_random_features_fashion_mnist_samples",
    "Figure 15",
    "1,000 random features of Fashion-MNIST, over examples",
    model=RandomFeatures(num_features=1_000),
    data=_images("fashion_mnist", 1_000),
    deviations=(*SOLVED, GRID_OPEN),
    sweep=Sweep(grid={"data.num_train": EXAMPLES}, seeds=SEEDS),
    sample={"data.name": "digits", "model.num_features": 500, "data.num_train": 500, "data.label_noise": 0.1},
    sample_deviations=(
        "Sample: 500 features, of digits in place of Fashion-MNIST.",
        "Sample: 10 % of the labels are wrong, so that the peak is not only in a point or two.",
    ),
    sample_sweep=Sweep(grid={"data.num_train": FEW_EXAMPLES}, seeds=SEEDS),
)
COSINES = RandomFeatures(num_features=1_000, kind="cosine", scale=0.2)
COSINES_OF_DIGITS = (
    SOLVED[0],
    "Features are sqrt(2 / D) cos(<w, x> + b) with w ~ N(0, 0.2^2) on pixels in 0..1, not the paper's.",
)
_random_features(
    "dd_random_features_mnist",
    "no figure in the paper; random cosines in place of complex features",
    "random cosines of 1,000 digits of MNIST over their number, at three rates of label noise",
    model=COSINES,
    data=_images("mnist", 1_000, mean=0.0, stddev=255.0),
    deviations=COSINES_OF_DIGITS,
    sweep=Sweep(grid={"data.label_noise": NOISES, "model.num_features": FEATURES}, seeds=SEEDS),
    sample={"data.name": "digits", **SWAPPED},
    sample_deviations=("Sample: the 5,000 digits that a package carries, not all of MNIST.", ALL_PARTS),
    sample_sweep=Sweep(grid={"data.label_noise": NOISES, "model.num_features": FEATURES}, seeds=SEEDS),
)

# eps=1e-6 is the exact fit (an error of 0 up to rounding), which ends where features equal examples.
FITS = Ladder(first=50, last=4_000, at=500, eps=(1e-6, 0.01, 0.05, 0.1), error="squared")
EMC_GRID = {"data.label_noise": NOISES, "model.num_features": (100, 200, 350, 500, 700, 1_000, 2_000)}
_random_features(
    "dd_random_features_mnist_emc",
    "no figure in the paper; the effective model complexity of section 2, measured",
    "how many digits random cosines fit, by their number, and the test error at 500 digits over that",
    model=COSINES,
    data=_images("mnist", 500, mean=0.0, stddev=255.0),
    deviations=COSINES_OF_DIGITS,
    sweep=Sweep(grid=EMC_GRID, seeds=SEEDS, ladder=FITS),
    sample={"data.name": "digits"},
    sample_deviations=("Sample: the 5,000 digits that a package carries, not all of MNIST.",),
    sample_sweep=Sweep(grid=EMC_GRID, seeds=SEEDS, ladder=FITS),
)

# Heckel & Yilmaz 2020, Figure 3. Rates here are for the mean over 100 examples; the authors' code uses the sum.
SAME_RATES, SCALED_RATES = (1.0, 1.0), (300.0, 1.0)


def _two_layer(name: str, summary: str, factors: tuple[float, float], *deviations: str) -> None:
    register(
        name,
        lambda: Experiment(
            name=name,
            summary=summary,
            task="regression",
            paper=Paper(
                citation=CITATION,
                row="no figure in the paper; Heckel & Yilmaz 2020, arXiv 2007.10099, Figure 3",
                numbers={},
            ),
            model=TwoLayer(hidden=25, hidden_scale=30.0, output_scale=0.01),
            data=LinearData(dimension=50, num_train=100, num_test=1_000, smallest_scale=1.0, largest_scale=4.0),
            optimizer=LayerwiseSGD(weight_decay=0.0, factors=factors),
            schedule=Stepwise(lr=5e-5, boundaries=()),
            train=WholeSetTrain(
                global_batch=100,
                steps=50_000,
                evals_per_decade=24,
                measure_fit=True,
                log_every=5_000,
                eval_every=5_000,
                checkpoint_every=25_000,
            ),
            deviations=(
                *deviations,
                "25 hidden units, weights that begin at 30 times the spread and a rate of 5e-7 on the sum, in place of "
                "250, 1 and 8e-5. Data and the other initial weights are the authors'.",
                "The authors' own settings (--set=model.hidden=250 --set=model.hidden_scale=1 --set=schedule.lr=8e-3) "
                "show another rise, of the training error too: their step is too long for the output layer for a "
                "while. At half their rate both errors only fall.",
                "1,000 test examples in place of 100. The authors' risk is the mean absolute error, `absolute_error`.",
            ),
            sample={},
            sample_deviations=("Sample: the same; these data are made in memory.",),
            sweep=Sweep(grid={}, seeds=SEEDS),
            sample_sweep=Sweep(grid={}, seeds=SEEDS),
        ),
    )


_two_layer(
    "dd_two_layer_linear",
    "a network of two layers on linear data over steps, both layers at one rate",
    SAME_RATES,
    "The output layer learns first, from hidden units that hardly move, and overfits; then the hidden layer learns, "
    "and the test error falls again. The training error falls all the while, and half the rate gives the same curve.",
    "With the three seeds here the test error ends below its first minimum; with 3 and 4, also tried, it falls again "
    "but not below it, and with 4 it rises once more.",
)
_two_layer(
    "dd_two_layer_linear_rescaled",
    "the same network, its hidden layer at 300 times the rate, which removes the rise of the test error",
    SCALED_RATES,
    "The authors slow the hidden layer down by 80; here it is the slow one, and is sped up by 300.",
)
