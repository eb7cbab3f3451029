"""Images per second of `train_accelerate.py`: one and two processes, and all GPUs where there are.

    python benchmarks/training.py [--json FILE]

Trains the default network's pixel stage for a few dozen steps on `train/photos-1` under HSR_DATA
(the example pictures where that is missing) and reads the script's own log. On a CPU each process
has one thread; with one process, photos decoded once (`--cache_images`) and anew for every crop.
One run after the other, on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import common
from hsr_hub.evaluation import data_root

BATCH = {"cpu": 8, "cuda": 64}
STEPS = {"cpu": 40, "cuda": 400}


@contextmanager
def gpu_use(samples: list[float]) -> Iterator[None]:
    """Collect the GPUs' utilisation in percent, every half second, where there are any."""
    over = Event()
    ask = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]

    def watch() -> None:
        while torch.cuda.is_available() and not over.wait(0.5):
            answer = subprocess.run(ask, capture_output=True, text=True).stdout
            samples.extend(float(line) for line in answer.split())

    thread = Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def measure(photos: Path, device: str, processes: int, cache: str | None) -> dict:
    """Images per second and the share of waiting for data, medians over windows of steps."""
    several = ["--multi_gpu"] if processes > 1 else ["--cpu"] if device == "cpu" else []
    steps, batch = STEPS[device], BATCH[device]
    window = steps // 4
    environment = dict(os.environ)
    if device == "cpu":
        environment |= {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    use: list[float] = []
    with tempfile.TemporaryDirectory() as out, gpu_use(use):
        command = [
            *(sys.executable, "-m", "accelerate.commands.launch", *several),
            *("--num_processes", str(processes), "--num_machines", "1"),
            *("--mixed_precision", "bf16" if device == "cuda" else "no"),
            *("--dynamo_backend", "no", "--main_process_port", "0", "train_accelerate.py"),
            *("--train_data_dir", str(photos), "--output_dir", out),
            *(["--cache_images", cache] if cache else []),
            *("--train_batch_size", str(batch), "--max_train_steps", str(steps)),
            *("--logging_steps", str(window), "--checkpointing_steps", str(10 * steps)),
        ]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
        lines = [json.loads(line) for line in (Path(out) / "log.jsonl").read_text().splitlines()]
    step = statistics.median(line["seconds/step"] for line in lines[1:])  # the first warms up
    wait = statistics.median(line["seconds/data"] for line in lines[1:])
    return {
        "device": device,
        "processes": processes,
        "photos": f"cached in {cache}" if cache else "decoded",
        "images_per_second": batch * processes / step,
        "seconds_per_step": step,
        "data_share": wait / step,
        "gpu_percent": statistics.median(use) if use else None,
    }


def main() -> None:
    """Print a line per run; write JSON too when asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    photos = data_root() / "train" / "photos-1"
    if not photos.is_dir():
        photos = ROOT / "examples"
    runs = [("cpu", 1, "memory"), ("cpu", 2, "memory"), ("cpu", 1, None)]
    gpus = torch.cuda.device_count()
    runs += [("cuda", count, "device") for count in sorted({min(1, gpus), gpus} - {0})]
    rows = []
    for run in runs:
        rows.append(measure(photos, *run))
        print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    common.save(args.json, rows=rows, batch=BATCH)


if __name__ == "__main__":
    main()
