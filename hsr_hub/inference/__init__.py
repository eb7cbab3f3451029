"""Apply a network to images of any size: sizes, devices, tiles, and many files at once."""

from hsr_hub.inference.device import best_device, choose_dtype
from hsr_hub.inference.files import upscale_files
from hsr_hub.inference.memory import default_tile_size
from hsr_hub.inference.options import FileOptions, UpscaleOptions
from hsr_hub.inference.planning import (
    FileTask,
    Plan,
    existing_result,
    expected_stamp,
    own_share,
    plan,
)
from hsr_hub.inference.resize import fill_transparent
from hsr_hub.inference.sizes import choose_level, fit_size, target_size
from hsr_hub.inference.tiling import Tile, TileEngine, split
from hsr_hub.inference.upscale import upscale, upscale_image

__all__ = [
    "FileOptions",
    "FileTask",
    "Plan",
    "Tile",
    "TileEngine",
    "UpscaleOptions",
    "best_device",
    "choose_dtype",
    "choose_level",
    "default_tile_size",
    "existing_result",
    "expected_stamp",
    "fill_transparent",
    "fit_size",
    "own_share",
    "plan",
    "split",
    "target_size",
    "upscale",
    "upscale_files",
    "upscale_image",
]
