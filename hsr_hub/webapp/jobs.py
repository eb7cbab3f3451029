"""Jobs of visitors, and how they are cancelled."""

from __future__ import annotations

import threading
from pathlib import Path

from hsr_hub.webapp import storage


class JobCancelledError(Exception):
    """The visitor cancelled the job."""


class Job:
    """Work that a visitor started: a folder for its files, and a cancel flag.

    The flag is a file, because on ZeroGPU another process has to see it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cancel_file = folder / "cancelled"

    def cancel(self) -> None:
        """Ask the work to end. It ends after the tile that is being computed."""
        if self.folder.is_dir():
            self.cancel_file.touch()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self.cancel_file.exists()

    def raise_if_cancelled(self) -> None:
        """Raise if the job was cancelled.

        Raises:
            JobCancelledError: It was.
        """
        if self.cancelled:
            raise JobCancelledError


class Jobs:
    """The newest job of each owner, which is one tab of one visitor."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    def start(self, owner: str) -> Job:
        """Return a new job and cancel the owner's previous one."""
        job = Job(storage.new_folder(self._root))
        with self._lock:
            previous, self._jobs[owner] = self._jobs.get(owner), job
        if previous:
            previous.cancel()
        return job

    def was_replaced(self, owner: str, job: Job) -> bool:
        """Return whether the owner has started another job since."""
        return self._jobs.get(owner, job) is not job

    def cancel(self, owner: str) -> None:
        """Cancel the owner's job, if there is one."""
        with self._lock:
            job = self._jobs.pop(owner, None)
        if job:
            job.cancel()
