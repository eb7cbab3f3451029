"""Measure images per second of `train_accelerate.py`: one and two processes, and all GPUs.

    python -m benchmarks.training [--json FILE]

Trains the pixel stage of the default network for a few dozen steps on `train/photos-1` under
HSR_DATA, or on the examples if that is missing, and reads the log of the script. On a CPU each
process has one thread. One process is measured twice: with photos decoded once (`--cache_images`)
and with photos decoded for every crop. Nothing else should run on the machine meanwhile.
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

from benchmarks import common
from hsr_hub.evaluation import data_root

BATCH = {"cpu": 8, "cuda": 64}
STEPS = {"cpu": 40, "cuda": 400}


@contextmanager
def gpu_use(samples: list[float]) -> Iterator[None]:
    """Append the utilisation of all GPUs, in percent, to `samples` every half second."""
    stop = Event()
    ask = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]

    def watch() -> None:
        while torch.cuda.is_available() and not stop.wait(0.5):
            answer = subprocess.run(ask, capture_output=True, text=True).stdout
            samples.extend(float(line) for line in answer.split())

    thread = Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def measure(photos: Path, device: str, processes: int, cache: str | None) -> dict:
    """Return images per second and the share of time spent waiting for data.

    Both are medians over windows of steps.
    """
    several = ["--multi_gpu"] if processes > 1 else ["--cpu"] if device == "cpu" else []
    steps, batch = STEPS[device], BATCH[device]
    window = steps // 4
    environment = dict(os.environ)
    if device == "cpu":
        environment |= {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    use: list[float] = []
    with tempfile.TemporaryDirectory() as out, gpu_use(use):
        options = {
            "--train_data_dir": photos,
            "--output_dir": out,
            "--train_batch_size": batch,
            "--max_train_steps": steps,
            "--logging_steps": window,
            "--checkpointing_steps": 10 * steps,
        }
        if cache:
            options["--cache_images"] = cache
        launch = {
            "--num_processes": processes,
            "--num_machines": 1,
            "--mixed_precision": "bf16" if device == "cuda" else "no",
            "--dynamo_backend": "no",
            "--main_process_port": 0,
        }
        command = [sys.executable, "-m", "accelerate.commands.launch", *several]
        command += [str(part) for pair in launch.items() for part in pair]
        command += ["train_accelerate.py"]
        command += [str(part) for pair in options.items() for part in pair]
        subprocess.run(
            command, cwd=common.ROOT, env=environment, check=True, stdout=subprocess.DEVNULL
        )
        lines = [json.loads(line) for line in (Path(out) / "log.jsonl").read_text().splitlines()]
    step = statistics.median(line["seconds/step"] for line in lines[1:])  # the first one warms up
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
    """Print a line per run and write JSON on request."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    photos = data_root() / "train" / "photos-1"
    if not photos.is_dir():
        photos = common.ROOT / "examples"
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
