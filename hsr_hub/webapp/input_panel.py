"""The left side of the tab for one photo: the photo, its description, the buttons and the form."""

from __future__ import annotations

from typing import Any

import gradio as gr

from hsr_hub.hub import model_for
from hsr_hub.webapp import templates, uploads
from hsr_hub.webapp.context import AppContext
from hsr_hub.webapp.events import Updates, html
from hsr_hub.webapp.form import SCALES, adapted, build_form
from hsr_hub.webapp.limits import MAX_SIDE
from hsr_hub.webapp.texts import in_browser, text
from hsr_hub.webapp.uploads import Upload
from hsr_hub.webapp.upscale_request import EXACT, UpscaleRequest, request_from_form


class InputPanel:
    """What a visitor gives, and what the page says about it before it starts."""

    def __init__(self, context: AppContext) -> None:
        self.context, self.models = context, context.models
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
        self.upload = gr.State()
        """The `Upload` that was accepted."""
        self.other_model = gr.State()
        """What the button below the sentence changes to."""
        self.last_size = gr.JSON(visible=False)
        """Size of the result that was described last, from which an exact size starts."""
        self.description = [
            self.image_info,
            self.error_box,
            self.run_button,
            self.choice,
            self.switch_button,
            self.other_model,
            self.last_size,
            self.limits,
        ]
        """What `describe` changes."""

    def describe(self, upload: Upload | None, *form: Any) -> Updates:
        """Show the size and the time of the result, or what is wrong with the form."""
        reasons = {} if upload is None else _too_large(upload.size)
        updates: Updates = {
            self.error_box: html(""),
            self.image_info: gr.update(visible=False),
            self.run_button: gr.update(interactive=False),
            self.limits: html(templates.too_large(reasons)),
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
        expected = self.expected_seconds(chosen, upload)
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

    def choose_other(self, other: str | None, scale: Any) -> Updates:
        """Choose the weights that the button below the sentence offers."""
        if other is None:
            return gr.skip()
        return {self.form.model: other, **adapted(self.form, self.models, other, scale)}

    def expected_seconds(self, request: UpscaleRequest, upload: Upload) -> float | None:
        """Return the seconds that the work will take, if they are known."""
        expected = self.context.estimate(request, upload.size, upload.forward_passes)
        return expected and expected.total

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


def fitting_scale(size: tuple[int, int], scale: Any) -> Any:
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
