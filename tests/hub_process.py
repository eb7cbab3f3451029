"""Run Python commands in fresh processes that start quickly, because torch is loaded already.

A fork server imports torch once. Each command runs in a fork of it, which has not yet imported
huggingface_hub, gradio or our package, and so reads the environment variables of the command.
"""

from __future__ import annotations

import atexit
import multiprocessing
import multiprocessing.util
import os
import runpy
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PRELOADED = ["torch", "numpy", "PIL.Image", "safetensors.torch", "fastapi", "pandas", "mcp"]
"""Modules that take long to import and do not import huggingface_hub."""

multiprocessing.util.get_temp_dir()  # before `app` chooses a folder that it removes at the end


class PythonProcess:
    """A running `python COMMAND...`, with the methods of `subprocess.Popen` that the tests use."""

    def __init__(
        self,
        command: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        stdout: Path,
        stderr: Path | None = None,
        new_session: bool = False,
    ) -> None:
        """Start the command.

        Args:
            command: "-m" and a module, "-c" and code, or a file, and the arguments.
            cwd: Folder to run in.
            env: All environment variables.
            stdout: File for the standard output.
            stderr: File for the standard error; None for that of the standard output.
            new_session: Whether the process leads a session, and so a group, of its own.
        """
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        outputs = (str(stdout), str(stderr or stdout))
        arguments = (list(command), str(cwd), dict(env), outputs, new_session)
        self._process = context.Process(target=_run, args=arguments)
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid
        self.args = list(command)

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return the exit code, or None as long as the process runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit code.

        Raises:
            subprocess.TimeoutExpired: If the process does not end in time.
        """
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()


def run_python(
    command: Sequence[str], cwd: Path, env: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run `python COMMAND...`, and return what it printed.

    Args:
        command: "-m" and a module, "-c" and code, or a file, and the arguments.
        cwd: Folder to run in.
        env: All environment variables.
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
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder) / "stdout", Path(folder) / "stderr"]
        process = PythonProcess(command, cwd, env, outputs[0], outputs[1])
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        stdout, stderr = (path.read_text(encoding="utf-8") for path in outputs)
        return subprocess.CompletedProcess(process.args, process.wait(), stdout, stderr)


def _run(
    command: list[str],
    cwd: str,
    env: dict[str, str],
    outputs: tuple[str, str],
    new_session: bool,
) -> None:
    """Become the command: called in the new process."""
    if new_session:
        os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    tempfile.tempdir = None  # depends on the environment
    multiprocessing.set_start_method(None, force=True)  # the default again
    for descriptor, path in zip((1, 2), outputs, strict=True):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, descriptor)
        os.close(file)
    if "OMP_NUM_THREADS" in env:  # was read when torch was loaded
        sys.modules["torch"].set_num_threads(int(env["OMP_NUM_THREADS"]))
    paths = [path for path in env.get("PYTHONPATH", "").split(os.pathsep) if path]
    first, *rest = command
    try:
        if first == "-m":
            sys.path[:0] = ["", *paths]
            sys.argv = [first, *rest[1:]]
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        elif first == "-c":
            sys.path[:0] = ["", *paths]
            sys.argv = [first, *rest[1:]]
            names: dict[str, Any] = {"__name__": "__main__"}
            exec(compile(rest[0], "<string>", "exec"), names)
        else:
            sys.path[:0] = [str(Path(first).resolve().parent), *paths]
            sys.argv = command
            runpy.run_path(first, run_name="__main__")
    finally:  # as the interpreter does; multiprocessing leaves out the second
        threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue]
        atexit._run_exitfuncs()
