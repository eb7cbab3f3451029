"""The `hsr-hub` command: one module per subcommand."""

from hsr_hub.cli.main import main

__all__ = ["main"]
