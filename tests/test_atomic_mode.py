"""A replaced file keeps its mode."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hsr_hub.images import atomic_write


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o660])
def test_a_private_result_stays_private(tmp_path: Path, mode: int):
    path = tmp_path / "result.png"
    path.write_bytes(b"old")
    path.chmod(mode)
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"new")
    assert path.read_bytes() == b"new" and path.stat().st_mode & 0o777 == mode
