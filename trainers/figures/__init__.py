"""The papers' figures and tables, redrawn from what runs left in their folders; nothing here imports TensorFlow."""
