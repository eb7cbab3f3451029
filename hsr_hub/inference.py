"""The engine behind `HSRNet.upscale`: exact tiles, grey and alpha, any size.

The network is convolutions only, so a pixel of the result depends on a known neighbourhood of the
input. Every tile is computed with a margin of that size and cropped: the joined result is the whole
picture's, up to rounding of the arithmetic, and there is nothing to blend.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from hsr_hub import image_io
from hsr_hub.pixels import fill_transparent, resize_lanczos

if TYPE_CHECKING:
    from hsr_hub.modeling import HSRNet

Progress = Callable[[int, int], object]
"""Called with tiles done and tiles in all; whatever it raises stops the work."""

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def upscale(
    model: HSRNet,
    image: str | Path | Image.Image | np.ndarray,
    *,
    scale: float | None = None,
    size: tuple[int, int] | None = None,
    tile_size: int | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    progress: Progress | None = None,
) -> Image.Image | np.ndarray:
    """One picture, enlarged.

    The smallest level of the network at or above the wanted size is computed, and Lanczos takes it
    there; beyond the last level Lanczos goes on from it.

    Args:
        model: The network.
        image: A path or a PIL image, or an array (H,W) or (H,W,C) with C = 1 (grey), 2 (grey and
            alpha), 3 (RGB) or 4 (RGB and alpha); uint8, uint16, or float in [0, 1].
        scale: Factor, by default the network's own; any positive number.
        size: (width, height) in pixels instead; another aspect ratio stretches.
        tile_size: Side of a tile in input pixels; by default what fits in free memory.
        device: Where to compute; the model moves there. By default where it is.
        dtype: "float32", "bfloat16" or "float16" for the convolutions; by default what
            `choose_dtype` finds fastest and safe. The skip and the sum are always float32.
        progress: Called after every tile with (tiles done, tiles in all).

    Returns:
        An image of the same mode (palette becomes RGB or RGBA) for a path or an image; an array of
        the same dtype and number of dimensions for an array.

    Raises:
        ImageError: The file cannot be read.
        TypeError, ValueError: An argument is of the wrong kind or out of range.
    """
    picture = None
    if isinstance(image, np.ndarray):
        array = image.astype(image.dtype.newbyteorder("="), copy=False)
    elif isinstance(image, (str, Path)):
        picture = image_io.read_image(image)
        array = np.asarray(picture)
    elif isinstance(image, Image.Image):
        picture = image_io.to_plain_mode(image)
        array = np.asarray(picture)
    else:
        raise TypeError(
            f"image must be a path, a PIL image or an array, not {type(image).__name__}"
        )
    _check_array(array)
    height, width = array.shape[:2]
    target = target_size((width, height), scale=scale, size=size, default=model.scale)
    level = choose_level(model.levels, (width, height), target)
    _check_memory((width, height), level, target, array)

    if tile_size is not None and tile_size < 1:
        raise ValueError(f"tile_size must be at least 1, not {tile_size}")
    if device is not None:
        model.to(device)
    resolved = choose_dtype(dtype, next(model.parameters()).device, array.dtype)
    engine = _Engine(model, level, resolved, tile_size, progress)
    result = resize_lanczos(engine.run(array), target)

    if picture is None:
        return result.astype(image.dtype, copy=False)  # pyright: ignore[reportAttributeAccessIssue]
    enlarged = image_io.from_array(result)
    if profile := picture.info.get("icc_profile"):
        enlarged.info["icc_profile"] = profile
    return enlarged


def _check_array(array: np.ndarray) -> None:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 2, 3, 4)):
        raise ValueError(f"an array must be (H,W) or (H,W,C) with C from 1 to 4, not {array.shape}")
    if 0 in array.shape:
        raise ValueError(f"the picture has no pixels: {array.shape}")
    if array.dtype not in (np.uint8, np.uint16) and not np.issubdtype(array.dtype, np.floating):
        raise TypeError(f"an array must be uint8, uint16 or float in [0, 1], not {array.dtype}")
    # A little beyond 1 is what other filters leave behind; this is another range.
    if np.issubdtype(array.dtype, np.floating) and not (array.max() <= 2 and array.min() >= -1):
        raise ValueError(
            f"a float array must be in [0, 1]; this one spans {array.min():g} to {array.max():g}"
        )


def _check_memory(
    source: tuple[int, int], level: int, target: tuple[int, int], array: np.ndarray
) -> None:
    """Refuse a result that main memory cannot hold, before anything is computed."""
    pixels = source[0] * level * source[1] * level
    if target != (source[0] * level, source[1] * level):
        pixels += target[0] * target[1]
    channels = array.shape[2] if array.ndim == 3 else 1
    needed = 2 * pixels * channels * array.itemsize  # the result, and a copy on its way to a file
    free = psutil.virtual_memory().available
    if needed > free:
        raise ValueError(
            f"a result of {target[0]}x{target[1]} pixels needs {needed / 1e9:.1f} GB of memory, "
            f"{free / 1e9:.1f} GB are free: choose a smaller scale or size"
        )


def choose_dtype(
    dtype: str | torch.dtype | None, device: torch.device, depth: np.dtype
) -> torch.dtype:
    """The type of the convolutions: the one asked for, or by default the fastest that is safe.

    That is bfloat16 for 8-bit pictures where the device computes in it natively: its rounding stays
    below an 8-bit step, as the network only adds a small residual to the skip. Deeper pictures and
    float arrays get float32.

    Raises:
        ValueError: There is no such type.
    """
    if dtype is None:
        return torch.bfloat16 if depth == np.uint8 and _has_bfloat16(device) else torch.float32
    for name, known in DTYPES.items():
        if dtype in (name, known):
            return known
    raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, not {dtype!r}")


def _has_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for it; emulated, it would be slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities"):  # torch 2.10 on
        capabilities = torch.cpu.get_capabilities()
        return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
    return False


def target_size(
    source: tuple[int, int],
    *,
    scale: float | None = None,
    size: tuple[int, int] | None = None,
    default: float = 1,
) -> tuple[int, int]:
    """(width, height) of the result for a source of (width, height).

    Raises:
        ValueError: Both a scale and a size, or one that is not positive.
    """
    if scale is not None and size is not None:
        raise ValueError("give either scale or size, not both")
    if size is not None:
        if len(size) != 2 or any(s != int(s) or s < 1 for s in size):
            raise ValueError(f"size must be two positive whole numbers, not {size!r}")
        return int(size[0]), int(size[1])
    factor = default if scale is None else scale
    if not (0 < factor <= 1e6):  # false for NaN too
        raise ValueError(f"scale must be a positive number up to a million, not {scale!r}")
    return max(1, round(source[0] * factor)), max(1, round(source[1] * factor))


def choose_level(levels: list[int], source: tuple[int, int], target: tuple[int, int]) -> int:
    """The smallest level whose result is at least as large as the target, or the last."""
    for level in levels:
        if all(s * level >= t for s, t in zip(source, target, strict=True)):
            return level
    return levels[-1]


def bytes_per_pixel(model: HSRNet, level: int) -> int:
    """Memory that the network takes for an input pixel of a tile, rounded up.

    Three tensors of the widest stage live at once (a convolution's output, its activation, the
    shuffled one), beside the fused features; the images add a few of three channels.
    """
    config = model.config
    features = 3 * (sum(config["widths"]) + config["fusion_width"])
    channels = [0, *config["reconstruction_widths"]]
    stages = [
        (3 * width + 9) * s**2
        for width, s in zip(channels, model.levels, strict=True)
        if s <= level
    ]
    return 4 * (features + max(stages))


def default_tile_size(model: HSRNet, level: int, device: torch.device) -> int:
    """Side of a tile that takes at most a quarter of the free memory; 64 to 512."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
    else:
        free = psutil.virtual_memory().available
    side = math.sqrt(free / 4 / bytes_per_pixel(model, level)) - 2 * model.receptive_field
    return int(min(512, max(64, side)))


