"""A network over an image of any size."""

from hsr_hub.inference.device import best_device, choose_dtype
from hsr_hub.inference.files import Options, own_share, plan, upscale_files
from hsr_hub.inference.resize import fill_transparent
from hsr_hub.inference.sizes import choose_level, fit_size, target_size
from hsr_hub.inference.tiling import Tile, TileEngine, default_tile_size, split
from hsr_hub.inference.upscale import upscale, upscale_image

__all__ = [
    "Options",
    "Tile",
    "TileEngine",
    "best_device",
    "choose_dtype",
    "choose_level",
    "default_tile_size",
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
