"""The card (README.md) of a set of weights: what it is, measures, was trained on and is bad at."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

from huggingface_hub import EvalResult, ModelCard

if TYPE_CHECKING:
    from hsr_hub.evaluation import Figures
    from hsr_hub.modeling import HSRNet

TEMPLATE = """---
{{ card_data }}
---

# {{ name }}

Super-resolution by HSRNet: hierarchical feature extraction (kernels {{ kernels }}), a fusion block,
and a reconstruction supervised at every level. {{ parameters }} parameters, levels {{ levels }}.

## Use

```python
from hsr_hub import HSRNet

model = HSRNet.from_pretrained("{{ name }}")
sharp = model.upscale("photo.jpg")
sharp.save("photo-{{ scale }}x.png")
```

Any size of input; `scale=1` to `scale={{ scale }}` and beyond, or `size=(width, height)`.

## Figures

{{ figures }}

{{ sample }}## Training

{{ training }}

## Limits

{{ limits }} Detail in the result is made up from what photographs usually look like: do not use it
for forensic, medical or other work in which an invented line matters.

The method is described in the patent publication CN 111369440 (granted as CN111369440B); check what
that means for you.
"""

NO_FIGURES = "Not measured yet: `hsr-hub evaluate --model DIR --data TESTSET` prints them."
NO_TRAINING = "Not recorded."
SAMPLE = "![low resolution, bicubic, result, original](sample.png)\n\n"
LIMITS = {
    "bicubic": (
        "Trained for pictures that were made small cleanly (antialiased bicubic). It does not "
        "remove JPEG blocks, noise or motion blur, and may sharpen them."
    ),
    "real": (
        "Trained for pictures with some blur, noise and JPEG artefacts; on clean ones a set "
        "trained for those is sharper. It does not remove motion blur."
    ),
}
"""By the degradation that a set was trained for."""


def model_card(
    model: HSRNet,
    *,
    name: str = "org/hsr",
    figures: Sequence[Figures] = (),
    training: str = NO_TRAINING,
    degradation: str = "bicubic",
    sample: bool = False,
) -> ModelCard:
    """A card with metadata for the Hub.

    Args:
        model: The network.
        name: The Hub id or shipped name that the snippet loads.
        figures: From `hsr_hub.evaluation.evaluate`; they become the table and the `model-index`.
        training: Markdown: data, recipe, hardware.
        degradation: "bicubic" or "real": what the weights were trained for.
        sample: Whether a `sample.png` lies beside the card.
    """
    results = [
        EvalResult(
            task_type="image-to-image",
            task_name=f"x{f.scale} super-resolution",
            dataset_type=f.dataset.lower(),
            dataset_name=f.dataset,
            metric_type=metric,
            metric_name=f"{label} (Y, border {f.scale})",
            metric_value=round(value, digits),
        )
        for f in figures
        for metric, label, value, digits in (
            ("psnr", "PSNR", f.psnr_y, 2),
            ("ssim", "SSIM", f.ssim_y, 4),
        )
    ]
    data = copy.deepcopy(model._hub_mixin_info.model_card_data)  # the class's own metadata
    data.metrics = ["psnr", "ssim"]
    data.model_name = name
    data.eval_results = results or None
    return ModelCard.from_template(
        data,
        template_str=TEMPLATE,
        name=name,
        kernels=", ".join(str(k) for k in model.config["kernel_sizes"]),
        parameters=f"{sum(p.numel() for p in model.parameters()):,}",
        levels=", ".join(f"x{level}" for level in model.levels),
        scale=model.scale,
        figures=_figures_text(figures) if figures else NO_FIGURES,
        training=training,
        limits=LIMITS[degradation],
        sample=SAMPLE if sample else "",
    )


def _figures_text(figures: Sequence[Figures]) -> str:
    from hsr_hub.evaluation import table

    return (
        "PSNR and SSIM on the Y channel of 8-bit images, a border of `scale` pixels cropped; in "
        "parentheses bicubic.\n\n"
        f"{table(list(figures))}\n\n"
        f"Made by `hsr-hub evaluate --dtype float32`; times and memory on {figures[0].device}."
    )
