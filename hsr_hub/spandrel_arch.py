"""Alias of `hsr_hub.export.spandrel`, for scripts that use the old name."""

from hsr_hub.export.spandrel import install

__all__ = ["install"]
