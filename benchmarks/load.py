"""Measure the Space with 1, 4 and 16 clients at once: correct answers, latency, peak memory.

    python -m benchmarks.load [--json FILE]

Starts `python app.py` in its own process. Every client sends three different images of 320x240,
one after the other, through gradio_client. Each answer must equal `model.upscale` pixel for pixel.
Needs requirements-dev.txt. `benchmarks.attacks` measures hostile clients.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
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


def main() -> None:
    """Print a line per number of clients and write JSON on request."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows = []
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
    common.save(args.json, rows=rows, idle_mib=idle)
    if any(row["wrong"] for row in rows):
        raise SystemExit('some answers differ from model.upscale: see the column "wrong"')


if __name__ == "__main__":
    main()
