"""The `hsr-hub` command."""

from hsr_hub.cli.main import main

__all__ = ["main"]
