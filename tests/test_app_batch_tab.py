"""The tab for several photos, in a browser."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.space import Space, chosen, download, expire_uploads, noise, pixels

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
    page.get_by_role("radio", name="2x").last.check()
    page.locator("#batch-run-button").click()
    expect(page.locator("#batch-progress-bar")).to_contain_text("4 of 5 photos", timeout=60_000)
    problem = page.get_by_role("alert").filter(has_text="One file was left out")
    expect(problem).to_contain_text("text.png is not an image")
    expect(page.locator("#batch-gallery img")).to_have_count(4)

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


def test_a_batch_shows_its_progress_and_cancel_keeps_what_is_done(
    page: Page, space: Space, tmp_path: Path
):
    files = []
    for number in range(8):
        files.append(tmp_path / f"{number}.png")
        noise((400, 300), seed=number).save(files[-1])
    upload(page, space, files)
    page.locator("#batch-run-button").click()
    progress = page.locator("#batch-progress-bar")
    expect(progress).to_contain_text(re.compile("Photo [2-8] of 8"), timeout=60_000)
    expect(progress).to_contain_text(re.compile("about .* left"))
    expect(page.locator("#batch-gallery img").first).to_be_visible()
    page.locator("#batch-cancel-button").click()
    expect(progress).to_contain_text(re.compile("[1-7] of 8 photos"), timeout=60_000)
    with zipfile.ZipFile(download(page, tmp_path, "#batch-archive")) as archive:
        assert 1 <= len(archive.namelist()) <= 7 and archive.testzip() is None


def test_cancel_and_start_again_at_once(page: Page, space: Space, tmp_path: Path):
    files = [tmp_path / f"{number}.png" for number in range(2)]
    for number, path in enumerate(files):
        noise((1000, 800), seed=number).save(path)
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
    problem = page.get_by_role("alert").filter(has_text="One file was left out")
    expect(problem).to_contain_text("ancient.png is no longer here: give it again")
    expect(problem).not_to_contain_text("/")
