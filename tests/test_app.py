"""The Space, started as its own process and used through a real browser and a real client."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from hsr_hub import HSRNet
from tests.test_image_io import hostile  # noqa: F401  (a fixture)
from tests.util import ROOT

pytestmark = pytest.mark.slow

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def space(tmp_path_factory) -> Iterator[str]:
    """The address of `python app.py` on the shipped weights."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("space") / "log"
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "0"}
    environment["GRADIO_SERVER_NAME"] = "127.0.0.1"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=output, stderr=output
        )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(address, timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, log.read_text()
                time.sleep(0.5)
        else:
            raise AssertionError("the Space did not start: " + log.read_text())
        yield address
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def page(space: str) -> Iterator[Page]:
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert path, f"the browser tests need one of {BROWSERS}; ./run-tests.sh installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield browser.new_page(viewport={"width": 1280, "height": 900})
        browser.close()


def drop(page: Page, space: str, path: Path) -> None:
    """Open the page, give it a file, press the button."""
    page.goto(space)
    page.locator("#photo input[type=file]").set_input_files(path)
    expect(page.locator("#photo img")).to_be_visible(timeout=20_000)
    page.locator("#go").click()


def test_photo_in_before_and_after_png_out(page: Page, space: str, cat: Path, tmp_path: Path):
    with Image.open(cat) as image:
        image.crop((0, 0, 120, 90)).save(tmp_path / "holiday.png")
    drop(page, space, tmp_path / "holiday.png")
    expect(page.locator("#note")).to_contain_text("480x360", timeout=60_000)

    # Before and after stand in a slider, at equal size, neither through a lossy format.
    images = page.locator("#slider img")
    expect(images).to_have_count(2)
    shown = []
    for index in range(2):
        source = images.nth(index).get_attribute("src")
        assert source is not None and source.endswith(".png")
        urllib.request.urlretrieve(source, tmp_path / "shown.png")
        with Image.open(tmp_path / "shown.png") as image:
            shown.append(np.asarray(image.convert("RGB")))
    assert shown[0].shape == shown[1].shape == (360, 480, 3)
    assert not np.array_equal(*shown)

    with page.expect_download() as download:
        page.locator("#download").click()
    assert download.value.suggested_filename == "holiday-4x.png"
    download.value.save_as(tmp_path / "result.png")
    expected = HSRNet.from_pretrained("hsr-lite-x4").upscale(tmp_path / "holiday.png")
    with Image.open(tmp_path / "result.png") as image:
        assert image.format == "PNG"
        assert np.array_equal(np.asarray(image), np.asarray(expected))
        assert any(np.array_equal(np.asarray(image), s) for s in shown)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("text.png", "not a picture"),
        ("empty.jpg", "empty"),
        ("cut.jpg", "damaged or cut off"),
        ("bomb.png", "megapixels"),
    ],
)
def test_bad_file_gets_a_message(page: Page, space: str, hostile, name, reason):  # noqa: F811
    drop(page, space, hostile[name])
    toast = page.get_by_test_id("toast-body")
    expect(toast).to_contain_text(reason, timeout=20_000)
    expect(toast).to_contain_text(name)
    expect(toast).to_have_count(1)


def test_endpoint_gives_one_lossless_png(space: str, cat: Path):
    from gradio_client import Client, handle_file

    client = Client(space, verbose=False)
    endpoints = client.view_api(return_format="dict", print_info=False)
    assert isinstance(endpoints, dict)
    assert list(endpoints["named_endpoints"]) == ["/upscale"]
    result = client.predict(handle_file(str(cat)), api_name="/upscale")
    expected = HSRNet.from_pretrained("hsr-lite-x4").upscale(cat)
    with Image.open(result) as image:
        assert image.format == "PNG"
        assert np.array_equal(np.asarray(image), np.asarray(expected))
    twice = client.predict(handle_file(str(cat)), scale=2, api_name="/upscale")
    with Image.open(twice) as image:
        assert image.size == (expected.width // 2, expected.height // 2)


def test_endpoint_says_what_is_wrong(space: str, hostile):  # noqa: F811
    from gradio_client import Client, handle_file

    client = Client(space, verbose=False)
    with pytest.raises(Exception, match="not a picture"):
        client.predict(handle_file(str(hostile["text.png"])), api_name="/upscale")
    with pytest.raises(Exception, match="scale must be between"):
        client.predict(handle_file(str(hostile["text.png"])), scale=99, api_name="/upscale")
