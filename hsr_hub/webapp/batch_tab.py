"""The tab for several photos: its layout, its events, and their handlers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from hsr_hub.webapp import batch_templates, downloads, storage, templates
from hsr_hub.webapp.batch_run import BatchRun
from hsr_hub.webapp.batch_templates import BatchError, Row
from hsr_hub.webapp.connections import Caller
from hsr_hub.webapp.context import AppContext
from hsr_hub.webapp.device_queue import QueueFullError
from hsr_hub.webapp.downloads import DOWNLOAD_FORMATS
from hsr_hub.webapp.eta import add_up
from hsr_hub.webapp.events import (
    GPU_EVENT,
    PRIVATE_EVENT,
    QUICK_EVENT,
    Updates,
    UpdateStream,
    html,
    visitor,
)
from hsr_hub.webapp.form import build_form
from hsr_hub.webapp.limits import MAX_FILES, MAX_RECEIVING
from hsr_hub.webapp.texts import in_browser, text
from hsr_hub.webapp.uploads import Upload
from hsr_hub.webapp.upscale_request import UpscaleRequest, request_from_form

FileChecks = dict[str, Upload | str]
"""Files that were looked at, by path: the upload, or why the file cannot be used."""


class BatchTab:
    """Build it inside a `gr.Tab`. The handlers are in the order in which a visitor meets them."""

    def __init__(self, context: AppContext) -> None:
        self.context, self.models = context, context.models
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=320, elem_id="batch-input"):
                self._build_input()
            with gr.Column(scale=7, min_width=320):
                self._build_output()
        self.checks = gr.State()
        """The `FileChecks` of the list."""
        self.has_results = gr.State(False)
        """Whether the rows show results, which a change of the form must not remove."""
        self._connect()

    def _build_input(self) -> None:
        self.files = gr.File(
            label=in_browser("files"), file_count="multiple", height=180, elem_id="batch-files"
        )
        self.error_box = gr.HTML(visible=False, elem_id="batch-error-box")
        self.info = gr.HTML(visible=False, elem_id="batch-info")
        with gr.Column(elem_id="batch-actions"):
            self.progress_bar = gr.HTML(visible=False, elem_id="batch-progress-bar")
            self.run_button = gr.Button(
                in_browser("make_none"),
                variant="primary",
                interactive=False,
                elem_id="batch-run-button",
            )
            self.cancel_button = gr.Button(
                in_browser("cancel"),
                variant="stop",
                visible=False,
                elem_id="batch-cancel-button",
            )
        with gr.Accordion(in_browser("options"), open=False, elem_id="batch-options"):
            self.form = build_form(self.models)
            self.output_format = gr.Radio(
                list(DOWNLOAD_FORMATS),
                value="PNG",
                label=in_browser("batch_format"),
                info=in_browser("batch_format_info"),
                elem_id="batch-format",
                elem_classes="segments",
            )

    def _build_output(self) -> None:
        self.placeholder = gr.HTML(
            in_browser("html_batch_placeholder"), elem_id="batch-placeholder"
        )
        self.stale = gr.HTML(in_browser("html_batch_stale"), visible=False, elem_id="batch-stale")
        self.file_errors = gr.HTML(visible=False, elem_id="batch-file-errors")
        self.archive = gr.DownloadButton(
            in_browser("archive"), variant="primary", visible=False, elem_id="batch-archive"
        )
        # Three lists, so that an answer contains only the part that has changed: Gradio sends what
        # is appended to a text, and else the whole text.
        with gr.Column(elem_id="batch-rows"):
            self.rows_done = gr.HTML(visible=False)
            self.row_current = gr.HTML(visible=False)
            self.rows_waiting = gr.HTML(visible=False)
        gr.HTML(in_browser("html_batch_viewer"), elem_id="batch-viewer")

    def _connect(self) -> None:
        form = list(self.form)
        described = [
            self.error_box,
            self.info,
            self.run_button,
            self.placeholder,
            self.stale,
            self.file_errors,
            self.rows_done,
            self.row_current,
            self.rows_waiting,
        ]
        shown = [self.cancel_button, self.progress_bar, self.archive]
        self.files.change(
            self.receive,
            [self.files, self.checks, *form],
            [self.checks, self.has_results, *described, *shown],
            trigger_mode="multiple",  # a new list ends the work on the previous one
            concurrency_limit=MAX_RECEIVING,
            **PRIVATE_EVENT,
        )
        gr.on(
            [control.change for control in [*form, self.output_format]],
            self.describe,
            [self.files, self.checks, self.has_results, *form],
            described,
            trigger_mode="always_last",
            **QUICK_EVENT,
        )
        self.run_button.click(
            self.run,
            [self.files, self.checks, self.output_format, *form],
            [self.has_results, *described, *shown],
            trigger_mode="multiple",  # a new run can start while a cancelled one ends
            **GPU_EVENT,
            **PRIVATE_EVENT,
        )
        self.cancel_button.click(
            self.cancel,
            None,
            [self.run_button, self.cancel_button, self.progress_bar],
            **QUICK_EVENT,
        )

    # Handlers.

    def receive(
        self, request: gr.Request, files: Any, checks: FileChecks | None, *form: Any
    ) -> UpdateStream:
        """Look at each file that is new, and show its size and what will be done with it."""
        self.context.jobs.cancel(_owner(request))  # a run would be of other files
        cleared: Updates = {
            **self._show(working=False),
            self.has_results: False,
            self.progress_bar: html(""),
        }
        if not files:
            yield {**cleared, self.checks: {}, **self.describe(None, {}, False, *form)}
            return
        try:
            uploaded = self._uploaded(files)
        except ValueError as error:
            yield {
                **cleared,
                **self.describe(None, {}, False, *form),
                self.error_box: html(batch_templates.files_error(error)),
            }
            return
        wanted, caller = self._parse(form), Caller.of(request)
        job = self.context.jobs.start(_owner(request))
        rows: list[Row] = []
        earlier = checks or {}
        found: FileChecks = {str(p): earlier[str(p)] for p, _ in uploaded if str(p) in earlier}
        for number, (path, name) in enumerate(uploaded):
            if str(path) not in found:
                yield {
                    **cleared,
                    **self._show_rows(rows, len(rows), None),
                    self.checks: found,
                    self.info: html(batch_templates.looking(number + 1, len(uploaded))),
                    self.run_button: gr.update(visible=True, interactive=False),
                }
                thumbnail = job.folder / f"{number}.jpg"
                looked = self._look_at(path, name, caller, thumbnail)
                if job.cancelled:  # the list has changed
                    yield gr.skip()
                    return
                if looked is not None:
                    found[str(path)] = looked
            rows.append(self._expect(name, found.get(str(path), ""), wanted)[0])
        job.discard()  # if it has no thumbnail
        yield {**cleared, self.checks: found, **self.describe(files, found, False, *form)}

    def describe(
        self, files: Any, checks: FileChecks | None, has_results: bool | None, *form: Any
    ) -> Updates:
        """Show the sizes and the time of the results, or what is wrong with the form."""
        updates: Updates = {
            self.error_box: html(""),
            self.info: html(""),
            self.run_button: gr.update(
                value=batch_templates.run_label(0), interactive=False, visible=True
            ),
            self.stale: gr.update(visible=bool(has_results)),
        }
        uploaded: list[tuple[Path, str]] = []
        wanted = None
        try:
            uploaded = self._uploaded(files) if files else []
        except ValueError as error:
            updates[self.error_box] = html(batch_templates.files_error(error))
        try:
            wanted = request_from_form(self.models, *form)
        except ValueError as error:
            if uploaded:
                updates[self.error_box] = html(templates.option_error(error))
        rows: list[Row] = []
        targets: list[tuple[int, int]] = []
        durations: list[float | None] = []
        for path, name in uploaded:
            upload = (checks or {}).get(str(path), "")
            row, seconds = self._expect(name, upload, wanted)
            rows.append(row)
            if row.state == "waiting" and row.target:
                targets.append(row.target)
                durations.append(seconds)
        usable = sum(row.state == "waiting" for row in rows)
        if usable and wanted:
            wait = self.context.pending.wait()
            updates[self.info] = html(batch_templates.batch_info(targets, add_up(durations), wait))
            label = batch_templates.run_label(usable)
            updates[self.run_button] = gr.update(value=label, interactive=True, visible=True)
        if not has_results:
            errors = [(row.name, row.reason) for row in rows if row.state == "failed"]
            updates |= {
                self.placeholder: gr.update(visible=not rows),
                self.file_errors: html(batch_templates.file_errors(errors, len(rows))),
                **self._show_rows(rows, len(rows), None),
            }
        return updates

    def run(
        self,
        request: gr.Request,
        files: Any,
        checks: FileChecks | None,
        output_format: Any,
        *form: Any,
    ) -> UpdateStream:
        """Upscale the photos one by one, show the progress, and then offer all in a ZIP."""
        try:
            uploaded = self._uploaded(files)
        except ValueError as error:
            yield {self.error_box: html(batch_templates.files_error(error))}
            return
        try:
            wanted = request_from_form(self.models, *form)
            downloads.suffix_of(output_format)  # raises if the page does not offer it
        except ValueError as error:
            yield {self.error_box: html(templates.option_error(error))}
            return

        job = self.context.jobs.start(_owner(request))
        expected = [
            self._expect(name, (checks or {}).get(str(path), ""), wanted) for path, name in uploaded
        ]
        batch = BatchRun(
            self.context, job, uploaded, expected, wanted, output_format, Caller.of(request)
        )
        yield {
            **self._show(working=True),
            **self._show_rows(batch.rows, 0, None),
            self.error_box: html(""),
            self.file_errors: html(""),
            self.progress_bar: html(templates.starting()),
            self.has_results: True,
        }
        for progress in batch:
            if progress is None:  # a photo is done
                yield self._show_rows(batch.rows, batch.number + 1, None)
            else:
                yield {
                    self.progress_bar: html(batch.progress_bar(progress)),
                    **self._show_rows(batch.rows, batch.number, batch.number),
                }
        if job.replaced:
            # Gradio sends the last message twice. It must not change the page of a newer run.
            yield gr.skip()
            return
        total = len(uploaded)
        summary = batch_templates.batch_summary(batch.made, total, batch.seconds)
        yield {
            **self._show(working=False),
            **self._show_rows(batch.rows, total, None),
            self.file_errors: html(batch_templates.file_errors(batch.errors, total)),
            self.progress_bar: html(summary),
            self.archive: gr.update(value=str(batch.archive), visible=batch.made > 0),
        }
        if batch.stopped is not None:
            raise batch.stopped

    def cancel(self, request: gr.Request) -> Updates:
        """Stop the work of this tab. Photos that are done are kept."""
        self.context.jobs.cancel(_owner(request))
        return {
            self.run_button: gr.update(visible=True),
            self.cancel_button: gr.update(visible=False),
            self.progress_bar: html(batch_templates.cancelled()),
        }

    # Parts of the handlers.

    def _uploaded(self, files: Any) -> list[tuple[Path, str]]:
        """Return path and name of each file.

        Raises:
            ValueError: There are none, too many, or one that is not an upload.
        """
        if not isinstance(files, list) or not files:
            raise BatchError(text("choose_files"))
        if len(files) > MAX_FILES:
            raise BatchError(batch_templates.too_many(len(files)))
        return [storage.uploaded(self.context.folder, file) for file in files]

    def _parse(self, form: tuple[Any, ...]) -> UpscaleRequest | None:
        """Return the request of the form, or None if the form is not valid."""
        try:
            return request_from_form(self.models, *form)
        except ValueError:
            return None

    def _look_at(
        self, path: Path, name: str, caller: Caller | None, thumbnail: Path
    ) -> Upload | str | None:
        """Return a file as an upload, or why it cannot be used; None if the page is too busy."""
        try:
            return self.context.accept_upload(path, name, caller, thumbnail)
        except QueueFullError:
            return None
        except (ValueError, OSError) as error:  # ImageError among them
            return str(error) or type(error).__name__

    def _expect(
        self, name: str, upload: Upload | str, wanted: UpscaleRequest | None
    ) -> tuple[Row, float | None]:
        """Return the row of a file before it is made, and the seconds that it will take.

        Args:
            name: What its owner calls the file.
            upload: The entry of `FileChecks`; "" if there is none.
            wanted: How to upscale it. None if the form is not valid.
        """
        if isinstance(upload, str):
            return Row(name, "failed" if upload else "waiting", reason=upload), None
        before = upload.thumbnail if upload.thumbnail.is_file() else None
        row = Row(name, source=upload.size, before=before)
        if wanted is None:
            return row, None
        try:
            target = wanted.target(upload.size)
            chosen, reason = wanted.with_model(self.models, upload.traits, upload.size)
        except ValueError as error:
            return replace(row, state="failed", reason=str(error)), None
        expected = self.context.estimate(chosen, upload.size, upload.forward_passes)
        return replace(row, target=target, reason=reason), expected and expected.total

    def _show(self, working: bool) -> Updates:
        """Return what is visible while it works, or when it has ended."""
        return {
            self.placeholder: gr.update(visible=False),
            self.stale: gr.update(visible=False),
            self.archive: gr.update(visible=False),
            self.run_button: gr.update(visible=not working),
            self.cancel_button: gr.update(visible=working),
        }

    def _show_rows(self, rows: list[Row], done: int, current: int | None) -> Updates:
        """Return the rows: those that are done, the current one, and those that wait.

        Args:
            rows: All of them.
            done: How many are done. Before the start all are in the same list.
            current: Index of the one that is being made, if there is one.
        """
        waiting = done if current is None else current + 1
        return {
            self.rows_done: html(batch_templates.rows(rows[:done])),
            self.row_current: html(batch_templates.rows(rows[done:waiting])),
            self.rows_waiting: html(batch_templates.rows(rows[waiting:])),
        }


def _owner(request: gr.Request) -> str:
    """Return the owner of this tab's jobs, apart from those of the other tab."""
    return visitor(request) + "/batch"
