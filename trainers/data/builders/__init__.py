"""TFDS builders of data sets that TFDS lacks. Importing this package makes their names known to `tfds.builder`.

A builder with `IS_EMBEDDED` reads from a package that is installed anyway: it is prepared when it is first opened.
"""

import importlib

for _name in ("digits", "django_catalogues", "enwik8", "iwslt14", "wikipedia_sample", "wikitext"):
    importlib.import_module(f"{__name__}.{_name}")
