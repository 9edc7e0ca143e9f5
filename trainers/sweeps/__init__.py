"""Sweeps: which trials are wanted, where they are run, what becomes of them."""
