"""Draw docs/hero.png: crops of compressed photos, enlarged by bicubic and by bundled models.

    python -m docs.hero [MODEL ...]

MODELs are bundled models, by default the two for degraded photos. The photos are samples of
scikit-image, in full size, saved as JPEG files like those on the web. The crops are at 100 %.
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
from hsr_hub.hub import REAL, bundled_models

HERO = Path(__file__).with_name("hero.png")
QUALITY = 40
WIDTH, HEIGHT = 84, 62
"""Input pixels of a crop."""

CROPS = [("astronaut", 178, 84), ("chelsea", 112, 84)]
"""Name of a sample, and left and top of the crop in input pixels."""

GAP, STRIP = 6, 30


def row(name: str, left: int, top: int, models: list[HSRNet]) -> list[Image.Image]:
    """Return the crop of the enlarged JPEG, by bicubic and by each model."""
    given = through_file(Image.fromarray(sample(name)), "JPEG", QUALITY)
    size = (given.width * SCALE, given.height * SCALE)
    results = [given.resize(size, Image.Resampling.BICUBIC)]
    results += [Image.fromarray(np.asarray(m.upscale(np.asarray(given)))) for m in models]
    x, y = SCALE * left, SCALE * top
    box = (x, y, x + SCALE * WIDTH, y + SCALE * HEIGHT)
    return [image.crop(box) for image in results]


def main() -> None:
    """Write the image."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = [name for name in bundled_models() if name.endswith(REAL)]
    parser.add_argument("models", nargs="*", metavar="MODEL", default=default)
    names = parser.parse_args().models
    models = [HSRNet.from_pretrained(name) for name in names]
    labels = [f"web JPEG (quality {QUALITY}), bicubic", *names]
    width, height = SCALE * WIDTH, SCALE * HEIGHT
    sheet = Image.new(
        "RGB",
        (len(labels) * (width + GAP) - GAP, STRIP + len(CROPS) * (height + GAP) - GAP),
        "white",
    )
    draw = ImageDraw.Draw(sheet)
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"
    font = ImageFont.truetype(str(path), 17)
    for x, label in enumerate(labels):
        draw.text((x * (width + GAP) + 4, 4), label, fill="#1e1b4b", font=font)
    for y, crop in enumerate(CROPS):
        for x, image in enumerate(row(*crop, models)):
            sheet.paste(image, (x * (width + GAP), STRIP + y * (height + GAP)))
    sheet.save(HERO, optimize=True)


if __name__ == "__main__":
    main()
