"""The hierarchical super-resolution network, in pure PyTorch; `HSRNetwork` is the entry point.

Numbers in brackets, such as [0076], are paragraphs of the patent application CN 111369440 A.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

UP_FACTORS = {2: [2], 3: [3], 4: [2, 2], 8: [2, 2, 2]}
"""Up-sampling factors by scale, in order; the levels are their running products."""

NETWORK_ARGUMENTS = (
    "scale",
    "kernel_sizes",
    "widths",
    "dilations",
    "fusion_width",
    "reconstruction_widths",
)
"""Arguments of `HSRNetwork`, which are the keys of config.json.

A new argument needs a default that keeps today's network, because older files lack it. Values are
integers or lists of integers (see `hub/checkpoint.py`).
"""

BICUBIC_RADIUS = 2
"""Input pixels on each side that bicubic interpolation reads."""


def default_widths(kernel_sizes: Sequence[int]) -> list[int]:
    """Return the default channels of each branch, which fall with the square of the kernel size.

    At equal width, a 7x7 branch costs five times as much as a 3x3 branch. The widths are multiples
    of eight, which fill a CPU's vector registers.
    """
    smallest = min(kernel_sizes)
    return [max(8, round(48 * (smallest / k) ** 2 / 8) * 8) for k in kernel_sizes]


def _conv(in_channels: int, out_channels: int, kernel_size: int, dilation: int = 1) -> nn.Conv2d:
    """Return a convolution with zero padding that keeps the size of its input."""
    padding = dilation * (kernel_size // 2)
    return nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding, dilation=dilation)


def _activation(x: Tensor) -> Tensor:
    """Apply leaky ReLU in place, which saves memory. For the same reason, blocks add in place."""
    return F.leaky_relu(x, 0.1, inplace=True)


class Branch(nn.Module):
    """One branch of the feature extraction, with one kernel size [0076].

    It has eight convolutions. The first makes features, the next six are three residual pairs, and
    the last closes a skip over all pairs. The fifth to the seventh are dilated.
    """

    def __init__(self, kernel_size: int, width: int, dilations: Sequence[int]) -> None:
        super().__init__()
        layers = [_conv(3, width, kernel_size)]
        layers += [_conv(width, width, kernel_size) for _ in range(3)]
        layers += [_conv(width, width, kernel_size, dilation) for dilation in dilations]
        layers += [_conv(width, width, kernel_size)]
        self.convs = nn.ModuleList(layers)

    def forward(self, lq: Tensor) -> Tensor:
        """Return (B,width,H,W) features of (B,3,H,W)."""
        first = features = self.convs[0](lq)
        for i in (1, 3, 5):
            features = self.convs[i + 1](_activation(self.convs[i](features))).add_(features)
        return _activation(self.convs[7](features).add_(first))

    @property
    def radius(self) -> int:
        """How many pixels on each side a feature depends on."""
        return sum(_radius(conv) for conv in self.convs)


class HierarchicalFeatureExtraction(nn.Module):
    """Parallel branches on the same input, each with its own kernel size [0073-0077]."""

    def __init__(
        self, kernel_sizes: Sequence[int], widths: Sequence[int], dilations: Sequence[int]
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            Branch(k, width, dilations) for k, width in zip(kernel_sizes, widths, strict=True)
        )
        # Programs without config.json (export/spandrel.py) read the rest from the weights' shapes.
        self.register_buffer("dilations", torch.tensor(list(dilations)))

    def forward(self, lq: Tensor) -> Tensor:
        """Return (B,sum(widths),H,W) features of (B,3,H,W)."""
        return torch.cat([branch(lq) for branch in self.branches], dim=1)

    @property
    def radius(self) -> int:
        """How many pixels on each side a feature depends on."""
        return max(cast(Branch, branch).radius for branch in self.branches)


class FeatureFusion(nn.Module):
    """Three convolutions with kernels 1, 3, 3; returns the first plus the third [0079-0080]."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.conv1 = _conv(in_channels, width, 1)
        self.conv2 = _conv(width, width, 3)
        self.conv3 = _conv(width, width, 3)

    def forward(self, features: Tensor) -> Tensor:
        """Return (B,width,H,W) features of (B,in_channels,H,W)."""
        first = self.conv1(features)
        return self.conv3(_activation(self.conv2(first))).add_(first)

    @property
    def radius(self) -> int:
        """How many pixels on each side a feature depends on."""
        return _radius(self.conv2) + _radius(self.conv3)


