import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from hsr_hub.hub.choose import MIN_BLOCKINESS
from hsr_hub.images import ImageData, read_image
from hsr_hub.images.analysis import BLOCK, analyse, inspect_file

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


def test_a_drawing_is_not_taken_for_noisy():
    image = Image.new("RGB", (200, 150), "white")
    draw = ImageDraw.Draw(image)
    draw.ellipse((20, 20, 110, 110), fill=(220, 60, 40), outline="black")
    draw.line((5, 140, 195, 30), fill="navy")
    draw.text((100, 120), "hsr-hub 4x", fill="black")
    drawn = np.asarray(image)
    assert analyse(ImageData(drawn)).luma_noise == 0
    assert analyse(ImageData(noisy(drawn, 10))).luma_noise > 5


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