class _Engine:
    """One level of one network over one picture, tile by tile."""

    def __init__(
        self,
        model: HSRNet,
        level: int,
        dtype: torch.dtype,
        tile_size: int | None,
        progress: Progress | None,
    ) -> None:
        self.model = model
        self.level = level
        self.dtype = dtype
        weight = next(model.parameters())
        self.device, self.weight_dtype = weight.device, weight.dtype
        self.halo = model.receptive_field
        self.tile_size = tile_size or default_tile_size(model, level, self.device)
        self.progress = progress
        self.done = self.total = 0

    def run(self, array: np.ndarray) -> np.ndarray:
        """The array enlarged by the level, with the same dtype and number of dimensions."""
        planes = array if array.ndim == 3 else array[:, :, None]
        channels = planes.shape[2]
        has_alpha = channels in (2, 4)
        alpha = planes[:, :, channels - 1 :] if has_alpha else None
        colour = planes[:, :, : channels - 1] if has_alpha else planes
        if alpha is not None and (alpha == alpha[0, 0]).all():
            # An even alpha stays what it is; nothing to compute, and opaque stays opaque.
            value, alpha = alpha[0, 0, 0], None
        else:
            value = None
        tiles = math.prod(math.ceil(side / self.tile_size) for side in planes.shape[:2])
        self.total = tiles * (1 if alpha is None else 2)
        if alpha is not None:
            colour = fill_transparent(colour, alpha)

        parts = [self._enlarge(colour)]
        if alpha is not None:
            parts.append(self._enlarge(alpha, within_neighbours=True))
        elif value is not None:
            parts.append(np.full((*parts[0].shape[:2], 1), value, dtype=array.dtype))
        result = np.concatenate(parts, axis=2) if len(parts) > 1 else parts[0]
        return result if array.ndim == 3 else result[:, :, 0]

    @torch.inference_mode()
    def _enlarge(self, planes: np.ndarray, within_neighbours: bool = False) -> np.ndarray:
        height, width, channels = planes.shape
        s, halo, side = self.level, self.halo, self.tile_size
        result = np.empty((height * s, width * s, channels), dtype=planes.dtype)
        for top in range(0, height, side):
            for left in range(0, width, side):
                bottom, right = min(top + side, height), min(left + side, width)
                y0, x0 = max(0, top - halo), max(0, left - halo)
                y1, x1 = min(height, bottom + halo), min(width, right + halo)
                sr = self._tile(_to_tensor(planes[y0:y1, x0:x1]).to(self.device), within_neighbours)
                sr = sr[
                    :, :, (top - y0) * s : (bottom - y0) * s, (left - x0) * s : (right - x0) * s
                ]
                tile = _to_array(sr, planes.dtype)
                result[top * s : bottom * s, left * s : right * s] = tile
                self.done += 1
                if self.progress is not None:
                    self.progress(self.done, self.total)
        return result

    def _tile(self, lq: Tensor, within_neighbours: bool) -> Tensor:
        """(1,C,h,w) to (1,C,h*s,w*s), C = 1 or 3, in [0, 1]."""
        # channels_last is the fast layout for convolutions; what follows takes it over.
        rgb = lq.expand(-1, 3, -1, -1).to(self.weight_dtype, memory_format=torch.channels_last)
        half = self.dtype != torch.float32
        with torch.autocast(self.device.type, self.dtype, enabled=half):
            sr = self.model.super_resolve(rgb, self.level).float()
        if half and not torch.isfinite(sr).all():
            # Out of the short type's range: again in the long one.
            sr = self.model.super_resolve(rgb, self.level).float()
        if lq.shape[1] == 1:
            sr = sr.mean(dim=1, keepdim=True)
        if within_neighbours:
            # Alpha must not ring: flat stays flat, opaque opaque. Each new pixel keeps to the range
            # of the 3x3 input pixels around it.
            size = sr.shape[-2:]
            high = F.interpolate(F.max_pool2d(lq, 3, 1, 1), size)
            low = F.interpolate(-F.max_pool2d(-lq, 3, 1, 1), size)
            sr = sr.clamp(low, high)
        return sr.clamp(0, 1)


def _to_tensor(planes: np.ndarray) -> Tensor:
    """(h,w,C) of any supported dtype to (1,C,h,w) float in [0, 1]."""
    if planes.dtype in (np.uint8, np.uint16):
        values = planes.astype(np.float32) / np.iinfo(planes.dtype).max
    else:
        values = planes.astype(np.float32)
    return torch.from_numpy(values).permute(2, 0, 1)[None]


def _to_array(tensor: Tensor, dtype: np.dtype) -> np.ndarray:
    """(1,C,h,w) in [0, 1] to (h,w,C) of a dtype, rounded for whole numbers."""
    values = tensor[0].permute(1, 2, 0).float().cpu().numpy()
    if dtype in (np.uint8, np.uint16):
        values = (values * np.iinfo(dtype).max).round()
    return values.astype(dtype)
