"""Measure the Space with 1, 4 and 16 clients at once: correct answers, latency, peak memory.

    python -m benchmarks.load [--attacks] [--json FILE]

Starts `python app.py` in its own process. Every client sends three different images of 320x240,
one after the other, through gradio_client. Each answer must equal `model.upscale` pixel for pixel.
With --attacks, 16 and 48 clients also send images of 24 megapixels for a minute, listening or
hanging up at once, while another visitor sends thumbnails. Then uploads are cut off for "an hour",
on a page that keeps files for a minute instead of an hour. Needs Linux, where each client can have
an address of its own, and requirements-dev.txt.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import psutil
from gradio_client import Client, handle_file
from PIL import Image

from benchmarks import common
from hsr_hub import HSRNet
from hsr_hub.hub import DEFAULT_MODEL
from tests.space import Space, running

CLIENTS = (1, 4, 16)
IMAGES = 3
ATTACK_SECONDS = 60
"""How long clients listen for their images of 24 megapixels."""
HOUR = 60
"""Seconds that stand for an hour of cut uploads."""
CUT_DISK_GB = 1


class Memory:
    """Resident memory of a process, sampled."""

    def __init__(self, process: int, children: bool = False) -> None:
        """Take the first sample.

        Args:
            process: Its id.
            children: Whether its decoders count too.
        """
        self._process, self._children = psutil.Process(process), children
        self.start = self.now()
        self.peak = self.start

    def now(self) -> int:
        """Return the resident MiB."""
        processes = [self._process]
        total = 0
        with contextlib.suppress(psutil.NoSuchProcess):
            if self._children:
                processes += self._process.children(recursive=True)
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):  # a decoder that has ended
                total += process.memory_info().rss
        return total >> 20

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Sample every 20 ms during the block."""
        stop = threading.Event()

        def watch() -> None:
            while not stop.wait(0.02):
                self.peak = max(self.peak, self.now())

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def crop(number: int, folder: Path) -> Path:
    """Write an image that no other client sends, cut from an example, and return its path."""
    path = folder / f"image{number}.png"
    with Image.open(common.ROOT / "examples" / "coffee.png") as image:
        left, top = number * 7 % (image.width - 320), number * 5 % (image.height - 240)
        image.convert("RGB").crop((left, top, left + 320, top + 240)).save(path)
    return path


def visit(space: Space, clients: int, folder: Path) -> tuple[list[float], float, int]:
    """Return the seconds of every answer, the seconds of all together, and the wrong answers."""
    paths = [crop(number, folder) for number in range(clients * IMAGES)]
    barrier = threading.Barrier(clients)

    def one(client: int) -> list[tuple[float, Path, str]]:
        connection = Client(space.address, verbose=False)
        barrier.wait()
        answers = []
        for path in paths[client::clients]:
            started = time.perf_counter()
            result = connection.predict(handle_file(str(path)), api_name="/upscale")
            answers.append((time.perf_counter() - started, path, result))
        return answers

    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        answers = [answer for client in pool.map(one, range(clients)) for answer in client]
    together = time.perf_counter() - started
    model = HSRNet.from_pretrained(DEFAULT_MODEL)
    wrong = 0
    for _, path, result in answers:
        with Image.open(result) as image:
            wrong += not np.array_equal(np.asarray(image), np.asarray(model.upscale(path)))
    return [seconds for seconds, _, _ in answers], together, wrong


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
    time.sleep(HOUR * 1.1)
    return {"uploads": count, "peak_mib": peak, "left_mib": disk_mib(space)}


def disk_mib(space: Space) -> float:
    """Return the MiB of a page's files."""
    total = 0
    for path in space.temporary.rglob("*"):
        with contextlib.suppress(OSError):  # removed since
            total += path.stat().st_size if path.is_file() else 0
    return total / 2**20


def main() -> None:
    """Print a line per number of clients and write JSON on request."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--attacks", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows, attacks = [], []
    cut = None
    with running() as space, tempfile.TemporaryDirectory() as folder:
        visit(space, 1, Path(folder))  # warms up
        idle = Memory(space.process.pid).start
        for clients in CLIENTS:
            memory = Memory(space.process.pid)
            with memory.watched():
                seconds, together, wrong = visit(space, clients, Path(folder))
            rows.append(
                {
                    "clients": clients,
                    "answers": len(seconds),
                    "wrong": wrong,
                    "median_seconds": statistics.median(seconds),
                    "slowest_seconds": max(seconds),
                    "answers_per_second": len(seconds) / together,
                    "peak_mib": memory.peak,
                }
            )
            print("  ".join(f"{key} {value:.4g}" for key, value in rows[-1].items()), flush=True)
        if args.attacks:
            for clients, listen in [(16, True), (48, True), (16, False), (48, False)]:
                attacks.append(attack(space, clients, listen, Path(folder)))
                print("  ".join(f"{k} {v:.4g}" for k, v in attacks[-1].items()), flush=True)
    if args.attacks:
        with running(HSR_KEEP_MINUTES=str(HOUR / 60), HSR_MAX_DISK_GB=str(CUT_DISK_GB)) as space:
            cut = {"allowed_mib": CUT_DISK_GB * 1024, **cut_uploads(space)}
        print("  ".join(f"{key} {value:.4g}" for key, value in cut.items()))
    common.save(args.json, rows=rows, idle_mib=idle, attacks=attacks, cut=cut)
    if any(row["wrong"] for row in rows):
        raise SystemExit('some answers differ from model.upscale: see the column "wrong"')


if __name__ == "__main__":
    main()
