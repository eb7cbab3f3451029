"""Texts of the page, as small pieces of HTML. Everything from outside is escaped."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import reduce
from html import escape
from pathlib import Path
from urllib.parse import quote

from hsr_hub.hub import DETAIL
from hsr_hub.webapp.engine import Progress
from hsr_hub.webapp.limits import MAX_RESULT_MEGAPIXELS, MAX_SIDE
from hsr_hub.webapp.models import ModelStore
from hsr_hub.webapp.texts import language, number, percent, text, translated
from hsr_hub.webapp.tiles import TILE
from hsr_hub.webapp.uploads import ResultTooLargeError
from hsr_hub.webapp.upscale_request import CROP, UpscaleRequest

FILES = "assets/hsr-hub"
"""Folder of the page's own files, relative to the page."""

SHOWCASE = Path(__file__).with_name("showcase")
"""Finished results, written by `docs/showcase.py`: the left half before, the right half after."""


def title() -> str:
    """Return the headline of the page."""
    return f"<h1>{text('headline')}</h1><p>{text('description')}</p>"


def showcase() -> str:
    """Return before and after of photos that show what the page does."""
    figures = ""
    for name, key in (("web-photo.jpg", "showcase_web"), ("old-photo.jpg", "showcase_old")):
        caption = text(key)
        figures += (
            f'<figure><img src="{FILES}/{name}" width="480" height="400" '
            f'alt="{text("showcase_alt", caption=caption)}">'
            f"<span>{text('before')}</span><span>{text('after')}</span>"
            f"<figcaption>{caption}</figcaption></figure>"
        )
    return f'<div class="hsr-showcase">{figures}</div>'


def name_of(models: ModelStore, model: str) -> str:
    """Return the name of weights for people."""
    return translated(models.labels.get(model, model), "model_")


def made_with(models: ModelStore, request: UpscaleRequest) -> str:
    """Return the weights and the strength of a result: "Clean original (hsr-x4)"."""
    label = name_of(models, request.model)
    if label != request.model:
        label = text("with_code", label=label, code=request.model)
    return _with_strength(label, request.strength)


def _with_strength(label: str, strength: float) -> str:
    if not strength:
        return label
    amount = f"{strength:g}".replace(".", text("decimal_point"))
    return text("with_strength", label=label, strength=amount)


def reason(english: str) -> str:
    """Return why Auto chose, translated by its two parts: what was seen, and what is done."""
    seen, _, action = english.partition(": ")
    seen, action = translated(seen, "seen_"), translated(action, "action_")
    return text("reason", seen=escape(seen), action=escape(action))


def choice(english: str) -> str:
    """Return the sentence about what the page saw and does."""
    return f'<p class="hsr-choice" role="status">{reason(english)}</p>' if english else ""


def ask_size() -> str:
    """Return what is said before an exact size is typed."""
    return f'<p class="hsr-choice">{text("ask_size")}</p>'


def option_error(error: Exception) -> str:
    """Return an error about the form, with a headline that names its kind."""
    key = "error_size" if isinstance(error, ResultTooLargeError) else "error_options"
    return error_box(text(key), error)


def sentence(line: str) -> str:
    """Return a text with a capital letter and a full stop. A file's name at its start is kept."""
    if not line:
        return ""
    first = line.split(maxsplit=1)[0]
    if not re.search(r"[._\d]", first.rstrip(".,:;")):
        line = line[0].upper() + line[1:]
    return line if line[-1] in ".!?。" else line + "."


def stale() -> str:
    """Return the note over a result that the settings do not fit any more."""
    return f'<p class="hsr-stale" role="status">{text("stale")}</p>'


def size(pixels: tuple[int, int]) -> str:
    """Return "640 × 480"."""
    return f"{pixels[0]} × {pixels[1]}"


def duration(seconds: float) -> str:
    """Return an expected time, rounded to what can be known in advance."""
    if seconds < 10:
        return text("about_seconds", count=max(1, round(seconds)))
    if seconds < 90:
        return text("about_seconds", count=round(seconds / 5) * 5)
    return text("about_minutes", count=number(seconds / 60))


def file_size(count: int) -> str:
    """Return a number of bytes as kB or MB."""
    if count >= 1e6:
        return text("megabytes", count=number(count / 1e6, 1))
    return text("kilobytes", count=max(1, round(count / 1e3)))


def image_info(
    source: tuple[int, int], target: tuple[int, int], seconds: float | None, wait: float = 0
) -> str:
    """Return the sizes of upload and result, and the expected time.

    Args:
        source: Size of the upload.
        target: Size of the result.
        seconds: Expected time of the work; None if it is not known.
        wait: Expected time until the work starts.
    """
    time = expected_time(seconds, wait, "time_unknown")
    return info_list(your_photo=size(source), result=size(target), time=time)


