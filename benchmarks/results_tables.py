"""Write the results into README.md and docs/results.md, and the plots, from benchmarks/results/.

    python -m benchmarks.results_tables

README.md gets one short table, docs/results.md all others. Methods, test sets and peers that are
not in the JSON files are left out. A test fails if the texts and the JSON files differ.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import RESULTS, ROOT
from benchmarks.comparison_grid import CREDIT
from benchmarks.degrade import DEGRADED
from benchmarks.peers import REAL_ESRGAN
from benchmarks.speed import PLAIN, UPSCALE
from hsr_hub.images import atomic_write

README = ROOT / "README.md"
PAGE = ROOT / "docs" / "results.md"
BEGIN = "<!-- results: written by benchmarks/results_tables.py -->"
END = "<!-- /results -->"

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
width and dotted. The halo of a sharpened photo stays with ours. In the night photos we
leave more noise, and invent fewer lines.""",
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
MAIN_SET = "BSD100"
"""The set of the short table: the largest one."""

SPEED_NAMES = {REAL_ESRGAN: f"RRDB ({REAL_ESRGAN})"}
"""Name of a method in speed.json, where it differs from that in quality.json."""

DEVICES = {"cpu": "CPU", "cuda": "GPU"}

Row = dict[str, Any]


def read(name: str) -> dict[str, Any]:
    """Return the results of a benchmark."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def table(head: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def footer(results: dict[str, Any]) -> str:
    """Return the line below a table: machine, versions, date."""
    c = results["environment"]
    versions = ", ".join(f"{name} {version}" for name, version in c["versions"].items())
    return f"*{machine(c)}; Python {c['python']}, {versions}; {c['date']}*"


def machine(environment: dict[str, Any]) -> str:
    """Return processor, cores, memory and GPU."""
    gpu = f", {environment['gpu']}" if environment["gpu"] else ""
    cores, memory = environment["cores"], environment["memory_gib"]
    return f"{environment['cpu']}, {cores} cores, {memory} GiB{gpu}"


def method_name(row: Row) -> str:
    """Return the method with its strength, if it has one."""
    return f"{row['method']}, strength {row['strength']:g}" if row["strength"] else row["method"]


def column(values: Sequence[float | None], spec: str, *, lower: bool = False) -> list[str]:
    """Return the cells of a column, with the best value in bold and "-" for a missing one.

    Args:
        values: One per row.
        spec: Format of a value.
        lower: Whether the lowest value is the best, not the highest.
    """
    cells = ["-" if value is None else f"{value:{spec}}" for value in values]
    measured = [value for value in values if value is not None]
    best = f"{(min if lower else max)(measured):{spec}}" if measured else None
    return [f"**{cell}**" if cell == best else cell for cell in cells]


def columns_table(head: Sequence[str], names: Sequence[str], columns: Sequence[list[str]]) -> str:
    """Return a table of a row per name and the given columns."""
    return table(head, zip(names, *columns, strict=True))


# ---- the short table


def seconds_by_method(device: str) -> dict[str, float]:
    """Return seconds per megapixel of the result of the fastest `upscale`, by method."""
    fastest: dict[str, float] = {}
    methods = {name: method for method, name in SPEED_NAMES.items()}
    for row in read("speed")["rows"]:
        if row["device"] == device and row["way"].startswith(UPSCALE):
            method: str = methods.get(row["name"]) or row["name"]
            seconds = row["seconds_per_megapixel"]
            fastest[method] = min(seconds, fastest.get(method, seconds))
    return fastest


def short_table() -> str:
    """Return the table of the README: clean and degraded photos, and the time."""
    results, speed_results = read("quality"), read("speed")
    rows = [r for r in results["rows"] if r["level"] == 4 and r["strength"] != 0.5]
    rows = [r for r in rows if r["method"] != "Lanczos"]
    by = {(method_name(row), row["set"]): row for row in rows}
    methods = {method_name(row): row["method"] for row in rows}
    head, columns = ["method"], []
    for kind, name in (("clean", MAIN_SET), ("degraded", MAIN_SET + DEGRADED)):
        for key, label, spec, lower in (
            ("psnr_y", "PSNR ↑", ".2f", False),
            ("lpips", "LPIPS ↓", ".3f", True),
        ):
            values = [by.get((method, name), {}).get(key) for method in methods]
            head.append(f"{kind}: {label}")
            columns.append(column(values, spec, lower=lower))
    for device, label in DEVICES.items():
        seconds = seconds_by_method(device)
        if seconds:
            head.append(f"s/MP, {label} ↓")
            columns.append(column([seconds.get(m) for m in methods.values()], ".2g", lower=True))
    names = [label_of(name) for name in methods]
    images = next(row["images"] for row in rows if row["set"] == MAIN_SET)
    return f"""{columns_table(head, names, columns)}

