"""The process that decodes uploads: `python -m hsr_hub.webapp.decode_worker`.

It reads requests from stdin, one JSON object per line, and writes replies to stdout. Each file is
decoded in a forked child with its own limits, so a hostile file cannot affect the next one. On
Windows, which has neither fork nor limits, the process decodes the files itself.

A reply is a JSON line, then the bytes that this line announces (metadata and pixels), then
`END_OF_REPLY`. Pickle is not used, because the process that writes the reply has read a hostile
file.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import select
import signal
import sys
import warnings
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from hsr_hub.images import (
    ImageData,
    ImageError,
    ImageWarning,
    Metadata,
    file_compression,
    read_image,
)

if sys.platform == "win32":
    resource = None
else:
    import resource

END_OF_REPLY = b"\n"
METADATA_BLOBS = [field.name for field in fields(Metadata) if "bytes" in str(field.type)]
"""Fields of `Metadata` that are sent as bytes. The header has the others."""

MAX_OPEN_FILES = 64


@dataclass(frozen=True)
class DecodeRequest:
    """A file to decode, and what this may cost."""

    path: str
    name: str
    max_pixels: int
    seconds: int
    """Limit of the time, and of the CPU time of all threads together."""
    memory: int
    """Bytes that the address space may grow by."""

    def to_line(self) -> bytes:
        """Return the request as a line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"


def decode(request: DecodeRequest, output: BinaryIO) -> None:
    """Decode a file and write the reply."""
    header: dict[str, Any]
    blobs: list[bytes | memoryview] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            image = read_image(request.path, request.name, request.max_pixels)
        header, blobs = _describe(image)
        # This parses the file once more, which is only safe here.
        header["codec"], header["quality"] = file_compression(request.path)
        header["warnings"] = [
            str(warning.message) for warning in caught if warning.category is ImageWarning
        ]
    except Exception as error:  # a broken file can cause any error in a decoder
        header = {"error": _explain(error, request)}
    output.write(json.dumps(header).encode() + b"\n")
    for blob in blobs:
        output.write(blob)
    output.flush()


def _describe(image: ImageData) -> tuple[dict[str, Any], list[bytes | memoryview]]:
    """Return the header of a reply, and the bytes that follow it."""
    blobs = {field: getattr(image.metadata, field) for field in METADATA_BLOBS}
    pixels = np.ascontiguousarray(image.array)
    header = {
        "shape": pixels.shape,
        "dtype": pixels.dtype.name,
        "dpi": image.metadata.dpi,
        "text": image.metadata.text,
        "notes": image.notes,
        "blobs": {field: len(blob) for field, blob in blobs.items() if blob is not None},
    }
    return header, [*(blob for blob in blobs.values() if blob is not None), pixels.data.cast("B")]


def _explain(error: Exception, request: DecodeRequest) -> str:
    """Return an error as one sentence for the visitor."""
    if isinstance(error, MemoryError) or isinstance(error.__cause__, MemoryError):
        return (
            f"{request.name} needs more than {request.memory / 2**20:.0f} MB to decode and was "
            "refused: save it again in another program"
        )
    if isinstance(error, ImageError):
        return str(error)
    return f"{request.name} cannot be decoded ({error}): save it again in another program"


def decode_in_child(request: DecodeRequest, output: BinaryIO, requests: int) -> int:
    """Decode a file in a forked process with limits.

    Args:
        request: The file.
        output: Where the child writes the reply.
        requests: The descriptor of stdin. It becomes readable when the parent has ended.

    Returns:
        The child's exit code; negative if a signal ended it.
    """
    child_alive, held_by_child = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(child_alive)
            os.close(requests)  # those of others
            _limit(request)
            decode(request, output)
            status = 0
        finally:
            os._exit(status)
    os.close(held_by_child)
    readable, _, _ = select.select([child_alive, requests], [], [])
    if child_alive not in readable:  # no request comes before the reply, so stdin was closed
        os.kill(pid, signal.SIGKILL)
    os.close(child_alive)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def _limit(request: DecodeRequest) -> None:
    """Limit what this process may use, and drop the warnings of C libraries."""
    assert resource is not None
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    limits = {
        resource.RLIMIT_CPU: request.seconds,
        resource.RLIMIT_NOFILE: MAX_OPEN_FILES,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    if sys.platform == "linux":  # elsewhere the address space says little about the memory
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limits[resource.RLIMIT_AS] = pages * resource.getpagesize() + request.memory
    for limit, value in limits.items():
        _, hard = resource.getrlimit(limit)
        resource.setrlimit(limit, (value if hard < 0 else min(value, hard), hard))
    signal.alarm(request.seconds)


def main() -> int:
    """Serve requests until stdin ends, or until a file has ended its process."""
    # Unbuffered, so that `select` sees each request that was not read yet.
    requests = io.FileIO(sys.stdin.fileno(), closefd=False)
    output = sys.stdout.buffer
    sys.stdout = sys.stderr  # nothing else may get into the replies
    Image.init()
    with contextlib.suppress(ImportError):
        import pyvips  # noqa: F401  (so that not every child loads it)
    while line := requests.readline():
        request = DecodeRequest(**json.loads(line))
        if hasattr(os, "fork"):
            status = decode_in_child(request, output, requests.fileno())
            if status != 0:
                return abs(status)
        else:
            decode(request, output)
        output.write(END_OF_REPLY)
        output.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
