"""Files, devices, screen and signals of a run: everything around training that is not training."""
