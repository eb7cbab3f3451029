"""Run the real Hub client in its own process against the double, and look for leaked tokens."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.hub_double import READ_TOKEN, WRITE_TOKEN, Hub
from tests.hub_process import run_python
from tests.util import ROOT

QUICK_XET = {"HF_XET_CLIENT_RETRY_MAX_ATTEMPTS": "2", "HF_XET_CLIENT_RETRY_BASE_DELAY": "50ms"}
"""Settings of hf_xet that limit its retries to seconds."""


def environment(hub: Hub, home: Path, token: str = WRITE_TOKEN) -> dict[str, str]:
    """Return the environment of a user whose Hub is the double and whose cache is `home`."""
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
    """Run `python COMMAND...`, and check that no token is in its output or its files.

    Args:
        hub: A running double.
        home: HF_HOME, the folder of the cache and of hf_xet's logs.
        command: Arguments of Python.
        token: HF_TOKEN; empty if the user is not logged in.
        cwd: Folder to run in; by default the repository.
        look_in: More folders to search for tokens.
        timeout: Seconds.
        env: More environment variables.
    """
    words, folder = [str(word) for word in command], cwd or ROOT
    variables = {**environment(hub, home, token), **(env or {})}
    done = run_python(words, folder, variables, timeout)
    assert_no_token(done.stdout + done.stderr, home, *look_in)
    return done


def assert_no_token(output: str, *folders: Path) -> None:
    """Fail if a token is in the output or in any file below the folders."""
    for secret in (WRITE_TOKEN, READ_TOKEN):
        assert secret not in output, "the token was printed"
        for path in (p for folder in folders for p in folder.rglob("*") if p.is_file()):
            assert secret.encode() not in path.read_bytes(), f"the token is in {path}"
