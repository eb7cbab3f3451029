"""The section of docs/results.md on quality: clean photos, degraded photos, and crops."""

from __future__ import annotations

from benchmarks.common import ROOT
from benchmarks.comparison_grid import CREDIT
from benchmarks.degrade import DEGRADED
from benchmarks.tables import (
    Row,
    column,
    columns_table,
    footer,
    label_of,
    method_name,
    read,
    table,
)

CITED = {
    "SPAN, 48 features ([arXiv 2311.12770](https://arxiv.org/abs/2311.12770))": (
        32.20,
        28.66,
        27.62,
    ),
    "SwinIR-light ([arXiv 2108.10257](https://arxiv.org/abs/2108.10257))": (32.44, 28.77, 27.69),
    "RRDB trained for PSNR ([arXiv 1809.00219](https://arxiv.org/abs/1809.00219))": (
        32.73,
        28.99,
        27.85,
    ),
}
"""PSNR-Y on Set5, Set14 and BSD100 at x4 that papers report for the same protocol."""

SHEET_CAPTIONS = [
    """Ours keep the colours of skin, hair and fur, and more of the fur's texture. Real-ESRGAN
looks cleaner: its outlines are smooth, and its skin has no spots. In the web JPEG of
quality 40 our faces are blotchy, and the old scan stays soft. Edges such as the tripod's
look dotted from close by.""",
    """Leaves are coarser than the original's with ours, and more like it with Real-ESRGAN.
Bricks are clean with Real-ESRGAN, wider and brighter than they were; ours are nearer in
width and dotted. The halo of a sharpened photo stays with ours. In the night photos our
edges are softer, and we invent fewer lines.""",
    """No method reads small letters: Real-ESRGAN draws clean letters that can be others ("Sovo"
for "Save"), ours keep their shapes and fray. For clean text, drawings and screenshots use
the faithful weights, as the automatic choice does. Thin lines of the drawing are cut into
dashes by ours.""",
]
"""What a person sees on each sheet."""

SHEET_CREDIT = """*Photos: NASA (astronaut, public domain), SpaceX (rocket, public domain), Lav
Varshney (cameraman, CC0), Stéfan van der Walt (cat, CC0), Rachel Michetti (coffee, CC0), Brooklyn
Museum (coins, no known restrictions), danielbuechele (pagoda, CC BY 2.0), vultilion (flower, CC BY
2.0), CC0Textures (brick, CC0), scikit-image (page). The others are our own drawings.*"""

TEST_SETS = ("Set5", "Set14", "BSD100")


def by_set(
    rows: list[Row],
    level: int,
    key: str,
    spec: str,
    *,
    lower: bool = False,
    cited: bool = False,
    metric: str = "",
) -> str:
    """Return a table of one metric: a row per method, a column per test set.

    Args:
        rows: Results of `benchmarks.quality` on clean sets.
        level: The level to show.
        key: The metric.
        spec: Format of a value.
        lower: Whether the lowest value is the best.
        cited: Whether to add the values that papers report.
        metric: Name of the metric for the head of the table.
    """
    papers = CITED if cited else {}
    rows = [row for row in rows if row["level"] == level and key in row]
    sizes = {row["set"]: row["images"] for row in rows}
    sets = [name for name in TEST_SETS if name in sizes]
    sets += [name for name in sizes if name not in sets]
    found = {(method_name(row), row["set"]): row[key] for row in rows}
    methods = list(dict.fromkeys(method for method, _ in found))
    columns = []
    for name in sets:
        values = [found.get((method, name)) for method in methods]
        for psnr in papers.values():
            values.append(psnr[TEST_SETS.index(name)] if name in TEST_SETS else None)
        columns.append(column(values, spec, lower=lower))
    head = [f"x{level} {metric}".strip(), *(f"{name} ({sizes[name]})" for name in sets)]
    names = [*map(label_of, methods), *(f"{name}, cited" for name in papers)]
    return columns_table(head, names, columns)


