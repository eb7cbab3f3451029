"""Make training tiles of what photo packs lack: text, screens, charts, line art, hard edges.

    python -m recipes.graphics_pack OUT [--count 240] [--seed 0]

Writes OUT/graphics-NNNN-KIND.png, 480x480, lossless. Everything is drawn here, from a seed: the
same fonts give the same tiles. Fonts are matplotlib's DejaVu and those under /usr/share/fonts; more
fonts (Debian: fonts-noto-core, fonts-liberation, fonts-freefont-ttf) give more scripts and shapes.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont, features

SIDE = 480
SMALLEST, LARGEST = 8, 90
"""Sizes of type in pixels."""

SCRIPTS = {
    "latin": "the quick river runs below seven old stone bridges Where Light and Water Meet "
    "Order 1,245.90 on 17 March 2024 (page 38) Settings Übung façade niño señal łódź příliš žluť "
    "Cancel Save As… 100% https://example.org/index?id=42 if (x >= 0) return y[i] + 1; & @home #7",
    "cyrillic": "Быстрая река течёт под старым мостом Настройки Сохранить файл № 38 завтра утром "
    "съешь ещё этих мягких булок Щедрый вечір їжак ґанок",
    "greek": "Ένας γρήγορος ποταμός κυλά κάτω από τη γέφυρα Ρυθμίσεις Αποθήκευση ψυχή ξύλο φως",
    "armenian": "գետը հոսում է հին կամրջի տակ Բարև աշխարհ գիրք քաղաք",
    "georgian": "მდინარე ძველი ხიდის ქვეშ მიედინება გამარჯობა ქალაქი წიგნი",
    "hebrew": "הנהר זורם מתחת לגשר הישן שלום עולם ספר עיר",
    "arabic": "النهر يجري تحت الجسر القديم مرحبا بالعالم كتاب مدينة",
    "devanagari": "नदी पुराने पुल के नीचे बहती है नमस्ते दुनिया किताब शहर",
    "bengali": "নদী পুরানো সেতুর নিচে বয়ে যায় বই শহর",
    "tamil": "ஆறு பழைய பாலத்தின் கீழ் ஓடுகிறது வணக்கம் உலகம்",
    "thai": "แม่น้ำไหลอยู่ใต้ สะพานเก่า สวัสดี ชาวโลก หนังสือ",
    "ethiopic": "ሰላም ለዓለም መጽሐፍ ከተማ ወንዝ ድልድይ",
    "east asian": "河流在旧桥下流过 川は古い橋の下を流れる 강은 오래된 다리 아래로 흐른다",
}
"""Words to draw, by script; a font is used for a script when it has all its characters."""

COMMON = {"latin": 0.5, "cyrillic": 0.15, "greek": 0.08}
"""Shares of the most common scripts; the others that have a font share the rest."""

SHAPED = {"arabic", "devanagari", "bengali", "tamil", "thai"}
"""Scripts that are only right with a layout engine, which not every Pillow has."""

Colour = tuple[int, int, int]
Fonts = dict[str, list[Path]]
Kind = Callable[[np.random.Generator, Fonts], Image.Image]


@cache
def find_fonts() -> Fonts:
    """Return the font files that were found, by script."""
    folders = [Path(matplotlib.get_data_path()) / "fonts" / "ttf", Path("/usr/share/fonts")]
    files = sorted(folders[0].glob("DejaVu*.ttf"))
    files += sorted(p for p in folders[1].rglob("*") if p.suffix.lower() in {".ttf", ".otf"})
    fonts: Fonts = {}
    for path in files:
        try:
            known = set(FT2Font(str(path)).get_charmap())
        except RuntimeError:  # not a font that FreeType reads
            continue
        for script, text in SCRIPTS.items():
            if script in SHAPED and not features.check("raqm"):
                continue
            if {ord(character) for character in text} <= known:
                fonts.setdefault(script, []).append(path)
    return fonts


class Brush:
    """Draws on a canvas in coordinates of the tile, whatever the canvas is enlarged by.

    Args:
        rng: Source of every choice.
        paper: Colour to begin with.
        zoom: 2 draws at twice the size and scales down, for smooth edges; 1 leaves steps.
    """

    def __init__(self, rng: np.random.Generator, paper: Colour, zoom: int) -> None:
        self.rng = rng
        self.zoom = zoom
        self.image = Image.new("RGB", (SIDE * zoom, SIDE * zoom), paper)
        self.draw = ImageDraw.Draw(self.image)

    def points(self, points: object) -> list[tuple[float, float]]:
        """Return (N,2) coordinates of the tile as those of the canvas."""
        return [(float(x), float(y)) for x, y in np.asarray(points) * self.zoom]

    def box(self, left: float, top: float, right: float, bottom: float) -> list[int]:
        """Return a box on whole pixels of the tile, which keeps straight edges sharp."""
        z = self.zoom
        left, top = round(left), round(top)
        right, bottom = max(left + 1, round(right)), max(top + 1, round(bottom))
        return [left * z, top * z, right * z - 1, bottom * z - 1]

    def text(
        self, x: float, y: float, words: str, path: Path, size: float, colour: Colour
    ) -> float:
        """Draw a line of text and return its width."""
        font = ImageFont.truetype(str(path), round(size * self.zoom))
        at = (round(x) * self.zoom, round(y) * self.zoom)
        self.draw.text(at, words, fill=colour, font=font)
        return self.draw.textlength(words, font=font) / self.zoom

    def tile(self) -> Image.Image:
        """Return the finished tile."""
        if self.zoom == 1:
            return self.image
        return self.image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def two_colours(rng: np.random.Generator) -> tuple[Colour, Colour]:
    """Return paper and ink that can be told apart: dark on light, light on dark, or coloured."""
    kind = rng.random()
    if kind < 0.4:  # documents
        paper, ink = grey(int(rng.integers(235, 256))), grey(int(rng.integers(0, 60)))
    else:
        values = rng.integers(0, 256, (2, 3))
        while contrast(values[0], values[1]) < 90:
            values = rng.integers(0, 256, (2, 3))
        if kind < 0.7:  # pale paper, dark ink
            values = np.array([191 + values[0] // 4, values[1] // 2])
        paper, ink = colour(values[0]), colour(values[1])
    return (ink, paper) if rng.random() < 0.3 else (paper, ink)


def contrast(one: Sequence[int] | np.ndarray, other: Sequence[int] | np.ndarray) -> float:
    """Return the difference in brightness of two colours, of 255."""
    return abs(float((np.array(one) - np.array(other)) @ np.array([0.3, 0.6, 0.1])))


def grey(value: int) -> Colour:
    """Return a grey, white or black."""
    return colour([value] * 3)


def colour(values: Sequence[int] | np.ndarray) -> Colour:
    """Return three values as Pillow wants a colour."""
    red, green, blue = (int(value) for value in values)
    return red, green, blue


def any_colour(rng: np.random.Generator) -> Colour:
    """Return any colour."""
    return colour(rng.integers(0, 256, 3))


def readable_on(paper: Colour) -> Colour:
    """Return black or white, whichever can be read on that colour."""
    return grey(0 if contrast(paper, grey(0)) > 127 else 255)


def type_size(rng: np.random.Generator, largest: float = LARGEST) -> float:
    """Return a size of type: small ones are as common as they are on screens."""
    return SMALLEST * (largest / SMALLEST) ** rng.random() ** 1.3


def face(rng: np.random.Generator, fonts: Fonts) -> tuple[str, Path]:
    """Return a script, and a font that has it."""
    rare = [script for script in fonts if script not in COMMON]
    shares = {script: share for script, share in COMMON.items() if script in fonts}
    shares |= {script: (1 - sum(COMMON.values())) / len(rare) for script in rare}
    total = sum(shares.values())
    script = str(rng.choice(list(shares), p=[share / total for share in shares.values()]))
    return script, fonts[script][rng.integers(len(fonts[script]))]


def words(rng: np.random.Generator, script: str, count: int) -> str:
    """Return some words of a script."""
    known = SCRIPTS[script].split()
    return " ".join(known[index] for index in rng.integers(0, len(known), count))


def text_page(rng: np.random.Generator, fonts: Fonts) -> Image.Image:
    """Return paragraphs and headings in several sizes and scripts, sometimes a little turned."""
    paper, ink = two_colours(rng)
    # Without enlargement a letter is what a screen shows, fitted to the grid of pixels.
    brush = Brush(rng, paper, zoom=1 if rng.random() < 0.4 else 2)
    y = rng.uniform(-10, 20)
    while y < SIDE:
        size = type_size(rng)
        other = any_colour(rng)
        ink_now = other if rng.random() < 0.3 and contrast(other, paper) > 60 else ink
        script, path = face(rng, fonts)
        left = rng.uniform(-10, 40)
        for _ in range(int(rng.integers(1, 2 + int(100 / size)))):
            # As many words as reach the right border at any size.
            brush.text(left, y, words(rng, script, 4 + int(120 / size)), path, size, ink_now)
            y += size * rng.uniform(1.25, 1.5)
        y += size * rng.uniform(0, 0.6)
    if rng.random() < 0.2 and brush.zoom == 2:
        angle = rng.uniform(-20, 20)
        brush.image = brush.image.rotate(angle, Image.Resampling.BICUBIC, fillcolor=paper)
    return brush.tile()


def panel(rng: np.random.Generator, fonts: Fonts) -> Image.Image:
    """Return windows with a title, buttons, boxes, a table and icons, as in a screenshot."""
    paper, ink = two_colours(rng)
    brush = Brush(rng, paper, zoom=2)
    accent = any_colour(rng)
    quiet = colour((np.array(paper) * 3 + np.array(ink)) // 4)
    script, path = face(rng, fonts)
    size = int(rng.integers(10, 22))
    row = int(size * rng.uniform(1.6, 2.4))
    digits = fonts["latin"][rng.integers(len(fonts["latin"]))]

    def label(x: float, y: float, count: int, ink: Colour = ink) -> float:
        return brush.text(x, y, words(rng, script, count), path, size, ink)

    brush.draw.rectangle(brush.box(0, 0, SIDE, row), fill=accent)
    label(12, (row - size) / 2 - 2, 4, readable_on(accent))
    aside = int(rng.integers(90, 170))
    brush.draw.rectangle(brush.box(aside, row, aside + 1, SIDE), fill=quiet)
    for index, y in enumerate(range(row + 8, SIDE, row)):
        if index and rng.random() < 0.15:
            brush.draw.rectangle(brush.box(0, y - 3, aside, y + row - 5), fill=quiet)
        mark = brush.box(8, y, 8 + size, y + size)
        if rng.random() < 0.5:
            brush.draw.ellipse(mark, fill=any_colour(rng))
        else:
            brush.draw.rectangle(mark, outline=ink, width=2)
        label(14 + size, y - 2, 1)
    # The list's labels may run over: the main part covers them.
    brush.draw.rectangle(brush.box(aside + 1, row, SIDE, SIDE), fill=paper)
    y = row + 10
    while y < SIDE:
        kind = rng.integers(5)
        x = aside + 14
        if kind == 0:  # buttons
            for _ in range(3):
                shape = brush.box(x, y, x + size * 6, y + row)
                filled = accent if rng.random() < 0.5 else paper
                radius = int(rng.integers(0, row // 2)) * 2
                brush.draw.rounded_rectangle(shape, radius, filled, quiet, 2)
                label(x + 8, y + (row - size) / 2 - 2, 1, readable_on(filled))
                x += size * 6 + 10
        elif kind == 1:  # table
            heads = iter(["Price", "Tax", "Total", "2022", "2023", "2024"])
            columns = [x + step * int(size * 5.5) for step in range(6)]
            for line in range(int(rng.integers(2, 7))):
                brush.draw.rectangle(brush.box(x, y, SIDE - 10, y + 1), fill=quiet)
                for column in columns:
                    value = f"{rng.integers(0, 10**5) / 100:,.2f}" if line else next(heads)
                    brush.text(column + 4, y + 2, value, digits, size, ink)
                y += row
            brush.draw.rectangle(brush.box(x, y, SIDE - 10, y + 1), fill=quiet)
        elif kind == 2:  # progress
            end = rng.uniform(x + 20, SIDE - 20)
            brush.draw.rounded_rectangle(brush.box(x, y, SIDE - 16, y + 8), 8, quiet)
            brush.draw.rounded_rectangle(brush.box(x, y, end, y + 8), 8, accent)
        elif kind == 3:  # check boxes
            for _ in range(3):
                brush.draw.rectangle(brush.box(x, y, x + size, y + size), outline=ink, width=2)
                if rng.random() < 0.5:
                    tick = [(x + 2, y + size / 2), (x + size / 2, y + size - 3), (x + size, y)]
                    brush.draw.line(brush.points(tick), fill=accent, width=4, joint="curve")
                label(x + size + 8, y - 2, 4)
                y += row
        else:
            for _ in range(int(rng.integers(1, 5))):
                label(x, y, 9)
                y += round(size * 1.4)
        y += row + 8
    return brush.tile()


def chart(rng: np.random.Generator, fonts: Fonts) -> Image.Image:
    """Return a chart of random data by matplotlib."""
    names = ["default", "dark_background", "ggplot", "bmh", "grayscale", "seaborn-v0_8-whitegrid"]
    small = rng.random() < 0.5
    dpi = 75 if small else 130
    with style.context(names[rng.integers(len(names))]), matplotlib.rc_context():
        matplotlib.rcParams["font.family"] = ["DejaVu Sans"]
        figure = Figure((SIDE / dpi, SIDE / dpi), dpi=dpi * 2, layout="constrained")
        grid = 2 if small else 1
        for axes in np.ravel(figure.subplots(grid, grid)):
            x = np.linspace(0, rng.uniform(1, 50), 40)
            kind = rng.integers(6)
            if kind == 0:
                for index in range(int(rng.integers(1, 6))):
                    mark = str(rng.choice(["", "o", "x", "^", "."]))
                    line = str(rng.choice(["-", "--", ":", "-."]))
                    values = rng.standard_normal(40).cumsum()
                    axes.plot(x, values, line, marker=mark, label=f"run {index}", lw=1.2)
                axes.legend(fontsize="small")
            elif kind == 1:
                count = int(rng.integers(4, 12))
                axes.bar(np.arange(count), rng.random(count), color=f"C{rng.integers(6)}")
            elif kind == 2:
                axes.scatter(rng.random(80), rng.random(80), s=rng.uniform(4, 40), alpha=0.8)
            elif kind == 3:
                pattern = str(rng.choice(["", "//", "xx", ".."]))
                axes.hist(rng.standard_normal(400), bins=int(rng.integers(8, 40)), hatch=pattern)
            elif kind == 4:
                axes.pie(rng.uniform(0.2, 1, 5), labels=list("ABCDE"), autopct="%.0f%%")
            else:
                axes.contour(rng.random((8, 8)), levels=7)
            if rng.random() < 0.6:
                axes.set(title=f"Test {rng.integers(100)}", xlabel="time in s", ylabel="value")
            axes.grid(bool(rng.integers(2)))
        buffer = io.BytesIO()
        FigureCanvasAgg(figure).print_png(buffer)
    image = Image.open(buffer).convert("RGB")
    return image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def line_art(rng: np.random.Generator, fonts: Fonts) -> Image.Image:
    """Return ink on paper: curves, hatched areas, circles within circles, grids."""
    paper, ink = two_colours(rng)
    brush = Brush(rng, paper, zoom=2)
    for _ in range(int(rng.integers(6, 16))):
        width = int(rng.integers(2, 8))
        kind = rng.integers(4)
        centre = rng.uniform(0, SIDE, 2)
        reach = rng.uniform(30, 200)
        if kind == 0:  # a Bezier curve
            a, b, c, d = centre + rng.uniform(-reach, reach, (4, 2)) * 1.5
            t = np.linspace(0, 1, 120)[:, None]
            u = 1 - t
            curve = u**3 * a + 3 * u * u * t * b + 3 * u * t * t * c + t**3 * d
            brush.draw.line(brush.points(curve), fill=ink, width=width, joint="curve")
        elif kind == 1:  # hatching
            angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 8))))
            corners = centre + reach * np.stack([np.cos(angles), np.sin(angles)], axis=1)
            mask = Image.new("1", brush.image.size)
            ImageDraw.Draw(mask).polygon(brush.points(corners), fill=1)
            hatched = brush.image.copy()
            pen = ImageDraw.Draw(hatched)
            step = rng.uniform(4, 14)
            for slope in rng.uniform(0, np.pi, int(rng.integers(1, 3))):
                along = np.array([np.cos(slope), np.sin(slope)]) * 2 * reach
                across = np.array([-np.sin(slope), np.cos(slope)]) * step
                for line in range(-int(reach / step), int(reach / step) + 1):
                    middle = centre + line * across
                    pen.line(brush.points([middle - along, middle + along]), ink, min(width, 4))
            brush.image.paste(hatched, mask=mask)
            brush.draw.polygon(brush.points(corners), outline=ink, width=width)
        elif kind == 2:  # circles
            for radius in np.arange(reach, 3, -rng.uniform(5, 25)):
                corners = brush.points([centre - radius, centre + radius])
                brush.draw.ellipse(corners, outline=ink, width=width)
        else:  # rays
            for angle in np.linspace(0, 2 * np.pi, int(rng.integers(12, 72)), endpoint=False):
                ray = np.array([np.cos(angle), np.sin(angle)])
                ends = [centre + 0.15 * reach * ray, centre + reach * ray]
                brush.draw.line(brush.points(ends), fill=ink, width=min(width, 4))
    return brush.tile()


def one_bit(rng: np.random.Generator, fonts: Fonts) -> Image.Image:
    """Return two colours and no others: shapes, patterns and letters with steps at their edges."""
    paper, ink = two_colours(rng)
    brush = Brush(rng, paper, zoom=1)
    brush.draw.fontmode = "1"
    for _ in range(int(rng.integers(16, 40))):
        left, top = (int(at) for at in rng.integers(-20, SIDE, 2))
        width, height = (int(side) for side in rng.integers(20, 200, 2))
        box = (left, top, left + width, top + height)
        fill = ink if rng.random() < 0.7 else paper
        kind = rng.integers(5)
        if kind == 0:
            brush.draw.ellipse(box, fill=fill)
        elif kind == 1:
            corners = rng.uniform([left, top], [left + width, top + height], (5, 2))
            brush.draw.polygon(brush.points(corners), fill=fill)
        elif kind == 2:  # blocks as large as pixels of old games
            block = int(rng.integers(2, 9))
            cells = rng.random((height // block + 1, width // block + 1)) < 0.5
            if rng.random() < 0.5:  # checks
                cells = np.indices(cells.shape).sum(axis=0) % 2 == 0
            mask = Image.fromarray(cells.repeat(block, axis=0).repeat(block, axis=1))
            brush.image.paste(fill, (left, top), mask)
        elif kind == 3:
            for offset in range(0, height, int(rng.integers(2, 9)) * 2):
                line = (left, top + offset, left + width, top + offset + int(rng.integers(0, 30)))
                brush.draw.line(line, fill=fill, width=int(rng.integers(1, 4)))
        else:
            script, path = face(rng, fonts)
            brush.text(left, top, words(rng, script, 3), path, type_size(rng), fill)
    return brush.tile()


def shapes(rng: np.random.Generator, fonts: Fonts) -> Image.Image:
    """Return flat and graded areas with smooth edges, and thin lines across them."""
    brush = Brush(rng, any_colour(rng), zoom=2)
    if rng.random() < 0.6:
        brush.image.paste(gradient(rng, brush.image.size))
    for _ in range(int(rng.integers(4, 14))):
        corners = rng.uniform(0, SIDE) + rng.uniform(-180, 180, (int(rng.integers(3, 7)), 2))
        corners += rng.uniform(-150, 150, 2)
        kind = rng.integers(4)
        if kind == 0:
            mask = Image.new("1", brush.image.size)
            ImageDraw.Draw(mask).polygon(brush.points(corners), fill=1)
            brush.image.paste(gradient(rng, brush.image.size), mask=mask)
        elif kind == 1:
            brush.draw.polygon(brush.points(corners), fill=any_colour(rng))
        elif kind == 2:
            low, high = corners.min(axis=0), corners.max(axis=0)
            brush.draw.ellipse(brush.points([low, high]), fill=any_colour(rng))
        else:
            for start, end in zip(corners, rng.uniform(0, SIDE, corners.shape), strict=True):
                thin = int(rng.integers(2, 5))
                brush.draw.line(brush.points([start, end]), fill=any_colour(rng), width=thin)
    return brush.tile()


def gradient(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Return a smooth change between two colours, along a line or around a point."""
    y, x = np.mgrid[: size[1], : size[0]] / size[0]
    angle = rng.uniform(0, 2 * np.pi)
    if rng.random() < 0.6:
        place = x * np.cos(angle) + y * np.sin(angle)
    else:
        place = np.hypot(x - rng.random(), y - rng.random())
    place = (place - place.min()) / (place.max() - place.min())
    start, end = rng.integers(0, 256, (2, 3))
    values = start + place[..., None] * (end - start)
    return Image.fromarray(values.round().astype(np.uint8))


KINDS: dict[Kind, int] = {
    text_page: 8,
    panel: 4,
    chart: 2,
    line_art: 2,
    one_bit: 2,
    shapes: 2,
}
"""How many of 20 tiles are of a kind. Text leads: it is what people notice first."""


def make_pack(out: Path, count: int = 240, seed: int = 0) -> None:
    """Write the tiles of a pack."""
    out.mkdir(parents=True, exist_ok=True)
    fonts = find_fonts()
    deck = [kind for kind, number in KINDS.items() for _ in range(number)]
    # 7 and 20 have no common factor: a short pack, too, has every kind.
    for index in range(count):
        kind = deck[index * 7 % len(deck)]
        tile = kind(np.random.default_rng([seed, index]), fonts)
        tile.save(out / f"graphics-{index:04d}-{kind.__name__.replace('_', '-')}.png")


def main() -> None:
    """Make the pack that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    make_pack(args.out, args.count, args.seed)


if __name__ == "__main__":
    main()
