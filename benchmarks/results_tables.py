"""Write the results into README.md and docs/results.md, and the plots, from benchmarks/results/.

    python -m benchmarks.results_tables

README.md gets one short table, docs/results.md all others. Methods, test sets and peers that are
not in the JSON files are left out. A test fails if the texts and the JSON files differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from benchmarks.common import RESULTS, ROOT
from benchmarks.degrade import DEGRADED
from benchmarks.peers import REAL_ESRGAN
from benchmarks.quality_tables import quality
from benchmarks.speed import PLAIN, UPSCALE
from benchmarks.tables import (
    column,
    columns_table,
    footer,
    label_of,
    machine,
    method_name,
    read,
    table,
)
from hsr_hub.images import atomic_write

README = ROOT / "README.md"
PAGE = ROOT / "docs" / "results.md"
BEGIN = "<!-- results: written by benchmarks/results_tables.py -->"
END = "<!-- /results -->"

MAIN_SET = "BSD100"
"""The set of the short table: the largest one."""

SPEED_NAMES = {REAL_ESRGAN: f"RRDB ({REAL_ESRGAN})"}
"""Name of a method in speed.json, where it differs from that in quality.json."""

DEVICES = {"cpu": "CPU", "cuda": "GPU"}


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
*degraded* ones were also blurred, made noisy and saved as JPEG, by our own
[fixed protocol](benchmarks/degradation_protocol.py). PSNR in dB says how close the result is to the
original, LPIPS (SqueezeNet) how similar it looks. Bold: the best of this table; networks that are
trained for PSNR alone reach more ([cited values](docs/results.md)). s/MP: seconds per megapixel of
the result on {machine(speed_results["environment"])}, in the fastest number type (CPU: bfloat16);
quality is measured in float32. A dash: not measured. All by `python -m benchmarks.run`."""


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
other. A large image takes about as long as the minute; a thumbnail is computed between two of its
tiles. The memory counts the decoders too; the idle Space holds {results["idle_mib"]} MiB. The load
average of the machine was {results["load_average"]:.0f} before.

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


SECTIONS: list[Callable[[], str]] = [
    quality,
    auto_choice,
    speed,
    memory,
    training,
    load,
    attacks,
    fuzz,
]


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
