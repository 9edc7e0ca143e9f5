"""Figures and tables of SHA-RNN (Merity 2019, arXiv 1911.11423), from runs."""

from trainers.figures.sha_rnn.attention import WEIGHTS
from trainers.figures.sha_rnn.figures import draw
from trainers.figures.sha_rnn.tables import tabulate

measurements = (WEIGHTS,)

__all__ = ["draw", "measurements", "tabulate"]