Four times larger, on the {images} photos of {MAIN_SET}. *Clean* photos were only scaled down;
*degraded* ones were also blurred, made noisy and saved as JPEG. PSNR in dB says how close the
result is to the original, LPIPS how similar it looks. s/MP: seconds per megapixel of the result
on {machine(speed_results["environment"])}. A dash: not measured. Best values in bold."""


def label_of(name: str) -> str:
    """Return the name of a method for a table, ours in code."""
    method, comma, strength = name.partition(",")
    return f"`{method}`{comma}{strength}" if method.startswith("hsr-") else name


# ---- quality


def by_set(rows: list[Row], level: int, key: str, spec: str, **options: Any) -> str:
    """Return a table of one metric: a row per method, a column per test set.

    Args:
        rows: Results of `benchmarks.quality` on clean sets.
        level: The level to show.
        key: The metric.
        spec: Format of a value.
        options: `lower` of `column`; `cited` adds the values of papers; `metric` is the name of
            the metric for the head of the table.
    """
    metric = options.pop("metric", "")
    cited = CITED if options.pop("cited", False) else {}
    rows = [row for row in rows if row["level"] == level and key in row]
    sizes = {row["set"]: row["images"] for row in rows}
    sets = [name for name in TEST_SETS if name in sizes]
    sets += [name for name in sizes if name not in sets]
    found = {(method_name(row), row["set"]): row[key] for row in rows}
    methods = list(dict.fromkeys(method for method, _ in found))
    columns = []
    for name in sets:
        values = [found.get((method, name)) for method in methods]
        for psnr in cited.values():
            values.append(psnr[TEST_SETS.index(name)] if name in TEST_SETS else None)
        columns.append(column(values, spec, **options))
    head = [f"x{level} {metric}".strip(), *(f"{name} ({sizes[name]})" for name in sets)]
    names = [*map(label_of, methods), *(f"{name}, cited" for name in cited)]
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
    sheets = sorted(PAGE.parent.glob("photos-*.png"))
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


def auto_choice() -> str:
    """Return the table of the automatic choice, by degradation."""
    results = read("auto_choice")
    models = [results["default"] + suffix for suffix in ("", "-real", "-detail")]
    keys = ["bicubic", *models, REAL_ESRGAN, "auto"]
    keys = [key for key in keys if key in results["rows"][0]]
    labels = {"auto": "automatic"}
    head = ["photos", *(labels.get(key, label_of(key)) for key in keys)]
    head += ["right", "worse than bicubic"]
    rows = []
    for row in results["rows"]:
        cells = column([row[key] for key in keys], ".3f", lower=True)
        rows.append([row["case"], *cells, f"{row['best']:.0%}", f"{row['worse than bicubic']:.0%}"])
    count = results["rows"][0]["images"]
    kinds = [row for row in results["rows"] if not row["case"].startswith("all")]
    limits = [min(row[key] for key in keys[:1] + models) for row in kinds]
    right = sum(
        row["auto"] <= limit + results["tolerance"]
        for row, limit in zip(kinds, limits, strict=True)
    )
    return f"""## What the automatic choice gives

LPIPS at x4 of {count} photos of {results["set"]} per row, made smaller and then degraded as the
row says. *Automatic* is what a visitor gets without choosing. *Right* is the share of photos for
which it is the best of the models and bicubic, or within {results["tolerance"]} of it. On average
over the photos of a row it is so in {right} of {len(kinds)} rows; a single photo may be another
model's, by its subject, which the choice does not see.
`python -m benchmarks.auto_choice --peers`.

{table(head, rows)}

![LPIPS against JPEG quality](../benchmarks/results/jpeg-quality.png)

{footer(results)}"""


def speed() -> str:
    """Return the table of seconds, ours and the peers."""
    results = read("speed")
    rows = [
        [
            label_of(row["name"]),
            row["way"],
            row["device"],
            f"{row['seconds']:.3f}",
            f"{row['seconds_per_megapixel']:.3f}",
            f"{100 * row['spread']:.0f} %",
            f"{row['times_faster']:.2f}",
            f"{row['parameters'] / 1e6:.2f} M",
            f"{row['multiply_adds'] / 1e9:.1f} G",
            f"{100 * row['share_of_peak']:.0f} % of {row['dtype']}",
        ]
        for row in results["rows"]
    ]
    head = ["network", "way", "on", "s", "s/MP", "spread", "x faster", "parameters"]
    head += ["multiply-adds", "of peak"]
    first = next(row["name"] for row in results["rows"])
    ways = {row["way"] for row in results["rows"] if not row["ours"]}
    treated = "peers too" if ways - {PLAIN} else "not measured for the peers in this run"
    return f"""## Speed

320x180 to 1280x720, medians of interleaved rounds, {results["threads"]} threads. `{UPSCALE}` is
`model.upscale` from array to array with tiles, the fastest safe number type and channels_last
({treated}); *{PLAIN}* is the bare network, fp32, NCHW, eager. *x faster* is against the plain
forward of `{first}`; *of peak* is the share of the speed of a large matrix product in the same run.
Peers have random weights here, which does not change the time.

![LPIPS against seconds](../benchmarks/results/pareto.png)

{table(head, rows)}

