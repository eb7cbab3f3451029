"""Run requests: wait for the device, compute and save in a worker thread, report progress."""

from __future__ import annotations

import contextvars
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import torch

from hsr_hub.hub import AUTO
from hsr_hub.images import NOTES_KEY, ImageData, ImageError, to_image, write_image
from hsr_hub.inference import choose_level
from hsr_hub.webapp.connections import Caller, address_of
from hsr_hub.webapp.context import AppContext
from hsr_hub.webapp.decoder import DecodedImage
from hsr_hub.webapp.device_queue import QueueFullError, Visitor
from hsr_hub.webapp.eta import Estimate
from hsr_hub.webapp.jobs import Job
from hsr_hub.webapp.limits import FILE_OVERHEAD
from hsr_hub.webapp.previews import (
    Preview,
    for_viewer,
    save_comparison,
    save_thumbnail,
    thumbnail_bytes,
)
from hsr_hub.webapp.storage import file_stem
from hsr_hub.webapp.tiles import TILE, save_tiles
from hsr_hub.webapp.uploads import forward_passes, load_upload
from hsr_hub.webapp.upscale_request import UpscaleRequest

POLL_SECONDS = 0.4
"""Time between two progress events. A waiting request is cancelled within this time."""

NETWORK_SCALE = 4
"""How much a network enlarges. What is more is resized."""

MAX_CLOCK_TILES = 0.9
"""How many tiles the clock may be ahead of the tiles that are done."""


@dataclass(frozen=True)
class Progress:
    """State of a request."""

    ahead: int = 0
    """Images that must end before this one starts."""
    fraction: float = 0.0
    seconds_left: float | None = None
    """Until the result is there, with the wait for those ahead."""
    saving: bool = False
    preview: Preview | None = None
    """Set if it has changed since the last event."""


@dataclass(frozen=True)
class Result:
    """Files of a finished request."""

    path: Path
    """A lossless PNG, named after the upload."""
    size: tuple[int, int]
    comparison: tuple[Path, Path] | None = None
    """Before and after, if the view asked for them."""
    thumbnail: Path | None = None
    """If the view asked for it."""
    request: UpscaleRequest | None = None
    """What was done. Its model is never "auto"."""
    notes: tuple[str, ...] = ()
    """Sentences that say what was converted or left out when the upload was read and saved."""
    tiles: Path | None = None
    """Folder of tiles of before and after, if `comparison` is reduced."""
    copy_notes: dict[Path, tuple[str, ...]] = field(default_factory=dict, compare=False)
    """Sentences about metadata that the copies in other formats cannot hold."""

    @property
    def files(self) -> list[Path]:
        """All files."""
        return [file for file in (self.path, *(self.comparison or ()), self.thumbnail) if file]


View = Literal["file", "comparison", "thumbnail"]
"""What is made besides the result: nothing, the viewer's images and a preview, or a thumbnail."""

T = TypeVar("T")
AnyImage = TypeVar("AnyImage", bound=ImageData)


