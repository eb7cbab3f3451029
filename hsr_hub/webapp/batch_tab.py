"""The tab for several photos: what happens on the page, and what the page then shows.

Changes are given by component, as in `one.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from hsr_hub.images import ImageError
from hsr_hub.webapp import storage, templates
from hsr_hub.webapp.batch_job import MAX_FILES, Batch
from hsr_hub.webapp.engine import Workshop
from hsr_hub.webapp.jobs import Job
from hsr_hub.webapp.requests import fill_in

Changes = dict[str, dict[str, Any]]

TAB = "/several"
"""Makes a visitor's work here one of its own, beside that of the other tab."""


class SeveralPhotos:
    """What the tab does."""

    def __init__(self, shop: Workshop) -> None:
        self.shop = shop

    def receive(self, visitor: str, files: list[dict] | None) -> Changes:
        """Files came or went."""
        return {"go": {"interactive": bool(files)}}

    def prepare(self, visitor: str, files: list[dict], *form: Any) -> Changes:
        """The button was pressed: answer at once, before it is this visitor's turn."""
        too_many = f"{len(files)} files are too many at once: take up to {MAX_FILES}"
        problem = "" if len(files) <= MAX_FILES else templates.problem("Not like this.", too_many)
        uploads: list[tuple[Path, str]] = []
        try:
            if not problem:
                uploads = [storage.uploaded(self.shop.folder, file) for file in files]
        except ImageError as error:
            problem = templates.problem("Not like this.", error)
        ticket = None if problem else (self.shop.jobs.start(visitor + TAB), uploads, form)
        return {
            "ticket": {"value": ticket},
            "problem": {"value": problem, "visible": bool(problem)},
            **({} if problem else _show("working")),
            "note": {"value": templates.meter(0, "Starting", None), "visible": not problem},
        }

    def sharpen(
        self, visitor: str, ticket: tuple[Job, list[tuple[Path, str]], tuple] | None
    ) -> Iterator[Changes]:
        """Do the work, and tell the page about it."""
        if ticket is None:
            return
        job, files, form = ticket
        batch = Batch(self.shop, files, partial(_order, form), job)
        started, shown = time.perf_counter(), 0
        for _ in batch.watch():
            if job.stopped:
                continue  # the page may tell of the next one by now
            changes = {"note": {"value": templates.batch_working(batch)}}
            if len(batch.done) > shown:
                shown = len(batch.done)
                changes["gallery"] = _gallery(batch)
            yield changes
        if self.shop.jobs.was_replaced(visitor + TAB, job):
            return
        seconds = time.perf_counter() - started
        problem = templates.problems(batch.problems)
        yield {
            **_show("done"),
            "note": {"value": templates.batch_done(len(batch.done), len(files), seconds)},
            "problem": {"value": problem, "visible": bool(problem)},
            "gallery": _gallery(batch),
            "archive": {"value": str(batch.archive), "visible": bool(batch.done)},
        }

    def cancel(self, visitor: str) -> Changes:
        """Stop; what is finished by then is kept."""
        self.shop.jobs.stop(visitor + TAB)
        return {"go": {"visible": True}, "stop": {"visible": False}}


def _order(form: tuple, source: tuple[int, int]):
    return fill_in(*form, source=source)


def _gallery(batch: Batch) -> dict[str, Any]:
    return {"value": [(str(path), caption) for path, caption in batch.done], "visible": True}


def _show(state: str) -> Changes:
    """What is visible when "working" and when "done"."""
    return {
        "waiting": {"visible": False},
        "archive": {"visible": False},
        "gallery": {"visible": True, **({"value": []} if state == "working" else {})},
        "go": {"visible": state == "done"},
        "stop": {"visible": state == "working"},
    }
