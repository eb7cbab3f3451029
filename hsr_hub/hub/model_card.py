"""The model card (README.md): what the weights are, measure, were trained on and are bad at.

The parts that belong to the weights (facts, metrics, sample, training, limits) are blocks between
markers, see `card_blocks.py`, and the `model-index` of the metadata. A newer card replaces these
parts only and keeps what people wrote, see `card_editing.py`. A block without text is invisible on
the Hub and keeps the place of a later text.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from huggingface_hub.hub_mixin import MixinInfo
from torch import nn

from hsr_hub.evaluation import Metrics
from hsr_hub.hub.card_blocks import block_text, section_text
from hsr_hub.hub.links import DEMO, PATENT, REPOSITORY

TEMPLATE = """---
{{ card_data }}
---

# {{ title }}

{{ purpose }}

{{ sample }}

{{ facts }}

[Source code and documentation]({{ repository }}) · [demo of hsr-hub in the browser]({{ demo }}) ·
[patent]({{ patent }})

## Use

```bash
pip install git+{{ repository }}
hsr-hub upscale photo.jpg -o photo-{{ scale }}x.png --model {{ name }}
```

```python
from hsr_hub import HSRNet

model = HSRNet.from_pretrained("{{ name }}")
result = model.upscale("photo.jpg")
result.save("photo-{{ scale }}x.png")
```

The input may have any size. `scale=` takes any factor, and `size=(width, height)` an exact size.

{{ metrics }}

{{ training }}

## Limits

{{ limits }}

Detail in the result is made up from what photographs usually look like. Do not use it for forensic,
medical or other work in which an invented line matters.

