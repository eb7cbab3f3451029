"""The Space as a process of its own, and a browser."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import (
    Browser,
    BrowserContext,
    CDPSession,
    Page,
    Playwright,
    expect,
    sync_playwright,
)

from hsr_hub import HSRNet
from hsr_hub.hub import bundled_models, choose_weights, default_model
from hsr_hub.images import inspect_file, read_image
from hsr_hub.inference import best_device
from tests.hub_process import PythonProcess
from tests.util import ROOT

expect.set_options(timeout=30_000)  # on a busy machine an answer may take its time

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # A page opens in half the time in a process that has run its scripts before.
    "--process-per-site",
    # A camera, whose photo is below.
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]


@dataclass
class Space:
    """A running `python app.py`."""

    address: str
    process: subprocess.Popen | PythonProcess
    log: Path
    temporary: Path
    """Its folder for temporary files."""


@contextmanager
def running(fork: bool = False, **environment: str) -> Iterator[Space]:
    """Run `python app.py` until the end of the block.

    Args:
        fork: Whether it starts as a fork in which torch is loaded already, which saves seconds.
        environment: Changes to the environment.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="hsr-hub-test-"))
    log, temporary = folder / "log", folder / "tmp"
    temporary.mkdir()
    settings = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_ANALYTICS_ENABLED": "0",
        "TMPDIR": str(temporary),
        **environment,
    }
    for name in ("HSR_MODEL_ID", "HSR_DETAIL_MODEL_ID", "HSR_REVISION", "GRADIO_TEMP_DIR"):
        if name not in environment:
            settings.pop(name, None)
    if fork:
        process = PythonProcess(["app.py"], ROOT, settings, log)
    else:
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "app.py"], cwd=ROOT, env=settings, stdout=output, stderr=output
            )
    space = Space(f"http://127.0.0.1:{port}", process, log, temporary)
    try:
        _wait_for(space)
        yield space
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(space: Space) -> None:
    for _ in range(1200):
        try:
            urllib.request.urlopen(space.address, timeout=5).close()
        except OSError:
            assert space.process.poll() is None, space.log.read_text()
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the Space did not start: " + space.log.read_text())


@pytest.fixture(scope="session")
def space() -> Iterator[Space]:
    """The Space on the bundled models. No test may make it print a stack trace."""
    with running(fork=True) as space:
        yield space
        assert "Traceback" not in space.log.read_text(), space.log.read_text()


@pytest.fixture(scope="session")
def rough_space() -> Iterator[Space]:
    """A second Space, for tests that overload it or make Gradio print a stack trace."""
    with running(fork=True) as space:
        yield space


