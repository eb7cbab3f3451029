"""Make the degraded examples, and the finished results on the first screen of the page.

    python -m docs.showcase

Needs no other files than the clean examples and the bundled weights. The results are the same on
every CPU up to rounding.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from hsr_hub import HSRNet
from hsr_hub.hub import GPU_MODEL, bundled_models, model_for
from hsr_hub.webapp.templates import SHOWCASE
from tests.util import ROOT

EXAMPLES = ROOT / "examples"
SIZE = (480, 400)
"""Size of an image on the first screen."""
CROPS = {"web-photo.jpg": (40, 8, 184, 128), "old-photo.jpg": (118, 0, 256, 115)}
"""Part of each example that is shown."""


def web_photo() -> Image.Image:
    """Return an image as many web pages have it: small, and compressed much."""
    with Image.open(EXAMPLES / "cat.png") as image:
        return image.convert("RGB")


def old_photo() -> Image.Image:
    """Return a scan of an old print: soft, brownish and grainy."""
    with Image.open(EXAMPLES / "astronaut.png") as image:
        grey = image.convert("L").filter(ImageFilter.GaussianBlur(0.7))
    values = np.asarray(grey, dtype=np.float32)[..., None] * np.array([1.0, 0.93, 0.8]) * 0.9 + 12
    noise = np.random.default_rng(0).normal(0, 7, (*values.shape[:2], 1))
    return Image.fromarray((values + noise).clip(0, 255).astype(np.uint8))


def main() -> None:
    """Write the examples and the images of the first screen."""
    SHOWCASE.mkdir(exist_ok=True)
    model = HSRNet.from_pretrained(model_for("photo", bundled_models(), GPU_MODEL))
    web_photo().save(EXAMPLES / "web-photo.jpg", quality=32)
    old_photo().save(EXAMPLES / "old-photo.jpg", quality=75)
    for name, box in CROPS.items():
        with Image.open(EXAMPLES / name) as image:
            before = image.convert("RGB")
        after = model.upscale(before)
        after = after.crop(tuple(4 * side for side in box)).resize(SIZE, Image.Resampling.LANCZOS)
        shown = before.crop(box).resize(SIZE, Image.Resampling.BICUBIC)
        middle = SIZE[0] // 2
        shown.paste(after.crop((middle, 0, *SIZE)), (middle, 0))
        ImageDraw.Draw(shown).line((middle, 0, middle, SIZE[1]), fill="white", width=2)
        shown.save(SHOWCASE / name, quality=85)


if __name__ == "__main__":
    main()
