"""The tab for one photo: its layout, its events, and their handlers."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from hsr_hub.hub import DETAIL, model_for
from hsr_hub.images import read_pil
from hsr_hub.webapp import downloads, storage, templates, trials, uploads
from hsr_hub.webapp.connections import Caller, address_of
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
from hsr_hub.webapp.example_cache import ExampleCache
from hsr_hub.webapp.form import DEFAULT_SCALE, SCALES, adapted, build_form
from hsr_hub.webapp.history import Shown, place_of, with_newest
from hsr_hub.webapp.jobs import JobCancelledError
from hsr_hub.webapp.limits import MAX_RECEIVING, MAX_SIDE
from hsr_hub.webapp.requests import EXACT, UpscaleRequest, request_from_form
from hsr_hub.webapp.texts import in_browser, text
from hsr_hub.webapp.uploads import Preview, Upload

NOT_SHOWN_BY_BROWSERS = {".dds", ".heic", ".heif", ".tif", ".tiff"}
SCRIPTS = Path(__file__).parent
VIEWER = (SCRIPTS / "page.viewer.js").read_text(encoding="utf-8")
CARDS = (SCRIPTS / "page.cards.js").read_text(encoding="utf-8")

HIDE_WHILE_RECEIVING = "() => document.body.classList.add('hsr-receiving')"
SHOW_AGAIN = "() => document.body.classList.remove('hsr-receiving')"
FIND_SPOT = """(upload, spot, ...form) => [
    upload, document.querySelector("#slider .hsr-viewer")?.dataset.spot ?? "", ...form
]"""
"""Adds the middle of what the viewer shows to the values that are sent."""
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
                self._build_input()
            with gr.Column(scale=7, min_width=320, elem_id="single-output"):
                self._build_output()
                with gr.Column(elem_id="examples-frame"):
                    gr.Examples(
                        [[str(path)] for path in examples],
                        self.photo,
                        label=in_browser("examples"),
                        elem_id="examples",
                        api_visibility="private",
                    )
        self.upload = gr.State()
        """The `Upload` that was accepted."""
        self.shown = gr.State()
        """The `Shown` result."""
        self.history = gr.State([])
        """Each `Shown` of this visit, the newest first."""
        self.trials = gr.State([])
        """The `Trial`s that can be chosen."""
        self.other_model = gr.State()
        """What the button below the sentence changes to."""
        self.last_size = gr.JSON(visible=False)
        """Size of the result that was described last, from which an exact size starts."""
        self.spot = gr.Textbox(visible=False)
        """Where "Try all" looks: FIND_SPOT sends it."""
        self.memory = gr.BrowserState({}, storage_key="hsr-hub", secret="hsr-hub")
        """Format and choices of the last visit."""
        self._connect()

    def _build_input(self) -> None:
        with gr.Column(elem_id="photo-frame"):
            self.photo = gr.Image(
                label=in_browser("your_photo"),
                image_mode=None,
                format="png",
                sources=["upload", "clipboard", "webcam"],
                height=220,
                elem_id="photo",
                alt_text=in_browser("your_photo"),
                placeholder=in_browser("photo_placeholder"),
                buttons=[],
            )
        self.error_box = gr.HTML(visible=False, elem_id="error-box")
        with gr.Column(elem_id="description"):
            self.image_info = gr.HTML(visible=False, elem_id="image-info")
            self.choice = gr.HTML(visible=False, elem_id="choice")
            self.switch_button = gr.Button(size="sm", visible=False, elem_id="switch-button")
        with gr.Column(elem_id="actions"):
            self.progress_bar = gr.HTML(visible=False, elem_id="progress-bar")
            self.run_button = gr.Button(
                in_browser("make_sharp"),
                variant="primary",
                interactive=False,
                elem_id="run-button",
            )
            self.cancel_button = gr.Button(
                in_browser("cancel"), variant="stop", visible=False, elem_id="cancel-button"
            )
        with gr.Accordion(in_browser("options"), open=False, elem_id="options"):
            self.linked = gr.Checkbox(
                True, label=in_browser("keep_proportions"), render=False, elem_id="linked"
            )
            self.limits = gr.HTML(visible=False, render=False, elem_id="limits")
            self.form = build_form(self.models, self.linked, self.limits)
            self.start_at_once = gr.Checkbox(
                True, label=in_browser("start_at_once"), elem_id="start-at-once"
            )

    def _build_output(self) -> None:
        with gr.Column(elem_id="stage"):
            self.placeholder = gr.HTML(in_browser("html_showcase"), elem_id="placeholder")
            self.preview = gr.HTML(visible=False, elem_id="preview")
            with gr.Column(visible=False, elem_id="result") as self.result:
                with gr.Column(elem_id="comparison"):
                    self.stale = gr.HTML(in_browser("html_stale"), visible=False, elem_id="stale")
                    self.slider = gr.HTML(elem_id="slider", js_on_load=VIEWER)
                with gr.Row(elem_id="download-row"):
                    self.output_format = gr.Radio(
                        list(downloads.FORMATS),
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
                self.try_button = gr.Button(
                    in_browser("try_all"),
                    size="sm",
                    visible=len(trials.choices(self.models)) > 1,
                    elem_id="try-button",
                )
                self.trial_cards = gr.HTML(
                    visible=False, elem_id="trials", elem_classes="hsr-cards", js_on_load=CARDS
                )
        self.strip = gr.HTML(
            visible=False, elem_id="history", elem_classes="hsr-cards", js_on_load=CARDS
        )

    def _connect(self) -> None:
        form = list(self.form)
        description = [
            self.image_info,
            self.error_box,
            self.run_button,
            self.choice,
            self.switch_button,
            self.other_model,
            self.last_size,
            self.limits,
        ]
        stages = [
            self.stale,
            self.shown,
            self.placeholder,
            self.progress_bar,
            self.preview,
            self.result,
            self.run_button,
            self.cancel_button,
        ]
        # A result must not be seen beside another photo while that is received.
        self.photo.change(None, js=HIDE_WHILE_RECEIVING, **PRIVATE_EVENT)
        self.photo.change(
            self.receive,
            [self.photo, *form],
            [
                *dict.fromkeys([self.photo, self.upload, *form[:3], *stages, *description]),
                self.trials,
                self.trial_cards,
            ],
            concurrency_limit=MAX_RECEIVING,
            **PRIVATE_EVENT,
        ).then(None, js=SHOW_AGAIN, **PRIVATE_EVENT)
        self.photo.clear(lambda: html(""), None, self.error_box, queue=False, **PRIVATE_EVENT)
        # One event for all: answers to quick changes must not overtake each other.
        gr.on(
            [control.change for control in form],
            self.describe,
            [self.upload, *form],
            description,
            queue=False,
            trigger_mode="always_last",
            **PRIVATE_EVENT,
        )
        self.form.scale.change(
            None,
            [self.form.scale, self.form.width, self.form.height, self.last_size],
            [self.form.width, self.form.height],
            js=START_EXACT,
            **PRIVATE_EVENT,
        )
        gr.on(
            [self.form.width.input, self.linked.input],
            self.follow_width,
            [self.upload, self.linked, self.form.width],
            self.form.height,
            queue=False,
            trigger_mode="always_last",
            **PRIVATE_EVENT,
        )
        self.form.height.input(
            self.follow_height,
            [self.upload, self.linked, self.form.height],
            self.form.width,
            queue=False,
            trigger_mode="always_last",
            **PRIVATE_EVENT,
        )
        gr.on(
            [control.change for control in form],
            self.mark_stale,
            [self.upload, self.shown, *form],
            self.stale,
            queue=False,
            trigger_mode="always_last",
            **PRIVATE_EVENT,
        )
        results = [
            self.photo,
            self.upload,
            *stages,
            self.slider,
            self.image_info,
            self.error_box,
            self.result_summary,
            self.download,
        ]
        options: dict[str, Any] = {
            "trigger_mode": "multiple",  # a new run can start while a cancelled one ends
            **GPU_EVENT,
            **PRIVATE_EVENT,
        }
        clicked = self.run_button.click(self.run, [self.upload, *form], results, **options)
        # The upload changes only if a new photo was accepted, and the photo also if it is replaced
        # by its thumbnail.
        received = self.upload.change(
            self.run_at_once,
            [self.start_at_once, self.shown, self.upload, *form],
            results,
            **options,
        )
        switched = self.switch_button.click(
            self.choose_other,
            [self.other_model, self.form.scale],
            [self.form.model, self.form.strength, self.form.scale],
            queue=False,
            **PRIVATE_EVENT,
        ).then(self.run, [self.upload, *form], results, **options)
        chosen = self.trial_cards.select(
            self.choose_trial,
            [self.trials, self.form.scale],
            [self.form.model, self.form.strength, self.form.scale],
            queue=False,
            **PRIVATE_EVENT,
        ).then(self.run, [self.upload, *form], results, **options)
        finished = [
            self.history,
            self.strip,
            self.download,
            self.error_box,
        ]
        for run in (clicked, received, switched, chosen):
            run.then(
                self.finish,
                [self.history, self.shown, self.output_format, self.leave_out],
                finished,
                concurrency_limit=MAX_RECEIVING,
                concurrency_id="convert",
                **PRIVATE_EVENT,
            )
        self.strip.select(
            self.show_again,
            [self.history],
            [*dict.fromkeys([*results, *description, *form, self.strip])],
            queue=False,
            **PRIVATE_EVENT,
        ).then(
            self.finish,
            [self.history, self.shown, self.output_format, self.leave_out],
            finished,
            concurrency_limit=MAX_RECEIVING,
            concurrency_id="convert",
            **PRIVATE_EVENT,
        )
        self.cancel_button.click(self.cancel, self.shown, stages, queue=False, **PRIVATE_EVENT)
        gr.on(
            [self.output_format.input, self.leave_out.input],
            self.convert,
            [self.shown, self.output_format, self.leave_out],
            [self.download, self.error_box],
            concurrency_limit=MAX_RECEIVING,
            concurrency_id="convert",
            trigger_mode="always_last",
            **PRIVATE_EVENT,
        )
        self.try_button.click(
            self.try_all,
            [self.upload, self.spot, *form],
            [
                self.error_box,
                self.progress_bar,
                self.run_button,
                self.cancel_button,
                self.try_button,
                self.trials,
                self.trial_cards,
            ],
            js=FIND_SPOT,
            **options,
        )
        remembered = [self.output_format, self.leave_out, self.start_at_once, self.form.model]
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
        page.load(
            self.restore,
            self.memory,
            [
                self.output_format,
                self.leave_out,
                self.start_at_once,
                self.form.model,
                self.form.strength,
                self.form.scale,
            ],
            queue=False,
            **PRIVATE_EVENT,
        )

    # Handlers.

    def restore(self, memory: Any) -> Updates:
        """Set the choices of the last visit. A browser can send anything."""
        memory = memory if isinstance(memory, dict) else {}
        updates: Updates = {}
        if isinstance(memory.get("format"), str) and memory["format"] in downloads.FORMATS:
            updates[self.output_format] = memory["format"]
        for key, box in (("leave_out", self.leave_out), ("at_once", self.start_at_once)):
            if isinstance(memory.get(key), bool):
                updates[box] = memory[key]
        model = memory.get("model")
        if isinstance(model, str) and model in self.models.labels:
            updates |= {
                self.form.model: model,
                **adapted(self.form, self.models, model, self.form.scale.value),
            }
        return updates or gr.skip()

    def receive(self, request: gr.Request, file: Any, scale: Any, *form: Any) -> Updates:
        """Check a photo that was dropped, pasted, taken or removed."""
        if file is None:
            self.context.jobs.cancel(visitor(request))
            described = self.describe(None, scale, *form)
            shown = self._show("placeholder")
            shown[self.run_button] = gr.update(visible=True, interactive=False)
            return {**described, **shown, **self._without_trials(), self.upload: None}
        if storage.is_result(self.context.folder, file):  # set by the last lines of this handler
            return gr.skip()
        self.context.jobs.cancel(visitor(request))
        try:
            path, name = storage.uploaded(self.context.folder, file)
            upload = self.context.accept_upload(path, name, Caller.of(request))
        except ValueError as error:  # ImageError among them
            # Browsers show a broken image for such a file, so it is removed.
            box = html(templates.error_box(text("error_file"), error))
            return {self.photo: None, self.error_box: box}
        updates: Updates = {
            self.upload: upload,
            **self._show("placeholder"),
            **self._without_trials(),
        }
        if path.suffix.lower() in NOT_SHOWN_BY_BROWSERS:
            updates[self.photo] = str(upload.thumbnail)
        fitting = _fitting_scale(upload.size, scale)
        if scale == EXACT and not form[0] and not form[1]:
            factor = _fitting_scale(upload.size, DEFAULT_SCALE)
            form = (upload.size[0] * factor, upload.size[1] * factor, *form[2:])
            updates |= {self.form.width: form[0], self.form.height: form[1]}
        updates |= self.describe(upload, fitting, *form)
        if fitting != scale:
            updates[self.form.scale] = fitting
        return updates

    def describe(self, upload: Upload | None, *form: Any) -> Updates:
        """Show the size and the time of the result, or what is wrong with the form."""
        too_large = {} if upload is None else _too_large(upload.size)
        updates: Updates = {
            self.error_box: html(""),
            self.image_info: gr.update(visible=False),
            self.run_button: gr.update(interactive=False),
            self.limits: html(templates.too_large(too_large)),
            **self._describe_choice("", None),
        }
        if upload is None:
            del updates[self.error_box]
            return updates
        if form[0] == EXACT and not form[1] and not form[2]:
            return {**updates, self.image_info: html(templates.ask_size())}
        try:
            wanted = request_from_form(self.models, *form)
            target = wanted.target(upload.size)
            chosen, reason = wanted.with_model(self.models, upload.traits, upload.size)
        except ValueError as error:
            return {**updates, self.error_box: html(templates.option_error(error))}
        other = self._other_choice(chosen, target == upload.size) if reason else None
        expected = self._expected(chosen, upload)
        wait = self.context.pending.wait()
        info = templates.image_info(upload.size, target, expected, wait)
        return {
            **updates,
            self.image_info: html(info),
            self.run_button: gr.update(interactive=True),
            **self._describe_choice(reason, other),
            self.last_size: list(target),
        }

    def follow_width(self, upload: Upload | None, linked: Any, width: Any) -> Any:
        """Return the height that keeps the proportions of the photo."""
        return _other_side(upload, linked, width, 0)

    def follow_height(self, upload: Upload | None, linked: Any, height: Any) -> Any:
        """Return the width that keeps the proportions of the photo."""
        return _other_side(upload, linked, height, 1)

    def mark_stale(self, upload: Upload | None, shown: Shown | None, *form: Any) -> dict[str, Any]:
        """Veil the result if the form asks for another one."""
        if upload is None or shown is None:
            return gr.update(visible=False)
        try:
            wanted = request_from_form(self.models, *form)
            wanted, _ = wanted.with_model(self.models, upload.traits, upload.size)
        except ValueError:  # `describe` shows it
            return gr.update(visible=True)
        return gr.update(visible=wanted != shown.request)

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
        yield from self.run(request, upload, _fitting_scale(upload.size, scale), *form)

    def run(self, request: gr.Request, upload: Upload | None, *form: Any) -> UpdateStream:
        """Upscale the photo, show the progress, and then the result."""
        if upload is None or not upload.exists:
            yield self._ask_again()
            return
        try:
            wanted = request_from_form(self.models, *form)
            target = wanted.target(upload.size)
            wanted, _ = wanted.with_model(self.models, upload.traits, upload.size)
        except ValueError as error:
            yield {self.error_box: html(templates.option_error(error))}
            return

        owner = visitor(request)
        job = self.context.jobs.start(owner)
        cached = self.example_cache.find(upload, wanted)
        if cached is not None:
            job.discard()
            yield self._show_result(Shown(upload, form, wanted, cached, None))
            return
        started = time.perf_counter()
        thumbnail = read_pil(upload.thumbnail)
        if box := wanted.crop_box(thumbnail.size):
            thumbnail = thumbnail.crop(box)
        first = Preview(thumbnail, target)
        yield {
            **self._show("working"),
            self.error_box: html(""),
            self.progress_bar: html(templates.starting()),
            self.preview: self._preview(first),
        }
        source = upload.path, upload.name
        caller = Caller.of(request)
        expected = self._expected(wanted, upload)
        task = UpscaleTask(self.context, job, source, wanted, "comparison", caller, expected)
        try:
            for progress in task:
                if job.cancelled:  # the bar was cleared
                    continue
                updates: Updates = {self.progress_bar: html(templates.progress(progress))}
                if progress.preview is not None:
                    updates[self.preview] = self._preview(progress.preview)
                yield updates
        except JobCancelledError:
            # Gradio sends the last message twice. It must not change the page of a newer run.
            yield gr.skip() if job.replaced else self._show("placeholder")
            return
        except gr.Error:  # from ZeroGPU: no GPU time left today, for example
            yield self._show("placeholder")
            raise
        except (ValueError, OSError, RuntimeError, MemoryError) as error:
            if not upload.exists:
                yield self._ask_again()
                return
            box = templates.error_box(text("error_work"), error)
            yield {**self._show("placeholder"), self.error_box: html(box)}
            return
        assert task.result is not None
        self.example_cache.keep(upload, wanted, task.result)
        seconds = time.perf_counter() - started
        yield self._show_result(Shown(upload, form, wanted, task.result, seconds))

    def cancel(self, request: gr.Request, shown: Shown | None = None) -> Updates:
        """Stop the work of this tab. A result that is shown stays."""
        self.context.jobs.cancel(visitor(request))
        if shown is None:
            return self._show("placeholder")
        updates = self._show("result")
        del updates[self.stale]
        return updates

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

    def show_again(self, history: list[Shown], event: gr.EventData) -> Updates:
        """Show an earlier result of this visit, with its photo and its settings."""
        number = _index(event, len(history))
        if number is None:
            return gr.skip()
        shown = history[number]
        if not shown.exists:
            box = templates.error_box(text("result_gone"), text("make_again"))
            return {self.error_box: html(box)}
        form = dict(zip(self.form, shown.form, strict=False))
        settings = adapted(
            self.form,
            self.models,
            form[self.form.model],
            form[self.form.scale],
            form[self.form.strength],
        )
        return {
            **form,
            **settings,
            **self.describe(shown.upload, *shown.form),
            **self._show_result(shown),
            self.photo: str(shown.upload.thumbnail),
            self.upload: shown.upload,
            self.strip: self._strip(history, number),
        }

    def choose_other(self, other: str | None, scale: Any) -> Updates:
        """Choose the weights that the button below the sentence offers."""
        if other is None:
            return gr.skip()
        return {self.form.model: other, **adapted(self.form, self.models, other, scale)}

    def try_all(
        self, request: gr.Request, upload: Upload | None, spot: Any, *form: Any
    ) -> UpdateStream:
        """Make a small part of the photo with every choice."""
        if upload is None or not upload.exists:
            box = templates.error_box(text("photo_gone"), text("give_again"))
            yield {self.error_box: html(box)}
            return
        try:
            wanted = request_from_form(self.models, *form)
            target = wanted.target(upload.size)
        except ValueError as error:
            yield {self.error_box: html(templates.option_error(error))}
            return
        same_size = target == upload.size
        requests = [
            replace(wanted, model=model, strength=strength)
            for model, strength in trials.choices(self.models, same_size)
        ]
        if not requests:
            yield gr.skip()
            return
        job = self.context.jobs.start(visitor(request))
        source, place = (upload.path, upload.name), trials.spot_of(spot)
        task = trials.TrialTask(self.context, job, source, requests, place, Caller.of(request))
        ended: Updates = {
            self.progress_bar: html(""),
            self.run_button: gr.update(visible=True),
            self.cancel_button: gr.update(visible=False),
            self.try_button: gr.update(interactive=True),
        }
        yield {
            self.error_box: html(""),
            self.progress_bar: html(templates.starting()),
            self.run_button: gr.update(visible=False),
            self.cancel_button: gr.update(visible=True),
            self.try_button: gr.update(interactive=False),
        }
        try:
            for progress in task:
                if not job.cancelled:
                    yield {self.progress_bar: html(templates.progress(progress))}
        except JobCancelledError:
            yield {self.try_button: gr.update(interactive=True)} if job.replaced else ended
            return
        except gr.Error:  # from ZeroGPU: no GPU time left today, for example
            yield ended
            raise
        except (ValueError, OSError, RuntimeError, MemoryError) as error:
            yield {
                **ended,
                self.error_box: html(templates.error_box(text("error_work"), error)),
            }
            return
        assert task.result is not None
        yield {**ended, self.trials: task.result, self.trial_cards: self._trial_cards(task.result)}

    def choose_trial(self, tried: list[trials.Trial], scale: Any, event: gr.EventData) -> Updates:
        """Choose the weights of a trial that was clicked."""
        number = _index(event, len(tried))
        wanted = None if number is None else tried[number].request
        if wanted is None:
            return gr.skip()
        name = wanted.model + DETAIL if wanted.strength else wanted.model
        model = name if name in self.models.labels else wanted.model
        settings = adapted(self.form, self.models, model, scale, wanted.strength)
        return {self.form.model: model, **settings}

    def convert(
        self, request: gr.Request, shown: Shown | None, output_format: Any, leave_out: Any
    ) -> UpdateStream:
        """Offer the result in another format, or without the place where it was taken."""
        if shown is None:
            yield gr.skip()
            return
        result, caller = shown.result, Caller.of(request)
        try:
            copy = downloads.copy_of(result.path, output_format, leave_out is True)
            if not result.path.is_file():
                box = templates.error_box(text("result_gone"), text("make_again"))
                yield {self.error_box: html(box)}
                return
            if not copy.exists():
                yield {
                    self.download: gr.update(label=text("preparing"), interactive=False),
                    self.error_box: html(""),
                }
                size = downloads.copy_bytes(result.path, result.size)
                self.context.reserve(size, address_of(caller))
                write = partial(
                    downloads.write_copy, result.path, copy, output_format, leave_out is True
                )
                self.context.in_turn(write, result.path, caller)
        except (ValueError, OSError) as error:  # ImageError among them
            # The button still has the file before, which may show the location.
            yield {
                self.download: gr.update(interactive=leave_out is not True),
                self.error_box: html(templates.error_box(text("error_format"), error)),
            }
            return
        yield {self.download: _offer(copy, output_format)}

    # Parts of what the handlers return.

    def _show(self, stage: str) -> Updates:
        """Return what is visible at a stage: "placeholder", "working" or "result"."""
        working = stage == "working"
        return {
            self.stale: gr.update(visible=False),
            self.placeholder: gr.update(visible=stage == "placeholder"),
            self.progress_bar: gr.update(visible=working),
            self.preview: gr.update(visible=working),
            self.result: gr.update(visible=stage == "result"),
            self.run_button: gr.update(visible=not working),
            self.cancel_button: gr.update(visible=working),
            **({} if stage == "result" else {self.shown: None}),
        }

    def _preview(self, preview: Preview) -> dict[str, Any]:
        return html(templates.preview(preview.data_url(), preview.size))

    def _other_choice(self, chosen: UpscaleRequest, same_size: bool) -> str | None:
        """Return the choice of the other kind than Auto's, if it is of use."""
        names = list(self.models.labels)
        clean, photo = self.models.default, model_for("photo", names, self.models.default)
        if chosen.strength == 1 and not same_size:  # with invented detail: offer it without
            return chosen.model
        if chosen.strength or same_size or clean == photo:
            return None
        return photo if chosen.model == clean else clean

    def _describe_choice(self, reason: str, other: str | None) -> Updates:
        label = ""
        if other is not None:
            label = text("not_right", label=templates.name_of(self.models, other))
        return {
            self.choice: html(templates.choice(reason)),
            self.switch_button: gr.update(value=label, visible=other is not None),
            self.other_model: other,
        }

    def _show_result(self, shown: Shown) -> Updates:
        upload, request, result = shown.upload, shown.request, shown.result
        assert result.comparison is not None
        kept = request.kept_size(upload.size)
        same_size = result.size == kept
        summary = templates.result_summary(
            upload.size,
            result.size,
            shown.seconds,
            made=templates.made_with(self.models, request),
            cleaned=self.models.cleans(request.model, request.strength),
            notes=result.notes,
            cropped=kept != upload.size,
        )
        viewer = templates.viewer(*result.comparison, result.size, result.tiles, same_size)
        return {
            **self._show("result"),
            self.shown: shown,
            self.error_box: html(""),
            self.slider: viewer,
            self.result_summary: html(summary),
            self.download: _offer(result.path, "PNG"),
        }

    def _strip(self, history: list[Shown], number: int) -> dict[str, Any]:
        """Return the results of this visit, of which one is shown."""
        entries = [
            (shown.upload.thumbnail, templates.settings_of(self.models, shown.request), True)
            for shown in history
        ]
        cards = templates.cards(text("history_title"), entries, number)
        return html(cards if len(history) > 1 else "")

    def _trial_cards(self, tried: list[trials.Trial]) -> dict[str, Any]:
        entries = []
        for trial in tried:
            name = text("trial_plain")
            if trial.request is not None:
                name = templates.choice_label(self.models, trial.request)
            entries.append((trial.file, name, trial.request is not None))
        return html(templates.cards(text("trials_title"), entries))

    def _without_trials(self) -> Updates:
        return {self.trials: [], self.trial_cards: html("")}

    def _expected(self, request: UpscaleRequest, upload: Upload) -> float | None:
        """Return the seconds that the work will take, if they are known."""
        expected = self.context.estimate(request, upload.size, upload.forward_passes)
        return expected and expected.total

    def _ask_again(self) -> Updates:
        """Return an empty page, because the upload is an hour old and was removed."""
        box = templates.error_box(text("photo_gone"), text("give_again"))
        return {
            **self._show("placeholder"),
            self.run_button: gr.update(visible=True, interactive=False),
            self.photo: None,
            self.upload: None,
            self.image_info: gr.update(visible=False),
            self.error_box: html(box),
        }


