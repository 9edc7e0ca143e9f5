"""Sweeps: planning trials, running them, and tracking their results."""
