"""From record files to batches: data sets, the order of examples, and image preprocessing."""
