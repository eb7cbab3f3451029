"""One picture on its way: it waits for its turn, is computed in a thread, and can be stopped."""

from __future__ import annotations

import contextvars
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hsr_hub.images import ImageData, to_image, write_image
from hsr_hub.inference import UpscaleOptions, choose_level, default_tile_size, upscale_image
from hsr_hub.webapp import storage, uploads
from hsr_hub.webapp.eta import Speed
from hsr_hub.webapp.jobs import EVERY, Job, Jobs, Stopped, Turns
from hsr_hub.webapp.models import Networks
from hsr_hub.webapp.requests import Order
from hsr_hub.webapp.uploads import Preview

SMALLEST_TILE = 192
"""Side of the smallest tile that is cut for the preview's sake; margins make smaller ones dear."""


@dataclass
class Workshop:
    """What all visitors share."""

    folder: Path
    networks: Networks
    speed: Speed
    turns: Turns
    jobs: Jobs
    compute: Callable[..., ImageData]
    """Takes an order, the source, the stop file and, where `reports_tiles`, who to tell."""
    reports_tiles: bool = True
    """Whether `compute` runs in this process; on ZeroGPU it does not."""

    def keep(self, job: Job, name: str, order: Order, made: ImageData) -> Path:
        """Write a result under its owner's name."""
        path = job.folder / f"{storage.file_stem(name)}-{order.label}.png"
        write_image(made, path)
        return path

    def seconds(
        self, size: tuple[int, int], passes: int, order: Order
    ) -> tuple[float, float] | None:
        """About how long a picture will take to be computed and to be saved."""
        model = self.networks.get(order.model)
        expected = self.speed.seconds(model, size, order.target(size))
        return expected and (expected[0] * passes, expected[1])


def compute(
    networks: Networks, order: Order, picture: ImageData, stop_file: Path, **reports: Any
) -> ImageData:
    """The picture, enlarged; ends early once the stop file is there.

    Args:
        networks: Where the order's network is.
        order: What to do.
        picture: The source.
        stop_file: Looked for after every tile.
        reports: `on_tile` and `progress`, as for `upscale_image`.

    Raises:
        Stopped: The stop file appeared.
    """
    model = networks.get(order.model, order.strength)
    device = next(model.parameters()).device
    progress = reports.pop("progress", None)

    def after_tile(done: int, total: int) -> None:
        if stop_file.exists():
            raise Stopped
        if progress is not None:
            progress(done, total)

    tile_size = None
    if "on_tile" in reports and device.type == "cpu":
        # Somebody watches: at least two tiles along the longer side. On a GPU all is quick.
        level = choose_level(model.levels, picture.size, order.target(picture.size))
        half = max(SMALLEST_TILE, -(-max(picture.size) // 2))
        tile_size = min(half, default_tile_size(model, level, device))
    return upscale_image(
        model,
        picture,
        UpscaleOptions(scale=order.scale, size=order.size, tile_size=tile_size),
        progress=after_tile,
        **reports,
    )


class Task:
    """One picture, read, computed and finished in a thread of its own."""

    def __init__(
        self,
        workshop: Workshop,
        path: str | Path,
        name: str,
        wish: Callable[[tuple[int, int]], Order],
        job: Job,
        finish: Callable[[Order, ImageData, ImageData], Any],
        watched: bool = False,
    ) -> None:
        """Nothing starts before `watch` is called.

        Args:
            workshop: What all share.
            path: The upload.
            name: What its owner calls it.
            wish: What to make of it, by its size.
            job: Whose stop is obeyed.
            finish: Called with order, source and result, still in this picture's turn: saves them.
                What it returns is the outcome.
            watched: Whether a preview is wanted.
        """
        self.workshop, self.path, self.name = workshop, path, name
        self.wish, self.job, self.finish = wish, job, finish
        self.watched = watched
        self.ahead = 0
        self.done, self.total = 0, 0
        self.preview: Preview | None = None
        self.expected: tuple[float, float] | None = None
        self.started: float | None = None
        self.outcome: Any = None
        self._error: BaseException | None = None

    def watch(self) -> Iterator[Task]:
        """Start, yield oneself every now and then, and end with the picture.

        Raises:
            Stopped: The job was stopped.
            ImageError, ValueError: The picture or the order is no good.
        """
        # Gradio's and ZeroGPU's idea of who asks lives in context variables.
        context = contextvars.copy_context()
        turns = self.workshop.turns
        turn = turns.ask(partial(context.run, self._run))
        pause = 0.0  # the first look is at once
        try:
            while not turn.over.wait(pause):
                pause = EVERY
                self.ahead = turns.ahead(turn)
                if self.ahead and self.job.stopped:
                    turns.leave(turn)
                yield self
        finally:
            if not turn.over.is_set():  # whoever watched went away
                self.job.stop()
                turns.leave(turn)
        if self.job.stopped:
            raise Stopped
        if self._error is not None:
            raise self._error

    @property
    def fraction(self) -> float:
        """How much is done, from 0 to 1: by tiles, and by the clock within a tile."""
        if self.started is None or self.total == 0:
            by_tiles, step = 0.0, 1.0
        else:
            by_tiles, step = self.done / self.total, 1 / self.total
        if self.expected is None or self.started is None:
            return by_tiles
        whole = sum(self.expected)
        share = self.expected[0] / whole
        by_clock = (time.perf_counter() - self.started) / whole
        if by_tiles == 1:
            return min(0.99, max(share, by_clock))
        # The clock may run ahead of the tiles by less than one tile.
        return min(max(by_tiles * share, by_clock), (by_tiles + 0.9 * step) * share)

    @property
    def seconds_left(self) -> float | None:
        """About how long it will take still, or nothing where that is not known."""
        if self.started is None:
            return None
        passed, fraction = time.perf_counter() - self.started, self.fraction
        if self.done and fraction:
            return passed / fraction - passed
        return max(0.0, sum(self.expected) - passed) if self.expected else None

    def _run(self) -> None:
        try:
            self.job.check()
            self._work()
        except BaseException as error:  # handed to whoever watches
            self._error = error

    def _work(self) -> None:
        shop = self.workshop
        upload, picture = uploads.look(self.path, self.name)
        order = self.wish(picture.size)
        target = order.target(picture.size)
        model = shop.networks.get(order.model)
        self.expected = shop.seconds(picture.size, upload.passes, order)
        self.started = time.perf_counter()
        reports: dict[str, Any] = {}
        if shop.reports_tiles:
            reports["progress"] = self._progress
            if self.watched:
                self.preview = preview = Preview(to_image(picture), target)
                level = choose_level(model.levels, picture.size, target)
                reports["on_tile"] = partial(preview.fill, level)
        result = shop.compute(order, picture, self.job.stop_file, **reports)
        computed = time.perf_counter()
        shop.speed.computed(model, picture.size, target, (computed - self.started) / upload.passes)
        self.outcome = self.finish(order, picture, result)
        shop.speed.saved(target, time.perf_counter() - computed)

    def _progress(self, done: int, total: int) -> None:
        self.done, self.total = done, total
