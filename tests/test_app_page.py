"""The page as a whole: files dropped on it, what it is for other sites, and its foot."""

from __future__ import annotations

import json
import re
import sys
import urllib.request
from pathlib import Path

import gradio as gr
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

import app
from hsr_hub import HSRNet
from hsr_hub.webapp import page_templates
from hsr_hub.webapp.page_files import GRADIO_META, PageFiles
from tests.space import Space, noise
from tests.test_app_units import make_context

DRAG = """([type, files]) => {
    const data = new DataTransfer();
    for (const [name, bytes] of files) {
        data.items.add(new File([new Uint8Array(bytes)], name, {type: "image/png"}));
    }
    const place = document.querySelector("#title");
    const event = type === "paste" ? new ClipboardEvent(type, {clipboardData: data, bubbles: true})
        : new DragEvent(type, {dataTransfer: data, bubbles: true, cancelable: true});
    return place.dispatchEvent(event);
}"""
"""A headless browser has no desktop to drag files from. These are the events that it would send."""


def send(page: Page, type: str, files: list[Path]) -> None:
    """Drag, drop or paste files somewhere on the page."""
    page.evaluate(DRAG, [type, [[path.name, list(path.read_bytes())] for path in files]])


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for number, path in enumerate(paths):
        noise((40 + number, 30), seed=number).save(path)
    return paths


@pytest.mark.slow
def test_files_can_be_dropped_and_pasted_anywhere(page: Page, space: Space, photos: list[Path]):
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(space.address)
    expect(page.locator("#run-button")).to_be_visible()
    overlay = page.locator(".hsr-drop")
    send(page, "dragover", photos[:1])
    expect(overlay).to_be_visible(timeout=600)
    box = overlay.bounding_box()
    assert box == {"x": 0, "y": 0, "width": 1280, "height": 900}
    expect(overlay).to_be_hidden()  # no more events: the drag has left the window
    send(page, "drop", photos[:1])
    expect(overlay).to_be_hidden()
    expect(page.locator("#image-info")).to_contain_text("40 × 30")
    expect(page.locator("#result-summary")).to_be_visible(timeout=60_000)

    send(page, "drop", photos)
    tabs = page.get_by_role("tab")
    expect(tabs.nth(1)).to_have_attribute("aria-selected", "true")
    expect(page.locator("#batch-run-button")).to_have_text("Make 3 photos sharp")
    expect(page.locator(".hsr-row")).to_have_count(3)

    # One file from the tab for several, to a tab that has a photo already.
    send(page, "paste", photos[1:2])
    expect(tabs.nth(0)).to_have_attribute("aria-selected", "true")
    expect(page.locator("#image-info")).to_contain_text("41 × 30")
    expect(page.locator("#result-summary")).to_contain_text("41 × 30", timeout=60_000)

    # Several are added to those that are there.
    send(page, "paste", photos[:2])
    expect(page.locator("#batch-run-button")).to_have_text("Make 5 photos sharp")
    send(page, "paste", photos * 34)
    expect(overlay).to_contain_text("These are too many files.")
    expect(overlay).to_be_visible()
    expect(page.locator("#batch-run-button")).to_have_text("Make 5 photos sharp")
    strangers = [u for u in asked if not u.startswith((space.address, "data:", "blob:"))]
    assert strangers == [], "the page must need no network"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "scheme"), [((1280, 720), "light"), ((390, 844), "dark"), ((1440, 900), "dark")]
)
def test_a_batch_is_in_view_on_every_screen(
    request: pytest.FixtureRequest, space: Space, tmp_path: Path, size, scheme
):
    # Few bytes, and not done before it is cancelled.
    Image.new("RGB", (1500, 1000), "teal").save(tmp_path / "large.png")
    width, height = size
    page: Page = request.getfixturevalue("phone" if width < 600 else "page")
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme=scheme)
    page.goto(space.address)
    expect(page.locator("#run-button")).to_be_visible()
    send(page, "drop", [tmp_path / "large.png"] * 9)
    button = page.locator("#batch-run-button")
    expect(button).to_be_enabled()
    page.mouse.wheel(0, 2000)
    expect(button).to_be_in_viewport(ratio=1)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    button.click()
    cancel = page.locator("#batch-cancel-button")
    expect(cancel).to_be_in_viewport(ratio=1)
    expect(page.locator("#batch-progress-bar")).to_be_in_viewport(ratio=1)
    cancel.click()
    expect(button).to_be_in_viewport(ratio=1)