def browser_path() -> str:
    """Return the path of a browser."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert path, f"the browser tests need one of {BROWSERS}; ./run-tests.sh installs it"
    return path


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def browser(playwright: Playwright, tmp_path_factory) -> Iterator[Browser]:
    film = tmp_path_factory.mktemp("camera") / "film.y4m"
    write_film(film)
    flags = [*CHROMIUM_FLAGS, f"--use-file-for-fake-video-capture={film}"]
    browser = playwright.chromium.launch(executable_path=browser_path(), args=flags)
    yield browser
    browser.close()


def write_film(path: Path) -> None:
    """Write what the camera sees: black on the left, white on the right, 64 x 48 pixels."""
    row = bytes(32) + b"\xff" * 32
    frame = b"FRAME\n" + row * 48 + b"\x80" * (32 * 24 * 2)
    path.write_bytes(b"YUV4MPEG2 W64 H48 F10:1 Ip A1:1 C420jpeg\n" + frame * 10)


class Visits:
    """Pages of visitors one after the other, who have the browser's cache in common.

    Gradio's page is a hundred files, and to open it with an empty cache takes seconds of computing.
    """

    def __init__(self, browser: Browser, **options: Any) -> None:
        self.context: BrowserContext = browser.new_context(**options)
        # As long as this page is open, the next one gets its process.
        keeper = self.context.new_page()
        keeper.route("**/*", lambda route: route.fulfill(body="", content_type="text/html"))
        keeper.goto("http://127.0.0.1/")
        self.session: CDPSession = self.context.new_cdp_session(keeper)

    @contextmanager
    def visit(self) -> Iterator[Page]:
        """Open a page, and at the end forget all that it has stored."""
        page = self.context.new_page()
        visited: set[str] = set()
        page.on("framenavigated", lambda frame: visited.add(frame.url))
        try:
            yield page
        finally:
            page.close()
            self.context.clear_permissions()
            self.context.clear_cookies()
            for origin in {"/".join(url.split("/")[:3]) for url in visited if url[:4] == "http"}:
                self.session.send(
                    "Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "all"}
                )


@pytest.fixture(scope="session")
def desktop(browser: Browser) -> Iterator[Visits]:
    visits = Visits(browser, viewport={"width": 1280, "height": 900})
    yield visits
    visits.context.close()


@pytest.fixture(scope="session")
def mobile(browser: Browser) -> Iterator[Visits]:
    options = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
    visits = Visits(browser, **options)
    yield visits
    visits.context.close()


@pytest.fixture
def page(desktop: Visits) -> Iterator[Page]:
    """A new visitor."""
    with desktop.visit() as page:
        yield page


@pytest.fixture
def phone(mobile: Visits) -> Iterator[Page]:
    """A new visitor with a phone."""
    with mobile.visit() as page:
        yield page


def drop(page: Page, space: Space, path: Path, start: bool = False) -> None:
    """Open the page and its options, and upload a file.

    Args:
        page: The visitor.
        space: What to open.
        path: The file.
        start: Whether the work starts at once, which is the page's default.
    """
    page.goto(space.address)
    show_options(page)
    if not start:
        page.get_by_label("Start as soon as").uncheck()
    page.locator("#photo input[type=file]").set_input_files(path)


def show_options(page: Page) -> None:
    """Open the options of the tab for one photo."""
    page.get_by_role("button", name="Options").click()
    expect(page.get_by_label("Start as soon as")).to_be_visible()


def expire_uploads(space: Space, name: str) -> None:
    """Remove uploads of a name, and all thumbnails, as the page does after an hour."""
    found = [p for p in space.temporary.rglob("*") if p.name in {name, "thumbnail.jpg"}]
    assert any(path.name == name for path in found)
    for path in found:
        path.unlink()


def sharpen(page: Page, space: Space, path: Path) -> None:
    """Open the page, upload a file, press the button, wait for the result."""
    drop(page, space, path)
    expect(page.locator("#run-button")).to_be_enabled(timeout=20_000)
    page.locator("#run-button").click()
    expect(page.locator("#result-summary")).to_be_visible(timeout=120_000)


def download(page: Page, folder: Path, button: str = "#download") -> Path:
    """Press a download button and return the file, under its own name."""
    with page.expect_download() as waiting:
        page.locator(button).click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def pixels(path: str | Path) -> np.ndarray:
    """Return the pixels of an image file."""
    with Image.open(path) as image:
        return np.asarray(image)


def chosen(path: str | Path, scale: float = 4) -> tuple[str, HSRNet]:
    """Return the weights that Auto chooses for a file, and their name."""
    traits = inspect_file(path, read_image(path))
    name, _ = choose_weights(traits, scale, bundled_models(), default_model(best_device()))
    return name, HSRNet.from_pretrained(name)


def noise(size: tuple[int, int], seed: int = 0) -> Image.Image:
    """Return an image of (width, height), different for each seed."""
    values = np.random.default_rng(seed).integers(0, 256, (size[1] // 4 + 1, size[0] // 4 + 1, 3))
    return Image.fromarray(values.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture(scope="session")
def wrong_files(tmp_path_factory) -> dict[str, Path]:
    """Files that have an image's name and are not valid images."""
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "text.png").write_text("not an image")
    (folder / "empty.jpg").touch()
    noise((64, 48)).save(folder / "whole.jpg")
    whole = (folder / "whole.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    _write_header(folder / "bomb.png", (50_000, 50_000))
    _write_header(folder / "large.png", (8000, 5000))
    return {path.name: path for path in folder.iterdir()}


def _write_header(path: Path, size: tuple[int, int]) -> None:
    """Write a PNG whose header has that size, without pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
