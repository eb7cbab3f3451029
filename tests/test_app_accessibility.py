"""Keyboard, screen readers, a phone's width, light and dark."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.space import Space, drop, noise, sharpen

pytestmark = pytest.mark.slow


def focused(page: Page) -> str:
    """Return what a screen reader says for the focused element."""
    return page.evaluate(
        """() => {
            const e = document.activeElement;
            return e.getAttribute("aria-label") || e.labels?.[0]?.textContent || e.textContent;
        }"""
    ).strip()


def test_tab_goes_down_the_page_in_order(page: Page, space: Space, cat: Path):
    drop(page, space, cat)
    expect(page.locator("#run-button")).to_be_enabled(timeout=20_000)
    page.get_by_role("tab", name="One photo").focus()
    names = [focused(page)]
    for _ in range(30):
        page.keyboard.press("Tab")
        names.append(focused(page))
    order = ["One photo", "Upload file", "Make it sharp", "Auto", "4x", "Example: Chelsea the cat"]
    places = [names.index(name) for name in order]
    assert places == sorted(places), names


def test_the_page_works_with_the_keyboard_only(page: Page, space: Space, cat: Path):
    drop(page, space, cat)
    expect(page.locator("#run-button")).to_be_enabled(timeout=20_000)
    page.locator("#run-button").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#result-summary")).to_be_visible(timeout=60_000)
    handle = page.get_by_role("slider", name="Line between before and after")
    expect(handle).to_have_attribute("aria-valuenow", "50")
    expect(handle).to_have_attribute("aria-valuemin", "0")
    expect(handle).to_have_attribute("aria-valuemax", "100")
    handle.focus()
    for _ in range(2):
        page.keyboard.press("ArrowLeft")
    expect(handle).to_have_attribute("aria-valuenow", "40")
    expect(handle).to_have_attribute("aria-valuetext", "40 % of the view shows the original")
    after = page.locator('.hsr-layer[data-side="after"]')
    expect(after).to_have_css("clip-path", re.compile(r"inset\(0px 0px 0px 40%\)"))
    # The original is seen as long as a key is held.
    page.get_by_role("button", name="Hold to see").focus()
    page.keyboard.down("Space")
    expect(after).to_have_css("clip-path", re.compile("100%"))
    page.keyboard.up("Space")
    expect(after).to_have_css("clip-path", re.compile("40%"))
    page.get_by_role("button", name="Fullscreen").press("Enter")
    page.wait_for_function("document.fullscreenElement?.matches('.hsr-viewer')")


def test_arrow_keys_move_through_radio_buttons(page: Page, space: Space, cat: Path):
    drop(page, space, cat)
    scale = page.get_by_role("radio", name="4x").first
    scale.focus()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("radio", name="3x").first).to_be_checked()
    expect(page.locator("#image-info")).to_contain_text("675 × 450", timeout=20_000)
    assert focused(page) == "3x"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="1x").first).to_be_checked()
    ring = "[getComputedStyle(document.activeElement.closest('label')).outlineStyle]"
    assert page.evaluate(ring) == ["solid"]


def test_the_wheel_zooms_both_images(page: Page, space: Space, cat: Path):
    sharpen(page, space, cat)
    layers = page.locator(".hsr-layer > div")
    box = layers.first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.4 * box["height"])
    page.mouse.wheel(0, -300)
    page.wait_for_function(
        "width => [...document.querySelectorAll('.hsr-layer > div')]"
        ".every(layer => layer.offsetWidth > 1.5 * width)",
        arg=box["width"],
    )
    expect(page.get_by_role("button", name="Fit")).to_have_attribute("aria-pressed", "false")
    page.get_by_role("button", name="Fit").click()
    expect(page.get_by_role("button", name="Fit")).to_have_attribute("aria-pressed", "true")


def test_everything_visible_has_a_name(page: Page, space: Space, cat: Path):
    sharpen(page, space, cat)
    named: list[tuple[Literal["img", "group", "button"], str]] = [
        ("img", "Your photo"),
        ("img", "Before: your photo, enlarged the plain way"),
        ("img", "After: the sharpened photo"),
        ("group", "Enlarge"),
        ("group", "Format"),
        ("button", "Download PNG"),
        ("button", "Example: Eileen Collins"),
    ]
    for role, name in named:
        expect(page.get_by_role(role, name=name).first).to_be_visible()
    nameless = page.locator("img:visible:not([alt])")
    assert nameless.count() == 0, nameless.first.evaluate("image => image.outerHTML")
    expect(page.get_by_role("status").filter(has_text="became")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_horizontal_scrolling(phone: Page, space: Space, cat: Path, scheme):
    page = phone
    page.emulate_media(color_scheme=scheme)
    sharpen(page, space, cat)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    card = page.locator(".hsr-image-info").bounding_box()
    last = page.locator(".hsr-image-info dd").last.bounding_box()
    assert card and last and last["x"] + last["width"] <= card["x"] + card["width"]
    for place in ("#run-button", "#download", "#slider"):
        box = page.locator(place).bounding_box()
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 390, place
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(part) for part in re.findall(r"\d+", background)[:3]) / 3
    assert brightness > 200 if scheme == "light" else brightness < 60


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_have_enough_contrast(page: Page, space: Space, cat: Path, wrong_files, scheme):
    """WCAG AA asks for 4.5 to 1 for small text."""
    page.emulate_media(color_scheme=scheme)
    sharpen(page, space, cat)
    places = "#title p, .hsr-image-info dt, .hsr-image-info dd, .segments span, .hsr-summary"
    places += ", #run-button, #download, #examples .label, [data-testid=block-info]"
    looked_at, poor = page.evaluate(CONTRASTS, places)
    assert looked_at > 15 and poor == []
    page.locator("#photo input[type=file]").set_input_files(wrong_files["text.png"])
    expect(page.locator("#error-box")).to_be_visible(timeout=20_000)
    assert page.evaluate(CONTRASTS, ".hsr-error-box, .hsr-error-box strong") == [2, []]


CONTRASTS = """(places) => {
    const channels = (colour) => (colour.match(/[\\d.]+/g) || []).map(Number);
    const light = (rgb) => {
        const [r, g, b] = rgb.slice(0, 3).map((v) => {
            v /= 255;
            return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
        for (let e = element; e; e = e.parentElement) {
            const colour = channels(getComputedStyle(e).backgroundColor);
            if (colour.length === 3 || colour[3] > 0.99) return colour;
        }
        return [255, 255, 255];
    };
    const poor = [];
    let lookedAt = 0;
    for (const e of document.querySelectorAll(places)) {
        if (!e.offsetParent) continue;
        lookedAt += 1;
        const [a, b] = [light(channels(getComputedStyle(e).color)), light(behind(e))];
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (contrast < 4.5) poor.push([e.className || e.id, e.textContent, contrast]);
    }
    return [lookedAt, poor];
}"""


def test_a_phone_shifts_nothing_and_an_open_form_does_not_hide_the_result(
    browser: Browser, space: Space, tmp_path: Path
):
    context = browser.new_context(  # with an empty cache: what comes late may shift the rest
        viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True
    )
    page = context.new_page()
    page.add_init_script(
        """window.shifts = [];
        new PerformanceObserver((list) => window.shifts.push(
            ...list.getEntries().filter((entry) => !entry.hadRecentInput).map((entry) => [
                entry.value, entry.sources.map((s) => s.node?.id || s.node?.className).join(" ")
            ])
        )).observe({ type: "layout-shift", buffered: true });"""
    )
    noise((300, 200)).save(tmp_path / "photo.png")
    drop(page, space, tmp_path / "photo.png", start=True)
    expect(page.locator("#result-summary")).to_be_visible(timeout=120_000)
    for place in (".hsr-stage", "#download"):
        expect(page.locator(place)).to_be_in_viewport(ratio=0.9)
    shifts = page.evaluate("window.shifts")
    assert sum(value for value, _ in shifts) < 0.05, shifts
    context.close()
