"""What a finished model makes of a text: a language model goes on with it, a Transformer translates it."""
