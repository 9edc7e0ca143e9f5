"""EfficientNet (Tan & Le, ICML 2019, arXiv 1905.11946, version 5): Table 2, B0 to B7 on ImageNet.

The recipe is section 5.2 of the paper; where that is silent, the authors' code (tensorflow/tpu,
models/official/efficientnet: "the code" below). `effnet_b0` is complete; the others list only their changes to it.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from flags.catalog import experiment
from flags.data import Images
from flags.optimization import RMSProp
from flags.ranges import BelowOne, Count, Positive, Rate
from flags.recipe import Experiment, Model, Paper
from flags.schedules import Exponential
from flags.training import StreamedTrain

CITATION = "Tan & Le 2019, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, arXiv 1905.11946"
EPOCHS = 350
SAMPLE_EXAMPLES = 4000
SAMPLE_BATCH = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class EfficientNet(Model):
    """A network of the family; its name determines width and depth unless they are given."""

    name: Literal[
        "efficientnet_b0",
        "efficientnet_b1",
        "efficientnet_b2",
        "efficientnet_b3",
        "efficientnet_b4",
        "efficientnet_b5",
        "efficientnet_b6",
        "efficientnet_b7",
        "efficientnet_b8",
        "efficientnet_l2",
    ]
    resolution: Count  # pixels per side, in training and evaluation
    dropout: BelowOne  # before the last layer
    survival_probability: Rate = 0.8  # stochastic depth, falls linearly from 1 in the first block
    width: Positive | None = None
    depth: Positive | None = None


@experiment
def effnet_b0() -> Experiment:
    """EfficientNet-B0 on ImageNet (section 5.2, Table 2).

    Paper: 77.1 % top-1, 93.3 % top-5, 5.3 M parameters, 0.39 G multiply-adds. Differs: see `DEVIATIONS`.
    """
    return Experiment(
        name="effnet_b0",
        summary="EfficientNet-B0 on ImageNet at 224 px",
        task="classification",
        paper=Paper(
            citation=CITATION,
            row="Table 2, EfficientNet-B0",
            numbers={"top1": 0.771, "top5": 0.933, "parameters": 5.3e6, "multiply_adds": 0.39e9},
        ),
        model=EfficientNet(name="efficientnet_b0", resolution=224, dropout=0.2, survival_probability=0.8),
        data=Images(
            name="imagenet2012",
            train_split="train[25022:]",
            validation_split="train[:25022]",  # "minival": 20 of the code's 1,024 files
            test_split="validation",
            examples_per_epoch=1_281_167,  # the code's default; the minival is counted too
            crop="inception",  # the code: area 8 to 100 %, aspect 3/4 to 4/3
            flip=True,
            augment="autoaugment_v0",
            resize="bicubic_tf1",
            crop_padding=32,
        ),
        optimizer=RMSProp(decay=0.9, momentum=0.9, epsilon=1e-3, weight_decay=1e-5),  # epsilon: the code
        schedule=Exponential(
            lr_per_256=0.016,  # 0.256 at the batch of 4,096 that the authors used
            decay_rate=0.97,
            decay_epochs=2.4,
            staircase=True,  # the code
            warmup_epochs=5,  # the code
        ),
        train=StreamedTrain(
            global_batch=4096,
            epochs=EPOCHS,  # the code: 218,949 steps of 2,048
            label_smoothing=0.1,  # the code
            ema_decay=0.9999,  # the code
            eval_every=3128,  # 10 epochs, as in the code
            checkpoint_every=1251,
            select="best",  # on the minival, which the paper uses for early stopping
        ),
        deviations=DEVIATIONS,
        sample=_sample(epochs=24),
        sample_deviations=SAMPLE_DEVIATIONS,
        synthetic={"data.name": "synthetic"},
    )


@experiment
def effnet_b1() -> Experiment:
    """B1: width 1.0, depth 1.1."""
    paper = {"top1": 0.791, "top5": 0.944, "parameters": 7.8e6, "multiply_adds": 0.70e9}
    return _scaled("b1", resolution=240, dropout=0.2, paper=paper, sample_epochs=20)


@experiment
def effnet_b2() -> Experiment:
    """B2: width 1.1, depth 1.2."""
    paper = {"top1": 0.801, "top5": 0.949, "parameters": 9.2e6, "multiply_adds": 1.0e9}
    return _scaled("b2", resolution=260, dropout=0.3, paper=paper, sample_epochs=16)


@experiment
def effnet_b3() -> Experiment:
    """B3: width 1.2, depth 1.4."""
    paper = {"top1": 0.816, "top5": 0.957, "parameters": 12e6, "multiply_adds": 1.8e9}
    return _scaled("b3", resolution=300, dropout=0.3, paper=paper, sample_epochs=12)


@experiment
def effnet_b4() -> Experiment:
    """B4: width 1.4, depth 1.8."""
    paper = {"top1": 0.829, "top5": 0.964, "parameters": 19e6, "multiply_adds": 4.2e9}
    return _scaled("b4", resolution=380, dropout=0.4, paper=paper, sample_epochs=8)


@experiment
def effnet_b5() -> Experiment:
    """B5: width 1.6, depth 2.2."""
    paper = {"top1": 0.836, "top5": 0.967, "parameters": 30e6, "multiply_adds": 9.9e9}
    return _scaled("b5", resolution=456, dropout=0.4, paper=paper, sample_epochs=6)


@experiment
def effnet_b6() -> Experiment:
    """B6: width 1.8, depth 2.6."""
    paper = {"top1": 0.840, "top5": 0.968, "parameters": 43e6, "multiply_adds": 19e9}
    return _scaled("b6", resolution=528, dropout=0.5, paper=paper, sample_epochs=6)


@experiment
def effnet_b7() -> Experiment:
    """B7: width 2.0, depth 3.1."""
    paper = {"top1": 0.843, "top5": 0.970, "parameters": 66e6, "multiply_adds": 37e9}
    return _scaled("b7", resolution=600, dropout=0.5, paper=paper, sample_epochs=6)


def _scaled(size: str, *, resolution: int, dropout: float, paper: dict[str, float], sample_epochs: int) -> Experiment:
    """B0's recipe for a larger network of the family: the paper uses one recipe for all."""
    return dataclasses.replace(
        effnet_b0(),
        name=f"effnet_{size}",
        summary=f"EfficientNet-{size.upper()} on ImageNet at {resolution} px",
        paper=Paper(citation=CITATION, row=f"Table 2, EfficientNet-{size.upper()}", numbers=paper),
        model=EfficientNet(name=f"efficientnet_{size}", resolution=resolution, dropout=dropout),
        sample=_sample(epochs=sample_epochs),
    )


