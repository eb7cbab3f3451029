"""Results of the example images, kept for later visitors."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable
from pathlib import Path

from hsr_hub.webapp.engine import Result
from hsr_hub.webapp.uploads import Upload
from hsr_hub.webapp.upscale_request import UpscaleRequest

MAX_RESULTS = 100
"""Results that are kept. An exact size can ask for any number of them."""

MAX_PIXELS = 40_000_000
"""Pixels of all of them together: about 300 MB. Each use resets the age of the files, so that a
visitor could keep any that are here on the disk for ever. Each example at 4x has up to one
megapixel."""
MAX_RESULT_PIXELS = 4_000_000
"""Pixels of one of them. Larger ones would push the usual ones out."""


class ExampleCache:
    """The last results by example and request. Empty at first.

    Gradio's own cache of examples holds one result for each, and ours depends on the form.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._digests = {path.name: _digest(path) for path in paths}
        self._results: dict[tuple[str, UpscaleRequest], Result] = {}
        self._lock = threading.Lock()

    def find(self, upload: Upload, request: UpscaleRequest) -> Result | None:
        """Return the result for an upload, if it is an example and the files still exist."""
        result = self._results.get((upload.name, request))
        if result is None or not self._is_example(upload):
            return None
        try:
            for file in (*result.files, result.path.parent):
                os.utime(file)  # files are removed an hour after their last use
        except FileNotFoundError:
            return None
        return result

    def keep(self, upload: Upload, request: UpscaleRequest, result: Result) -> None:
        """Keep the result for an upload, if it is an example and the result is not large."""
        if result.size[0] * result.size[1] > MAX_RESULT_PIXELS or not self._is_example(upload):
            return
        with self._lock:
            self._results[upload.name, request] = result
            while len(self._results) > MAX_RESULTS or self._pixels() > MAX_PIXELS:
                del self._results[next(iter(self._results))]

    def _pixels(self) -> int:
        return sum(result.size[0] * result.size[1] for result in self._results.values())

    def _is_example(self, upload: Upload) -> bool:
        """Compare the name too, because the result is named after it."""
        if upload.name not in self._digests or not upload.path.is_file():
            return False
        return _digest(upload.path) == self._digests[upload.name]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