def expected_time(seconds: float | None, wait: float, unknown: str) -> str:
    """Return the time until the result is there.

    Args:
        seconds: Expected time of the work; None if it is not known.
        wait: Expected time until the work starts.
        unknown: Key of the text for a time that is not known.
    """
    time = text(unknown) if seconds is None else duration(seconds + wait)
    return text("with_wait", time=time) if wait >= 5 else time


def info_list(**rows: str) -> str:
    """Return a list of values, each with the text of its key as its name."""
    cells = "".join(
        f"<div><dt>{text(key)}</dt><dd>{value}</dd></div>" for key, value in rows.items()
    )
    return f'<dl class="hsr-image-info">{cells}</dl>'


def error_box(title: str, error: Exception | str) -> str:
    """Return an error, which screen readers read out at once."""
    if isinstance(error, Exception):
        reason = library_text(str(error) or type(error).__name__, "problem_")
    else:
        reason = escape(sentence(error))
    return f'<div class="hsr-error-box" role="alert"><strong>{title}</strong> {reason}</div>'


def library_text(english: str, prefix: str, name: str = "") -> str:
    """Return an error or a note of the library, translated if the catalogs have it.

    Args:
        english: The text.
        prefix: Start of the keys that it can have.
        name: Name of a file, which is put in front if the text does not contain it. It can run from
            right to left.
    """
    line = translated(english, prefix)
    spoken = "en" if line == english else language()
    start = "" if name in line else f"{name}: "
    return f'<span lang="{spoken}" dir="ltr">{escape(start + sentence(line))}</span>'


def notice(texts: list[str]) -> str:
    """Return messages about models that could not be loaded."""
    return f'<div class="hsr-notice" role="status" lang="en">{escape(" ".join(texts))}</div>'


def preview(data_url: str, pixels: tuple[int, int]) -> str:
    """Return the preview of the result."""
    return (
        f'<div class="hsr-preview"><img src="{data_url}" width="{pixels[0]}" height="{pixels[1]}" '
        f'decoding="sync" alt="{text("preview_alt")}"></div>'
    )


def progress_bar(fraction: float, what: str, seconds_left: float | None) -> str:
    """Return a bar with a percentage and the time that is left."""
    done = round(100 * fraction)
    left = "" if seconds_left is None else text("time_left", time=duration(seconds_left))
    return (
        f'<div class="hsr-progress-bar"><div role="progressbar" aria-label="{escape(what)}" '
        f'aria-valuemin="0" aria-valuemax="100" aria-valuenow="{done}">'
        f'<span style="width:{done}%"></span></div>'
        f"<p><span>{escape(what)} · {percent(fraction)}</span><span>{left}</span></p></div>"
    )


def starting() -> str:
    """Return the bar of work that begins."""
    return progress_bar(0, text("starting"), None)


def progress(state: Progress) -> str:
    """Return the progress of one image."""
    if state.ahead:
        return waiting(state.ahead, state.seconds_left)
    what = text("saving" if state.saving else "sharpening")
    return progress_bar(state.fraction, what, state.seconds_left)


def waiting(ahead: int, seconds: float | None = None, ready: str = "ready_in") -> str:
    """Return the place in the device queue.

    Args:
        ahead: Photos that come first.
        seconds: Time until the result is there, with the wait.
        ready: Key of the sentence with that time.
    """
    line = text("waiting_one") if ahead == 1 else text("waiting_many", count=ahead)
    if seconds is not None:
        line += " " + text(ready, time=duration(seconds))
    return f'<div class="hsr-progress-bar"><p role="status">{line}</p></div>'


def result_summary(
    source: tuple[int, int],
    target: tuple[int, int],
    seconds: float | None,
    made: str,
    cleaned: bool,
    notes: Sequence[str] = (),
    cropped: bool = False,
) -> str:
    """Return what was done.

    Args:
        source: Size of the upload.
        target: Size of the result.
        seconds: How long it took; None if the result was there already.
        made: Weights and strength, from `made_with`.
        cleaned: Whether the weights remove noise, blur and blocks.
        notes: Sentences that say what was converted or left out when the upload was read.
        cropped: Whether edges of the upload were cut off.
    """
    took = text("was_made") if seconds is None else text("took", seconds=number(seconds, 1))
    before, after = size(source), f"<strong>{size(target)}</strong>"
    made = escape(made)
    if target != source:
        line = text("summary_resized", source=before, target=after, made=made, took=took)
    else:
        key = "summary_cleaned" if cleaned else "summary_kept"
        line = text(key, source=after, made=made, took=took)
    if cropped:
        line += " " + text("edges_cut")
    items = "".join(f"<li>{library_text(note, 'note_')}</li>" for note in notes)
    label = text("notes_label")
    listed = f'<ul class="hsr-notes" aria-label="{label}">{items}</ul>' if items else ""
    return f'<p class="hsr-summary" role="status">{line}</p>{listed}'


