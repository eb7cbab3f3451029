"""The tab for one photo: its layout, its events, and their handlers."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gradio as gr

from hsr_hub.hub import model_for
from hsr_hub.images import ImageError, inspect_file, read_image, read_pil, write_image
from hsr_hub.webapp import storage, templates, uploads
from hsr_hub.webapp.connections import Caller
from hsr_hub.webapp.context import AppContext
from hsr_hub.webapp.engine import Result, UpscaleTask
from hsr_hub.webapp.events import (
    GPU_EVENT,
    PRIVATE_EVENT,
    Updates,
    UpdateStream,
    html,
    visitor,
)
from hsr_hub.webapp.example_cache import ExampleCache
from hsr_hub.webapp.form import build_form
from hsr_hub.webapp.jobs import JobCancelledError
from hsr_hub.webapp.limits import MAX_RECEIVING
from hsr_hub.webapp.requests import EXACT, UpscaleRequest, request_from_form
from hsr_hub.webapp.uploads import Preview, Upload

FORMATS = {"PNG": ".png", "JPEG": ".jpg", "WebP": ".webp"}
QUALITY = {"JPEG": 92, "WebP": 90}
NOT_SHOWN_BY_BROWSERS = {".tif", ".tiff"}


class SingleTab:
    """Build it inside a `gr.Tab`. The handlers are in the order in which a visitor meets them."""

    def __init__(self, context: AppContext, examples: Iterable[Path]) -> None:
        self.context, self.models = context, context.models
        examples = list(examples)
        self.example_cache = ExampleCache(examples)
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=320):
                self._build_input()
            with gr.Column(scale=7, min_width=320):
                self._build_output()
                gr.Examples(
                    [[str(path)] for path in examples],
                    self.photo,
                    label="No photo at hand? Try one of these",
                    elem_id="examples",
                    api_visibility="private",
                )
        self.upload = gr.State()
        """The `Upload` that was accepted."""
        self.result_path = gr.State()
        """The result as PNG."""
        self.made = gr.State()
        """The `UpscaleRequest` of the result that is shown."""
        self.other_model = gr.State()
        """What the button below the sentence changes to."""
        self.width = gr.State()
        """Width of the result that was described last, from which an exact size starts."""
        self._connect()

    def _build_input(self) -> None:
        self.photo = gr.Image(
            label="Your photo",
            image_mode=None,
            format="png",
            sources=["upload", "clipboard", "webcam"],
            height=220,
            elem_id="photo",
            alt_text="Your photo",
            placeholder="Drop a photo here, paste one,\nor click to choose",
            buttons=[],
        )
        self.error_box = gr.HTML(visible=False, elem_id="error-box")
        self.image_info = gr.HTML(visible=False, elem_id="image-info")
        self.choice = gr.HTML(visible=False, elem_id="choice")
        self.switch_button = gr.Button(size="sm", visible=False, elem_id="switch-button")
        with gr.Column(elem_id="actions"):
            self.progress_bar = gr.HTML(visible=False, elem_id="progress-bar")
            self.run_button = gr.Button(
                "Make it sharp", variant="primary", interactive=False, elem_id="run-button"
            )
            self.cancel_button = gr.Button(
                "Cancel", variant="stop", visible=False, elem_id="cancel-button"
            )
        with gr.Accordion("Options", open=False, elem_id="options"):
            self.form = build_form(self.models)
            self.start_at_once = gr.Checkbox(
                True, label="Start as soon as a photo is here", elem_id="start-at-once"
            )

    def _build_output(self) -> None:
        self.placeholder = gr.HTML(templates.PLACEHOLDER, elem_id="placeholder")
        self.preview = gr.HTML(visible=False, elem_id="preview")
        self.stale = gr.HTML(templates.STALE, visible=False, elem_id="stale")
        self.slider = gr.ImageSlider(
            label="Before and after",
            show_label=False,
            type="filepath",
            format="png",  # the default, WebP, is lossy
            image_mode=None,
            interactive=False,
            buttons=["fullscreen"],
            max_height=400,
            visible=False,
            elem_id="slider",
        )
        with gr.Column(visible=False, elem_id="result") as self.result:
            self.result_summary = gr.HTML(elem_id="result-summary")
            with gr.Row(equal_height=True):
                self.output_format = gr.Radio(
                    list(FORMATS),
                    value="PNG",
                    label="Format",
                    show_label=False,
                    elem_id="output-format",
                    elem_classes="segments",
                )
                self.download = gr.DownloadButton("Download", variant="primary", elem_id="download")

    def _connect(self) -> None:
        form = list(self.form)
        description = [
            self.image_info,
            self.error_box,
            self.run_button,
            self.choice,
            self.switch_button,
            self.other_model,
            self.width,
        ]
        stages = [
            self.stale,
            self.made,
            self.placeholder,
            self.progress_bar,
            self.preview,
            self.slider,
            self.result,
            self.run_button,
            self.cancel_button,
        ]
        self.photo.change(
            self.receive,
            [self.photo, *form],
            [
                self.photo,
                self.upload,
                self.form.scale,
                *stages,
                self.image_info,
                self.error_box,
                self.choice,
                self.switch_button,
                self.other_model,
                self.width,
            ],
            concurrency_limit=MAX_RECEIVING,
            **PRIVATE_EVENT,
        )
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
            self.start_exact,
            [self.form.scale, self.form.width, self.form.height, self.width],
            self.form.width,
            queue=False,
            **PRIVATE_EVENT,
        )
        gr.on(
            [control.change for control in form],
            self.mark_stale,
            [self.upload, self.made, *form],
            self.stale,
            queue=False,
            trigger_mode="always_last",
            **PRIVATE_EVENT,
        )
        results = [
            self.photo,
            self.upload,
            *stages,
            self.image_info,
            self.error_box,
            self.result_summary,
            self.result_path,
            self.output_format,
            self.download,
        ]
        options: dict[str, Any] = {
            "trigger_mode": "multiple",  # a new run can start while a cancelled one ends
            **GPU_EVENT,
            **PRIVATE_EVENT,
        }
        self.run_button.click(self.run, [self.upload, *form], results, **options)
        # The upload changes only if a new photo was accepted, and the photo also if it is replaced
        # by its thumbnail.
        self.upload.change(
            self.run_at_once, [self.start_at_once, self.upload, *form], results, **options
        )
        self.switch_button.click(
            lambda other: other, self.other_model, self.form.model, queue=False, **PRIVATE_EVENT
        ).then(self.run, [self.upload, *form], results, **options)
        self.cancel_button.click(self.cancel, None, stages, queue=False, **PRIVATE_EVENT)
        self.output_format.input(
            self.convert,
            [self.result_path, self.output_format],
            [self.download, self.error_box],
            concurrency_limit=2,
            **PRIVATE_EVENT,
        )

    # Handlers.

    def receive(self, request: gr.Request, file: Any, scale: Any, *form: Any) -> Updates:
        """Check a photo that was dropped, pasted, taken or removed."""
        if file is None:
            self.context.jobs.cancel(visitor(request))
            described = self.describe(None, scale, *form)
            shown = self._show("placeholder")
            shown[self.run_button] = gr.update(visible=True, interactive=False)
            return {**described, **shown, self.upload: None}
        if storage.is_result(self.context.folder, file):  # set by the last lines of this handler
            return gr.skip()
        self.context.jobs.cancel(visitor(request))
        try:
            path, name = storage.uploaded(self.context.folder, file)
            image = self.context.load_upload(path, name, Caller.of(request))
        except ValueError as error:  # ImageError among them
            # Browsers show a broken image for such a file, so it is removed.
            box = html(templates.error_box("This file cannot be used.", error))
            return {self.photo: None, self.error_box: box}
        thumbnail = storage.new_folder(self.context.folder) / "thumbnail.jpg"
        uploads.save_thumbnail(image, thumbnail)
        passes = uploads.forward_passes(image)
        traits = inspect_file(path, image)
        upload = Upload(path, name, image.size, passes, thumbnail, traits)
        updates: Updates = {self.upload: upload, **self._show("placeholder")}
        if path.suffix.lower() in NOT_SHOWN_BY_BROWSERS:
            updates[self.photo] = str(thumbnail)
        fitting = _fitting_scale(upload.size, scale)
        if fitting != scale:
            updates[self.form.scale] = fitting
        return {**updates, **self.describe(upload, fitting, *form)}

    def describe(self, upload: Upload | None, *form: Any) -> Updates:
        """Show the size and the time of the result, or what is wrong with the form."""
        if upload is None:
            return {
                self.image_info: gr.update(visible=False),
                self.run_button: gr.update(interactive=False),
                **self._describe_choice("", None),
            }
        if form[0] == EXACT and not form[1] and not form[2]:
            return {
                self.error_box: html(""),
                self.image_info: html(templates.ASK_SIZE),
                self.run_button: gr.update(interactive=False),
                **self._describe_choice("", None),
            }
        try:
            wanted = request_from_form(self.models, *form)
            target = wanted.target(upload.size)
            chosen, reason = wanted.with_model(self.models, upload.traits, upload.size)
        except ValueError as error:
            return {
                self.error_box: html(templates.option_error(error)),
                self.image_info: gr.update(visible=False),
                self.run_button: gr.update(interactive=False),
                **self._describe_choice("", None),
            }
        other = self._other_choice(chosen, target == upload.size) if reason else None
        expected = self.context.estimate(chosen, upload.size, upload.forward_passes)
        info = templates.image_info(upload.size, target, expected and expected.total)
        return {
            self.error_box: html(""),
            self.image_info: html(info),
            self.run_button: gr.update(interactive=True),
            **self._describe_choice(reason, other),
            self.width: target[0],
        }

    def start_exact(self, scale: Any, width: Any, height: Any, last_width: Any) -> dict[str, Any]:
        """Start an exact size from the size of the last scale; the height follows the width."""
        return last_width if scale == EXACT and not width and not height else gr.skip()

    def mark_stale(
        self, upload: Upload | None, made: UpscaleRequest | None, *form: Any
    ) -> dict[str, Any]:
        """Veil the result if the form asks for another one."""
        if upload is None or made is None:
            return gr.update(visible=False)
        try:
            wanted = request_from_form(self.models, *form)
            wanted, _ = wanted.with_model(self.models, upload.traits, upload.size)
        except ValueError:  # `describe` shows it
            return gr.update(visible=True)
        return gr.update(visible=wanted != made)

    def run_at_once(
        self, request: gr.Request, start: Any, upload: Upload | None, scale: Any, *form: Any
    ) -> UpdateStream:
        """Upscale a photo that has just been accepted, unless the visitor turned that off."""
        if upload is None or start is not True:
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
            yield self._show_result(upload, wanted, cached, None)
            return
        started = time.perf_counter()
        first = Preview(read_pil(upload.thumbnail), target)
        yield {
            **self._show("working"),
            self.error_box: html(""),
            self.progress_bar: html(templates.STARTING),
            self.preview: self._preview(first),
        }
        source = upload.path, upload.name
        caller = Caller.of(request)
        task = UpscaleTask(self.context, job, source, wanted, "comparison", caller)
        try:
            for progress in task:
                updates: Updates = {self.progress_bar: html(templates.progress(progress))}
                if progress.preview is not None:
                    updates[self.preview] = self._preview(progress.preview)
                yield updates
        except JobCancelledError:
            # Gradio sends the last message twice. It must not change the page of a newer run.
            replaced = self.context.jobs.was_replaced(owner, job)
            yield gr.skip() if replaced else self._show("placeholder")
            return
        except gr.Error:  # from ZeroGPU: no GPU time left today, for example
            yield self._show("placeholder")
            raise
        except (ValueError, OSError, RuntimeError, MemoryError) as error:
            if not upload.exists:
                yield self._ask_again()
                return
            box = templates.error_box("This did not work.", error)
            yield {**self._show("placeholder"), self.error_box: html(box)}
            return
        assert task.result is not None
        self.example_cache.keep(upload, wanted, task.result)
        yield self._show_result(upload, wanted, task.result, time.perf_counter() - started)

    def cancel(self, request: gr.Request) -> Updates:
        """Stop the work of this tab."""
        self.context.jobs.cancel(visitor(request))
        return self._show("placeholder")

    def convert(self, path: Path | None, output_format: Any) -> Updates:
        """Offer the result in another format."""
        if path is None:
            return gr.skip()
        try:
            if not isinstance(output_format, str) or output_format not in FORMATS:
                raise ImageError(f"choose {', '.join(FORMATS)}")
            if not path.is_file():
                box = templates.error_box("This result is no longer here.", "Make it again.")
                return {self.error_box: html(box)}
            converted = path.with_suffix(FORMATS[output_format])
            if not converted.exists():
                write_image(read_image(path), converted, quality=QUALITY.get(output_format))
        except ImageError as error:
            return {self.error_box: html(templates.error_box("Not in this format.", error))}
        return {self.download: _offer(converted, output_format)}

    # Parts of what the handlers return.

    def _show(self, stage: str) -> Updates:
        """Return what is visible at a stage: "placeholder", "working" or "result"."""
        working = stage == "working"
        return {
            self.stale: gr.update(visible=False),
            self.made: None,
            self.placeholder: gr.update(visible=stage == "placeholder"),
            self.progress_bar: gr.update(visible=working),
            self.preview: gr.update(visible=working),
            self.slider: gr.update(visible=stage == "result"),
            self.result: gr.update(visible=stage == "result"),
            self.run_button: gr.update(visible=not working),
            self.cancel_button: gr.update(visible=working),
        }

    def _preview(self, preview: Preview) -> dict[str, Any]:
        return html(templates.preview(preview.data_url(), preview.size))

    def _other_choice(self, chosen: UpscaleRequest, same_size: bool) -> str | None:
        """Return the choice of the other kind than Auto's, if it is of use."""
        names = list(self.models.labels)
        clean, photo = self.models.default, model_for("photo", names, self.models.default)
        if chosen.strength or same_size or clean == photo:
            return None
        return photo if chosen.model == clean else clean

    def _describe_choice(self, reason: str, other: str | None) -> Updates:
        label = f"Not right? Use “{self.models.labels[other]}”" if other else ""
        return {
            self.choice: html(templates.choice(reason)),
            self.switch_button: gr.update(value=label, visible=other is not None),
            self.other_model: other,
        }

    def _show_result(
        self, upload: Upload, request: UpscaleRequest, result: Result, seconds: float | None
    ) -> Updates:
        assert result.comparison is not None
        before, after = result.comparison
        summary = templates.result_summary(
            upload.size,
            result.size,
            seconds,
            reduced=after != result.path,
            made=templates.made_with(self.models, request),
            cleaned=self.models.cleans(request.model, request.strength),
        )
        return {
            **self._show("result"),
            self.made: request,
            self.error_box: html(""),
            self.slider: gr.update(value=(str(before), str(after)), visible=True),
            self.result_summary: html(summary),
            self.result_path: result.path,
            self.output_format: "PNG",
            self.download: _offer(result.path, "PNG"),
        }

    def _ask_again(self) -> Updates:
        """Return an empty page, because the upload is an hour old and was removed."""
        box = templates.error_box("This photo is no longer here.", "Give it again.")
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


def _offer(path: Path, output_format: str) -> dict[str, Any]:
    size = templates.file_size(path.stat().st_size)
    return gr.update(value=str(path), label=f"Download {output_format} · {size}")
