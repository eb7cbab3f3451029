"""The tab for several photos: its layout, its events, and their handlers."""

from __future__ import annotations

import time
import zipfile
from pathlib import Path
from typing import Any

import gradio as gr

from hsr_hub.images import atomic_write
from hsr_hub.webapp import storage, templates
from hsr_hub.webapp.connections import Caller
from hsr_hub.webapp.context import AppContext
from hsr_hub.webapp.engine import UpscaleTask
from hsr_hub.webapp.events import (
    GPU_EVENT,
    PRIVATE_EVENT,
    Updates,
    UpdateStream,
    html,
    visitor,
)
from hsr_hub.webapp.form import build_form
from hsr_hub.webapp.jobs import JobCancelledError
from hsr_hub.webapp.limits import MAX_FILES
from hsr_hub.webapp.requests import request_from_form

ARCHIVE_NAME = "sharper-uploads.zip"


class BatchTab:
    """Build it inside a `gr.Tab`. The handlers are in the order in which a visitor meets them."""

    def __init__(self, context: AppContext) -> None:
        self.context, self.models = context, context.models
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=320):
                self._build_input()
            with gr.Column(scale=7, min_width=320):
                self._build_output()
        self._connect()

    def _build_input(self) -> None:
        self.files = gr.File(
            label="Your photos", file_count="multiple", height=220, elem_id="batch-files"
        )
        self.error_box = gr.HTML(visible=False, elem_id="batch-error-box")
        self.form = build_form(self.models)
        self.run_button = gr.Button(
            "Make them sharp", variant="primary", interactive=False, elem_id="batch-run-button"
        )
        self.cancel_button = gr.Button(
            "Cancel", variant="stop", visible=False, elem_id="batch-cancel-button"
        )

    def _build_output(self) -> None:
        self.placeholder = gr.HTML(templates.BATCH_PLACEHOLDER, elem_id="batch-placeholder")
        self.progress_bar = gr.HTML(visible=False, elem_id="batch-progress-bar")
        self.archive = gr.DownloadButton(
            "Download all (ZIP)", variant="primary", visible=False, elem_id="batch-archive"
        )
        self.gallery = gr.Gallery(
            label="Results",
            columns=3,
            fit_columns=False,
            height="auto",
            interactive=False,
            object_fit="contain",
            visible=False,
            buttons=["fullscreen"],
            elem_id="batch-gallery",
        )

    def _connect(self) -> None:
        self.files.change(self.receive, self.files, self.run_button, queue=False, **PRIVATE_EVENT)
        self.run_button.click(
            self.run,
            [self.files, *self.form],
            [
                self.error_box,
                self.run_button,
                self.cancel_button,
                self.placeholder,
                self.progress_bar,
                self.archive,
                self.gallery,
            ],
            trigger_mode="multiple",  # a new run can start while a cancelled one ends
            **GPU_EVENT,
            **PRIVATE_EVENT,
        )
        self.cancel_button.click(
            self.cancel,
            None,
            [self.run_button, self.cancel_button],
            queue=False,
            **PRIVATE_EVENT,
        )

    # Handlers.

    def receive(self, files: Any) -> dict[str, Any]:
        """Enable the button if there are files."""
        return gr.update(interactive=bool(files))

    def run(self, request: gr.Request, files: Any, *form: Any) -> UpdateStream:
        """Upscale the photos one by one, show the progress, and then offer all in a ZIP."""
        try:
            uploaded = self._uploaded(files)
            wanted = request_from_form(self.models, *form)
        except ValueError as error:
            yield {self.error_box: html(templates.option_error(error))}
            return

        owner = _owner(request)
        job = self.context.jobs.start(owner)
        yield {
            **self._show(working=True),
            self.error_box: html(""),
            self.progress_bar: html(templates.STARTING),
            self.gallery: gr.update(value=[], visible=True),
        }
        started, total = time.perf_counter(), len(uploaded)
        done: list[tuple[str, str]] = []  # thumbnail, and name in the archive
        errors: list[str] = []
        archive_path = job.folder / ARCHIVE_NAME
        with (
            atomic_write(archive_path) as partial,
            # Not compressed: PNGs are compressed already.
            zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive,
        ):
            for path, name in uploaded:
                task = UpscaleTask(
                    self.context, job, (path, name), wanted, "thumbnail", Caller.of(request)
                )
                finished = len(done) + len(errors)
                try:
                    for progress in task:
                        if job.cancelled:
                            continue  # the page may show a newer run
                        passed = time.perf_counter() - started
                        text = templates.batch_progress(progress, finished, total, passed)
                        yield {self.progress_bar: html(text)}
                except JobCancelledError:
                    break
                except gr.Error:  # from ZeroGPU: no GPU time left today, for example
                    yield self._show(working=False)
                    raise
                except (OSError, ValueError, RuntimeError, MemoryError) as error:
                    reason = str(error) or type(error).__name__
                    errors.append(reason if name in reason else f"{name}: {reason}")
                    continue
                assert task.result is not None and task.result.thumbnail is not None
                # Two uploads can have the same name.
                thumbnail = task.result.thumbnail.rename(job.folder / f"{finished}.jpg")
                done.append((str(thumbnail), _move_into(archive, task.result.path)))
                if not job.cancelled:
                    yield {self.gallery: gr.update(value=done)}
        if self.context.jobs.was_replaced(owner, job):
            # Gradio sends the last message twice. It must not change the page of a newer run.
            yield gr.skip()
            return
        summary = templates.batch_summary(len(done), total, time.perf_counter() - started)
        yield {
            **self._show(working=False),
            self.error_box: html(templates.file_errors(errors)),
            self.progress_bar: html(summary),
            self.gallery: gr.update(value=done, visible=True),
            self.archive: gr.update(value=str(archive_path), visible=bool(done)),
        }

    def cancel(self, request: gr.Request) -> Updates:
        """Stop the work of this tab. Photos that are done are kept."""
        self.context.jobs.cancel(_owner(request))
        return {
            self.run_button: gr.update(visible=True),
            self.cancel_button: gr.update(visible=False),
        }

    # Parts of the handlers.

    def _uploaded(self, files: Any) -> list[tuple[Path, str]]:
        """Return path and name of each file.

        Raises:
            ValueError: There are none, too many, or one that is not an upload.
        """
        if not isinstance(files, list) or not files:
            raise ValueError("there are no files: choose some first")
        if len(files) > MAX_FILES:
            raise ValueError(f"{len(files)} files are too many at once: take up to {MAX_FILES}")
        return [storage.uploaded(self.context.folder, file) for file in files]

    def _show(self, working: bool) -> Updates:
        """Return what is visible while it works, or when it has ended."""
        return {
            self.placeholder: gr.update(visible=False),
            self.archive: gr.update(visible=False),
            self.run_button: gr.update(visible=not working),
            self.cancel_button: gr.update(visible=working),
        }


def _owner(request: gr.Request) -> str:
    """Return the owner of this tab's jobs, apart from those of the other tab."""
    return visitor(request) + "/batch"


def _move_into(archive: zipfile.ZipFile, result: Path) -> str:
    """Move a result into the archive under a unique name, and return the name."""
    taken = {entry.casefold() for entry in archive.namelist()}
    names = [result.name, *(f"{result.stem}-{n}.png" for n in range(2, len(taken) + 3))]
    name = next(entry for entry in names if entry.casefold() not in taken)
    archive.write(result, name)
    result.unlink()
    return name
