"""A run over several photos: one after the other, into a ZIP."""

from __future__ import annotations

import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from hsr_hub.images import atomic_write
from hsr_hub.webapp import batch_templates, downloads
from hsr_hub.webapp.batch_templates import Row
from hsr_hub.webapp.connections import Caller, address_of
from hsr_hub.webapp.context import AppContext
from hsr_hub.webapp.engine import Progress, Result, UpscaleTask
from hsr_hub.webapp.eta import add_up
from hsr_hub.webapp.jobs import Job, JobCancelledError
from hsr_hub.webapp.texts import ENGLISH
from hsr_hub.webapp.upscale_request import UpscaleRequest

ARCHIVE_NAME = "sharper-uploads.zip"

MAX_SEPARATE_BYTES = 1 << 30
"""Results of a batch that can be downloaded one by one. Further ones are in the ZIP only, because
each of these takes its space on the disk twice."""


class BatchRun:
    """Photos that are upscaled one by one. Iterate over it for the progress."""

    def __init__(
        self,
        context: AppContext,
        job: Job,
        uploads: Sequence[tuple[Path, str]],
        expected: Sequence[tuple[Row, float | None]],
        request: UpscaleRequest,
        output_format: str,
        caller: Caller | None,
    ) -> None:
        """Nothing starts before the iteration.

        Args:
            context: What all visitors share.
            job: Its folder gets the files, and its cancel flag ends the run.
            uploads: Path and name of each photo.
            expected: The row of each photo, and the seconds that it will take, if they are known.
            request: How to upscale them.
            output_format: A key of `DOWNLOAD_FORMATS`.
            caller: Who asked for it.
        """
        self._context, self._job, self._caller = context, job, caller
        self._uploads, self._request, self._format = uploads, request, output_format
        self.rows = [row for row, _ in expected]
        """What the page shows for each photo."""
        self.number = 0
        """Index of the photo that is being made, or was made last."""
        self.archive = job.folder / ARCHIVE_NAME
        """The ZIP, which is there after the iteration."""
        self.stopped: gr.Error | None = None
        """Why no GPU time was given for the remaining photos."""
        self._durations = [0 if row.state == "failed" else seconds for row, seconds in expected]
        self._started = time.perf_counter()
        self._begun: float | None = None
        """When the first photo got the device."""
        self._separate_bytes = 0

    def __iter__(self) -> Iterator[Progress | None]:
        """Yield the progress of each photo, and None when it is done.

        A photo that fails is skipped; its row says why. Photos that are not made because of Cancel,
        or because no GPU time is left, are marked as skipped.
        """
        with (
            atomic_write(self.archive) as temporary,
            # Not compressed: images are compressed already.
            zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,
        ):
            for number, upload in enumerate(self._uploads):
                if self.rows[number].state == "failed":
                    continue
                self.number = number
                try:
                    yield from self._upscale(upload, archive)
                except JobCancelledError:
                    break
                except gr.Error as error:  # from ZeroGPU: no GPU time left today, for example
                    self.stopped = error
                    break
                except (OSError, ValueError, RuntimeError, MemoryError) as error:
                    self._change(state="failed", reason=str(error) or type(error).__name__)
                    continue
                if not self._job.cancelled:
                    yield None
        for number, row in enumerate(self.rows):
            if row.state not in {"done", "failed"}:
                self.rows[number] = replace(row, state="skipped")

    @property
    def made(self) -> int:
        """Number of photos that are done."""
        return sum(row.state == "done" for row in self.rows)

    @property
    def errors(self) -> list[tuple[str, str]]:
        """Name of each photo that failed, and the reason."""
        return [(row.name, row.reason) for row in self.rows if row.state == "failed"]

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.perf_counter() - self._started

    def progress_bar(self, progress: Progress) -> str:
        """Return the progress of the whole batch as HTML."""
        # A photo counts as much as its time, or as one second if that is not known.
        weights = [1 if seconds is None else seconds for seconds in self._durations]
        done = sum(weights[: self.number]) + weights[self.number] * progress.fraction
        return batch_templates.batch_progress(
            progress,
            done / sum(weights),
            self.number + 1,
            len(self.rows),
            time.perf_counter() - (self._begun or self._started),
            add_up(self._durations[self.number + 1 :]),
        )

    def _upscale(self, upload: tuple[Path, str], archive: zipfile.ZipFile) -> Iterator[Progress]:
        """Make one photo, and yield its progress."""
        task = UpscaleTask(
            self._context,
            self._job,
            upload,
            self._request,
            "thumbnail",
            self._caller,
            self._durations[self.number],
        )
        for progress in task:
            if self._job.cancelled:
                continue  # the page may show a newer run
            if not progress.ahead:
                self._begun = self._begun or time.perf_counter()
                self._change(state="working", fraction=progress.fraction)
            yield progress
        assert task.result is not None
        self._keep(task.result, archive)

    def _keep(self, result: Result, archive: zipfile.ZipFile) -> None:
        """Save a result in the chosen format, and add it to the ZIP and to its row."""
        # Two uploads can have the same name, so each result gets a folder of its own.
        folder = self._job.folder / str(self.number)
        file = folder / _unique_name(archive, result.path.stem, downloads.suffix_of(self._format))
        notes = result.notes + self._save_as(result, file)
        archive.write(file, file.name)
        after = result.thumbnail and result.thumbnail.rename(folder / "after.jpg")
        self._separate_bytes += file.stat().st_size
        separate = self._separate_bytes <= MAX_SEPARATE_BYTES
        if not separate:
            file.unlink()
            notes = (*notes, ENGLISH["note_archive_only"])
        self._change(
            state="done",
            target=result.size,
            notes=notes,
            after=after,
            result=file if separate else None,
        )

    def _save_as(self, result: Result, file: Path) -> tuple[str, ...]:
        """Save a result in the chosen format, and return notes about that.

        Raises:
            ImageError: The result cannot be saved in that format.
            DiskFullError: There is no room for it, and for it once more in the archive.
            QueueFullError: Too many files wait.
        """
        size = downloads.copy_bytes(result.path, result.size)
        self._context.reserve(2 * size, address_of(self._caller))
        file.parent.mkdir()
        if file.suffix == result.path.suffix:
            result.path.rename(file)
            return ()
        write = partial(downloads.write_copy, result.path, file, self._format)
        try:
            return self._context.in_turn(write, result.path, self._caller)
        finally:
            result.path.unlink()

    def _change(self, **changes: Any) -> None:
        """Change the row of the current photo."""
        self.rows[self.number] = replace(self.rows[self.number], **changes)


def _unique_name(archive: zipfile.ZipFile, stem: str, suffix: str) -> str:
    """Return a name that no file of the archive has, also where case does not matter."""
    taken = {entry.casefold() for entry in archive.namelist()}
    names = [f"{stem}{suffix}", *(f"{stem}-{n}{suffix}" for n in range(2, len(taken) + 3))]
    return next(name for name in names if name.casefold() not in taken)
