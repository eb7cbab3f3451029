"""A hostile config.json is refused before a network is built."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from hsr_hub import HSRNet


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("scale", 4.0),
        ("scale", True),
        ("scale", "4"),
        ("scale", [[4]]),
        ("fusion_width", 48.5),
        ("fusion_width", 10**9),
        ("fusion_width", -1),
        ("kernel_sizes", [3] * 17),
        ("kernel_sizes", [3, 5.0, 7]),
        ("kernel_sizes", [3, None, 7]),
        ("kernel_sizes", [3] * 20_000),
        ("widths", [10**30, 1, 1]),
        ("dilations", [2, 2, 10**9]),
        ("dilations", {"a": 2}),
        ("reconstruction_widths", ["24", "12"]),
    ],
)
def test_numbers_must_be_integers_within_bounds(model: HSRNet, tmp_path: Path, key, value: Any):
    model.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    started = time.perf_counter()
    with pytest.raises(ValueError, match=rf"config\.json.*{key}") as caught:
        HSRNet.from_pretrained(tmp_path)
    assert time.perf_counter() - started < 1
    assert len(str(caught.value)) < 400 and "\n" not in str(caught.value)


def test_a_huge_file_is_not_parsed(model: HSRNet, tmp_path: Path):
    model.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(" " * 100_000 + "{}")
    with pytest.raises(ValueError, match="has more than 65536 bytes"):
        HSRNet.from_pretrained(tmp_path)
