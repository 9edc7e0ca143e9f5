"""Deep Double Descent (Nakkiran et al. 2019, arXiv 1912.02292): one experiment per figure on translation.

An experiment is one point of a figure; its `sweep` covers all points (`--mode=sweep`). The network is fairseq's version
of the Transformer of Vaswani et al. 2017, as named in the paper. `DEVIATIONS` lists what the paper leaves open.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

from flags.catalog import register
from flags.data import Sentences
from flags.errors import require
from flags.optimization import Adam
from flags.papers.double_descent import CITATION
from flags.ranges import Count
from flags.recipe import Experiment, Model, Paper
from flags.schedules import WarmUpInverseSquareRoot
from flags.sweep import Sweep
from flags.training import PairsTrain


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transformer(Model):
    """A Transformer with `layers` layers each in encoder and decoder; `feed_forward` defaults to 4 d_model."""

    name: str = "transformer"
    d_model: Count
    layers: Count = 6
    heads: Count = 8
    feed_forward: Count | None = None
    shared_embeddings: Literal["decoder", "none"] = "decoder"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.d_model % self.heads == 0 and self.d_model % 2 == 0 and self.d_model >= 4,
            f"model.d_model={self.d_model}: must be even, at least 4, and a multiple of model.heads={self.heads}",
        )


DEVIATIONS = (
    "Adam with betas 0.9 and 0.98 and epsilon 1e-9, as Vaswani et al.; the paper's appendix says Adam and no more, a "
    "note beside its released arrays says SGD with a warm-up.",
    "The paper does not give the length of the warm-up: 4,000 updates here; the rate of update s is Vaswani's, "
    "d_model^-0.5 min(s^-0.5, s 4,000^-1.5), so it follows the width.",
    "The paper does not give the size of a step: at most 4,096 subwords on the longer side, padding included, as in "
    "fairseq's recipe for IWSLT'14.",
    "The paper does not give vocabulary or sharing: 10,000 subwords of both languages together, learnt by byte pair "
    "encoding from the pairs that are trained on; the decoder shares its embedding with the output, the encoder has "
    "its own.",
    "The paper does not give the number of seeds, nor what is cut off: one seed, and training pairs of more than 256 "
    "subwords on a side are left out.",
    "80,000 updates, as section 4 and the captions say; an appendix of the paper prints 80.",
    "The unit of the paper's test loss is not stated: captions call it perplexity, and its released numbers look like "
    "bits. Ours is in nats per token, without smoothing, and is not compared with them.",
    "Another group that retrained these networks for 80,000 updates did not find that more data hurts: 18,000 "
    "pairs were better than 4,000 at every width.",
)
ON_MESSAGES = (
    "Sample: some 680 messages of a web framework, German to English, in place of 4,000 or more sentences of talks; "
    "tested on the 5 % that are the validation split and the 5 % that are the test split.",
    "Sample: 2 layers, 4 heads and 1,000 subwords, pairs of at most 64 on a side, smaller steps and a shorter warm-up, "
    "so that a run ends in minutes on two cores.",
)
SAMPLE = {
    "model.d_model": 64,
    "model.layers": 2,
    "model.heads": 4,
    "data.name": "django_de_en",
    "data.validation_split": "validation+test",
    "data.test_split": "validation+test",
    "data.num_train": None,
    "data.vocabulary": 1_000,
    "data.max_length": 64,
    "train.global_batch": 1_024,
    "train.steps": 1_500,
    "train.log_every": 100,
    "train.eval_every": 500,
    "train.checkpoint_every": 500,
    "schedule.warmup_steps": 400,
}
SAMPLE_SWEEP = Sweep(grid={"data.num_train": (170, 680), "model.d_model": (8, 16, 32, 64)})
SYNTHETIC = {
    "data.name": "synthetic_pairs",
    "data.num_train": None,
    "data.vocabulary": 500,
}


def _widths(last: int) -> dict[str, tuple[int, ...]]:
    return {"model.d_model": tuple(range(8, last + 1, 8))}


def _experiment(
    name: str,
    row: str,
    summary: str,
    *,
    data: str,
    d_model: Count,
    num_train: int | None = None,
    numbers: Mapping[str, float] | None = None,
    sweep: Mapping[str, tuple],
) -> None:
    register(
        name,
        lambda: Experiment(
            name=name,
            summary=summary,
            task="translation",
            paper=Paper(citation=CITATION, row=row, numbers=numbers or {}),
            model=Transformer(d_model=d_model),
            data=Sentences(
                name=data,
                validation_split="test",  # evaluated during training, as in the paper; not used for selection
                num_train=num_train,
            ),
            optimizer=Adam(beta_1=0.9, beta_2=0.98, epsilon=1e-9, weight_decay=0.0),
            schedule=WarmUpInverseSquareRoot(lr=None, warmup_steps=4_000),
            train=PairsTrain(
                global_batch=4_096,
                steps=80_000,
                label_smoothing=0.1,
                evals_per_decade=12,
                measure_fit=True,
                log_every=500,
                eval_every=5_000,
                checkpoint_every=5_000,
                eval_batch=8_192,
            ),
            deviations=DEVIATIONS,
            sample=SAMPLE,
            sample_deviations=ON_MESSAGES,
            synthetic=SYNTHETIC,
            sweep=Sweep(grid=sweep),
            sample_sweep=SAMPLE_SWEEP,
        ),
    )


_experiment(
    "dd_transformer_iwslt14",
    "Figures 3 and 23",
    "Transformer on 4,000 and 18,000 pairs of IWSLT'14 German-English, over width",
    data="iwslt14_de_en",
    d_model=64,
    num_train=4_000,
    numbers={"test_loss": 13.61},  # from the authors' released arrays
    sweep={"data.num_train": (4_000, 18_000), **_widths(200)},
)
_experiment(
    "dd_transformer_iwslt14_full",
    "Figures 8 and 24, IWSLT'14",
    "Transformer on all pairs of IWSLT'14 German-English, over width",
    data="iwslt14_de_en",
    d_model=256,
    sweep=_widths(512),
)
_experiment(
    "dd_transformer_iwslt14_samples",
    "Figure 11b",
    "Transformers of two widths on IWSLT'14 German-English, over the number of pairs",
    data="iwslt14_de_en",
    d_model=80,
    num_train=18_000,
    numbers={"test_loss": 13.04},  # from the authors' released arrays
    sweep={"model.d_model": (64, 80), "data.num_train": tuple(range(4_000, 120_001, 2_000))},
)
_experiment(
    "dd_transformer_wmt14",
    "Figures 8 and 24, WMT'14",
    "Transformer on 200,000 pairs of WMT'14 English-French, over width",
    data="wmt14_translate/fr-en",
    d_model=112,
    num_train=200_000,
    numbers={"test_loss": 4.06},  # from the authors' released arrays
    sweep=_widths(496),
)