def _fitting_scale(size: tuple[int, int], scale: Any) -> Any:
    """Return the scale, or a smaller one that this page can make, so that one click is enough."""
    if isinstance(scale, bool) or not isinstance(scale, (int, float)):
        return scale
    return next((s for s in (4, 3, 2) if s <= scale and uploads.fits(size, s)), 1)


def _too_large(size: tuple[int, int]) -> dict[str, str]:
    """Return why scales are too large for a photo, by their label."""
    return {
        label: templates.too_large_reason((size[0] * scale, size[1] * scale))
        for label, scale in SCALES
        if isinstance(scale, int) and not uploads.fits(size, scale)
    }


def _other_side(upload: Upload | None, linked: Any, side: Any, axis: int) -> Any:
    """Return the side that keeps the proportions of the photo, for the one that was typed."""
    if upload is None or linked is not True or isinstance(side, bool):
        return gr.skip()
    if side is None:
        return None
    if not isinstance(side, (int, float)) or not 0 < side <= MAX_SIDE:
        return gr.skip()
    return max(1, round(side * upload.size[1 - axis] / upload.size[axis]))


def _index(event: gr.EventData | None, count: int) -> int | None:
    """Return the number of the card that was clicked, if there is one."""
    data = getattr(event, "_data", None)  # without any, Gradio gives None in place of the event
    number = data.get("index") if isinstance(data, dict) else None
    known = isinstance(number, int) and not isinstance(number, bool) and 0 <= number < count
    return number if known else None


def _offer(path: Path, output_format: str) -> dict[str, Any]:
    size = templates.file_size(path.stat().st_size)
    label = text("download_as", format=output_format, size=size)
    return gr.update(value=str(path), label=label, interactive=True)
