"""`--mode=prepare`: downloads and builds an experiment's data set in the TFDS folder."""

from __future__ import annotations

from flags.run import Run
from trainers.data.sources import data_folder
from trainers.tasks import task_class


def prepare(run: Run) -> None:
    """Prepares the paper's data set (or, with `--data=sample`, the embedded one) and prints its location."""
    recipe = run.recipe_for("sample" if run.data == "sample" else "paper")
    source = task_class(recipe).find_data(recipe.data.name, run.data_dir)
    source.prepare(download=run.download)
    print(f"{source.name} is prepared in {data_folder(run.data_dir)}")