class DeviceTask(ABC, Generic[T]):
    """Work that waits for the device. Iterate over it for its progress; then `result` is set."""

    def __init__(
        self,
        context: AppContext,
        job: Job,
        upload: tuple[Path, str],
        caller: Caller | None = None,
        expected: float | None = None,
    ) -> None:
        """Nothing starts before the iteration.

        Args:
            context: What all visitors share.
            job: Its folder gets the files, and its cancel flag ends the work.
            upload: Path, and the name that the owner gave it.
            caller: Who asked for it. If the caller hangs up, the job is cancelled.
            expected: Seconds that the work will take, if that is known.
        """
        self.context, self.job, self.caller = context, job, caller
        self.path, self.name = upload
        self.result: T | None = None
        self._expected_seconds = expected

    def __iter__(self) -> Iterator[Progress]:
        """Start the work, yield the progress when it changes, and end when the result is saved.

        Raises:
            JobCancelledError: The job was cancelled.
            ImageError, ValueError: The upload cannot be read, or the result would be too large.
            QueueFullError: Too many images wait.
        """
        # Gradio and ZeroGPU keep the current request in context variables.
        run = contextvars.copy_context().run
        queue, caller, pending = self.context.queue, self.caller, self.context.pending
        visitor = caller.visitor if caller else Visitor()
        size = self.path.stat().st_size if self.path.is_file() else 0
        try:
            entry = queue.submit(
                partial(run, self._start), partial(run, self._read), visitor, size, self._release
            )
        except QueueFullError:
            self.job.discard()
            raise
        if self._expected_seconds is not None:
            pending.add(self, self._expected_seconds)
        last, timeout = None, 0.0  # report at once
        try:
            while not entry.wait(timeout):
                timeout = POLL_SECONDS
                if caller is not None and not self.context.connections.has(caller):
                    self.job.cancel()
                ahead = queue.ahead(entry)
                if ahead and self.job.cancelled:
                    queue.remove(entry)
                progress = self._waiting(ahead) if ahead else self._progress()
                if progress != last:  # a message for each who waits would take much time
                    yield progress
                last = progress
        finally:
            pending.remove(self)
            if not entry.done:  # the caller stopped iterating
                self.job.cancel()
                queue.remove(entry)
                if entry.done:  # it has waited only
                    self.job.discard()
        try:
            self.job.raise_if_cancelled()
            self.result = entry.future.result()
        except BaseException as error:
            if entry.done:  # otherwise it still looks for the cancel flag
                self.job.discard()
            if isinstance(error, OSError):
                raise ImageError(f"the result could not be saved: {error.strerror}") from error
            raise

    @abstractmethod
    def _read(self) -> int | None:
        """Read and check the image, before a worker is free.

        Returns:
            The pixels that the network will compute, if that is the size of the work.
        """

    @abstractmethod
    def _release(self) -> None:
        """Free the image that was read. It is read again later."""

    @abstractmethod
    def _work(self) -> T:
        """Compute and save, in a worker thread."""

    @abstractmethod
    def _progress(self) -> Progress:
        """Return the progress of the work."""

    def _start(self) -> T:
        self.context.pending.start(self)
        return self._work()

    def _waiting(self, ahead: int) -> Progress:
        """Return the state of a request that waits, with a time that changes seldom."""
        if self._expected_seconds is None:
            return Progress(ahead)
        seconds = self.context.pending.wait(ahead, self) + self._expected_seconds
        return Progress(ahead, seconds_left=max(5, round(seconds / 5) * 5))


