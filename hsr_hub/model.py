"""HSRNet: the network with its weights on the Hub and the upscaling of images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from hsr_hub import inference
from hsr_hub.hub import PretrainedMixin
from hsr_hub.network import HSRNetwork


class HSRNet(
    HSRNetwork,
    PretrainedMixin,
    library_name="hsr-hub",
    pipeline_tag="image-to-image",
    license="apache-2.0",
    tags=["super-resolution", "image-restoration"],
):
    """Hierarchical super-resolution network, with weights from the Hub.

    The arguments are those of `HSRNetwork`. `PretrainedMixin` adds `from_pretrained`,
    `save_pretrained` and `push_to_hub`.

    Example:
        >>> model = HSRNet.from_pretrained("hsr-lite-x4")
        >>> result = model.upscale("photo.jpg", scale=2)
    """

    def upscale(
        self,
        image: str | Path | Image.Image | np.ndarray,
        *,
        scale: float | None = None,
        size: tuple[int, int] | None = None,
        tile_size: int | None = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> Any:
        """Upscale an image.

        `hsr_hub.inference.upscale` describes the behaviour in more detail.

        Args:
            image: A path, a PIL image, or an array (H,W) or (H,W,C) with C = 1 (grey), 2 (grey and
                alpha), 3 (RGB) or 4 (RGB and alpha); uint8, uint16, or float in [0, 1].
            scale: Factor, by default the network's own; any positive number.
            size: (width, height) of the result in place of a factor.
            tile_size: Side of a tile in input pixels; by default as large as free memory allows.
            device: Device that the network moves to; by default it stays where it is.
            dtype: "float32", "bfloat16" or "float16"; by default the fastest type that is safe.
            progress: Called after every tile with the tiles done and the total.

        Returns:
            A PIL image for a path or a PIL image; an array of the same dtype for an array.

        Raises:
            ImageError: The file cannot be read.
            TypeError: An argument is of the wrong type.
            ValueError: An argument is out of range.
        """
        return inference.upscale(
            self,
            image,
            scale=scale,
            size=size,
            tile_size=tile_size,
            device=device,
            dtype=dtype,
            progress=progress,
        )

    @classmethod
    def interpolate(cls, fidelity: HSRNet, detail: HSRNet, strength: float) -> HSRNet:
        """Return a network whose weights are interpolated between those of two networks.

        Args:
            fidelity: The network of strength 0.
            detail: The network of strength 1, of the same architecture.
            strength: From 0 to 1.

        Raises:
            TypeError: A network is not an `HSRNet`.
            ValueError: The architectures differ, or the strength is out of range.
        """
        for network in (fidelity, detail):
            if not isinstance(network, HSRNet):
                raise TypeError(f"{network!r} is no network: load it by HSRNet.from_pretrained")
        if fidelity.config != detail.config:
            differing = {
                key: (value, detail.config.get(key))
                for key, value in fidelity.config.items()
                if value != detail.config.get(key)
            }
            raise ValueError(
                f"only networks of the same architecture can be interpolated; these differ in "
                f"{differing}"
            )
        if not 0 <= strength <= 1:
            raise ValueError(f"strength must be between 0 and 1, not {strength!r}")
        mixed = cls(**fidelity.config).eval()
        detail_weights = dict(detail.named_parameters())
        with torch.no_grad():
            for name, weight in fidelity.named_parameters():
                mixed_weight = torch.lerp(weight, detail_weights[name].to(weight), strength)
                mixed.get_parameter(name).copy_(mixed_weight)
        return mixed.to(next(fidelity.parameters()).device)
