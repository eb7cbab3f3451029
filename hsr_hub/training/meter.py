"""Means and times of the steps between two lines of the log."""

from __future__ import annotations

import logging
import time
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar, cast

import torch
from torch import Tensor

if TYPE_CHECKING:
    from accelerate import Accelerator

logger = logging.getLogger(__name__)

Batch = TypeVar("Batch")

MAX_DATA_SHARE = 0.05
"""Share of a step's time that may be spent on waiting for data."""


class StepMeter:
    """Collects the values of training steps and measures the time between `summary` calls.

    Values stay on their device until then, so that collecting them waits for nothing.
    """

    def __init__(self) -> None:
        self._values: dict[str, list[Tensor]] = {}
        self._batches = 0
        self._data_seconds = 0.0
        self._start = time.perf_counter()

    def timed(self, loader: Iterable[Batch]) -> Iterator[Batch]:
        """Yield the loader's batches and measure how long each took to arrive."""
        asked = time.perf_counter()
        for batch in loader:
            self._data_seconds += time.perf_counter() - asked
            self._batches += 1
            yield batch
            asked = time.perf_counter()

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Add one batch's values."""
        for key, value in values.items():
            self._values.setdefault(key, []).append(value.detach())

    def not_finite(self, batches: int) -> list[str]:
        """Return the names of the losses with a value that is not finite in the last batches."""
        return sorted(
            key
            for key, values in self._values.items()
            if key.startswith("loss") and not torch.stack(values[-batches:]).isfinite().all()
        )

    def summary(self, accelerator: Accelerator) -> dict[str, float]:
        """Return the means over batches and processes and the seconds per step, and start again."""
        steps = self._batches / accelerator.gradient_accumulation_steps
        means = {
            key: float(cast(Tensor, accelerator.reduce(torch.stack(values).mean(), "mean")))
            for key, values in self._values.items()
        }
        seconds = {
            "seconds/step": (time.perf_counter() - self._start) / steps,
            "seconds/data": self._data_seconds / steps,
        }
        self.__init__()
        return means | seconds

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count the time within."""
        start = time.perf_counter()
        yield
        self._start += time.perf_counter() - start


class SlowDataHint:
    """Suggests flags, once, if the steps wait for data."""

    def __init__(self, args: Namespace) -> None:
        self._given = bool(args.cache_images) or args.streaming

    def check(self, values: Mapping[str, float]) -> None:
        """Look at the times of a line of the log."""
        waits = values["seconds/data"] > MAX_DATA_SHARE * values["seconds/step"]
        if waits and not self._given:
            logger.warning("Training waits for data: try --cache_images, --dataloader_num_workers")
            self._given = True