def degraded_sets(rows: list[Row]) -> str:
    """Return a table per degraded set, with x4 and x1 side by side."""
    if not rows:
        return ""
    by_name: dict[str, list[Row]] = {}
    for row in rows:
        by_name.setdefault(row["set"], []).append(row)
    keys = [
        (4, "psnr_y", "PSNR-Y ↑", ".2f", False),
        (4, "ssim_y", "SSIM-Y ↑", ".4f", False),
        (4, "lpips", "LPIPS ↓", ".3f", True),
        (4, "flat_noise", "noise ↓", ".2f", True),
        (1, "psnr_y", "PSNR-Y ↑", ".2f", False),
        (1, "ssim_y", "SSIM-Y ↑", ".4f", False),
    ]
    tables = []
    for name, own in by_name.items():
        found = {(method_name(row), row["level"]): row for row in own}
        methods = list(dict.fromkeys(method for method, _ in found))
        head = [f"{name.removesuffix(DEGRADED)} degraded ({own[0]['images']})"]
        columns = []
        for level, key, label, spec, lower in keys:
            values = [found.get((method, level), {}).get(key) for method in methods]
            if any(value is not None for value in values):
                head.append(f"x{level}: {label}")
                columns.append(column(values, spec, lower=lower))
        tables.append(columns_table(head, list(map(label_of, methods)), columns))
    noise = ""
    if any("flat_noise" in row for row in rows):
        noise = " *noise* is that of flat areas, in steps of 255."
    text = "\n\n".join(tables)
    return f"""## Degraded photos

Blurred, made noisy and saved as JPEG by the fixed protocol of `benchmarks/degradation_protocol.py`.
At x1, bicubic leaves the image unchanged.{noise}

{text}

"""


def single_degradations(rows: list[Row]) -> str:
    """Return a table of one degradation at a time, before and after the restoration."""
    if not rows:
        return ""
    degradations = list(dict.fromkeys(row["degradation"] for row in rows))
    models = list(dict.fromkeys(row["method"] for row in rows))
    before = {row["degradation"]: row["before"] for row in rows}
    after = {(row["method"], row["degradation"]): row["after"] for row in rows}
    lines = []
    for degradation in degradations:
        values = [before[degradation], *(after.get((model, degradation)) for model in models)]
        lines.append([degradation, *column(values, ".2f")])
    head = [f"{rows[0]['set']} ({rows[0]['images']})", "degraded", *map(label_of, models)]
    return f"""### One degradation at a time

PSNR-Y at x1 against the image before it was degraded
(`python -m benchmarks.single_degradations`).

{table(head, lines)}

"""


def photo_sheets() -> str:
    """Return the labelled sheets of crops, if `docs/` has them."""
    sheets = sorted((ROOT / "docs").glob("photos-*.png"))
    if not sheets:
        return ""
    parts = [
        f"![labelled crops, sheet {number}]({path.name})\n\n{caption}"
        for number, (path, caption) in enumerate(zip(sheets, SHEET_CAPTIONS, strict=True), 1)
    ]
    shown = "\n\n".join(parts)
    return f"""### Crops side by side

Drawn by `python -m benchmarks.photo_sheet docs/photos.png --zoom 1 --peer --models hsr-lite-x4-real
hsr-x4-real`. The label above each row says how the photo was degraded.

{shown}

{SHEET_CREDIT}
"""


def quality() -> str:
    """Return the tables of quality: clean images at every level, then degraded images."""
    results = read("quality")
    dirty = [row for row in results["rows"] if row["set"].endswith(DEGRADED)]
    clean = [row for row in results["rows"] if row not in dirty]
    shown = ", ".join(
        name if name == "bicubic" else f"`{name}`" for name in results["comparison_grid"]
    )
    return f"""## Clean photos

From the given low-resolution images of the test sets, in fp32.

### PSNR-Y in dB, higher is better

{by_set(clean, 4, "psnr_y", ".2f", cited=True)}

### SSIM-Y, higher is better

{by_set(clean, 4, "ssim_y", ".4f")}

### LPIPS on SqueezeNet, lower is better

{by_set(clean, 4, "lpips", ".3f", lower=True)}

### Consistency with the input in dB, higher is better

PSNR (RGB) of the result, scaled down again, against the input.

{by_set(clean, 4, "consistency", ".1f")}

### Colour drift, lower is better

The largest difference of any image's mean colour from bicubic's, in steps of 255.

{by_set(clean, 4, "colour_drift", ".2f", lower=True)}

### Twice as large

The x2 output, from inputs at half the size.

{by_set(clean, 2, "psnr_y", ".2f", metric="PSNR-Y")}

{by_set(clean, 2, "lpips", ".3f", lower=True, metric="LPIPS")}

### At the same size

PSNR-Y of the x1 output against the original, scaled down. The input is already clean, so the best
method leaves it unchanged, as bicubic does.

{by_set(clean, 1, "psnr_y", ".2f")}

### Crops

![eyes, fur, leaves, brick, text and sky](../benchmarks/results/quality.png)

*From images scaled down four times; from the left: {shown}, the original. Images {CREDIT}.*

{degraded_sets(dirty)}{single_degradations(results["single_degradations"])}{photo_sheets()}\
{footer(results)}"""
