"""Bicubic interpolation by a whole factor, as a convolution."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

RADIUS = 2
"""Input pixels on each side that are read."""


def _cubic(t: float) -> float:
    """Keys's kernel with a = -0.75, as torch has it."""
    t = abs(t)
    if t < 1:
        return 1.25 * t**3 - 2.25 * t**2 + 1
    return -0.75 * (t**3 - 5 * t**2 + 8 * t - 4) if t < 2 else 0.0


class BicubicUpsampling(nn.Module):
    """What `F.interpolate(lq, scale_factor=factor, mode="bicubic")` gives, to float rounding.

    In channels_last, which convolutions like best, that function would take an eighth of the whole
    network's time. This is one of them: each new pixel in an old one has a kernel of its own.
    """

    weight: Tensor

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor
        taps = range(-RADIUS, RADIUS + 1)
        centres = [(p + 0.5) / factor - 0.5 for p in range(factor)]
        # In numpy: torch's arithmetic on the meta device, where shapes are checked, would import
        # its compiler, and leave a folder of that in the temporary one.
        line = np.array([[_cubic(tap - c) for tap in taps] for c in centres], np.float32)
        weight = np.zeros((factor, factor, 3, 3, len(taps), len(taps)), np.float32)
        for colour in range(3):
            weight[:, :, colour, colour] = np.einsum("yi,xj->yxij", line, line)
        # Follows from the factor: nothing to store with the weights.
        flat = torch.tensor(weight.reshape(-1, 3, len(taps), len(taps)))
        self.register_buffer("weight", flat, persistent=False)

    def forward(self, lq: Tensor) -> Tensor:
        """(B,3,H,W) to (B,3,H*factor,W*factor), in channels_last."""
        r = self.factor
        with torch.autocast(lq.device.type, enabled=False):  # what is added up must be exact
            padded = F.pad(lq, [RADIUS] * 4, mode="replicate")
            pixels = F.conv2d(padded, self.weight.to(lq.dtype)).permute(0, 2, 3, 1)
        rows = pixels.unflatten(3, (r, r * 3)).transpose(2, 3)  # (B,H,r,W,r*3)
        return rows.flatten(1, 2).unflatten(3, (r, 3)).flatten(2, 3).permute(0, 3, 1, 2)
