"""Losses of the generator."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


def pixel_loss(sr: Sequence[Tensor], gt: Sequence[Tensor]) -> Tensor:
    """L_c [0099-0103]: the mean absolute difference of every level, summed over the levels.

    Args:
        sr: The network's images, low to high.
        gt: Their labels, of the same shapes.

    Returns:
        A scalar in the units of the images.
    """
    losses = [F.l1_loss(image, label) for image, label in zip(sr, gt, strict=True)]
    return sum(losses[1:], start=losses[0])
