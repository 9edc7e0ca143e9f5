"""Language modelling: the next byte or word of a text."""
