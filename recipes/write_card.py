"""Write the cards of bundled models, and their images: comparison and training curves.

    python -m recipes.write_card hsr-lite-x4 ... [--text]

Reads `metrics.json` (by measure.py), `training.md`, `log.jsonl` and, if there is one, `card.json`
in `recipes/NAME/`, and the speed in `benchmarks/results/speed.json`. `card.json` has the keys
`purpose`, `base_model` and `base_model_relation` (see `hsr_hub.hub.model_card`). Writes
`README.md`, `ATTRIBUTION.md`, `sample.png` and `training-curve.png` into `hsr_hub/weights/NAME/`;
with `--text` only the first two. A new model needs these files and no change here.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
from functools import partial
from typing import Any

from PIL import Image

from benchmarks import common
from benchmarks.common import RESULTS, ROOT
from benchmarks.comparison_grid import CREDIT, Method, comparison_grid
from benchmarks.quality import by_filter, by_network
from benchmarks.speed import UPSCALE
from hsr_hub import HSRNet
from hsr_hub.hub import (
    ATTRIBUTION_NAME,
    BUNDLED,
    CARD_NAME,
    DETAIL,
    ORGANIZATION,
    REPOSITORY,
    bundled_models,
    model_card,
    read_metrics,
)
from recipes import plot_log

CURVE = "training-curve.png"
HUB = f"https://huggingface.co/{ORGANIZATION}"
REAL = "-real"
"""Suffix of the name of a model for degraded images."""


def card_facts(name: str) -> dict[str, Any]:
    """Return what `card.json` says: purpose, base models and their relation.

    Names of other bundled models become Hub ids, and in the purpose links.
    """
    path = ROOT / "recipes" / name / "card.json"
    facts = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    others = set(bundled_models()) - {name}
    if "purpose" in facts:
        facts["purpose"] = re.sub(
            r"`([^`]+)`",
            lambda match: f"[{match[0]}]({HUB}/{match[1]})" if match[1] in others else match[0],
            facts["purpose"],
        )
    facts["base_model"] = [
        f"{ORGANIZATION}/{base}" if base in others else base for base in facts.get("base_model", [])
    ]
    return facts


def training_text(name: str) -> str:
    """Return the text on the training, with its curves and a link to the recipe."""
    recipe = ROOT / "recipes" / name
    curve = f"![training curves]({CURVE})\n\n" if (recipe / "log.jsonl").is_file() else ""
    return (
        f"{(recipe / 'training.md').read_text(encoding='utf-8').strip()}\n\n{curve}"
        f"The commands and the log: "
        f"[recipes/{name}]({REPOSITORY}/tree/main/recipes/{name})."
    )


def speed_text(name: str) -> str:
    """Return the seconds per megapixel on each measured machine, or nothing."""
    results = json.loads((RESULTS / "speed.json").read_text(encoding="utf-8"))
    environment = results["environment"]
    fastest: dict[str, dict[str, Any]] = {}
    for row in results["rows"]:  # a detail model has the shape of its faithful model
        if row["name"] == name.removesuffix(DETAIL) and row["way"].startswith(UPSCALE):
            best = fastest.setdefault(row["device"], row)
            if row["seconds"] < best["seconds"]:
                fastest[row["device"]] = row
    sentences = []
    for device, row in fastest.items():
        on = f"{environment['cpu']}, {environment['cores']} cores"
        machine = on if device == "cpu" else environment["gpu"]
        seconds = f"{row['seconds_per_megapixel']:.2g}"
        sentences.append(f"{seconds} s per megapixel of the result on {machine} ({row['dtype']}).")
    return "Speed: " + " ".join(sentences) if sentences else ""


def columns_of(name: str) -> dict[str, Method]:
    """Return the methods of the columns before the original, by their names in the caption."""
    mine, title = common.load(name), f"`{name}`"
    columns: dict[str, Method] = {"bicubic": partial(by_filter, Image.Resampling.BICUBIC)}
    clean = re.sub(f"{DETAIL}$|{REAL}$", "", name)
    if clean != name:
        columns[f"`{clean}`"] = partial(by_network, common.load(clean))
    if name.endswith(DETAIL):
        columns["both mixed at strength 0.5"] = partial(by_network, common.load(clean, 0.5))
    return columns | {title: partial(by_network, mine)}


def card_text(name: str) -> str:
    """Return the card of a bundled model."""
    real = name.endswith(REAL)
    made = "scaled down four times" + real * ", with blur, noise and JPEG artefacts"
    card = model_card(
        HSRNet.from_pretrained(name),
        name=name,
        metrics=read_metrics(ROOT / "recipes" / name / "metrics.json"),
        training=training_text(name),
        degradation="real" if real else "bicubic",
        sample=True,
        columns=f"{', '.join(columns_of(name))}, the original. Images {made}; {CREDIT}",
        metrics_note=speed_text(name),
        **card_facts(name),
    )
    return f"{card}\n"


def write(name: str, images: bool = True) -> None:
    """Write the card of a bundled model, with its images or without."""
    folder = BUNDLED / name
    text = card_text(name)
    (folder / CARD_NAME).write_text(text, encoding="utf-8")
    if f"({ATTRIBUTION_NAME})" in text:
        shutil.copyfile(ROOT / "recipes" / ATTRIBUTION_NAME, folder / ATTRIBUTION_NAME)
    if not images:
        return
    plot_log.plot(ROOT / "recipes" / name / "log.jsonl", folder / CURVE)
    grid = comparison_grid(list(columns_of(name).values()), degraded=name.endswith(REAL))
    grid.save(folder / "sample.png", optimize=True)


def main() -> None:
    """Write the cards of the models of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="+", metavar="NAME", help="bundled model")
    parser.add_argument(
        "--text", action="store_true", help="write README.md and ATTRIBUTION.md only"
    )
    args = parser.parse_args()
    for name in args.names:
        write(name, images=not args.text)


if __name__ == "__main__":
    main()
