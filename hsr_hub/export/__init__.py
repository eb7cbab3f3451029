"""The network for other programs."""
