"""Images of every level with their labels, and crops of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class LevelPairs(NamedTuple):
    """The images of every level with their labels, low to high."""

    sr: Sequence[Tensor]
    gt: Sequence[Tensor]


def random_crops(sr: Sequence[Tensor], gt: Sequence[Tensor], key: int) -> LevelPairs:
    """Return every level and its label without some of the outermost rows and columns.

    If the pixels of an input pixel always met the same cells of the poolings in VGG and the
    discriminator, a pattern of s pixels could satisfy those networks. The crops move the cells in
    every step. That alone leaves most of the grid; `checkerboard_loss` removes it.

    Args:
        sr: The network's images, low to high; the first is x1.
        gt: Their labels, of the same shapes.
        key: Seed of the crops' positions, the same in every process and after a resume.

    Returns:
        Crops of both. Level x`s` loses `s` - 1 rows and columns, so x1 stays whole.
    """
    generator = torch.Generator().manual_seed(key)
    crops = []
    for image, label in zip(sr, gt, strict=True):
        margin = image.shape[-1] // sr[0].shape[-1] - 1
        y, x = torch.randint(margin + 1, (2,), generator=generator).tolist()
        rows = slice(y, image.shape[-2] - margin + y)
        columns = slice(x, image.shape[-1] - margin + x)
        crops.append((image[..., rows, columns], label[..., rows, columns]))
    return LevelPairs([image for image, _ in crops], [label for _, label in crops])


def center_crops(pair: LevelPairs, side: int) -> LevelPairs:
    """Return the center of every level and its label, `side` pixels of x1 or less."""
    height, width = pair.sr[0].shape[-2:]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    crops = []
    for image, label in zip(*pair, strict=True):
        s = image.shape[-1] // width
        rows, columns = slice(top * s, (top + side) * s), slice(left * s, (left + side) * s)
        crops.append((image[..., rows, columns], label[..., rows, columns]))
    return LevelPairs([image for image, _ in crops], [label for _, label in crops])
