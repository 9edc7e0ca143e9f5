"""A sixth kind of problem, defined outside the project: how bright an image is, as a number.

`recipe` says what is trained, `task` how. Two lines make the kind known, one in each registry.
"""

import trainers.tasks
from flags import catalog, tasks
from tests.trainers.brightness import recipe


def register():
    tasks.register(recipe.KIND)
    trainers.tasks.register("brightness", "tests.trainers.brightness.task:Brightness")
    catalog.register("brightness_digits", recipe.brightness_digits)
