"""All benchmarks, one after the other, and the README's results section written anew.

    python benchmarks/run.py [NAME ...]

Two minutes for speed and five for quality on two cores, which should have nothing else to do. NAMEs
run only those; the others keep their last results. Needs requirements-dev.txt and the test sets
under HSR_DATA.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"

BENCHMARKS = {
    "speed": [],
    "memory": [],
    "training": [],
    "load": [],
    "quality": ["--sheet", str(RESULTS / "quality.png")],
    "fuzz": [],
}


def main(names: list[str]) -> None:
    """Each in a process of its own."""
    unknown = set(names) - set(BENCHMARKS)
    if unknown:
        raise SystemExit(f"no benchmark {', '.join(sorted(unknown))}: {', '.join(BENCHMARKS)}")
    for name in names or BENCHMARKS:
        started = time.perf_counter()
        print(f"== {name}", flush=True)
        script = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py")]
        output = ["--json", str(RESULTS / f"{name}.json"), *BENCHMARKS[name]]
        subprocess.run([*script, *output], cwd=ROOT, check=True)
        print(f"== {name}: {time.perf_counter() - started:.0f} s", flush=True)
    subprocess.run([sys.executable, str(ROOT / "benchmarks" / "readme.py")], cwd=ROOT, check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
