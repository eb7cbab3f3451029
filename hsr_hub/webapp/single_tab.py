"""The tab for one photo: its layout, its events, and the handlers of a run."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gradio as gr

from hsr_hub.images import read_pil
from hsr_hub.webapp import downloads, storage, templates
from hsr_hub.webapp.connections import Caller
from hsr_hub.webapp.context import AppContext
from hsr_hub.webapp.engine import UpscaleTask
from hsr_hub.webapp.events import (
    GPU_EVENT,
    PRIVATE_EVENT,
    QUICK_EVENT,
    Updates,
    UpdateStream,
    html,
    visitor,
)
from hsr_hub.webapp.example_cache import ExampleCache
from hsr_hub.webapp.form import DEFAULT_SCALE, adapted
from hsr_hub.webapp.history import Shown
from hsr_hub.webapp.input_panel import InputPanel, fitting_scale
from hsr_hub.webapp.jobs import JobCancelledError
from hsr_hub.webapp.limits import MAX_RECEIVING
from hsr_hub.webapp.previews import Preview
from hsr_hub.webapp.result_panel import ResultPanel
from hsr_hub.webapp.texts import in_browser, text
from hsr_hub.webapp.trials_panel import FIND_SPOT
from hsr_hub.webapp.uploads import Upload
from hsr_hub.webapp.upscale_request import EXACT, request_from_form

NOT_SHOWN_BY_BROWSERS = {".dds", ".heic", ".heif", ".tif", ".tiff"}

HIDE_WHILE_RECEIVING = "() => document.body.classList.add('hsr-receiving')"
SHOW_AGAIN = "() => document.body.classList.remove('hsr-receiving')"
START_EXACT = f"""(scale, width, height, size) => (
    scale === "{EXACT}" && !width && !height && size ? size : [width, height]
)"""
"""Starts an exact size from that of the last scale, before a visitor can type another one."""
REMEMBER = """(format, leaveOut, atOnce, model) => (
    { format: format, leave_out: leaveOut, at_once: atOnce, model: model }
)"""


class SingleTab:
    """Build it inside a `gr.Tab`. The handlers are in the order in which a visitor meets them."""

    def __init__(self, context: AppContext, examples: Iterable[Path]) -> None:
        self.context, self.models = context, context.models
        examples = list(examples)
        self.example_cache = ExampleCache(examples)
        with gr.Row(equal_height=False, elem_id="single"):
            with gr.Column(scale=4, min_width=320, elem_id="single-input"):
                self.inputs = InputPanel(context)
            with gr.Column(scale=7, min_width=320, elem_id="single-output"):
                self.result = ResultPanel(context, self.inputs)
                with gr.Column(elem_id="examples-frame"):
                    gr.Examples(
                        [[str(path)] for path in examples],
                        self.inputs.photo,
                        label=in_browser("examples"),
                        elem_id="examples",
                        api_visibility="private",
                    )
        self.memory = gr.BrowserState({}, storage_key="hsr-hub", secret="hsr-hub")
        """Format and choices of the last visit."""
        self._connect()

    def _connect(self) -> None:
        inputs, result, trials = self.inputs, self.result, self.result.trials
        form = inputs.form
        controls = [control.change for control in form]
        # A result must not be seen beside another photo while that is received.
        inputs.photo.change(None, js=HIDE_WHILE_RECEIVING, **PRIVATE_EVENT)
        inputs.photo.change(
            self.receive,
            [inputs.photo, *form],
            [
                *dict.fromkeys(
                    [inputs.photo, inputs.upload, *form[:3], *result.stages, *inputs.description]
                ),
                trials.tried,
                trials.trial_cards,
            ],
            concurrency_limit=MAX_RECEIVING,
            **PRIVATE_EVENT,
        ).then(None, js=SHOW_AGAIN, **PRIVATE_EVENT)
        inputs.photo.clear(lambda: html(""), None, inputs.error_box, **QUICK_EVENT)
        # One event for all: answers to quick changes must not overtake each other.
        gr.on(
            controls,
            inputs.describe,
            [inputs.upload, *form],
            inputs.description,
            trigger_mode="always_last",
            **QUICK_EVENT,
        )
        form.scale.change(
            None,
            [form.scale, form.width, form.height, inputs.last_size],
            [form.width, form.height],
            js=START_EXACT,
            **PRIVATE_EVENT,
        )
        gr.on(
            [form.width.input, inputs.linked.input],
            inputs.follow_width,
            [inputs.upload, inputs.linked, form.width],
            form.height,
            trigger_mode="always_last",
            **QUICK_EVENT,
        )
        form.height.input(
            inputs.follow_height,
            [inputs.upload, inputs.linked, form.height],
            form.width,
            trigger_mode="always_last",
            **QUICK_EVENT,
        )
        gr.on(
            controls,
            result.mark_stale,
            [inputs.upload, result.shown, *form],
            result.stale,
            trigger_mode="always_last",
            **QUICK_EVENT,
        )
        results = [
            inputs.photo,
            inputs.upload,
            *result.stages,
            result.slider,
            inputs.image_info,
            inputs.error_box,
            result.result_summary,
            result.download,
        ]
        working: dict[str, Any] = {
            "trigger_mode": "multiple",  # a new run can start while a cancelled one ends
            **GPU_EVENT,
            **PRIVATE_EVENT,
        }
        run: tuple[Any, ...] = (self.run, [inputs.upload, *form], results)
        clicked = inputs.run_button.click(*run, **working)
        # The upload changes only if a new photo was accepted, and the photo also if it is replaced
        # by its thumbnail.
        received = inputs.upload.change(
            self.run_at_once,
            [inputs.start_at_once, result.shown, inputs.upload, *form],
            results,
            **working,
        )
        settings = [form.model, form.strength, form.scale]
        switched = inputs.switch_button.click(
            inputs.choose_other, [inputs.other_model, form.scale], settings, **QUICK_EVENT
        ).then(*run, **working)
        chosen = trials.trial_cards.select(
            trials.choose_trial, [trials.tried, form.scale], settings, **QUICK_EVENT
        ).then(*run, **working)
        converting: dict[str, Any] = {
            "concurrency_limit": MAX_RECEIVING,
            "concurrency_id": "convert",
            **PRIVATE_EVENT,
        }
        finish: tuple[Any, ...] = (
            result.finish,
            [result.history, result.shown, result.output_format, result.leave_out],
            [
                result.history,
                result.strip,
                result.download,
                result.result_summary,
                inputs.error_box,
            ],
        )
        for event in (clicked, received, switched, chosen):
            event.then(*finish, **converting)
        result.strip.select(
            result.show_again,
            [result.history],
            [*dict.fromkeys([*results, *inputs.description, *form, result.strip])],
            **QUICK_EVENT,
        ).then(*finish, **converting)
        inputs.cancel_button.click(self.cancel, result.shown, result.stages, **QUICK_EVENT)
        gr.on(
            [result.output_format.input, result.leave_out.input],
            result.convert,
            [result.shown, result.output_format, result.leave_out],
            [result.download, result.result_summary, inputs.error_box],
            trigger_mode="always_last",
            **converting,
        )
        trials.try_button.click(
            trials.try_all,
            [inputs.upload, trials.spot, *form],
            [
                inputs.error_box,
                inputs.progress_bar,
                inputs.run_button,
                inputs.cancel_button,
                trials.try_button,
                trials.tried,
                trials.trial_cards,
            ],
            js=FIND_SPOT,
            **working,
        )
        remembered = [result.output_format, result.leave_out, inputs.start_at_once, form.model]
        gr.on(
            [component.input for component in remembered],
            None,
            remembered,
            self.memory,
            js=REMEMBER,
            **PRIVATE_EVENT,
        )

    def connect_page(self, page: gr.Blocks) -> None:
        """Restore the choices of the last visit when the page is opened."""
        form = self.inputs.form
        page.load(
            self.restore,
            self.memory,
            [
                self.result.output_format,
                self.result.leave_out,
                self.inputs.start_at_once,
                form.model,
                form.strength,
                form.scale,
            ],
            **QUICK_EVENT,
        )

    # Handlers.

    def restore(self, memory: Any) -> Updates:
        """Set the choices of the last visit. A browser can send anything."""
        form, result = self.inputs.form, self.result
        memory = memory if isinstance(memory, dict) else {}
        updates: Updates = {}
        if isinstance(memory.get("format"), str) and memory["format"] in downloads.DOWNLOAD_FORMATS:
            updates[result.output_format] = memory["format"]
        boxes = (("leave_out", result.leave_out), ("at_once", self.inputs.start_at_once))
        for key, box in boxes:
            if isinstance(memory.get(key), bool):
                updates[box] = memory[key]
        model = memory.get("model")
        if isinstance(model, str) and model in self.models.labels:
            updates |= {form.model: model, **adapted(form, self.models, model, form.scale.value)}
        return updates or gr.skip()

    def receive(self, request: gr.Request, file: Any, scale: Any, *form: Any) -> Updates:
        """Check a photo that was dropped, pasted, taken or removed."""
        inputs = self.inputs
        cleared = {**self.result.show("placeholder"), **self.result.trials.clear()}
        if file is None:
            self.context.jobs.cancel(visitor(request))
            return {
                **inputs.describe(None, scale, *form),
                **cleared,
                inputs.run_button: gr.update(visible=True, interactive=False),
                inputs.upload: None,
            }
        if storage.is_result(self.context.folder, file):  # set by the last lines of this handler
            return gr.skip()
        self.context.jobs.cancel(visitor(request))
        try:
            path, name = storage.uploaded(self.context.folder, file)
            upload = self.context.accept_upload(path, name, Caller.of(request))
        except ValueError as error:  # ImageError among them
            # Browsers show a broken image for such a file, so it is removed.
            box = html(templates.error_box(text("error_file"), error))
            return {inputs.photo: None, inputs.error_box: box}
        updates: Updates = {inputs.upload: upload, **cleared}
        if path.suffix.lower() in NOT_SHOWN_BY_BROWSERS:
            updates[inputs.photo] = str(upload.thumbnail)
        fitting = fitting_scale(upload.size, scale)
        if scale == EXACT and not form[0] and not form[1]:
            factor = fitting_scale(upload.size, DEFAULT_SCALE)
            form = (upload.size[0] * factor, upload.size[1] * factor, *form[2:])
            updates |= {inputs.form.width: form[0], inputs.form.height: form[1]}
        updates |= inputs.describe(upload, fitting, *form)
        if fitting != scale:
            updates[inputs.form.scale] = fitting
        return updates

    def run_at_once(
        self,
        request: gr.Request,
        start: Any,
        shown: Shown | None,
        upload: Upload | None,
        scale: Any,
        *form: Any,
    ) -> UpdateStream:
        """Upscale a photo that has just been accepted, unless the visitor turned that off."""
        if upload is None or start is not True or shown is not None:  # an earlier result is shown
            yield gr.skip()
            return
        yield from self.run(request, upload, fitting_scale(upload.size, scale), *form)

    def run(self, request: gr.Request, upload: Upload | None, *form: Any) -> UpdateStream:
        """Upscale the photo, show the progress, and then the result."""
        inputs, result = self.inputs, self.result
        if upload is None or not upload.exists:
            yield self._ask_again()
            return
        try:
            wanted = request_from_form(self.models, *form)
            target = wanted.target(upload.size)
            wanted, _ = wanted.with_model(self.models, upload.traits, upload.size)
        except ValueError as error:
            yield {inputs.error_box: html(templates.option_error(error))}
            return

        owner = visitor(request)
        job = self.context.jobs.start(owner)
        cached = self.example_cache.find(upload, wanted)
        if cached is not None:
            job.discard()
            yield result.show_result(Shown(upload, form, wanted, cached, None))
            return
        started = time.perf_counter()
        thumbnail = read_pil(upload.thumbnail)
        if box := wanted.crop_box(thumbnail.size):
            thumbnail = thumbnail.crop(box)
        yield {
            **result.show("working"),
            inputs.error_box: html(""),
            inputs.progress_bar: html(templates.starting()),
            result.preview: _preview(Preview(thumbnail, target)),
        }
        source = upload.path, upload.name
        caller = Caller.of(request)
        expected = inputs.expected_seconds(wanted, upload)
        task = UpscaleTask(self.context, job, source, wanted, "comparison", caller, expected)
        try:
            for progress in task:
                if job.cancelled:  # the bar was cleared
                    continue
                updates: Updates = {inputs.progress_bar: html(templates.progress(progress))}
                if progress.preview is not None:
                    updates[result.preview] = _preview(progress.preview)
                yield updates
        except JobCancelledError:
            # Gradio sends the last message twice. It must not change the page of a newer run.
            yield gr.skip() if job.replaced else result.show("placeholder")
            return
        except gr.Error:  # from ZeroGPU: no GPU time left today, for example
            yield result.show("placeholder")
            raise
        except (ValueError, OSError, RuntimeError, MemoryError) as error:
            if not upload.exists:
                yield self._ask_again()
                return
            box = templates.error_box(text("error_work"), error)
            yield {**result.show("placeholder"), inputs.error_box: html(box)}
            return
        assert task.result is not None
        self.example_cache.keep(upload, wanted, task.result)
        seconds = time.perf_counter() - started
        yield result.show_result(Shown(upload, form, wanted, task.result, seconds))

    def cancel(self, request: gr.Request, shown: Shown | None = None) -> Updates:
        """Stop the work of this tab. A result that is shown stays."""
        self.context.jobs.cancel(visitor(request))
        if shown is None:
            return self.result.show("placeholder")
        updates = self.result.show("result")
        del updates[self.result.stale]
        return updates

    def _ask_again(self) -> Updates:
        """Return an empty page, because the upload is an hour old and was removed."""
        box = templates.error_box(text("photo_gone"), text("give_again"))
        return {
            **self.result.show("placeholder"),
            self.inputs.run_button: gr.update(visible=True, interactive=False),
            self.inputs.photo: None,
            self.inputs.upload: None,
            self.inputs.image_info: gr.update(visible=False),
            self.inputs.error_box: html(box),
        }


def _preview(preview: Preview) -> dict[str, Any]:
    return html(templates.preview(preview.data_url(), preview.size))
