"""The results of one visit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hsr_hub.webapp.engine import Result
from hsr_hub.webapp.uploads import Upload
from hsr_hub.webapp.upscale_request import UpscaleRequest

MAX_HISTORY = 12
"""Results of a visit that are offered again."""


@dataclass(frozen=True)
class Shown:
    """A result of this visit, with what made it."""

    upload: Upload
    form: tuple[Any, ...]
    request: UpscaleRequest
    result: Result
    seconds: float | None
    """How long it took; None if the result was there already."""

    @property
    def exists(self) -> bool:
        """Whether its files were not removed yet."""
        return all(file.is_file() for file in (*self.result.files, self.upload.thumbnail))


def with_newest(history: list[Shown], shown: Shown) -> list[Shown]:
    """Return the results with one more, unless it is among them."""
    if any(other.result.path == shown.result.path for other in history):
        return history
    return [shown, *history][:MAX_HISTORY]


def place_of(shown: Shown, history: list[Shown]) -> int:
    """Return the number of a result among those of the visit."""
    return [other.result.path for other in history].index(shown.result.path)
