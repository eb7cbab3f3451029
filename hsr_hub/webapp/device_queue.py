"""The order in which images get the device."""

from __future__ import annotations

import threading
import time
import traceback
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Generic, NamedTuple, TypeVar

from hsr_hub.webapp.limits import (
    MAX_WAITING,
    MAX_WAITING_PER_ADDRESS,
    OLDEST_EVERY,
    PLACES_FOR_NEWCOMERS,
    SMALL_FILE_BYTES,
    SMALL_IMAGE_PIXELS,
)

T = TypeVar("T")

MAX_PREPARING = 2
"""Entries that are prepared at a time, while none is ready."""

MAX_KNOWN = 10_000
"""Visitors and addresses whose used time is remembered while the queue is never empty."""


class QueueFullError(ValueError):
    """Too many images wait. The message is for visitors."""


class Visitor(NamedTuple):
    """Whose turn it is. Addresses take turns, and so do the sessions of one address."""

    address: str = ""
    session: str = ""


class DeviceQueue:
    """Runs work in worker threads. Visitors take turns.

    The next entry is of a visitor of whom nothing runs, then of the one who has used the least
    time, and then the smallest image. Every `OLDEST_EVERY`-th turn goes to the entry that waits
    longest, so that a large image is not overtaken forever.

    Between two tiles of a large image, one small image is computed, so that it does not wait for
    the whole large one. Small images get at most half of the time in which a large one runs.

    An entry is prepared (its image is decoded) before it gets a worker, so that a file that is slow
    to decode does not block the device. Entries that wait for their turn hold no pixels. A batch
    submits one image at a time. The threads are kept because torch and the memory allocator keep
    buffers for each thread. They are daemons, so that the process can end while one is computing.
    """

    def __init__(self, workers: int) -> None:
        self._waiting: list[QueueEntry] = []
        self._preparing: list[QueueEntry] = []
        self._ready: deque[QueueEntry] = deque()
        self._running: list[QueueEntry] = []
        self._used: defaultdict[str | Visitor, float] = defaultdict(float)
        """Seconds that addresses and visitors have used. A newcomer starts with the least."""
        self._submitted, self._turns, self._workers = 0, 0, workers
        self._current = threading.local()
        """`entry` is what a worker thread runs."""
        self._changed = threading.Condition()
        for loop in [self._prepare] * MAX_PREPARING + [self._serve] * workers:
            threading.Thread(target=loop, daemon=True).start()

    def submit(
        self,
        work: Callable[[], T],
        prepare: Callable[[], int | None] | None = None,
        visitor: Visitor = Visitor(),  # noqa: B008
        cost: int = 0,
        release: Callable[[], object] = lambda: None,
    ) -> QueueEntry[T]:
        """Add work to the queue.

        Args:
            work: Runs on the device.
            prepare: Runs before the work, without the device. Returns the pixels of the work, if
                they are known. It runs again if what it prepared was released.
            visitor: Who asks for it.
            cost: Bytes of the file, or another measure of the work. Less goes first.
            release: Frees what was prepared.

        Raises:
            QueueFullError: Too many entries wait.
        """
        with self._changed:
            entry = QueueEntry(work, prepare, release, visitor, cost, self._submitted)
            active = self._active()
            own = sum(other.visitor.address == visitor.address for other in active)
            most = MAX_WAITING if own else MAX_WAITING + PLACES_FOR_NEWCOMERS
            if len(active) >= most or own >= MAX_WAITING_PER_ADDRESS:
                whose = "" if own < MAX_WAITING_PER_ADDRESS else "of yours "
                count = own if whose else len(active)
                raise QueueFullError(f"{count} images {whose}wait already: try again later")
            self._enter(visitor, active)
            self._submitted += 1
            self._waiting.append(entry)
            self._changed.notify_all()
        return entry

    def ahead(self, entry: QueueEntry) -> int:
        """Return how many entries will start before this one can; 0 once it runs."""
        with self._changed:
            order = [*self._ready, *self._preparing, *sorted(self._waiting, key=self._priority)]
            if entry not in order:
                return 0
            return max(0, order.index(entry) + len(self._running) - self._workers + 1)

    def run_small(self) -> float:
        """Run one small image, between two tiles of the large one of this thread.

        Returns:
            Seconds that it took: 0 if none was ready, or if small images have taken as much time as
            the large one.
        """
        large: QueueEntry | None = getattr(self._current, "entry", None)
        if large is None or not large.large or large.interrupted > large.seconds():
            return 0.0
        with self._changed:
            entry = next((e for e in self._ready if e.pixels is not None and not e.large), None)
            if entry is None:
                return 0.0
            self._ready.remove(entry)
            self._begin(entry)
        seconds = self._run(entry)
        large.interrupted += seconds
        self._current.entry = large
        return seconds

    def remove(self, entry: QueueEntry) -> None:
        """Remove an entry that waits. An entry that is prepared or runs is not changed."""
        with self._changed:
            for entries in (self._waiting, self._ready):
                if entry in entries:
                    entries.remove(entry)
                    entry.cancel()
                    self._changed.notify_all()

    def _active(self) -> list[QueueEntry]:
        return [*self._waiting, *self._preparing, *self._ready, *self._running]

    def _enter(self, visitor: Visitor, active: list[QueueEntry]) -> None:
        """Set the used time of a visitor who was away to the least of the others."""
        if not active:
            self._used.clear()
        addresses = {entry.visitor.address for entry in active}
        if len(self._used) > MAX_KNOWN:
            here = addresses | {entry.visitor for entry in active}
            for away in [key for key in self._used if key not in here]:
                del self._used[away]
        sessions = {e.visitor for e in active if e.visitor.address == visitor.address}
        if visitor.address not in addresses:
            least = min((self._used[address] for address in addresses), default=0)
            self._used[visitor.address] = max(self._used[visitor.address], least)
        if visitor not in sessions:
            least = min((self._used[session] for session in sessions), default=0)
            self._used[visitor] = max(self._used[visitor], least)

    def _priority(self, entry: QueueEntry) -> tuple[float, ...]:
        """Return a key by which the next entry is the smallest."""
        begun = [other.visitor for other in (*self._preparing, *self._ready, *self._running)]
        visitor = entry.visitor
        return (
            sum(other.address == visitor.address for other in begun),
            self._used[visitor.address],
            begun.count(visitor),
            self._used[visitor],
            entry.cost,
            entry.number,
        )

    def _next(self) -> QueueEntry | None:
        """Return the entry that is prepared next, or None if none may be now.

        Of each address, one entry is prepared at a time. Otherwise a visitor with two slow files
        would keep the others from being prepared. While a large image runs and the next entry is
        ready, one more small file is prepared, to be computed between tiles.
        """
        busy = Counter(entry.visitor.address for entry in self._preparing)
        free = [entry for entry in self._waiting if not busy[entry.visitor.address]]
        if self._has_turn_ready():
            begun = [*self._preparing, *self._ready]
            if any(entry.overtakes for entry in begun) or not any(e.large for e in self._running):
                return None
            free = [e for e in free if e.cost <= SMALL_FILE_BYTES and not e.large]
            return min(free, key=self._priority, default=None)
        if not free:
            return None
        if self._turns % OLDEST_EVERY == OLDEST_EVERY - 1:
            return min(free, key=lambda entry: entry.number)
        return min(free, key=self._priority)

    def _has_turn_ready(self) -> bool:
        return any(not entry.overtakes for entry in self._ready)

    def _prepare(self) -> None:
        while True:
            with self._changed:
                while (entry := self._next()) is None:
                    self._changed.wait()
                entry.overtakes = self._has_turn_ready()
                self._turns += not entry.overtakes
                self._waiting.remove(entry)
                self._preparing.append(entry)
            seconds = entry.prepare()
            with self._changed:
                self._charge(entry, seconds)
                self._preparing.remove(entry)
                if entry.overtakes and entry.large and not entry.done:
                    # A small file with a large image: it waits for its turn, without its pixels.
                    entry.release()
                    self._waiting.append(entry)
                elif not entry.done:
                    self._ready.append(entry)
                self._changed.notify_all()
            del entry

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ready)
                entry = self._ready.popleft()
                self._begin(entry)
            self._run(entry)
            self._current.entry = None
            del entry  # frees the images of this entry while the thread waits for the next one

    def _begin(self, entry: QueueEntry) -> None:
        self._current.entry = entry
        entry.begun = time.perf_counter()
        self._running.append(entry)
        self._changed.notify_all()

    def _run(self, entry: QueueEntry) -> float:
        """Run an entry; return the seconds that it took, without the others between its tiles."""
        entry.run()
        seconds = entry.seconds()
        with self._changed:
            self._charge(entry, seconds)
            self._running.remove(entry)
        return seconds

    def _charge(self, entry: QueueEntry, seconds: float) -> None:
        self._used[entry.visitor.address] += seconds
        self._used[entry.visitor] += seconds


