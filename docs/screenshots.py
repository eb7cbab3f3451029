"""Take screenshots of the page in all its states. Two of them are shown in the README.

    python -m docs.screenshots [FOLDER]

Needs the requirements of the browser tests. Writes all screenshots to FOLDER (default:
out/screenshots), and `done` and `phone` also to docs/.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.space import CHROMIUM_FLAGS, Space, browser_path, drop, running, sharpen
from tests.util import ROOT

EXAMPLES = ROOT / "examples"
DESK = {"viewport": {"width": 1280, "height": 880}}
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


def main(folder: Path) -> None:
    """Start the Space, visit it, write the screenshots."""
    folder.mkdir(parents=True, exist_ok=True)
    with running() as space, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=CHROMIUM_FLAGS)
        for take in (empty, working, done, error, batch, dark, phone):
            page = take(browser, space, folder)
            page.wait_for_timeout(1000)  # animations have ended
            page.screenshot(path=folder / f"{take.__name__}.png", full_page=take is phone)
            page.context.close()
            print(folder / f"{take.__name__}.png")
        browser.close()
    for name in ("done", "phone"):
        with Image.open(folder / f"{name}.png") as image:
            image.convert("RGB").save(ROOT / "docs" / f"space-{name}.png", optimize=True)


def visit(browser: Browser, **options) -> Page:
    """Return the page of a new visitor."""
    return browser.new_context(**{**DESK, **options}).new_page()


def empty(browser: Browser, space: Space, folder: Path) -> Page:
    """Show the page as it opens."""
    page = visit(browser)
    page.goto(space.address)
    expect(page.locator("#examples img").last).to_be_visible()
    return page


def working(browser: Browser, space: Space, folder: Path) -> Page:
    """Show a photo with half of its tiles done."""
    with Image.open(EXAMPLES / "coffee.png") as image:
        large = image.convert("RGB").resize((2100, 1400), Image.Resampling.BICUBIC)
    large.save(folder / "coffee.jpg", quality=92)
    page = visit(browser)
    drop(page, space, folder / "coffee.jpg")
    expect(page.locator("#run-button")).to_be_enabled(timeout=20_000)
    page.locator("#run-button").click()
    bar = 'document.querySelector("#progress-bar [role=progressbar]")'
    page.wait_for_function(f"{bar}?.ariaValueNow > 40", timeout=120_000)
    (folder / "coffee.jpg").unlink()
    return page


def done(browser: Browser, space: Space, folder: Path) -> Page:
    """Show before and after."""
    page = visit(browser)
    sharpen(page, space, EXAMPLES / "web-photo.jpg")
    return page


def error(browser: Browser, space: Space, folder: Path) -> Page:
    """Show the error for a file that is not an image."""
    (folder / "holiday.png").write_text("not an image")
    page = visit(browser)
    drop(page, space, folder / "holiday.png")
    expect(page.locator("#error-box")).to_be_visible(timeout=20_000)
    (folder / "holiday.png").unlink()
    return page


def batch(browser: Browser, space: Space, folder: Path) -> Page:
    """Show a batch of four files, one of which is not an image."""
    (folder / "notes.png").write_text("not an image")
    page = visit(browser)
    page.goto(space.address)
    page.get_by_role("tab", name="Several photos").click()
    files = [*sorted(EXAMPLES.glob("*.png")), folder / "notes.png"]
    page.locator("#batch-files input[type=file]").set_input_files(files)
    expect(page.locator("#batch-run-button")).to_be_enabled(timeout=20_000)
    page.locator("#batch-run-button").click()
    expect(page.locator("#batch-archive")).to_be_visible(timeout=120_000)
    (folder / "notes.png").unlink()
    return page


def dark(browser: Browser, space: Space, folder: Path) -> Page:
    """Show the dark theme."""
    page = visit(browser, color_scheme="dark")
    sharpen(page, space, EXAMPLES / "coffee.png")
    return page


def phone(browser: Browser, space: Space, folder: Path) -> Page:
    """Show the page on a phone."""
    page = visit(browser, **PHONE)
    sharpen(page, space, EXAMPLES / "astronaut.png")
    return page


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "out" / "screenshots")
