"""What the page says, as small pieces of HTML. Everything that strangers wrote is escaped."""

from __future__ import annotations

from html import escape

from hsr_hub.webapp.batch_job import Batch
from hsr_hub.webapp.engine import Task

TITLE = """
<h1>Sharper photos, honest to the original</h1>
<p>Drop a small photo. It comes back larger and sharper, with the colours it had.</p>
"""

WAITING = """
<div class="waiting"><p>Your photo will appear here, before and after, with a line to drag.</p>
</div>
"""

SEVERAL_WAITING = """
<div class="waiting"><p>The results will appear here one by one, with a ZIP of all.</p></div>
"""


ABOUT = {
    "hsr-lite-x4": "hsr-lite-x4: fast, faithful.",
    "hsr-x4": "hsr-x4: slower, a little more faithful.",
    "hsr-lite-x4-real": "hsr-lite-x4-real: for photos with blur, noise or JPEG blocks.",
}
"""The shipped sets between which visitors choose."""


def models(names: list[str]) -> str | None:
    """What is known of the sets that can be chosen."""
    return " ".join(ABOUT[name] for name in names if name in ABOUT) or None


def size(pixels: tuple[int, int]) -> str:
    """Width and height, for people."""
    return f"{pixels[0]} × {pixels[1]}"


def duration(seconds: float) -> str:
    """A time that is told before it is over: in steps that promise no more than is known."""
    if seconds < 10:
        return f"about {max(1, round(seconds))} s"
    if seconds < 90:
        return f"about {round(seconds / 5) * 5} s"
    return f"about {seconds / 60:.0f} min"


def file_size(count: int) -> str:
    """Bytes, for people."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{max(1, round(count / 1e3))} kB"


def facts(source: tuple[int, int], target: tuple[int, int], seconds: float | None) -> str:
    """What will be made of the picture, told before it is started."""
    time = "known after the first photo" if seconds is None else duration(seconds)
    rows = [("Your photo", size(source)), ("Result", size(target)), ("Time", time)]
    cells = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in rows)
    return f'<dl class="facts">{cells}</dl>'


def problem(title: str, error: Exception | str) -> str:
    """Something went wrong; read out at once by screen readers."""
    text = str(error) or type(error).__name__
    return f'<div class="problem" role="alert"><strong>{title}</strong> {escape(text)}</div>'


def problems(texts: list[str]) -> str:
    """Those pictures of a batch that could not be done."""
    if not texts:
        return ""
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    head = "One file was left out" if len(texts) == 1 else f"{len(texts)} files were left out"
    return f'<div class="problem" role="alert"><strong>{head}</strong><ul>{items}</ul></div>'


def notice(texts: list[str]) -> str:
    """What visitors must know about the weights."""
    return f'<div class="notice" role="status">{escape(" ".join(texts))}</div>'


def stage(data_url: str, pixels: tuple[int, int]) -> str:
    """The preview while it fills."""
    return (
        f'<div class="stage"><img src="{data_url}" width="{pixels[0]}" height="{pixels[1]}" '
        'decoding="sync" alt="Your photo, filling with sharpened parts"></div>'
    )


def meter(fraction: float, what: str, seconds_left: float | None) -> str:
    """A bar with a percentage and the time that is left."""
    percent = round(100 * fraction)
    left = "" if seconds_left is None else f"{duration(seconds_left)} left"
    return (
        f'<div class="meter"><div role="progressbar" aria-label="{escape(what)}" aria-valuemin="0" '
        f'aria-valuemax="100" aria-valuenow="{percent}"><span style="width:{percent}%"></span>'
        f"</div><p><span>{escape(what)} · {percent} %</span><span>{left}</span></p></div>"
    )


def working(task: Task) -> str:
    """Where a picture has got to."""
    if task.ahead:
        return queue(task.ahead)
    what = "Saving" if task.total and task.done == task.total else "Sharpening"
    return meter(task.fraction, what, task.seconds_left)


def queue(ahead: int) -> str:
    """Others are before this visitor."""
    who = "One photo is" if ahead == 1 else f"{ahead} photos are"
    text = f"{who} before yours. It will start by itself."
    return f'<div class="meter"><p role="status">{text}</p></div>'


def done(
    source: tuple[int, int], target: tuple[int, int], seconds: float | None, reduced: bool
) -> str:
    """What was done, under the slider; in no seconds where it was there already."""
    took = "was made before" if seconds is None else f"took {seconds:.1f} s"
    if target == source:
        text = f"<strong>{size(source)}</strong> cleaned up; it {took}. "
    else:
        text = f"{size(source)} became <strong>{size(target)}</strong>; it {took}. "
        text += "Before: resized the plain way (bicubic). "
    text += "Drag the line; scroll or pinch to zoom."
    if reduced:
        text += " This view is reduced, to spare your browser; the download is not."
    return f'<p class="done" role="status">{text}</p>'


def batch_working(batch: Batch) -> str:
    """Where a batch has got to."""
    if batch.task and batch.task.ahead:
        return queue(batch.task.ahead)
    what = f"Photo {min(batch.finished + 1, len(batch.files))} of {len(batch.files)}"
    return meter(batch.fraction, what, batch.seconds_left)


def batch_done(count: int, total: int, seconds: float) -> str:
    """What a batch came to."""
    head = f"{count} of {total} photos" if count < total else f"All {total} photos"
    return f'<p class="done" role="status"><strong>{head}</strong> done in {seconds:.1f} s.</p>'
