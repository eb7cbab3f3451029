"""What all benchmarks share: where results go, and on what machine they were found."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import psutil
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from hsr_hub import HSRNet
from hsr_hub.hub import DETAIL, bundled_models
from hsr_hub.images import atomic_write

RESULTS = ROOT / "benchmarks" / "results"


def sets() -> dict[str, list[float]]:
    """The shipped sets that stand alone, and the strengths that each can be measured at."""
    names = bundled_models()
    return {
        name: [0, 0.5, 1] if name + DETAIL in names else [0]
        for name in names
        if not name.endswith(DETAIL)
    }


def load(name: str, strength: float = 0) -> HSRNet:
    """A shipped set, mixed with its twin."""
    net = HSRNet.from_pretrained(name)
    if strength:
        net = HSRNet.interpolate(net, HSRNet.from_pretrained(name + DETAIL), strength)
    return net.eval()


def processor() -> str:
    """The processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def circumstances() -> dict[str, Any]:
    """Machine, versions and date."""
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
    """Write results with their circumstances as JSON, when there is a path."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"circumstances": circumstances(), **results}, indent=1)
    with atomic_write(path) as partial:
        partial.write_text(text + "\n")
