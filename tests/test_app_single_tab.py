"""The tab for one photo, in a browser, with `python app.py` as a process of its own."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from hsr_hub import HSRNet
from hsr_hub.hub import bundled_models
from tests.space import (
    Space,
    chosen,
    download,
    drop,
    noise,
    pixels,
    sharpen,
    show_options,
)
from tests.util import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bundled() -> HSRNet:
    """The weights that Auto takes for the photos of these tests."""
    return HSRNet.from_pretrained("hsr-lite-x4-real")


def test_a_photo_becomes_before_and_after_and_a_lossless_png(
    page: Page, space: Space, bundled: HSRNet, cat: Path, tmp_path: Path
):
    with Image.open(cat) as image:
        image.crop((0, 0, 120, 90)).save(tmp_path / "holiday (1).jpg", quality=60)
    drop(page, space, tmp_path / "holiday (1).jpg")
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
    assert result.name == "holiday (1)-4x-hsr-lite-x4-real.png"
    expected = np.asarray(bundled.upscale(tmp_path / "holiday (1).jpg"))
    assert np.array_equal(pixels(result), expected)
    assert np.array_equal(pixels(result), shown[1])


def test_jpeg_and_webp_have_the_same_name(page: Page, space: Space, cat: Path, tmp_path: Path):
    sharpen(page, space, cat)
    original = pixels(download(page, tmp_path)).astype(float)
    for kind, name in (
        ("JPEG", "cat-4x-hsr-lite-x4-real.jpg"),
        ("WebP", "cat-4x-hsr-lite-x4-real.webp"),
    ):
        page.get_by_role("radio", name=kind).check()
        expect(page.locator("#download")).to_contain_text(kind, timeout=20_000)
        path = download(page, tmp_path)
        assert path.name == name
        with Image.open(path) as image:
            assert image.format == kind.upper()
        assert np.abs(pixels(path).astype(float) - original).mean() < 3


def test_an_example_takes_one_click_and_is_cached(page: Page, space: Space, tmp_path: Path):
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(space.address)
    page.get_by_role("button", name="Example: a cup of coffee").click()
    expect(page.locator("#image-info")).to_contain_text("300 × 200", timeout=20_000)
    expect(page.locator("#result-summary")).to_contain_text("1200 × 800", timeout=60_000)
    # It is computed once. Later requests for the same example get it at once.
    page.reload()
    page.get_by_role("button", name="Example: a cup of coffee").click()
    expect(page.locator("#result-summary")).to_contain_text("was made before")
    result = download(page, tmp_path)
    name, model = chosen(ROOT / "examples" / "coffee.png")
    assert result.name == f"coffee-4x-{name}.png"
    expected = np.asarray(model.upscale(ROOT / "examples" / "coffee.png"))
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


def test_a_photo_can_be_taken_with_the_camera(page: Page, space: Space, tmp_path: Path):
    page.context.grant_permissions(["camera"])
    page.goto(space.address)
    show_options(page)
    page.get_by_label("Start as soon as").uncheck()
    page.get_by_role("button", name="Capture from camera").click()
    page.get_by_role("button", name="Click to Access Webcam").click()
    page.wait_for_function(SPREAD_OF_THE_CAMERA)  # the first frames may be blank
    page.get_by_role("button", name="capture photo").click()
    expect(page.locator("#image-info")).to_contain_text(re.compile(r"\d+ × \d+"), timeout=20_000)
    expect(page.locator("#photo img")).to_have_js_property("complete", True)
    page.get_by_role("radio", name="1x").first.check()
    page.locator("#run-button").click()
    expect(page.locator("#result-summary")).to_contain_text("cleaned up", timeout=60_000)
    taken = pixels(download(page, tmp_path))
    light, dark = np.split(taken[..., :3], 2, axis=1)  # mirrored, as people see themselves
    assert light.mean() - dark.mean() > 150, "the camera's image, not a blank one"


SPREAD_OF_THE_CAMERA = """() => {
    const video = document.querySelector("#photo video");
    if (!video?.videoWidth) return false;
    const canvas = new OffscreenCanvas(2, 1), brush = canvas.getContext("2d");
    brush.drawImage(video, 0, 0, 2, 1);
    const shown = brush.getImageData(0, 0, 2, 1).data;
    return Math.abs(shown[4] - shown[0]) > 100;
}"""


def test_an_exact_size_keeps_the_proportions_if_one_side_is_empty(
    page: Page, space: Space, bundled: HSRNet, cat: Path, tmp_path: Path
):
    drop(page, space, cat)
    page.get_by_role("radio", name="Exact").first.check()
    # It starts from the size of the scale, and the height follows the width.
    width, height = (page.get_by_label(f"{s} in pixels").first for s in ("Width", "Height"))
    expect(width).to_have_value("900", timeout=20_000)
    expect(height).to_have_value("600")
    expect(page.locator("#image-info")).to_contain_text("900 × 600")
    expect(page.locator("#error-box")).to_be_hidden()
    # The answer to the choice of Exact may still be on its way, and then fills the field again.
    for _ in range(20):
        width.fill("640")  # without a change, the next line would tell the page nothing
        width.fill("")
        page.wait_for_timeout(500)
        if "a width, a height, or both" in page.locator("#image-info").inner_text():
            break
    expect(page.locator("#image-info")).to_contain_text("a width, a height, or both")
    expect(page.locator("#run-button")).to_be_disabled()
    width.fill("450")
    expect(height).to_have_value("300")
    expect(page.locator("#image-info")).to_contain_text("450 × 300", timeout=20_000)
    height.fill("150")
    expect(width).to_have_value("225")
    # Without the link, the photo is made to fit, or its edges are cut off.
    page.get_by_label("Keep the photo's proportions").uncheck()
    width.fill("450")
    height.fill("200")
    expect(page.locator("#image-info")).to_contain_text("300 × 200", timeout=20_000)
    page.get_by_role("radio", name="Crop to fill").first.check()
    expect(page.locator("#image-info")).to_contain_text("450 × 200", timeout=20_000)
    expect(page.locator("#error-box")).to_be_hidden()
    page.locator("#run-button").click()
    expect(page.locator("#result-summary")).to_be_visible(timeout=60_000)
    result = download(page, tmp_path)
    assert result.name == "cat-450x200-cropped-hsr-lite-x4-real.png"
    with Image.open(cat) as image:
        expected = bundled.upscale(image.crop((0, 25, 225, 125)), size=(450, 200))
    assert np.array_equal(pixels(result), np.asarray(expected))


def test_a_large_result_is_shown_with_its_own_pixels(page: Page, space: Space, tmp_path: Path):
    noise((90, 60)).save(tmp_path / "small.png")
    drop(page, space, tmp_path / "small.png")
    page.get_by_role("radio", name="Exact").first.check()
    expect(page.get_by_label("Width in pixels").first).to_have_value("360")
    page.get_by_label("Width in pixels").first.fill("3300")
    expect(page.locator("#image-info")).to_contain_text("3300 × 2200", timeout=20_000)
    page.locator("#run-button").click()
    expect(page.locator("#result-summary")).to_contain_text("3300 × 2200", timeout=60_000)
    images = page.locator("#slider img")
    expect(images).to_have_count(2)
    for i in range(2):  # an overview is enough to fit
        expect(images.nth(i)).to_have_js_property("naturalWidth", 3000)
    whole = pixels(download(page, tmp_path))
    assert whole.shape == (2200, 3300, 3)
    # One pixel of the screen is one of the result, from tiles of what is in view.
    page.get_by_role("button", name="100 %").click()
    expect(page.locator("#slider output")).to_have_text("100 %")
    tile = page.locator('.hsr-layer[data-side="after"] img[src*="after-3-2"]')
    expect(tile).to_have_js_property("naturalWidth", 512)
    assert len(page.locator('.hsr-layer[data-side="after"] img').all()) < 12
    expect(tile).to_have_css("width", "512px")
    (tmp_path / "tile.png").write_bytes(page.request.get(str(tile.get_attribute("src"))).body())
    assert np.array_equal(pixels(tmp_path / "tile.png"), whole[1024:1536, 1536:2048])
    page.get_by_role("button", name="200 %").click()
    expect(tile).to_have_css("width", "1024px")
    expect(page.locator("#slider output")).to_have_text("200 %")


def test_a_photo_too_large_for_4x_gets_the_largest_scale_that_fits(
    page: Page, space: Space, tmp_path: Path
):
    Image.new("RGB", (4000, 3000), "teal").save(tmp_path / "phone.jpg")
    drop(page, space, tmp_path / "phone.jpg")
    expect(page.locator("#image-info")).to_contain_text("8000 × 6000", timeout=20_000)
    expect(page.get_by_role("radio", name="2x").first).to_be_checked()
    expect(page.locator("#run-button")).to_be_enabled()
    for name in ("3x", "4x"):
        expect(page.locator("#options").get_by_role("radio", name=name)).to_be_disabled()
    reason = "3x and 4x are not available: 3x would be 108 megapixels, and this page makes up to 64"
    expect(page.locator("#limits")).to_contain_text(reason)
    page.get_by_role("radio", name="Exact").first.check()
    expect(page.get_by_label("Width in pixels").first).to_have_value("8000")
    page.get_by_label("Width in pixels").first.fill("12000")
    expect(page.locator("#error-box")).to_contain_text("108 megapixels", timeout=20_000)
    expect(page.locator("#error-box")).to_contain_text("This size is too large")
    expect(page.locator("#run-button")).to_be_disabled()


def test_the_preview_fills_and_the_progress_bar_moves(page: Page, space: Space, tmp_path: Path):
    noise((800, 600)).save(tmp_path / "photo.png")
    drop(page, space, tmp_path / "photo.png")
    expect(page.locator("#run-button")).to_be_enabled(timeout=20_000)
    page.locator("#run-button").click()
    preview = page.get_by_role("img", name="Your photo, filling")
    expect(preview).to_be_visible()
    percents, left = [], set()
    for _ in range(600):
        if page.locator("#result-summary").is_visible():
            break
        seen = page.evaluate(
            """() => {
                window.previews ??= new Set();
                window.previews.add(document.querySelector("#preview img")?.src);
                return [
                    document.querySelector("#progress-bar [role=progressbar]")?.ariaValueNow,
                    document.querySelector("#progress-bar p")?.textContent,
                ];
            }"""
        )
        if seen[0] is not None:  # the bar is hidden shortly before the result is visible
            percents.append(int(seen[0]))
        left.add("left" in (seen[1] or ""))
        time.sleep(0.1)
    lengths = page.evaluate("[...window.previews].filter(Boolean).map((src) => src.length)")
    assert len(lengths) >= 3, "bicubic at first, then tile after tile"
    assert max(lengths) < 600_000, "the preview must be small"
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


def test_closing_the_page_stops_the_computation(page: Page, space: Space, tmp_path: Path):
    noise((2000, 1600)).save(tmp_path / "photo.png")
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
    assert download(page, tmp_path).name == "scan-4x-hsr-lite-x4-real.png"


def test_files_whose_type_browsers_do_not_know_are_sent(page: Page, space: Space, tmp_path: Path):
    noise((120, 90)).save(tmp_path / "photo.heic", format="TIFF")
    (tmp_path / "text.pdf").write_bytes(b"%PDF-1.7")
    drop(page, space, tmp_path / "text.pdf")
    expect(page.locator("#error-box")).to_contain_text("text.pdf is a PDF", timeout=20_000)
    page.locator("#photo input[type=file]").set_input_files(tmp_path / "photo.heic")
    expect(page.locator("#image-info")).to_contain_text("480 × 360", timeout=20_000)
    expect(page.locator("#photo img")).to_have_js_property("naturalWidth", 120)
    expect(page.get_by_test_id("toast-body")).to_have_count(0)


def test_a_photo_may_have_any_name(page: Page, space: Space, tmp_path: Path):
    noise((120, 90)).save(tmp_path / "thumbnail.jpg")
    drop(page, space, tmp_path / "thumbnail.jpg")
    expect(page.locator("#image-info")).to_contain_text("480 × 360", timeout=20_000)
    expect(page.locator("#run-button")).to_be_enabled()


def test_two_visitors_at_once_get_their_own_results(
    browser: Browser, page: Page, space: Space, bundled: HSRNet, tmp_path: Path
):
    visitors, other = [], browser.new_context()
    for number, visitor in enumerate((page, other.new_page())):
        path = tmp_path / f"visitor{number}.png"
        noise((150 + 10 * number, 120), seed=number).save(path)
        drop(visitor, space, path)
        expect(visitor.locator("#run-button")).to_be_enabled(timeout=20_000)
        visitors.append((visitor, path))
    for visitor, _ in visitors:
        visitor.locator("#run-button").click()
    for visitor, path in visitors:
        expect(visitor.locator("#result-summary")).to_be_visible(timeout=60_000)
        result = download(visitor, tmp_path)
        assert result.name == f"{path.stem}-4x-hsr-lite-x4-real.png"
        assert np.array_equal(pixels(result), np.asarray(bundled.upscale(path)))
    other.close()


def test_a_photo_is_one_action_and_the_page_says_what_it_saw_and_did(
    page: Page, space: Space, cat: Path, tmp_path: Path
):
    with Image.open(cat) as image:
        image.convert("RGB").save(tmp_path / "web.jpg", quality=40)
    drop(page, space, tmp_path / "web.jpg", start=True)
    summary = page.locator("#result-summary")
    expect(summary).to_contain_text("Web or phone photo (hsr-lite-x4-real)", timeout=60_000)
    sentence = "Compressed photo, JPEG about 40: cleaned and enlarged."
    expect(page.locator("#choice")).to_contain_text(sentence)
    # The change takes one click, and is made at once.
    page.get_by_role("button", name="Clean original").click()
    expect(summary).to_contain_text("with Clean original (hsr-lite-x4)", timeout=60_000)
    expect(page.get_by_label("Clean original").first).to_be_checked()
    result = download(page, tmp_path)
    assert result.name == "web-4x-hsr-lite-x4.png"
    expected = HSRNet.from_pretrained("hsr-lite-x4").upscale(tmp_path / "web.jpg")
    assert np.array_equal(pixels(result), np.asarray(expected))


def test_strength_and_1x_are_offered_where_they_do_something(
    page: Page, space: Space, cat: Path, tmp_path: Path
):
    drop(page, space, cat)
    strength = page.get_by_role("slider", name="Strength").first
    expect(strength).to_be_enabled()
    page.get_by_label("Web or phone photo").first.check()
    expect(strength).to_be_disabled()
    expect(page.get_by_text("Web or phone photo has no detail model").first).to_be_visible()
    page.get_by_role("radio", name="1x").first.check()
    expect(page.locator("#image-info")).to_contain_text("Result225 × 150")
    page.get_by_label("Clean original", exact=True).first.check()
    tab = page.locator("#options")
    expect(tab.get_by_role("radio", name="1x")).to_have_count(0)
    expect(tab.get_by_role("radio", name="4x")).to_be_checked()
    expect(strength).to_be_enabled()
    page.get_by_label("More detail").first.check()
    expect(page.get_by_role("spinbutton", name="Strength").first).to_have_value("1")
    expect(page.locator("#run-button")).to_be_enabled()
    page.locator("#run-button").click()
    summary = page.locator("#result-summary")
    expect(summary).to_contain_text("(hsr-lite-x4), strength 1", timeout=60_000)
    result = download(page, tmp_path)
    assert result.name == "cat-4x-hsr-lite-x4-detail.png"
    expected = HSRNet.from_pretrained("hsr-lite-x4-detail").upscale(cat)
    assert np.array_equal(pixels(result), np.asarray(expected))


def test_a_result_that_the_settings_no_longer_match_is_veiled(page: Page, space: Space, cat: Path):
    sharpen(page, space, cat)
    stale = page.locator("#stale")
    expect(stale).to_be_hidden()
    page.get_by_role("radio", name="2x").first.check()
    expect(stale).to_contain_text("settings have changed")
    expect(page.locator("#slider .hsr-layer").first).to_have_css("filter", re.compile("grayscale"))
    page.set_viewport_size({"width": 1280, "height": 720})
    expect(page.locator("#download")).to_be_in_viewport(ratio=1)
    page.get_by_role("radio", name="4x").first.check()
    expect(stale).to_be_hidden()


def test_all_choices_are_tried_on_a_spot_and_results_of_the_visit_come_back(
    page: Page, space: Space, cat: Path, tmp_path: Path
):
    with Image.open(cat) as image:
        image.crop((0, 0, 120, 90)).save(tmp_path / "first.jpg", quality=60)
        image.crop((90, 0, 225, 100)).save(tmp_path / "second.png")
    drop(page, space, tmp_path / "first.jpg", start=True)
    summary = page.locator("#result-summary")
    expect(summary).to_contain_text("480 × 360", timeout=60_000)
    first = summary.inner_text()
    first = first[first.index("120 × 90") :].strip()  # without Gradio's clock
    page.get_by_role("button", name="Try all choices on this spot").click()
    cards = page.locator("#trials li")
    expect(cards).to_have_count(len(bundled_choices()) + 1, timeout=60_000)
    expect(cards.first).to_contain_text("Before")
    expect(summary).to_be_visible()
    page.locator("#trials").get_by_role("button", name="More detail").click()
    expect(summary).to_contain_text("(hsr-lite-x4), strength 1", timeout=60_000)
    expect(page.get_by_label("More detail").first).to_be_checked()
    # Another photo, and then the first result again, with its photo and its settings.
    page.locator("#photo input[type=file]").set_input_files(tmp_path / "second.png")
    expect(summary).to_contain_text("540 × 400", timeout=60_000)
    expect(page.locator("#trials")).to_be_hidden()
    strip = page.locator("#history").get_by_role("button")
    expect(strip).to_have_count(3)
    expect(strip.first).to_have_attribute("aria-pressed", "true")
    strip.last.click()
    expect(summary).to_contain_text(first)
    expect(page.locator("#image-info")).to_contain_text("120 × 90")
    expect(page.get_by_label("Auto").first).to_be_checked()
    expect(page.locator("#stale")).to_be_hidden()
    assert download(page, tmp_path).name == "first-4x-hsr-lite-x4-real.png"
    expect(page.locator("#cancel-button")).to_be_hidden()


def bundled_choices() -> list[str]:
    """The choices that are tried: all but Auto."""
    return [name for name in bundled_models() if name != "hsr-x4-detail"]


def test_the_original_is_seen_while_the_photo_is_pressed_and_two_fingers_zoom(
    page: Page, space: Space, tmp_path: Path
):
    image = noise((60, 150)).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    image.save(tmp_path / "narrow.png")
    sharpen(page, space, tmp_path / "narrow.png")
    stage, before = page.locator(".hsr-stage"), page.locator('.hsr-layer[data-side="before"]')
    box = stage.bounding_box()
    assert box is not None
    expect(before).to_have_css("clip-path", re.compile("50%"))
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 100)
    page.mouse.down()
    expect(before).to_have_css("clip-path", re.compile(r"^inset\(0px( 0% 0px 0px)?\)$"))
    page.mouse.up()
    expect(before).to_have_css("clip-path", re.compile("50%"))
    # The checkerboard is behind the photo and not in the margins.
    picture = before.locator("div")
    inner = picture.bounding_box()
    assert inner is not None and inner["width"] < box["width"] / 2
    expect(picture).to_have_css("background-image", re.compile("conic"))
    for place in (stage, before):
        expect(place).to_have_css("background-image", "none")

    # A pinch zooms the photo, and not the page.
    session = page.context.new_cdp_session(page)
    middle = [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]

    def touch(kind: str, distance: int | None = None) -> None:
        sides = () if distance is None else ((0, -distance / 2), (1, distance / 2))
        points = [{"id": id, "x": middle[0] + side, "y": middle[1]} for id, side in sides]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    zoom = page.locator("#slider output")
    start = int(str(zoom.text_content()).split()[0])
    touch("touchStart", 60)
    for distance in (90, 120):
        touch("touchMove", distance)
    expect(zoom).to_have_text(f"{2 * start} %")
    for distance in (90, 30):
        touch("touchMove", distance)
    expect(zoom).to_have_text(f"{start} %")
    touch("touchEnd")
    expect(before).to_have_css("clip-path", re.compile("50%"))
    assert page.evaluate("visualViewport.scale") == 1


def test_format_and_choice_are_remembered_and_notes_are_shown(
    page: Page, space: Space, tmp_path: Path
):
    frames = [noise((60, 45), seed=number) for number in range(2)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    sharpen(page, space, tmp_path / "moving.gif")
    expect(page.locator(".hsr-notes")).to_contain_text("only the first of its 2 frames is used.")
    page.get_by_role("radio", name="WebP").check()
    expect(page.locator("#download")).to_contain_text("WebP", timeout=20_000)
    page.get_by_label("Leave out where it was taken").check()
    page.get_by_label("Clean original", exact=True).first.check()
    expect(page.locator("#options").get_by_role("radio", name="1x")).to_have_count(0)
    page.wait_for_function("localStorage.getItem('hsr-hub')")
    page.goto(space.address)
    show_options(page)
    expect(page.get_by_label("Start as soon as")).not_to_be_checked()
    page.locator("#photo input[type=file]").set_input_files(tmp_path / "moving.gif")
    expect(page.locator("#run-button")).to_be_enabled()
    page.locator("#run-button").click()
    expect(page.locator("#result-summary")).to_be_visible(timeout=120_000)
    expect(page.get_by_label("Clean original", exact=True).first).to_be_checked()
    expect(page.get_by_label("Leave out where it was taken")).to_be_checked()
    expect(page.locator("#download")).to_contain_text("Download WebP", timeout=20_000)
    assert download(page, tmp_path).name == "moving-4x-hsr-lite-x4.webp"


SCREENS = [(1280, 720), (390, 844)]


@pytest.mark.parametrize("screen", SCREENS)
def test_what_matters_is_in_view_at_every_moment(
    page: Page, space: Space, cat: Path, tmp_path: Path, screen: tuple[int, int]
):
    width, height = screen
    page.set_viewport_size({"width": width, "height": height})

    def assert_in_view(*places: str) -> None:
        for place in places:
            expect(page.locator(place)).to_be_in_viewport(ratio=0.9)

    page.goto(space.address)
    assert_in_view("#photo", "#run-button", ".hsr-showcase img >> nth=0")
    assert page.locator(".hsr-showcase img").count() == 2
    noise((700, 500)).save(tmp_path / "photo.png")
    page.locator("#photo input[type=file]").set_input_files(tmp_path / "photo.png")
    expect(page.locator("#cancel-button")).to_be_visible(timeout=20_000)
    assert_in_view("#progress-bar", "#cancel-button", "#preview img")
    room, shown = (page.locator(f".hsr-preview{e}").bounding_box() for e in ("", " img"))
    assert room and shown and shown["height"] <= room["height"] + 1
    # The form is locked.
    expect(page.locator("#options")).to_have_js_property("inert", True)
    expect(page.locator("#result-summary")).to_be_visible(timeout=120_000)
    expect(page.locator("#options")).to_have_js_property("inert", False)
    assert_in_view("#slider", "#run-button", "#download")
