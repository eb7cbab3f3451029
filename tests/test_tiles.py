"""The tile engine where memory runs out, numbers overflow, or someone looks on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hsr_hub import HSRNet
from hsr_hub.inference import Tile, TileEngine, fit_size, memory, split, upscale
from tests.conftest import random_model


@pytest.fixture
def image(rng) -> np.ndarray:
    return rng.integers(0, 256, (90, 110, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    yield
    memory._largest_tile_that_fit.clear()


@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    side=st.integers(1, 400),
)
def test_tiles_cover_every_pixel_once(height, width, side):
    covered = np.zeros((height, width), int)
    for box in split(Tile(0, 0, height, width), side):
        assert max(box.shape()) <= side
        covered[box.top : box.bottom, box.left : box.right] += 1
    assert (covered == 1).all()


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("no"), RuntimeError("... can't allocate memory"), MemoryError()],
)
def test_out_of_memory_halves_the_tile_and_is_remembered(model, image, monkeypatch, error):
    expected = model.upscale(image, dtype="float32")
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
    assert seen == [(1, 1)]  # one tile as planned, computed in parts
    tried.clear()
    again = model.upscale(image, dtype="float32")
    assert np.abs(again.astype(int) - expected).max() <= 1
    assert max(tried) <= 40 + 2 * margin


def test_memory_that_runs_out_among_many_tiles_halves_once(model, image, monkeypatch):
    """And a tile that has to be computed again in float32 may run out of it too."""
    expected = model.upscale(image, dtype="float32")
    compute, margin = HSRNet.super_resolve, model.receptive_field
    sizes: list[int] = []

    def small_memory(self, lq, scale):
        exact = not torch.is_autocast_enabled("cpu")
        sizes.append(max(lq.shape[-2:]) - 2 * margin)
        if sizes[-1] > (9 if exact else 18):
            raise torch.OutOfMemoryError("no")
        return compute(self, lq, scale) * (1 if exact else float("nan"))

    monkeypatch.setattr(HSRNet, "super_resolve", small_memory)
    result = model.upscale(image, tile_size=32, dtype="bfloat16")
    assert np.abs(result.astype(int) - expected).max() <= 1
    # Once in each of the two types, however many tiles were still to come.
    assert sum(size > 18 for size in sizes) == 1
    assert sum(9 < size <= 18 for size in sizes) <= 2
    assert [*memory._largest_tile_that_fit[model].values()] == [8]


def test_memory_that_never_suffices_is_an_error(model, image, monkeypatch):
    def no_memory(self, lq, scale):
        raise torch.OutOfMemoryError("no")

    monkeypatch.setattr(HSRNet, "super_resolve", no_memory)
    with pytest.raises(torch.OutOfMemoryError):
        model.upscale(image)
    assert not memory._largest_tile_that_fit.get(model)  # a later picture may find more room


def test_other_errors_are_not_taken_for_memory(model, image, monkeypatch):
    def broken(self, lq, scale):
        raise RuntimeError("something else")

    monkeypatch.setattr(HSRNet, "super_resolve", broken)
    with pytest.raises(RuntimeError, match="something else"):
        model.upscale(image)


def test_a_tile_that_overflows_is_redone_in_float32(image):
    """Features beyond what float16 holds: alone they would give a black picture."""
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


def test_damaged_weights_give_no_black_picture(image):
    model = random_model(kernel_sizes=[3], widths=[8])
    with torch.no_grad():
        model.fusion.conv1.weight[0, 0, 0, 0] = float("nan")
    for dtype in ("float32", "bfloat16"):
        with pytest.raises(ValueError, match="not finite"):
            model.upscale(image, dtype=dtype)


def test_tiles_of_one_shape_go_through_together(model, image, monkeypatch):
    alone = model.upscale(image, tile_size=16, dtype="float32")
    whole = TileEngine._batches

    def pairs(self, height, width):
        waiting = []
        for (box,) in whole(self, height, width):
            shape = box.with_margin(self.margin, height, width).shape()
            if waiting and waiting[0].with_margin(self.margin, height, width).shape() != shape:
                yield waiting
                waiting = []
            waiting.append(box)
            if len(waiting) == 3:
                yield waiting
                waiting = []
        if waiting:
            yield waiting

    monkeypatch.setattr(TileEngine, "_batches", pairs)
    together = model.upscale(image, tile_size=16, dtype="float32")
    assert np.abs(together.astype(int) - alone).max() <= 1


def test_tiles_are_shown_as_they_are_done(model, image):
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


def test_fitted_sizes_keep_the_shape():
    assert fit_size((400, 300), width=200) == (200, 150)
    assert fit_size((400, 300), height=600) == (800, 600)
    assert fit_size((300, 400), longest=1000) == (750, 1000)
    assert fit_size((400, 300), width=800, height=450) == (600, 450)
    assert fit_size((400, 1), longest=40) == (40, 1)
    with pytest.raises(ValueError, match="positive"):
        fit_size((4, 3))
