"""Write the README's results from benchmarks/results/*.json, and the plots beside them.

    python benchmarks/readme.py

A test fails when README.md and the JSON differ.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.comparison_grid import CREDIT
from hsr_hub.images import atomic_write

RESULTS = ROOT / "benchmarks" / "results"
README = ROOT / "README.md"
BEGIN, END = "<!-- results: written by benchmarks/readme.py -->", "<!-- /results -->"

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
"""Published PSNR-Y on Set5, Set14 and BSD100 at x4, same protocol; speed.py runs the networks."""

TEST_SETS = ("Set5", "Set14", "BSD100")
PLAIN, UPSCALE = "plain forward", "upscale"


def read(name: str) -> dict[str, Any]:
    """The results of a benchmark."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def table(head: list[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def under(results: dict[str, Any]) -> str:
    """The line below a table: machine, versions, date."""
    c = results["circumstances"]
    gpu = f", {c['gpu']}" if c["gpu"] else ""
    versions = ", ".join(f"{name} {version}" for name, version in c["versions"].items())
    return (
        f"*{c['cpu']}, {c['cores']} cores, {c['memory_gib']} GiB{gpu}; Python {c['python']}, "
        f"{versions}; {c['date']}*"
    )


def method_name(row: dict[str, Any]) -> str:
    """A set with its strength, where it has one to choose."""
    return f"{row['method']}, strength {row['strength']:g}" if row["strength"] else row["method"]


Row = dict[str, Any]
CLEAN_KEYS = [("psnr_y", ".2f"), ("ssim_y", ".4f"), ("lpips", ".3f"), ("consistency", ".1f")]
DEGRADED_KEYS = [("psnr_y", ".2f"), ("ssim_y", ".4f"), ("lpips", ".3f")]


def cell(row: Row | None, keys: list[tuple[str, str]]) -> str:
    """Metrics of one method on one test set."""
    return (
        " / ".join(f"{row[key]:{spec}}" if key in row else "-" for key, spec in keys) if row else ""
    )


def by_set(rows: list[Row], level: int, keys: list[tuple[str, str]], cited: bool = False) -> str:
    """A table of one level: a line per method, a column per test set."""
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


def degraded(rows: list[Row]) -> str:
    """People's pictures: x4 and x1 side by side."""
    if not rows:
        return ""
    found = {(method_name(row), row["level"]): row for row in rows}
    methods = dict.fromkeys(method for method, _ in found)
    lines = [
        [m, cell(found[m, 4], DEGRADED_KEYS), cell(found.get((m, 1)), DEGRADED_KEYS[:2])]
        for m in methods
    ]
    what = f"{rows[0]['set'].removesuffix('-degraded')} ({rows[0]['images']}) degraded"
    return f"""Pictures as people have them: blur, noise and JPEG, by `benchmarks/degrade.py`.
PSNR-Y / SSIM-Y / LPIPS at x4; PSNR-Y / SSIM-Y at x1, where bicubic and Lanczos leave the picture as
it came.

{table([what, "x4", "x1"], lines)}

"""


def cleaned(rows: list[Row]) -> str:
    """One fault at a time: what came, and what the sets for people's pictures make of it."""
    if not rows:
        return ""
    names = list(dict.fromkeys(row["method"] for row in rows))
    lines: dict[str, list[str]] = {}
    for row in rows:
        line = lines.setdefault(row["fault"], [row["fault"], f"{row['before']:.2f}"])
        line.append(f"{row['after']:.2f}")
    return f"""One fault at a time, at x1: PSNR-Y against the picture before it
(`benchmarks/faults.py`).

{table([f"{rows[0]['set']} ({rows[0]['images']})", "as it came", *names], list(lines.values()))}

"""


