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
from hsr_hub.webapp.texts import number, percent, text

State = Literal["waiting", "working", "done", "failed", "skipped"]


class BatchError(ValueError):
    """What is wrong with the files, in the visitor's language."""


def label() -> str:
    """Return the label of the files."""
    return text("files_label", count=MAX_FILES)


def placeholder() -> str:
    """Return what is shown before there are files."""
    return f'<div class="hsr-placeholder"><p>{text("batch_placeholder")}</p></div>'


def stale() -> str:
    """Return the note over results that the settings do not fit any more."""
    return f'<p class="hsr-stale" role="status">{text("batch_stale")}</p>'


def cancelled() -> str:
    """Return what is shown after Cancel."""
    return f'<div class="hsr-progress-bar"><p role="status">{text("cancelled")}</p></div>'


def viewer() -> str:
    """Return the larger view that a click on a pair of images opens, with reduced copies."""
    before, after = text("before"), text("after")
    return f"""
<dialog class="hsr-pair-view" aria-label="{text("viewer_name")}">
<div class="hsr-pair-view-images"><img alt="{before}"><img alt="{after}"></div>
<div class="hsr-pair-view-line"><span>{before}</span>
<input type="range" min="0" max="100" value="50" aria-label="{text("line_label")}">
<span>{after}</span></div>
<div class="hsr-pair-view-end"><span class="hsr-pair-view-name" dir="auto"></span>
<button type="button" class="hsr-pair-view-close">{text("close")}</button></div>
</dialog>
"""


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
    return text("too_many", count=count, most=MAX_FILES)


def run_label(count: int) -> str:
    """Return the label of the button."""
    if count == 0:
        return text("make_none")
    return text("make_one") if count == 1 else text("make_many", count=count)


def looking(number: int, total: int) -> str:
    """Return what is done while the files are read for the first time."""
    line = text("looking", number=number, total=total)
    return f'<p class="hsr-choice" role="status">{line}</p>'


def batch_info(targets: list[tuple[int, int]], seconds: float | None, wait: float = 0) -> str:
    """Return the number of photos, the size of the results, and the expected time.

    Args:
        targets: Sizes of the results.
        seconds: Expected time of the work; None if it is not known.
        wait: Expected time until the work starts.
    """
    megapixels = sum(width * height for width, height in targets) / 1e6
    amount = text("megapixels", count=number(megapixels, 0 if megapixels >= 10 else 1))
    time = templates.expected_time(seconds, wait, "time_after_first")
    return templates.info_list(photos=str(len(targets)), results=amount, time=time)


def rows(entries: Iterable[Row]) -> str:
    """Return a list with a row for each file; "" without files."""
    items = "".join(map(_row, entries))
    return f'<ul class="hsr-rows">{items}</ul>' if items else ""


def _row(row: Row) -> str:
    name = escape(row.name)
    lines = [f'<strong dir="auto">{name}</strong>']
    if row.source and row.target:
        sizes = text("sizes", source=templates.size(row.source), target=templates.size(row.target))
        lines.append(f'<span class="hsr-sizes">{sizes}</span>')
    if row.reason and row.state == "failed":
        lines.append(templates.library_text(row.reason, "problem_"))
    elif row.reason:
        lines.append(f"<span>{templates.reason(row.reason)}</span>")
    lines += [
        f'<span class="hsr-note">{templates.library_text(note, "note_")}</span>'
        for note in row.notes
    ]
    state = text(f"state_{row.state}")
    if row.state == "working":
        state = text("state_percent", state=state, percent=percent(row.fraction))
        width = round(100 * row.fraction)
        lines.append(
            f'<span class="hsr-row-bar" aria-hidden="true"><i style="width:{width}%"></i></span>'
        )
    link = f'<span class="hsr-state">{state}</span>'
    if row.result:
        size = templates.file_size(row.result.stat().st_size)
        file = escape(row.result.name)
        link += (
            f'<a class="hsr-download" href="{address(row.result)}" download="{file}" '
            f'aria-label="{text("download_name", name=file)}">'
            f"{text('download_size', size=size)}</a>"
        )
    return (
        f'<li class="hsr-row" data-state="{row.state}">'
        f"{_pair(row, name)}"
        f'<div class="hsr-lines">{"".join(lines)}</div>'
        f'<div class="hsr-end">{link}</div></li>'
    )


def _pair(row: Row, name: str) -> str:
    """Return before and after, which can be compared in a larger view if both are there."""
    images = _image(row.before, text("name_before", name=name), text("before"))
    images += _image(row.after, text("name_after", name=name), text("after"))
    if row.before is None or row.after is None:
        return f'<div class="hsr-pair">{images}</div>'
    return (
        f'<button type="button" class="hsr-pair" data-name="{name}" '
        f'aria-label="{text("compare_name", name=name)}">{images}</button>'
    )


def _image(path: Path | None, alt: str, caption: str) -> str:
    if path is None:
        return '<figure class="hsr-empty"></figure>'
    return (
        f'<figure><img src="{address(path)}" alt="{alt}" loading="lazy">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def address(path: Path) -> str:
    """Return the address of a file of this process, relative to the page."""
    return f"gradio_api/file={quote(str(path))}"


def files_error(error: Exception) -> str:
    """Return an error about all files together, such as too many of them."""
    reason = str(error) if isinstance(error, BatchError) else error
    return templates.error_box(text("error_files"), reason)


def file_errors(errors: list[tuple[str, str]], total: int) -> str:
    """Return the errors of single files under a headline of their own.

    Args:
        errors: Name and reason of each file that failed.
        total: How many files there are.
    """
    if not errors:
        return ""
    if len(errors) == total:
        head = text("error_one" if total == 1 else "error_all")
    else:
        head = text("error_some", count=len(errors), total=total)
    lines = [templates.library_text(reason, "problem_", name) for name, reason in errors]
    items = "".join(f"<li>{line}</li>" for line in lines)
    return f'<div class="hsr-error-box" role="alert"><strong>{head}</strong><ul>{items}</ul></div>'


def batch_progress(
    state: Progress,
    fraction: float,
    number: int,
    total: int,
    seconds_passed: float,
    seconds_after: float | None,
) -> str:
    """Return the progress of a batch.

    Args:
        state: That of the photo that is being made.
        fraction: How much of the whole batch is done.
        number: Of the photo, from 1.
        total: How many there are.
        seconds_passed: Since the first photo got the device.
        seconds_after: Expected time of the photos after this one; None if it is not known.
    """
    if state.ahead:
        seconds = None
        if state.seconds_left is not None and seconds_after is not None:
            seconds = state.seconds_left + seconds_after
        return templates.waiting(state.ahead, seconds, "ready_in" if total == 1 else "all_ready_in")
    # Early estimates are far off.
    left = None if fraction < 0.02 else seconds_passed / fraction - seconds_passed
    return templates.progress_bar(fraction, text("photo_of", number=number, total=total), left)


def batch_summary(count: int, total: int, seconds: float) -> str:
    """Return how many photos were made."""
    if total == 1:
        key = "done_one" if count else "done_none"
    else:
        key = "done_some" if count < total else "done_all"
    line = text(key, count=count, total=total, seconds=number(seconds, 1))
    return f'<p class="hsr-summary" role="status">{line}</p>'
