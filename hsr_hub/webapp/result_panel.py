"""The right side of the tab for one photo: preview, result, download, and earlier results."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from hsr_hub.webapp import downloads, templates
from hsr_hub.webapp.cards import build_cards, cards, clicked_card
from hsr_hub.webapp.connections import Caller, address_of
from hsr_hub.webapp.context import AppContext
from hsr_hub.webapp.events import Updates, UpdateStream, html
from hsr_hub.webapp.form import adapted
from hsr_hub.webapp.history import Shown, place_of, with_newest
from hsr_hub.webapp.input_panel import InputPanel
from hsr_hub.webapp.texts import in_browser, text
from hsr_hub.webapp.trials_panel import TrialsPanel
from hsr_hub.webapp.uploads import Upload
from hsr_hub.webapp.upscale_request import request_from_form

VIEWER = Path(__file__).with_name("page.viewer.js").read_text(encoding="utf-8")


class ResultPanel:
    """A result with its download and trials, what is shown before it, and a strip of results."""

    def __init__(self, context: AppContext, inputs: InputPanel) -> None:
        self.context, self.models, self.inputs = context, context.models, inputs
        with gr.Column(elem_id="stage"):
            self.placeholder = gr.HTML(in_browser("html_showcase"), elem_id="placeholder")
            self.preview = gr.HTML(visible=False, elem_id="preview")
            with gr.Column(visible=False, elem_id="result") as self.column:
                with gr.Column(elem_id="comparison"):
                    self.stale = gr.HTML(in_browser("html_stale"), visible=False, elem_id="stale")
                    self.slider = gr.HTML(elem_id="slider", js_on_load=VIEWER)
                with gr.Row(elem_id="download-row"):
                    self.output_format = gr.Radio(
                        list(downloads.DOWNLOAD_FORMATS),
                        value="PNG",
                        label=in_browser("format"),
                        container=False,
                        elem_id="output-format",
                        elem_classes="segments",
                    )
                    self.download = gr.DownloadButton(
                        in_browser("download"), variant="primary", elem_id="download"
                    )
                self.result_summary = gr.HTML(elem_id="result-summary")
                self.leave_out = gr.Checkbox(
                    False,
                    label=in_browser("leave_out_location"),
                    container=False,
                    elem_id="leave-out-location",
                )
                self.trials = TrialsPanel(context, inputs)
        self.strip = build_cards("history")
        self.shown = gr.State()
        """The `Shown` result."""
        self.history = gr.State([])
        """Each `Shown` of this visit, the newest first."""
        self.stages = [
            self.stale,
            self.shown,
            self.placeholder,
            inputs.progress_bar,
            self.preview,
            self.column,
            inputs.run_button,
            inputs.cancel_button,
        ]
        """What `show` changes."""

    def mark_stale(self, upload: Upload | None, shown: Shown | None, *form: Any) -> dict[str, Any]:
        """Veil the result if the form asks for another one."""
        if upload is None or shown is None:
            return gr.update(visible=False)
        try:
            wanted = request_from_form(self.models, *form)
            wanted, _ = wanted.with_model(self.models, upload.traits, upload.size)
        except ValueError:  # `InputPanel.describe` shows it
            return gr.update(visible=True)
        return gr.update(visible=wanted != shown.request)

    def finish(
        self,
        request: gr.Request,
        history: list[Shown],
        shown: Shown | None,
        output_format: Any,
        leave_out: Any,
    ) -> UpdateStream:
        """Add the result to those of this visit, and offer it in the chosen format."""
        if shown is None:
            yield gr.skip()
            return
        history = with_newest(history, shown)
        listed: Updates = {
            self.history: history,
            self.strip: self._strip(history, place_of(shown, history)),
        }
        if output_format == "PNG" and leave_out is not True:
            yield listed
            return
        for updates in self.convert(request, shown, output_format, leave_out):
            yield {**listed, **updates}

    def convert(
        self, request: gr.Request, shown: Shown | None, output_format: Any, leave_out: Any
    ) -> UpdateStream:
        """Offer the result in another format, or without the place where it was taken."""
        if shown is None:
            yield gr.skip()
            return
        result, caller, error_box = shown.result, Caller.of(request), self.inputs.error_box
        try:
            copy = downloads.copy_of(result.path, output_format, leave_out is True)
            if not result.path.is_file():
                yield {error_box: _gone()}
                return
            if not copy.exists():
                yield {
                    self.download: gr.update(label=text("preparing"), interactive=False),
                    error_box: html(""),
                }
                size = downloads.copy_bytes(result.path, result.size)
                self.context.reserve(size, address_of(caller))
                write = partial(
                    downloads.write_copy, result.path, copy, output_format, leave_out is True
                )
                if losses := self.context.in_turn(write, result.path, caller):
                    result.copy_notes[copy] = losses
        except (ValueError, OSError) as error:  # ImageError among them
            # The button still has the file before, which may show the location.
            yield {
                self.download: gr.update(interactive=leave_out is not True),
                error_box: html(templates.error_box(text("error_format"), error)),
            }
            return
        yield {
            self.download: _offer(copy, output_format),
            self.result_summary: html(self._summary(shown, result.copy_notes.get(copy, ()))),
        }

    def show_again(self, history: list[Shown], event: gr.EventData) -> Updates:
        """Show an earlier result of this visit, with its photo and its settings."""
        number = clicked_card(event, len(history))
        if number is None:
            return gr.skip()
        shown, inputs = history[number], self.inputs
        if not shown.exists:
            return {inputs.error_box: _gone()}
        form = dict(zip(inputs.form, shown.form, strict=False))
        settings = adapted(
            inputs.form,
            self.models,
            form[inputs.form.model],
            form[inputs.form.scale],
            form[inputs.form.strength],
        )
        return {
            **form,
            **settings,
            **inputs.describe(shown.upload, *shown.form),
            **self.show_result(shown),
            inputs.photo: str(shown.upload.thumbnail),
            inputs.upload: shown.upload,
            self.strip: self._strip(history, number),
        }

    # Parts of what the handlers return.

    def show(self, stage: str) -> Updates:
        """Return what is visible at a stage: "placeholder", "working" or "result"."""
        working = stage == "working"
        return {
            self.stale: gr.update(visible=False),
            self.placeholder: gr.update(visible=stage == "placeholder"),
            self.inputs.progress_bar: gr.update(visible=working),
            self.preview: gr.update(visible=working),
            self.column: gr.update(visible=stage == "result"),
            self.inputs.run_button: gr.update(visible=not working),
            self.inputs.cancel_button: gr.update(visible=working),
            **({} if stage == "result" else {self.shown: None}),
        }

    def show_result(self, shown: Shown) -> Updates:
        """Return updates that show a result, and offer it as PNG."""
        result = shown.result
        assert result.comparison is not None
        same_size = result.size == shown.request.kept_size(shown.upload.size)
        viewer = templates.viewer(*result.comparison, result.size, result.tiles, same_size)
        return {
            **self.show("result"),
            self.shown: shown,
            self.inputs.error_box: html(""),
            self.slider: viewer,
            self.result_summary: html(self._summary(shown)),
            self.download: _offer(result.path, "PNG"),
        }

    def _summary(self, shown: Shown, losses: tuple[str, ...] = ()) -> str:
        """Return what was done, and what the format of the download cannot hold."""
        upload, request, result = shown.upload, shown.request, shown.result
        return templates.result_summary(
            upload.size,
            result.size,
            shown.seconds,
            made=templates.made_with(self.models, request),
            cleaned=self.models.cleans(request.model, request.strength),
            notes=result.notes + losses,
            cropped=request.kept_size(upload.size) != upload.size,
        )

    def _strip(self, history: list[Shown], number: int) -> dict[str, Any]:
        """Return the results of this visit, of which one is shown."""
        entries = [
            (shown.upload.thumbnail, templates.settings_of(self.models, shown.request), True)
            for shown in history
        ]
        strip = cards(text("history_title"), entries, number)
        return html(strip if len(history) > 1 else "")


def _gone() -> dict[str, Any]:
    """Return the error box for a result that was removed after an hour."""
    return html(templates.error_box(text("result_gone"), text("make_again")))


def _offer(path: Path, output_format: str) -> dict[str, Any]:
    size = templates.file_size(path.stat().st_size)
    label = text("download_as", format=output_format, size=size)
    return gr.update(value=str(path), label=label, interactive=True)
