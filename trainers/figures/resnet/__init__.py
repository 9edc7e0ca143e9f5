"""Figures and tables of the ResNet paper (He et al. 2016), from runs."""

from trainers.figures.resnet.figures import RESPONSES, draw
from trainers.figures.resnet.tables import tabulate

measurements = (RESPONSES,)

__all__ = ["draw", "measurements", "tabulate"]
