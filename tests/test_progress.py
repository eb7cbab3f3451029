"""The count and the time left of the command line."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from hsr_hub import HSRNet
from hsr_hub.inference import FileOptions, FileTask, upscale_files
from hsr_hub.inference.progress import FileProgress, about


class Terminal(io.StringIO):
    """A file that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_the_count_and_the_time_left():
    now = 0.0
    progress = FileProgress(40, io.StringIO(), lambda: now)
    assert progress.text() == "0 of 40"
    for _ in range(12):
        now += 6.5
        progress.advance()
    assert progress.text() == "12 of 40, about 3 min left"
    for _ in range(28):
        progress.advance()
    assert progress.text() == "40 of 40"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "about 1 s"),
        (7.4, "about 7 s"),
        (43, "about 45 s"),
        (170, "about 3 min"),
        (5399, "about 90 min"),
        (9000, "about 2.5 h"),
    ],
)
def test_times_are_rounded(seconds: float, text: str):
    assert about(seconds) == text


def test_a_terminal_gets_a_bar_and_a_file_gets_few_lines():
    terminal, log = Terminal(), io.StringIO()
    for file in (terminal, log):
        now = 0.0
        with FileProgress(10, file, lambda: now) as progress:  # noqa: B023  (used at once)
            for number in range(10):
                progress.start(f"{number}.png")
                now += 6
                progress.advance()
    assert "5 of 10, about 30 s left" in terminal.getvalue()
    assert "9.png" in terminal.getvalue()
    assert log.getvalue().splitlines() == [
        "hsr-hub: 3 of 10, about 40 s left",
        "hsr-hub: 6 of 10, about 25 s left",
        "hsr-hub: 9 of 10, about 6 s left",
    ]


def test_files_that_fail_are_counted(
    tmp_path: Path, model: HSRNet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setattr("hsr_hub.inference.progress.LINE_SECONDS", 0)
    tasks = [FileTask(tmp_path / f"{n}.png", tmp_path / f"{n}-4x.png") for n in range(3)]
    Image.new("RGB", (6, 5)).save(tasks[0].source)
    tasks[1].source.write_text("not an image")
    Image.new("RGB", (6, 5)).save(tasks[2].source)
    assert upscale_files(model, tasks, FileOptions()) == 1
    shown = capsys.readouterr().err
    assert "hsr-hub: 1 of 3, about" in shown and "hsr-hub: 2 of 3, about" in shown
