"""Measure the Space under hostile clients: memory, the wait of other visitors, and the disk.

    python -m benchmarks.attacks [--json FILE]

Starts `python app.py` in its own process. 16 and 48 clients send images of 24 megapixels for a
minute, listening or hanging up at once, while another visitor sends thumbnails. Then uploads are
cut off for "an hour", on a page that keeps files for a minute instead of an hour. Needs Linux,
where each client can have an address of its own, and requirements-dev.txt.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

from PIL import Image

from benchmarks import common
from benchmarks.load import Memory, crop
from hsr_hub.hub import DEFAULT_MODEL
from tests.space import Space, running

ATTACKS = [(16, True), (48, True), (16, False), (48, False)]
"""Number of clients, and whether they listen."""
ATTACK_SECONDS = 60
"""How long clients listen for their images of 24 megapixels."""
HOUR = 60
"""Seconds that stand for an hour of cut uploads."""
CUT_DISK_GB = 1


def post(
    space: Space, path: str, body: bytes, kind: str, source: str, timeout: float = 600
) -> HTTPConnection:
    """Send a request from an address of this machine and return the connection."""
    host, port = space.address.removeprefix("http://").split(":")
    connection = HTTPConnection(host, int(port), timeout=timeout, source_address=(source, 0))
    connection.request("POST", path, body, {"Content-Type": kind})
    return connection


def upload(space: Space, path: Path, source: str) -> dict[str, object]:
    """Upload a file and return it as Gradio's own client sends it."""
    body = b"--edge\r\nContent-Disposition: form-data; name=files; filename=%s\r\n\r\n%s"
    body = body % (path.name.encode(), path.read_bytes()) + b"\r\n--edge--\r\n"
    kind = "multipart/form-data; boundary=edge"
    with closing(post(space, "/gradio_api/upload", body, kind, source)) as connection:
        name = json.load(connection.getresponse())[0]
    return {"path": name, "meta": {"_type": "gradio.FileData"}}


def order(space: Space, path: Path, scale: float, source: str, until: float | None = None) -> str:
    """Ask for an image.

    Args:
        space: Where.
        path: The image.
        scale: Its scale.
        source: Address of the caller.
        until: Time on the monotonic clock at which the caller hangs up. None: never.

    Returns:
        The events up to then, or the refusal.
    """
    data = [upload(space, path, source), scale, None, None, 0, DEFAULT_MODEL]
    body, route = json.dumps({"data": data}).encode(), "/gradio_api/call/upscale"
    with closing(post(space, route, body, "application/json", source)) as connection:
        answer = json.load(connection.getresponse())
        event = answer.get("event_id")
        if event is None:
            return str(answer)
        if until is not None and time.monotonic() >= until:
            return ""
        connection.request("GET", f"{route}/{event}")
        text, wire = b"", connection.sock
        assert wire is not None
        with contextlib.suppress(TimeoutError):  # the caller hangs up
            response = connection.getresponse()
            while part := response.read1(1 << 16):
                text += part
                if until is not None:
                    wire.settimeout(max(0.01, until - time.monotonic()))
        return text.decode()


def attack(space: Space, clients: int, listen: bool, folder: Path) -> dict[str, float]:
    """Return memory and the longest wait of a thumbnail while clients send 24 megapixels each."""
    large, small = folder / "large.jpg", crop(0, folder)
    with Image.open(common.ROOT / "examples" / "coffee.png") as image:
        image.convert("RGB").resize((6000, 4000)).save(large)
    memory = Memory(space.process.pid, children=True)
    until = time.monotonic() + (ATTACK_SECONDS if listen else 0)
    end, waits = time.monotonic() + ATTACK_SECONDS, []
    with memory.watched(), ThreadPoolExecutor(clients) as pool:
        answers = [
            pool.submit(order, space, large, 1, f"127.0.1.{n % 8 + 1}", until)
            for n in range(clients)
        ]
        time.sleep(5)
        while not waits or time.monotonic() < end:
            asked = time.monotonic()
            assert "event: complete" in order(space, small, 1, "127.0.2.1")
            waits.append(time.monotonic() - asked)
        texts = [answer.result() for answer in answers]
    return {
        "clients": clients,
        "listening": float(listen),
        "served": sum("event: complete" in text for text in texts),
        "refused": sum("event: error" in text or "detail" in text for text in texts),
        "thumbnails": len(waits),
        "thumbnail_seconds": max(waits),
        "peak_mib": memory.peak,
    }


def cut_uploads(space: Space) -> dict[str, float]:
    """Cut uploads off after 1 MiB for `HOUR`, and return how much they take on the disk."""
    host, port = space.address.removeprefix("http://").split(":")
    head = "POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40000000\r\n"
    head += "Content-Type: multipart/form-data; boundary=edge\r\n\r\n--edge\r\n"
    head += "Content-Disposition: form-data; name=files; filename=a.png\r\n\r\n"
    examples = disk_mib(space)
    count, peak, end = 0, 0.0, time.monotonic() + HOUR
    while time.monotonic() < end:
        with (
            contextlib.suppress(OSError),  # refused, because the disk is full
            socket.create_connection((host, int(port)), timeout=60) as connection,
        ):
            connection.sendall(head.encode() + bytes(2**20))
        count += 1
        if count % 20 == 0:
            peak = max(peak, disk_mib(space))
    stopped = time.monotonic()
    while disk_mib(space) > examples and time.monotonic() < stopped + 10 * HOUR:
        time.sleep(1)
    return {"uploads": count, "peak_mib": peak, "gone_seconds": time.monotonic() - stopped}


def disk_mib(space: Space) -> float:
    """Return the MiB of a page's files."""
    total = 0
    for path in space.temporary.rglob("*"):
        with contextlib.suppress(OSError):  # removed since
            total += path.stat().st_size if path.is_file() else 0
    return total / 2**20


def main() -> None:
    """Print a line per attack and write JSON on request."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows, load_average = [], os.getloadavg()[0]
    with running() as space, tempfile.TemporaryDirectory() as folder:
        small = crop(0, Path(folder))
        order(space, small, 1, "127.0.2.1")  # warms up
        idle = Memory(space.process.pid, children=True).start
        for clients, listen in ATTACKS:
            rows.append(attack(space, clients, listen, Path(folder)))
            print("  ".join(f"{key} {value:.4g}" for key, value in rows[-1].items()), flush=True)
    with running(HSR_KEEP_MINUTES=str(HOUR / 60), HSR_MAX_DISK_GB=str(CUT_DISK_GB)) as space:
        cut = {"allowed_mib": CUT_DISK_GB * 1024, **cut_uploads(space)}
    print("  ".join(f"{key} {value:.4g}" for key, value in cut.items()))
    common.save(args.json, rows=rows, idle_mib=idle, cut=cut, load_average=load_average)


if __name__ == "__main__":
    main()
