"""The model card (README.md): what the weights are, measure, were trained on and are bad at.

The parts that belong to the weights (facts, metrics, sample, training, limits) are blocks between
markers, and the `model-index` of the metadata. A newer card replaces these parts only and keeps
what people wrote. A block without text is invisible on the Hub and keeps the place of a later text.
"""

from __future__ import annotations

import copy
import json
import re
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from huggingface_hub.hub_mixin import MixinInfo
from torch import nn

from hsr_hub.evaluation import Metrics
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

BLOCK_FORMAT = (
    "<!-- hsr-hub:{name} is written by the program; edit outside of it -->\n"
    "{text}\n"
    "<!-- /hsr-hub:{name} -->"
)
MARKER = re.compile(
    r"(?P<heading>^#{1,6} [^\n]*\n{1,2})?"
    r"(?P<marker><!-- (?P<slash>/?)hsr-hub:(?P<name>\w+)\b[^<>\n]*-->)",
    re.MULTILINE,
)
"""A marker with the heading directly before it."""

SECTIONS = {"metrics": "## Metrics", "training": "## Training"}
"""Headings of the blocks that have a section of their own, which is left out if it has no text."""

OLD_MARKER = re.compile(r"(?:^## Figures\n\n)?(<!-- /?hsr-hub:)figures\b", re.MULTILINE)
"""Earlier versions called the metrics "figures", in the heading too."""

FRONT = re.compile(r"\A---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
ENTRY = r"^{key}:.*\n(?:[ \t-].*\n|[ \t]*\n)*"
"""An entry of the metadata with its nested lines, as a regular expression."""

MODEL_INDEX = re.compile(ENTRY.format(key="model-index"), re.MULTILINE)
ORIGIN = ("base_model", "base_model_relation", "datasets")
"""Keys of the metadata that other weights replace: what these weights come from."""

LICENSE = ("license", "license_name", "license_link")
"""Keys of the metadata about the licence."""

LPIPS_NAME = "LPIPS (SqueezeNet)"
OUR_METRICS = re.compile(rf"(PSNR|SSIM) \(Y, border \d+\)|{re.escape(LPIPS_NAME)}")
"""Names of the metrics in `model-index` that a newer card replaces."""

SAMPLE = "![samples](sample.png)\n\n*From the left: {columns}.*"
COLUMNS = "low resolution, bicubic, the result, the original"
KEPT_BLOCKS = {"purpose", "training", "limits"}
"""Blocks that a card about other weights replaces only if it has something to say."""
OLD_PLACEHOLDERS = {
    "Not measured yet: `hsr-hub evaluate --model DIR --data TESTSET` prints them.",
    "Not recorded.",
}
"""Texts of earlier versions for blocks that had nothing to say."""

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
    data.metrics = ["psnr", "ssim"]
    if any(m.lpips is not None for m in metrics):
        data.metrics.append("lpips")
    if base_model:
        data.base_model = list(base_model)
        data["base_model_relation"] = base_model_relation
    data.datasets = list(datasets) or None
    if metrics:
        data.model_name, data.eval_results = name, _eval_results(metrics)
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
        purpose=_block("purpose", PURPOSES[degradation] if purpose is None else purpose),
        facts=_block("facts", facts),
        metrics=_section("metrics", _metrics_text(metrics, metrics_note) if metrics else ""),
        sample=_block("sample", SAMPLE.format(columns=columns) if sample else ""),
        training=_section("training", training),
        limits=_block("limits", LIMITS[degradation]),
    )


def _block(name: str, text: str) -> str:
    return BLOCK_FORMAT.format(name=name, text=text)


def _section(name: str, text: str, heading: str = "") -> str:
    """Return a block with its heading.

    Args:
        name: The block.
        text: Its text.
        heading: The heading that the card has there already. People may have changed it.
    """
    own = SECTIONS.get(name)
    if own and text and not heading:
        heading = f"{own}\n\n"
    if own and not text and heading.strip() == own:
        heading = ""
    return heading + _block(name, text)


def _metrics_text(metrics: Sequence[Metrics], note: str = "") -> str:
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


def _eval_results(metrics: Sequence[Metrics]) -> list[EvalResult]:
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


# ---- existing cards


