"""Write the results section of the README, and the plots, from benchmarks/results/*.json.

    python -m benchmarks.results_tables

A test fails if README.md and the JSON differ.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from benchmarks.common import RESULTS, ROOT
from benchmarks.comparison_grid import CREDIT
from benchmarks.degrade import DEGRADED
from hsr_hub.images import atomic_write

README = ROOT / "README.md"
BEGIN = "<!-- results: written by benchmarks/results_tables.py -->"
END = "<!-- /results -->"

CITED = {
    "SPAN (48 features)": (
        (32.20, 28.66, 27.62),
        "[arXiv 2311.12770](https://arxiv.org/abs/2311.12770)",
    ),
    "SwinIR-light": ((32.44, 28.77, 27.69), "[arXiv 2108.10257](https://arxiv.org/abs/2108.10257)"),
    "RRDB (Real-ESRGAN x4plus)": (
        (32.73, 28.99, 27.85),
        "[arXiv 1809.00219](https://arxiv.org/abs/1809.00219), trained for PSNR",
    ),
}
"""Published PSNR-Y on Set5, Set14 and BSD100 at x4, by the same protocol."""

TEST_SETS = ("Set5", "Set14", "BSD100")
PLAIN, UPSCALE = "plain forward", "upscale"


def read(name: str) -> dict[str, Any]:
    """Return the results of a benchmark."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def table(head: list[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def footer(results: dict[str, Any]) -> str:
    """Return the line below a table: machine, versions, date."""
    c = results["environment"]
    gpu = f", {c['gpu']}" if c["gpu"] else ""
    versions = ", ".join(f"{name} {version}" for name, version in c["versions"].items())
    return (
        f"*{c['cpu']}, {c['cores']} cores, {c['memory_gib']} GiB{gpu}; Python {c['python']}, "
        f"{versions}; {c['date']}*"
    )


def method_name(row: dict[str, Any]) -> str:
    """Return the method with its strength, if it has one."""
    return f"{row['method']}, strength {row['strength']:g}" if row["strength"] else row["method"]


Row = dict[str, Any]
CLEAN_KEYS = [("psnr_y", ".2f"), ("ssim_y", ".4f"), ("lpips", ".3f"), ("consistency", ".1f")]
DEGRADED_KEYS = [("psnr_y", ".2f"), ("ssim_y", ".4f"), ("lpips", ".3f")]
FLAT_NOISE = ("flat_noise", ".2f")


def cell(row: Row | None, keys: list[tuple[str, str]]) -> str:
    """Return the metrics of one method on one test set."""
    return (
        " / ".join(f"{row[key]:{spec}}" if key in row else "-" for key, spec in keys) if row else ""
    )


def by_set(rows: list[Row], level: int, keys: list[tuple[str, str]], cited: bool = False) -> str:
    """Return a table of one level: a line per method, a column per test set."""
    rows = [row for row in rows if row["level"] == level]
    sizes = {row["set"]: row["images"] for row in rows}
    names = [name for name in TEST_SETS if name in sizes]
    names += [name for name in sizes if name not in names]
    found = {(method_name(row), row["set"]): row for row in rows}
    methods = dict.fromkeys(method for method, _ in found)
    lines = [[m, *(cell(found.get((m, name)), keys) for name in names)] for m in methods]
    for peer, (psnr, source) in CITED.items() if cited else ():
        values = dict(zip(TEST_SETS, psnr, strict=True))
        cells = [f"{values[n]:.2f}" if n in values else "-" for n in names]
        lines.append([f"{peer}, cited: {source}", *cells])
    return table([f"x{level}", *(f"{name} ({sizes[name]})" for name in names)], lines)


def degraded_sets(rows: list[Row]) -> str:
    """Return a table per degraded set, with x4 and x1 side by side."""
    if not rows:
        return ""
    by_name: dict[str, list[Row]] = {}
    for row in rows:
        by_name.setdefault(row["set"], []).append(row)
    has_noise = all("flat_noise" in row for row in rows if row["level"] == 4)
    keys = [*DEGRADED_KEYS, *([FLAT_NOISE] if has_noise else [])]
    tables = []
    for name, own in by_name.items():
        found = {(method_name(row), row["level"]): row for row in own}
        methods = dict.fromkeys(method for method, _ in found)
        lines = [
            [m, cell(found.get((m, 4)), keys), cell(found.get((m, 1)), DEGRADED_KEYS[:2])]
            for m in methods
        ]
        title = f"{name.removesuffix(DEGRADED)} ({own[0]['images']}) degraded"
        tables.append(table([title, "x4", "x1"], lines))
    noise = " / noise in flat areas (of 255, lower is better)" if has_noise else ""
    text = "\n\n".join(tables)
    return f"""Degraded images: blur, noise and JPEG, by `python -m benchmarks.degrade`.
PSNR-Y / SSIM-Y / LPIPS{noise} at x4; PSNR-Y / SSIM-Y at x1, where bicubic and Lanczos leave the
image unchanged.

{text}

"""


