"""Texts of the tab for several photos. Everything from outside is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from hsr_hub.webapp import templates
from hsr_hub.webapp.engine import Progress
from hsr_hub.webapp.limits import MAX_FILES

State = Literal["waiting", "working", "done", "failed", "skipped"]

LABEL = f"Your photos, up to {MAX_FILES}"
CANCEL = "Cancel"
ARCHIVE = "Download all (ZIP)"
OPTIONS = "Options"
FORMAT = "Format of the results"
FORMAT_INFO = "PNG keeps every pixel. JPEG and WebP are smaller."
CHOOSE_FILES = "there are no files: choose some first"
ARCHIVE_ONLY = "In the ZIP only, because these photos are very large."

PLACEHOLDER = """
<div class="hsr-placeholder">
<p>Drop several photos anywhere on this page. Each gets a row here, with its result to download.</p>
</div>
"""

STALE = """
<p class="hsr-stale" role="status">Settings changed: start again to make the photos with them.</p>
"""

CANCELLED = """
<div class="hsr-progress-bar"><p role="status">Cancelled. Photos that are done stay here.</p></div>
"""

VIEWER = """
<dialog class="hsr-viewer" aria-label="Before and after">
<div class="hsr-viewer-images"><img alt="Before"><img alt="After"></div>
<div class="hsr-viewer-line"><span>Before</span>
<input type="range" min="0" max="100" value="50" aria-label="Line between before and after">
<span>After</span></div>
<div class="hsr-viewer-end"><span class="hsr-viewer-name"></span>
<button type="button" class="hsr-viewer-close">Close</button></div>
</dialog>
"""
"""Opened by a click on a pair of images, with reduced copies of both."""

STATES: dict[State, str] = {
    "waiting": "Waiting",
    "working": "Working",
    "done": "Done",
    "failed": "Failed",
    "skipped": "Not made",
}


@dataclass(frozen=True)
class Row:
    """What the page shows for one file."""

    name: str
    state: State = "waiting"
    source: tuple[int, int] | None = None
    target: tuple[int, int] | None = None
    reason: str = ""
    """The sentence of an error, or what Auto saw."""
    notes: tuple[str, ...] = ()
    """What was dropped or converted."""
    fraction: float = 0.0
    """How much of a photo that is being made is done."""
    before: Path | None = None
    after: Path | None = None
    result: Path | None = None
    """What can be downloaded."""


def too_many(count: int) -> str:
    """Return the error for too many files."""
    return f"{count} files are too many at once: take up to {MAX_FILES}"


def run_label(count: int) -> str:
    """Return the label of the button."""
    if count == 0:
        return "Make photos sharp"
    return "Make 1 photo sharp" if count == 1 else f"Make {count} photos sharp"


def looking(number: int, total: int) -> str:
    """Return what is done while the files are read for the first time."""
    text = f"Looking at photo {number} of {total}"
    return f'<p class="hsr-choice" role="status">{text}</p>'


def batch_info(targets: list[tuple[int, int]], seconds: float | None) -> str:
    """Return the number of photos, the size of the results, and the expected time."""
    megapixels = sum(width * height for width, height in targets) / 1e6
    amount = f"{megapixels:.0f} megapixels" if megapixels >= 10 else f"{megapixels:.1f} megapixels"
    time = "known after the first" if seconds is None else templates.duration(seconds)
    cells = [("Photos", str(len(targets))), ("Results", amount), ("Time", time)]
    items = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in cells)
    return f'<dl class="hsr-image-info">{items}</dl>'


def rows(entries: Iterable[Row]) -> str:
    """Return a list with a row for each file; "" without files."""
    items = "".join(map(_row, entries))
    return f'<ul class="hsr-rows">{items}</ul>' if items else ""


def _row(row: Row) -> str:
    name = escape(row.name)
    lines = [f"<strong>{name}</strong>"]
    if row.source and row.target:
        text = f"{templates.size(row.source)} to {templates.size(row.target)}"
        lines.append(f'<span class="hsr-sizes">{text}</span>')
    if row.reason:
        lines.append(f"<span>{escape(_sentence(row.reason))}</span>")
    lines += [f'<span class="hsr-note">{escape(_sentence(note))}</span>' for note in row.notes]
    state = STATES[row.state]
    if row.state == "working":
        percent = round(100 * row.fraction)
        state = f"{state}, {percent} %"
        lines.append(
            f'<span class="hsr-row-bar" aria-hidden="true"><i style="width:{percent}%"></i></span>'
        )
    link = f'<span class="hsr-state">{state}</span>'
    if row.result:
        size = templates.file_size(row.result.stat().st_size)
        link += (
            f'<a class="hsr-download" href="{address(row.result)}" '
            f'download="{escape(row.result.name)}" aria-label="Download {escape(row.result.name)}">'
            f"Download · {size}</a>"
        )
    return (
        f'<li class="hsr-row" data-state="{row.state}">'
        f"{_pair(row, name)}"
        f'<div class="hsr-lines">{"".join(lines)}</div>'
        f'<div class="hsr-end">{link}</div></li>'
    )


def _pair(row: Row, name: str) -> str:
    """Return before and after, which can be compared in a larger view if both are there."""
    images = _image(row.before, f"{name}, before", "Before")
    images += _image(row.after, f"{name}, after", "After")
    if row.before is None or row.after is None:
        return f'<div class="hsr-pair">{images}</div>'
    return (
        f'<button type="button" class="hsr-pair" data-name="{name}" '
        f'aria-label="Compare before and after of {name}">{images}</button>'
    )


def _image(path: Path | None, alt: str, caption: str) -> str:
    if path is None:
        return '<figure class="hsr-empty"></figure>'
    return (
        f'<figure><img src="{address(path)}" alt="{alt}" loading="lazy">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _sentence(text: str) -> str:
    """Return a text with a capital letter and a full stop, unless it starts with a file name."""
    first = text.split(" ", 1)[0]
    start = text if "." in first else text[:1].upper() + text[1:]
    return start if start.endswith((".", "!", "?")) else f"{start}."


def address(path: Path) -> str:
    """Return the address of a file of this process, relative to the page."""
    return f"gradio_api/file={quote(str(path))}"


def files_error(error: Exception) -> str:
    """Return an error about all files together, such as too many of them."""
    return templates.error_box("These files cannot be used.", _sentence(str(error)))


def file_errors(errors: list[tuple[str, str]], total: int) -> str:
    """Return the errors of single files under a headline of their own.

    Args:
        errors: Name and reason of each file that failed.
        total: How many files there are.
    """
    if not errors:
        return ""
    if len(errors) == total:
        head = "This photo could not be used." if total == 1 else "No photo could be used."
    else:
        head = f"{len(errors)} of {total} photos could not be used."
    lines = (reason if name in reason else f"{name}: {reason}" for name, reason in errors)
    items = "".join(f"<li>{escape(_sentence(line))}</li>" for line in lines)
    return f'<div class="hsr-error-box" role="alert"><strong>{head}</strong><ul>{items}</ul></div>'


def batch_progress(
    state: Progress, fraction: float, number: int, total: int, seconds_passed: float
) -> str:
    """Return the progress of a batch.

    Args:
        state: That of the photo that is being made.
        fraction: How much of the whole batch is done.
        number: Of the photo, from 1.
        total: How many there are.
        seconds_passed: Since the start.
    """
    if state.ahead:
        return templates.waiting(state.ahead)
    # Early estimates are far off.
    left = None if fraction < 0.02 else seconds_passed / fraction - seconds_passed
    return templates.progress_bar(fraction, f"Photo {number} of {total}", left)


def batch_summary(count: int, total: int, seconds: float) -> str:
    """Return how many photos were made."""
    if total == 1:
        head = "The photo is" if count else "The photo is not"
    else:
        head = f"{count} of {total} photos" if count < total else f"All {total} photos"
    text = f"<strong>{head}</strong> done in {seconds:.1f} s."
    return f'<p class="hsr-summary" role="status">{text}</p>'
