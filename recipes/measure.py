"""Measure a shipped set as `hsr-hub evaluate` does, and write its write_card.

    python recipes/measure.py hsr-lite-x4

Needs the test sets and metric weights under HSR_DATA. A set for people's pictures is measured on
degraded ones. Writes `recipes/NAME/figures.json` and the
set's card (see write_card.py). The README's table is benchmarks/quality.py's.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.degrade import found
from hsr_hub import HSRNet
from hsr_hub.evaluation import data_root, evaluate
from recipes import write_card

SETS = [("Set5", 4), ("Set14", 4), ("BSD100", 4), ("Set5", 2)]
REAL_SETS = [("Set14-degraded", 4), ("BSD100-degraded", 4)]


def main(name: str) -> None:
    """Measure, then write both."""
    data = data_root()
    model = HSRNet.from_pretrained(name)
    with tempfile.TemporaryDirectory() as made:
        figures = [
            evaluate(
                *(model, found(test_set, data / "test", Path(made))),
                scale=scale,
                metric_weights=data / "weights",
                dtype="float32",  # the same on every machine
            )
            for test_set, scale in (REAL_SETS if name.endswith(write_card.REAL) else SETS)
        ]
    recipe = ROOT / "recipes" / name
    text = json.dumps([asdict(f) for f in figures], indent=2)
    (recipe / "figures.json").write_text(text + "\n")
    write_card.main(name)


if __name__ == "__main__":
    main(sys.argv[1])
