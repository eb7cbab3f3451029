"""LPIPS 0.1 on SqueezeNet 1.1, with weights from safetensors files.

The `lpips` package is not used, because it opens pickles and downloads its backbone. The distance
is that of Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric"
(2018).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

BACKBONE = "squeezenet1_1_imagenet.fp16.safetensors"
LINEAR = "lpips_squeeze_linear_v0.1.safetensors"

TAPS = (1, 4, 7, 9, 10, 11, 12)
"""Indices of the modules of torchvision's `squeezenet1_1().features` whose outputs are compared."""

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class LpipsSqueeze:
    """Perceptual distance between images. Lower is closer.

    Args:
        folder: Folder with `squeezenet1_1_imagenet.fp16.safetensors` (torchvision's weights) and
            `lpips_squeeze_linear_v0.1.safetensors` (the linear layers of LPIPS).

    Raises:
        FileNotFoundError: If one of the two files is missing.
    """

    def __init__(self, folder: Path) -> None:
        from torchvision.models import squeezenet1_1

        for name in (BACKBONE, LINEAR):
            if not (folder / name).is_file():
                raise FileNotFoundError(f"LPIPS needs {name}, which is not in {folder}")
        backbone = squeezenet1_1()
        backbone.load_state_dict({k: v.float() for k, v in load_file(folder / BACKBONE).items()})
        self.features = backbone.features.eval().requires_grad_(False)
        linear = load_file(folder / LINEAR)
        self.weights = [linear[f"lin{i}.model.1.weight"].float() for i in range(len(TAPS))]

    @torch.inference_mode()
    def distance(self, first: np.ndarray, second: np.ndarray) -> float:
        """Return the LPIPS of two (H,W,3) uint8 images of the same size."""
        total = 0.0
        pairs = zip(self._features(first), self._features(second), self.weights, strict=True)
        for a, b, weight in pairs:
            total += float(((a - b) ** 2 * weight).sum(dim=1).mean())
        return total

    def _features(self, image: np.ndarray) -> list[Tensor]:
        x = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255
        x = (x - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
        taps = []
        for index, module in enumerate(self.features):
            x = module(x)
            if index in TAPS:
                taps.append(x / (x.pow(2).sum(dim=1, keepdim=True).sqrt() + 1e-10))
        return taps
