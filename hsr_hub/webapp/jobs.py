"""Who is at work for whom: turns at the device, and how a visitor's work is stopped."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from hsr_hub.webapp import storage

EVERY = 0.4
"""Seconds between two looks at a task: what the page is told, and how soon a waiting one stops."""


class Stopped(Exception):  # noqa: N818  (a wish, not a failure)
    """Somebody does not want the picture any more."""


class Job:
    """What a visitor started: a folder, and a file in it that says stop.

    A file and no event, because on ZeroGPU the computing is done in another process.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stop_file = folder / "stop"

    def stop(self) -> None:
        """Ask for an end; it comes after the tile that is being computed."""
        if self.folder.is_dir():
            self.stop_file.touch()

    @property
    def stopped(self) -> bool:
        """Whether an end was asked for."""
        return self.stop_file.exists()

    def check(self) -> None:
        """Raise if an end was asked for.

        Raises:
            Stopped: It was.
        """
        if self.stopped:
            raise Stopped


class Jobs:
    """The job that each visitor has going: one at a time, the newest."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    def start(self, visitor: str) -> Job:
        """A new job; the one before it is stopped."""
        job = Job(storage.new_folder(self._root))
        with self._lock:
            before, self._jobs[visitor] = self._jobs.get(visitor), job
        if before:
            before.stop()
        return job

    def was_replaced(self, visitor: str, job: Job) -> bool:
        """Whether the visitor has started another since."""
        return self._jobs.get(visitor, job) is not job

    def stop(self, visitor: str) -> None:
        """Stop what the visitor has going, if anything."""
        with self._lock:
            job = self._jobs.pop(visitor, None)
        if job:
            job.stop()


class Turns:
    """Places at the device, given in the order of asking, one per picture.

    A batch asks anew for each of its pictures, so it keeps nobody waiting for long. Each place is a
    thread that stays: what torch and the allocator keep for a thread is kept once.
    """

    def __init__(self, places: int) -> None:
        self._line: deque[Turn] = deque()
        self._changed = threading.Condition()
        for _ in range(places):
            threading.Thread(target=self._serve, daemon=True).start()

    def ask(self, work: Callable[[], object]) -> Turn:
        """Stand in line for a piece of work, which must raise nothing."""
        turn = Turn(work)
        with self._changed:
            self._line.append(turn)
            self._changed.notify()
        return turn

    def ahead(self, turn: Turn) -> int:
        """How many must be finished before this one starts; 0 once it has."""
        with self._changed:
            return self._line.index(turn) + 1 if turn in self._line else 0

    def leave(self, turn: Turn) -> None:
        """Leave the line; a turn that has begun goes on."""
        with self._changed:
            if turn in self._line:
                self._line.remove(turn)
                turn.over.set()

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._line)
                turn = self._line.popleft()
            turn.work()
            turn.work = _nothing  # what it holds, pictures among it, must not wait for the next
            turn.over.set()


class Turn:
    """A piece of work in the line."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.work = work
        self.over = threading.Event()


def _nothing() -> None:
    pass
