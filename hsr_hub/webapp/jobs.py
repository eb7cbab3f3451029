"""Jobs of visitors, and how they are cancelled."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from weakref import WeakValueDictionary

from hsr_hub.webapp import storage


class JobCancelledError(Exception):
    """The visitor cancelled the job."""


class Job:
    """Work that a visitor started: a folder for its files, and a cancel flag.

    The flag is also a file, because on ZeroGPU another process has to see it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cancel_file = folder / "cancelled"
        self.cancelled = False
        """Whether `cancel` was called."""
        self.replaced = False
        """Whether its owner has started another job since."""

    def cancel(self) -> None:
        """Ask the work to end. It ends after the tile that is being computed."""
        self.cancelled = True
        with contextlib.suppress(FileNotFoundError):  # the folder was removed
            self.cancel_file.touch()

    def discard(self) -> None:
        """Remove the folder if it holds no result. Nothing may be computed any more."""
        self.cancel_file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # it holds files, or was removed
            self.folder.rmdir()

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
        # A job is forgotten when its handler ends. Any number of owners can come and go.
        self._jobs: WeakValueDictionary[str, Job] = WeakValueDictionary()
        self._lock = threading.Lock()

    def start(self, owner: str) -> Job:
        """Return a new job and cancel the owner's previous one."""
        job = Job(storage.new_folder(self._root))
        with self._lock:
            previous, self._jobs[owner] = self._jobs.get(owner), job
        if previous:
            previous.replaced = True
            previous.cancel()
        return job

    def cancel(self, owner: str) -> None:
        """Cancel the owner's job, if there is one."""
        with self._lock:
            job = self._jobs.get(owner)
        if job:
            job.cancel()
