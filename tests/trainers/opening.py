"""Opens data sets as a session does: found, prepared if that is allowed, opened."""

from trainers.tasks.images import data as images
from trainers.tasks.text import data as text
from trainers.tasks.translation import data as translation


def open_images(name, data_dir=None, download=False):
    return _opened(images, images.open_images, name, data_dir, download)


def open_text(name, data_dir=None, download=False):
    return _opened(text, text.open_text, name, data_dir, download)


def open_pairs(name, data_dir=None, download=False):
    return _opened(translation, translation.open_pairs, name, data_dir, download)


def _opened(kind, open_source, name, data_dir, download):
    source = kind.find(name, data_dir)
    source.ensure_prepared(download)
    return open_source(source)
