"""Images that are given by their address: Gradio's download from hostile servers."""

from __future__ import annotations

import asyncio
import gzip
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import gradio as gr
import pytest
from gradio import processing_utils, route_utils
from gradio.routes import App
from starlette.testclient import TestClient

from hsr_hub.webapp import gradio_guards, storage, url_guard

LIMIT = url_guard.MAX_UPLOAD_MEGABYTES * 2**20


class Server(ThreadingHTTPServer):
    """Answers according to the path."""

    def __init__(self, image: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.image, self.sent = image, 0
        self.now, self.most, self.lock = 0, 0, threading.Lock()


class Handler(BaseHTTPRequestHandler):
    @property
    def counts(self) -> Server:
        assert isinstance(self.server, Server)
        return self.server

    def do_GET(self) -> None:
        with self.counts.lock:
            self.counts.now += 1
            self.counts.most = max(self.counts.most, self.counts.now)
        try:
            getattr(self, self.path.strip("/").partition(".")[0])()
        except OSError:  # the client hung up
            pass
        finally:
            self.counts.now -= 1

    def _answer(self, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def good(self) -> None:
        time.sleep(0.2)
        self._answer()
        self.wfile.write(self.counts.image)

    def moved(self) -> None:
        self._answer(302, Location="/good.png")

    def missing(self) -> None:
        self._answer(404)

    def endless(self) -> None:
        self._answer()
        while True:
            self.wfile.write(bytes(2**20))
            self.counts.sent += 2**20

    def packed(self) -> None:
        self._answer(Content_Encoding="gzip")
        self.wfile.write(gzip.compress(bytes(2 * LIMIT)))

    def slow(self) -> None:
        self._answer()
        while True:
            self.wfile.write(b"a")
            time.sleep(0.1)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(cat: Path) -> Iterator[Server]:
    with Server(cat.read_bytes()) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the guard as app.py does, and let this machine count as a public host."""

    async def here(host: str) -> str:
        assert host == "images.example"
        return "127.0.0.1"

    monkeypatch.setattr(processing_utils, "async_transport", None)
    monkeypatch.setattr(url_guard, "public_address", here)
    monkeypatch.setattr(url_guard, "DOWNLOAD_SECONDS", 3)
    url_guard.guard()


def fetch(server: Server, name: str, folder: Path) -> Path:
    """Download an address as Gradio does."""
    address = f"http://images.example:{server.server_port}/{name}"
    download = processing_utils.async_ssrf_protected_download
    with ThreadPoolExecutor(1) as thread:  # Playwright occupies this thread's event loop
        made = thread.submit(asyncio.run, download(address, str(folder)))
        return Path(made.result())


@pytest.mark.parametrize("name", ["good.png", "moved.png"])
def test_an_image_is_downloaded_and_redirects_are_followed(
    server: Server, guarded, name: str, tmp_path: Path
):
    assert fetch(server, name, tmp_path).read_bytes() == server.image


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing.png", "the answer was 404"),
        ("endless.png", "it has more than 40 MB"),
        ("packed.png", "it comes packed"),
        ("slow.png", "it took more than 3 seconds"),
    ],
)
def test_bad_responses_are_refused(server: Server, guarded, name, reason, tmp_path: Path):
    with pytest.raises(gr.Error, match=rf"{name} could not be fetched: {reason}"):
        fetch(server, name, tmp_path)
    assert server.sent < LIMIT + 2**24  # what is in buffers
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_number_of_downloads_at_a_time_is_limited(server: Server, guarded, tmp_path: Path):
    async def all_at_once() -> None:
        download = processing_utils.async_ssrf_protected_download
        address = f"http://images.example:{server.server_port}/good.png"
        await asyncio.gather(*(download(f"{address}?{n}", str(tmp_path)) for n in range(6)))

    with ThreadPoolExecutor(1) as thread:  # Playwright occupies this thread's event loop
        thread.submit(asyncio.run, all_at_once()).result()
    assert server.most == url_guard.MAX_DOWNLOADS


def test_slow_hosts_do_not_make_downloads_wait_for_long(server: Server, guarded, tmp_path: Path):
    most = url_guard.MAX_DOWNLOADS + url_guard.MAX_WAITING_DOWNLOADS

    async def all_at_once() -> list[BaseException | str]:
        download = processing_utils.async_ssrf_protected_download
        address = f"http://images.example:{server.server_port}/slow.png"
        each = [download(f"{address}?{n}", str(tmp_path)) for n in range(most + 3)]
        return await asyncio.gather(*each, return_exceptions=True)

    started = time.monotonic()
    with ThreadPoolExecutor(1) as thread:  # Playwright occupies this thread's event loop
        texts = list(map(str, thread.submit(asyncio.run, all_at_once()).result()))
    assert time.monotonic() - started < 2 * url_guard.DOWNLOAD_SECONDS
    assert sum("too many others are being fetched" in text for text in texts) == 3
    assert sum("it took more than" in text for text in texts) == most


def test_a_download_needs_room_on_the_disk(server: Server, guarded, tmp_path: Path):
    disk = storage.Disk(tmp_path, budget=len(server.image) - 1)
    url_guard.guard(disk.reserve)
    with pytest.raises(gr.Error, match="the disk of this page is full"):
        fetch(server, "good.png", tmp_path)


def test_a_download_counts_for_the_visitor_who_sent_the_address(
    server: Server, guarded, monkeypatch: pytest.MonkeyPatch
):
    """Otherwise one visitor could use up the space that all share, besides that of an upload."""
    written: Counter[str] = Counter()
    url_guard.guard(lambda size, address: written.update({address: size}))
    state = gradio_guards._session_state_of_address
    monkeypatch.setattr(route_utils, "restore_session_state", state)
    with gr.Blocks() as page:
        image, made = gr.Image(type="filepath"), gr.Textbox()
        gr.Button().click(lambda file: "made", image, made, api_name="make", queue=False)
    address = f"http://images.example:{server.server_port}/good.png"
    file = {"path": address, "meta": {"_type": "gradio.FileData"}}
    visitor = TestClient(App.create_app(page), client=("203.0.113.7", 1))
    with ThreadPoolExecutor(1) as thread:  # Playwright occupies this thread's event loop
        call = thread.submit(visitor.post, "/gradio_api/run/make", json={"data": [file]})
    assert call.result().json()["data"] == ["made"]
    assert written == {"203.0.113.7": len(server.image)}
