"""Draw the page's icon, and the picture that other sites show for a link to the page.

    python -m docs.page_icons

Needs no other files than the examples and the bundled weights.
"""

from __future__ import annotations

from PIL import Image, ImageDraw

from hsr_hub import HSRNet
from hsr_hub.hub import GPU_MODEL, bundled_models, model_for
from hsr_hub.webapp.page_files import ICONS
from tests.util import ROOT

UNITS = 64
"""Side of the icon in the units of the shapes below."""
BACKGROUND, COARSE, FINE = "#4338ca", "#a5b4fc", "#ffffff"
CIRCLE = (14, 14, 50, 50)
"""Left half as blocks, right half smooth."""
BLOCK = 6
"""Side of a block. The circle is three blocks wide on each side of the middle."""

PREVIEW_SIZE = (1200, 630)
CROP = (20, 4, 205, 101)
"""Part of the example that is shown, in the proportions of `PREVIEW_SIZE`."""


def blocks() -> list[tuple[int, int]]:
    """Return the upper left corners of the blocks whose centres are inside the circle."""
    middle, radius = UNITS / 2, (CIRCLE[2] - CIRCLE[0]) / 2
    corners = [
        (x, y)
        for x in range(CIRCLE[0], UNITS // 2, BLOCK)
        for y in range(CIRCLE[1], CIRCLE[3], BLOCK)
    ]
    half = BLOCK / 2
    return [
        (x, y)
        for x, y in corners
        if (x + half - middle) ** 2 + (y + half - middle) ** 2 < radius**2
    ]


def icon_svg() -> str:
    """Return the icon as SVG. Its middle four fifths are inside any mask."""
    squares = "".join(
        f'<rect x="{x}" y="{y}" width="{BLOCK}" height="{BLOCK}"/>' for x, y in blocks()
    )
    middle, radius = UNITS // 2, (CIRCLE[2] - CIRCLE[0]) // 2
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {UNITS} {UNITS}">'
        f'<rect width="{UNITS}" height="{UNITS}" fill="{BACKGROUND}"/>'
        f'<g fill="{COARSE}">{squares}</g>'
        f'<path d="M{middle} {CIRCLE[1]}a{radius} {radius} 0 0 1 0 {2 * radius}z" fill="{FINE}"/>'
        "</svg>\n"
    )


def icon(side: int) -> Image.Image:
    """Return the icon as an image."""
    scale = 32
    image = Image.new("RGB", (UNITS * scale, UNITS * scale), BACKGROUND)
    draw = ImageDraw.Draw(image)
    draw.pieslice([scale * edge for edge in CIRCLE], -90, 90, fill=FINE)
    for x, y in blocks():
        corners = (x * scale, y * scale, (x + BLOCK) * scale - 1, (y + BLOCK) * scale - 1)
        draw.rectangle(corners, fill=COARSE)
    return image.resize((side, side), Image.Resampling.LANCZOS)


def preview() -> Image.Image:
    """Return before, on the left, and after, on the right, of the web photo."""
    with Image.open(ROOT / "examples" / "web-photo.jpg") as image:
        before = image.convert("RGB")
    model = HSRNet.from_pretrained(model_for("photo", bundled_models(), GPU_MODEL))
    after = model.upscale(before, scale=8)
    shown = before.resize(after.size, Image.Resampling.NEAREST)
    middle = 4 * (CROP[0] + CROP[2])
    shown.paste(after.crop((middle, 0, *after.size)), (middle, 0))
    left, top, right, bottom = (8 * edge for edge in CROP)
    shown = shown.crop((left, top, right, bottom))
    shown = shown.resize(PREVIEW_SIZE, Image.Resampling.LANCZOS)
    middle = PREVIEW_SIZE[0] // 2
    ImageDraw.Draw(shown).line((middle, 0, middle, PREVIEW_SIZE[1]), fill="white", width=4)
    return shown


def main() -> None:
    """Write all files."""
    ICONS.mkdir(exist_ok=True)
    (ICONS / "icon.svg").write_text(icon_svg(), encoding="utf-8")
    for side in (192, 512):
        icon(side).save(ICONS / f"icon-{side}.png", optimize=True)
    preview().save(ICONS / "preview.jpg", quality=85)


if __name__ == "__main__":
    main()
