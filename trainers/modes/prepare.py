"""`--mode=prepare`: brings an experiment's data set into the TFDS folder, once."""

from __future__ import annotations

from flags.run import Run
from trainers.data import sources


def prepare(run: Run) -> None:
    """Prepares the paper's data set (or, with `--data=sample`, the embedded one) and says where it is."""
    name = run.recipe_for("sample" if run.data == "sample" else "paper").data.name
    if not sources.is_prepared(name, run.data_dir):
        sources.prepare(name, run.data_dir, download=run.download)
    print(f"{name} is prepared in {sources.data_folder(run.data_dir)}")
