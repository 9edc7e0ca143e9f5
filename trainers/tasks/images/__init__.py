"""Classification of images: streamed, in memory, or by a head that is solved for."""
