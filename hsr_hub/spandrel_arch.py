"""The earlier place of `hsr_hub.export.spandrel`, for scripts that import it from here."""

from hsr_hub.export.spandrel import install

__all__ = ["install"]
