"""Measure a shipped set as `hsr-hub evaluate` does, and write its card.

    python recipes/measure.py hsr-lite-x4

Needs the test sets and metric weights under HSR_DATA. Writes `recipes/NAME/figures.json` and the
set's card (see card.py). The README's table is benchmarks/quality.py's.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from hsr_hub import HSRNet
from hsr_hub.evaluation import evaluate
from hsr_hub.paths import data_root
from recipes import card

SETS = [("Set5", 4), ("Set14", 4), ("BSD100", 4), ("Set5", 2)]


def main(name: str) -> None:
    """Measure, then write both."""
    data = data_root()
    model = HSRNet.from_pretrained(name)
    figures = [
        evaluate(
            *(model, data / "test" / folder),
            scale=scale,
            metric_weights=data / "weights",
            dtype="float32",  # the same on every machine
        )
        for folder, scale in SETS
    ]
    recipe = ROOT / "recipes" / name
    text = json.dumps([asdict(f) for f in figures], indent=2)
    (recipe / "figures.json").write_text(text + "\n")
    card.main(name)


if __name__ == "__main__":
    main(sys.argv[1])
