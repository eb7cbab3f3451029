"""Draw labelled sheets of 24 crops: degraded in a stated way, enlarged by several methods.

    python -m benchmarks.photo_sheet OUT.png [--models NAME_OR_FOLDER ...] [--peer] [--zoom 2]

Writes OUT-1.png to OUT-3.png. A row is a crop, a column is a method: bicubic, Real-ESRGAN with
`--peer`, each of the models, the original. `--models LABEL=FOLDER` sets the name of a column. The
images are samples of scikit-image and scikit-learn that may be shown anywhere, and drawings by
`recipes.graphics_pack`. Degradations are seeded, so that two runs differ by the models alone.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from tqdm.auto import tqdm

from benchmarks.comparison_grid import SCALE, Method, sample
from benchmarks.peers import REAL_ESRGAN, real_esrgan
from benchmarks.quality import by_filter
from hsr_hub import HSRNet
from hsr_hub.inference import best_device
from recipes import graphics_pack
from recipes.graphics_pack import SIDE, Brush, Kind, find_fonts, grey

WIDTH, HEIGHT = 160, 104
"""Pixels of a crop of the original, multiples of the scale."""

CONTEXT = 16
"""Input pixels around a crop that the methods also see."""

PAGES = 3
GAP, STRIP = 6, 20
"""Pixels between crops, and height of a label."""

Source = Callable[[], np.ndarray]
Degradation = Callable[[np.ndarray], np.ndarray]
"""(H,W,3) uint8 to (H/4,W/4,3) uint8."""


def through_file(image: Image.Image, suffix: str, quality: int) -> Image.Image:
    """Return the image as a lossy file of that format keeps it, with colours at half size."""
    buffer = io.BytesIO()
    options = {"subsampling": "4:2:0"} if suffix == "JPEG" else {}
    image.save(buffer, suffix, quality=quality, **options)
    return Image.open(buffer).convert("RGB")


def small(gt: np.ndarray) -> Image.Image:
    """Return the image at a quarter of the size, by antialiased bicubic."""
    image = Image.fromarray(gt)
    size = (image.width // SCALE, image.height // SCALE)
    return image.resize(size, Image.Resampling.BICUBIC)


def clean(gt: np.ndarray) -> np.ndarray:
    """Make the image smaller and nothing else."""
    return np.asarray(small(gt))


def lossy(gt: np.ndarray, quality: int, suffix: str = "JPEG") -> np.ndarray:
    """Make the image smaller and save it in a lossy format."""
    return np.asarray(through_file(small(gt), suffix, quality))


def twice(gt: np.ndarray) -> np.ndarray:
    """Save as JPEG, cut three pixels off, save as JPEG again: two grids of blocks."""
    # The cut is made good afterwards, so that result and original still fit.
    first = np.asarray(through_file(small(gt), "JPEG", 50))
    cut = np.roll(first, (-3, -3), axis=(0, 1))
    second = np.asarray(through_file(Image.fromarray(cut), "JPEG", 75))
    return np.roll(second, (3, 3), axis=(0, 1))


def night(gt: np.ndarray) -> np.ndarray:
    """Take the light away, add sensor noise, save as JPEG of quality 85."""
    dark = np.asarray(small(gt), dtype=np.float32) * 0.6
    noise = np.random.default_rng(0).standard_normal(dark.shape)
    noisy = dark + noise * np.sqrt(25 + dark)
    image = Image.fromarray(noisy.round().clip(0, 255).astype(np.uint8))
    return np.asarray(through_file(image, "JPEG", 85))


def old_scan(gt: np.ndarray) -> np.ndarray:
    """Blur, make smaller, add grain of two sizes, save as JPEG of quality 60."""
    image = Image.fromarray(gt).filter(ImageFilter.GaussianBlur(3))
    values = np.asarray(small(np.asarray(image)), dtype=np.float32)
    rng = np.random.default_rng(0)
    fine = rng.standard_normal(values.shape[:2])
    rough = rng.standard_normal(values.shape[:2])
    rough = (rough + np.roll(rough, 1, axis=0)) / 2
    rough = rough + np.roll(rough, 1, axis=1)
    values += 5 * (fine + rough)[..., None]
    scanned = Image.fromarray(values.round().clip(0, 255).astype(np.uint8))
    return np.asarray(through_file(scanned, "JPEG", 60))


def sharpened(gt: np.ndarray) -> np.ndarray:
    """Make the image smaller, sharpen it until it has halos, save as JPEG of quality 75."""
    image = small(gt).filter(ImageFilter.UnsharpMask(1.5, 150, 0))
    return np.asarray(through_file(image, "JPEG", 75))


def drawing(kind: Kind, seed: int) -> np.ndarray:
    """Return a tile of the graphics pack."""
    return np.asarray(kind(np.random.default_rng(seed), find_fonts()))


def text(size: int, paper: int, ink: int) -> np.ndarray:
    """Return lines of text of that size in pixels, in grey levels."""
    brush = Brush(np.random.default_rng(0), grey(paper), zoom=2)
    font = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    lines = ["River 1,245.90", "Save As… 38 %", "if (x >= 0) {", "Übung, façade"] * 4
    for index, line in enumerate(lines):
        brush.text(8, 6 + index * size * 1.3, line, font, size, grey(ink))
    return np.asarray(brush.tile())


def screen() -> np.ndarray:
    """Return a window with a title bar, a check box, a button and a slanted line."""
    brush = Brush(np.random.default_rng(0), (245, 245, 248), zoom=2)
    font = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    brush.draw.rectangle(brush.box(0, 0, SIDE, 40), fill=(45, 90, 170))
    brush.text(8, 2, "Settings", font, 30, (255, 255, 255))
    brush.draw.rectangle(brush.box(8, 54, 34, 80), outline=(60, 60, 60), width=6)
    brush.draw.line(brush.points([(13, 66), (20, 74), (32, 56)]), fill=(20, 130, 60), width=8)
    brush.draw.rounded_rectangle(brush.box(48, 50, 148, 90), 12, fill=(225, 80, 40))
    brush.text(62, 52, "Save", font, 30, (255, 255, 255))
    brush.draw.line(brush.points([(0, 104), (160, 94)]), fill=(40, 40, 40), width=4)
    return np.asarray(brush.tile())


@dataclass(frozen=True)
class Row:
    """A crop of an image, and how the image is degraded.

    Args:
        label: Text above the row.
        source: Makes the original.
        left: Of the crop, a multiple of the scale.
        top: Of the crop, a multiple of the scale.
        degrade: Makes the input of the methods.
    """

    label: str
    source: Source
    left: int
    top: int
    degrade: Degradation


def photo(name: str) -> Source:
    """Return a source of a sample photo."""
    return partial(sample, name)


def jpeg(quality: int) -> Degradation:
    """Return the degradation by a JPEG file."""
    return partial(lossy, quality=quality)


def webp(quality: int) -> Degradation:
    """Return the degradation by a WebP file."""
    return partial(lossy, quality=quality, suffix="WEBP")


def drawn(kind: Kind, seed: int) -> Source:
    """Return a source of a tile of the graphics pack."""
    return partial(drawing, kind, seed)


ROWS = [
    Row("face, clean", photo("astronaut"), 148, 80, clean),
    Row("face, web JPEG of quality 40", photo("astronaut"), 148, 80, jpeg(40)),
    Row("hair, JPEG of quality 75", photo("astronaut"), 144, 8, jpeg(75)),
    Row("face, old scan: blur, grain, JPEG 60", photo("camera"), 168, 56, old_scan),
    Row("eyes, WebP of quality 40", photo("chelsea"), 116, 76, webp(40)),
    Row("fur, clean", photo("chelsea"), 100, 4, clean),
    Row("fur and whiskers, web JPEG of quality 40", photo("chelsea"), 180, 180, jpeg(40)),
    Row("grass and tripod, clean", photo("camera"), 220, 260, clean),
    Row("leaves, clean", photo("china.jpg"), 328, 316, clean),
    Row("leaves, JPEG of quality 60", photo("china.jpg"), 328, 316, jpeg(60)),
    Row("petals, JPEG 50 and 75 with shifted blocks", photo("flower.jpg"), 228, 160, twice),
    Row("roof and sky, sharpened, JPEG 75", photo("china.jpg"), 136, 20, sharpened),
    Row("brick, clean", photo("brick"), 200, 200, clean),
    Row("brick, web JPEG of quality 40", photo("brick"), 200, 200, jpeg(40)),
    Row("cup and spoon, night: dark, noise, JPEG 85", photo("coffee"), 300, 216, night),
    Row("lights, night: dark, noise, JPEG 85", photo("rocket"), 80, 316, night),
    Row("coins, old scan: blur, grain, JPEG 60", photo("coins"), 140, 120, old_scan),
    Row("page of a book, clean", photo("page"), 0, 40, clean),
    Row("drawn text, clean", partial(text, 32, 255, 20), 0, 0, clean),
    Row("drawn text, JPEG of quality 50", partial(text, 32, 255, 20), 0, 0, jpeg(50)),
    Row("light text on dark, JPEG 50", partial(text, 44, 30, 220), 0, 0, jpeg(50)),
    Row("screenshot, JPEG of quality 70", screen, 0, 0, jpeg(70)),
    Row("line art, clean", drawn(graphics_pack.line_art, 3), 160, 160, clean),
    Row("edges on a gradient, JPEG 40", drawn(graphics_pack.shapes, 8), 240, 140, jpeg(40)),
]


def by_model(model: str) -> Method:
    """Return the enlargement by a bundled model, a folder or a repository."""
    net = HSRNet.from_pretrained(model).eval().to(best_device())
    return lambda lq, factor: np.asarray(net.upscale(lq, scale=factor))


def column_name(model: str) -> tuple[str, str]:
    """Return label and model of an argument, `LABEL=MODEL` or a model alone."""
    label, separator, path = model.partition("=")
    if separator:
        return label, path
    return "/".join(Path(model).parts[-2:]), model


@cache
def label_font() -> ImageFont.FreeTypeFont:
    """Return the font of the labels."""
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), 13)


def crops(row: Row, methods: list[Method]) -> list[np.ndarray]:
    """Return the crop by every method, then of the original; (104,160,3) uint8 each."""
    gt = row.source()
    height, width = (side // SCALE * SCALE for side in gt.shape[:2])
    if row.left + WIDTH > width or row.top + HEIGHT > height:
        raise ValueError(f"the crop of {row.label!r} is outside its image of {width}x{height}")
    gt = gt[:height, :width]
    lq = row.degrade(gt)
    left, top = max(0, row.left // SCALE - CONTEXT), max(0, row.top // SCALE - CONTEXT)
    right = (row.left + WIDTH) // SCALE + CONTEXT
    bottom = (row.top + HEIGHT) // SCALE + CONTEXT
    lq = np.ascontiguousarray(lq[top:bottom, left:right])
    x, y = row.left - left * SCALE, row.top - top * SCALE
    results = [method(lq, SCALE)[y : y + HEIGHT, x : x + WIDTH] for method in methods]
    return [*results, gt[row.top : row.top + HEIGHT, row.left : row.left + WIDTH]]


def page(rows: list[tuple[str, list[np.ndarray]]], columns: list[str], zoom: int) -> Image.Image:
    """Return a sheet: the columns' names, then a label and the crops of each row."""
    width, height = WIDTH * zoom, HEIGHT * zoom
    size = (len(columns) * (width + GAP) - GAP, STRIP + len(rows) * (STRIP + height))
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    for index, name in enumerate(columns):
        draw.text((index * (width + GAP) + 2, 2), name, fill="#b00020", font=label_font())
    for number, (label, parts) in enumerate(rows):
        top = STRIP + number * (STRIP + height)
        draw.text((2, top + 2), label, fill="black", font=label_font())
        for index, part in enumerate(parts):
            shown = Image.fromarray(part).resize((width, height), Image.Resampling.NEAREST)
            image.paste(shown, (index * (width + GAP), top + STRIP))
    return image


def main() -> None:
    """Write the pages."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--models", nargs="*", default=["hsr-lite-x4-real"])
    parser.add_argument("--peer", action="store_true", help=f"add a column of {REAL_ESRGAN}")
    parser.add_argument("--zoom", type=int, default=2, help="screen pixels per pixel")
    args = parser.parse_args()
    methods: dict[str, Method] = {"bicubic": partial(by_filter, Image.Resampling.BICUBIC)}
    if args.peer:
        peer = real_esrgan()
        methods[REAL_ESRGAN] = lambda lq, factor: peer.upscale(lq, scale=factor)
    for model in args.models:
        label, source = column_name(model)
        methods[label] = by_model(source)
    rows = [(row.label, crops(row, list(methods.values()))) for row in tqdm(ROWS, desc="crops")]
    per_page = -(-len(rows) // PAGES)
    for number in range(PAGES):
        shown = rows[number * per_page : (number + 1) * per_page]
        path = args.out.with_name(f"{args.out.stem}-{number + 1}.png")
        page(shown, [*methods, "original"], args.zoom).save(path, optimize=True)
        print(path)


if __name__ == "__main__":
    main()
