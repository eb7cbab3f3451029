"""Hierarchical super-resolution: small photos in, sharp ones out."""

from typing import TYPE_CHECKING, Any

from hsr_hub.version import __version__

if TYPE_CHECKING:
    from hsr_hub.model import HSRNet

__all__ = ["HSRNet", "__version__"]


def __getattr__(name: str) -> Any:
    """Import `HSRNet`, and PyTorch with it, on first use: `hsr_hub.images` needs neither."""
    if name == "HSRNet":
        from hsr_hub.model import HSRNet

        return HSRNet
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
