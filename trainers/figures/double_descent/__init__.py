"""Figures and tables of Deep Double Descent (Nakkiran et al. 2019, arXiv 1912.02292), from the runs of sweeps."""

from trainers.figures.double_descent.figures import draw
from trainers.figures.double_descent.tables import tabulate

measurements = ()

__all__ = ["draw", "measurements", "tabulate"]
