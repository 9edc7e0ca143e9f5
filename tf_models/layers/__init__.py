"""The pieces the papers define, and the kernels that make them fast."""
