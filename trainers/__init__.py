"""How an experiment is trained, measured and exported."""
