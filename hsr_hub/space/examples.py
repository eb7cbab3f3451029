"""Results of the example pictures, kept from the first visitor who wants one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from hsr_hub.space.orders import Order

Outcome = tuple[Path, Path, Path]
"""The result, and the two pictures of the slider."""


class Examples:
    """What was made of the examples so far; nothing is made before it is asked for."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._digests = {_digest(path) for path in paths}
        self._kept: dict[tuple[str, Order], Outcome] = {}

    def find(self, path: Path, order: Order) -> Outcome | None:
        """What was made of an upload, if it is an example and its files are still there."""
        outcome = self._kept.get((_digest(path), order))
        if outcome is None or not all(file.is_file() for file in outcome):
            return None
        os.utime(outcome[1].parent)  # the folder is removed an hour after its last use
        return outcome

    def keep(self, path: Path, order: Order, outcome: Outcome) -> None:
        """Remember what was made of an upload, if it is an example."""
        digest = _digest(path)
        if digest in self._digests:
            self._kept[digest, order] = outcome


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
