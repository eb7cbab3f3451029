"""Files of the page: one folder per process, emptied by age and removed at exit."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from hsr_hub.images import ImageError
from hsr_hub.webapp.limits import KEEP_SECONDS, MAX_NAME_LENGTH, SWEEP_SECONDS

JOBS = "jobs"
"""Folder of the results, apart from what Gradio received."""

UPLOAD_META = {"_type": "gradio.FileData"}
"""How Gradio marks data that names a file."""


def open_folder() -> Path:
    """Create the folder of this process, also for Gradio's own files, and return it.

    Gradio serves results from this folder without making copies. Call this before gradio is
    imported, because parts of it read GRADIO_TEMP_DIR at import.
    """
    parent = os.environ.get("GRADIO_TEMP_DIR")
    if parent:
        Path(parent).mkdir(parents=True, exist_ok=True)
    root = Path(tempfile.mkdtemp(prefix="hsr-hub-", dir=parent)).resolve()
    os.environ["GRADIO_TEMP_DIR"] = str(root)
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    threading.Thread(target=_sweep, args=(root,), daemon=True).start()
    return root


def _sweep(root: Path) -> None:
    """Remove outdated job folders, again and again."""
    while True:
        time.sleep(SWEEP_SECONDS)
        for folder in (root / JOBS).glob("*"):
            try:
                outdated = time.time() - folder.stat().st_mtime > KEEP_SECONDS
            except FileNotFoundError:  # the process is ending
                continue
            if outdated:
                shutil.rmtree(folder, ignore_errors=True)


def new_folder(root: Path) -> Path:
    """Create a folder with a name that nobody can guess, for one job."""
    jobs = root / JOBS
    jobs.mkdir(exist_ok=True)
    return Path(tempfile.mkdtemp(dir=jobs))


def is_result(root: Path, file: Any) -> bool:
    """Return whether a file that Gradio hands over was made here and not uploaded."""
    path = file.get("path") if isinstance(file, dict) else None
    return isinstance(path, str) and _is_made_here(root, Path(path))


def _is_made_here(root: Path, path: Path) -> bool:
    return path.is_relative_to(root / JOBS)


def uploaded(root: Path, file: Any) -> tuple[Path, str]:
    """Return the path of an upload and the name that its owner gave it.

    A request can name any path, and Gradio checks only some of them. A path outside the folder is
    refused without accessing it, so nobody learns whether the file exists. An upload that was
    removed since is still accepted here. `load_upload` reports that it is gone.

    Args:
        root: The folder of this process, without links in its path.
        file: What Gradio hands over for a file.

    Raises:
        ImageError: It is not a file that Gradio stored here. The message is always the same.
    """
    if isinstance(file, dict) and file.get("meta") == UPLOAD_META:
        path, name = file.get("path"), file.get("orig_name")
        if isinstance(path, str) and _is_received(root, Path(path)):
            shown = name if isinstance(name, str) and name else Path(path).name
            return Path(path), shown[:MAX_NAME_LENGTH]
    raise ImageError("there is no image: send a file or its address")


def _is_received(root: Path, path: Path) -> bool:
    """Return whether Gradio stored a regular file at a path, or could have, without links."""
    if ".." in path.parts or not path.is_relative_to(root) or _is_made_here(root, path):
        return False
    try:
        return path.resolve() == path and (path.is_file() or not path.exists())
    except (OSError, RuntimeError, ValueError):  # not a valid file name, or a circle of links
        return False


def file_stem(name: str) -> str:
    """Return the name of an upload without its suffix, safe to name a result.

    Names can be hostile: the result has no separators, no control characters and at most 200 bytes.
    """
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    stem = base.rsplit(".", 1)[0] if "." in base.strip(".") else base
    kept = "".join(c for c in stem if c.isprintable() and c not in '<>:"|?*').strip(". ")
    return kept.encode()[:200].decode(errors="ignore").strip() or "image"
