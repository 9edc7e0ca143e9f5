"""Layers defined by the papers, and fast implementations of common ones."""
