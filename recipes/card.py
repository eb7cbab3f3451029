"""Write the card of a shipped set, and its comparison picture.

    python recipes/card.py hsr-lite-x4

From `recipes/NAME/figures.json` (by measure.py), `training.md`, `train.sh` and ATTRIBUTION.md to
`hsr_hub/weights/NAME/README.md` and `sample.png`. The card stands alone: on the Hub there is no
recipes/ beside it. The picture is made of the examples, whose licences allow that.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from hsr_hub import HSRNet
from hsr_hub.checkpoint import SHIPPED
from hsr_hub.model_card import model_card, read_figures

CROPS = [
    ("cat", (60, 30, 156, 102)),
    ("astronaut", (80, 5, 176, 77)),
    ("coffee", (130, 50, 226, 122)),
]
"""Examples, and the part of each that is shown: (left, top, right, bottom)."""

SHOWN = 2
"""Screen pixels by picture pixel."""


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
        f"{credits(attribution)}\n\n"
        f"**Recipe**, in a checkout of hsr-hub (`recipes/{name}/train.sh`):\n\n"
        f"```bash\n{command.strip()}\n```"
    )


def card_text(name: str) -> str:
    """The card of a shipped set."""
    card = model_card(
        HSRNet.from_pretrained(name),
        name=name,
        figures=read_figures(ROOT / "recipes" / name / "figures.json"),
        training=training_text(name),
        degradation="real" if name.endswith("-real") else "bicubic",
        sample=True,
    )
    return f"{card}\n"


def sample_picture(name: str) -> Image.Image:
    """One row per example: low resolution, bicubic, the result, the original."""
    model = HSRNet.from_pretrained(name)
    rows = []
    for example, box in CROPS:
        with Image.open(ROOT / "examples" / f"{example}.png") as image:
            gt = image.convert("RGB")
        width, height = (side // model.scale for side in gt.size)
        gt = gt.crop((0, 0, width * model.scale, height * model.scale))
        lq = gt.resize((width, height), Image.Resampling.BICUBIC)
        shown = (
            lq.resize(gt.size, Image.Resampling.NEAREST),
            lq.resize(gt.size, Image.Resampling.BICUBIC),
            model.upscale(lq, dtype="float32"),
            gt,
        )
        size = (SHOWN * (box[2] - box[0]), SHOWN * (box[3] - box[1]))
        crops = (picture.crop(box) for picture in shown)
        rows.append([crop.resize(size, Image.Resampling.NEAREST) for crop in crops])
    width, height = rows[0][0].size
    sheet = Image.new("RGB", (4 * width, len(rows) * height))
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            sheet.paste(picture, (x * width, y * height))
    return sheet


def main(name: str) -> None:
    """Write both files."""
    (SHIPPED / name / "README.md").write_text(card_text(name), encoding="utf-8")
    sample_picture(name).save(SHIPPED / name / "sample.png", optimize=True)


if __name__ == "__main__":
    main(sys.argv[1])
