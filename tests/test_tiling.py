"""Tiles: splitting, too little memory, overflow in 16-bit types, and reports of finished tiles."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hsr_hub import HSRNet
from hsr_hub.inference import Tile, TileEngine, fit_size, memory, split, upscale
from tests.conftest import random_model


@pytest.fixture(scope="module")
def model() -> HSRNet:
    """A network with a small receptive field, so that margins cost little."""
    return random_model(
        kernel_sizes=[3],
        widths=[8],
        dilations=[1, 1, 1],
        fusion_width=8,
        reconstruction_widths=[8, 4],
    )


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (90, 110, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def expected(model: HSRNet, image: np.ndarray) -> np.ndarray:
    """The result without tiles."""
    return model.upscale(image, dtype="float32")


@pytest.fixture(autouse=True)
def forget_tile_sizes() -> Iterator[None]:
    yield
    memory._largest_tile_that_fit.clear()


@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    side=st.integers(1, 400),
)
def test_tiles_cover_every_pixel_once(height, width, side):
    covered = np.zeros((height, width), int)
    for tile in split(Tile(0, 0, height, width), side):
        assert max(tile.shape()) <= side
        covered[tile.top : tile.bottom, tile.left : tile.right] += 1
    assert (covered == 1).all()


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("no"), RuntimeError("... can't allocate memory"), MemoryError()],
)
def test_out_of_memory_halves_the_tile_and_is_remembered(
    model, image, expected, monkeypatch, error
):
    margin = model.receptive_field
    tried: list[int] = []
    compute = HSRNet.super_resolve

    def small_memory(self, lq, scale):
        tried.append(max(lq.shape[-2:]))
        if tried[-1] > 40 + 2 * margin:
            raise error
        return compute(self, lq, scale)

    monkeypatch.setattr(HSRNet, "super_resolve", small_memory)
    seen: list[tuple[int, int]] = []
    result = model.upscale(image, dtype="float32", progress=lambda *a: seen.append(a))
    assert np.abs(result.astype(int) - expected).max() <= 1
    assert seen == [(1, 1)]  # the one planned tile, computed in parts
    tried.clear()
    again = model.upscale(image, dtype="float32")
    assert np.abs(again.astype(int) - expected).max() <= 1
    assert max(tried) <= 40 + 2 * margin


def test_out_of_memory_among_many_tiles_halves_once(model, image, monkeypatch):
    """A tile that is computed again in float32 can run out of memory too."""
    image = image[:48, :60]
    expected = model.upscale(image, dtype="float32")
    compute, margin = HSRNet.super_resolve, model.receptive_field
    sizes: list[int] = []

    def small_memory(self, lq, scale):
        exact = not torch.is_autocast_enabled("cpu")
        sizes.append(max(lq.shape[-2:]) - 2 * margin)
        if sizes[-1] > (9 if exact else 17):
            raise torch.OutOfMemoryError("no")
        if exact:
            return compute(self, lq, scale)
        batch, channels, height, width = lq.shape
        return torch.full((batch, channels, height * scale, width * scale), float("nan"))

    monkeypatch.setattr(HSRNet, "super_resolve", small_memory)
    result = model.upscale(image, tile_size=32, dtype="bfloat16")
    assert np.abs(result.astype(int) - expected).max() <= 1
    # Once in each of the two types, whatever the number of tiles that follow.
    assert sum(size > 17 for size in sizes) == 1
    assert sum(9 < size <= 17 for size in sizes) <= 2
    assert [*memory._largest_tile_that_fit[model].values()] == [8]


def test_out_of_memory_for_the_smallest_tile_is_an_error(model, image, monkeypatch):
    def no_memory(self, lq, scale):
        raise torch.OutOfMemoryError("no")

    monkeypatch.setattr(HSRNet, "super_resolve", no_memory)
    with pytest.raises(torch.OutOfMemoryError):
        model.upscale(image)
    assert not memory._largest_tile_that_fit.get(model)  # more memory may be free for a later image


def test_other_errors_are_raised(model, image, monkeypatch):
    def broken(self, lq, scale):
        raise RuntimeError("something else")

    monkeypatch.setattr(HSRNet, "super_resolve", broken)
    with pytest.raises(RuntimeError, match="something else"):
        model.upscale(image)


def test_overflowing_tile_is_computed_again_in_float32(image):
    """Features outside the range of float16 would give a black image."""
    model = random_model(kernel_sizes=[3], widths=[8])
    weights = dict(model.named_parameters())
    with torch.no_grad():
        for name in ("convs.0", "convs.7"):
            weights[f"extraction.branches.0.{name}.weight"].mul_(1e6)
            weights[f"extraction.branches.0.{name}.bias"].mul_(1e6)
        weights["fusion.conv1.weight"].div_(1e12)
    exact = model.upscale(image, dtype="float32")
    assert np.array_equal(model.upscale(image, dtype="float16"), exact)
    assert exact.std() > 1


def test_damaged_weights_are_an_error(image):
    model = random_model(kernel_sizes=[3], widths=[8])
    with torch.no_grad():
        model.fusion.conv1.weight[0, 0, 0, 0] = float("nan")
    for dtype in ("float32", "bfloat16"):
        with pytest.raises(ValueError, match="not finite"):
            model.upscale(image, dtype=dtype)


def test_batch_of_tiles_equals_single_tiles(model, image, monkeypatch):
    alone = model.upscale(image, tile_size=16, dtype="float32")
    single_tiles = TileEngine._batches
    sizes: list[int] = []

    def batches_of_three(self, height, width):
        tiles = [tile for (tile,) in single_tiles(self, height, width)]
        for _, group in groupby(
            tiles, lambda tile: tile.with_margin(self.margin, height, width).shape()
        ):
            same_shape = list(group)
            for start in range(0, len(same_shape), 3):
                sizes.append(len(same_shape[start : start + 3]))
                yield same_shape[start : start + 3]

    monkeypatch.setattr(TileEngine, "_batches", batches_of_three)
    together = model.upscale(image, tile_size=16, dtype="float32")
    assert max(sizes) > 1
    assert np.abs(together.astype(int) - alone).max() <= 1


def test_on_tile_gets_every_tile_once(model, image):
    for array in (image, image[:, :, 0], np.dstack([image, image[:, :, 0]])):
        shown = np.zeros((360, 440, 3 if array.ndim == 3 else 1), np.uint8)
        colours = slice(3) if array.ndim == 3 else None
        done: list[int] = []

        def look(left: int, top: int, tile: np.ndarray, shown=shown, done=done) -> None:
            shown[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
            done.append(tile.size)

        result = upscale(model, array, tile_size=40, on_tile=look)
        assert isinstance(result, np.ndarray)
        assert np.array_equal(shown, result[:, :, colours])
        assert len(done) == 9


def test_fit_size_keeps_the_aspect_ratio():
    assert fit_size((400, 300), width=200) == (200, 150)
    assert fit_size((400, 300), height=600) == (800, 600)
    assert fit_size((300, 400), longest=1000) == (750, 1000)
    assert fit_size((400, 300), width=800, height=450) == (600, 450)
    assert fit_size((400, 1), longest=40) == (40, 1)
    with pytest.raises(ValueError, match="positive"):
        fit_size((4, 3))
