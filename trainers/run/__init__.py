"""Files, devices, console output and signals of a run: everything around training itself."""
