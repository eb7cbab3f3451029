"""The package's version; alone here so that building the package imports nothing else."""

__version__ = "0.1.0"
