"""Where the page keeps files: one folder of this process, emptied by age and removed at exit."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

KEEP_SECONDS = 3600
"""How long uploads and results stay."""
SWEEP_SECONDS = 600
"""Between two looks for results that are older."""

JOBS = "jobs"
"""Holds what was made here, apart from what Gradio received."""


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


def file_stem(name: str) -> str:
    """The name of an upload without its suffix, fit to name a file of ours.

    Names come from strangers: no separators, nothing that hides or escapes, 200 bytes at most.
    """
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    stem = base.rsplit(".", 1)[0] if "." in base.strip(".") else base
    kept = "".join(c for c in stem if c.isprintable() and c not in '<>:"|?*').strip(". ")
    return kept.encode()[:200].decode(errors="ignore").strip() or "picture"
