"""Figures and tables of the ResNet paper (He et al. 2016), from runs."""

from trainers.figures.resnet.figures import draw
from trainers.figures.resnet.tables import tabulate

__all__ = ["draw", "tabulate"]
