"""HSRNet: the network with its weights on the Hub, and the upscaling of images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from hsr_hub.hub import PretrainedMixin
from hsr_hub.network import HSRNetwork

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


class HSRNet(
    HSRNetwork,
    PretrainedMixin,
    library_name="hsr_hub",
    pipeline_tag="image-to-image",
    license="apache-2.0",
    tags=["super-resolution", "image-restoration"],
):
    """Hierarchical super-resolution network; its arguments are those of `HSRNetwork`."""

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
        """One picture, enlarged. See `hsr_hub.inference.upscale.upscale`, which does the work."""
        from hsr_hub.inference import upscale

        return upscale(
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
        """A network whose weights lie between those of two of the same shape.

        Args:
            fidelity: What strength 0 gives.
            detail: What strength 1 gives.
            strength: In [0, 1].

        Raises:
            ValueError: The shapes differ, or the strength is out of range.
        """
        if fidelity.config != detail.config:
            differing = [k for k in fidelity.config if fidelity.config[k] != detail.config.get(k)]
            raise ValueError(
                f"the two networks differ in {differing}: their weights cannot be mixed"
            )
        if not 0 <= strength <= 1:
            raise ValueError(f"strength must be between 0 and 1, not {strength!r}")
        mixed = cls(**fidelity.config).eval()
        theirs = dict(detail.named_parameters())
        with torch.no_grad():
            for name, ours in fidelity.named_parameters():
                mixed.get_parameter(name).copy_(torch.lerp(ours, theirs[name].to(ours), strength))
        return mixed.to(next(fidelity.parameters()).device)
