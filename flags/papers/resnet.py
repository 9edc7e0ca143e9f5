"""ResNet (He, Zhang, Ren & Sun, CVPR 2016, arXiv 1512.03385): Tables 2 to 6, ImageNet and CIFAR-10.

The recipes are sections 3.4 and 4.2 of the paper: one for all networks on ImageNet, one for all on CIFAR-10. Where the
paper is silent they follow the authors' released networks and later paper (He et al. 2016, arXiv 1603.05027).
`IMAGENET_DEVIATIONS` and `CIFAR_DEVIATIONS` list every such choice.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from flags.catalog import register
from flags.data import Images
from flags.errors import require
from flags.optimization import Momentum
from flags.ranges import Count
from flags.recipe import Experiment, Model, Paper
from flags.schedules import Stepwise
from flags.training import StreamedTrain

CITATION = "He, Zhang, Ren & Sun 2016, Deep Residual Learning for Image Recognition, arXiv 1512.03385"

PLAIN = ("plain18", "plain34")
BOTTLENECK = ("resnet50", "resnet101", "resnet152")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResNet(Model):
    """A network of Table 1. Options that do not apply (such as shortcuts in a plain network) are none."""

    name: Literal["plain18", "plain34", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]
    resolution: Count = 224
    shortcut: Literal["A", "B", "C"] | None  # section 4.1: zeros, projections where dimensions grow, only projections
    bottleneck_stride: Literal["1x1", "3x3"] | None = None  # the paper, or "v1.5"
    pool_padding: Literal["same", "symmetric"] = "same"  # Caffe, or PyTorch
    last_gamma: float = 1.0  # of the last batch norm of every block

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            (self.shortcut is None) == (self.name in PLAIN),
            f"model.shortcut={self.shortcut}: must be none in a plain network, else A, B or C (model.name={self.name})",
        )
        require(
            (self.bottleneck_stride is None) == (self.name not in BOTTLENECK),
            f"model.bottleneck_stride={self.bottleneck_stride}: must be 1x1 or 3x3 in {', '.join(BOTTLENECK)}, "
            f"else none (model.name={self.name})",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class CifarResNet(Model):
    """A network of section 4.2: 6n + 2 layers, shortcuts of option A or none."""

    name: Literal[
        "plain20_cifar",
        "plain32_cifar",
        "plain44_cifar",
        "plain56_cifar",
        "plain110_cifar",
        "resnet20_cifar",
        "resnet32_cifar",
        "resnet44_cifar",
        "resnet56_cifar",
        "resnet110_cifar",
        "resnet1202_cifar",
    ]
    resolution: Count = 32
    last_gamma: float = 1.0  # of the last batch norm of every block


# experiment: network, shortcut, multiply-adds (Table 1, in 1e9),
#             error in % of ten crops (Tables 2 and 3: top-1, top-5), of whole images at five scales (Table 4)
IMAGENET = {
    "plain18": ("plain18", None, 1.8, (27.94, None), None),
    "plain34": ("plain34", None, 3.6, (28.54, 10.02), None),
    "resnet18": ("resnet18", "A", 1.8, (27.88, None), None),
    "resnet34": ("resnet34", "A", 3.6, (25.03, 7.76), None),
    "resnet34_b": ("resnet34", "B", 3.6, (24.52, 7.46), (21.84, 5.71)),
    "resnet34_c": ("resnet34", "C", None, (24.19, 7.40), (21.53, 5.60)),
    "resnet50": ("resnet50", "B", 3.8, (22.85, 6.71), (20.74, 5.25)),
    "resnet101": ("resnet101", "B", 7.6, (21.75, 6.05), (19.87, 4.60)),
    "resnet152": ("resnet152", "B", 11.3, (21.43, 5.71), (19.38, 4.49)),
}

# network: parameters (Table 6, in 1e6), error in % (Table 6; of plain networks Figure 6 has curves only)
CIFAR = {
    "plain20": (0.27, None),
    "plain32": (0.46, None),
    "plain44": (0.66, None),
    "plain56": (0.85, None),
    "plain110": (1.7, None),
    "resnet20": (0.27, 8.75),
    "resnet32": (0.46, 7.51),
    "resnet44": (0.66, 7.17),
    "resnet56": (0.85, 6.97),
    "resnet110": (1.7, 6.43),
    "resnet1202": (19.4, 7.93),
}
WARMED_UP = ("plain110", "resnet110", "resnet1202")


def imagenet(name: str) -> Experiment:
    """A network of Table 1 on ImageNet (section 3.4): 600,000 iterations of 256 images."""
    network, shortcut, multiply_adds, ten_crop, multi_scale = IMAGENET[name]
    with_shortcut = "without shortcuts" if shortcut is None else f"with shortcuts of option {shortcut}"
    table = "Table 2" if name in ("plain18", "plain34", "resnet18") else "Table 3"
    return Experiment(
        name=name,
        summary=f"{_title(network)} {with_shortcut} on ImageNet",
        task="classification",
        paper=Paper(
            citation=CITATION,
            row=f"{table}, {_title(network)}" + (f" {shortcut}" if network == "resnet34" else ""),
            numbers=_accuracies(ten_crop, "")
            | _accuracies(multi_scale, "_multi_scale")
            | ({"multiply_adds": multiply_adds * 1e9} if multiply_adds else {}),
        ),
        model=ResNet(name=network, shortcut=shortcut, bottleneck_stride="1x1" if network in BOTTLENECK else None),
        data=Images(
            name="imagenet2012",
            train_split="train",
            validation_split="validation",  # plotted in Figure 4; not used for selection
            test_split="validation",
            examples_per_epoch=1_281_167,
            crop="scale_jitter",
            shorter_side=(256, 480),
            flip=True,
            lighting=0.1,
            resize="bilinear",
            crop_padding=32,  # the shorter side is 256 in tests
            mean_image=True,
            stddev=(1.0, 1.0, 1.0),
            test_protocol="ten_crop",
        ),
        optimizer=Momentum(momentum=0.9, weight_decay=1e-4, decayed="kernels"),
        schedule=Stepwise(lr=0.1, boundaries=(150_000, 300_000)),  # Figure 4; epochs 30 and 60
        train=StreamedTrain(
            global_batch=256,
            batch_norm_batch=32,
            steps=600_000,
            eval_every=5000,
            checkpoint_every=5000,
        ),
        deviations=IMAGENET_DEVIATIONS,
        sample=_imagenet_sample(network),
        sample_deviations=IMAGENET_SAMPLE_DEVIATIONS,
        synthetic={"data.name": "synthetic"},
    )


def cifar10(network: str, *, train_split: str = "train", validation_split: str = "test") -> Experiment:
    """A network of section 4.2 on CIFAR-10: 64,000 iterations of 128 images."""
    parameters, error = CIFAR[network]
    holds_out = validation_split != "test"
    return Experiment(
        name=f"{network}_cifar10" + ("_45k" if holds_out else ""),
        summary=f"{_title(network)} on CIFAR-10" + (", 45,000 images to train and 5,000 to validate" * holds_out),
        task="classification",
        paper=Paper(
            citation=CITATION,
            row=f"{'Table 6' if error else 'Figure 6'}, {_title(network)}",
            numbers={"parameters": parameters * 1e6} | ({"top1": round(1 - error / 100, 4)} if error else {}),
        ),
        model=CifarResNet(name=f"{network}_cifar"),
        data=Images(
            name="cifar10",
            train_split=train_split,
            validation_split=validation_split,
            test_split="test",
            examples_per_epoch=45_000 if holds_out else 50_000,
            crop="pad_and_shift",  # 4 pixels: an eighth of 32
            flip=True,
            resize="bilinear",
            crop_padding=0,
            mean_image=True,
            stddev=(1.0, 1.0, 1.0),
            shuffle_window=50_000,
        ),
        optimizer=Momentum(momentum=0.9, weight_decay=1e-4, decayed="kernels"),
        schedule=Stepwise(
            lr=0.1, boundaries=(32_000, 48_000), warmup_lr=0.01 if network in WARMED_UP else None, warmup_error=0.8
        ),
        train=StreamedTrain(
            global_batch=128,
            batch_norm_batch=64,
            steps=64_000,
            eval_every=1000,
            checkpoint_every=1000,
            eval_batch=1000,
        ),
        deviations=CIFAR_DEVIATIONS,
        sample=_cifar_sample(network),
        sample_deviations=CIFAR_SAMPLE_DEVIATIONS,
        synthetic={"data.name": "synthetic_cifar10"},
    )


def _title(network: str) -> str:
    return network.replace("resnet", "ResNet-").replace("plain", "plain-")


def _accuracies(errors: tuple[float | None, float | None] | None, protocol: str) -> dict[str, float]:
    """Converts errors in % (top-1, top-5) to accuracies as fractions, under their names in results.json."""
    named = zip(("top1", "top5"), errors or ())
    return {name + protocol: round(1 - error / 100, 4) for name, error in named if error is not None}


def _imagenet_sample(network: str) -> dict[str, Any]:
    """Changes for the embedded sample: 5,000 digits of 28x28 pixels."""
    steps = 300 if network in BOTTLENECK else 500
    return {
        "model.resolution": 32,
        "model.last_gamma": 0.0 if network in BOTTLENECK else 1.0,
        "data.name": "digits",
        "data.train_split": "train",
        "data.validation_split": "test",
        "data.test_split": "test",
        "data.examples_per_epoch": None,
        "data.crop": "pad_and_shift",
        "data.flip": False,
        "data.lighting": 0.0,
        "data.crop_padding": 0,
        "data.test_protocol": "centre_crop",
        "data.test_scales": (32, 37, 55, 69, 91),  # same ratios to the resolution as in the paper
        "schedule.lr": 0.02,
        "schedule.boundaries": (steps * 3 // 5, steps * 4 // 5),
        "train.global_batch": 64,
        "train.steps": steps,
        "train.log_every": 20,
        "train.eval_every": 100,
        "train.checkpoint_every": 100,
        "train.eval_batch": 250,
    }


def _cifar_sample(network: str) -> dict[str, Any]:
    """Changes for the embedded sample: 5,000 28x28 digits. A step of 1202 layers takes as long as 20 of 56 layers."""
    batch, steps = (16, 40) if network == "resnet1202" else (64, 500)
    return {
        "data.name": "digits",
        "data.train_split": "train",
        "data.validation_split": "test",
        "data.test_split": "test",
        "data.examples_per_epoch": None,
        "data.flip": False,
        "schedule.lr": 0.02,
        "schedule.boundaries": (steps // 2, steps * 3 // 4),
        "schedule.warmup_lr": None,
        "train.global_batch": batch,
        "train.steps": steps,
        "train.log_every": steps // 20,
        "train.eval_every": steps // 5,
        "train.checkpoint_every": steps // 5,
        "train.eval_batch": 250,
    }


COMMON_DEVIATIONS = (
    "He initialisation with the fan-in, normal and not truncated; the last layer N(0, 0.01) with zero bias, as Goyal "
    "et al. (2017) have it; batch norm starts at gamma 1, beta 0. The paper cites its reference 13 for convolutions "
    "and says nothing of the rest. No effect expected.",
    "Weight decay on kernels alone: not on batch norm's gamma and beta (Goyal et al., citing the paper), nor on the "
    "last layer's bias. --set=optimizer.decayed=all decays everything, as most re-implementations do.",
    "Batch norm: epsilon 1e-5 (Caffe's), moving averages of 0.9, as the paper does not say. The released networks hold "
    "averages taken after training; --set=train.exact_bn_statistics=true does that, and tests with both.",
    "Inputs keep the scale 0..255 less the mean image; the paper does not say. Batch norm after the first convolution "
    "takes the scale out again.",
    "Examples are shuffled by a permutation that depends only on seed and epoch, so that an interrupted run resumes "
    "with the same examples. No effect expected.",
)
IMAGENET_DEVIATIONS = (
    "Batch norm averages over 32 images, as on each of the authors' 8 GPUs: a replica that has more cuts its share "
    "into such parts. --set=train.batch_norm_batch=none averages over all that a replica has.",
    "The learning rate falls at 150,000 and 300,000 iterations, where Figure 4 has its steps (epochs 30 and 60), not "
    "by an eye on the error; --set=schedule.drops=plateau watches the validation error instead.",
    "The colour noise uses the principal components that fb.resnet.torch published; the authors' own are not known. No "
    "effect expected.",
    "The mean image is that of the centre crops of the training set. Tests at other sizes subtract its mean colour.",
    "Tests during training take the centre crop (Figure 4), the final one ten crops (Tables 2 and 3); Table 4 is "
    "--mode=evaluate --set=data.test_protocol=multi_scale. There the class scores are averaged over positions, their "
    "softmax over scales and mirror images; the paper leaves the order and the mirroring open.",
    *COMMON_DEVIATIONS,
)
CIFAR_DEVIATIONS = (
    "Batch norm averages over 64 images, as on each of the authors' two GPUs: a single device cuts its 128 into two "
    "parts. --set=train.batch_norm_batch=none averages over all that a replica has.",
    "Trained on all 50,000 images, as re-implementations do; the schedule was found on 45,000, and the paper does not "
    "say which the final networks saw. The experiments that end in _45k hold 5,000 out.",
    "The mean image is subtracted before the padding, so the border is filled with the mean; the paper does not say.",
    "The warm-up of ResNet-110 (0.01 until the training error is below 80 %) looks at the mean error of every 100 "
    "iterations. ResNet-1202 and plain-110 take it too, for which the paper does not state it.",
    *COMMON_DEVIATIONS,
)
IMAGENET_SAMPLE_DEVIATIONS = (
    "Embedded sample: 5,000 MNIST digits in place of ImageNet, at 32 px: 4,000 to train, 1,000 to test. The paper's "
    "numbers do not apply to it; it shows that the recipe learns. No checkpoint is selected by the test digits.",
    "Embedded sample: batch 64, a learning rate of 0.02 and few iterations, so that it ends within minutes on a CPU.",
    "Embedded sample: in networks of bottlenecks each block begins as the identity (model.last_gamma=0, as Goyal et "
    "al. have it): with the paper's scale of 1 the logits of 152 untrained layers are so large that 300 iterations "
    "only undo them.",
    "Embedded sample: digits are shifted by up to an eighth, not rescaled, mirrored or recoloured, and tested on a "
    "single view.",
)
CIFAR_SAMPLE_DEVIATIONS = (
    "Embedded sample: 5,000 MNIST digits in place of CIFAR-10: 4,000 to train, 1,000 to test. The paper's numbers do "
    "not apply to it. No checkpoint is selected by the test digits.",
    "Embedded sample: batch 64 and 500 iterations in place of 64,000 (ResNet-1202: batch 16 and 40), for a CPU; the "
    "rate falls after a half and three quarters of them, as in the paper. It begins at 0.02, not 0.1: at 0.1 a "
    "residual network of 56 layers loses its first hundred iterations, more than so short a run wins back. No warm-up.",
    "Embedded sample: digits are shifted by up to 4 pixels, not mirrored.",
)

for _name in IMAGENET:
    register(_name, lambda name=_name: imagenet(name))
for _name in CIFAR:
    register(f"{_name}_cifar10", lambda name=_name: cifar10(name))
for _name in CIFAR:
    register(
        f"{_name}_cifar10_45k",
        lambda name=_name: cifar10(name, train_split="train[:45000]", validation_split="train[45000:]"),
    )
