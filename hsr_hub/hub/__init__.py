"""Weights: bundled, local and on the Hugging Face Hub."""
