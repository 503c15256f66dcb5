"""What made a picture, read from its file or from what CivitAI knows: one module per format, pure functions."""
