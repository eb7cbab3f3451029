"""Images per second of `train_accelerate.py` with one and two CPU processes of one thread each.

Photos decoded once (`--cache_images`) and, with one process, anew for every crop.

    python benchmarks/training.py [--json FILE]

Trains the default network's pixel stage for a few dozen steps on `train/photos-1` under HSR_DATA
(the example pictures where that is missing) and reads the script's own log. One run after the
other, on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from hsr_hub.files import write_whole
from hsr_hub.paths import data_root

STEPS, WINDOW = 40, 10
BATCH = 8


def measure(photos: Path, processes: int, cached: bool = True) -> dict[str, float]:
    """Images per second and the share of waiting for data, medians over windows of steps."""
    several = ["--multi_gpu"] if processes > 1 else ["--cpu"]
    with tempfile.TemporaryDirectory() as out:
        command = [
            *(sys.executable, "-m", "accelerate.commands.launch", *several),
            *("--num_processes", str(processes), "--num_machines", "1", "--mixed_precision", "no"),
            *("--dynamo_backend", "no", "--main_process_port", "0", "train_accelerate.py"),
            *("--train_data_dir", str(photos), "--output_dir", out),
            *(["--cache_images"] if cached else []),
            *("--train_batch_size", str(BATCH), "--max_train_steps", str(STEPS)),
            *("--logging_steps", str(WINDOW), "--checkpointing_steps", str(10 * STEPS)),
        ]
        environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
        subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
        lines = [json.loads(line) for line in (Path(out) / "log.jsonl").read_text().splitlines()]
    windows = sorted(line["seconds/step"] for line in lines[1:])  # the first warms up
    waits = sorted(line["seconds/data"] for line in lines[1:])
    step, wait = windows[len(windows) // 2], waits[len(waits) // 2]
    return {
        "processes": processes,
        "cached": cached,
        "images_per_second": BATCH * processes / step,
        "seconds_per_step": step,
        "data_share": wait / step,
    }


def main() -> None:
    """Print a table; write it as JSON too when asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    photos = data_root() / "train" / "photos-1"
    if not photos.is_dir():
        photos = ROOT / "examples"
    rows = [measure(photos, 1), measure(photos, 2), measure(photos, 1, cached=False)]
    print("| processes | photos | images/s | s/step | waiting for data |\n|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['processes']:.0f} | {'cached' if row['cached'] else 'decoded'} "
            f"| {row['images_per_second']:.1f} "
            f"| {row['seconds_per_step']:.3f} | {100 * row['data_share']:.1f} % |"
        )
    speedup = rows[1]["images_per_second"] / rows[0]["images_per_second"]
    print(f"\nTwo processes: {speedup:.2f} times the images per second of one.")
    if args.json:
        with write_whole(args.json) as partial:
            partial.write_text(json.dumps({"rows": rows, "speedup": speedup}, indent=2) + "\n")


if __name__ == "__main__":
    main()