class Upsampler(nn.Module):
    """Enlarge features by `factor`: a convolution, then a pixel shuffle.

    Tiles and their memory depend on `read_interval`, `multiplications` and `values_per_pixel`, so
    another up-sampler needs these too.
    """

    def __init__(self, in_channels: int, out_channels: int, factor: int) -> None:
        super().__init__()
        self.conv = _conv(in_channels, out_channels * factor**2, 3)
        self.factor = factor
        self.out_channels = out_channels

    def forward(self, features: Tensor) -> Tensor:
        """Return (B,out_channels,H*factor,W*factor) features of (B,in_channels,H,W)."""
        r = self.factor
        if not features.is_contiguous(memory_format=torch.channels_last):
            return F.pixel_shuffle(_activation(self.conv(features)), r)
        # F.pixel_shuffle does not keep channels_last. With the convolution's channels in the order
        # (r, r, out), the shuffle moves whole blocks of channels and the layout stays.
        weight, bias = (
            parameter.unflatten(0, (-1, r * r)).transpose(0, 1).flatten(0, 1)
            for parameter in self.conv.parameters()
        )
        blocks = _activation(F.conv2d(features, weight, bias, padding=1)).permute(0, 2, 3, 1)
        blocks = blocks.unflatten(3, (r, r, -1)).transpose(2, 3)  # (B,H,r,W,r,out)
        return blocks.flatten(1, 2).flatten(2, 3).permute(0, 3, 1, 2)

    def read_interval(self, low: int, high: int) -> tuple[int, int]:
        """Return the first and last input pixel that the output pixels `low` to `high` depend on.

        The convolution comes before the shuffle, so that pixels are first divided by the factor.
        """
        radius = _radius(self.conv)
        return low // self.factor - radius, high // self.factor + radius

    @property
    def multiplications(self) -> int:
        """Multiplications per input pixel."""
        return _count_weights(self)

    @property
    def values_per_pixel(self) -> int:
        """Values per output pixel that are in memory at the same time.

        These are the output of the convolution, the activation and the shuffled one.
        """
        return 3 * self.out_channels


class HierarchicalGuidedReconstruction(nn.Module):
    """One head per level, each on the up-sampled features of the level before [0082-0086]."""

    def __init__(self, in_channels: int, widths: Sequence[int], factors: Sequence[int]) -> None:
        super().__init__()
        channels = [in_channels, *widths]
        self.upsamplers = nn.ModuleList(
            Upsampler(c_in, c_out, factor)
            for c_in, c_out, factor in zip(channels, widths, factors, strict=False)
        )
        self.heads = nn.ModuleList(_conv(c, 3, 3) for c in channels)

    def forward(self, features: Tensor, wanted: Sequence[int]) -> list[Tensor]:
        """Return the residual images of some levels.

        Args:
            features: (B,in_channels,H,W).
            wanted: Indices of the levels, ascending. Other levels are not computed.

        Returns:
            One (B,3,H*s,W*s) image per wanted level.
        """
        images = []
        for i in range(wanted[-1] + 1):
            if i > 0:
                features = self.upsamplers[i - 1](features)
            if i in wanted:
                images.append(self.heads[i](features))
        return images

    def read_interval(self, scale: int) -> tuple[int, int]:
        """Return the first and last feature that the last level's pixels inside pixel 0 depend on.

        Args:
            scale: Factor of the last level.
        """
        head = _radius(self.heads[-1])
        low, high = -head, scale - 1 + head
        for upsampler in reversed(self.upsamplers):
            low, high = cast(Upsampler, upsampler).read_interval(low, high)
        return low, high


def _cubic(t: float) -> float:
    """Return the value of the cubic kernel with a = -0.75, which is torch's, at a distance."""
    t = abs(t)
    if t < 1:
        return 1.25 * t**3 - 2.25 * t**2 + 1
    return -0.75 * (t**3 - 5 * t**2 + 8 * t - 4) if t < 2 else 0.0


class BicubicUpsampling(nn.Module):
    """Enlarge the image itself by bicubic interpolation, for the skip.

    Equals `F.interpolate(lq, scale_factor=factor, mode="bicubic")`, up to float rounding.

    Convolutions are fastest in channels_last, where that function takes an eighth of the network's
    time. This is one convolution instead, with a kernel for each of the `factor**2` output pixels
    inside an input pixel.
    """

    weight: Tensor

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor
        taps = range(-BICUBIC_RADIUS, BICUBIC_RADIUS + 1)
        centres = [(p + 0.5) / factor - 0.5 for p in range(factor)]
        # In plain Python, because arithmetic on the meta device would import torch's compiler.
        lines = [[_cubic(tap - centre) for tap in taps] for centre in centres]
        zeros = [[0.0] * len(taps)] * len(taps)
        weight = []
        for row in lines:
            for column in lines:
                kernel = [[y * x for x in column] for y in row]
                for channel in range(3):  # each colour is made of itself alone
                    weight.append([kernel if i == channel else zeros for i in range(3)])
        # Not saved, because it follows from the factor.
        self.register_buffer("weight", torch.tensor(weight), persistent=False)

    def forward(self, lq: Tensor) -> Tensor:
        """Return (B,3,H*factor,W*factor) for (B,3,H,W), in channels_last."""
        r = self.factor
        with torch.autocast(lq.device.type, enabled=False):  # the skip stays in float32
            padded = F.pad(lq, [BICUBIC_RADIUS] * 4, mode="replicate")
            pixels = F.conv2d(padded, self.weight.to(lq.dtype)).permute(0, 2, 3, 1)
        rows = pixels.unflatten(3, (r, r * 3)).transpose(2, 3)  # (B,H,r,W,r*3)
        return rows.flatten(1, 2).unflatten(3, (r, 3)).flatten(2, 3).permute(0, 3, 1, 2)


