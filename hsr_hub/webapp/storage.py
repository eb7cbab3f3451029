"""Files of the page: one folder per process, with one budget and one age, removed at exit."""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from stat import S_ISDIR
from typing import Any

from hsr_hub.images import ImageError
from hsr_hub.webapp.limits import (
    KEEP_SECONDS,
    MAX_DISK_BYTES,
    MAX_NAME_LENGTH,
    MIN_ADDRESS_BYTES,
    MIN_KEEP_SECONDS,
    SWEEP_SECONDS,
)

if sys.platform == "win32":
    fcntl = None
else:
    import fcntl

PREFIX = "hsr-hub-"
LOCK = ".hsr-hub-lock"
"""A file that a running process locks, by which its folder is recognized."""

JOBS = "jobs"
"""Folder of the results, apart from what Gradio received."""

UPLOAD_META = {"_type": "gradio.FileData"}
"""How Gradio marks data that names a file."""


class DiskFullError(ValueError):
    """The files of this process would need too much space. The message is for visitors."""


def open_folder() -> Path:
    """Create the folder of this process, also for temporary files and Gradio's, and return it.

    Folders of processes that were killed are removed. Gradio serves results from the folder without
    making copies. Call this before gradio is imported, because parts of it read GRADIO_TEMP_DIR at
    import.
    """
    parent = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir())
    parent.mkdir(parents=True, exist_ok=True)
    for folder in parent.glob(f"{PREFIX}*/{LOCK}"):
        _remove_if_abandoned(folder.parent)
    root = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent)).resolve()
    _lock(root)
    os.environ["GRADIO_TEMP_DIR"] = tempfile.tempdir = str(root)
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    return root


def _lock(root: Path) -> None:
    """Lock a folder until this process ends, so that no other process removes it."""
    if fcntl is None:
        return
    # Locked under another name first, so that no other process sees the file unlocked.
    new = root / f"{LOCK}-new"
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    new.rename(root / LOCK)


def _remove_if_abandoned(root: Path) -> None:
    """Remove the folder of a process that has ended without removing it."""
    if fcntl is None:
        return  # a running process cannot be told from one that has ended
    with contextlib.suppress(OSError):  # of another user, or locked
        descriptor = os.open(root / LOCK, os.O_RDWR | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(root, ignore_errors=True)
        finally:
            os.close(descriptor)


class Disk:
    """The folder of this process: how large it is, and what is removed from it.

    Gradio puts each upload in its own folder. Such a folder, a folder of a job, and a file are
    removed as a whole, `KEEP_SECONDS` after the last change of anything in them.
    """

    def __init__(
        self, root: Path, budget: int = MAX_DISK_BYTES, keep: float = KEEP_SECONDS
    ) -> None:
        """Keep what is in the folder now: the examples.

        Args:
            root: The folder.
            budget: Bytes that all files may have. If the disk has less room, that counts.
            keep: Seconds after which files are removed.
        """
        self.root, self._budget, self._keep = root, budget, keep
        self._kept = set(self._entries())
        self._used, self._room = 0, budget
        self._min_keep = min(MIN_KEEP_SECONDS, keep / 6)
        self._written: Counter[str] = Counter()
        """Bytes by address, since `_counted_since`."""
        self._written_before: Counter[str] = Counter()
        """The same for the period before. Otherwise an address could fill the disk at its end."""
        self._counted_since = time.monotonic()
        self._lock = threading.Lock()

    def start(self, then: Callable[[], object] = lambda: None) -> None:
        """Sweep from time to time, in a thread.

        Args:
            then: Called after each sweep.
        """
        threading.Thread(target=self._run, args=[then], daemon=True, name="disk").start()

    def reserve(self, size: int, address: str = "") -> None:
        """Count bytes that are about to be written.

        Args:
            size: Number of bytes.
            address: The visitor's network address. One address gets half of the space, so that it
                cannot fill the disk for all others.

        Raises:
            DiskFullError: There is no room for them.
        """
        with self._lock:
            if self._used + size > self._room:
                raise DiskFullError("the disk of this page is full: try again later")
            own = self._written[address] + self._written_before[address]
            if own + size > max(self._budget // 2, MIN_ADDRESS_BYTES):
                raise DiskFullError("your files take half of this page's disk: try again later")
            self._used += size
            self._written[address] += size

    def sweep(self) -> None:
        """Remove outdated files, and the oldest ones if all together are too large."""
        now, used = time.time(), 0
        keep, min_keep = self._keep, self._min_keep
        entries = sorted((*_age_and_size(path, now), path) for path in self._entries())
        for age, size, path in entries:  # from young to old
            too_large = used + size > self._budget * 3 / 4
            if path not in self._kept and (age > keep or (too_large and age > min_keep)):
                _remove(path)
            else:
                used += size
        free = shutil.disk_usage(self.root).free
        with self._lock:
            self._used, self._room = used, min(self._budget, used + free)
            if time.monotonic() - self._counted_since > min_keep:  # older files give way to others
                self._written_before, self._written = self._written, Counter()
                self._counted_since = time.monotonic()

    def _entries(self) -> list[Path]:
        """Return what is removed as a whole."""
        top = [path for path in self.root.iterdir() if path.name not in {JOBS, LOCK}]
        return [*top, *(self.root / JOBS).glob("*")]

    def _run(self, then: Callable[[], object]) -> None:
        seconds = 0.0
        while True:
            # A sweep of a million small files takes a minute of the interpreter's time.
            time.sleep(max(min(SWEEP_SECONDS, self._keep / 120), 9 * seconds))
            started = time.perf_counter()
            with contextlib.suppress(OSError):  # the process is ending
                self.sweep()
            then()
            seconds = time.perf_counter() - started


def _age_and_size(path: Path, now: float) -> tuple[float, int]:
    """Return the seconds since the last change in a folder, and the bytes that it takes."""
    newest, size = 0.0, 0
    left = [os.fspath(path)]
    while left:
        entry = left.pop()
        with contextlib.suppress(OSError):  # removed since
            stat = os.lstat(entry)
            if S_ISDIR(stat.st_mode):
                left += [found.path for found in os.scandir(entry)]
            taken = getattr(stat, "st_blocks", 0) * 512  # a small file takes a whole block
            newest, size = max(newest, stat.st_mtime), size + max(taken, stat.st_size)
    return now - newest, size


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def new_folder(root: Path) -> Path:
    """Create a folder with a name that nobody can guess, for one job."""
    folder = root / JOBS / secrets.token_hex(16)
    folder.mkdir(mode=0o700, parents=True)
    return folder


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


def is_below(root: Path, path: str) -> bool:
    """Return whether a path leads into the folder, without accessing it."""
    parts = Path(path)
    return "\0" not in path and ".." not in parts.parts and parts.is_relative_to(root)


def _is_received(root: Path, path: Path) -> bool:
    """Return whether Gradio stored a regular file at a path, or could have, without links."""
    if not is_below(root, str(path)) or _is_made_here(root, path):
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
