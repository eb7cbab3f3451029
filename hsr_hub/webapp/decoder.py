"""Decode uploads in worker processes, which can be limited and killed."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, cast

import numpy as np

from hsr_hub.images import (
    ImageData,
    ImageError,
    ImageTraits,
    ImageWarning,
    Metadata,
    analyse,
)
from hsr_hub.webapp.decode_worker import END_OF_REPLY, METADATA_BLOBS, DecodeRequest
from hsr_hub.webapp.limits import BASE_MEMORY, DECODE_SECONDS, MAX_DECODES, MEMORY_PER_PIXEL

POLL_SECONDS = 0.2
"""Time between two checks whether the caller has cancelled."""
STARTUP_SECONDS = 20
"""Extra time for the first file of a process, which may still import its libraries."""

MAX_HEADER_BYTES = 1 << 23
"""The header holds the text of a PNG, such as the workflow of an image generator."""
MAX_METADATA_BYTES = 1 << 24
PIPE_BYTES = 1 << 20

PACKAGE_ROOT = Path(__file__).resolve().parents[2]

# A process that reads hostile files gets no tokens.
KEPT_VARIABLES = ("PATH", "PYTHON", "LD_", "DYLD_", "LANG", "LC_", "HOME", "TMP", "TEMP")
KEPT_VARIABLES_WINDOWS = ("SYSTEM", "USERPROFILE", "APPDATA")
WORKER_VARIABLES = {
    "OPENBLAS_NUM_THREADS": "1",  # a process with threads cannot fork safely
    "VIPS_CONCURRENCY": "1",
    "MALLOC_ARENA_MAX": "2",  # each arena takes address space, which is limited
}


class Decoder:
    """Reads images in worker processes. All methods can be called from any thread."""

    def __init__(self, workers: int = MAX_DECODES, seconds: int = DECODE_SECONDS) -> None:
        """Start nothing yet; the processes start with the first file or by `start`.

        Args:
            workers: Number of processes. Further files wait.
            seconds: Limit for one file.
        """
        self._seconds = seconds
        self._workers = [_Worker() for _ in range(workers)]
        self._idle: queue.Queue[_Worker] = queue.Queue()
        for worker in self._workers:
            self._idle.put(worker)
        atexit.register(self.close)

    def start(self) -> None:
        """Start the processes, so that the first file does not wait for them."""
        for worker in self._workers:
            worker.start()

    def close(self) -> None:
        """Kill the processes. Files that are being decoded raise `ImageError`."""
        atexit.unregister(self.close)
        for worker in self._workers:
            worker.close()

    def read_image(
        self,
        path: Path,
        name: str,
        max_pixels: int,
        raise_if_cancelled: Callable[[], object] = lambda: None,
    ) -> DecodedImage:
        """Read an image as `hsr_hub.images.read_image` does, within limits of time and memory.

        Args:
            path: The file.
            name: Name of the image in errors.
            max_pixels: Images with more pixels are refused before they are decoded.
            raise_if_cancelled: Called several times per second. If it raises, decoding ends and
                the exception is passed on.

        Raises:
            ImageError: The file cannot be read, or takes too much time or memory.

        Warns:
            ImageWarning: As `hsr_hub.images.read_image`.
        """
        memory = BASE_MEMORY + MEMORY_PER_PIXEL * max_pixels
        request = DecodeRequest(str(path.absolute()), name, max_pixels, self._seconds, memory)
        with self._worker(raise_if_cancelled) as worker:
            deadline = time.monotonic() + self._seconds + worker.startup_seconds
            future = _in_thread(worker.decode, request)
            while not wait([future], POLL_SECONDS).done:
                raise_if_cancelled()
                if time.monotonic() > deadline:
                    raise ImageError(_too_slow(request))
            reply = future.result()
        if reply.image is None:
            raise ImageError(reply.error)
        for text in reply.warnings:
            warnings.warn(text, ImageWarning, stacklevel=2)
        return reply.image

    @contextlib.contextmanager
    def _worker(self, raise_if_cancelled: Callable[[], object]) -> Iterator[_Worker]:
        """Wait for an idle worker. It is killed and replaced if an exception is raised."""
        while True:
            raise_if_cancelled()
            with contextlib.suppress(queue.Empty):
                worker = self._idle.get(timeout=POLL_SECONDS)
                break
        try:
            worker.start()
            yield worker
        except BaseException:
            worker.kill()
            with contextlib.suppress(OSError):  # otherwise the next file tries again
                worker.start()
            raise
        finally:
            self._idle.put(worker)


@dataclass
class DecodedImage(ImageData):
    """An image, and what its file says about its compression."""

    codec: str = ""
    """As in `ImageTraits`."""
    quality: int | None = None

    @property
    def traits(self) -> ImageTraits:
        """What the automatic choice of weights looks at. Measured again at each call."""
        return analyse(self, self.codec, self.quality)


@dataclass(frozen=True)
class _Reply:
    """Answer of a worker: an image and its warnings, or an error."""

    image: DecodedImage | None = None
    error: str = ""
    warnings: tuple[str, ...] = ()


class _Worker:
    """One worker process at a time, used by one thread at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._decoding = False
        self._lock = threading.Lock()
        self.startup_seconds = STARTUP_SECONDS
        """Extra time for the next file."""

    def start(self) -> None:
        """Start the process if it does not run."""
        with self._lock:
            if self._closed or (self._process and self._process.poll() is None):
                return
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hsr_hub.webapp.decode_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=PACKAGE_ROOT,  # where Python finds this package, installed or not
                env=_environment(),
                start_new_session=True,  # Ctrl-C is for the parent; `kill` reaches the children
                pipesize=PIPE_BYTES,
            )
            self.startup_seconds = STARTUP_SECONDS

    def kill(self) -> None:
        """End the process and its children at once."""
        with self._lock:
            process, self._process = self._process, None
        if process is None:
            return
        if sys.platform == "win32":
            process.kill()
        else:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def close(self) -> None:
        """End the process for good."""
        self._closed = True
        process = self._process
        self.kill()
        if process and not self._decoding:
            _close_pipes(process)

    def decode(self, request: DecodeRequest) -> _Reply:
        """Send a request and read the reply.

        Raises:
            ImageError: The process ended, or its reply is invalid.
        """
        process = self._process
        if process is None:
            raise ImageError(f"{request.name} was not decoded: the page is being shut down")
        assert process.stdin and process.stdout
        self._decoding = True
        try:
            process.stdin.write(request.to_line())
            process.stdin.flush()
            reply = _read_reply(cast(BufferedReader, process.stdout), request)
        except Exception as error:
            # `read_image` kills the process. Its pipes are closed here, where they are read.
            text = str(error) if isinstance(error, ImageError) else _died(request, process)
            _close_pipes(process)
            raise ImageError(text) from error
        finally:
            self._decoding = False
        self.startup_seconds = 0
        return reply


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):  # an unsent request
            if pipe:
                pipe.close()


