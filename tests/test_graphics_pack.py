"""Drawn training tiles: the right number and size, and the same for the same seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recipes import graphics_pack
from recipes.graphics_pack import KINDS, SIDE, Kind, find_fonts, make_pack


def test_a_pack_is_seeded(tmp_path: Path):
    for name, seed in (("one", 0), ("two", 0), ("other", 1)):
        make_pack(tmp_path / name, count=3, seed=seed)
    one, two, other = (sorted((tmp_path / name).iterdir()) for name in ("one", "two", "other"))
    assert len(one) == 3
    for left, right, different in zip(one, two, other, strict=True):
        with Image.open(left) as image:
            assert image.size == (SIDE, SIDE) and image.mode == "RGB"
        assert left.read_bytes() == right.read_bytes() != different.read_bytes()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_works_with_matplotlibs_fonts_alone(kind: Kind):
    own = {
        script: [path for path in paths if path.name.startswith("DejaVu")]
        for script, paths in find_fonts().items()
    }
    tile = kind(np.random.default_rng(0), {script: paths for script, paths in own.items() if paths})
    assert tile.size == (SIDE, SIDE)
    colours = np.unique(np.asarray(tile).reshape(-1, 3), axis=0)
    assert len(colours) == 2 if kind is graphics_pack.one_bit else len(colours) > 2
