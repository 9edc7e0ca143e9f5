"""TFDS builders of data sets that TFDS lacks; importing a module here makes its name known to `tfds.builder`."""
