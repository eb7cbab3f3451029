"""The tab for one photo, in a browser, with `python app.py` as a process of its own."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Playwright, expect

from hsr_hub import HSRNet
from tests.space import (
    CHROMIUM_FLAGS,
    Space,
    browser_path,
    download,
    drop,
    noise,
    pixels,
    sharpen,
)
from tests.util import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bundled() -> HSRNet:
    return HSRNet.from_pretrained("hsr-lite-x4")


def test_a_photo_becomes_before_and_after_and_a_lossless_png(
    page: Page, space: Space, bundled: HSRNet, cat: Path, tmp_path: Path
):
    with Image.open(cat) as image:
        image.crop((0, 0, 120, 90)).save(tmp_path / "holiday (1).png")
    drop(page, space, tmp_path / "holiday (1).png")
    # Sizes and time are shown before the start.
    info = page.locator("#image-info")
    expect(info).to_contain_text("120 × 90", timeout=20_000)
    expect(info).to_contain_text("480 × 360")
    expect(info).to_contain_text("about")
    page.get_by_role("button", name="Make it sharp").click()
    expect(page.locator("#result-summary")).to_contain_text("480 × 360", timeout=60_000)
    expect(page.locator("#result-summary")).to_contain_text(re.compile(r"took \d+\.\d s"))

    # The slider has before and after at the same size, neither in a lossy format.
    images = page.locator("#slider img")
    expect(images).to_have_count(2)
    shown = []
    for index in range(2):
        answer = page.request.get(str(images.nth(index).get_attribute("src")))
        (tmp_path / "shown.png").write_bytes(answer.body())
        with Image.open(tmp_path / "shown.png") as image:
            assert image.format == "PNG"
            shown.append(np.asarray(image.convert("RGB")))
    assert shown[0].shape == shown[1].shape == (360, 480, 3)
    assert not np.array_equal(*shown)

    result = download(page, tmp_path)
    assert result.name == "holiday (1)-4x.png"
    expected = np.asarray(bundled.upscale(tmp_path / "holiday (1).png"))
    assert np.array_equal(pixels(result), expected)
    assert np.array_equal(pixels(result), shown[1])


def test_jpeg_and_webp_have_the_same_name(page: Page, space: Space, cat: Path, tmp_path: Path):
    sharpen(page, space, cat)
    original = pixels(download(page, tmp_path)).astype(float)
    for kind, name in (("JPEG", "cat-4x.jpg"), ("WebP", "cat-4x.webp")):
        page.get_by_role("radio", name=kind).check()
        expect(page.locator("#download")).to_contain_text(kind, timeout=20_000)
        path = download(page, tmp_path)
        assert path.name == name
        with Image.open(path) as image:
            assert image.format == kind.upper()
        assert np.abs(pixels(path).astype(float) - original).mean() < 3


def test_an_example_and_its_result_take_one_click_each_and_are_cached(
    page: Page, space: Space, bundled: HSRNet, tmp_path: Path
):
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(space.address)
    page.get_by_role("button", name="Example: a cup of coffee").click()
    expect(page.locator("#image-info")).to_contain_text("300 × 200", timeout=20_000)
    page.locator("#run-button").click()
    expect(page.locator("#result-summary")).to_contain_text("1200 × 800", timeout=60_000)
    # It is computed once. Later requests for the same example get it at once.
    page.reload()
    page.get_by_role("button", name="Example: a cup of coffee").click()
    page.locator("#run-button").click()
    expect(page.locator("#result-summary")).to_contain_text("was made before")
    result = download(page, tmp_path)
    assert result.name == "coffee-4x.png"
    expected = np.asarray(bundled.upscale(ROOT / "examples" / "coffee.png"))
    assert np.array_equal(pixels(result), expected)
    strangers = [u for u in asked if not u.startswith((space.address, "data:", "blob:"))]
    assert strangers == [], "the page must need no network"


def test_an_image_can_be_pasted_anywhere(page: Page, space: Space, cat: Path):
    page.goto(space.address)
    expect(page.locator("#run-button")).to_be_visible()
    # A headless browser has no clipboard. This is the event that it would send.
    page.evaluate(
        """(bytes) => {
            const files = new DataTransfer();
            files.items.add(new File([new Uint8Array(bytes)], "pasted.png", {type: "image/png"}));
            const event = {clipboardData: files, bubbles: true};
            document.body.dispatchEvent(new ClipboardEvent("paste", event));
        }""",
        list(cat.read_bytes()),
    )
    expect(page.locator("#image-info")).to_contain_text("225 × 150", timeout=20_000)


def test_a_photo_can_be_taken_with_the_camera(playwright: Playwright, space: Space, tmp_path: Path):
    camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with playwright.chromium.launch(
        executable_path=browser_path(), args=[*CHROMIUM_FLAGS, *camera]
    ) as browser:
        page = browser.new_page(permissions=["camera"])
        page.goto(space.address)
        page.get_by_role("button", name="Capture from camera").click()
        page.get_by_role("button", name="Click to Access Webcam").click()
        page.wait_for_function("document.querySelector('#photo video')?.videoWidth > 0")
        page.wait_for_timeout(500)  # the first frames may be blank
        page.get_by_role("button", name="capture photo").click()
        expect(page.locator("#image-info")).to_contain_text(
            re.compile(r"\d+ × \d+"), timeout=20_000
        )
        expect(page.locator("#photo img")).to_have_js_property("complete", True)
        page.get_by_role("radio", name="1x").first.check()
        page.locator("#run-button").click()
        expect(page.locator("#result-summary")).to_contain_text("cleaned up", timeout=60_000)
        taken = pixels(download(page, tmp_path))
        assert taken.std() > 20, "the camera's image, not a blank one"


def test_an_exact_size_keeps_the_proportions_if_one_side_is_empty(
    page: Page, space: Space, bundled: HSRNet, cat: Path, tmp_path: Path
):
    drop(page, space, cat)
    page.get_by_role("radio", name="Exact").first.check()
    expect(page.locator("#error-box")).to_contain_text("a width, a height, or both", timeout=20_000)
    expect(page.locator("#run-button")).to_be_disabled()
    page.get_by_label("Width in pixels").first.fill("450")
    expect(page.locator("#image-info")).to_contain_text("450 × 300", timeout=20_000)
    page.get_by_label("Height in pixels").first.fill("200")
    expect(page.locator("#image-info")).to_contain_text("450 × 200", timeout=20_000)
    expect(page.locator("#error-box")).to_be_hidden()
    page.locator("#run-button").click()
    expect(page.locator("#result-summary")).to_be_visible(timeout=60_000)
    result = download(page, tmp_path)
    assert result.name == "cat-450x200.png"
    assert np.array_equal(pixels(result), np.asarray(bundled.upscale(cat, size=(450, 200))))


def test_a_large_result_is_shown_reduced_and_saved_whole(page: Page, space: Space, tmp_path: Path):
    noise((90, 60)).save(tmp_path / "small.png")
    drop(page, space, tmp_path / "small.png")
    page.get_by_role("radio", name="Exact").first.check()
    page.get_by_label("Width in pixels").first.fill("4500")  # before the answer to the choice
    expect(page.locator("#image-info")).to_contain_text("4500 × 3000", timeout=20_000)
    page.locator("#run-button").click()
    expect(page.locator("#result-summary")).to_contain_text("This view is reduced", timeout=60_000)
    images = page.locator("#slider img")
    expect(images.first).to_have_js_property("complete", True)
    widths = [images.nth(i).evaluate("image => image.naturalWidth") for i in range(2)]
    assert widths[0] == widths[1] <= 3000
    assert pixels(download(page, tmp_path)).shape == (3000, 4500, 3)


def test_a_photo_too_large_for_4x_gets_the_largest_scale_that_fits(
    page: Page, space: Space, tmp_path: Path
):
    Image.new("RGB", (4000, 3000), "teal").save(tmp_path / "phone.jpg")
    drop(page, space, tmp_path / "phone.jpg")
    expect(page.locator("#image-info")).to_contain_text("8000 × 6000", timeout=20_000)
    expect(page.get_by_role("radio", name="2x").first).to_be_checked()
    expect(page.locator("#run-button")).to_be_enabled()
    page.get_by_role("radio", name="4x").first.check()
    expect(page.locator("#error-box")).to_contain_text("192 megapixels", timeout=20_000)
    expect(page.locator("#run-button")).to_be_disabled()


def test_the_preview_fills_and_the_progress_bar_moves(page: Page, space: Space, tmp_path: Path):
    noise((800, 600)).save(tmp_path / "photo.png")
    drop(page, space, tmp_path / "photo.png")
    expect(page.locator("#run-button")).to_be_enabled(timeout=20_000)
    page.locator("#run-button").click()
    preview = page.get_by_role("img", name="Your photo, filling")
    expect(preview).to_be_visible(timeout=3_000)
    previews, percents, left = set(), [], set()
    for _ in range(600):
        if page.locator("#result-summary").is_visible():
            break
        seen = page.evaluate(
            """() => [
                document.querySelector("#preview img")?.src,
                document.querySelector("#progress-bar [role=progressbar]")?.ariaValueNow,
                document.querySelector("#progress-bar p")?.textContent,
            ]"""
        )
        previews.add(seen[0])
        percents.append(int(seen[1] or 0))
        left.add("left" in (seen[2] or ""))
        time.sleep(0.1)
    assert len(previews - {None}) >= 3, "bicubic at first, then tile after tile"
    assert max(len(preview or "") for preview in previews) < 600_000, "the preview must be small"
    assert percents == sorted(percents) and len(set(percents)) > 3
    assert True in left


def test_cancel_stops_the_computation_within_a_tile(page: Page, space: Space, tmp_path: Path):
    noise((2000, 1600)).save(tmp_path / "photo.png")  # twenty tiles
    drop(page, space, tmp_path / "photo.png")
    expect(page.locator("#run-button")).to_be_enabled(timeout=20_000)
    started = time.perf_counter()
    page.locator("#run-button").click()
    bar = page.locator("#progress-bar [role=progressbar]")
    expect(bar).to_have_attribute("aria-valuenow", re.compile("[1-9]"), timeout=60_000)
    expect(bar).not_to_have_attribute("aria-valuenow", re.compile("^[0-5]$"), timeout=60_000)
    a_tile = time.perf_counter() - started  # more than one was computed by now
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#run-button")).to_be_visible(timeout=3_000)
    expect(page.locator("#preview")).to_be_hidden()

    stopped = time.perf_counter()
    process = psutil.Process(space.process.pid)
    while process.cpu_percent(interval=1) > 30:  # of one core; the work takes all of them
        assert time.perf_counter() - stopped < a_tile + 5, "it works on"
    assert process.cpu_percent(interval=2) <= 30
    # The page is ready for the next photo.
    page.get_by_role("button", name="Example: Chelsea the cat").click()
    expect(page.locator("#image-info")).to_contain_text("225 × 150", timeout=20_000)
    page.locator("#run-button").click()
    expect(page.locator("#result-summary")).to_contain_text("900 × 600", timeout=60_000)


def test_closing_the_page_stops_the_computation(browser: Browser, space: Space, tmp_path: Path):
    noise((2000, 1600)).save(tmp_path / "photo.png")
    page = browser.new_page()
    drop(page, space, tmp_path / "photo.png")
    expect(page.locator("#run-button")).to_be_enabled(timeout=20_000)
    page.locator("#run-button").click()
    expect(page.locator("#progress-bar [role=progressbar]")).to_have_attribute(
        "aria-valuenow", re.compile("[1-9]"), timeout=60_000
    )
    page.close()
    stopped = time.perf_counter()
    process = psutil.Process(space.process.pid)
    while process.cpu_percent(interval=1) > 30:
        assert time.perf_counter() - stopped < 25, "it works on for nobody"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("text.png", "text.png is not an image"),
        ("empty.jpg", "empty"),
        ("cut.jpg", "damaged or cut off"),
        ("bomb.png", "megapixels"),
        ("large.png", "24 megapixels"),
    ],
)
def test_a_wrong_file_gets_a_message_and_no_broken_image(
    page: Page, space: Space, wrong_files, name, reason
):
    drop(page, space, wrong_files[name])
    problem = page.get_by_role("alert").filter(has_text="This file cannot be used")
    expect(problem).to_contain_text(reason, timeout=20_000)
    expect(problem).to_contain_text(name)
    expect(page.locator("#photo img")).to_have_count(0)
    expect(page.locator("#run-button")).to_be_disabled()
    expect(page.get_by_test_id("toast-body")).to_have_count(0)


def test_files_that_are_too_large_are_refused_before_they_are_sent(
    page: Page, space: Space, tmp_path: Path
):
    with (tmp_path / "video.jpg").open("wb") as file:
        file.truncate(43_000_000)
    drop(page, space, tmp_path / "video.jpg")
    toast = page.get_by_test_id("toast-body")
    expect(toast).to_contain_text("Too large", timeout=20_000)
    expect(toast).to_contain_text("40.0 Mb")


def test_formats_that_browsers_do_not_show_are_shown(page: Page, space: Space, tmp_path: Path):
    noise((120, 90)).save(tmp_path / "scan.tiff")
    drop(page, space, tmp_path / "scan.tiff")
    expect(page.locator("#image-info")).to_contain_text("480 × 360", timeout=20_000)
    image = page.locator("#photo img")
    expect(image).to_have_js_property("complete", True)
    assert image.evaluate("image => image.naturalWidth") == 120
    page.locator("#run-button").click()
    expect(page.locator("#result-summary")).to_be_visible(timeout=60_000)
    assert download(page, tmp_path).name == "scan-4x.png"


def test_a_photo_may_have_any_name(page: Page, space: Space, tmp_path: Path):
    noise((120, 90)).save(tmp_path / "thumbnail.jpg")
    drop(page, space, tmp_path / "thumbnail.jpg")
    expect(page.locator("#image-info")).to_contain_text("480 × 360", timeout=20_000)
    expect(page.locator("#run-button")).to_be_enabled()


def test_two_visitors_at_once_get_their_own_results(
    browser: Browser, space: Space, bundled: HSRNet, tmp_path: Path
):
    visitors = []
    for number in range(2):
        path = tmp_path / f"visitor{number}.png"
        noise((150 + 10 * number, 120), seed=number).save(path)
        page = browser.new_context().new_page()
        drop(page, space, path)
        expect(page.locator("#run-button")).to_be_enabled(timeout=20_000)
        visitors.append((page, path))
    for page, _ in visitors:
        page.locator("#run-button").click()
    for page, path in visitors:
        expect(page.locator("#result-summary")).to_be_visible(timeout=60_000)
        result = download(page, tmp_path)
        assert result.name == f"{path.stem}-4x.png"
        assert np.array_equal(pixels(result), np.asarray(bundled.upscale(path)))
        page.context.close()
