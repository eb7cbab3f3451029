"""Scripts that trained, measured and described the bundled models."""
