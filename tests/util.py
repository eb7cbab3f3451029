"""Paths, and programs started as users start them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from hsr_hub.evaluation import data_root

ROOT = Path(__file__).resolve().parents[1]

needs_test_sets = pytest.mark.skipif(
    not (data_root() / "test" / "Set5").is_dir(),
    reason="the test sets are missing (HSR_DATA); a small one is tested instead",
)


def run(
    *command: str | Path,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    timeout: float = 600,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return its output."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def hsr_hub(*arguments: str | Path):
    """Run `python -m hsr_hub` to its end and return its output."""
    return run(sys.executable, "-m", "hsr_hub", *arguments)
