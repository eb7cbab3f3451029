"""Export the network to other programs."""
