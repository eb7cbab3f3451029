"""Estimate how long an image will take. Measured at start and with every image."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from hsr_hub.images import save_pil
from hsr_hub.inference import choose_level
from hsr_hub.model import HSRNet

SMOOTHING = 0.4
"""Weight of the newest measurement in the running averages."""
CALIBRATION_SIDE = 192
"""Side in pixels of the image that is upscaled at start."""

Size = tuple[int, int]


class Estimate(NamedTuple):
    """Expected seconds for one image."""

    compute: float
    save: float

    @property
    def total(self) -> float:
        """All seconds together."""
        return self.compute + self.save


class TimeEstimator:
    """Running averages of seconds per multiplication, by level, and per saved pixel.

    Counting multiplications makes different networks comparable. Levels are kept apart because the
    last ones move more data per multiplication.
    """

    def __init__(self) -> None:
        self._compute: dict[int, float] = {}
        self._save: float | None = None
        self._lock = threading.Lock()

    def calibrate(self, model: HSRNet, folder: Path) -> None:
        """Measure with a small image of noise, the worst case for PNG."""
        side = CALIBRATION_SIDE
        noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
        image = Image.fromarray(noise)
        for level in model.levels:
            model.upscale(image.crop((0, 0, 32, 32)), scale=level)  # one-time initialization
            started = time.perf_counter()
            result = model.upscale(image, scale=level)
            self.add_compute(model, image.size, result.size, time.perf_counter() - started)
            path, started = folder / "calibration.png", time.perf_counter()
            save_pil(result, path)
            self.add_save(result.size, 2 * (time.perf_counter() - started))  # the page saves a pair
            path.unlink()

    def add_compute(self, model: HSRNet, source: Size, target: Size, seconds: float) -> None:
        """Add a measurement of the network's time for one forward pass over an image."""
        level = choose_level(model.levels, source, target)
        newest = seconds / (source[0] * source[1] * model.multiplications(level))
        with self._lock:
            self._compute[level] = _average(self._compute.get(level), newest)

    def add_save(self, target: Size, seconds: float) -> None:
        """Add a measurement of the time to save a result."""
        with self._lock:
            self._save = _average(self._save, seconds / (target[0] * target[1]))

    def estimate(
        self, model: HSRNet, source: Size, target: Size, forward_passes: int = 1
    ) -> Estimate | None:
        """Return the expected time, or None before the first measurement."""
        level = choose_level(model.levels, source, target)
        if not self._compute or self._save is None:
            return None
        each = self._compute.get(level) or max(self._compute.values())
        pixels = source[0] * source[1]
        compute = each * pixels * model.multiplications(level) * forward_passes
        return Estimate(compute, self._save * target[0] * target[1])


def add_up(durations: Sequence[float | None]) -> float | None:
    """Return all seconds together, or None if some are not known."""
    known = [seconds for seconds in durations if seconds is not None]
    return sum(known) if len(known) == len(durations) else None


def _average(old: float | None, newest: float) -> float:
    return newest if old is None else (1 - SMOOTHING) * old + SMOOTHING * newest


class PendingWork:
    """Expected seconds of the requests that wait or run, for the estimates of those behind them."""

    def __init__(self, workers: int = 1) -> None:
        self._workers = workers
        self._expected: dict[object, float] = {}
        self._started: dict[object, float] = {}
        self._lock = threading.Lock()

    def add(self, task: object, seconds: float) -> None:
        """Register a request that waits."""
        with self._lock:
            self._expected[task] = seconds

    def start(self, task: object) -> None:
        """Note that a request runs now."""
        with self._lock:
            self._started[task] = time.monotonic()

    def remove(self, task: object) -> None:
        """Forget a request that has ended."""
        with self._lock:
            self._expected.pop(task, None)
            self._started.pop(task, None)

    def wait(self, ahead: int | None = None, task: object = None) -> float:
        """Return about how many seconds pass before a request starts.

        Args:
            ahead: Number of requests before it; by default all.
            task: The request, if it is registered.
        """
        now = time.monotonic()
        with self._lock:
            left = [
                max(0.0, seconds - (now - self._started.get(other, now)))
                for other, seconds in self._expected.items()
                if other is not task
            ]
        if not left:
            return 0.0
        count = len(left) if ahead is None else ahead
        return count * sum(left) / len(left) / self._workers
