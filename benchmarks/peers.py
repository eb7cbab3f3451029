"""Networks by others, treated like ours: same tiles, same number type, same memory layout.

The weights are read from `weights/` under HSR_DATA by spandrel.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from hsr_hub import HSRNet
from hsr_hub.evaluation import data_root
from hsr_hub.inference import TileEngine, best_device, choose_dtype

REAL_ESRGAN = "Real-ESRGAN x4plus"
REAL_ESRGAN_FILE = "realesrgan_x4plus.fp16.safetensors"
SCALE = 4
RRDB = (192, 64)
"""Features of its network: a dense block holds 64 channels and four times 32 more."""

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
        self.features = features

    def forward(self, lq: Tensor) -> Tensor:
        """Return the images four times as large."""
        return self.network(lq)

    def bytes_per_pixel(self, level: int) -> int:
        """Return the memory for activations per input pixel, as for ours."""
        low, high = self.features
        return 4 * (3 * low + (3 * high + 9) * level**2)

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


def architectures() -> dict[str, tuple[nn.Module, tuple[int, int]]]:
    """Return networks that users would otherwise choose, with random weights, at scale 4.

    Returns:
        Network and `features` of `Peer`, by name.
    """
    from spandrel.architectures.Compact.__arch.SRVGG import SRVGGNetCompact
    from spandrel.architectures.ESRGAN.__arch.RRDB import RRDBNet
    from spandrel.architectures.SPAN.__arch.span import SPAN
    from spandrel.architectures.SwinIR.__arch.SwinIR import SwinIR

    span = SPAN(num_in_ch=3, num_out_ch=3, feature_channels=48, upscale=SCALE)
    compact = SRVGGNetCompact(num_feat=64, num_conv=32, upscale=SCALE)
    swinir = SwinIR(
        upscale=SCALE,
        img_size=64,
        window_size=8,
        img_range=1.0,
        depths=[6, 6, 6, 6],
        embed_dim=60,
        num_heads=[6, 6, 6, 6],
        mlp_ratio=2,
        upsampler="pixelshuffledirect",
    )
    return {
        "SPAN (48 features)": (span, (192, 3)),
        "Compact (realesr-general)": (compact, (64, 3)),
        "SwinIR-light": (swinir, (240, 3)),
        "RRDB (Real-ESRGAN x4plus)": (RRDBNet(num_filters=64, num_blocks=23, scale=SCALE), RRDB),
    }


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
    network = ModelLoader("cpu").load_from_file(path).model
    return Peer(network, RRDB).to(best_device())
