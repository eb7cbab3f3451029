"""The card (README.md) of a set of weights: what it is, measures, was trained on and is bad at.

What belongs to the weights (facts, figures, picture, training, limits) stands between markers and
in the metadata's `model-index`; a later card replaces just that, and leaves what people wrote.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

if TYPE_CHECKING:
    from hsr_hub.evaluation import Metrics
    from hsr_hub.model import HSRNet

TEMPLATE = """---
{{ card_data }}
---

# {{ title }}

Super-resolution by HSRNet: hierarchical feature extraction, a fusion block, and a reconstruction
that is supervised at every level. One set of weights enlarges by every factor up to its last level.

{{ facts }}

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

{{ sample }}

## Training

{{ training }}

## Limits

{{ limits }}

Detail in the result is made up from what photographs usually look like: do not use it for forensic,
medical or other work in which an invented line matters.

The method is described in the patent publication CN 111369440 (granted as CN111369440B); check what
that means for you.
"""

MARKED = (
    "<!-- hsr-hub:{name} is written by the program; edit outside of it -->\n"
    "{text}\n"
    "<!-- /hsr-hub:{name} -->"
)
BLOCK = re.compile(r"<!-- hsr-hub:(\w+)[^>]*-->\n(.*?)\n?<!-- /hsr-hub:\1 -->", re.DOTALL)
FRONT = re.compile(r"\A---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
MODEL_INDEX = re.compile(r"^model-index:.*\n(?:[ \t-].*\n|[ \t]*\n)*", re.MULTILINE)
OURS = re.compile(r"(PSNR|SSIM) \(Y, border \d+\)")
"""Names of the metrics in `model-index` that are ours to replace."""

NO_FIGURES = "Not measured yet: `hsr-hub evaluate --model DIR --data TESTSET` prints them."
NO_TRAINING = "Not recorded."
SAMPLE = "![samples](sample.png)\n\n*From the left: {columns}.*"
COLUMNS = "low resolution, bicubic, the result, the original"
PLACEHOLDERS = {NO_FIGURES, NO_TRAINING, ""}

LIMITS = {
    None: "",
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

HUB_DATASETS = {name: f"eugenesiow/{name}" for name in ("Set5", "Set14", "BSD100", "Urban100")}
"""The field's test sets by their Hub ids."""


def model_card(
    model: HSRNet,
    *,
    name: str = "org/hsr",
    figures: Sequence[Metrics] = (),
    training: str = NO_TRAINING,
    degradation: str | None = None,
    datasets: Sequence[str] = (),
    sample: bool = False,
    columns: str = COLUMNS,
) -> ModelCard:
    """A card with metadata for the Hub.

    Args:
        model: The network.
        name: The Hub id or shipped name that the snippet loads.
        figures: From `evaluate`; they become the table and the `model-index`.
        training: Markdown: data with sources and licences, recipe, hardware.
        degradation: "bicubic" or "real": what the weights were trained for, if that is known.
        datasets: Hub ids of what the weights were trained on, where it is on the Hub.
        sample: Whether a `sample.png` lies beside the card.
        columns: What it shows, from the left.
    """
    data: ModelCardData = copy.deepcopy(model._hub_mixin_info.model_card_data)  # the class's own
    data.metrics = ["psnr", "ssim"]
    data.datasets = list(datasets) or None
    if figures:
        data.model_name, data.eval_results = name, _eval_results(figures)
    kernels = ", ".join(f"{k}x{k}" for k in model.config["kernel_sizes"])
    levels = ", ".join(f"x{level}" for level in model.levels)
    parameters = f"{sum(p.numel() for p in model.parameters()):,}"
    return ModelCard.from_template(
        data,
        template_str=TEMPLATE,
        name=name,
        title=name.rpartition("/")[2],
        scale=model.scale,
        facts=_marked("facts", f"{parameters} parameters; kernels {kernels}; levels {levels}."),
        figures=_marked("figures", _figures_text(figures) if figures else NO_FIGURES),
        sample=_marked("sample", SAMPLE.format(columns=columns) if sample else ""),
        training=_marked("training", training),
        limits=_marked("limits", LIMITS[degradation]),
    )


def _marked(name: str, text: str) -> str:
    return MARKED.format(name=name, text=text)


def _figures_text(figures: Sequence[Metrics]) -> str:
    from hsr_hub.evaluation import table

    return (
        "PSNR and SSIM on the Y channel of 8-bit images, a border of `scale` pixels cropped; in "
        "parentheses bicubic.\n\n"
        f"{table(list(figures))}\n\n"
        f"Made by `hsr-hub evaluate --dtype float32`; times and memory on {figures[0].device}."
    )


def _eval_results(figures: Sequence[Metrics]) -> list[EvalResult]:
    """One result per figure, bicubic's beside it; every scale is a configuration of its own."""
    return [
        EvalResult(
            task_type="image-to-image",
            task_name=f"x{f.scale} super-resolution",
            dataset_type=HUB_DATASETS.get(f.dataset, f.dataset.lower()),
            dataset_name=f.dataset,
            dataset_config=f"x{f.scale}",
            metric_type=metric,
            metric_name=f"{label} (Y, border {f.scale})",
            metric_value=round(value, digits),
            metric_args={"bicubic": round(bicubic, digits)},
        )
        for f in figures
        for metric, label, value, bicubic, digits in (
            ("psnr", "PSNR", f.psnr_y, f.bicubic_psnr_y, 2),
            ("ssim", "SSIM", f.ssim_y, f.bicubic_ssim_y, 4),
        )
    ]


