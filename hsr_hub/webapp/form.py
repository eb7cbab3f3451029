"""The form of both tabs: kind of photo, scale, exact size and strength."""

from __future__ import annotations

from typing import Any, NamedTuple

import gradio as gr

from hsr_hub.webapp.events import PRIVATE_EVENT, QUICK_EVENT
from hsr_hub.webapp.models import ModelStore
from hsr_hub.webapp.texts import in_browser, label_in_browser, text, translated
from hsr_hub.webapp.upscale_request import CROP, EXACT, FIT

SCALES = [("1x", 1), ("2x", 2), ("3x", 3), ("4x", 4), (in_browser("scale_exact"), EXACT)]
DEFAULT_SCALE = 4

FITTINGS = [(in_browser("fitting_fit"), FIT), (in_browser("fitting_crop"), CROP)]

# Gradio shows 0 in an empty number field that becomes visible.
CLEAR_ZEROS = "(width, height) => [width || null, height || null]"


class Form(NamedTuple):
    """Components of the form, in the order of the arguments of `request_from_form`."""

    scale: gr.Radio
    width: gr.Number
    height: gr.Number
    strength: gr.Slider
    model: gr.Radio
    fitting: gr.Radio


def build_form(
    models: ModelStore, linked: gr.Checkbox | None = None, limits: gr.HTML | None = None
) -> Form:
    """Lay out the form. What leaves no choice is hidden.

    Args:
        models: What can be chosen.
        linked: Shown with the exact size: whether width and height keep the photo's proportions.
        limits: Shown below the scales: which of them are too large.
    """
    labels = models.labels
    first = next(iter(labels))
    model = gr.Radio(
        [(label_in_browser(label), name) for name, label in labels.items()],
        value=first,
        label=in_browser("kind_label" if models.auto else "model_label"),
        info=in_browser("kind_info") if models.auto else None,
        visible=len(labels) > 1,
        elem_classes="cards",
    )
    scale = gr.Radio(
        scales_for(models, first),
        value=DEFAULT_SCALE,
        label=in_browser("scale_label"),
        info=scale_info(models, first),
        elem_classes=["segments", "scales"],
    )
    if limits is not None:
        limits.render()
    with gr.Column(visible=False, elem_classes="exact-size") as exact_size:
        with gr.Row():
            width, height = (
                gr.Number(
                    None,
                    label=in_browser(side),
                    placeholder=in_browser("side_auto"),
                    min_width=120,
                )
                for side in ("width", "height")
            )
        if linked is not None:
            linked.render()
        fitting = gr.Radio(
            FITTINGS,
            value=FIT,
            label=in_browser("fitting_label"),
            info=in_browser("fitting_info"),
            elem_classes="segments",
            visible=linked is None,
        )
    strength = gr.Slider(
        0,
        1,
        0,
        step=0.05,
        label=in_browser("strength_label"),
        info=strength_info(models, first),
        interactive=models.has_detail(first),
        visible=bool(models.detail),
    )
    form = Form(scale, width, height, strength, model, fitting)

    def show_exact_size(scale: Any) -> dict[str, Any]:
        return gr.update(visible=scale == EXACT)

    def adapt(model: Any, scale: Any) -> dict[Any, dict[str, Any]]:
        return adapted(form, models, model, scale)

    shown = scale.change(show_exact_size, scale, exact_size, **QUICK_EVENT)
    shown.then(None, [width, height], [width, height], js=CLEAR_ZEROS, **PRIVATE_EVENT)
    # Not `change`: a handler that sets the kind of photo sets the strength too.
    model.input(adapt, [model, scale], [strength, scale], **QUICK_EVENT)
    if linked is not None:
        linked.change(
            lambda linked: gr.update(visible=not linked),
            linked,
            fitting,
            **QUICK_EVENT,
        )
    return form


def adapted(
    form: Form, models: ModelStore, model: Any, scale: Any, strength: float | None = None
) -> dict[Any, dict[str, Any]]:
    """Return updates that offer the strengths and scales of the chosen weights.

    Args:
        form: The form.
        models: What can be chosen.
        model: Code name of the choice.
        scale: The scale that is set now.
        strength: The strength to set; by default 1 for a detail model, else 0.
    """
    detail = models.split(model)[1]
    scales = scales_for(models, model)
    lost = scale not in [value for _, value in scales]
    return {
        form.strength: gr.update(
            value=strength or (1 if detail else 0),
            minimum=0.05 if detail else 0,
            interactive=models.has_detail(model),
            info=strength_info(models, model),
        ),
        form.scale: gr.update(
            choices=scales,
            value=DEFAULT_SCALE if lost else scale,
            info=scale_info(models, model),
        ),
    }


def scales_for(models: ModelStore, model: Any) -> list[tuple[str, Any]]:
    """Return the scales that a choice offers. 1x is left out where it would change nothing."""
    useful = not models.auto or models.cleans(models.split(model)[0], 0)
    useful = useful and not models.split(model)[1]
    return SCALES if useful else SCALES[1:]


def scale_info(models: ModelStore, model: Any) -> str:
    """Return the text below the scales."""
    if scales_for(models, model) == SCALES and models.auto:
        return in_browser("scale_info")
    return ""


def strength_info(models: ModelStore, model: Any) -> str:
    """Return the meaning of the strength, or why it cannot be set."""
    if models.has_detail(model):
        return in_browser("strength_info")
    label = models.labels.get(model) if isinstance(model, str) else None
    label = translated(label, "model_") if label else text("this_choice")
    return text("strength_missing", label=label)
