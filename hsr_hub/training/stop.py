"""Signals that end a run at a step from which it can go on."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(BaseException):
    """A signal came in `StopRequest.interrupts`. Like Ctrl-C, it passes `except Exception`."""


class StopRequest:
    """SIGTERM and Ctrl-C, kept until the training loop has finished its step.

    Launchers and schedulers may both pass a signal on, so a repeated signal changes nothing. Only a
    second Ctrl-C some seconds later raises KeyboardInterrupt. See also `interrupts`.
    """

    def __init__(self) -> None:
        self._signal = ""
        self._first = 0.0
        self._interrupts = False
        # `accelerate launch` of one process passes no signal on, so its end counts as a request. A
        # script that was started by hand may outlive its shell.
        self._launcher = os.getppid() if "ACCELERATE_MIXED_PRECISION" in os.environ else None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)
        # Registered after multiprocessing's own handler and so called before it. That one would
        # send SIGTERM to the workers, which ignore it, and wait for them.
        atexit.register(_kill_workers)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._signal and number == signal.SIGINT and time.monotonic() - self._first > 3:
            raise KeyboardInterrupt
        if not self._signal:
            self._signal, self._first = signal.Signals(number).name, time.monotonic()
        if self._interrupts:
            self._interrupts = False  # only once: the signal may be repeated
            raise Interrupted(self._signal)

    def reason(self) -> str:
        """Return what asked this process to stop; empty if nothing did."""
        if self._signal:
            return self._signal
        if self._launcher is not None and os.getppid() != self._launcher:
            return "the end of accelerate launch"
        return ""

    @contextmanager
    def interrupts(self) -> Iterator[None]:
        """Let a signal end this block at once, because the work in it may take long.

        Raises:
            Interrupted: A signal has come, before the block or within it. It is kept for the
                training loop too.
        """
        self._interrupts = True
        try:
            if reason := self.reason():
                raise Interrupted(reason)
            yield
        finally:
            self._interrupts = False


def ignore_signals(worker: int) -> None:
    """Make a data loader's worker ignore the signals of its group; the main process ends it."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _kill_workers() -> None:
    for worker in multiprocessing.active_children():
        worker.kill()
