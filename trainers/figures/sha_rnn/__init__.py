"""Figures and tables of SHA-RNN (Merity 2019, arXiv 1911.11423), from runs."""

from trainers.figures.sha_rnn.figures import draw
from trainers.figures.sha_rnn.tables import tabulate

__all__ = ["draw", "tabulate"]
