"""Sentence translation."""
