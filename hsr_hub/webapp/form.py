"""The form of both tabs: scale, exact size, strength and model."""

from __future__ import annotations

from typing import Any, NamedTuple

import gradio as gr

from hsr_hub.webapp import templates
from hsr_hub.webapp.events import PRIVATE_EVENT
from hsr_hub.webapp.models import ModelStore
from hsr_hub.webapp.requests import EXACT

SCALES = [("1x", 1), ("2x", 2), ("3x", 3), ("4x", 4), ("Exact", EXACT)]
DEFAULT_SCALE = 4

STRENGTH_INFO = "0: faithful to the photo. 1: the most detail, part of it invented."

# Gradio shows 0 in an empty number field that becomes visible.
CLEAR_ZEROS = "(width, height) => [width || null, height || null]"


class Form(NamedTuple):
    """Components of the form, in the order of the arguments of `request_from_form`."""

    scale: gr.Radio
    width: gr.Number
    height: gr.Number
    strength: gr.Slider
    model: gr.Radio


def build_form(models: ModelStore) -> Form:
    """Lay out the form. What leaves no choice is hidden."""
    labels = models.labels
    first = next(iter(labels))
    model = gr.Radio(
        [(label, name) for name, label in labels.items()],
        value=first,
        label="Kind of photo" if models.auto else "Model",
        info=templates.describe_choices(models),
        visible=len(labels) > 1,
        elem_classes="cards",
    )
    scale = gr.Radio(
        scales_for(models, first, 0),
        value=DEFAULT_SCALE,
        label="Enlarge",
        info=scale_info(models, first),
        elem_classes="segments",
    )
    with gr.Row(visible=False) as exact_size:
        width = gr.Number(None, label="Width in pixels", placeholder="auto", min_width=120)
        height = gr.Number(None, label="Height in pixels", placeholder="auto", min_width=120)
    strength = gr.Slider(
        0,
        1,
        0,
        step=0.05,
        label="Strength",
        info=strength_info(models, first),
        interactive=models.has_detail(first),
        visible=bool(models.detail),
    )

    def show_exact_size(scale: Any) -> dict[str, Any]:
        return gr.update(visible=scale == EXACT)

    def adapt(model: Any, scale: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Offer the strengths and scales that the chosen weights have."""
        detail = models.split(model)[1]
        scales = scales_for(models, model, 0)
        lost = scale not in [value for _, value in scales]
        return (
            gr.update(
                value=1 if detail else 0,
                minimum=0.05 if detail else 0,
                interactive=models.has_detail(model),
                info=strength_info(models, model),
            ),
            gr.update(
                choices=scales,
                value=DEFAULT_SCALE if lost else scale,
                info=scale_info(models, model),
            ),
        )

    shown = scale.change(show_exact_size, scale, exact_size, queue=False, **PRIVATE_EVENT)
    shown.then(None, [width, height], [width, height], js=CLEAR_ZEROS, **PRIVATE_EVENT)
    model.change(adapt, [model, scale], [strength, scale], queue=False, **PRIVATE_EVENT)
    return Form(scale, width, height, strength, model)


def scales_for(models: ModelStore, model: Any, strength: float) -> list[tuple[str, Any]]:
    """Return the scales that a choice offers. 1x is left out where it would change nothing."""
    useful = not models.auto or models.cleans(models.split(model)[0], strength)
    useful = useful and not models.split(model)[1]
    return SCALES if useful else SCALES[1:]


def scale_info(models: ModelStore, model: Any) -> str:
    """Return the text below the scales."""
    if scales_for(models, model, 0) == SCALES and models.auto:
        return "1x cleans up and keeps the size."
    return ""


def strength_info(models: ModelStore, model: Any) -> str:
    """Return the meaning of the strength, or why it cannot be set."""
    if models.has_detail(model):
        return STRENGTH_INFO
    label = models.labels.get(model, "This choice") if isinstance(model, str) else "This choice"
    return f"Not available: {label} has no detail model."
