"""The scale of VGG-19's features, by which the weight of the perceptual loss is judged."""

from __future__ import annotations

from argparse import Namespace

import torch
import torch.nn.functional as F
from torch import Tensor

from hsr_hub.training.perceptual import PerceptualLoss
from hsr_hub.training.presets import CAFFE_WEIGHT, STAGE_TWO, preset_flags

CAFFE_DIFFERENCES = {
    "conv1_1": 20.07,
    "conv1_2": 84.21,
    "conv2_1": 134.2,
    "conv2_2": 135.8,
    "conv3_1": 133.3,
    "conv3_2": 193.8,
    "conv3_3": 362.8,
    "conv3_4": 542.5,
}
"""Differences of the features of `probe`, by layer, with the Caffe weights."""

TOLERANCE = 1.5
"""Factor by which a preset's weight may differ from the one that the scale asks for."""


def probe() -> tuple[Tensor, Tensor]:
    """Return a blurred image and the image, noise of all scales as in photographs, (1,3,64,64)."""
    generator = torch.Generator().manual_seed(0)
    image = torch.full((1, 3, 64, 64), 0.5)
    for side in (2, 4, 8, 16, 32, 64):
        noise = 0.12 * torch.randn(1, 1, side, side, generator=generator)
        noise = noise + 0.03 * torch.randn(1, 3, side, side, generator=generator)
        image += F.interpolate(noise, size=64, mode="bilinear", align_corners=False)
    image.clamp_(0, 1)
    small = F.avg_pool2d(image, 4)
    return F.interpolate(small, size=64, mode="bilinear", align_corners=False), image


def feature_scale(loss: PerceptualLoss) -> float | None:
    """Return how large the loss is on `probe`, compared with the Caffe weights.

    None if it has a layer whose size with the Caffe weights is not known.
    """
    if not loss.layers.keys() <= CAFFE_DIFFERENCES.keys():
        return None
    with torch.no_grad():
        found = loss.differences(*probe())
    expected = sum(loss.layers[name] * CAFFE_DIFFERENCES[name] for name in found)
    return sum(loss.layers[name] * float(found[name]) for name in found) / expected


def weight_note(args: Namespace, loss: PerceptualLoss) -> str:
    """Return which perceptual weight a preset should have; empty if its own is right.

    The presets' effect is known for the Caffe weights. With the loss `scale` times as large, a
    weight of 1 / `scale` has the same effect.
    """
    if args.preset not in STAGE_TWO:
        return ""
    preset = preset_flags(args)["perceptual_weight"]
    scale = feature_scale(loss)
    if args.perceptual_weight != preset or not scale:  # the user's own weight
        return ""
    right = CAFFE_WEIGHT / scale
    if 1 / TOLERANCE < right / preset < TOLERANCE:
        return ""
    return (
        f"--preset {args.preset}: its perceptual weight of {preset:g} does not fit the features of "
        f"this VGG-19; --perceptual_weight {right:.2g} has the effect that is meant"
    )
