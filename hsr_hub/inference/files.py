"""Upscale many files: read and write while the network computes."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from PIL import Image
from tqdm.auto import tqdm

from hsr_hub.images import (
    Frame,
    Frames,
    ImageData,
    ImageError,
    Metadata,
    check_target,
    has_frames,
    prepare_folder,
    read_frames,
    read_image,
    result_paths,
    write_frames,
    write_image,
)
from hsr_hub.inference.options import FileOptions, UpscaleOptions
from hsr_hub.inference.planning import ALL_FRAMES, FileTask
from hsr_hub.inference.progress import FileProgress
from hsr_hub.inference.upscale import upscale_image
from hsr_hub.network import HSRNetwork

ModelChooser: TypeAlias = "Callable[[Path, ImageData], HSRNetwork]"
"""Returns the network for an image file and what was read from it."""


def upscale_files(
    model: HSRNetwork | ModelChooser, tasks: Sequence[FileTask], options: FileOptions
) -> int:
    """Upscale files; one that fails is reported and skipped.

    The count and the time that is left are shown. While the network computes an image, the next
    one is read and the previous one is written.

    Returns:
        The number of files that failed.
    """
    # Pillow's own limit holds for the whole process; `max_megapixels` replaces it.
    Image.MAX_IMAGE_PIXELS = None
    failures = 0
    with (
        warnings.catch_warnings(),
        FileProgress(len(tasks)) as progress,
        ThreadPoolExecutor(1) as writer,
    ):
        # Losses are printed from `ImageData.notes`, because warnings in threads can get lost.
        warnings.simplefilter("ignore")

        def finish(task: FileTask, written: str, writing: Future[tuple[str, ...]]) -> None:
            """Wait until a result is written, and report it."""
            nonlocal failures
            try:
                _report_losses(writing.result())
            except Exception as error:
                failures += 1
                _report_failure(task, error)
            else:
                tqdm.write(written)
            progress.advance()

        previous: tuple[FileTask, str, Future[tuple[str, ...]]] | None = None
        for task, reading in _read_ahead(tasks, options):
            progress.start(task.source.name)
            try:
                source = reading.result()
                if isinstance(source, Frames):
                    _report_losses(source.first.notes)
                    written, writing = _upscale_frames(model, task, source, options)
                else:
                    _report_losses(source.notes)
                    if source.frames > 1 and has_frames(task.source):
                        hint = "use --frames all to enlarge the others too"
                        tqdm.write(f"{task.source.name}: {hint}", file=sys.stderr)
                    result = _upscale(model, task, source, options)
                    written = f"{task.target} {result.size[0]}x{result.size[1]}"
                    writing = writer.submit(_write, result, task, options)
            except Exception as error:  # the next image may be fine
                failures += 1
                _report_failure(task, error)
                progress.advance()
                continue
            if previous is not None:
                finish(*previous)
            previous = task, written, writing
        if previous is not None:
            finish(*previous)
    return failures


def _report_losses(notes: Sequence[str]) -> None:
    for note in notes:
        tqdm.write(f"hsr-hub: {note}", file=sys.stderr)


def _report_failure(task: FileTask, error: Exception) -> None:
    reason = str(error) or type(error).__name__
    if task.source.name not in reason:
        reason = f"{task.source}: {reason}"
    tqdm.write(f"hsr-hub: skipped: {reason}", file=sys.stderr)


def _read(path: Path, options: FileOptions) -> ImageData | Frames:
    """Return an image, or all frames if there are several and they are wanted."""
    max_pixels = int(options.max_megapixels * 1e6)
    frames = read_frames(path, max_pixels) if options.frames == "all" else None
    return frames or read_image(path, max_pixels=max_pixels)


def _read_ahead(
    tasks: Sequence[FileTask], options: FileOptions
) -> Iterator[tuple[FileTask, Future[ImageData | Frames]]]:
    """Yield every task with its image, while the image of the next task is read."""
    with ThreadPoolExecutor(1) as reader:

        def read(task: FileTask) -> tuple[FileTask, Future[ImageData | Frames]]:
            return task, reader.submit(_read, task.source, options)

        current = None
        for task in tasks:
            following = read(task)
            if current is not None:
                yield current
            current = following
        if current is not None:
            yield current


def _upscale(
    model: HSRNetwork | ModelChooser, task: FileTask, image: ImageData, options: FileOptions
) -> ImageData:
    """Upscale one image, with a progress bar for its tiles."""
    if not isinstance(model, HSRNetwork):
        model = model(task.source, image)
    target = options.target_size(image.size, model.scale)
    check_target(task.target, target)
    prepare_folder(task.target)
    tqdm.write(
        f"{task.source.name}: {image.size[0]}x{image.size[1]} to {target[0]}x{target[1]}",
        file=sys.stderr,
    )
    return _upscale_to(model, image, target, options)


def _upscale_frames(
    model: HSRNetwork | ModelChooser, task: FileTask, frames: Frames, options: FileOptions
) -> tuple[str, Future[tuple[str, ...]]]:
    """Upscale and write frames one at a time.

    Returns:
        A line that names the files, and sentences about what the format cannot hold.
    """
    if not isinstance(model, HSRNetwork):
        model = model(task.source, frames.first)  # the same weights for all, so nothing flickers
    targets = [options.target_size(size, model.scale) for size in frames.sizes]
    paths = result_paths(task.target, frames)
    for size in dict.fromkeys(targets):
        check_target(paths[-1], size)
    prepare_folder(task.target)
    unit = "pages" if frames.paged else "frames"
    start, end = frames.sizes[0], targets[0]
    tqdm.write(
        f"{task.source.name}: {len(frames)} {unit}, {start[0]}x{start[1]} to {end[0]}x{end[1]}",
        file=sys.stderr,
    )

    def results() -> Iterator[Frame]:
        bar = tqdm(frames, total=len(frames), desc=unit, leave=False, disable=None, position=2)
        for frame, size in zip(bar, targets, strict=True):
            try:
                result = _upscale_to(model, frame.image, size, options)
            except ValueError as error:
                raise ImageError(str(error)) from error
            metadata = _final_metadata(result, options, ALL_FRAMES)
            yield Frame(replace(result, metadata=metadata), frame.duration)

    writing: Future[tuple[str, ...]] = Future()
    writing.set_result(write_frames(results(), frames, task.target, quality=options.quality))
    for path in paths:
        _keep_times(task.source, path, options)
    last = f" to {paths[-1].name}" if len(paths) > 1 else f", {len(frames)} {unit}"
    return f"{paths[0]} {end[0]}x{end[1]}{last}", writing


def _upscale_to(
    model: HSRNetwork, image: ImageData, target: tuple[int, int], options: FileOptions
) -> ImageData:
    with tqdm(desc="tiles", leave=False, disable=None, position=1) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        exact = UpscaleOptions(
            size=target, tile_size=options.tile_size, device=options.device, dtype=options.dtype
        )
        return upscale_image(model, image, exact, progress=show)


def _write(result: ImageData, task: FileTask, options: FileOptions) -> tuple[str, ...]:
    metadata = _final_metadata(result, options)
    notes = write_image(replace(result, metadata=metadata), task.target, quality=options.quality)
    _keep_times(task.source, task.target, options)
    return notes


def _final_metadata(result: ImageData, options: FileOptions, note: str = "") -> Metadata:
    """Return the metadata to write, with the stamp and a note at its end."""
    if options.strip_metadata:
        return result.metadata.stripped()
    return replace(result.metadata, stamp=options.stamp and options.stamp + note)


def _keep_times(source: Path, target: Path, options: FileOptions) -> None:
    if options.keep_times:
        times = source.stat()
        os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))
