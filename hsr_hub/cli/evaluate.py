"""`hsr-hub evaluate`: measure a model on a test set."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from hsr_hub.cli.common import Commands, add_model_arguments, load_model, new_parser
from hsr_hub.evaluation import evaluate, table
from hsr_hub.images import atomic_write


def add_parser(commands: Commands) -> argparse.ArgumentParser:
    """Add the command's parser."""
    text = "Measure a model on a test set with folders HR/ and LRx4/."
    parser = new_parser(commands, "evaluate", text)
    add_model_arguments(parser)
    parser.add_argument("--data", type=Path, required=True, help="folder of the test set")
    parser.add_argument("--scale", type=int, help="level to measure (default: the model's last)")
    parser.add_argument("--metric-weights", type=Path, help="folder of LPIPS weights")
    parser.add_argument("--json", type=Path, help="file to write the metrics to")
    return parser


def run(args: argparse.Namespace) -> int:
    """Print the metrics as a table, and write them as JSON if asked."""
    name, model = load_model(args.model, args.device)
    metrics = evaluate(
        model,
        args.data,
        scale=args.scale,
        metric_weights=args.metric_weights,
        dtype=args.dtype,
    )
    print(table([metrics]))
    if args.json:
        text = json.dumps({"model": name, **asdict(metrics)}, indent=2) + "\n"
        with atomic_write(args.json) as partial:
            partial.write_text(text, encoding="utf-8")
    return 0
