"""The count and the time left of many files."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from tqdm.auto import tqdm

LINE_SECONDS = 15
"""Time between two lines where there is no terminal for a bar."""


class FileProgress:
    """A bar on a terminal, else a line from time to time: "12 of 40, about 3 min left"."""

    def __init__(
        self,
        total: int,
        file: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the clock.

        Args:
            total: Number of files.
            file: Where the progress is written, by default stderr.
            clock: Returns the time in seconds.
        """
        self._total, self._done = total, 0
        self._file, self._clock = file or sys.stderr, clock
        self._started = self._last_line = clock()
        self._bar = tqdm(
            total=total,
            file=self._file,
            disable=None,
            bar_format="{percentage:3.0f}%|{bar:30}| {postfix}{desc}",
        )

    def __enter__(self) -> FileProgress:
        """Return itself."""
        return self

    def __exit__(
        self,
        type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the bar."""
        self._bar.close()

    def start(self, name: str) -> None:
        """Show the name of the file that is being processed."""
        self._bar.set_postfix_str(self.text(), refresh=False)
        self._bar.set_description_str(f"  {name}")

    def advance(self) -> None:
        """Count a file that is done or has failed."""
        self._done += 1
        self._bar.set_postfix_str(self.text(), refresh=False)
        self._bar.update()
        now = self._clock()
        if self._bar.disable and self._done < self._total and now - self._last_line >= LINE_SECONDS:
            self._last_line = now
            tqdm.write(f"hsr-hub: {self.text()}", file=self._file)

    def text(self) -> str:
        """Return the count, and the time that the other files will take at the same speed."""
        count = f"{self._done} of {self._total}"
        if not 0 < self._done < self._total:
            return count
        each = (self._clock() - self._started) / self._done
        return f"{count}, {about(each * (self._total - self._done))} left"


def about(seconds: float) -> str:
    """Return a time as people say it, rounded to what can be known in advance."""
    if seconds < 10:
        return f"about {max(1, round(seconds))} s"
    if seconds < 90:
        return f"about {round(seconds / 5) * 5} s"
    if seconds < 90 * 60:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"
