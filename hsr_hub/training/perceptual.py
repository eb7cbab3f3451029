"""The generator's losses that compare features of other networks: VGG-19 and LPIPS.

Numbers in brackets are paragraphs of the patent application CN 111369440 A, "the source".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from hsr_hub.evaluation import LpipsSqueeze

VGG19_BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
"""Channels and number of convolutions of each block. A pooling follows each block."""

CAFFE_MEAN = (103.939, 116.779, 123.68)  # BGR, of 0-255
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

TORCHVISION_START = (-0.053474, -0.049257, -0.067942)
"""First values of torchvision's VGG-19, by which a file of it is recognised."""


class LpipsLoss(nn.Module):
    """LPIPS on SqueezeNet of the last level against its label; ours, not the source's.

    Weights that are trained with it score better by LPIPS than they look, because they were
    optimized for that metric. Say so where such scores are reported, and compare by other metrics
    and by eye.

    Args:
        folder: The weights, as `LpipsSqueeze` takes them.

    Raises:
        FileNotFoundError: A file of weights is missing.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.metric = LpipsSqueeze(folder)

    def forward(self, sr: Sequence[Tensor], gt: Sequence[Tensor]) -> Tensor:
        """Return a scalar for images and labels as in `pixel_loss`."""
        return self.metric.tensor_distance(sr[-1], gt[-1])


def parse_layers(text: str) -> dict[str, float]:
    """Return a text like `"conv1_2:0.1,conv3_4:1"` as a mapping of layer to weight.

    Raises:
        ValueError: VGG-19 has no such layer, or a weight is not a positive number.
    """
    known = _vgg19_convolutions()
    layers = {}
    for part in text.split(","):
        name, _, weight = part.strip().partition(":")
        if name not in known:
            raise ValueError(f"VGG-19 has no layer {name!r}; it has {', '.join(known)}")
        try:
            layers[name] = float(weight or 1)
        except ValueError:
            raise ValueError(f"the weight of {name} must be a number, not {weight!r}") from None
        if not layers[name] > 0:
            raise ValueError(f"the weight of {name} must be positive, not {weight}")
    return layers


def _vgg19_convolutions() -> dict[str, int]:
    """Return the index in torchvision's `vgg19().features` of every convolution by name."""
    indices, index = {}, 0
    for block, (_, count) in enumerate(VGG19_BLOCKS, start=1):
        for number in range(1, count + 1):
            indices[f"conv{block}_{number}"] = index
            index += 2  # the convolution and its ReLU
        index += 1  # the pooling
    return indices


class PerceptualLoss(nn.Module):
    """L_p [0104-0110]: mean absolute differences of VGG-19 features, summed over layers and levels.

    Features are taken after the activation. By default the weights are torchvision's, which are
    downloaded once. A local file holds these, or weights in Caffe's convention (BGR, 0-255, minus
    the mean). Their features are larger, so the loss needs a smaller weight; see `feature_scale`.

    Args:
        layers: Weight by layer; see `parse_layers`.
        weights_path: Safetensors file with keys as in torchvision's `vgg19()` (`features.0.weight`
            and so on) that contains the deepest layer.
        skip_x1: Leave the x1 level to the pixel loss.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not a VGG-19 in safetensors or lacks a layer.
    """

    def __init__(
        self,
        layers: Mapping[str, float],
        weights_path: Path | None = None,
        *,
        skip_x1: bool = False,
    ) -> None:
        super().__init__()
        self.first_level = 1 if skip_x1 else 0
        self.layers = dict(layers)
        indices = _vgg19_convolutions()
        self.taps = {indices[name] + 1: name for name in layers}
        depth = max(self.taps) + 1
        self.features = nn.Sequential(*_vgg19_modules()[:depth])
        if weights_path is None:
            from torchvision.models import VGG19_Weights

            state = VGG19_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True)
        elif weights_path.is_file():
            try:
                state = load_file(weights_path)
            except SafetensorError as error:
                raise ValueError(
                    f"{weights_path} is not a valid safetensors file: {error}"
                ) from error
        else:
            raise FileNotFoundError(f"there is no file of VGG-19 weights {weights_path}")
        wanted = {f"features.{key}": value for key, value in self.features.state_dict().items()}
        missing = [key for key in wanted if key not in state]
        if missing:
            raise ValueError(f"{weights_path} is not deep enough for {[*layers]}: lacks {missing}")
        for key, value in wanted.items():
            if state[key].shape != value.shape or not state[key].isfinite().all():
                raise ValueError(f"{weights_path}: {key} is not VGG-19's, or not finite")
        start = state["features.0.weight"].flatten()[:3].float()
        known = torch.allclose(start, start.new_tensor(TORCHVISION_START), atol=1e-3)
        self.caffe = weights_path is not None and not known
        self.features.load_state_dict(
            {key.removeprefix("features."): state[key].float() for key in wanted}
        )
        self.requires_grad_(False)

    def forward(self, sr: Sequence[Tensor], gt: Sequence[Tensor]) -> Tensor:
        """Return a scalar for images and labels as in `pixel_loss`."""
        total = sr[0].new_zeros(())
        first = self.first_level
        for image, label in zip(sr[first:], gt[first:], strict=True):
            for name, difference in self.differences(image, label).items():
                total = total + self.layers[name] * difference
        return total

    def differences(self, image: Tensor, label: Tensor) -> dict[str, Tensor]:
        """Return the mean absolute difference of every layer's features between two images."""
        with torch.no_grad():
            wanted = self._features(label)
        features = self._features(image)
        return {name: F.l1_loss(features[name].float(), wanted[name].float()) for name in features}

    def _features(self, image: Tensor) -> dict[str, Tensor]:
        if self.caffe:
            x = image.flip(1) * 255 - image.new_tensor(CAFFE_MEAN)[:, None, None]
        else:
            mean, std = (image.new_tensor(v)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))
            x = (image - mean) / std
        taken = {}
        for index, module in enumerate(self.features):
            x = module(x)
            if index in self.taps:
                taken[self.taps[index]] = x
        return taken


def _vgg19_modules() -> list[nn.Module]:
    modules: list[nn.Module] = []
    channels = 3
    for width, count in VGG19_BLOCKS:
        for _ in range(count):
            modules += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        modules.append(nn.MaxPool2d(2, ceil_mode=True))
    return modules
