"""Change a model card that people may have edited: its metadata, its blocks, and its names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import yaml
from huggingface_hub import ModelCardData

from hsr_hub.evaluation import Metrics
from hsr_hub.hub.card_blocks import (
    SECTIONS,
    Block,
    block_text,
    blocks,
    normalize,
    replace_blocks,
    section_text,
)
from hsr_hub.hub.model_card import LPIPS_NAME, eval_results, metric_names, metrics_text

FRONT = re.compile(r"\A---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
ENTRY = r"^{key}:.*\n(?:[ \t-].*\n|[ \t]*\n)*"
"""An entry of the metadata with its nested lines, as a regular expression."""

MODEL_INDEX = re.compile(ENTRY.format(key="model-index"), re.MULTILINE)
ORIGIN = ("base_model", "base_model_relation", "datasets")
"""Keys of the metadata that other weights replace: what these weights come from."""

LICENSE = ("license", "license_name", "license_link")
"""Keys of the metadata about the licence."""

OUR_METRICS = re.compile(rf"(PSNR|SSIM) \(Y, border \d+\)|{re.escape(LPIPS_NAME)}")
"""Names of the metrics in `model-index` that a newer card replaces."""

KEPT_BLOCKS = {"purpose", "training", "limits"}
"""Blocks that a card about other weights replaces only if it has something to say."""


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
    data = ModelCardData(
        model_name="hsr", eval_results=eval_results(metrics), metrics=metric_names(metrics)
    )
    block = block_text("metrics", metrics_text(metrics))
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
    theirs, ours = normalize(theirs), normalize(ours)
    new = {block.name: block.text for block in blocks(ours)}
    body = FRONT.sub("", theirs)
    if not body.strip():  # a repository made with the Hub's form has a licence and no text
        body = "\n" + FRONT.sub("", ours).lstrip("\n")
    found = blocks(body)
    if not found:
        sections = [section_text(name, new[name]) for name in SECTIONS if new.get(name)]
        body = body.rstrip("\n") + "\n" + "".join(f"\n{section}\n" for section in sections)

    def replace(block: Block) -> str:
        text = new.get(block.name, block.text)
        if not text and (same_weights or block.name in KEPT_BLOCKS):
            text = block.text
        return section_text(block.name, text, block.heading)

    return _merged_front(theirs, ours, same_weights) + replace_blocks(body, found, replace)


def same_prose(one: str, other: str) -> bool:
    """Return whether two cards differ only in what `merged` replaces."""

    def heading(block: Block) -> str:
        return "" if block.heading.strip() == SECTIONS.get(block.name) else block.heading

    def prose(card: str) -> list[str]:
        text = FRONT.sub("", normalize(card))
        return replace_blocks(text, blocks(text), heading).split()

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
