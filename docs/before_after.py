"""Make docs/before-after.png: crops of the examples, by bicubic and by a bundled model.

python -m docs.before_after
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from hsr_hub import HSRNet

ROOT = Path(__file__).resolve().parents[1]
CROPS = [
    ("cat", (75, 35, 185, 115)),
    ("astronaut", (70, 10, 180, 90)),
    ("coffee", (120, 60, 230, 140)),
]
GAP = 8


def main() -> None:
    """Draw a row per image: bicubic, then ours."""
    model = HSRNet.from_pretrained("hsr-lite-x4")
    rows = []
    for name, box in CROPS:
        with Image.open(ROOT / "examples" / f"{name}.png") as image:
            small = image.convert("RGB")
        size = (small.width * 4, small.height * 4)
        enlarged = [small.resize(size, Image.Resampling.BICUBIC), model.upscale(small)]
        rows.append([image.crop(tuple(4 * side for side in box)) for image in enlarged])
    width, height = rows[0][0].size
    sheet = Image.new("RGB", (2 * width + GAP, len(rows) * (height + GAP) - GAP), "white")
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            sheet.paste(image, (x * (width + GAP), y * (height + GAP)))
    sheet.save(ROOT / "docs" / "before-after.png", optimize=True)


if __name__ == "__main__":
    main()
