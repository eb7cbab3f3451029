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
from torch import Tensor, nn

BACKBONE = "squeezenet1_1_imagenet.fp16.safetensors"
LINEAR = "lpips_squeeze_linear_v0.1.safetensors"

TAPS = (1, 4, 7, 9, 10, 11, 12)
"""Indices of the modules of torchvision's `squeezenet1_1().features` whose outputs are compared."""

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class LpipsSqueeze(nn.Module):
    """Perceptual distance between images. Lower is closer.

    Args:
        folder: Folder with `squeezenet1_1_imagenet.fp16.safetensors` (torchvision's weights) and
            `lpips_squeeze_linear_v0.1.safetensors` (the linear layers of LPIPS).

    Raises:
        FileNotFoundError: If one of the two files is missing.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        from torchvision.models import squeezenet1_1

        for name in (BACKBONE, LINEAR):
            if not (folder / name).is_file():
                raise FileNotFoundError(f"LPIPS needs {name}, which is not in {folder}")
        backbone = squeezenet1_1()
        backbone.load_state_dict({k: v.float() for k, v in load_file(folder / BACKBONE).items()})
        self.features = backbone.features.eval().requires_grad_(False)
        linear = load_file(folder / LINEAR)
        for i in range(len(TAPS)):
            self.register_buffer(f"weight{i}", linear[f"lin{i}.model.1.weight"].float())

    @torch.inference_mode()
    def distance(self, first: np.ndarray, second: np.ndarray) -> float:
        """Return LPIPS between two (H,W,3) uint8 images of the same size."""
        device = next(self.features.parameters()).device
        tensors = (
            torch.from_numpy(image.copy()).to(device).permute(2, 0, 1)[None].float() / 255
            for image in (first, second)
        )
        return float(self.tensor_distance(*tensors))

    def tensor_distance(self, first: Tensor, second: Tensor) -> Tensor:
        """Return LPIPS between two batches of images, with gradients.

        Args:
            first: (B,3,H,W), RGB, float in [0, 1].
            second: Images of the same shape.

        Returns:
            A scalar, the mean over the batch.
        """
        total = first.new_zeros(())
        pairs = zip(self._features(first), self._features(second), strict=True)
        for i, (a, b) in enumerate(pairs):
            total = total + ((a - b) ** 2 * self.get_buffer(f"weight{i}")).sum(dim=1).mean()
        return total

    def _features(self, image: Tensor) -> list[Tensor]:
        mean, std = (image.new_tensor(values)[:, None, None] for values in (MEAN, STD))
        x = (image - mean) / std
        taps = []
        for index, module in enumerate(self.features):
            x = module(x)
            if index in TAPS:
                # Without the clamp the root's gradient is infinite where all features are zero.
                squares = x.float().pow(2).sum(dim=1, keepdim=True).clamp_min(1e-20)
                taps.append(x.float() / (squares.sqrt() + 1e-10))
        return taps
