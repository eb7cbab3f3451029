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

# Gradio shows 0 in an empty number field that becomes visible.
CLEAR_ZEROS = "(width, height) => [width || null, height || null]"


class Form(NamedTuple):
    """Components of the form, in the order of the arguments of `request_from_form`."""

    scale: gr.Radio
    width: gr.Number
    height: gr.Number
    strength: gr.Slider
    model: gr.Dropdown


def build_form(models: ModelStore) -> Form:
    """Lay out the form. What leaves no choice is hidden."""
    scale = gr.Radio(
        SCALES,
        value=DEFAULT_SCALE,
        label="Enlarge",
        info="1x cleans up and keeps the size.",
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
        info="0: faithful to the photo. 1: the most detail, part of it invented.",
        visible=models.has_detail(models.default),
    )
    model = gr.Dropdown(
        models.names,
        label="Model",
        info=templates.describe_models(models.names),
        visible=len(models.names) > 1,
    )

    def show_exact_size(scale: Any) -> dict[str, Any]:
        return gr.update(visible=scale == EXACT)

    def show_strength(model: Any) -> dict[str, Any]:
        return gr.update(visible=models.has_detail(model), value=0)

    shown = scale.change(show_exact_size, scale, exact_size, queue=False, **PRIVATE_EVENT)
    shown.then(None, [width, height], [width, height], js=CLEAR_ZEROS, **PRIVATE_EVENT)
    model.change(show_strength, model, strength, queue=False, **PRIVATE_EVENT)
    return Form(scale, width, height, strength, model)
