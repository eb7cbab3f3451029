"""The tab for several photos, in a browser."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.space import Space, chosen, download, drop, expire_uploads, noise, pixels

pytestmark = pytest.mark.slow


def upload(page: Page, space: Space, files: list[Path]) -> None:
    """Open the tab and upload files."""
    page.goto(space.address)
    page.get_by_role("tab", name="Several photos").click()
    page.locator("#batch-files input[type=file]").set_input_files(files)
    expect(page.locator("#batch-run-button")).to_be_enabled(timeout=20_000)


def test_five_files_of_which_one_is_bad_give_four_results(
    page: Page, space: Space, wrong_files, tmp_path: Path
):
    files = []
    for number, name in enumerate(["a.png", "b.jpg", "c.webp", "other/a.png"]):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        noise((60 + number, 40), seed=number).save(path)
        files.append(path)
    upload(page, space, [*files[:2], wrong_files["text.png"], *files[2:]])

    # Before the start: sizes, time, and what cannot be used.
    rows = page.locator(".hsr-row")
    expect(rows).to_have_count(5)
    expect(rows.nth(1)).to_contain_text("61 × 40 to 244 × 160")
    expect(rows.nth(2)).to_have_attribute("data-state", "failed")
    expect(rows.nth(2)).to_contain_text("text.png is not an image")
    expect(page.locator("#batch-info")).to_contain_text("about")
    button = page.locator("#batch-run-button")
    expect(button).to_have_text("Make 4 photos sharp")
    problem = page.get_by_role("alert").filter(has_text="1 of 5 photos could not be used.")
    expect(problem).to_contain_text("text.png is not an image")

    # The options are folded away, and change what is shown.
    expect(page.locator("#batch-format")).to_be_hidden()
    page.get_by_role("button", name="Options").click()
    page.get_by_role("radio", name="2x").check()
    expect(rows.nth(1)).to_contain_text("61 × 40 to 122 × 80")
    page.locator("#batch-format").get_by_role("radio", name="PNG").check()
    button.click()
    expect(page.locator("#batch-progress-bar")).to_contain_text("4 of 5 photos", timeout=60_000)
    states = [row.get_attribute("data-state") for row in rows.all()]
    assert states == ["done", "done", "failed", "done", "done"]
    expect(problem).to_contain_text("text.png is not an image")

    path = download(page, tmp_path, "#batch-archive")
    weights = [chosen(source) for source in files]
    stems = ["a-2x", "b-2x", "c-2x", "a-2x"]
    names = [f"{stem}-{name}.png" for stem, (name, _) in zip(stems, weights, strict=True)]
    names[3] = names[3].replace(".png", "-2.png")
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == names
        for name, source, (_, network) in zip(names, files, weights, strict=True):
            made = pixels(Path(archive.extract(name, tmp_path / "unpacked")))
            assert np.array_equal(made, np.asarray(network.upscale(source, scale=2)))

    # Each row: before and after, also in a larger view, and a download.
    assert download(page, tmp_path, f'[download="{names[3]}"]').name == names[3]
    for image in rows.nth(0).locator("img").all():
        expect(image).to_have_js_property("complete", True)
        assert image.evaluate("image => image.naturalWidth") in {60, 120}
    pair = page.get_by_role("button", name="Compare before and after of a.png").first
    pair.press("Enter")
    line = page.get_by_role("slider", name="Line between before and after")
    expect(line).to_be_focused()
    line.press("Home")
    after = page.get_by_role("img", name="After", exact=True)
    expect(after).to_have_attribute("style", re.compile(r"inset\(0(px)? 0(px)? 0(px)? 0%\)"))
    page.keyboard.press("Escape")
    expect(line).to_be_hidden()
    expect(pair).to_be_focused()

    # Another choice does not remove the results.
    page.get_by_role("radio", name="4x").check()
    expect(page.locator("#batch-stale")).to_contain_text("Settings changed")
    expect(rows.nth(0)).to_have_attribute("data-state", "done")


def test_a_batch_shows_its_progress_and_cancel_keeps_what_is_done(
    page: Page, space: Space, tmp_path: Path
):
    files = []
    for number in range(8):
        files.append(tmp_path / f"{number}.png")
        noise((400, 300), seed=number).save(files[-1])
    upload(page, space, files)
    page.get_by_role("button", name="Options").click()
    page.locator("#batch-format").get_by_role("radio", name="JPEG").check()
    page.locator("#batch-run-button").click()
    progress, rows = page.locator("#batch-progress-bar"), page.locator(".hsr-row")
    working = page.locator('.hsr-row[data-state="working"]')
    expect(working).to_contain_text(re.compile("Working, [0-9]+ %"), timeout=60_000)
    expect(page.locator("#batch-options")).to_have_js_property("inert", True)
    expect(page.locator("#batch-files")).to_have_js_property("inert", True)
    expect(progress).to_contain_text(re.compile("Photo [2-8] of 8"), timeout=60_000)
    expect(progress).to_contain_text(re.compile("about .* left"))
    expect(rows.nth(0)).to_have_attribute("data-state", "done")
    expect(rows.nth(7)).to_contain_text("Waiting")
    page.locator("#batch-cancel-button").click()
    expect(progress).to_contain_text(re.compile("Cancelled|[1-7] of 8 photos"), timeout=2000)
    expect(progress).to_contain_text(re.compile("[1-7] of 8 photos"), timeout=60_000)
    expect(page.locator("#batch-options")).to_have_js_property("inert", False)
    made = page.locator('.hsr-row[data-state="done"]').count()
    expect(page.locator('.hsr-row[data-state="skipped"]')).to_have_count(8 - made)
    expect(page.get_by_role("link", name="Download 0-4x")).to_be_visible()
    with zipfile.ZipFile(download(page, tmp_path, "#batch-archive")) as archive:
        assert len(archive.namelist()) == made and archive.testzip() is None
        assert all(name.endswith(".jpg") for name in archive.namelist())


def test_a_batch_that_waits_shows_the_time_with_the_wait(
    browser: Browser, page: Page, space: Space, tmp_path: Path
):
    noise((2000, 1900)).save(tmp_path / "large.png")  # not done before it is looked at
    files = [tmp_path / f"{number}.png" for number in range(2)]
    for number, path in enumerate(files):
        noise((60, 40), seed=number).save(path)
    other = browser.new_context().new_page()
    drop(other, space, tmp_path / "large.png", start=True)
    expect(other.locator("#preview")).to_be_visible(timeout=20_000)
    upload(page, space, files)
    expect(page.locator("#batch-info")).to_contain_text("with the wait")
    page.locator("#batch-run-button").click()
    progress = page.locator("#batch-progress-bar")
    expect(progress).to_contain_text("One photo is before yours.")
    expect(progress).to_contain_text(re.compile(r"Your photos are here in about .+\."))
    other.context.close()  # ends the work on the large photo
    expect(progress).to_contain_text("All 2 photos", timeout=60_000)


def test_cancel_and_start_again_at_once(page: Page, space: Space, tmp_path: Path):
    files = [tmp_path / f"{number}.png" for number in range(2)]
    for path, size in zip(files, [(1000, 800), (100, 80)], strict=True):
        noise(size).save(path)
    upload(page, space, files)
    page.locator("#batch-run-button").click()
    bar = page.locator("#batch-progress-bar [role=progressbar]")
    expect(bar).to_have_attribute("aria-valuenow", re.compile("[1-9]"), timeout=60_000)
    page.locator("#batch-cancel-button").click()
    page.locator("#batch-run-button").click()  # a tile of the first run is still being computed
    progress = page.locator("#batch-progress-bar")
    expect(progress).to_contain_text("All 2 photos", timeout=120_000)
    with zipfile.ZipFile(download(page, tmp_path, "#batch-archive")) as archive:
        assert [name[:5] for name in archive.namelist()] == ["0-4x-", "1-4x-"]


def test_photos_that_were_removed_are_named(page: Page, space: Space, tmp_path: Path):
    noise((60, 40)).save(tmp_path / "ancient.png")
    upload(page, space, [tmp_path / "ancient.png"])
    expire_uploads(space, "ancient.png")
    page.locator("#batch-run-button").click()
    problem = page.get_by_role("alert").filter(has_text="This photo could not be used.")
    expect(problem).to_contain_text("ancient.png is no longer here: give it again")
    expect(problem).not_to_contain_text("/")
