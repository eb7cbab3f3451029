"""The page speaks the visitor's language."""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from functools import partial
from html import escape
from pathlib import Path

import gradio as gr
import pytest
from gradio.context import LocalContext
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from hsr_hub import HSRNet
from hsr_hub.hub import AUTO
from hsr_hub.hub.choose import choose_model
from hsr_hub.images import ImageTraits, read_image
from hsr_hub.images.lost_parts import find_losses
from hsr_hub.webapp import (
    batch_templates,
    decode_worker,
    decoder,
    page_templates,
    templates,
    texts,
)
from hsr_hub.webapp.device_queue import PLACES_FOR_NEWCOMERS, DeviceQueue
from hsr_hub.webapp.models import ModelStore
from hsr_hub.webapp.texts import CATALOGS, ENGLISH, spoken, text
from hsr_hub.webapp.uploads import load_upload
from hsr_hub.webapp.upscale_request import EXACT, UpscaleRequest, request_from_form
from tests.space import Space, noise
from tests.util import ROOT

FAMILIES = ("model_", "seen_", "action_", "state_", "example_", "problem_", "note_")
"""Starts of keys that the code does not name in full."""


def placeholders(line: str) -> set[str]:
    """Return the names of the placeholders of a text."""
    return {name for _, name, _, _ in string.Formatter().parse(line) if name}


@pytest.mark.parametrize("language", CATALOGS)
def test_catalogs_have_the_same_keys_and_placeholders(language: str):
    catalog = CATALOGS[language]
    assert list(catalog) == list(ENGLISH)
    for key, line in catalog.items():
        assert placeholders(line) == placeholders(ENGLISH[key]), key
        assert line.strip() == line and line, key
        assert sorted(re.findall("<.+?>", line)) == sorted(re.findall("<.+?>", ENGLISH[key])), key


def test_every_key_is_used_and_every_key_in_use_is_there():
    files = [ROOT / "app.py", *(ROOT / "hsr_hub" / "webapp").glob("*.py")]
    code = "\n".join(path.read_text(encoding="utf-8") for path in files)
    named = set(re.findall(r"(?:text|in_browser)\(\s*[\"'](\w+)[\"']", code))
    assert named - {*page_templates.MADE} <= set(ENGLISH), named - set(ENGLISH)
    quoted = set(re.findall(r"[\"'](\w+)[\"']", code))
    unused = [k for k in ENGLISH if not k.startswith(FAMILIES) and k not in quoted]
    # Names of values in a list are keyword arguments.
    assert [key for key in unused if not re.search(rf"\b{key}=", code)] == []
    assert set(page_templates.MADE) <= named and not set(page_templates.MADE) & set(ENGLISH)


def test_the_first_language_of_the_browser_is_used():
    headers = {
        "de-DE,de;q=0.9,en;q=0.8": "de",
        "zh-TW": "zh",
        "ES": "es",
        "ar,de;q=0.9": "en",  # Gradio would not use the second one
        "../de": "en",
        "": "en",
    }
    for header, language in headers.items():
        assert texts.first_language(header) == language, header
    assert texts.language() == "en", "there is no request"

    class Request:
        headers = gr.Request(headers={"accept-language": "fr-CA"}).headers

    token = LocalContext.request.set(Request)  # type: ignore[arg-type]
    try:
        assert text("cancel") == "Annuler"
    finally:
        LocalContext.request.reset(token)


def test_every_reason_of_auto_is_translated():
    kinds = [
        {"codec": "JPEG", "quality": 40},
        {"codec": "WEBP"},
        {"blockiness": 1.0},
        {"luma_noise": 9.0},
        {"sharpness": 0.1},
        {"sharpness": 0.9},
        {"sharpness": 0.9, "repetition": 0.9},
    ]
    for kind in kinds:
        for scale in (0.5, 1, 4):
            for names in ({"x"}, {"x", "x-real"}, {"x", "x-detail"}):
                reason = choose_model(ImageTraits(**kind), scale, names).reason
                assert templates.reason(reason) == f"{reason}."
                with spoken("zh"):
                    words = re.findall("[a-z]{3,}", templates.reason(reason))
                assert words == [], reason


