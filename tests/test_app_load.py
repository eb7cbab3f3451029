"""Many visitors at once, memory, a full queue, removed uploads, files that are left behind."""

from __future__ import annotations

import json
import signal
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from playwright.sync_api import Page, expect

from benchmarks.load import Memory
from hsr_hub.webapp import storage
from tests.space import Space, chosen, drop, expire_uploads, noise, pixels, running
from tests.util import ROOT

pytestmark = pytest.mark.slow

VISITORS = 10


def test_ten_visitors_at_once_get_their_own_results_in_bounded_memory(
    rough_space: Space, tmp_path: Path, capsys: pytest.CaptureFixture
):
    def visit(number: int) -> tuple[Path, str]:
        path = tmp_path / f"visitor{number}.png"
        noise((220 + 4 * number, 160), seed=number).save(path)
        client = Client(rough_space.address, verbose=False)
        all_here.wait()
        return path, client.predict(handle_file(str(path)), api_name="/upscale")

    memory = Memory(rough_space.process.pid)
    alone = _one(rough_space, tmp_path, memory)
    all_here = threading.Barrier(VISITORS)
    started = time.perf_counter()
    with memory.watched(), ThreadPoolExecutor(VISITORS) as visitors:
        results = list(visitors.map(visit, range(VISITORS)))
    seconds = time.perf_counter() - started

    for path, result in results:
        name, network = chosen(path)
        assert Path(result).name == f"{path.stem}-4x-{name}.png"
        assert np.array_equal(pixels(result), np.asarray(network.upscale(path)))
    with capsys.disabled():
        print(
            f"\n{VISITORS} visitors at once: all served in {seconds:.1f} s; memory {memory.start} "
            f"MiB idle, {alone} MiB with one, at most {memory.peak} MiB with {VISITORS}"
        )
    # One image is computed at a time, so ten need about as much as one.
    assert memory.peak - alone < 400


def _one(space: Space, folder: Path, memory: Memory) -> int:
    """Return the peak memory of a single image of that size."""
    noise((260, 160)).save(folder / "alone.png")
    with memory.watched():
        Client(space.address, verbose=False).predict(
            handle_file(str(folder / "alone.png")), api_name="/upscale"
        )
    return memory.peak


def test_a_full_queue_refuses_and_then_empties(rough_space: Space, tmp_path: Path):
    def knock(_: int) -> int:
        request = urllib.request.Request(
            f"{rough_space.address}/gradio_api/call/upscale",
            json.dumps({"data": [image, 4, None, None, 0, "hsr-lite-x4"]}).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            assert "Queue is full" in error.read().decode()
            return error.code

    image = _uploaded(rough_space, tmp_path)
    with ThreadPoolExecutor(8) as visitors:
        answers = list(visitors.map(knock, range(100)))
    assert 200 in answers and set(answers) <= {200, 503}
    # It empties again, and later requests are served.
    client = Client(rough_space.address, verbose=False)
    for _ in range(120):
        try:
            file = handle_file(str(tmp_path / "waiting.png"))
            assert client.predict(file, api_name="/upscale")
            break
        except AppError as error:
            assert "try again later" in str(error) or "Queue is full" in str(error)
            time.sleep(0.5)
    else:
        raise AssertionError("the queue stays full")


def _uploaded(space: Space, folder: Path) -> dict[str, Any]:
    noise((160, 120)).save(folder / "waiting.png")
    body = b"--edge\r\nContent-Disposition: form-data; name=files; filename=waiting.png\r\n\r\n"
    body += (folder / "waiting.png").read_bytes() + b"\r\n--edge--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=edge"}
    request = urllib.request.Request(f"{space.address}/gradio_api/upload", body, headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return {"path": json.load(answer)[0], "meta": {"_type": "gradio.FileData"}}


def test_a_photo_that_was_removed_is_asked_for_again(page: Page, space: Space, tmp_path: Path):
    noise((120, 90)).save(tmp_path / "old.png")
    drop(page, space, tmp_path / "old.png")
    expect(page.locator("#run-button")).to_be_enabled(timeout=20_000)
    expire_uploads(space, "old.png")
    page.locator("#run-button").click()
    expect(page.get_by_role("alert")).to_contain_text("This photo is no longer here")
    expect(page.locator("#photo img")).to_have_count(0)
    expect(page.locator("#run-button")).to_be_disabled()
    expect(page.get_by_test_id("toast-body")).to_have_count(0)
    page.locator("#photo input[type=file]").set_input_files(tmp_path / "old.png")
    expect(page.locator("#run-button")).to_be_enabled(timeout=20_000)
    expect(page.get_by_role("alert").locator("visible=true")).to_have_count(0)
    page.locator("#run-button").click()
    expect(page.locator("#result-summary")).to_be_visible(timeout=60_000)


def test_no_file_is_left_behind(tmp_path: Path):
    with ThreadPoolExecutor(2) as pool:  # starting is most of the time
        list(pool.map(_serve_and_stop, [signal.SIGTERM, signal.SIGINT], [tmp_path] * 2))


def _serve_and_stop(by: signal.Signals, parent: Path) -> None:
    tmp_path = parent / by.name
    tmp_path.mkdir()
    with running() as space:
        noise((80, 60)).save(tmp_path / "photo.png")
        client = Client(space.address, verbose=False)
        client.predict(handle_file(str(tmp_path / "photo.png")), api_name="/upscale")
        [folder] = space.temporary.glob("hsr-hub-*")
        files = {path.name for path in folder.rglob("*") if path.is_file()}
        # The upload, the result and the examples.
        examples = {path.name for path in (ROOT / "examples").iterdir()}
        name, _ = chosen(tmp_path / "photo.png")
        made = {f"photo-4x-{name}.png", "photo.png"}
        assert files - examples - {storage.LOCK} == made
        # One image is computed, and one waits.
        noise((2200, 1700)).save(tmp_path / "large.jpg")
        for _ in range(2):
            client.submit(handle_file(str(tmp_path / "large.jpg")), api_name="/upscale")
        for _ in range(300):
            if len(list(folder.glob(f"{storage.JOBS}/*"))) == 3:
                break
            time.sleep(0.1)
        time.sleep(2)
        decoders = psutil.Process(space.process.pid).children(recursive=True)
        space.process.send_signal(by)
        assert space.process.wait(30) == {signal.SIGTERM: 143, signal.SIGINT: 0}[by]
        assert list(space.temporary.iterdir()) == []
        assert not psutil.wait_procs(decoders, 5)[1]
