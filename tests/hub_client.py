"""The Hub's real client in a process of its own, against the double; no token may come out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.hub_double import READ_TOKEN, WRITE_TOKEN, Hub
from tests.util import ROOT

QUICK_XET = {"HF_XET_CLIENT_RETRY_MAX_ATTEMPTS": "2", "HF_XET_CLIENT_RETRY_BASE_DELAY": "50ms"}
"""hf_xet's own settings, so that what cannot succeed fails in seconds."""


def environment(hub: Hub, home: Path, token: str = WRITE_TOKEN) -> dict[str, str]:
    """Variables of a user whose Hub is the double and whose cache is `home`."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return {
        **own,
        **QUICK_XET,
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(home),
        **({"HF_TOKEN": token} if token else {}),
        "GRADIO_ANALYTICS_ENABLED": "0",
        "PYTHONPATH": str(ROOT),
    }


def client(
    hub: Hub,
    home: Path,
    *command: str | Path,
    token: str = WRITE_TOKEN,
    cwd: Path | None = None,
    look_in: tuple[Path, ...] = (),
    timeout: float = 240,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """`python COMMAND...`, finished; neither its output nor a file it wrote holds a token.

    Args:
        hub: A running double.
        home: HF_HOME: the cache, hf_xet's logs.
        command: Arguments of Python.
        token: HF_TOKEN; empty: not logged in.
        cwd: Where to run; by default the repository.
        look_in: More folders in which no token may be written.
        timeout: Seconds.
        env: More environment variables.
    """
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd or ROOT,
        env={**environment(hub, home, token), **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert_no_token(done.stdout + done.stderr, home, *look_in)
    return done


def assert_no_token(output: str, *folders: Path) -> None:
    """Neither in a text nor in any file below the folders."""
    for secret in (WRITE_TOKEN, READ_TOKEN):
        assert secret not in output, "the token was printed"
        for path in (p for folder in folders for p in folder.rglob("*") if p.is_file()):
            assert secret.encode() not in path.read_bytes(), f"the token is in {path}"
