"""Shared by all benchmarks: bundled models, the machine, and how results are saved."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Any

import psutil
import torch

from hsr_hub import HSRNet
from hsr_hub.hub import DETAIL, bundled_models
from hsr_hub.images import atomic_write

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def model_strengths() -> dict[str, list[float]]:
    """Return the bundled models without the detail models, and the strengths to measure each at."""
    names = bundled_models()
    return {
        name: [0, 0.5, 1] if name + DETAIL in names else [0]
        for name in names
        if not name.endswith(DETAIL)
    }


def load(name: str, strength: float = 0) -> HSRNet:
    """Return a bundled model, mixed with its detail model at a strength in [0, 1]."""
    net = HSRNet.from_pretrained(name)
    if strength:
        net = HSRNet.interpolate(net, HSRNet.from_pretrained(name + DETAIL), strength)
    return net.eval()


def processor() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def environment() -> dict[str, Any]:
    """Return machine, versions and date."""
    versions = {
        name: importlib.metadata.version(name) for name in ("torch", "numpy", "pillow", "gradio")
    }
    return {
        "cpu": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1,
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "versions": versions,
        "date": datetime.datetime.now(tz=datetime.timezone.utc).date().isoformat(),
    }


def save(path: Path | None, **results: Any) -> None:
    """Write results and their environment as JSON. Without a path, write nothing."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"environment": environment(), **results}, indent=1)
    with atomic_write(path) as partial:
        partial.write_text(text + "\n")
