"""Run Python commands in fresh processes that start quickly, because torch is loaded already.

A fork server imports torch once. Each command runs in a fork of it, which has not yet imported
huggingface_hub or our package, and so reads the environment variables of the command.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PRELOADED = ["torch", "numpy", "PIL.Image", "safetensors.torch"]


def run_python(
    command: Sequence[str], cwd: Path, env: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run `python COMMAND...`, and return what it printed.

    Args:
        command: "-m" and a module or "-c" and code, and the arguments.
        cwd: Folder to run in.
        env: All environment variables. PYTHONPATH has no effect.
        timeout: Seconds.

    Raises:
        subprocess.TimeoutExpired: If the command does not end in time. It is killed.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():  # Windows
        return subprocess.run(
            [sys.executable, *command],
            cwd=cwd,
            env=dict(env),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=timeout,
            check=False,
        )
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder) / "stdout", Path(folder) / "stderr"]
        process = context.Process(
            target=_run, args=(list(command), str(cwd), dict(env), *map(str, outputs))
        )
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(list(command), timeout)
        stdout, stderr = (path.read_text(encoding="utf-8") for path in outputs)
        return subprocess.CompletedProcess(list(command), process.exitcode, stdout, stderr)


def _run(command: list[str], cwd: str, env: dict[str, str], stdout: str, stderr: str) -> None:
    """Become the command: called in the new process."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    for descriptor, path in ((1, stdout), (2, stderr)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, descriptor)
        os.close(file)
    option, program, *arguments = command
    sys.argv = [option, *arguments]
    sys.path.insert(0, "")
    if option == "-m":
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        assert option == "-c", option
        names: dict[str, Any] = {"__name__": "__main__"}
        exec(compile(program, "<string>", "exec"), names)
