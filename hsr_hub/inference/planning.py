"""Choose the output file of every image of a batch."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hsr_hub.images import (
    READ_SUFFIXES,
    WRITE_FORMATS,
    choose_format,
    find_images,
    has_frames,
    numbered,
    read_stamp,
)
from hsr_hub.inference.options import FileOptions

RESULT_LABEL = re.compile(r"\d+(\.\d+)?x|\d+x\d+|\d+(w|h|px)")
"""Endings of the names of results, such as 4x, 1920x1080 or 300w."""

FRAME_NUMBER = re.compile(r"-\d{3,}$")
"""Ending of the name of one frame, behind `RESULT_LABEL`."""

UNSUPPORTED_SUFFIXES = {".jxl", ".jp2", ".psd", ".svg", ".pdf", ".ico"}
"""Suffixes of images that are neither read nor written."""

ALL_FRAMES = " all frames"
"""Ending of the stamp of a result with several frames."""


class FileTask(NamedTuple):
    """An image file, and the output file of its result."""

    source: Path
    target: Path


class Plan(NamedTuple):
    """The files of a batch."""

    tasks: list[FileTask]
    left_out: Counter[str]
    """Numbers of files in folders that are no images, by suffix."""


def plan(
    inputs: Sequence[Path],
    output: Path | None,
    label: str,
    *,
    format: str | None = None,
    keep_names: bool = False,
) -> Plan:
    """Choose the output file of every image.

    Args:
        inputs: Image files, folders that are searched for images, or patterns such as "*.jpg".
        output: A file if there is one image, else a folder. It gets NAME-{label}.{format}, in the
            same tree of folders as the inputs. Without it, the result of one image is in the
            folder of the image.
        label: Part of the output names.
        format: Suffix of the output format, by default "png" in a folder; "same" for the format of
            each image, or PNG if it cannot be written.
        keep_names: Leave the label out of the output names.

    Raises:
        ValueError: A result would replace an image of the inputs, the output must be a folder, or
            no file matches a pattern.
    """
    inputs = _expand(inputs)
    is_one_file = len(inputs) == 1 and not inputs[0].is_dir()
    if output is None and not is_one_file:
        raise ValueError("several images need a folder for their results: name it by -o")
    if output is not None and is_one_file and _is_image_name(output) and not output.is_dir():
        written = choose_format(output)
        if format not in (None, "same") and choose_format(output, format) != written:
            raise ValueError(
                f"{output} and --format {format} contradict each other: leave one of them out"
            )
        if output.resolve() == inputs[0].resolve():
            raise ValueError(f"{output} would replace the image itself: choose another output")
        return Plan([FileTask(inputs[0], output)], Counter())
    if output is not None and (output.is_file() or _is_image_name(output)) and not output.is_dir():
        raise ValueError(f"several images need a folder as output, and {output} is a file")
    sources, left_out = _find_sources(inputs, output, label)
    folder = inputs[0].parent if output is None else output
    suffixes = [_suffix(source, format) for source, _ in sources]
    ending = "" if keep_names else f"-{label}"
    tasks = [
        FileTask(source, folder / part / f"{name}{ending}.{suffix}")
        for (source, part), name, suffix in zip(
            sources, _unique_names(sources, suffixes), suffixes, strict=True
        )
    ]
    originals = {task.source.resolve() for task in tasks}
    for task in tasks:
        if task.target.resolve() in originals:
            raise ValueError(
                f"{task.target} would replace an image of the inputs: use another folder"
            )
    return Plan(tasks, left_out)


def _expand(inputs: Sequence[Path]) -> list[Path]:
    """Replace patterns by the files that match them, for shells that do not."""
    expanded: list[Path] = []
    for path in inputs:
        if path.exists() or not glob.has_magic(str(path)):
            expanded.append(path)
            continue
        start = Path(path.anchor)
        matches = sorted(start.glob(str(path.relative_to(start))))
        if not matches:
            raise ValueError(f"no file matches {path}: check the folder and the pattern")
        expanded += matches
    return expanded


def _is_image_name(path: Path) -> bool:
    """Return whether a name is that of an image file; "results.2024" is that of a folder.

    A file of a format that cannot be written is named too, so that the error is about the format.
    """
    return path.suffix.lower() in READ_SUFFIXES | UNSUPPORTED_SUFFIXES


def _suffix(source: Path, format: str | None) -> str:
    """Return the suffix of a result, without the dot."""
    if format == "same":
        same = source.suffix[1:].lower()
        return same if same in WRITE_FORMATS else "png"
    suffix = (format or "png").lower()
    choose_format(source, suffix)
    return suffix


def _find_sources(
    inputs: Sequence[Path], output: Path | None, label: str
) -> tuple[list[tuple[Path, Path]], Counter[str]]:
    """Return each image with the folder of its result inside the output, and what was left out."""
    sources: list[tuple[Path, Path]] = []
    left_out: Counter[str] = Counter()
    for entry in inputs:
        if not entry.is_dir():
            sources.append((entry, Path()))
            continue
        if output is not None and entry.resolve() == output.resolve():
            raise ValueError(f"results in {output} would mix with the images: use another folder")
        found = find_images(entry, exclude=output)
        left_out += found.left_out
        stems = {(image.parent, image.stem) for image in found.images}
        for image in found.images:
            if _is_earlier_result(image, stems, label):
                left_out["earlier results"] += 1
            else:
                sources.append((image, image.relative_to(entry).parent))
    return sources, left_out


def _is_earlier_result(image: Path, stems: set[tuple[Path, str]], label: str) -> bool:
    """Return whether an image of a folder is a result of this program.

    It is one if its source is in the same folder, or if its metadata say so.
    """
    stem = FRAME_NUMBER.sub("", image.stem)
    name, _, ending = stem.rpartition("-")
    if not name or not (ending == label or RESULT_LABEL.fullmatch(ending)):
        return False
    next_to_source = stem == image.stem and (image.parent, name) in stems
    return next_to_source or read_stamp(image) is not None


def _unique_names(sources: list[tuple[Path, Path]], suffixes: list[str]) -> list[str]:
    """Return a name for each image that is unique in its output folder.

    If several results have the same name, all of them get the suffix of their image, and then a
    hash of its path. So an image that is added later never takes the name of another image's
    earlier result.
    """
    names = [source.stem for source, _ in sources]
    for distinction in (
        lambda source: source.suffix[1:].lower(),
        lambda source: hashlib.sha256(os.fsencode(source.resolve())).hexdigest()[:6],
    ):
        # Some file systems ignore case.
        keys = [
            f"{folder / name}.{suffix}".casefold()
            for (_, folder), name, suffix in zip(sources, names, suffixes, strict=True)
        ]
        counts = Counter(keys)
        names = [
            f"{name}-{distinction(source)}" if counts[key] > 1 else name
            for (source, _), name, key in zip(sources, names, keys, strict=True)
        ]
    return names


def own_share(tasks: list[FileTask]) -> list[FileTask]:
    """Return the tasks of this process, if a launcher such as `accelerate launch` has several."""
    rank = int(os.environ.get("RANK", 0))
    processes = int(os.environ.get("WORLD_SIZE", 1))
    return tasks[rank::processes]


def existing_result(task: FileTask, options: FileOptions) -> Path | None:
    """Return the result of a task, or that of its first frame, if there is one."""
    if task.target.exists():
        return task.target
    first = numbered(task.target, 1)
    return first if options.frames == "all" and first.exists() else None


def expected_stamp(task: FileTask, options: FileOptions) -> str | None:
    """Return the stamp that a result with these options has."""
    if options.frames == "all" and has_frames(task.source):
        return options.stamp and options.stamp + ALL_FRAMES
    return options.stamp