class Block(NamedTuple):
    """A part of a card between our markers."""

    name: str
    text: str
    heading: str
    """The heading directly before the block; empty if there is none."""
    start: int
    """Index of the first character of the heading and the opening marker in the card."""
    end: int
    """Index after the closing marker."""


def blocks(text: str) -> list[Block]:
    """Return the blocks of a card in order. They do not overlap.

    A block ends at the first closing marker of its name. An opening marker without one is text.
    The time is linear in the length of the card.
    """
    markers = list(MARKER.finditer(text))
    closing: dict[str, deque[re.Match[str]]] = defaultdict(deque)
    for marker in markers:
        if marker["slash"]:
            closing[marker["name"]].append(marker)
    found: list[Block] = []
    end = 0
    for opening in markers:
        if opening["slash"] or opening.start() < end:
            continue
        candidates = closing[opening["name"]]
        while candidates and candidates[0].start() < opening.end():
            candidates.popleft()
        if candidates:
            inner = text[opening.end() : candidates[0].start("marker")]
            inner = inner.removeprefix("\n").removesuffix("\n")
            if inner in OLD_PLACEHOLDERS:
                inner = ""
            end = candidates[0].end()
            heading = opening["heading"] or ""
            found.append(Block(opening["name"], inner, heading, opening.start(), end))
    return found


def _replace_blocks(text: str, found: Sequence[Block], replace: Callable[[Block], str]) -> str:
    """Return a card's text with the blocks that were found in it replaced."""
    parts, end = [], 0
    for block in found:
        parts += [text[end : block.start], replace(block)]
        end = block.end
    return "".join([*parts, text[end:]])


def _normalize(text: str) -> str:
    """Return a card's text with the line ends and the block names of today."""

    def rename(match: re.Match[str]) -> str:
        heading = "## Metrics\n\n" if match[0].startswith("#") else ""
        return f"{heading}{match[1]}metrics"

    return OLD_MARKER.sub(rename, text.replace("\r\n", "\n"))


def metadata(text: str) -> dict[str, Any]:
    """Return the metadata of a card, which is empty if the card has none.

    Raises:
        ValueError: If the metadata is not a YAML mapping.
    """
    front = FRONT.match(text)
    try:
        data = yaml.safe_load(front[1]) if front else None
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"the metadata of the card is not valid YAML: {error}") from error
    if not (data is None or isinstance(data, dict)):
        raise ValueError("the metadata of the card is not a mapping of keys to values")
    return data or {}


def with_metrics(text: str, metrics: Sequence[Metrics]) -> str:
    """Return a card's text with other metrics, in the table and in the metadata."""
    data = ModelCardData(model_name="hsr", eval_results=_eval_results(metrics))
    block = _block("metrics", _metrics_text(metrics))
    return merged(text, f"---\n{data.to_yaml()}\n---\n{block}\n", same_weights=False)


def with_license(text: str, license_id: str) -> str:
    """Return a card's text with another licence, and without the name and link of the old one.

    Args:
        text: The card, with valid metadata.
        license_id: The Hub's name of the licence, such as "cc-by-4.0".
    """
    if metadata(text).get("license") == license_id:
        return text
    front = FRONT.match(text)
    kept = front[1] if front else ""
    for key in LICENSE:
        kept = re.sub(ENTRY.format(key=key), "", kept, count=1, flags=re.MULTILINE)
    return f"---\n{_dump({'license': license_id})}{kept}---\n{FRONT.sub('', text)}"


def with_repo_id(text: str, repo_id: str) -> str:
    """Return a card's text for a repository: code example, heading and `model-index` name it.

    Raises:
        ValueError: If the metadata is not a YAML mapping.
    """
    found = re.search(r'from_pretrained\("([^"\n]*)"\)', text)
    if found and found[1] != repo_id:
        text = text.replace(found[0], f'from_pretrained("{repo_id}")')
        option = re.compile(rf"--model {re.escape(found[1])}(?=\s)")
        text = option.sub(lambda _: f"--model {repo_id}", text)
        heading = re.compile(rf"^# {re.escape(found[1].rpartition('/')[2])}$", re.MULTILINE)
        text = heading.sub(lambda _: f"# {repo_id.rpartition('/')[2]}", text, count=1)
    front = FRONT.match(text)
    entries = metadata(text).get("model-index")
    if front and isinstance(entries, list):
        renamed = [{**entry, "name": repo_id} for entry in entries if isinstance(entry, dict)]
        index = MODEL_INDEX.sub(lambda _: _dump({"model-index": renamed}), front[1], count=1)
        text = text.replace(front[1], index, 1)
    return text


