"""Draw docs/hero.png: crops of compressed photos, by bicubic and by a bundled model.

    python -m docs.hero [MODEL]

MODEL is a bundled model, by default the one that the page chooses on a CPU. The photos are samples
of scikit-image, in full size, saved as JPEG files like those on the web. The crops are at 100 %.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.comparison_grid import SCALE, sample
from benchmarks.photo_sheet import through_file
from hsr_hub import HSRNet
from hsr_hub.hub import DEFAULT_MODEL, REAL

HERO = Path(__file__).with_name("hero.png")
QUALITY = 40
WIDTH, HEIGHT = 84, 62
"""Input pixels of a crop."""

CROPS = [("astronaut", 178, 84), ("chelsea", 112, 84)]
"""Name of a sample, and left and top of the crop in input pixels."""

GAP, STRIP = 6, 30


def row(name: str, left: int, top: int, model: HSRNet) -> list[Image.Image]:
    """Return the crop of the JPEG with visible pixels, by bicubic and by the model."""
    given = through_file(Image.fromarray(sample(name)), "JPEG", QUALITY)
    size = (given.width * SCALE, given.height * SCALE)
    results = [
        given.resize(size, Image.Resampling.NEAREST),
        given.resize(size, Image.Resampling.BICUBIC),
        Image.fromarray(np.asarray(model.upscale(np.asarray(given)))),
    ]
    x, y = SCALE * left, SCALE * top
    box = (x, y, x + SCALE * WIDTH, y + SCALE * HEIGHT)
    return [image.crop(box) for image in results]


def main() -> None:
    """Write the image."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default=DEFAULT_MODEL + REAL)
    name = parser.parse_args().model
    model = HSRNet.from_pretrained(name)
    labels = [f"web JPEG, quality {QUALITY}", "enlarged 4x: bicubic", f"enlarged 4x: {name}"]
    width, height = SCALE * WIDTH, SCALE * HEIGHT
    sheet = Image.new(
        "RGB", (3 * (width + GAP) - GAP, STRIP + len(CROPS) * (height + GAP) - GAP), "white"
    )
    draw = ImageDraw.Draw(sheet)
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"
    font = ImageFont.truetype(str(path), 17)
    for x, label in enumerate(labels):
        draw.text((x * (width + GAP) + 4, 4), label, fill="#1e1b4b", font=font)
    for y, crop in enumerate(CROPS):
        for x, image in enumerate(row(*crop, model)):
            sheet.paste(image, (x * (width + GAP), STRIP + y * (height + GAP)))
    sheet.save(HERO, optimize=True)


if __name__ == "__main__":
    main()