{footer(results)}"""


def memory() -> str:
    """Return the table of peak memory and time by size."""
    results = read("memory")
    rows = [
        [
            label_of(row["method"]),
            f"{row['megapixels']:.0f} MP",
            f"{row['peak_mib_above_model']:.0f} MiB",
            f"{row['compute_seconds_per_megapixel']:.3f}",
            f"{row['seconds']:.1f}",
        ]
        for row in results["rows"]
    ]
    head = ["method", "result", "peak above the loaded model", "computed, s/MP", "file to file, s"]
    return f"""## Memory

PNG file to PNG file, default settings; Real-ESRGAN in tiles and with a number type like ours. The
image is in main memory; one tile at a time is computed.

{table(head, rows)}

{footer(results)}

![memory against size](../benchmarks/results/memory.png)"""


def training() -> str:
    """Return the table of images per second."""
    results = read("training")
    rows = [
        [
            row["processes"],
            row["device"],
            row["photos"],
            f"{row['images_per_second']:.1f}",
            f"{row['seconds_per_step']:.3f}",
            f"{100 * row['data_share']:.1f} %",
            "-" if row["gpu_percent"] is None else f"{row['gpu_percent']:.0f} %",
        ]
        for row in results["rows"]
    ]
    one, two = (row["images_per_second"] for row in results["rows"][:2])
    head = ["processes", "on", "photos", "images/s", "s/step", "waiting for data", "GPU busy"]
    return f"""## Training

The pixel stage of the default network, {results["batch"]["cpu"]} crops of 128x128 a step and
process, one thread for each CPU process. Two processes are {two / one:.2f} times as fast as one.

{table(head, rows)}

{footer(results)}"""


def load() -> str:
    """Return the table of the Space under load."""
    results = read("load")
    rows = [
        [
            row["clients"],
            row["answers"],
            row["wrong"],
            f"{row['median_seconds']:.2f}",
            f"{row['slowest_seconds']:.2f}",
            f"{row['answers_per_second']:.2f}",
            f"{row['peak_mib']} MiB",
        ]
        for row in results["rows"]
    ]
    head = ["clients at once", "answers", "wrong", "median s", "slowest s", "answers/s", "peak"]
    return f"""## The Space under load

`python app.py` and several clients, each of which sends three images of 320x240, one after the
other. An answer is wrong if it differs from `model.upscale` in one bit. The idle Space holds
{results["idle_mib"]} MiB.

{table(head, rows)}

{footer(results)}"""


def attacks() -> str:
    """Return the table of the Space under hostile clients."""
    results = read("attacks")
    rows = [
        [
            row["clients"],
            "listen" if row["listening"] else "hang up",
            row["thumbnails"],
            f"{row['thumbnail_seconds']:.0f}",
            f"{row['peak_mib']} MiB",
        ]
        for row in results["rows"]
    ]
    head = ["clients", "they", "thumbnails answered", "longest wait for one, s", "peak"]
    cut = results["cut"]
    return f"""## The Space under attack

Clients with eight network addresses ask for images of 24 megapixels at once. They listen for a
minute, or hang up at once. Meanwhile a visitor with another address sends thumbnails, one after the
other. The memory counts the decoders too; the idle Space holds {results["idle_mib"]} MiB. The load
average of the machine was {results["load_average"]:.0f} before, because of other programs.

{table(head, rows)}

{cut["uploads"]:.0f} uploads were cut off after 1 MiB within a minute, on a page that removes files
after a minute instead of an hour and has {cut["allowed_mib"]:.0f} MiB of disk space. They took at
most {cut["peak_mib"]:.0f} MiB, and nothing {cut["gone_seconds"]:.0f} s after the last one.

{footer(results)}"""


def fuzz() -> str:
    """Return the table of damaged files."""
    results = read("fuzz")
    head = ["format", "files", "refused", "enlarged", "misbehaved"]
    rows = [[row[key] for key in head] for row in results["rows"]]
    return f"""## Damaged files

Read and enlarged in one process; the slowest took {results["slowest_seconds"]:.2f} s.
`python -m benchmarks.edge_cases FOLDER` makes the undamaged files, which are unusual, and draws
sheets of their results.

{table(head, rows)}

{footer(results)}"""


SECTIONS: list[Callable[[], str]] = [quality, auto_choice, speed, memory, training, load, fuzz]


def page_text() -> str:
    """Return all tables."""
    return "\n\n".join(section() for section in SECTIONS)


TARGETS: dict[Path, Callable[[], str]] = {README: short_table, PAGE: page_text}
"""Text between the markers, by the file that holds them."""


def rewritten(path: Path) -> str:
    """Return the text of a file with the results of the JSON files."""
    pattern = re.escape(BEGIN) + ".*" + re.escape(END)
    results = f"{BEGIN}\n\n{TARGETS[path]()}\n\n{END}"
    text = path.read_text(encoding="utf-8")
    new, count = re.subn(pattern, lambda _: results, text, flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"{path} must have {BEGIN} and {END} once, in this order")
    return new


def main() -> None:
    """Rewrite README and results page, and draw the plots."""
    from benchmarks.plots import draw

    draw(RESULTS)
    for path in TARGETS:
        text = rewritten(path)
        with atomic_write(path) as partial:
            partial.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