def _sample(epochs: int) -> dict[str, Any]:
    """Changes for the embedded sample, 5,000 digits of 28x28 pixels: the ImageNet recipe shortened to `epochs`."""
    steps = epochs * SAMPLE_EXAMPLES / SAMPLE_BATCH
    return {
        "model.resolution": 32,
        "model.dropout": 0.0,
        "model.survival_probability": 0.95,
        "data.name": "digits",
        "data.train_split": "train",
        "data.validation_split": "test",  # for the curve only; not used for selection
        "data.test_split": "test",
        "data.examples_per_epoch": None,
        "data.crop": "pad_and_shift",
        "data.flip": False,
        "data.augment": "none",
        "data.resize": "bilinear",
        "data.crop_padding": 0,
        "data.mean": (127.5, 127.5, 127.5),
        "data.stddev": (127.5, 127.5, 127.5),
        "schedule.lr_per_256": 0.003,
        "schedule.decay_epochs": epochs / 64,
        "schedule.warmup_epochs": epochs * 5 / EPOCHS,
        "train.global_batch": SAMPLE_BATCH,
        "train.epochs": epochs,
        "train.ema_decay": min(0.9999, 1 - 1 / (0.05 * steps)),
        "train.log_every": 50,
        "train.eval_every": 250,
        "train.checkpoint_every": 250,
        "train.eval_batch": 250,
        "train.select": "last",
    }


