"""Regression on a few numbers per example."""
