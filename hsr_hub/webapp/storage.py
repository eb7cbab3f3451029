"""Where the page keeps files: one folder of this process, emptied by age and removed at exit."""

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

KEEP_SECONDS = 3600
"""How long uploads and results stay."""
SWEEP_SECONDS = 600
"""Between two looks for results that are older."""

JOBS = "jobs"
"""Holds what was made here, apart from what Gradio received."""

UPLOAD_META = {"_type": "gradio.FileData"}
"""How Gradio marks data that names a file."""
MAX_NAME = 255
"""Characters of an upload's name that are shown."""


def open_folder() -> Path:
    """Make the folder of this process and tell Gradio to put its own files there too.

    Results then lie where Gradio serves from: no second copy of each is made. To be called before
    gradio is imported, parts of which read the variable only once.
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
    """Remove outdated work again and again, though nobody comes."""
    while True:
        time.sleep(SWEEP_SECONDS)
        for folder in (root / JOBS).glob("*"):
            try:
                outdated = time.time() - folder.stat().st_mtime > KEEP_SECONDS
            except FileNotFoundError:  # all goes when the process ends
                continue
            if outdated:
                shutil.rmtree(folder, ignore_errors=True)


def new_folder(root: Path) -> Path:
    """A folder that nobody can guess, for one piece of work."""
    jobs = root / JOBS
    jobs.mkdir(exist_ok=True)
    return Path(tempfile.mkdtemp(dir=jobs))


def is_ours(root: Path, path: Path) -> bool:
    """Whether a file was made here and not uploaded, whatever its name."""
    return path.is_relative_to(root / JOBS)


def uploaded(root: Path, file: Any) -> tuple[Path, str]:
    """Find where an upload lies, and what its owner calls it.

    A request can name any path, and Gradio checks only some of them. A path outside the folder is
    refused without a look at it, so nobody learns whether there is such a file. An upload that was
    removed since is still named here: whoever reads it says that it is gone.

    Args:
        root: The folder of this process, without links in its path.
        file: What Gradio hands over for a file.

    Raises:
        ImageError: It is no file that Gradio stored here. The message is always the same.
    """
    if isinstance(file, dict) and file.get("meta") == UPLOAD_META:
        path, name = file.get("path"), file.get("orig_name")
        if isinstance(path, str) and _is_received(root, Path(path)):
            shown = name if isinstance(name, str) and name else Path(path).name
            return Path(path), shown[:MAX_NAME]
    raise ImageError("there is no picture: send a file or its address")


def _is_received(root: Path, path: Path) -> bool:
    """Whether Gradio stored a regular file at a path, or could have, with no link on the way."""
    if ".." in path.parts or not path.is_relative_to(root) or is_ours(root, path):
        return False
    try:
        return path.resolve() == path and (path.is_file() or not path.exists())
    except (OSError, RuntimeError, ValueError):  # no name for a file, or links in a circle
        return False


def file_stem(name: str) -> str:
    """The name of an upload without its suffix, fit to name a file of ours.

    Names come from strangers: no separators, nothing that hides or escapes, 200 bytes at most.
    """
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    stem = base.rsplit(".", 1)[0] if "." in base.strip(".") else base
    kept = "".join(c for c in stem if c.isprintable() and c not in '<>:"|?*').strip(". ")
    return kept.encode()[:200].decode(errors="ignore").strip() or "picture"
