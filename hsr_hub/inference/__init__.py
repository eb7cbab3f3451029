"""A network over an image of any size."""