class HSRNetwork(nn.Module):
    """Hierarchical super-resolution network.

    ```
          ┌ branch, small kernel ─┐                   ┌─ conv ────────────────► image x1
    lq ───┼ branch                ┼─ concat ─ fusion ─┤
      │   └ branch, large kernel ─┘                   └─ up ─┬─ conv ─────────► image x2
      │                                                      └─ up ── conv ───► image x4
      └── bicubic up-sampling, added to every image
    ```

    The structure is that of the patent application. Branches with different kernel sizes extract
    features [0073-0077], a block of three convolutions fuses them [0079-0080], and one branch per
    level reconstructs an image. The first of these is a convolution, and every later one up-samples
    the features of the one before it [0063-0065, 0082-0086].

    The patent leaves some choices open. They follow the comparisons in
    `recipes/hsr-lite-x4/README.md`:

    * Each branch has residual pairs inside. At the same learning rate, this reached 30.2 dB on
      Set5, and eight plain convolutions 28.6 dB.
    * The network predicts only the difference from the bicubic image. So colours and flat areas are
      correct from the first step, and the residual is small enough for half precision. Without
      this skip, the result was 1.3 dB lower on Set5.
    * Most of the capacity is in the smallest kernel (see `default_widths`). After the same number
      of steps, each of which took 16 % longer, this was 0.35 dB better than widths of equal cost
      (24, 16, 12).

    Args:
        scale: Factor of the last level: 2, 3, 4 or 8.
        kernel_sizes: Odd kernel size of each branch; any number of branches.
        widths: Channels of each branch; by default `default_widths(kernel_sizes)`.
        dilations: Dilations of the three dilated convolutions in each branch.
        fusion_width: Channels of the fused features.
        reconstruction_widths: Channels of the up-sampled features of each level above x1, low to
            high; by default 24 for the first, and half as many for each later one but at least 12.

    Attributes:
        config: All arguments, with defaults filled in.
        scale: Factor of the last level.
        levels: Factors of all levels, ascending, from 1 to `scale`.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(
        self,
        *,
        scale: int = 4,
        kernel_sizes: Sequence[int] = (3, 5, 7),
        widths: Sequence[int] | None = None,
        dilations: Sequence[int] = (2, 2, 2),
        fusion_width: int = 48,
        reconstruction_widths: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if scale not in UP_FACTORS:
            raise ValueError(f"scale must be one of {list(UP_FACTORS)}, not {scale!r}")
        factors = UP_FACTORS[scale]
        if not kernel_sizes or any(k < 1 or k % 2 == 0 for k in kernel_sizes):
            raise ValueError(f"kernel_sizes must be odd and positive, not {list(kernel_sizes)}")
        if widths is None:
            widths = default_widths(kernel_sizes)
        if reconstruction_widths is None:
            reconstruction_widths = [max(12, 24 >> i) for i in range(len(factors))]
        if len(widths) != len(kernel_sizes):
            raise ValueError(
                f"widths must have one entry per kernel size: {list(widths)} "
                f"for {list(kernel_sizes)}"
            )
        if len(dilations) != 3:
            raise ValueError(f"dilations must have three entries, not {list(dilations)}")
        if len(reconstruction_widths) != len(factors):
            raise ValueError(
                f"reconstruction_widths must have {len(factors)} entries for scale {scale}, "
                f"not {list(reconstruction_widths)}"
            )
        if min(*widths, *dilations, fusion_width, *reconstruction_widths) < 1:
            raise ValueError(
                f"widths and dilations must be positive, not widths={list(widths)}, "
                f"dilations={list(dilations)}, fusion_width={fusion_width}, "
                f"reconstruction_widths={list(reconstruction_widths)}"
            )

        self.config: dict[str, Any] = {
            "scale": scale,
            "kernel_sizes": list(kernel_sizes),
            "widths": list(widths),
            "dilations": list(dilations),
            "fusion_width": fusion_width,
            "reconstruction_widths": list(reconstruction_widths),
        }
        self.scale = scale
        self.levels = [1]
        for factor in factors:
            self.levels.append(self.levels[-1] * factor)

        self.extraction = HierarchicalFeatureExtraction(kernel_sizes, widths, dilations)
        self.fusion = FeatureFusion(sum(widths), fusion_width)
        self.reconstruction = HierarchicalGuidedReconstruction(
            fusion_width, reconstruction_widths, factors
        )
        self.skips = nn.ModuleList(
            BicubicUpsampling(s) if s > 1 else nn.Identity() for s in self.levels
        )
        for head in self.reconstruction.heads:
            # Start close to the bicubic image, because training would first remove large residuals.
            assert isinstance(head, nn.Conv2d) and head.bias is not None
            with torch.no_grad():
                head.weight.mul_(0.1)
                head.bias.zero_()

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Load weights as `nn.Module.load_state_dict` does, and check their dilations.

        Raises:
            ValueError: The weights belong to a network with other dilations.
        """
        stored = state_dict.get("extraction.dilations")
        expected = self.config["dilations"]
        if stored is not None and stored.tolist() != expected:
            raise ValueError(
                f"the weights have dilations {stored.tolist()}, config.json {expected}: "
                "use the config.json that belongs to the weights"
            )
        return super().load_state_dict(state_dict, *args, **kwargs)

    def forward(self, lq: Tensor) -> list[Tensor]:
        """Return the images of all levels.

        Args:
            lq: (B,3,H,W), RGB, float in [0, 1]; any H and W from 1 up.

        Returns:
            One (B,3,H*s,W*s) image for every s in `levels`, low to high, unclamped.
        """
        return self._reconstruct(lq, range(len(self.levels)))

    def super_resolve(self, lq: Tensor, scale: int) -> Tensor:
        """Return the image of one level, without computing what only other levels need.

        Args:
            lq: (B,3,H,W), RGB, float in [0, 1].
            scale: One of `levels`.

        Returns:
            (B,3,H*scale,W*scale), unclamped; equal to `forward(lq)[levels.index(scale)]`.

        Raises:
            ValueError: The scale is not one of `levels`.
        """
        if scale not in self.levels:
            raise ValueError(f"scale must be one of the levels {self.levels}, not {scale!r}")
        return self._reconstruct(lq, [self.levels.index(scale)])[0]

    def _reconstruct(self, lq: Tensor, wanted: Sequence[int]) -> list[Tensor]:
        """Return the images of the levels with the ascending indices `wanted`."""
        residuals = self.reconstruction(self.fusion(self.extraction(lq)), wanted)
        images = []
        for index, residual in zip(wanted, residuals, strict=True):
            images.append(residual + self.skips[index](lq))
        return images

    @property
    def receptive_field(self) -> int:
        """Exact radius, in input pixels, of the area that an output pixel depends on.

        A pixel of the last level inside input pixel (y, x) depends on the input pixels from
        y - radius to y + radius and from x - radius to x + radius, and on no others.
        """
        low, high = self.reconstruction.read_interval(self.scale)
        features = self.extraction.radius + self.fusion.radius
        return max(features + max(-low, high), BICUBIC_RADIUS)

    def multiplications(self, level: int) -> int:
        """Return the multiplications per input pixel for the image of one level."""
        net, index = self.reconstruction, self.levels.index(level)
        total = _count_weights(self.extraction) + _count_weights(self.fusion)
        total += _count_weights(net.heads[index]) * level**2
        # The input of an up-sampler is the level before its own.
        for upsampler, s in zip(net.upsamplers[:index], self.levels, strict=False):
            total += cast(Upsampler, upsampler).multiplications * s**2
        return total

    def bytes_per_pixel(self, level: int) -> int:
        """Return the memory for activations per input pixel, in float32, rounded up.

        The most memory is needed in the widest stage. It holds the tensors of an up-sampler and a
        few of three channels. The fused features take their part during all stages.
        """
        features = 3 * (sum(self.config["widths"]) + self.config["fusion_width"])
        images = 9
        stages = [images]
        for upsampler, s in zip(self.reconstruction.upsamplers, self.levels[1:], strict=True):
            if s <= level:
                stages.append((cast(Upsampler, upsampler).values_per_pixel + images) * s**2)
        return 4 * (features + max(stages))


def _count_weights(part: nn.Module) -> int:
    """Return the weights of convolutions, each of which is one multiplication per pixel."""
    return sum(weight.numel() for weight in part.parameters() if weight.dim() > 1)


def _radius(conv: nn.Module) -> int:
    """Return how many pixels a convolution reads on each side."""
    assert isinstance(conv, nn.Conv2d)
    return conv.dilation[0] * (conv.kernel_size[0] // 2)
