"""Image classification: streamed, in memory, or with a head solved in closed form."""
