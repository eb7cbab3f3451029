"""Texts of the page, as small pieces of HTML. Everything from outside is escaped."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from hsr_hub.hub import DETAIL
from hsr_hub.webapp.engine import Progress
from hsr_hub.webapp.limits import MAX_RESULT_MEGAPIXELS, MAX_SIDE
from hsr_hub.webapp.models import ModelStore
from hsr_hub.webapp.requests import CROP, UpscaleRequest
from hsr_hub.webapp.tiles import TILE

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
    large = "would be" in str(error)
    title = "This size is too large." if large else "These options do not work."
    return error_box(title, error)


def sentence(text: str) -> str:
    """Return a text with a capital letter and a full stop. A file's name at its start is kept."""
    if not text:
        return ""
    first = text.split(maxsplit=1)[0]
    if not re.search(r"[._\d]", first.rstrip(".,:;")):
        text = text[0].upper() + text[1:]
    return text if text[-1] in ".!?" else text + "."


STALE = """
<p class="hsr-stale" role="status">The settings have changed. Make it again to see them.</p>
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
    time = "known after the first photo" if seconds is None else duration(seconds + wait)
    if wait >= 5:
        time += ", with the wait"
    rows = [("Your photo", size(source)), ("Result", size(target)), ("Time", time)]
    cells = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in rows)
    return f'<dl class="hsr-image-info">{cells}</dl>'


def error_box(title: str, error: Exception | str) -> str:
    """Return an error, which screen readers read out at once."""
    text = sentence(str(error) or type(error).__name__)
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
        return waiting(state.ahead, state.seconds_left)
    what = "Saving" if state.saving else "Sharpening"
    return progress_bar(state.fraction, what, state.seconds_left)


def waiting(ahead: int, seconds: float | None = None) -> str:
    """Return the place in the device queue.

    Args:
        ahead: Photos that come first.
        seconds: Time until the result is there, with the wait.
    """
    who = "One photo is" if ahead == 1 else f"{ahead} photos are"
    text = f"{who} before yours. It will start by itself."
    if seconds is not None:
        text += f" Your result is here in {duration(seconds)}."
    return f'<div class="hsr-progress-bar"><p role="status">{text}</p></div>'


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
    took = "was made before" if seconds is None else f"took {seconds:.1f} s"
    took = f"{escape(made)}; it {took}"
    if target == source:
        what = "cleaned up" if cleaned else "kept at its size"
        text = f"<strong>{size(source)}</strong> {what} with {took}."
    else:
        text = f"{size(source)} became <strong>{size(target)}</strong> with {took}."
    if cropped:
        text += " The edges were cut off to fill the size."
    items = "".join(f"<li>{escape(sentence(note))}</li>" for note in notes)
    listed = (
        f'<ul class="hsr-notes" aria-label="Changes while reading">{items}</ul>' if items else ""
    )
    return f'<p class="hsr-summary" role="status">{text}</p>{listed}'


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
        "value-text": "{percent} % of the view shows the original",
    }
    attributes = " ".join(f'data-{key}="{escape(str(value))}"' for key, value in data.items())
    plain = "your photo" if cleaned else "your photo, enlarged the plain way"
    return f"""
<div class="hsr-viewer" {attributes}>
<div class="hsr-stage" tabindex="0" role="group"
 aria-label="Before and after. Plus and minus zoom, arrow keys move a zoomed photo.">
<div class="hsr-layer" data-side="before"><div><img alt="Before: {plain}" draggable="false">
</div></div>
<div class="hsr-layer" data-side="after"><div><img alt="After: the sharpened photo"
 draggable="false"></div></div>
<span class="hsr-side" data-side="before">Before</span>
<span class="hsr-side" data-side="after">After</span>
<div class="hsr-line" role="slider" tabindex="0" aria-label="Line between before and after"
 aria-valuemin="0" aria-valuemax="100" aria-valuenow="50"><span></span></div>
</div>
<div class="hsr-tools">
<div role="group" aria-label="Zoom">
<button type="button" data-zoom="fit" aria-pressed="true">Fit</button>
<button type="button" data-zoom="1" aria-pressed="false">100 %</button>
<button type="button" data-zoom="2" aria-pressed="false">200 %</button>
</div>
<output aria-label="Zoom of the result"></output>
<button type="button" data-hold aria-pressed="false">Hold to see the original</button>
<button type="button" data-fullscreen>Fullscreen</button>
</div>
</div>"""


def settings_of(models: ModelStore, request: UpscaleRequest) -> str:
    """Return the settings of a result in a few characters: "4x, Clean original"."""
    if request.scale is not None:
        scale = f"{request.scale:g}x"
    else:
        scale = " × ".join(
            f"{side:g}" if side else "auto" for side in (request.width, request.height)
        )
        scale += ", cropped" if request.fitting == CROP and request.width and request.height else ""
    return f"{scale}, {choice_label(models, request)}"


def choice_label(models: ModelStore, request: UpscaleRequest) -> str:
    """Return the name of weights and strength for people."""
    label = models.labels.get(request.model, request.model)
    if request.strength == 1:
        return models.labels.get(request.model + DETAIL, f"{label}, strength 1")
    return f"{label}, strength {request.strength:g}" if request.strength else label


def cards(title: str, entries: Iterable[tuple[Path, str, bool]], pressed: int | None = None) -> str:
    """Return images with captions, which `page.cards.js` loads and makes clickable.

    Args:
        title: Headline.
        entries: File, caption, and whether it can be clicked, of each.
        pressed: Number of the one that is shown now.
    """
    items = ""
    for number, (file, caption, clickable) in enumerate(entries):
        image = f'<img alt="" data-file="{escape(quote(str(file)))}">'
        content = f"{image}<span>{escape(caption)}</span>"
        if clickable:
            state = "true" if number == pressed else "false"
            content = (
                f'<button type="button" data-index="{number}" aria-pressed="{state}">'
                f"{content}</button>"
            )
        else:
            content = f"<div>{content}</div>"
        items += f"<li>{content}</li>"
    return f"<h3>{escape(title)}</h3><ul>{items}</ul>" if items else ""


PLAIN = "Before (plain enlargement)"
TRY_ALL = "Try all choices on this spot"
TRIALS_TITLE = "The same spot with every choice. Click the one that you like."
HISTORY_TITLE = "Your results of this visit"
RESULT_GONE = "This result is no longer here."
MAKE_AGAIN = "Make it again."
LEAVE_OUT_LOCATION = "Leave out where it was taken"
PREPARING = "Preparing the file"


def too_large_reason(pixels: tuple[int, int]) -> str:
    """Return why a scale is not available."""
    megapixels = pixels[0] * pixels[1] / 1e6
    if megapixels > MAX_RESULT_MEGAPIXELS:
        return f"{megapixels:.0f} megapixels, and this page makes up to {MAX_RESULT_MEGAPIXELS}"
    return f"{max(pixels)} pixels a side, and this page makes up to {MAX_SIDE}"


def too_large(reasons: dict[str, str]) -> str:
    """Return the sentence for scales that are too large, which `page.js` disables.

    Args:
        reasons: Why each is not available, by its label.
    """
    if not reasons:
        return ""
    name, reason = next(iter(reasons.items()))
    names = " and ".join(reasons)
    verb = "is" if len(reasons) == 1 else "are"
    text = f"{names} {verb} not available: {name} would be {reason}."
    return f'<p class="hsr-limits" data-too-large="{escape(json.dumps(list(reasons)))}">{text}</p>'
