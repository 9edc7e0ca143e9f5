"""Recipes of the papers' experiments, and the command line. Imports neither TensorFlow nor Keras."""
