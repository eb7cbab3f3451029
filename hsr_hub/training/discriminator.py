"""The discriminator: VGG-13 shaped [0118]."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DETAIL_GAIN = 8
"""How much stronger than the image its detail is shown; the two then vary alike."""


class Discriminator(nn.Module):
    """Ten convolutions in five blocks and three linear layers, as VGG-13, for images of any size.

    Without batch statistics: an image's score depends on that image alone, so real and fake ones
    may share a batch, and several processes compute what one does.

    Beside the image it sees the image's detail, stronger: what results and photographs differ in is
    small beside all that they share, and without it the discriminator learns more slowly than
    the generator (ours; the source gives it the image alone).

    Args:
        width: Channels of the first block; VGG-13's is 64. The last two blocks have eight times it.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        modules: list[nn.Module] = []
        channels = 6
        for factor in (1, 2, 4, 8, 8):
            for _ in range(2):
                modules.append(nn.Conv2d(channels, width * factor, 3, padding=1))
                modules.append(nn.LeakyReLU(0.2))
                channels = width * factor
            modules.append(nn.MaxPool2d(2, ceil_mode=True))  # ceil: sizes below 32 work too
        self.features = nn.Sequential(*modules)
        self.score = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(channels, channels),
            nn.LeakyReLU(0.2),
            nn.Linear(channels, channels),
            nn.LeakyReLU(0.2),
            nn.Linear(channels, 1),
        )
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
                nn.init.kaiming_normal_(module.weight, a=0.2, nonlinearity="leaky_relu")
                nn.init.zeros_(module.bias)

    def forward(self, image: Tensor) -> Tensor:
        """(B,3,H,W) in [0, 1] to (B,1): higher means more real; not a probability."""
        padded = F.pad(image, (2, 2, 2, 2), mode="replicate")
        detail = DETAIL_GAIN * (image - F.avg_pool2d(padded, 5, stride=1))
        return self.score(self.features(torch.cat([image * 2 - 1, detail], dim=1)))
