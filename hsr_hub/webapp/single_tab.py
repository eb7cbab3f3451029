"""The tab for one photo: what happens on the page, and what the page then shows.

Every function gives the changes by component: {"facts": {"value": ..., "visible": True}}. `app.py`
has the components, and hands the changes to Gradio. The first argument is who the visitor is.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from hsr_hub.images import ImageData, ImageError, read_image, read_pil, write_image
from hsr_hub.webapp import storage, templates, uploads
from hsr_hub.webapp.engine import Task, Workshop
from hsr_hub.webapp.example_cache import Examples, Outcome
from hsr_hub.webapp.jobs import Job, Stopped
from hsr_hub.webapp.requests import EXACT, Order, fill_in
from hsr_hub.webapp.uploads import Upload

Changes = dict[str, dict[str, Any]]
Ticket = tuple[Job, Upload, Order]

FORMATS = {"PNG": ".png", "JPEG": ".jpg", "WebP": ".webp"}
QUALITY = {"JPEG": 92, "WebP": 90}
NOT_FOR_BROWSERS = {".tif", ".tiff"}


class OnePhoto:
    """What the tab does."""

    def __init__(self, shop: Workshop, examples: Examples) -> None:
        self.shop, self.examples = shop, examples

    def receive(self, visitor: str, file: dict | None, *form: Any) -> Changes:
        """A photo was dropped, pasted, taken or removed: say what will be made of it."""
        if file is None:
            self.shop.jobs.stop(visitor)
            return {"picture": {"value": None}, **self.describe(visitor, None, *form)}
        if storage.is_ours(self.shop.folder, Path(file["path"] or "")):  # shown below
            return {}
        self.shop.jobs.stop(visitor)
        try:
            path, name = storage.uploaded(self.shop.folder, file)
            picture, decoded = uploads.look(path, name)
        except ImageError as error:
            # Browsers would show a broken picture: away with it.
            text = templates.problem("This file cannot be used.", error)
            return {"photo": {"value": None}, "problem": _text(text)}
        small = storage.new_folder(self.shop.folder) / "small.jpg"
        uploads.save_small(decoded, small)
        picture = replace(picture, small=small)
        scale = form[0]
        if scale != EXACT:  # one click must be enough for a large photo too
            scale = next((s for s in (4, 3, 2) if s <= scale and uploads.fits(picture.size, s)), 1)
        changes = {"picture": {"value": picture}, **_show("empty")}
        if scale != form[0]:
            changes["scale"] = {"value": scale}
        if path.suffix.lower() in NOT_FOR_BROWSERS:
            changes["photo"] = {"value": str(small)}
        return {**changes, **self.describe(visitor, picture, scale, *form[1:])}

    def describe(self, visitor: str, picture: Upload | None, *form: Any) -> Changes:
        """Sizes and time of what the form asks for, or what is wrong with it."""
        if picture is None:
            return {"facts": {"visible": False}, "go": {"interactive": False}}
        try:
            order = fill_in(*form, source=picture.size)
        except ValueError as error:
            problem = templates.problem("Not like this.", error)
            return {
                "problem": _text(problem),
                "facts": {"visible": False},
                "go": {"interactive": False},
            }
        seconds = self.shop.seconds(picture.size, picture.passes, order)
        line = templates.facts(picture.size, order.target(picture.size), seconds and sum(seconds))
        return {"problem": _text(""), "facts": _text(line), "go": {"interactive": True}}

    def prepare(self, visitor: str, picture: Upload | None, *form: Any) -> Changes:
        """The button was pressed: answer at once, before it is this visitor's turn."""
        if picture is None or picture.small is None or not picture.is_there:
            return _gone()
        order = fill_in(*form, source=picture.size)
        small = read_pil(picture.small)
        preview = uploads.Preview(small, order.target(picture.size))
        ticket: Ticket = (self.shop.jobs.start(visitor), picture, order)
        return {
            "ticket": {"value": ticket},
            **_show("working"),
            "problem": _text(""),
            "stage": _text(templates.stage(preview.data_url(), preview.size)),
            "meter": _text(templates.meter(0, "Starting", None)),
        }

    def sharpen(self, visitor: str, ticket: Ticket | None) -> Iterator[Changes]:
        """Do the work, and tell the page about it."""
        if ticket is None:
            return
        job, picture, order = ticket
        kept = self.examples.find(picture, order)
        if kept:
            yield self._done(picture, order, kept, None)
            return
        task = Task(
            self.shop, picture.path, picture.name, lambda _: order, job, self._finish(ticket), True
        )
        started, version = time.perf_counter(), 0
        try:
            for _ in task.watch():
                changes = {"meter": _text(templates.working(task))}
                if task.preview and task.preview.version > version:
                    version = task.preview.version
                    text = templates.stage(task.preview.data_url(), task.preview.size)
                    changes["stage"] = _text(text)
                yield changes
        except Stopped:
            if not self.shop.jobs.was_replaced(visitor, job):
                yield _show("empty")
            return
        except (ValueError, OSError, RuntimeError, MemoryError) as error:
            if hasattr(error, "print_exception"):
                raise  # ZeroGPU's own, made for Gradio to show: no GPU time left today, say
            if not picture.is_there:
                yield _gone()
                return
            problem = templates.problem("This did not work.", error)
            yield {**_show("empty"), "problem": _text(problem)}
            return
        self.examples.keep(picture, order, task.outcome)
        yield self._done(picture, order, task.outcome, time.perf_counter() - started)

    def _done(
        self, picture: Upload, order: Order, outcome: Outcome, seconds: float | None
    ) -> Changes:
        """The result is there, made in so many seconds, or before."""
        path, before, after = outcome
        target = order.target(picture.size)
        return {
            **_show("done"),
            "slider": {"value": (str(before), str(after)), "visible": True},
            "note": _text(templates.done(picture.size, target, seconds, reduced=after != path)),
            "result": {"value": path},
            "kind": {"value": "PNG"},
            "download": _offer(path, "PNG"),
        }

    def _finish(self, ticket: Ticket):
        job, picture, _ = ticket

        def finish(order: Order, source: ImageData, made: ImageData) -> Outcome:
            path = self.shop.keep(job, picture.name, order, made)
            return path, *uploads.save_pair(source, made, path, job.folder)

        return finish

    def cancel(self, visitor: str) -> Changes:
        """Stop, and be ready for the next."""
        self.shop.jobs.stop(visitor)
        return _show("empty")

    def convert(self, visitor: str, path: Path | None, kind: str) -> Changes:
        """The result in another format, made when it is asked for."""
        if path is None:
            return {}
        if not path.is_file():
            text = templates.problem("This result is no longer here.", "Make it again.")
            return {"problem": _text(text)}
        target = path.with_suffix(FORMATS[kind])
        if not target.exists():
            try:
                made = read_image(path)
                write_image(made, target, quality=QUALITY.get(kind))
            except ImageError as error:
                return {"problem": _text(templates.problem("Not in this format.", error))}
        return {"download": _offer(target, kind)}


def _gone() -> Changes:
    """The photo was removed, an hour after it came."""
    return {
        **_show("empty"),
        "go": {"visible": True, "interactive": False},
        "photo": {"value": None},
        "picture": {"value": None},
        "ticket": {"value": None},
        "facts": {"visible": False},
        "problem": _text(templates.problem("This photo is no longer here.", "Give it again.")),
    }


def _offer(path: Path, kind: str) -> dict[str, Any]:
    size = templates.file_size(path.stat().st_size)
    return {"value": str(path), "label": f"Download {kind} · {size}"}


def _text(text: str) -> dict[str, Any]:
    """A piece of text, whose place is hidden where there is none."""
    return {"value": text, "visible": bool(text)}


def _show(state: str) -> Changes:
    """What is visible when there is nothing to see ("empty"), when "working" and when "done"."""
    places = {"empty": ["waiting"], "working": ["stage", "meter"], "done": ["slider", "after"]}
    changes = {p: {"visible": state == s} for s, names in places.items() for p in names}
    changes["go"] = {"visible": state != "working"}
    changes["stop"] = {"visible": state == "working"}
    return changes