def test_errors_and_notes_that_visitors_meet_are_translated(
    tmp_path: Path, model: HSRNet, wrong_files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    queue, sizes = DeviceQueue(1), ("MAX_WAITING", "MAX_WAITING_PER_ADDRESS")

    def submit(*limits: int) -> None:
        for name, limit in zip(sizes, limits, strict=True):
            monkeypatch.setattr(f"hsr_hub.webapp.device_queue.{name}", limit)
        queue.submit(int)

    models, source = ModelStore({"it": model, AUTO: model}, {}, []), (4000, 3000)
    (tmp_path / "a.pdf.png").write_bytes(b"%PDF-1.7")
    Image.new("L", (70_000, 1)).save(tmp_path / "long.png")
    (tmp_path / "b.cr2").write_bytes(b"II*\0\x10\0\0\0CR")
    broken = [path for name, path in wrong_files.items() if name != "whole.jpg"]
    attempts: list[Callable[[], object]] = [
        lambda: request_from_form(models, EXACT, None, None, 0, "it"),
        lambda: request_from_form(models, EXACT, 1e6, None, 0, "it"),
        lambda: request_from_form(models, EXACT, None, -3, 0, "it"),
        lambda: UpscaleRequest("it", scale=4).target(source),
        lambda: UpscaleRequest("it", width=20000).target((200, 1)),
        lambda: load_upload(tmp_path / "gone.png", "gone.png"),
        lambda: submit(9, 0),
        lambda: submit(-PLACES_FOR_NEWCOMERS, 9),
        *(
            partial(load_upload, path, path.name)
            for path in [*broken, tmp_path / "a.pdf.png", tmp_path / "b.cr2", tmp_path / "long.png"]
        ),
    ]
    problems = []
    for attempt in attempts:
        with pytest.raises(ValueError) as caught:
            attempt()
        problems.append(str(caught.value))
    request = decoder.DecodeRequest("a.png", "a.png", 9, 9, 1 << 30)
    problems += [decoder._too_slow(request), decode_worker._explain(MemoryError(), request)]
    frames = [noise((60, 45), seed=number) for number in range(2)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    frames[0].convert("CMYK").save(tmp_path / "print.jpg")
    notes = [read_image(tmp_path / name).notes[0] for name in ("moving.gif", "print.jpg")]
    for xmp in (b"/hdr-gain-map/", b":MotionPhoto", b"/hdr-gain-map/ :MotionPhoto"):
        frames[0].info["xmp"] = xmp
        notes += [f"a.jpg: {loss}" for loss in find_losses(frames[0], b"", None)]
    assert len(notes) == 5
    for prefix, lines in (("problem_", problems), ("note_", notes)):
        for line in lines:
            assert f'lang="en" dir="ltr">{escape(templates.sentence(line))}<' in (
                templates.library_text(line, prefix)
            )
            for language in ("de", "zh", "es", "fr"):
                with spoken(language):
                    shown = templates.library_text(line, prefix)
                assert f'<span lang="{language}"' in shown, line
    with spoken("de"):
        disk = "the disk of this page is full"
        found = batch_templates.file_errors([("a.png", f"{disk}: try again later"), ("b", disk)], 3)
    assert "a.png: Der Speicher dieser Seite ist voll" in found
    assert '<span lang="en" dir="ltr">b: The disk' in found, "what is not known stays English"


def test_texts_for_the_browser_are_complete_and_sentences_keep_their_numbers():
    made = texts.translations(page_templates.MADE).translations
    assert {*made} == {*CATALOGS, "zh-CN", "zh-TW"}
    assert len({tuple(found) for found in made.values()}) == 1
    with spoken("de"):
        assert templates.file_size(2_500_000) == "2,5 MB"
        assert templates.duration(42) == "etwa 40 s"
        error = templates.error_box(text("error_file"), ValueError("\u05d0.png is not an image"))
        assert 'lang="en" dir="ltr"' in error and "Diese Datei" in error


def visit(browser: Browser, space: Space, locale: str) -> Page:
    """Open the page in a browser of that language."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale=locale)
    page = context.new_page()
    page.goto(space.address)
    return page


@pytest.mark.slow
def test_a_german_visitor_reads_german(browser: Browser, space: Space, tmp_path: Path):
    noise((40, 30)).save(tmp_path / "photo.png")
    (tmp_path / "bad.png").write_text("not an image")
    page = visit(browser, space, "de-DE")
    expect(page.get_by_role("heading", level=1)).to_have_text(CATALOGS["de"]["headline"])
    expect(page.locator("#run-button")).to_have_text("Scharf machen")
    page.get_by_role("button", name="Optionen").first.click()
    expect(page.get_by_text("Art des Fotos").first).to_be_visible()
    expect(page.get_by_label("Foto aus Web oder Handy", exact=True).first).to_be_visible()
    page.locator("#photo input[type=file]").set_input_files(tmp_path / "bad.png")
    expect(page.locator("#error-box [lang=de]")).to_contain_text("bad.png ist kein lesbares Bild")
    page.locator("#photo input[type=file]").set_input_files(tmp_path / "photo.png")
    expect(page.locator("#photo img")).to_have_attribute("alt", CATALOGS["de"]["your_photo"])
    expect(page.locator("#result-summary")).to_contain_text("Aus 40 × 30 wurde 160 × 120 mit")
    expect(page.locator("#choice")).to_contain_text("vergrößert.")
    expect(page.locator("#download")).to_contain_text("PNG herunterladen")
    expect(page.locator("html")).to_have_attribute("lang", "de")
    shown = page.locator("body").inner_text()
    assert "__i18n__" not in shown and texts.PREFIX not in shown
    page.context.close()


@pytest.mark.slow
def test_an_arabic_visitor_can_use_the_page_in_english(
    browser: Browser, space: Space, tmp_path: Path
):
    name = "\u0635\u0648\u0631\u0629.png"
    noise((40, 30)).save(tmp_path / name)
    (tmp_path / f"bad-{name}").write_text("not an image")
    page = visit(browser, space, "ar")
    expect(page.locator("#run-button")).to_have_text("Make it sharp")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    page.locator("#photo input[type=file]").set_input_files(tmp_path / f"bad-{name}")
    expect(page.locator("#error-box [lang=en][dir=ltr]")).to_contain_text("is not an image")
    page.locator("#photo input[type=file]").set_input_files(tmp_path / name)
    expect(page.locator("#result-summary")).to_contain_text("40 × 30 became 160 × 120")
    wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not page.evaluate(wide)
    page.context.close()
