"""Write all frames of an animation, or all pages, into one file or into numbered files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from hsr_hub.images.animation import write_animation
from hsr_hub.images.atomic import atomic_write
from hsr_hub.images.formats import FORMATS, ImageFormat, choose_format
from hsr_hub.images.frames import Frame, Frames
from hsr_hub.images.metadata import Metadata
from hsr_hub.images.tiff import write_tiff
from hsr_hub.images.writing import write_array, write_by_pillow, write_errors, write_notes


def result_paths(path: Path, source: Frames) -> list[Path]:
    """Return the output files of all frames.

    PNG, WebP and GIF hold animations, TIFF holds pages. In other cases each frame has its own file,
    such as scan-4x-001.png for scan-4x.png.
    """
    if _fits(FORMATS[choose_format(path)], source):
        return [path]
    return [numbered(path, number) for number in range(1, len(source) + 1)]


def numbered(path: Path, number: int) -> Path:
    """Return the name of the file of one frame."""
    return path.with_name(f"{path.stem}-{number:03d}{path.suffix}")


def write_frames(
    results: Iterable[Frame], source: Frames, path: Path, *, quality: int | None = None
) -> tuple[str, ...]:
    """Write frames as they come. All files are written completely, or none.

    Args:
        results: The frames to write, which are taken one at a time.
        source: The frames that they were made of.
        path: The output file; see `result_paths`.
        quality: As for `write_image`.

    Returns:
        Sentences about what the format cannot hold.

    Raises:
        ImageError: The format is unknown, or a file cannot be written.
    """
    chosen = FORMATS[choose_format(path)]
    lost: list[str] = []

    def fitted() -> Iterator[tuple[Frame, Metadata]]:
        for frame in results:
            metadata, missing = frame.image.metadata.fit(chosen)
            lost.extend(missing)
            yield frame, metadata

    paths = result_paths(path, source)
    with write_errors(str(path)), ExitStack() as stack:
        files = [stack.enter_context(atomic_write(name)) for name in paths]
        if len(paths) > 1:
            for (frame, metadata), file in zip(fitted(), files, strict=True):
                write_array(frame.image.array, metadata, file, chosen, quality)
        elif chosen.paged:
            write_tiff(((frame.image.array, metadata) for frame, metadata in fitted()), files[0])
        else:
            _write_animation(fitted(), source, files[0], chosen, quality)
    lost = list(dict.fromkeys(lost))
    notes = write_notes(path, chosen, lost, grey=source.paged and source.first.grey)
    if not source.paged and not chosen.writes_animations:
        notes += (f"{path.name}: the durations of the frames are left out",)
    return notes


def _fits(chosen: ImageFormat, source: Frames) -> bool:
    """Return whether one file holds all frames; a TIFF holds those of an animation as pages."""
    return chosen.paged or (chosen.writes_animations and not source.paged)


def _write_animation(
    frames: Iterator[tuple[Frame, Metadata]],
    source: Frames,
    path: Path,
    chosen: ImageFormat,
    quality: int | None,
) -> None:
    first_metadata = Metadata()

    def images() -> Iterator[tuple[Image.Image, float]]:
        nonlocal first_metadata
        for index, (frame, metadata) in enumerate(frames):
            if index == 0:
                first_metadata = metadata
            yield Image.fromarray(frame.image.array), frame.duration

    def encode_frame(image: Image.Image, file: BinaryIO, first: bool) -> None:
        # A profile changes the pixels of no format, so the others need none.
        metadata = first_metadata if first else Metadata()
        write_by_pillow(np.asarray(image), metadata, file, chosen, quality)

    with path.open("wb") as file:
        write_animation(chosen.name, images(), len(source), source.plays, file, encode_frame)
