"""Many pictures, one after the other: a ZIP of the results that grows on disk, and thumbnails."""

from __future__ import annotations

import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from hsr_hub.images import ImageData, atomic_write
from hsr_hub.webapp import uploads
from hsr_hub.webapp.engine import Task, Workshop
from hsr_hub.webapp.jobs import Job, Stopped
from hsr_hub.webapp.requests import Order

MAX_FILES = 100


class Batch:
    """Where the work on many pictures has got to."""

    def __init__(
        self,
        workshop: Workshop,
        files: list[tuple[Path, str]],
        wish: Callable[[tuple[int, int]], Order],
        job: Job,
    ) -> None:
        """Nothing starts before `watch` is called.

        Args:
            workshop: What all share.
            files: Uploads, with what their owner calls them.
            wish: What to make of each, by its size.
            job: Whose folder is filled and whose stop is obeyed.
        """
        self.workshop, self.files, self.wish, self.job = workshop, files, wish, job
        self.done: list[tuple[Path, str]] = []
        """Thumbnail of every picture that is finished, and its name in the archive."""
        self.problems: list[str] = []
        """What was wrong with the others."""
        self.task: Task | None = None
        self.archive = job.folder / "sharper-uploads.zip"
        self._started = time.perf_counter()

    def watch(self) -> Iterator[Batch]:
        """Start, yield oneself every now and then; a stop ends it with what is there by then."""
        with (
            atomic_write(self.archive) as partial,
            # Stored, not deflated: PNGs are compressed already.
            zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive,
        ):
            for path, name in self.files:
                self.task = Task(self.workshop, path, name, self.wish, self.job, self._finish)
                try:
                    for _ in self.task.watch():
                        yield self
                    result, thumbnail = self.task.outcome
                    self.done.append((thumbnail, _add(archive, result)))
                except Stopped:
                    return
                except (OSError, ValueError, RuntimeError, MemoryError) as error:
                    reason = str(error) or type(error).__name__
                    self.problems.append(reason if name in reason else f"{name}: {reason}")
                yield self

    @property
    def finished(self) -> int:
        """Pictures that are through, well or not."""
        return len(self.done) + len(self.problems)

    @property
    def fraction(self) -> float:
        """How much of all is done, from 0 to 1, every picture counted alike."""
        current = self.task.fraction if self.task and self.finished < len(self.files) else 0
        return (self.finished + current) / len(self.files)

    @property
    def seconds_left(self) -> float | None:
        """About how long it will take still, once enough is done to tell."""
        if self.fraction < 0.02:
            return None
        passed = time.perf_counter() - self._started
        return passed / self.fraction - passed

    def _finish(self, order: Order, _: ImageData, made: ImageData) -> tuple[Path, Path]:
        assert self.task is not None
        result = self.workshop.keep(self.job, self.task.name, order, made)
        thumbnail = self.job.folder / f"{self.finished}.jpg"
        return result, uploads.save_small(made, thumbnail)


def _add(archive: zipfile.ZipFile, result: Path) -> str:
    """Move a result into the archive, under a name that no other has."""
    taken = {entry.casefold() for entry in archive.namelist()}
    names = [result.name, *(f"{result.stem}-{n}.png" for n in range(2, len(taken) + 3))]
    name = next(entry for entry in names if entry.casefold() not in taken)
    archive.write(result, name)
    result.unlink()
    return name