def viewer(
    before: Path, after: Path, pixels: tuple[int, int], tiles: Path | None, cleaned: bool
) -> str:
    """Return the comparison of before and after, which `page.viewer.js` brings to life.

    Args:
        before: The source at the size of the result, perhaps reduced.
        after: The result, reduced likewise.
        pixels: Size of the result.
        tiles: Folder with the tiles of both, if they are reduced.
        cleaned: Whether the result has the size of the source.
    """
    data = {
        "width": pixels[0],
        "height": pixels[1],
        "before": quote(str(before)),
        "after": quote(str(after)),
        "tiles": quote(str(tiles)) if tiles else "",
        "tile": TILE,
        "value-text": text("line_value", percent="{percent}"),
    }
    attributes = " ".join(f'data-{key}="{escape(str(value))}"' for key, value in data.items())
    before_alt = text("before_alt_same" if cleaned else "before_alt_plain")
    return f"""
<div class="hsr-viewer" {attributes}>
<div class="hsr-stage" tabindex="0" role="group"
 aria-label="{text("viewer_label")}">
<div class="hsr-layer" data-side="before"><div><img alt="{before_alt}" draggable="false">
</div></div>
<div class="hsr-layer" data-side="after"><div><img alt="{text("after_alt")}"
 draggable="false"></div></div>
<span class="hsr-side" data-side="before">{text("before")}</span>
<span class="hsr-side" data-side="after">{text("after")}</span>
<div class="hsr-line" role="slider" tabindex="0" aria-label="{text("line_label")}"
 aria-valuemin="0" aria-valuemax="100" aria-valuenow="50"><span></span></div>
</div>
<div class="hsr-tools">
<div role="group" aria-label="{text("zoom")}">
<button type="button" data-zoom="fit" aria-pressed="true">{text("zoom_fit")}</button>
<button type="button" data-zoom="1" aria-pressed="false">{percent(1)}</button>
<button type="button" data-zoom="2" aria-pressed="false">{percent(2)}</button>
</div>
<output aria-label="{text("zoom_result")}"></output>
<button type="button" data-hold aria-pressed="false">{text("hold")}</button>
<button type="button" data-fullscreen>{text("fullscreen")}</button>
</div>
</div>"""


def settings_of(models: ModelStore, request: UpscaleRequest) -> str:
    """Return the settings of a result in a few characters: "4x, Clean original"."""
    if request.scale is not None:
        scale = f"{request.scale:g}x"
    else:
        sides = request.width, request.height
        scale = " × ".join(f"{side:g}" if side else text("side_auto") for side in sides)
        if request.fitting == CROP and all(sides):
            scale = text("cropped", size=scale)
    return text("settings", size=scale, choice=choice_label(models, request))


def choice_label(models: ModelStore, request: UpscaleRequest) -> str:
    """Return the name of weights and strength for people."""
    if request.strength == 1 and request.model + DETAIL in models.labels:
        return name_of(models, request.model + DETAIL)
    return _with_strength(name_of(models, request.model), request.strength)


def too_large_reason(pixels: tuple[int, int]) -> str:
    """Return why a scale is not available."""
    megapixels = pixels[0] * pixels[1] / 1e6
    if megapixels > MAX_RESULT_MEGAPIXELS:
        size = text("megapixels", count=number(megapixels))
        return text("too_large_area", size=size, most=MAX_RESULT_MEGAPIXELS)
    return text("too_large_side", size=max(pixels), most=MAX_SIDE)


def too_large(reasons: dict[str, str]) -> str:
    """Return the sentence for scales that are too large, which `page.js` disables.

    Args:
        reasons: Why each is not available, by its label.
    """
    if not reasons:
        return ""
    name, reason = next(iter(reasons.items()))
    names = reduce(lambda first, second: text("and", first=first, second=second), reasons)
    key = "too_large_one" if len(reasons) == 1 else "too_large_many"
    line = text(key, names=names, name=name, reason=reason)
    return f'<p class="hsr-limits" data-too-large="{escape(json.dumps(list(reasons)))}">{line}</p>'
