"""upscale: exact tiles, all shapes, dtypes and sizes, grey and alpha."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from hsr_hub import HSRNet
from hsr_hub.images.modes import round_to_eight_bits
from hsr_hub.inference import choose_level, fill_transparent, target_size
from hsr_hub.inference.resize import resize_lanczos, resize_mask
from tests.conftest import random_model


@cache
def small_model() -> HSRNet:
    """A network with a small receptive field, so that margins cost little."""
    return random_model(
        kernel_sizes=[1, 3],
        widths=[4, 4],
        dilations=[2, 1, 1],
        fusion_width=4,
        reconstruction_widths=[4, 4],
    )


@pytest.fixture(scope="module")
def shipped() -> HSRNet:
    return HSRNet.from_pretrained("hsr-lite-x4")


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 48),
    width=st.integers(1, 48),
    tile_size=st.integers(8, 56),
    level=st.sampled_from([1, 2, 4]),
)
def test_tiled_equals_untiled(height, width, tile_size, level):
    model = small_model()
    image = np.random.default_rng(height).random((height, width, 3), dtype=np.float32)
    with torch.no_grad():
        whole = model.super_resolve(torch.from_numpy(image).permute(2, 0, 1)[None], level)
    expected = whole[0].permute(1, 2, 0).clamp(0, 1).numpy()
    tiled = model.upscale(image, scale=level, tile_size=tile_size, dtype="float32")
    assert tiled.shape == (height * level, width * level, 3)
    assert np.abs(tiled - expected).max() <= 1e-5


def shifting_model() -> HSRNet:
    """A network in which every convolution reads only the leftmost pixel of its kernel."""
    model = HSRNet(kernel_sizes=[3, 5], widths=[2, 2], fusion_width=2, reconstruction_widths=[2, 2])
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.Conv2d) and module.bias is not None:
                module.bias.zero_()
                module.weight.zero_()
                module.weight[:, :, module.kernel_size[0] // 2, 0] = 1 / module.in_channels
    return model.eval()


def test_margin_is_not_larger_than_needed(monkeypatch):
    """The margin is as small as it can be; with one pixel less, tiles are not exact."""
    model = shifting_model()
    image = np.random.default_rng(0).random((3, 90, 3), dtype=np.float32) / 64
    whole = model.upscale(image, tile_size=100)
    assert np.abs(model.upscale(image, tile_size=40) - whole).max() <= 1e-5
    monkeypatch.setattr(HSRNet, "receptive_field", model.receptive_field - 1)
    assert np.abs(model.upscale(image, tile_size=40) - whole).max() > 1e-4


def test_progress_counts_the_tiles(model: HSRNet):
    image = np.random.default_rng(0).random((40, 40, 3), dtype=np.float32)
    seen: list[tuple[int, int]] = []
    whole = model.upscale(image, tile_size=100)
    assert np.array_equal(
        whole, model.upscale(image, tile_size=100, progress=lambda *a: seen.append(a))
    )
    assert seen == [(1, 1)]
    seen.clear()
    model.upscale(image, tile_size=16, progress=lambda *a: seen.append(a))
    assert seen == [(i, 9) for i in range(1, 10)]


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 1), (3, 1, 2), (1, 5, 3), (7, 4, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
def test_arrays_of_every_shape_and_dtype(model: HSRNet, shape, dtype, rng):
    top = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1
    image = (rng.random(shape) * top).astype(dtype)
    cases: list[tuple[dict[str, Any], tuple[int, int]]] = [
        ({}, (4 * shape[0], 4 * shape[1])),
        ({"scale": 1.7}, (round(1.7 * shape[0]), round(1.7 * shape[1]))),
        ({"size": (9, 13)}, (13, 9)),
        ({"scale": 6}, (6 * shape[0], 6 * shape[1])),
        ({"scale": 0.5}, (max(1, round(shape[0] / 2)), max(1, round(shape[1] / 2)))),
    ]
    for options, size in cases:
        result = model.upscale(image, **options)
        assert result.shape == (*size, *shape[2:])
        assert result.dtype == dtype
        assert result.min() >= 0
        assert result.max() <= top


def test_sixteen_bits_are_kept(shipped: HSRNet, small_photo: Image.Image):
    eight = np.asarray(small_photo)
    fine = shipped.upscale(eight.astype(np.uint16) * 257).astype(np.float64) / 257
    assert len(np.unique(np.round(fine % 1, 3))) > 50  # values between the 8-bit steps
    assert np.abs(fine - shipped.upscale(eight, dtype="float32")).max() <= 0.5 + 2e-3


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_sixteen_bit_types_are_close_to_float32(shipped: HSRNet, small_photo: Image.Image, dtype):
    exact = np.asarray(shipped.upscale(small_photo, dtype="float32")).astype(int)
    short = np.asarray(shipped.upscale(small_photo, dtype=dtype)).astype(int)
    assert np.abs(short - exact).mean() < 0.2
    tiled = np.asarray(shipped.upscale(small_photo, dtype=dtype, tile_size=40)).astype(int)
    assert np.abs(short - tiled).max() <= 1


def test_default_dtype_is_close_to_float32(shipped: HSRNet, small_photo: Image.Image):
    eight = np.asarray(small_photo)
    for image in (eight / 255.0, eight.astype(np.uint16) * 257):
        assert np.array_equal(shipped.upscale(image), shipped.upscale(image, dtype="float32"))
    difference = shipped.upscale(eight).astype(int) - shipped.upscale(eight, dtype="float32")
    assert np.abs(difference).max() <= 2
    assert np.abs(difference).mean() < 0.2


def test_pil_modes_are_kept(model: HSRNet, small_photo: Image.Image, tmp_path: Path):
    for mode, expected in (
        ("RGB", "RGB"),
        ("L", "L"),
        ("LA", "LA"),
        ("RGBA", "RGBA"),
        ("1", "L"),
        ("P", "RGB"),
        ("CMYK", "RGB"),
    ):
        result = model.upscale(small_photo.convert(mode))
        assert result.mode == expected, mode
        assert result.size == (small_photo.width * 4, small_photo.height * 4)
    small_photo.save(tmp_path / "photo.png")
    from_path = model.upscale(str(tmp_path / "photo.png"))
    assert np.array_equal(np.asarray(from_path), model.upscale(np.asarray(small_photo)))


def test_grey_equals_grey_as_rgb(shipped: HSRNet, small_photo: Image.Image):
    grey = np.asarray(small_photo.convert("L"))
    as_rgb = shipped.upscale(np.repeat(grey[:, :, None], 3, axis=2))
    difference = shipped.upscale(grey).astype(float) - as_rgb.mean(axis=2)
    assert np.abs(difference).max() <= 1


def test_opaque_alpha_changes_nothing(shipped: HSRNet, small_photo: Image.Image):
    opaque = shipped.upscale(small_photo.convert("RGBA"))
    assert np.array_equal(np.asarray(opaque)[:, :, :3], np.asarray(shipped.upscale(small_photo)))
    assert (np.asarray(opaque)[:, :, 3] == 255).all()


def test_colours_under_transparency_do_not_bleed(shipped: HSRNet):
    """All visible pixels of a red disc on transparent black stay red."""
    y, x = np.mgrid[:40, :40]
    inside = (y - 20) ** 2 + (x - 20) ** 2 < 200
    image = np.zeros((40, 40, 4), np.uint8)
    image[inside] = (220, 30, 30, 255)
    result = shipped.upscale(image).astype(int)
    visible = result[result[:, :, 3] > 0]
    assert np.abs(visible[:, :3] - (220, 30, 30)).max() <= 3
    # Alpha does not ring: it is unchanged away from the edge.
    assert set(np.unique(result[76:84, 76:84, 3])) == {255}
    assert set(np.unique(result[:20, :20, 3])) == {0}


def test_fill_transparent_keeps_visible_pixels(rng):
    colour = rng.integers(0, 256, (17, 9, 3), dtype=np.uint8)
    alpha = (rng.random((17, 9, 1)) > 0.5).astype(np.uint8) * 255
    filled = fill_transparent(colour, alpha)
    assert filled.dtype == np.uint8
    assert np.array_equal(filled[alpha[:, :, 0] > 0], colour[alpha[:, :, 0] > 0])


def test_error_in_progress_stops_the_work(model: HSRNet, small_photo: Image.Image):
    calls: list[int] = []

    def stop(done: int, total: int) -> None:
        calls.append(done)
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.upscale(small_photo, tile_size=16, progress=stop)
    assert calls == [1, 2]


@pytest.mark.parametrize(
    ("image", "options", "error", "named"),
    [
        (np.zeros((4, 4, 5), np.uint8), {}, ValueError, r"\(4, 4, 5\)"),
        (np.zeros((0, 4), np.uint8), {}, ValueError, "no pixels"),
        (np.zeros((4, 4), np.int32), {}, TypeError, "int32"),
        (42, {}, TypeError, "int"),
        (np.zeros((4, 4), np.uint8), {"scale": 2, "size": (8, 8)}, ValueError, "either"),
        (np.zeros((4, 4), np.uint8), {"scale": 0}, ValueError, "scale"),
        (np.zeros((4, 4), np.uint8), {"scale": float("nan")}, ValueError, "scale"),
        (np.zeros((4, 4), np.uint8), {"size": (8, 0)}, ValueError, "size"),
        (np.zeros((4, 4), np.uint8), {"tile_size": 0}, ValueError, "tile_size"),
        (np.zeros((4, 4), np.uint8), {"dtype": "int8"}, ValueError, "int8"),
        (np.full((4, 4), 255.0), {}, ValueError, "255"),
        (np.zeros((4, 4), np.uint8), {"scale": 1e300}, ValueError, "scale"),
        (np.zeros((4, 4), np.uint8), {"scale": 1e6}, ValueError, "4000000x4000000"),
        (np.zeros((4, 4), np.uint8), {"size": (10**11, 3)}, ValueError, "GB"),
        (np.zeros((4, 4), np.uint8), {"size": 500}, ValueError, "height.*, not 500"),
        (np.zeros((4, 4), np.uint8), {"size": (3, np.inf)}, ValueError, "height.*inf"),
    ],
)
def test_error_names_the_wrong_argument(model: HSRNet, image, options, error, named):
    with pytest.raises(error, match=named):
        model.upscale(image, **options)


def test_target_size_and_level():
    assert target_size((10, 7), scale=1.7) == (17, 12)
    assert target_size((1, 1), scale=0.1) == (1, 1)
    chosen = [choose_level([1, 2, 4], (10, 10), (s, s)) for s in (5, 10, 11, 20, 21, 90)]
    assert chosen == [1, 1, 2, 2, 4, 4]


def test_scale_of_a_level_gives_that_level(model: HSRNet, small_photo: Image.Image):
    lq = torch.from_numpy(np.asarray(small_photo).copy()).permute(2, 0, 1)[None] / 255
    for index, level in enumerate(model.levels):
        with torch.no_grad():
            expected = (model(lq)[index][0].clamp(0, 1) * 255).round().permute(1, 2, 0).numpy()
        result = np.asarray(model.upscale(small_photo, scale=level, dtype="float32")).astype(int)
        assert np.abs(result - expected).max() <= 1


def test_colour_profile_is_kept(model: HSRNet, small_photo: Image.Image, tmp_path: Path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    small_photo.save(tmp_path / "photo.png", icc_profile=profile)
    assert model.upscale(tmp_path / "photo.png").info["icc_profile"] == profile


def test_cmyk_profile_is_dropped(model: HSRNet, small_photo: Image.Image):
    image = small_photo.convert("CMYK")
    image.info["icc_profile"] = bytes(16) + b"CMYK" + bytes(200)
    assert "icc_profile" not in model.upscale(image).info


def test_pil_image_is_turned_upright(model: HSRNet, small_photo, tmp_path: Path):
    exif = Image.Exif()
    exif[274] = 6
    small_photo.save(tmp_path / "turned.jpg", exif=exif)
    with Image.open(tmp_path / "turned.jpg") as opened:
        from_image = model.upscale(opened)
    assert from_image.size == (small_photo.height * 4, small_photo.width * 4)
    from_path = model.upscale(tmp_path / "turned.jpg")
    assert np.array_equal(np.asarray(from_image), np.asarray(from_path))


def test_big_endian_and_read_only_arrays(model: HSRNet, rng):
    image = rng.integers(0, 65536, (6, 5), dtype=np.uint16)
    swapped = image.astype(">u2")
    swapped.flags.writeable = False
    result = model.upscale(swapped, scale=1.7)
    assert result.dtype == np.dtype(">u2")
    assert np.array_equal(result, model.upscale(image, scale=1.7))
    assert model.upscale(np.zeros((6, 5, 3), np.uint8), scale=1.7).flags.writeable


def test_nearly_transparent_colours_survive_lanczos(shipped: HSRNet):
    image = np.zeros((24, 24, 4), np.uint8)
    image[:] = (220, 30, 30, 2)
    image[8:16, 8:16, 3] = 255
    result = shipped.upscale(image, scale=1.7).astype(int)
    assert np.abs(result[:, :, :3] - (220, 30, 30)).max() <= 3


@pytest.mark.parametrize(("shape", "dtype"), [((2000, 30, 3), "uint8"), ((2000, 30, 4), "uint16")])
def test_no_image_between_is_larger_than_both(rng, monkeypatch, shape, dtype):
    """Pillow resizes the width first, and holds an image of the new width and the old height."""
    array = rng.integers(0, 256, shape).astype(dtype)
    held = []
    original = Image.Image.resize

    def resize(image: Image.Image, size: tuple[int, int], *args: Any) -> Image.Image:
        held.append(size[0] * image.height)
        return original(image, size, *args)

    monkeypatch.setattr(Image.Image, "resize", resize)
    result = resize_lanczos(array, (1000, 2))
    resize_mask((array[:, :, 0] > 127).astype(np.uint8), (1000, 2))
    assert result.shape == (2, 1000, shape[2])
    assert max(held) <= 2 * shape[0] * shape[1]


@pytest.mark.parametrize(
    ("function", "most"),
    [(round_to_eight_bits, 1.2), (lambda array: resize_lanczos(array, (801, 801)), 3)],
)
def test_sixteen_bits_take_little_memory(rng, function: Callable[[np.ndarray], object], most):
    """A result has up to half a gigabyte, and several are handled at once."""
    array = rng.integers(0, 65536, (800, 800, 4)).astype(np.uint16)
    tracemalloc.start()
    function(array)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < most * array.nbytes


def test_bfloat16_weights_work(small_photo: Image.Image, shipped: HSRNet):
    half = HSRNet.from_pretrained("hsr-lite-x4").to(torch.bfloat16)
    difference = np.asarray(half.upscale(small_photo)).astype(int) - shipped.upscale(small_photo)
    assert np.abs(difference).mean() < 1