class QueueEntry(Generic[T]):
    """Work in the queue."""

    def __init__(
        self,
        work: Callable[[], T],
        prepare: Callable[[], int | None] | None,
        release: Callable[[], object],
        visitor: Visitor,
        cost: int,
        number: int,
    ) -> None:
        self._work: Callable[[], T] | None = work
        self._prepare, self.release = prepare, release
        self.visitor, self.cost, self.number = visitor, cost, number
        self.pixels: int | None = None
        """Size of the work, which may be known once it is prepared."""
        self.overtakes = False
        """Whether it was prepared to be computed between the tiles of a large image."""
        self.begun = 0.0
        """When it got the device, in seconds of `time.perf_counter`."""
        self.interrupted = 0.0
        """Seconds that other images took between its tiles."""
        self.future: Future[T] = Future()

    @property
    def large(self) -> bool:
        """Whether small images may be computed between its tiles."""
        return self.pixels is not None and self.pixels > SMALL_IMAGE_PIXELS

    @property
    def done(self) -> bool:
        """Whether the work has ended or was removed."""
        return self.future.done()

    def seconds(self) -> float:
        """Return how long it has run, without the others between its tiles."""
        return time.perf_counter() - self.begun - self.interrupted

    def wait(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds; return whether the work has ended or was removed."""
        return bool(wait([self.future], timeout).done)

    def cancel(self) -> None:
        """Mark the entry as removed, free what was prepared, and wake those who wait for it."""
        self._work = self._prepare = None
        self.future.cancel()
        self.future.set_running_or_notify_cancel()

    def prepare(self) -> float:
        """Prepare the work, store an error in the future, and return the seconds it took."""
        started = time.perf_counter()
        try:
            if self._prepare is not None:
                self.pixels = self._prepare()
        except BaseException as error:
            self._fail(error)
        return time.perf_counter() - started

    def run(self) -> None:
        """Do the work, and store its result or its error."""
        work, self._work, self._prepare = self._work, None, None
        assert work is not None
        try:
            result = work()
        except BaseException as error:
            self._fail(error)
        else:
            self.future.set_result(result)

    def _fail(self, error: BaseException) -> None:
        self._work = self._prepare = None
        traceback.clear_frames(error.__traceback__)  # they hold the images
        self.future.set_exception(error)
