"""Training, evaluation and export of experiments."""
