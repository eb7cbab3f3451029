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
        """Keep the result for an upload, if it is an example."""
        if self._is_example(upload):
            with self._lock:
                self._results[upload.name, request] = result
                while len(self._results) > MAX_RESULTS:
                    del self._results[next(iter(self._results))]

    def _is_example(self, upload: Upload) -> bool:
        """Compare the name too, because the result is named after it."""
        if upload.name not in self._digests or not upload.path.is_file():
            return False
        return _digest(upload.path) == self._digests[upload.name]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
