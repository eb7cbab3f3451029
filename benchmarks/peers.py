"""Networks by others, treated like ours: same tiles, same number type, same memory layout.

The weights are read from `weights/` under HSR_DATA by spandrel.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from hsr_hub import HSRNet
from hsr_hub.evaluation import data_root
from hsr_hub.inference import TileEngine, best_device, choose_dtype

REAL_ESRGAN = "Real-ESRGAN x4plus"
REAL_ESRGAN_FILE = "realesrgan_x4plus.fp16.safetensors"
SCALE = 4
TILE, MARGIN = 192, 32
"""Input pixels. The margin is a compromise: the exact one of these networks is hundreds of pixels.
Real-ESRGAN's own program uses 10."""


class Peer(nn.Module):
    """Network with a scale of 4 and with what the tile engine asks of a network.

    Args:
        network: Takes and returns (B,3,H,W), RGB in [0, 1].
        features: Channels that are alive at once at the size of the input, and at that of the
            output. From them the engine estimates the memory of a tile.
    """

    levels = (1, SCALE)
    receptive_field = MARGIN

    def __init__(self, network: nn.Module, features: tuple[int, int]) -> None:
        super().__init__()
        self.network = network.float().eval()
        self.network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.config: dict[str, Any] = {
            "widths": [features[0]],
            "fusion_width": 0,
            "reconstruction_widths": [features[1]],
        }

    def forward(self, lq: Tensor) -> Tensor:
        """Return the images four times as large."""
        return self.network(lq)

    def super_resolve(self, lq: Tensor, scale: int) -> Tensor:
        """Return the images four times as large.

        Raises:
            ValueError: If the scale is not 4.
        """
        if scale != SCALE:
            raise ValueError(f"this network enlarges by {SCALE} only, not by {scale}")
        return self(lq)

    def upscale(
        self, image: np.ndarray, *, scale: int = SCALE, dtype: torch.dtype | str | None = None
    ) -> np.ndarray:
        """Return an image four times as large, computed tile by tile like ours.

        Args:
            image: (H,W,3) uint8.
            scale: 4.
            dtype: Type of the convolutions. By default the same choice as for ours.
        """
        device = next(self.parameters()).device
        chosen = choose_dtype(dtype, device, image.dtype)
        engine = TileEngine(cast(HSRNet, self), scale, chosen, tile_size=TILE)
        return engine.run(image)


def real_esrgan() -> Peer:
    """Return Real-ESRGAN x4plus with its published weights, on the best device.

    Raises:
        FileNotFoundError: If the weights are not under HSR_DATA.
    """
    from spandrel import ModelLoader

    path = data_root() / "weights" / REAL_ESRGAN_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: put the weights of {REAL_ESRGAN} there, or leave out its column"
        )
    # A dense block of RRDBNet holds 64 channels and four times 32 more.
    network = ModelLoader("cpu").load_from_file(path).model
    return Peer(network, features=(192, 64)).to(best_device())