def single_degradations(rows: list[Row]) -> str:
    """Return a table of one degradation at a time, before and after the restoration."""
    if not rows:
        return ""
    names = list(dict.fromkeys(row["method"] for row in rows))
    lines: dict[str, list[str]] = {}
    for row in rows:
        start = [row["degradation"], f"{row['before']:.2f}"]
        lines.setdefault(row["degradation"], start).append(f"{row['after']:.2f}")
    return f"""One degradation at a time, at x1: PSNR-Y against the image before it
(`python -m benchmarks.single_degradations`).

{table([f"{rows[0]['set']} ({rows[0]['images']})", "degraded", *names], list(lines.values()))}

"""


def quality() -> str:
    """Return the tables of quality: clean images at every level, then degraded images."""
    results = read("quality")
    dirty = [row for row in results["rows"] if row["set"].endswith(DEGRADED)]
    clean = [row for row in results["rows"] if row not in dirty]
    drift: dict[str, float] = {}
    for row in clean:
        name = method_name(row)
        drift[name] = max(drift.get(name, 0), row["colour_drift"])
    drifts = ", ".join(f"{name} {value:.2f}" for name, value in drift.items())
    shown = ", ".join(
        name if name == "bicubic" else f"`{name}`" for name in results["comparison_grid"]
    )
    return f"""### Quality

From the given LR images, in fp32; PSNR-Y / SSIM-Y / LPIPS (SqueezeNet, lower is better) /
consistency with the input (PSNR of the result, scaled down again, against the LR).

{by_set(clean, 4, CLEAN_KEYS, cited=True)}

Colour drift, the largest difference of any image's mean colour from bicubic's, of 255: {drifts}.

The lower levels, PSNR-Y / SSIM-Y against HR scaled down to them. At x1 the given LR is already
clean, so the best method leaves it unchanged, as bicubic and Lanczos do. The small differences are
between MATLAB's and Pillow's bicubic.

{by_set(clean, 2, CLEAN_KEYS[:2])}

{by_set(clean, 1, CLEAN_KEYS[:2])}

{degraded_sets(dirty)}{single_degradations(results["single_degradations"])}{footer(results)}

![eyes, fur, leaves, brick, text and sky](benchmarks/results/quality.png)

*From images scaled down four times; from the left: {shown}, the original. Images {CREDIT}.*

![quality against time](benchmarks/results/pareto.png)"""


def speed() -> str:
    """Return the table of seconds, ours and the peers."""
    results = read("speed")
    rows = [
        [
            f"**{row['name']}**" if row["ours"] else row["name"],
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
    return f"""### Speed

320x180 to 1280x720, medians of interleaved rounds, {results["threads"]} threads. `upscale` is
`model.upscale` from array to array, everything included; *plain forward* is the bare network, fp32,
NCHW, eager. *x faster* is against the plain forward of `{first}`; *of peak* is the share of the
speed of a large matrix product in the same run. Peers have random weights: their time is measured,
their quality is cited above.

{table(head, rows)}

{footer(results)}"""


def memory() -> str:
    """Return the table of peak memory and time by size."""
    results = read("memory")
    rows = [
        [
            f"{row['megapixels']:.0f} MP",
            f"{row['peak_mib_above_model']:.0f} MiB",
            f"{row['compute_seconds_per_megapixel']:.3f}",
            f"{row['seconds']:.1f}",
        ]
        for row in results["rows"]
    ]
    head = ["result", "peak above the loaded model", "computed, s/MP", "file to file, s"]
    return f"""### Memory

PNG file to PNG file, `hsr-lite-x4`, default settings. The image is in main memory; one tile at a
time is computed.

{table(head, rows)}

{footer(results)}

![memory against size](benchmarks/results/memory.png)"""


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
    return f"""### Training

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
    return f"""### The Space under load

`python app.py` and several clients, each of which sends three images of 320x240, one after the
other. An answer is wrong if it differs from `model.upscale` in one bit. The idle Space holds
{results["idle_mib"]} MiB.

{table(head, rows)}

{footer(results)}"""


def fuzz() -> str:
    """Return the table of damaged files."""
    results = read("fuzz")
    head = ["format", "files", "refused", "enlarged", "misbehaved"]
    rows = [[row[key] for key in head] for row in results["rows"]]
    return f"""### Damaged files

Read and enlarged in one process; the slowest took {results["slowest_seconds"]:.2f} s.
`python -m benchmarks.edge_cases FOLDER` makes twenty-two valid but unusual files and a sheet of
their results.

{table(head, rows)}

{footer(results)}"""


SECTIONS: list[Callable[[], str]] = [quality, speed, memory, training, load, fuzz]


def results_text() -> str:
    """Return the text between the markers of the README."""
    return "\n\n".join([BEGIN, *(section() for section in SECTIONS), END])


def rewritten(readme: str) -> str:
    """Return the README with the results of the JSON files."""
    pattern = re.escape(BEGIN) + ".*" + re.escape(END)
    new, count = re.subn(pattern, lambda _: results_text(), readme, flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"README.md must have {BEGIN} and {END} once, in this order")
    return new


def main() -> None:
    """Rewrite the README and draw the plots."""
    from benchmarks.plots import draw

    draw(RESULTS)
    text = rewritten(README.read_text(encoding="utf-8"))
    with atomic_write(README) as partial:
        partial.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
