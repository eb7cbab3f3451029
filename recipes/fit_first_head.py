"""Fit the output convolution of level x1 by least squares, and leave all other weights as they are.

    python -m recipes.fit_first_head MODEL OUT FOLDER [FOLDER ...] [--share 0.7] [--passes 1]

Adversarial training sharpens the higher levels and costs level x1 accuracy, because all levels
share their features. A single convolution makes the image of level x1 from these features, so its
best weights follow from a linear system. The photographs of the FOLDERs are degraded as in
training. A photograph counts less the larger its present error is, so that mild degradations,
which are the most common, are not outweighed. The result is the mean of the present head and of
the fitted one, in which SHARE is the part of the fitted one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from tqdm.auto import tqdm

from hsr_hub import HSRNet
from hsr_hub.images import read_pil, to_rgb
from hsr_hub.training.degradations import degrade

PIXELS = 3000
"""Pixels of a photograph that are used."""

POWER = 0.8
"""A photograph is weighted by its mean squared error to the power of minus this."""

FLOOR = 2e-5
"""Added to the mean squared error, so that clean images do not outweigh all others."""

RIDGE = 1e-6
"""Weight decay, relative to the mean square of the features."""


@torch.inference_mode()
def fit(net: HSRNet, paths: list[Path], share: float, passes: int, seed: int) -> None:
    """Move the weights of the head of level x1 to those that fit best.

    Args:
        net: The network, which is changed.
        paths: Photographs.
        share: Part of the fitted weights in the new ones, from 0 to 1.
        passes: Number of times that each one is degraded.
        seed: Seed of the degradations.
    """
    head = net.reconstruction.heads[0]
    assert isinstance(head, torch.nn.Conv2d)
    count = head.weight[0].numel() + 1
    products = torch.zeros(count, count, dtype=torch.float64)
    answers = torch.zeros(count, 3, dtype=torch.float64)
    rng = np.random.default_rng(seed)
    for path in tqdm(paths * passes):
        gt = np.asarray(to_rgb(read_pil(path)))
        height, width = (side // net.scale * net.scale for side in gt.shape[:2])
        gt = np.ascontiguousarray(gt[:height, :width])
        lq = _tensor(degrade(gt, net.scale, rng))
        label = functional.interpolate(
            _tensor(gt), scale_factor=1 / net.scale, mode="bicubic", antialias=True
        ).clamp(0, 1)
        features = net.fusion(net.extraction(lq))
        error = float((lq + head(features) - label).square().mean())
        columns = functional.unfold(features, 3, padding=1)[0]
        wanted = (label - lq)[0].flatten(1)
        chosen = torch.from_numpy(rng.permutation(columns.shape[1])[:PIXELS])
        inputs = torch.cat([columns[:, chosen], torch.ones(1, len(chosen))])
        weight = (error + FLOOR) ** -POWER
        products += weight * (inputs @ inputs.T).double()
        answers += weight * (inputs @ wanted[:, chosen].T).double()
    products += RIDGE * products.diagonal().mean() * torch.eye(count)
    solution = torch.linalg.solve(products, answers).T.float()
    head.weight.lerp_(solution[:, :-1].reshape(head.weight.shape), share)
    assert head.bias is not None
    head.bias.lerp_(solution[:, -1], share)


def _tensor(image: np.ndarray) -> torch.Tensor:
    """Return (1,3,H,W) float32 in [0, 1]."""
    return torch.tensor(image).permute(2, 0, 1)[None].float() / 255


def main() -> None:
    """Parse the command line, fit, and save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="name or folder of weights")
    parser.add_argument("out", type=Path, help="folder for the new weights")
    parser.add_argument("folders", nargs="+", type=Path, help="folders of photographs")
    parser.add_argument("--share", type=float, default=0.7, help="part of the fitted head")
    parser.add_argument("--passes", type=int, default=1, help="degradations of each photograph")
    parser.add_argument("--seed", type=int, default=0, help="seed of the degradations")
    args = parser.parse_args()
    net = HSRNet.from_pretrained(args.model).eval()
    paths = [path for folder in args.folders for path in sorted(folder.iterdir())]
    fit(net, paths, args.share, args.passes, args.seed)
    net.save_pretrained(args.out)


if __name__ == "__main__":
    main()