def read_metrics(path: Path) -> list[Metrics]:
    """What `hsr-hub evaluate --json` wrote, or a list of such.

    Raises:
        ValueError: The file is something else; the message names it.
    """
    from hsr_hub.evaluation import Metrics

    names = set(Metrics.__dataclass_fields__)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        entries = found if isinstance(found, list) else [found]
        return [Metrics(**{k: v for k, v in entry.items() if k in names}) for entry in entries]
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} was not written by `hsr-hub evaluate --json`: {error}") from error


# ---- cards that are there already


def metadata(text: str) -> dict[str, Any]:
    """The metadata of a card; empty where there is none.

    Raises:
        ValueError: It is no YAML mapping.
    """
    front = FRONT.match(text)
    try:
        data = yaml.safe_load(front[1]) if front else None
    except yaml.YAMLError as error:
        raise ValueError(f"the metadata of the card is not valid YAML: {error}") from error
    if not (data is None or isinstance(data, dict)):
        raise ValueError("the metadata of the card is no mapping")
    return data or {}


def with_metrics(text: str, figures: Sequence[Metrics]) -> str:
    """A card's text with other figures, in the table and in the metadata."""
    data = ModelCardData(model_name="hsr", eval_results=_eval_results(figures))
    block = _marked("figures", _figures_text(figures))
    return merged(text, f"---\n{data.to_yaml()}\n---\n{block}\n", same_weights=False)


def named(text: str, name: str) -> str:
    """A card's text for the repository `name`, whatever folder or shipped set it was made for."""
    found = re.search(r'from_pretrained\("([^"\n]*)"\)', text)
    if found and found[1] != name:
        text = text.replace(found[0], f'from_pretrained("{name}")')
        heading = re.compile(rf"^# {re.escape(found[1].rpartition('/')[2])}$", re.MULTILINE)
        text = heading.sub(lambda _: f"# {name.rpartition('/')[2]}", text, count=1)
    front = FRONT.match(text)
    if front and (entries := metadata(text).get("model-index")):
        renamed = [{**entry, "name": name} for entry in entries]
        block = MODEL_INDEX.sub(lambda _: _dump({"model-index": renamed}), front[1], count=1)
        text = text.replace(front[1], block, 1)
    return text


def merged(theirs: str, ours: str, *, same_weights: bool) -> str:
    """A card that people may have edited, with what our new one says about the weights.

    Kept as they are: the text outside our markers, and all metadata but `model-index`, in which
    results of other metrics than ours stay too. Blocks that somebody took out stay out.

    Args:
        theirs: The card that is there.
        ours: The new one.
        same_weights: Whether both are about the same weights, so that figures there still hold
            where the new card has none.
    """
    theirs = theirs.replace("\r\n", "\n")
    new = {m[1]: m[2] for m in BLOCK.finditer(ours)}
    body = FRONT.sub("", theirs)
    if not body.strip():  # what the Hub's own form makes: a licence, and nothing else
        body = "\n" + FRONT.sub("", ours).lstrip("\n")
    elif not BLOCK.search(body):
        added = "".join(
            f"\n## {name.capitalize()}\n\n{_marked(name, new[name])}\n"
            for name in ("figures", "training")
            if new.get(name, "") not in PLACEHOLDERS
        )
        body = body.rstrip("\n") + "\n" + added

    def replaced(match: re.Match[str]) -> str:
        name, old = match[1], match[2]
        text = new.get(name, old)
        if text in PLACEHOLDERS and (same_weights or name in ("training", "limits")):
            text = old
        return _marked(name, text)

    return _merged_front(theirs, ours, same_weights) + BLOCK.sub(replaced, body)


def same_prose(one: str, other: str) -> bool:
    """Whether two cards differ in nothing but what `merged` brings up to date anyway."""
    prose = [BLOCK.sub("", FRONT.sub("", text)).split() for text in (one, other)]
    return prose[0] == prose[1]


def _merged_front(theirs: str, ours: str, same_weights: bool) -> str:
    """Their metadata to the letter, but for `model-index` and for keys that it lacks."""
    front, new = FRONT.match(theirs), metadata(ours)
    try:
        old = metadata(theirs)
    except ValueError:  # broken by hand: the Hub would refuse it
        old, front = {}, None
    kept = front[1] if front else ""
    index = old.get("model-index")
    others = _of_others(_results(index))
    if "model-index" in new:
        results = _results(new["model-index"]) + others
    else:
        results = _results(index) if same_weights else others
    if results:
        first = (index or new["model-index"])[0]
        entries = [{"name": first.get("name", "hsr"), "results": results}]
        block = _dump({"model-index": entries})
        if MODEL_INDEX.search(kept):
            kept = MODEL_INDEX.sub(lambda _: block, kept, count=1)
        else:
            kept += block
    else:
        kept = MODEL_INDEX.sub("", kept)
    lacking = {k: v for k, v in new.items() if k not in old and k != "model-index"}
    return f"---\n{kept}{_dump(lacking) if lacking else ''}---\n"


def _results(index: Any) -> list[dict[str, Any]]:
    """The results in a `model-index`; those of a broken one are let go."""
    try:
        results = [dict(result) for entry in index or [] for result in entry["results"]]
        return [r for r in results if all(isinstance(m, dict) for m in r["metrics"])]
    except (TypeError, KeyError, ValueError):
        return []


def _of_others(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The results without our metrics, which may stand among somebody else's."""
    left = [
        {**r, "metrics": [m for m in r["metrics"] if not OURS.fullmatch(str(m.get("name")))]}
        for r in results
    ]
    return [result for result in left if result["metrics"]]


def _dump(data: dict[str, Any]) -> str:
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