class UpscaleTask(DeviceTask[Result]):
    """One image that is upscaled."""

    def __init__(
        self,
        context: AppContext,
        job: Job,
        upload: tuple[Path, str],
        request: UpscaleRequest,
        view: View = "file",
        caller: Caller | None = None,
        expected: float | None = None,
    ) -> None:
        """Nothing starts before the iteration.

        Args:
            context: As for `DeviceTask`.
            job: As for `DeviceTask`.
            upload: As for `DeviceTask`.
            request: How to upscale it.
            view: What is made besides the result.
            caller: As for `DeviceTask`.
            expected: As for `DeviceTask`.
        """
        super().__init__(context, job, upload, caller, expected)
        self.request = request
        self.view: View = view
        self._image: DecodedImage | None = None
        self.tiles_done, self.tiles_total = 0, 0
        self.preview: Preview | None = None
        self._shown_tiles = 0
        self._expected: Estimate | None = None
        self._started: float | None = None
        self._interrupted = 0.0
        """Seconds that small images of others took between the tiles."""

    def _read(self) -> int:
        """Read and check the image, before a worker is free; return the pixels to compute.

        A tiny image can have a result of any size, whose files take most of the time. Therefore the
        pixels are at least those that a network enlarges to such a result.
        """
        self.job.raise_if_cancelled()
        image = load_upload(self.path, self.name, self.job.raise_if_cancelled)
        target = self.request.target(image.size)  # raises if the result would be too large
        self._image = crop(image, self.request.crop_box(image.size))
        width, height = self._image.size
        computed = round(width * height * forward_passes(self._image))
        return max(computed, target[0] * target[1] // NETWORK_SCALE**2)

    def _release(self) -> None:
        self._image = None

    def _work(self) -> Result:
        """Compute and save, in a worker thread."""
        self.job.raise_if_cancelled()
        context, request = self.context, self.request
        image, self._image = self._image, None
        assert image is not None
        target = request.target(image.size)
        if request.model == AUTO:
            request, _ = request.with_model(context.models, image.traits, image.size)
        passes = forward_passes(image)
        self._expected = context.estimate(request, image.size, passes)
        self._started = time.perf_counter()
        callbacks: dict[str, Any] = {}
        model = context.models.get(request.model)
        if context.reports_tiles:
            callbacks["progress"] = self._after_tile
            if self.view == "comparison":
                self.preview = Preview(to_image(image), target)
                level = choose_level(model.levels, image.size, target)
                callbacks["on_tile"] = partial(self.preview.add_tile, level)
        made = context.compute(request, image, self.job.cancel_file, **callbacks)
        computed = time.perf_counter()
        seconds = (computed - self._started - self._interrupted) / passes
        context.estimator.add_compute(model, image.size, target, seconds)

        path = self.job.folder / f"{file_stem(self.name)}-{request.label(image.size)}.png"
        context.reserve(_most_bytes(made, image, self.view), address_of(self.caller))
        notes = image.notes + write_image(_with_notes(made, image.notes), path)
        comparison = thumbnail = tiles = None
        if self.view == "comparison":
            comparison = save_comparison(image, made, path)
            if comparison[1] != path:
                tiles = save_tiles(image, made, path.with_name("tiles"))
        elif self.view == "thumbnail":
            thumbnail = save_thumbnail(made, path.with_suffix(".jpg"))
        context.estimator.add_save(target, time.perf_counter() - computed)
        return Result(path, made.size, comparison, thumbnail, request, notes, tiles)

    def _after_tile(self, done: int, total: int) -> None:
        self.tiles_done, self.tiles_total = done, total
        if done < total:
            # The other image may load weights, which must not become inference tensors.
            with torch.inference_mode(False):
                self._interrupted += self.context.queue.run_small()

    def _progress(self) -> Progress:
        changed = None
        if self.preview is not None and self.preview.tiles > self._shown_tiles:
            changed, self._shown_tiles = self.preview, self.preview.tiles
        saving = self.tiles_total > 0 and self.tiles_done == self.tiles_total
        return Progress(0, self._fraction(), self._seconds_left(), saving, changed)

    def _fraction(self) -> float:
        """Return how much is done, from 0 to 1: by tiles, and by the clock within a tile."""
        tiles, tile = 0.0, 1.0
        if self._started is not None and self.tiles_total:
            tiles, tile = self.tiles_done / self.tiles_total, 1 / self.tiles_total
        if self._expected is None or self._started is None:
            return tiles
        compute_share = self._expected.compute / self._expected.total
        clock = (time.perf_counter() - self._started) / self._expected.total
        if tiles == 1:
            return min(0.99, max(compute_share, clock))
        return min(
            max(tiles * compute_share, clock), (tiles + MAX_CLOCK_TILES * tile) * compute_share
        )

    def _seconds_left(self) -> float | None:
        """Return about how long it will still take, if that is known."""
        if self._started is None:
            return None
        passed, fraction = time.perf_counter() - self._started, self._fraction()
        if self.tiles_done and fraction:
            return passed / fraction - passed
        return max(0.0, self._expected.total - passed) if self._expected else None


def crop(image: AnyImage, box: tuple[int, int, int, int] | None) -> AnyImage:
    """Return the part of an image in a box (left, top, right, bottom); None is all of it."""
    if box is None:
        return image
    return replace(image, array=image.array[box[1] : box[3], box[0] : box[2]])


def _most_bytes(made: ImageData, source: ImageData, view: View) -> int:
    """Return the most that the files of a result take on the disk.

    A PNG is hardly larger than its pixels and metadata.
    """
    width, height = made.size
    metadata = [block for block in vars(made.metadata).values() if isinstance(block, bytes)]
    metadata.append(made.metadata.iptc or b"")  # twice, because a PNG has it in hexadecimal digits
    texts = made.metadata.text or {}
    total = made.array.nbytes + sum(map(len, metadata)) + FILE_OVERHEAD
    total += sum(len(key) + 4 * len(value) for key, value in texts.items())
    if view == "thumbnail":
        return total + thumbnail_bytes(made)
    if view == "comparison":
        tiles = -(-width // TILE) * -(-height // TILE)
        # Before and after, both reduced and in tiles: 8 bits, perhaps with alpha and a profile.
        profile = for_viewer(source).metadata.icc_profile or b""
        total += 2 * (2 * 4 * width * height + (1 + tiles) * (len(profile) + FILE_OVERHEAD))
    return total


def _with_notes(image: ImageData, notes: tuple[str, ...]) -> ImageData:
    """Return the image with the notes as a text, for programs that get a file only."""
    if not notes:
        return image
    text = {**(image.metadata.text or {}), NOTES_KEY: "\n".join(notes)}
    return replace(image, metadata=replace(image.metadata, text=text))
