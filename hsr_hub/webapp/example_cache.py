"""Results of the example pictures, kept from the first visitor who wants one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from hsr_hub.webapp.requests import Order
from hsr_hub.webapp.uploads import Upload

Outcome = tuple[Path, Path, Path]
"""The result, and the two pictures of the slider."""


class Examples:
    """What was made of the examples so far; nothing is made before it is asked for."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._digests = {path.name: _digest(path) for path in paths}
        self._kept: dict[tuple[str, Order], Outcome] = {}

    def find(self, picture: Upload, order: Order) -> Outcome | None:
        """What was made of an upload, if it is an example and its files are still there."""
        outcome = self._kept.get((picture.name, order))
        if outcome is None or not self._has(picture):
            return None
        try:
            for file in (*outcome, outcome[0].parent):
                os.utime(file)  # they are removed an hour after their last use
        except FileNotFoundError:
            return None
        return outcome

    def keep(self, picture: Upload, order: Order, outcome: Outcome) -> None:
        """Remember what was made of an upload, if it is an example."""
        if self._has(picture):
            self._kept[picture.name, order] = outcome

    def _has(self, picture: Upload) -> bool:
        """Whether it is one, by its name too: results are called after it."""
        if picture.name not in self._digests or not picture.path.is_file():
            return False
        return _digest(picture.path) == self._digests[picture.name]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