def merged(theirs: str, ours: str, *, same_weights: bool) -> str:
    """Return a card that people may have edited, with our newer parts about the weights.

    The text outside of our markers stays, and so does all metadata except `model-index`, in which
    results of other metrics stay too, and except the base model and the data sets if the weights
    are others. Blocks that somebody removed stay removed.

    Args:
        theirs: The existing card.
        ours: The new card.
        same_weights: Whether both are about the same weights. If so, the existing metrics stay
            where the new card has none.
    """
    theirs, ours = _normalize(theirs), _normalize(ours)
    new = {block.name: block.text for block in blocks(ours)}
    body = FRONT.sub("", theirs)
    if not body.strip():  # a repository made with the Hub's form has a licence and no text
        body = "\n" + FRONT.sub("", ours).lstrip("\n")
    found = blocks(body)
    if not found:
        added = "".join(f"\n{_section(name, new[name])}\n" for name in SECTIONS if new.get(name))
        body = body.rstrip("\n") + "\n" + added

    def replace(block: Block) -> str:
        text = new.get(block.name, block.text)
        if not text and (same_weights or block.name in KEPT_BLOCKS):
            text = block.text
        return _section(block.name, text, block.heading)

    return _merged_front(theirs, ours, same_weights) + _replace_blocks(body, found, replace)


def same_prose(one: str, other: str) -> bool:
    """Return whether two cards differ only in what `merged` replaces."""

    def heading(block: Block) -> str:
        return "" if block.heading.strip() == SECTIONS.get(block.name) else block.heading

    def prose(card: str) -> list[str]:
        text = FRONT.sub("", _normalize(card))
        return _replace_blocks(text, blocks(text), heading).split()

    return prose(one) == prose(other)


def _merged_front(theirs: str, ours: str, same_weights: bool) -> str:
    """Return their metadata to the letter, except what `merged` replaces, and with lacking keys."""
    front, new = FRONT.match(theirs), metadata(ours)
    try:
        old = metadata(theirs)
    except ValueError:  # the Hub would refuse the card
        old, front = {}, None
    kept = front[1] if front else ""
    index = old.get("model-index")
    others = _other_metrics(_results(index))
    if "model-index" in new:
        results = _results(new["model-index"]) + others
    else:
        results = _results(index) if same_weights else others
    if results:
        name = _index_name(index) or _index_name(new.get("model-index")) or "hsr"
        block = _dump({"model-index": [{"name": name, "results": results}]})
        if MODEL_INDEX.search(kept):
            kept = MODEL_INDEX.sub(lambda _: block, kept, count=1)
        else:
            kept += block
    else:
        kept = MODEL_INDEX.sub("", kept)
    if not same_weights:
        for key in [key for key in ORIGIN if key in new and key in old]:
            if old[key] != new[key]:
                kept = re.sub(ENTRY.format(key=key), "", kept, count=1, flags=re.MULTILINE)
                del old[key]
    lacking = {k: v for k, v in new.items() if k not in old and k != "model-index"}
    return f"---\n{kept}{_dump(lacking) if lacking else ''}---\n"


def _index_name(index: Any) -> str | None:
    """Return the name of the model in a `model-index`, or None if it is missing or broken."""
    try:
        return index[0]["name"]
    except (TypeError, KeyError, IndexError):
        return None


def _results(index: Any) -> list[dict[str, Any]]:
    """Return the results in a `model-index`, or none if it is broken."""
    try:
        results = [dict(result) for entry in index or [] for result in entry["results"]]
        return [r for r in results if all(isinstance(m, dict) for m in r["metrics"])]
    except (TypeError, KeyError, ValueError):
        return []


def _other_metrics(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the results without our metrics. One result may hold both."""
    left = [
        {**r, "metrics": [m for m in r["metrics"] if not OUR_METRICS.fullmatch(str(m.get("name")))]}
        for r in results
    ]
    return [result for result in left if result["metrics"]]


def _dump(data: dict[str, Any]) -> str:
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
