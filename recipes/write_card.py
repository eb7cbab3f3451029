"""Write the cards of bundled models, and their images: comparison and training curves.

    python -m recipes.write_card hsr-lite-x4 ... [--text]

Reads `recipes/NAME/metrics.json` (by measure.py), `training.md`, `train.sh`, `log.jsonl` and
ATTRIBUTION.md. Writes `README.md`, `sample.png` and `training-curve.png` into
`hsr_hub/weights/NAME/`; with `--text` only the first. The card is self-contained, because a
repository on the Hub has no recipes/.
"""

from __future__ import annotations

import argparse
import re
from functools import partial

from PIL import Image

from benchmarks import common
from benchmarks.common import ROOT
from benchmarks.comparison_grid import CREDIT, Method, comparison_grid
from benchmarks.quality import by_filter, by_network
from hsr_hub import HSRNet
from hsr_hub.hub import BUNDLED, DETAIL, model_card, read_metrics
from recipes import plot_log

CURVE = "training-curve.png"
REAL = "-real"
"""Suffix of the name of a model for degraded images."""


def credits(attribution: str) -> str:
    """Return ATTRIBUTION.md as Markdown for a card: a table, and the full list folded away."""
    found = re.findall(
        r"^## (.+)\n\n(.+); (\d+) photographs:\n\n(.+)$", attribution, flags=re.MULTILINE
    )
    rows = sorted(found, key=lambda row: (-int(row[2]), row[0]))
    lines = ["| collection | photographs | licence, as the collection states it |", "|---|---|---|"]
    lines += [f"| {name} | {count} | {licence} |" for name, licence, count, _ in rows]
    names = "\n\n".join(f"**{name}**: {names}" for name, _, _, names in rows)
    title = "Every photograph, by the name that its collection gives it"
    table = "\n".join(lines)
    return f"{table}\n\n<details><summary>{title}</summary>\n\n{names}\n\n</details>"


def training_text(name: str) -> str:
    """Return the text on the training, with curves, credits and the command."""
    recipe = ROOT / "recipes" / name
    command = (recipe / "train.sh").read_text().partition("set -euo pipefail\n")[2]
    attribution = (ROOT / "recipes" / "ATTRIBUTION.md").read_text(encoding="utf-8")
    return (
        f"{(recipe / 'training.md').read_text().strip()}\n\n"
        f"![the training's curves]({CURVE})\n\n"
        f"{credits(attribution)}\n\n"
        f"**Recipe**, in a checkout of hsr-hub (`recipes/{name}/train.sh`):\n\n"
        f"```bash\n{command.strip()}\n```"
    )


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
        columns=f"{', '.join(columns_of(name))}, the original. Pictures {made}; {CREDIT}",
    )
    return f"{card}\n"


def write(name: str, images: bool = True) -> None:
    """Write the card of a bundled model, with its images or without."""
    folder = BUNDLED / name
    (folder / "README.md").write_text(card_text(name), encoding="utf-8")
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
    parser.add_argument("--text", action="store_true", help="write README.md only")
    args = parser.parse_args()
    for name in args.names:
        write(name, images=not args.text)


if __name__ == "__main__":
    main()
