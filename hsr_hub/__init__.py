"""Hierarchical super-resolution: small photos in, sharp ones out."""

from hsr_hub.model import HSRNet
from hsr_hub.version import __version__

__all__ = ["HSRNet", "__version__"]
