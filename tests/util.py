"""Where things are, and programs started as a user starts them."""

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
    reason="the field's test sets are not at hand (HSR_DATA); their stand-in is tested instead",
)


def run(
    *command: str | Path,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    timeout: float = 600,
) -> subprocess.CompletedProcess[str]:
    """A finished process, with what it printed."""
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
    """`python -m hsr_hub ...`, finished."""
    return run(sys.executable, "-m", "hsr_hub", *arguments)