DEVIATIONS = (
    "Taken from the authors' code, because the paper is silent: batch 4,096 for 350 epochs, 5 epochs of warm-up, "
    "staircase decay counted from step 0, RMSProp epsilon 0.001, label smoothing 0.1, a weight average of 0.9999 with "
    "a ramp that includes batch-norm statistics. No effect expected: the published checkpoints were trained so.",
    "Dropout takes the code's steps (0.2 0.2 0.3 0.3 0.4 0.4 0.5 0.5 for B0 to B7), not the exactly linear rise from "
    "0.2 to 0.5 that the paper states; they differ by less than 0.05. No visible effect expected.",
    "AutoAugment is the code's policy v0, as released, not the ImageNet policy printed in the AutoAugment paper: the "
    "authors' AutoAugment checkpoints, whose top-1 is that of Table 2, come from this code. No effect expected.",
    "The evaluation crop leaves a margin of 32 pixels at every resolution, as the code did when it made the published "
    "checkpoints; since November 2021 it crops 87.5 % at every size. The same for B0; a wider crop for B1 to B7.",
    "The minival (25,022 images, the paper says 25K) is the first of the training split in TFDS order, not the first "
    "20 files of the code's TFRecords: other images, as random. No effect expected beyond chance.",
    "An epoch counts 1,281,167 images, the code's default, though the minival is held out: 350 epochs are 357 passes "
    "over the rest. Run with --holdout_shards, the code lets the learning rate (not the steps) count 1,256,145, so "
    "that it ends at 0.256 * 0.97^148 = 0.0028, ours at 0.256 * 0.97^145 = 0.0031. No visible effect expected.",
    "Batch-norm statistics are those of one replica's images; the code averages them over groups of 8 cores or more "
    "when it runs on more than 8 cores. No effect expected while a replica sees 64 images or more.",
    "Precision follows --precision (auto: bfloat16 where the hardware computes in it, float32 on CPUs); the code "
    "computes activations in bfloat16, which its authors saw add about 0.3 points of top-1.",
    "All 50,000 validation images are evaluated; the code drops the last short batch and evaluates 49,984. At most "
    "0.03 points of difference.",
    "Examples are shuffled by a permutation that depends only on seed and epoch, not by the code's shuffle buffer, so "
    "that an interrupted run resumes with the same examples. No effect expected.",
)

SAMPLE_DEVIATIONS = (
    "Embedded sample: 5,000 MNIST digits in place of ImageNet, at 32 px: 4,000 to train, 1,000 to test. The paper's "
    "numbers do not apply to it; it shows that the recipe learns. The test digits are evaluated during training, to "
    "draw a curve; no checkpoint is selected by them, the last one is exported.",
    "Embedded sample: batch 64 and few epochs, so that it ends within minutes on a CPU. The learning rate is a fifth "
    "of the rule's, warms up for the same share of the run, and decays 64 times instead of 145.",
    "Embedded sample: no dropout, and stochastic depth down to 0.95, not 0.8. The code's initial head grows as "
    "1/sqrt(classes): with 10 classes, and with a single pixel to pool over, dropout's noise would drown the logits "
    "for half of so short a run.",
    "Embedded sample: the weight average decays by 1 - 1/(0.05 * steps), because 0.9999 remembers 10,000 steps, more "
    "than the whole run has.",
    "Embedded sample: digits are shifted by some pixels, not cropped, flipped or AutoAugmented: a mirrored 2 is no 2. "
    "They are scaled to -1..1, because ImageNet's channel means say nothing about them.",
)
