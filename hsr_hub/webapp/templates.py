"""Texts of the page, as small pieces of HTML. Everything from outside is escaped."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path

from hsr_hub.webapp.engine import Progress
from hsr_hub.webapp.models import ModelStore
from hsr_hub.webapp.requests import UpscaleRequest

TITLE = """
<h1>Sharper photos, honest to the original</h1>
<p>Drop a small photo. It comes back larger and sharper, with the colours it had.</p>
"""

SHOWCASE = Path(__file__).with_name("showcase")
"""Finished results, written by `docs/showcase.py`: the left half before, the right half after."""


def showcase(files: list[tuple[str, str]]) -> str:
    """Return before and after of photos that show what the page does.

    Args:
        files: Name in `SHOWCASE`, and caption of each.
    """
    figures = ""
    for name, caption in files:
        data = base64.b64encode((SHOWCASE / name).read_bytes()).decode()
        figures += (
            f'<figure><img src="data:image/jpeg;base64,{data}" width="480" height="400" '
            f'alt="{caption}, before and after"><span>Before</span><span>After</span>'
            f"<figcaption>{caption}</figcaption></figure>"
        )
    return f'<div class="hsr-showcase">{figures}</div>'


PLACEHOLDER = showcase(
    [("web-photo.jpg", "A small web JPEG"), ("old-photo.jpg", "An old, noisy photo")]
)


def describe_choices(models: ModelStore) -> str | None:
    """Return the text below the kinds of photo."""
    return "Auto looks at your photo and chooses." if models.auto else None


def made_with(models: ModelStore, request: UpscaleRequest) -> str:
    """Return the weights and the strength of a result: "Clean original (hsr-x4)"."""
    label = models.labels.get(request.model, request.model)
    text = label if label == request.model else f"{label} ({request.model})"
    return f"{text}, strength {request.strength:g}" if request.strength else text


def choice(reason: str) -> str:
    """Return the sentence about what the page saw and does."""
    return f'<p class="hsr-choice" role="status">{escape(reason)}.</p>' if reason else ""


ASK_SIZE = '<p class="hsr-choice">Type a width, a height, or both.</p>'


def option_error(error: Exception) -> str:
    """Return an error about the form, with a headline that names its kind."""
    text = str(error)
    title = "This size is too large." if "would be" in text else "These options do not work."
    return error_box(title, text[:1].upper() + text[1:] + ".")


STALE = """
<p class="hsr-stale" role="status">Settings changed: make it again to see them.</p>
"""


def size(pixels: tuple[int, int]) -> str:
    """Return "640 × 480"."""
    return f"{pixels[0]} × {pixels[1]}"


def duration(seconds: float) -> str:
    """Return an expected time, rounded to what can be known in advance."""
    if seconds < 10:
        return f"about {max(1, round(seconds))} s"
    if seconds < 90:
        return f"about {round(seconds / 5) * 5} s"
    return f"about {seconds / 60:.0f} min"


def file_size(count: int) -> str:
    """Return a number of bytes as kB or MB."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{max(1, round(count / 1e3))} kB"


def image_info(source: tuple[int, int], target: tuple[int, int], seconds: float | None) -> str:
    """Return the sizes of upload and result, and the expected time."""
    time = "known after the first photo" if seconds is None else duration(seconds)
    rows = [("Your photo", size(source)), ("Result", size(target)), ("Time", time)]
    cells = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in rows)
    return f'<dl class="hsr-image-info">{cells}</dl>'


def error_box(title: str, error: Exception | str) -> str:
    """Return an error, which screen readers read out at once."""
    text = str(error) or type(error).__name__
    return f'<div class="hsr-error-box" role="alert"><strong>{title}</strong> {escape(text)}</div>'


def notice(texts: list[str]) -> str:
    """Return messages about models that could not be loaded."""
    return f'<div class="hsr-notice" role="status">{escape(" ".join(texts))}</div>'


def preview(data_url: str, pixels: tuple[int, int]) -> str:
    """Return the preview of the result."""
    return (
        f'<div class="hsr-preview"><img src="{data_url}" width="{pixels[0]}" height="{pixels[1]}" '
        'decoding="sync" alt="Your photo, filling with sharpened parts"></div>'
    )


def progress_bar(fraction: float, what: str, seconds_left: float | None) -> str:
    """Return a bar with a percentage and the time that is left."""
    percent = round(100 * fraction)
    left = "" if seconds_left is None else f"{duration(seconds_left)} left"
    return (
        f'<div class="hsr-progress-bar"><div role="progressbar" aria-label="{escape(what)}" '
        f'aria-valuemin="0" aria-valuemax="100" aria-valuenow="{percent}">'
        f'<span style="width:{percent}%"></span></div>'
        f"<p><span>{escape(what)} · {percent} %</span><span>{left}</span></p></div>"
    )


STARTING = progress_bar(0, "Starting", None)


def progress(state: Progress) -> str:
    """Return the progress of one image."""
    if state.ahead:
        return waiting(state.ahead)
    what = "Saving" if state.saving else "Sharpening"
    return progress_bar(state.fraction, what, state.seconds_left)


def waiting(ahead: int) -> str:
    """Return the place in the device queue."""
    who = "One photo is" if ahead == 1 else f"{ahead} photos are"
    text = f"{who} before yours. It will start by itself."
    return f'<div class="hsr-progress-bar"><p role="status">{text}</p></div>'


def result_summary(
    source: tuple[int, int],
    target: tuple[int, int],
    seconds: float | None,
    reduced: bool,
    made: str,
    cleaned: bool,
) -> str:
    """Return what was done.

    Args:
        source: Size of the upload.
        target: Size of the result.
        seconds: How long it took; None if the result was there already.
        reduced: Whether the slider shows a reduced result.
        made: Weights and strength, from `made_with`.
        cleaned: Whether the weights remove noise, blur and blocks.
    """
    took = "was made before" if seconds is None else f"took {seconds:.1f} s"
    took = f"{escape(made)}; it {took}"
    if target == source:
        what = "cleaned up" if cleaned else "kept at its size"
        text = f"<strong>{size(source)}</strong> {what} with {took}. "
    else:
        text = f"{size(source)} became <strong>{size(target)}</strong> with {took}. "
        text += "Before: resized the plain way (bicubic). "
    text += "Drag the line; scroll or pinch to zoom."
    if reduced:
        text += " This view is reduced, to spare your browser; the download is not."
    return f'<p class="hsr-summary" role="status">{text}</p>'
