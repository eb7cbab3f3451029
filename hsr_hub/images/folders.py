"""Find the images of a folder, and count the files that are none."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from hsr_hub.images.formats import READ_SUFFIXES
from hsr_hub.images.identify import describe, image_format, read_head

SKIPPED_FOLDERS = {"@eadir", "__macosx", "#recycle", "$recycle.bin", "system volume information"}
"""Folders of previews and deleted files that systems make, in lower case."""

SKIPPED_FILES = {"thumbs.db", "desktop.ini", "ehthumbs.db"}
"""Files that systems make, in lower case."""


class FoundImages(NamedTuple):
    """The images of a folder."""

    images: list[Path]
    """Sorted by path."""
    left_out: Counter[str]
    """Numbers of other files by suffix, such as {".nef": 3}."""


def find_images(
    folder: Path, exclude: Path | None = None, follow_links: bool = False
) -> FoundImages:
    """Find the images of a folder and its sub-folders.

    A file is an image if its content starts like one, or if it has the suffix of one; a file with
    the suffix of an image and another content is reported when it is read. Raw files are left out,
    although many start like a TIFF. Hidden files, and files and folders that systems make, are
    neither found nor counted.

    Args:
        folder: The folder.
        exclude: A folder inside it that is not searched, such as that of earlier results.
        follow_links: Search linked folders too. Every folder is searched once, so loops end.
    """
    excluded = exclude and exclude.resolve()
    searched: set[Path] = set()
    images: list[Path] = []
    left_out: Counter[str] = Counter()
    for root, folders, names in os.walk(folder, followlinks=follow_links):
        target = Path(root).resolve()
        if target in searched:
            folders.clear()
            continue
        searched.add(target)
        folders[:] = [
            name
            for name in sorted(folders)
            if not _is_skipped(name, SKIPPED_FOLDERS) and Path(root, name).resolve() != excluded
        ]
        for name in names:
            path = Path(root, name)
            if _is_skipped(name, SKIPPED_FILES) or not path.is_file():
                continue
            if is_image_file(path):
                images.append(path)
            else:
                left_out[path.suffix.lower() or "without suffix"] += 1
    return FoundImages(sorted(images), left_out)


def is_image_file(path: Path) -> bool:
    """Return whether a file is an image by its content or its suffix, and no raw file."""
    if path.suffix.lower() in READ_SUFFIXES:
        return True
    head = read_head(path)
    return image_format(head) is not None and describe(head, path.suffix) is None


def describe_left_out(left_out: Mapping[str, int]) -> str:
    """Return a list such as "3 .nef, 1 .pdf", the most frequent first."""
    counts = sorted(left_out.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {suffix}" for suffix, count in counts)


def _is_skipped(name: str, skipped: set[str]) -> bool:
    return name.startswith(".") or name.lower() in skipped
