"""TFDS builders of data sets that TFDS lacks. Importing this package registers them with `tfds.builder`.

A builder with `IS_EMBEDDED` reads from an installed package; its data set is prepared on first use.
"""

import importlib

for _name in ("digits", "django_catalogues", "enwik8", "iwslt14", "wikipedia_sample", "wikitext"):
    importlib.import_module(f"{__name__}.{_name}")
