import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from hsr_hub.hub.choose import MIN_BLOCKINESS
from hsr_hub.images import ImageData, read_image
from hsr_hub.images.analysis import (
    BLOCK,
    STANDARD_LUMA,
    analyse,
    estimate_jpeg_quality,
    inspect_file,
)

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.png"))


@pytest.fixture(scope="module", params=EXAMPLES, ids=lambda path: path.stem)
def photo(request: pytest.FixtureRequest) -> Image.Image:
    """A clean photo, made smaller so that it holds no traces of its own compression."""
    image = Image.open(request.param).convert("RGB")
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC)


def file_of(image: Image.Image, format: str = "PNG", **options) -> io.BytesIO:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    buffer.seek(0)
    return buffer


def traits_of(file: io.BytesIO):
    return inspect_file(file, read_image(file))


def smooth(height: int = 256, width: int = 256) -> np.ndarray:
    """A gradient away from black and white, (H,W,3) float."""
    y, x = np.mgrid[:height, :width]
    plane = 110 + 30 * np.sin(x / 40) + 20 * y / height
    return np.repeat(plane[..., None], 3, axis=2)


def noisy(image: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal(image.shape[:2])[..., None]
    return (image + sigma * noise).round().clip(0, 255).astype(np.uint8)


@settings(max_examples=40)
@given(st.integers(20, 95), st.sampled_from([0, 1, 2]))
def test_jpeg_quality_is_read_back(quality, subsampling):
    image = Image.new("RGB", (16, 16), (90, 120, 60))
    file = file_of(image, "JPEG", quality=quality, subsampling=subsampling)
    traits = traits_of(file)
    assert traits.codec == "JPEG"
    assert traits.jpeg_quality is not None
    assert abs(traits.jpeg_quality - quality) <= 2


@given(st.integers(20, 95), st.integers(0, 2**32 - 1))
def test_tables_that_are_not_standard_have_the_closest_quality(quality, seed):
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    wobble = np.random.default_rng(seed).uniform(0.8, 1.25, 64)
    table = np.maximum(1, STANDARD_LUMA * percent / 100 * wobble).round()
    found = estimate_jpeg_quality(table)
    assert found is not None
    assert abs(found - quality) <= 8


def test_grey_and_cmyk_jpegs_have_a_quality():
    for mode in ("L", "CMYK"):
        file = file_of(Image.new(mode, (20, 20)), "JPEG", quality=60)
        image = ImageData(np.zeros((20, 20), np.uint8))
        assert inspect_file(file, image).jpeg_quality == 60


def test_a_broken_table_has_no_quality():
    assert estimate_jpeg_quality([1, 2, 3]) is None


def test_codecs(photo):
    small = photo.crop((0, 0, 32, 32))
    frames = {"save_all": True, "append_images": [small.rotate(90)]}
    alpha = small.convert("RGBA")
    alpha.putalpha(100)
    files = {
        "PNG": [file_of(small)],
        "WEBP": [
            file_of(small, "WEBP"),
            file_of(alpha, "WEBP"),  # an extended file, with an alpha chunk before the image
            file_of(small, "WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"),
            file_of(small, "WEBP", **frames),
        ],
        "WEBP-lossless": [
            file_of(small, "WEBP", lossless=True),
            file_of(small, "WEBP", lossless=True, **frames),
        ],
        "AVIF": [file_of(small, "AVIF")],
        "GIF": [file_of(small, "GIF")],
        "BMP": [file_of(small, "BMP")],
        "TIFF": [file_of(small, "TIFF")],
    }
    image = ImageData(np.asarray(small))
    for codec, variants in files.items():
        for file in variants:
            traits = inspect_file(file, image)
            assert (traits.codec, traits.jpeg_quality) == (codec, None)
            assert file.tell() == 0


@given(st.binary(max_size=64), st.sampled_from([b"", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBP"]))
def test_broken_headers_never_fail(data, start):
    inspect_file(io.BytesIO(start + data), ImageData(np.zeros((9, 9), np.uint8)))


def test_missing_and_existing_paths(tmp_path, photo):
    path = tmp_path / "photo.jpg"
    image = ImageData(np.asarray(photo))
    assert inspect_file(path, image).codec == ""
    photo.save(path, quality=40)
    assert inspect_file(path, image).jpeg_quality == 40
    assert inspect_file(str(path), image).jpeg_quality == 40


def test_clean_photos_are_not_called_compressed(photo):
    for divisor in (1, 2):
        size = (photo.width // divisor, photo.height // divisor)
        image = photo.resize(size, Image.Resampling.BICUBIC)
        assert analyse(ImageData(np.asarray(image))).blockiness < MIN_BLOCKINESS / 2


@pytest.mark.parametrize("quality", [30, 50, 75, 90])
@pytest.mark.parametrize("offset", [(0, 0), (3, 5), (7, 1)])
def test_a_jpeg_that_was_saved_again_is_found(photo, quality, offset):
    compressed = Image.open(file_of(photo, "JPEG", quality=quality)).convert("RGB")
    cropped = compressed.crop((*offset, *photo.size))
    traits = traits_of(file_of(cropped))
    assert traits.codec == "PNG"
    assert traits.blockiness >= MIN_BLOCKINESS
    assert traits.grid == (-offset[0] % BLOCK, -offset[1] % BLOCK)


def test_the_grid_is_the_same_in_deep_grey_and_large_images(photo):
    compressed = (
        Image.open(file_of(photo, "JPEG", quality=60)).convert("RGB").crop((2, 0, 202, 201))
    )
    array = np.asarray(compressed)
    grey = np.asarray(compressed.convert("L"))
    tiled = np.tile(array[:200, :200], (8, 7, 1))  # 200 is a multiple of the block
    alpha = np.dstack([array, np.full(array.shape[:2], 255, np.uint8)])
    for variant in (array, array.astype(np.uint16) * 257, grey, tiled, alpha):
        traits = analyse(ImageData(variant))
        assert traits.grid == (6, 0)
        assert traits.blockiness >= MIN_BLOCKINESS


@pytest.mark.parametrize("size", [(700, 900), (2400, 2000), (400, 3000)])
def test_the_grid_is_found_away_from_a_plain_middle(photo, size):
    array = np.full((*size, 3), 128, np.uint8)
    patch = np.asarray(photo.resize((200, 200), Image.Resampling.BICUBIC))
    for top in (0, size[0] - 200):
        for left in (0, size[1] - 200):
            array[top : top + 200, left : left + 200] = patch
    compressed = Image.open(file_of(Image.fromarray(array), "JPEG", quality=60)).convert("RGB")
    traits = analyse(ImageData(np.asarray(compressed)))
    assert traits.grid == (0, 0)
    assert traits.blockiness >= MIN_BLOCKINESS


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_enlarged_pixel_art_is_not_called_compressed(factor):
    small = np.random.default_rng(0).integers(0, 255, (30, 30, 3), dtype=np.uint8)
    large = small.repeat(factor, axis=0).repeat(factor, axis=1)
    assert analyse(ImageData(large)).blockiness < MIN_BLOCKINESS


@settings(max_examples=20)
@given(st.floats(5, 20))
def test_noise_is_measured_on_smooth_images(sigma):
    traits = analyse(ImageData(noisy(smooth(), sigma)))
    assert traits.luma_noise == pytest.approx(sigma, rel=0.25)
    assert traits.chroma_noise < 0.5
    deep = analyse(ImageData(noisy(smooth(), sigma).astype(np.uint16) * 257))
    assert deep.luma_noise == pytest.approx(traits.luma_noise, rel=0.01)


@pytest.mark.parametrize("sigma", [5, 10, 20])
def test_noise_in_colour(sigma):
    noise = np.random.default_rng(0).standard_normal((256, 256, 3))
    image = (smooth() + sigma * noise).round().clip(0, 255).astype(np.uint8)
    traits = analyse(ImageData(image))
    assert traits.luma_noise == pytest.approx(0.67 * sigma, rel=0.25)
    # Blue minus luma and red minus luma, as YCbCr scales them.
    assert traits.chroma_noise == pytest.approx(0.61 * sigma, rel=0.25)


def test_clean_photos_have_little_noise(photo):
    traits = analyse(ImageData(np.asarray(photo)))
    assert traits.luma_noise < 3
    assert traits.chroma_noise < 1.5


def test_texture_is_not_taken_for_noise():
    image = smooth(256, 256)
    image[:, :128] += np.random.default_rng(0).normal(0, 40, (256, 128, 1))
    traits = analyse(ImageData(image.round().clip(0, 255).astype(np.uint8)))
    assert traits.luma_noise < 1


def test_blur_lowers_sharpness(photo):
    found = [
        analyse(ImageData(np.asarray(photo.filter(ImageFilter.GaussianBlur(r))))).sharpness
        for r in (0, 0.7, 1, 2)
    ]
    assert found == sorted(found, reverse=True)
    assert found[0] > 1.3 * found[2] > 1.3 * found[3]


def test_transparent_pixels_are_left_out(photo):
    array = np.asarray(photo.resize((160, 160), Image.Resampling.BICUBIC))
    alone = analyse(ImageData(array))
    canvas = np.zeros((480, 400, 4), np.uint8)
    canvas[..., :3] = np.random.default_rng(0).integers(0, 255, (480, 400, 3))
    canvas[80:240, 48:208, :3] = array
    canvas[80:240, 48:208, 3] = 255
    found = analyse(ImageData(canvas))
    assert found.luma_noise == pytest.approx(alone.luma_noise, rel=1e-3, abs=1e-3)
    assert found.sharpness == pytest.approx(alone.sharpness, rel=1e-3, abs=1e-3)
    assert found.blockiness == pytest.approx(alone.blockiness, rel=1e-3, abs=1e-3)
    canvas[..., 3] = 0
    hidden = analyse(ImageData(canvas))
    assert (hidden.blockiness, hidden.luma_noise, hidden.sharpness) == (0, 0, 1)


@settings(max_examples=60)
@given(
    st.tuples(st.integers(1, 24), st.integers(1, 24)),
    st.sampled_from([None, 2, 3, 4]),
    st.sampled_from([np.uint8, np.uint16]),
    st.sampled_from(["constant", "random"]),
    st.integers(0, 2**32 - 1),
)
def test_small_and_constant_images_never_fail(size, channels, dtype, content, seed):
    rng = np.random.default_rng(seed)
    shape = size if channels is None else (*size, channels)
    high = np.iinfo(dtype).max
    if content == "constant":
        array = np.full(shape, rng.integers(0, high, endpoint=True), dtype)
    else:
        array = rng.integers(0, high, shape, dtype=dtype, endpoint=True)
    before = array.copy()
    traits = analyse(ImageData(array))
    numbers = (traits.blockiness, traits.luma_noise, traits.chroma_noise, traits.sharpness)
    assert np.isfinite(numbers).all()
    assert min(numbers) >= 0
    assert 0 <= traits.sharpness <= 1
    assert (array == before).all()
    if content == "constant":
        assert traits.luma_noise == pytest.approx(0, abs=0.01)
        assert traits.sharpness == 1
        assert traits.blockiness < MIN_BLOCKINESS


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (1, 5000), (5000, 1), (2000, 3)])
def test_odd_sizes_never_fail(size):
    analyse(ImageData(np.full((*size, 3), 77, np.uint8)))
