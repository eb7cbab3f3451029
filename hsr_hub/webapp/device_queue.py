"""The order in which images get the device."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Generic, TypeVar

T = TypeVar("T")


class DeviceQueue:
    """Runs work in worker threads, first come, first served.

    A batch submits one image at a time, so nobody waits for a whole batch. The threads are kept
    because torch and the memory allocator keep buffers for each thread. They are daemons, so that
    the process can end while one is computing.
    """

    def __init__(self, workers: int) -> None:
        self._waiting: deque[QueueEntry] = deque()
        self._changed = threading.Condition()
        self._workers, self._running = workers, 0
        for _ in range(workers):
            threading.Thread(target=self._serve, daemon=True).start()

    def submit(self, work: Callable[[], T]) -> QueueEntry[T]:
        """Append work to the queue."""
        entry = QueueEntry(work)
        with self._changed:
            self._waiting.append(entry)
            self._changed.notify()
        return entry

    def ahead(self, entry: QueueEntry) -> int:
        """Return how many entries must end before this one starts; 0 once it runs."""
        with self._changed:
            if entry not in self._waiting:
                return 0
            return max(0, self._waiting.index(entry) + self._running - self._workers + 1)

    def remove(self, entry: QueueEntry) -> None:
        """Remove an entry that waits. An entry that runs is not changed."""
        with self._changed:
            if entry in self._waiting:
                self._waiting.remove(entry)
                entry.future.cancel()
                entry.future.set_running_or_notify_cancel()  # wakes those who wait for it

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                entry = self._waiting.popleft()
                self._running += 1
            entry.run()
            with self._changed:
                self._running -= 1
            del entry  # frees the images of this entry while the thread waits for the next one


class QueueEntry(Generic[T]):
    """Work in the queue."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work: Callable[[], T] | None = work
        self.future: Future[T] = Future()

    @property
    def done(self) -> bool:
        """Whether the work has ended or was removed."""
        return self.future.done()

    def wait(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds; return whether the work has ended or was removed."""
        return bool(wait([self.future], timeout).done)

    def run(self) -> None:
        """Do the work and store its result or its error in the future."""
        assert self._work is not None
        try:
            result = self._work()
        except BaseException as error:
            self._work = None
            self.future.set_exception(error)
        else:
            self._work = None
            self.future.set_result(result)
