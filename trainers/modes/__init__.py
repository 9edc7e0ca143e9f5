"""Modes of the command line, one module each: `--mode=NAME` calls the function NAME of `modes/NAME.py`."""