@pytest.mark.slow
def test_the_page_says_what_it_takes_and_nothing_of_gradio(page: Page, space: Space):
    page.goto(space.address)
    about = page.locator("#about")
    expect(about).to_contain_text("40 MB and 24 megapixels a photo")
    expect(about).to_contain_text("deleted an hour after they were sent or made")
    expect(about).to_contain_text("small photos may overtake")
    for name in ("Code", "Models", "Apache License 2.0"):
        address = about.get_by_role("link", name=name, exact=True).get_attribute("href")
        assert str(address).startswith("https://")
    for text in ("Built with Gradio", "Use via API", "Use via MCP", "Settings", "Duplicate"):
        expect(page.get_by_text(text).locator("visible=true")).to_have_count(0)
    # What installs the page as an app: Chromium reads the manifest, and finds no fault.
    session = page.context.new_cdp_session(page)
    found = session.send("Page.getAppManifest")
    assert found["errors"] == [] and json.loads(found["data"])["display"] == "standalone"
    icon = page.request.get(f"{space.address}/favicon.ico")
    assert icon.ok and icon.headers["content-type"] == "image/png"


@pytest.mark.slow
def test_other_sites_get_a_title_a_text_and_a_picture(space: Space):
    html = urllib.request.urlopen(space.address, timeout=20).read().decode()
    found = dict(re.findall(r'<meta (?:property|name)="([\w:-]+)" content="([^"]*)">', html))
    assert found["og:title"] == page_templates.HEADLINE
    assert found["og:description"] == page_templates.DESCRIPTION
    assert html.count("og:title") == 1 and "header-image" not in html
    assert found["og:image"].startswith(space.address)
    with urllib.request.urlopen(found["og:image"], timeout=20) as answer:
        assert answer.headers["content-type"] == "image/jpeg"
        with Image.open(answer) as image:
            assert image.size == (1200, 630)
    manifest = json.load(urllib.request.urlopen(f"{space.address}/manifest.json", timeout=20))
    assert manifest["name"] == page_templates.NAME
    for icon in manifest["icons"][1:]:
        answer = urllib.request.urlopen(f"{space.address}/{icon['src']}", timeout=20)
        with answer, Image.open(answer) as image:
            assert icon["sizes"] == f"{image.width}x{image.height}"


def ask(path: str, host: str | None = None, headers: list[tuple[bytes, bytes]] | None = None):
    """Ask `PageFiles` in front of an app that answers with a page, and return its messages."""

    async def page(scope, receive, send):
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", b"text/html"), (b"content-length", b"9")],
            }
        )
        text = '<head><meta\n property="og:title" content="Gradio" /><script>"<meta'
        for more, part in ((True, text), (False, ' property=\\"og:x\\">"</script>')):
            await send({"type": "http.response.body", "body": part.encode(), "more_body": more})

    messages = []

    async def receive():
        return {"type": "http.disconnect"}

    async def collect(message):
        messages.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "headers": headers or []}
    try:
        PageFiles(page, host)(scope, receive, collect).send(None)  # nothing is awaited
    except StopIteration:
        return messages
    raise AssertionError("it waits for something")


def test_only_the_page_s_own_files_are_sent():
    known = f"/{page_templates.FILES}/icon.svg"
    assert b"<svg" in ask(known)[1]["body"]
    for path in ("/../icon.svg", "/icon.svg/..", "/%2e%2e/page_files.py", "/../page_files.py"):
        assert b"Gradio" in ask(f"/{page_templates.FILES}{path}")[1]["body"], path


def test_the_head_is_replaced_and_the_configuration_is_not():
    start, body = ask("/", "space.example")
    text = body["body"].decode()
    assert dict(start["headers"])[b"content-length"] == str(len(body["body"])).encode()
    assert "Gradio" not in text and '"<meta property=\\"og:x\\">"' in text
    assert 'content="https://space.example/assets/hsr-hub/preview.jpg"' in text
    hostile = ask("/", headers=[(b"host", b'x"><script>')])[1]["body"].decode()
    assert 'x">' not in hostile and 'content="/assets/hsr-hub/preview.jpg"' in hostile
    assert not GRADIO_META.search(page_templates.head("").partition("<meta")[0])


def test_a_space_can_be_duplicated(tmp_path: Path, model: HSRNet, monkeypatch: pytest.MonkeyPatch):
    def buttons() -> list[gr.DuplicateButton]:
        page = app.build_app(make_context(tmp_path, model))
        return [part for part in page.blocks.values() if isinstance(part, gr.DuplicateButton)]

    monkeypatch.delenv("SPACE_ID", raising=False)
    assert buttons() == []
    monkeypatch.setenv("SPACE_ID", "hsr-hub/hsr-hub")
    assert len(buttons()) == 1


def test_the_app_takes_no_options(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["app.py", "--help"])
    with pytest.raises(SystemExit, match=r"app\.py takes no options"):
        app.main()