def _read_reply(stream: BufferedReader, request: DecodeRequest) -> _Reply:
    """Read a reply and check it, as the process that wrote it has read a hostile file.

    Raises:
        ImageError: The image has too many bytes of metadata.
        Exception: The reply is cut off or invalid.
    """
    line = stream.readline(MAX_HEADER_BYTES)
    header = json.loads(line)
    if "error" in header:
        _read_end(stream)
        return _Reply(error=str(header["error"]))
    shape, dtype = tuple(header["shape"]), header["dtype"]
    dpi, sizes, texts = header["dpi"], header["blobs"], header["warnings"]
    height, width, *channels = shape
    if (
        not all(type(side) is int and side > 0 for side in shape)
        or height * width > request.max_pixels
        or channels not in ([], [2], [3], [4])
        or dtype not in {"uint8", "uint16"}
    ):
        raise ValueError("invalid shape or type")
    if not all(type(size) is int and size >= 0 for size in sizes.values()):
        raise ValueError("invalid size of metadata")
    if sum(sizes.values()) > MAX_METADATA_BYTES:
        raise ImageError(
            f"{request.name} has more than {MAX_METADATA_BYTES / 2**20:.0f} MB of metadata: "
            "remove them in another program"
        )
    blobs: dict[str, Any] = {
        field: _read(stream, sizes[field]) for field in METADATA_BLOBS if field in sizes
    }
    text, notes = header["text"] or {}, header["notes"]
    metadata = Metadata(
        **blobs,
        text={str(key): str(value) for key, value in text.items()} or None,
        dpi=(float(dpi[0]), float(dpi[1])) if dpi else None,
    )
    pixels = np.empty(shape, dtype)
    if stream.readinto(pixels.data.cast("B")) != pixels.nbytes:
        raise ValueError("pixels are missing")
    _read_end(stream)
    codec, quality = header["codec"], header["quality"]
    if quality is not None and not (type(quality) is int and 1 <= quality <= 100):
        raise ValueError("invalid quality")
    image = DecodedImage(
        pixels,
        metadata,
        notes=tuple(str(note) for note in notes),
        codec=str(codec),
        quality=quality,
    )
    return _Reply(image, warnings=tuple(str(text) for text in texts))


def _read(stream: BufferedReader, size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise ValueError("metadata are missing")
    return data


def _read_end(stream: BufferedReader) -> None:
    if stream.read(len(END_OF_REPLY)) != END_OF_REPLY:
        raise ValueError("the decoding process has failed")


def _died(request: DecodeRequest, process: subprocess.Popen[bytes]) -> str:
    """Return the error for a process that ended, by its exit code (see `decode_worker.main`)."""
    try:
        code = process.wait(timeout=1)
    except subprocess.TimeoutExpired:
        code = None
    if sys.platform != "win32" and code in {signal.SIGXCPU, signal.SIGALRM}:
        return _too_slow(request)
    return (
        f"{request.name} could not be decoded, because the decoder stopped: "
        "save it again in another program"
    )


def _too_slow(request: DecodeRequest) -> str:
    return (
        f"{request.name} took more than {request.seconds} seconds to decode and was refused: "
        "save it again in another program"
    )


def _environment() -> dict[str, str]:
    """Return the environment variables of a worker."""
    kept = KEPT_VARIABLES + (KEPT_VARIABLES_WINDOWS if sys.platform == "win32" else ())
    inherited = {key: value for key, value in os.environ.items() if key.upper().startswith(kept)}
    return {**inherited, **WORKER_VARIABLES}


def _in_thread(
    function: Callable[[DecodeRequest], _Reply], request: DecodeRequest
) -> Future[_Reply]:
    """Call a function in a thread that does not keep the program from ending."""
    future: Future[_Reply] = Future()

    def run() -> None:
        try:
            future.set_result(function(request))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True, name="decode").start()
    return future
