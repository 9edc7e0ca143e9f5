"""Sweeps: many trials in parallel processes."""
