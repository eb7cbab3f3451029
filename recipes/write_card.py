"""Write the card of a shipped set, and its pictures: comparison and training curves.

    python recipes/write_card.py hsr-lite-x4

From `recipes/NAME/figures.json` (by measure.py), `training.md`, `train.sh`, `log.jsonl` and
ATTRIBUTION.md to `hsr_hub/weights/NAME/`: `README.md`, `sample.png`, `training-curve.png`. The card
stands alone: on the Hub there is no recipes/ beside it.
"""

from __future__ import annotations

import re
import sys
from functools import partial
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import common
from benchmarks.comparison_grid import CREDIT, Method, sheet
from benchmarks.quality import by_filter, by_network
from hsr_hub import HSRNet
from hsr_hub.hub import BUNDLED, DETAIL, model_card, read_metrics
from recipes import plot_log

CURVE = "training-curve.png"
REAL = "-real"
"""What a set for people's pictures is called after the one for clean pictures."""


def credits(attribution: str) -> str:
    """ATTRIBUTION.md as Markdown for a card: a table, and the full list folded away."""
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
    """What the set was trained on and how, with credits and the command."""
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


def shown(name: str) -> dict[str, Method]:
    """The columns of the card's picture before the original, by what the caption calls them."""
    mine, title = common.load(name), f"`{name}`"
    columns: dict[str, Method] = {"bicubic": partial(by_filter, Image.Resampling.BICUBIC)}
    twin = re.sub(f"{DETAIL}$|{REAL}$", "", name)
    if twin != name:
        columns[f"`{twin}`"] = partial(by_network, common.load(twin))
    if name.endswith(DETAIL):
        columns["both mixed at strength 0.5"] = partial(by_network, common.load(twin, 0.5))
    return columns | {title: partial(by_network, mine)}


def card_text(name: str) -> str:
    """The card of a shipped set."""
    real = name.endswith(REAL)
    made = "scaled down four times" + real * ", with blur, noise and JPEG artefacts"
    card = model_card(
        HSRNet.from_pretrained(name),
        name=name,
        metrics=read_metrics(ROOT / "recipes" / name / "figures.json"),
        training=training_text(name),
        degradation="real" if real else "bicubic",
        sample=True,
        columns=f"{', '.join(shown(name))}, the original. Pictures {made}; {CREDIT}",
    )
    return f"{card}\n"


def main(name: str) -> None:
    """Write all three files."""
    folder = BUNDLED / name
    (folder / "README.md").write_text(card_text(name), encoding="utf-8")
    plot_log.main(ROOT / "recipes" / name / "log.jsonl", folder / CURVE)
    picture = sheet(list(shown(name).values()), degraded=name.endswith(REAL))
    picture.save(folder / "sample.png", optimize=True)


if __name__ == "__main__":
    main(sys.argv[1])