The method is described in the patent publication CN 111369440 (granted as CN111369440B). Check what
that means for you.
"""

LPIPS_NAME = "LPIPS (SqueezeNet)"
SAMPLE = "![samples](sample.png)\n\n*From the left: {columns}.*"
COLUMNS = "low resolution, bicubic, the result, the original"
PURPOSES = {
    None: "",
    "bicubic": (
        "**For clean photos:** sharp images that are only too small. For compressed, noisy or "
        "blurred photos, use weights that were trained for them."
    ),
    "real": (
        "**For photos as people have them:** web JPEGs, phone photos, old scans. It removes blur, "
        "noise and compression artefacts while it enlarges."
    ),
}
"""Which images the weights are for, by the degradation that they were trained for."""

LIMITS = {
    None: "",
    "bicubic": (
        "Trained for images that were scaled down cleanly (antialiased bicubic). It does not "
        "remove JPEG blocks, noise or motion blur, and may sharpen them."
    ),
    "real": (
        "Trained for images with some blur, noise and JPEG artefacts. On clean images, weights "
        "that were trained for those are sharper. It does not remove motion blur."
    ),
}
"""Text by the degradation that the weights were trained for."""

HUB_DATASETS = {name: f"eugenesiow/{name}" for name in ("Set5", "Set14", "BSD100", "Urban100")}
"""Hub ids of the common test sets."""


class CardModel(Protocol):
    """A network with the mixin of the Hub library, such as `HSRNet`."""

    config: dict[str, Any]
    scale: int
    levels: list[int]
    _hub_mixin_info: MixinInfo

    def parameters(self) -> Iterator[nn.Parameter]:
        """Return the weights."""
        ...


def model_card(
    model: CardModel,
    *,
    name: str = "org/hsr",
    metrics: Sequence[Metrics] = (),
    training: str = "",
    degradation: str | None = None,
    datasets: Sequence[str] = (),
    sample: bool = False,
    columns: str = COLUMNS,
    purpose: str | None = None,
    metrics_note: str = "",
    base_model: Sequence[str] = (),
    base_model_relation: str | None = None,
) -> ModelCard:
    """Return a card with metadata for the Hub.

    Args:
        model: The network.
        name: Hub id or name of a bundled model, which the code example loads.
        metrics: Results of `evaluate`, for the table and the `model-index`.
        training: Markdown about the data with sources and licences, the recipe and the hardware.
        degradation: What the weights were trained for, if known: "bicubic" or "real".
        datasets: Hub ids of the training data, if it is on the Hub.
        sample: Whether the card's folder has a `sample.png`.
        columns: What `sample.png` shows, from the left.
        purpose: Which images the weights are for; by default as the degradation says.
        metrics_note: Text below the table of metrics, such as the speed and its machine.
        base_model: Hub ids of the weights that the training started from.
        base_model_relation: How it used them, in the Hub's terms: "finetune" or "merge".
    """
    data: ModelCardData = copy.deepcopy(model._hub_mixin_info.model_card_data)
    if base_model:
        data.base_model = list(base_model)
        data["base_model_relation"] = base_model_relation
    data.datasets = list(datasets) or None
    if metrics:
        data.model_name, data.eval_results = name, eval_results(metrics)
        data.metrics = metric_names(metrics)
    kernels = ", ".join(f"{k}x{k}" for k in model.config["kernel_sizes"])
    levels = ", ".join(f"x{level}" for level in model.levels)
    parameters = f"{sum(p.numel() for p in model.parameters()):,}"
    facts = (
        f"An image upscaler (super-resolution) by HSRNet, up to {model.scale} times in one step: "
        f"{parameters} parameters, kernels {kernels}, one output at each of the levels {levels}."
    )
    return ModelCard.from_template(
        data,
        template_str=TEMPLATE,
        name=name,
        title=name.rpartition("/")[2],
        scale=model.scale,
        repository=REPOSITORY,
        demo=DEMO,
        patent=PATENT,
        purpose=block_text("purpose", PURPOSES[degradation] if purpose is None else purpose),
        facts=block_text("facts", facts),
        metrics=section_text("metrics", metrics_text(metrics, metrics_note) if metrics else ""),
        sample=block_text("sample", SAMPLE.format(columns=columns) if sample else ""),
        training=section_text("training", training),
        limits=block_text("limits", LIMITS[degradation]),
    )


def metrics_text(metrics: Sequence[Metrics], note: str = "") -> str:
    """Return a table without times, which say nothing without the machine, and a note below it."""
    rows = [
        f"| {m.dataset} ({m.images}) | x{m.scale} | {m.psnr_y:.2f} ({m.bicubic_psnr_y:.2f}) "
        f"| {m.ssim_y:.4f} ({m.bicubic_ssim_y:.4f}) "
        f"| {_lpips(m.lpips)} ({_lpips(m.bicubic_lpips)}) |"
        for m in metrics
    ]
    lines = [
        "| test set | scale | PSNR-Y | SSIM-Y | LPIPS, lower is better |",
        "|---|---|---|---|---|",
    ]
    table = "\n".join([*lines, *rows])
    text = (
        "In parentheses: bicubic. PSNR and SSIM on the Y channel of 8-bit images, with a border of "
        "`scale` pixels cropped; LPIPS on SqueezeNet. Measured by `hsr-hub evaluate --dtype "
        f"float32`.\n\n{table}\n\n{note}"
    )
    return text.strip()


def _lpips(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def metric_names(metrics: Sequence[Metrics]) -> list[str]:
    """Return the names of what was measured, in the Hub's terms."""
    return ["psnr", "ssim", *(["lpips"] if any(m.lpips is not None for m in metrics) else [])]


def eval_results(metrics: Sequence[Metrics]) -> list[EvalResult]:
    """Return one result per test set, scale and metric."""
    results = []
    for m in metrics:
        known = m.dataset in HUB_DATASETS
        values = [
            ("psnr", f"PSNR (Y, border {m.scale})", round(m.psnr_y, 2)),
            ("ssim", f"SSIM (Y, border {m.scale})", round(m.ssim_y, 4)),
        ]
        if m.lpips is not None:
            values.append(("lpips", LPIPS_NAME, round(m.lpips, 3)))
        results += [
            EvalResult(
                task_type="image-to-image",
                task_name=f"x{m.scale} super-resolution",
                dataset_type=HUB_DATASETS.get(m.dataset, m.dataset.lower()),
                dataset_name=m.dataset,
                dataset_config=f"bicubic_x{m.scale}" if known else f"x{m.scale}",
                dataset_split="validation" if known else None,
                metric_type=metric,
                metric_name=name,
                metric_value=value,
            )
            for metric, name, value in values
        ]
    return results


def read_metrics(path: Path) -> list[Metrics]:
    """Return the metrics in a file that `hsr-hub evaluate --json` wrote, or in a list of such.

    Raises:
        ValueError: If the file holds something else.
    """
    names = set(Metrics.__dataclass_fields__)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        entries = found if isinstance(found, list) else [found]
        return [Metrics(**{k: v for k, v in entry.items() if k in names}) for entry in entries]
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} was not written by `hsr-hub evaluate --json`: {error}") from error
