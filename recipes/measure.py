"""Measure a bundled model as `hsr-hub evaluate` does, and write its card.

    python -m recipes.measure hsr-lite-x4

Needs the test sets and metric weights under HSR_DATA. A model for degraded images is measured on
degraded test sets. Writes `recipes/NAME/metrics.json` and the card of the model (see
write_card.py). The table of the README comes from `benchmarks.quality`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks.common import ROOT
from benchmarks.degrade import degraded_set
from hsr_hub import HSRNet
from hsr_hub.evaluation import Metrics, data_root, evaluate
from recipes import write_card

SETS = [("Set5", 4), ("Set14", 4), ("BSD100", 4), ("Set5", 2)]
REAL_SETS = [("Set14-degraded", 4), ("BSD100-degraded", 4)]


def measure(name: str) -> list[Metrics]:
    """Return the metrics of a bundled model on its test sets."""
    data = data_root()
    model = HSRNet.from_pretrained(name)
    with tempfile.TemporaryDirectory() as made:
        return [
            evaluate(
                model,
                degraded_set(test_set, data / "test", Path(made)),
                scale=scale,
                metric_weights=data / "weights",
                dtype="float32",  # gives the same metrics on every machine
            )
            for test_set, scale in (REAL_SETS if name.endswith(write_card.REAL) else SETS)
        ]


def main() -> None:
    """Write metrics and card of the model of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help="bundled model")
    name = parser.parse_args().name
    text = json.dumps([asdict(metrics) for metrics in measure(name)], indent=2)
    (ROOT / "recipes" / name / "metrics.json").write_text(text + "\n")
    write_card.write(name)


if __name__ == "__main__":
    main()