def quality() -> str:
    """Ours and the interpolations at x4, the cited peers, the lower levels, degraded pictures."""
    results = read("quality")
    dirty = [row for row in results["rows"] if row["set"].endswith("-degraded")]
    clean = [row for row in results["rows"] if row not in dirty]
    drift: dict[str, float] = {}
    for row in clean:
        name = method_name(row)
        drift[name] = max(drift.get(name, 0), row["colour_drift"])
    drifts = ", ".join(f"{name} {value:.2f}" for name, value in drift.items())
    shown = ", ".join(name if name == "bicubic" else f"`{name}`" for name in results["sheet"])
    return f"""### Quality

From the given LR pictures, in fp32; PSNR-Y / SSIM-Y / LPIPS (SqueezeNet, lower is better) /
consistency with the input (PSNR of the result, scaled down again, against the LR).

{by_set(clean, 4, CLEAN_KEYS, cited=True)}

Colour drift, the largest difference of any picture's mean colour from bicubic's, of 255: {drifts}.

The lower levels, PSNR-Y / SSIM-Y against HR scaled down to them. At x1 the given LR is already
clean, so that leaving it alone (bicubic and Lanczos do) is best; what little they differ by is
between MATLAB's and Pillow's bicubic.

{by_set(clean, 2, CLEAN_KEYS[:2])}

{by_set(clean, 1, CLEAN_KEYS[:2])}

{degraded(dirty)}{cleaned(results["faults"])}{under(results)}

![eyes, fur, leaves, brick, text and sky](benchmarks/results/quality.png)

*From pictures scaled down four times; from the left: {shown}, the original. Pictures {CREDIT}.*

![quality against time](benchmarks/results/pareto.png)"""


def speed() -> str:
    """Ours and the peers."""
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
NCHW, eager. *x faster* is against the plain forward of `{first}`; *of peak* is the share of what a
large matrix product reaches in the same run. Peers have random weights: their time is measured,
their quality cited above.

{table(head, rows)}

{under(results)}"""


def memory() -> str:
    """Peak memory and time by size."""
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

PNG file to PNG file, `hsr-lite-x4`, default settings; the picture is in main memory, a tile at a
time is worked on.

{table(head, rows)}

{under(results)}

![memory against size](benchmarks/results/memory.png)"""


def training() -> str:
    """Images per second."""
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
process, one thread for each CPU process. Two of them do {two / one:.2f} times the images of one.

{table(head, rows)}

{under(results)}"""


def load() -> str:
    """The Space under clients."""
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

`python app.py` and so many clients, each sending three pictures of 320x240, one after the other.
Right is what equals `model.upscale` to the last bit. Idle it holds {results["idle_mib"]} MiB.

{table(head, rows)}

{under(results)}"""


def fuzz() -> str:
    """Damaged files."""
    results = read("fuzz")
    head = ["format", "files", "refused", "enlarged", "misbehaved"]
    rows = [[row[key] for key in head] for row in results["rows"]]
    return f"""### Damaged files

Read and enlarged in one process; the slowest took {results["slowest_seconds"]:.2f} s.
`python benchmarks/awkward.py FOLDER` makes twenty-two sound but awkward ones and a sheet to look
at.

{table(head, rows)}

{under(results)}"""


SECTIONS: list[Callable[[], str]] = [quality, speed, memory, training, load, fuzz]


def results_text() -> str:
    """What stands between the README's markers."""
    return "\n\n".join([BEGIN, *(section() for section in SECTIONS), END])


def rewritten(readme: str) -> str:
    """The README with the results of today's JSON."""
    pattern = re.escape(BEGIN) + ".*" + re.escape(END)
    new, count = re.subn(pattern, lambda _: results_text(), readme, flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"README.md must have {BEGIN} and {END} once, in this order")
    return new


def main() -> None:
    """Rewrite the README; draw the plots."""
    from benchmarks.plots import draw

    draw(RESULTS)
    text = rewritten(README.read_text(encoding="utf-8"))
    with atomic_write(README) as partial:
        partial.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
