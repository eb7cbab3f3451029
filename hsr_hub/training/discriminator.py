"""The discriminator, shaped like VGG-13 [0118 of the patent application CN 111369440 A]."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DETAIL_GAIN = 8
"""Factor of the detail channels, after which they vary about as much as the image."""


class Discriminator(nn.Module):
    """Ten convolutions in five blocks and three linear layers, for images of any size.

    There are no batch statistics. A score depends on its image alone, so real and fake images can
    share a batch, and several processes compute the same as one.

    The input has three more channels than in the source: the image's detail, amplified. Results and
    photographs differ little compared with what they share, and without these channels the
    discriminator learns more slowly than the generator.

    Args:
        width: Channels of the first block, 64 in VGG-13. The last two blocks have eight times as
            many.
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
            modules.append(nn.MaxPool2d(2, ceil_mode=True))  # ceil: for sizes below 32
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
        """Return a score (B,1) for images (B,3,H,W) in [0, 1]: higher is more real."""
        padded = F.pad(image, (2, 2, 2, 2), mode="replicate")
        detail = DETAIL_GAIN * (image - F.avg_pool2d(padded, 5, stride=1))
        return self.score(self.features(torch.cat([image * 2 - 1, detail], dim=1)))
