"""The generator's losses that need no other network.

L_G is the weighted sum of these, of those in `perceptual.py` and of the adversarial loss in
`adversarial.py`. Numbers in brackets are paragraphs of the patent application CN 111369440 A, "the
source".
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from hsr_hub.training.data import resize_antialiased


def pixel_loss(sr: Sequence[Tensor], gt: Sequence[Tensor]) -> Tensor:
    """Return L_c [0099-0103]: the mean absolute difference, summed over the levels.

    Args:
        sr: The network's images, low to high.
        gt: Their labels, of the same shapes.

    Returns:
        A scalar in the units of the images.
    """
    losses = [F.l1_loss(image, label) for image, label in zip(sr, gt, strict=True)]
    return sum(losses[1:], start=losses[0])


def consistency_loss(sr: Sequence[Tensor], gt: Sequence[Tensor]) -> Tensor:
    """Return how far the last level contradicts the input; ours, not the source's.

    This is the mean absolute difference between the last level, scaled down to x1, and the label of
    x1. Invented detail that vanishes when it is scaled down costs nothing.

    Args:
        sr: The network's images, low to high.
        gt: Their labels; the first at least five pixels high and wide.

    Returns:
        A scalar in the units of the images.
    """
    height, width = gt[0].shape[-2:]
    small = resize_antialiased(sr[-1], (height, width))
    # The label was made from a larger crop. Within two pixels of the border the filter would need
    # pixels that this one does not have.
    inner = slice(2, -2)
    return F.l1_loss(small[..., inner, inner], gt[0][..., inner, inner])


def checkerboard_loss(sr: Sequence[Tensor], gt: Sequence[Tensor]) -> Tensor:
    """Return the errors that repeat with every input pixel; ours, not the source's.

    Up-sampling by s computes each of the s x s pixels of an input pixel with its own weights. The
    easiest texture to learn for VGG and a new discriminator is therefore a pattern of s pixels,
    which people see as a grid. The errors at each of these positions are averaged over 8x8 input
    pixels. That removes most of a texture and nothing of a pattern. The result is the mean absolute
    value of these averages, summed over the levels.

    Args:
        sr: The network's images, low to high; the first is x1.
        gt: Their labels, of the same shapes.

    Returns:
        A scalar in the units of the images.
    """
    height, width = sr[0].shape[-2:]
    window = (min(8, height), min(8, width))
    total = sr[0].new_zeros(())
    for image, label in zip(sr[1:], gt[1:], strict=True):
        phases = F.pixel_unshuffle(image - label, image.shape[-1] // width)
        total = total + F.avg_pool2d(phases, window, stride=4).abs().mean()
    return total


FLAT_DEVIATION = 2 / 255
"""Local standard deviation of luma at which `flat_loss` counts a pixel 1/e times."""

LUMA = (0.299, 0.587, 0.114)


def flat_loss(sr: Sequence[Tensor], gt: Sequence[Tensor]) -> Tensor:
    """Return the absolute difference where the labels are flat; ours, not the source's.

    Grain and leftovers of JPEG blocks are most visible in skies, walls and skin, where the
    perceptual and adversarial losses tolerate them. A pixel's weight is exp(-d / `FLAT_DEVIATION`)
    with d the standard deviation of the label's luma in the 5x5 pixels around it, so textured areas
    are left to the other losses.

    Args:
        sr: The network's images, low to high.
        gt: Their labels, of the same shapes.

    Returns:
        A scalar in the units of the images: the weighted differences, averaged over the pixels of a
        level and summed over the levels.
    """
    total = sr[0].new_zeros(())
    for image, label in zip(sr, gt, strict=True):
        total = total + (_flatness(label) * (image - label).abs()).mean()
    return total


def _flatness(label: Tensor) -> Tensor:
    """Return the weight of every pixel in `flat_loss`, (B,1,H,W) in (0, 1]."""
    luma = (label * label.new_tensor(LUMA)[:, None, None]).sum(dim=1, keepdim=True)
    luma = F.pad(luma, (2, 2, 2, 2), mode="replicate")
    mean = F.avg_pool2d(luma, 5, stride=1)
    variance = F.avg_pool2d(luma**2, 5, stride=1) - mean**2
    return torch.exp(-variance.clamp(min=0).sqrt() / FLAT_DEVIATION)
