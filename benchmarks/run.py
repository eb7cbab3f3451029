"""Run all benchmarks one after the other, then write the results into the README.

    python -m benchmarks.run [NAME ...]

Nothing else should run on the machine meanwhile. NAMEs run only those; the others keep their last
results. Needs requirements-dev.txt, and the test sets and weights under HSR_DATA.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

from benchmarks.common import RESULTS, ROOT

BENCHMARKS = {
    "speed": ["--peers"],
    "memory": ["--peers"],
    "training": [],
    "load": [],
    "attacks": [],
    "quality": ["--peers", "--grid", str(RESULTS / "quality.png")],
    "auto_choice": ["--peers"],
    "fuzz": [],
}


def run(module: str, *arguments: str) -> None:
    """Run a module of this package in its own process."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    subprocess.run(command, cwd=ROOT, check=True)


def main() -> None:
    """Run the benchmarks that are named, by default all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    names = parser.parse_args().names or list(BENCHMARKS)
    unknown = set(names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}: choose {', '.join(BENCHMARKS)}")
    for name in names:
        started = time.perf_counter()
        print(f"== {name}", flush=True)
        run(name, "--json", str(RESULTS / f"{name}.json"), *BENCHMARKS[name])
        print(f"== {name}: {time.perf_counter() - started:.0f} s", flush=True)
    run("results_tables")


if __name__ == "__main__":
    main()
