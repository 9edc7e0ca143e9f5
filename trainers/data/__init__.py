"""From record files to batches: which data sets there are, in what order they are seen, what is done to an image."""
