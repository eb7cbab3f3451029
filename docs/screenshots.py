"""Take pictures of the page in all its states; two of them stand in the README.

    python -m docs.screenshots [FOLDER]

Needs what the browser tests need. All go to FOLDER (default: out/screenshots); `done` and `phone`
also to docs/.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.space import CHROMIUM_FLAGS, Space, browser_path, drop, running, sharpen

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
DESK = {"viewport": {"width": 1280, "height": 880}}
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


def main(folder: Path) -> None:
    """Start the Space, visit it, write the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    with running() as space, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=CHROMIUM_FLAGS)
        for take in (empty, working, done, error, batch, dark, phone):
            page = take(browser, space, folder)
            page.wait_for_timeout(1000)  # what moves has come to rest
            page.screenshot(path=folder / f"{take.__name__}.png", full_page=take is phone)
            page.context.close()
            print(folder / f"{take.__name__}.png")
        browser.close()
    for name in ("done", "phone"):
        with Image.open(folder / f"{name}.png") as image:
            image.convert("RGB").save(ROOT / "docs" / f"space-{name}.png", optimize=True)


def visit(browser: Browser, **options) -> Page:
    """A fresh visitor."""
    return browser.new_context(**{**DESK, **options}).new_page()


def empty(browser: Browser, space: Space, folder: Path) -> Page:
    """Before anything."""
    page = visit(browser)
    page.goto(space.address)
    expect(page.locator("#examples img").last).to_be_visible()
    return page


def working(browser: Browser, space: Space, folder: Path) -> Page:
    """Half of the tiles are there."""
    with Image.open(EXAMPLES / "coffee.png") as image:
        large = image.convert("RGB").resize((2100, 1400), Image.Resampling.BICUBIC)
    large.save(folder / "coffee.jpg", quality=92)
    page = visit(browser)
    drop(page, space, folder / "coffee.jpg")
    expect(page.locator("#go")).to_be_enabled(timeout=20_000)
    page.locator("#go").click()
    bar = 'document.querySelector("#meter [role=progressbar]")'
    page.wait_for_function(f"{bar}?.ariaValueNow > 40", timeout=120_000)
    (folder / "coffee.jpg").unlink()
    return page


def done(browser: Browser, space: Space, folder: Path) -> Page:
    """Before and after."""
    page = visit(browser)
    sharpen(page, space, EXAMPLES / "cat.png")
    return page


def error(browser: Browser, space: Space, folder: Path) -> Page:
    """A file that is no picture."""
    (folder / "holiday.png").write_text("not a picture")
    page = visit(browser)
    drop(page, space, folder / "holiday.png")
    expect(page.locator("#problem")).to_be_visible(timeout=20_000)
    (folder / "holiday.png").unlink()
    return page


def batch(browser: Browser, space: Space, folder: Path) -> Page:
    """Four files, one of them no picture."""
    (folder / "notes.png").write_text("not a picture")
    page = visit(browser)
    page.goto(space.address)
    page.get_by_role("tab", name="Several photos").click()
    files = [*sorted(EXAMPLES.glob("*.png")), folder / "notes.png"]
    page.locator("#files input[type=file]").set_input_files(files)
    expect(page.locator("#several-go")).to_be_enabled(timeout=20_000)
    page.locator("#several-go").click()
    expect(page.locator("#archive")).to_be_visible(timeout=120_000)
    (folder / "notes.png").unlink()
    return page


def dark(browser: Browser, space: Space, folder: Path) -> Page:
    """By night."""
    page = visit(browser, color_scheme="dark")
    sharpen(page, space, EXAMPLES / "coffee.png")
    return page


def phone(browser: Browser, space: Space, folder: Path) -> Page:
    """In the hand."""
    page = visit(browser, **PHONE)
    sharpen(page, space, EXAMPLES / "astronaut.png")
    return page


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "out" / "screenshots")
