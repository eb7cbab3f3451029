"""The network: hierarchical features, their fusion, and an image for every resolution.

```
      ┌ branch, small kernel ─┐                   ┌─ conv ────────────────► image x1
lq ───┼ branch                ┼─ concat ─ fusion ─┤
  │   └ branch, large kernel ─┘                   └─ up ─┬─ conv ─────────► image x2
  │                                                      └─ up ── conv ───► image x4
  └── bicubic up-sampling, added to every image
```

The structure is the source's (CN 111369440 A): every branch is four convolutions, three dilated
ones and one more, with one kernel size throughout [0076]; the fusion is a block of kernels 1, 3, 3
whose first and third outputs are summed [0080]; the first reconstruction branch is convolution
only, every later one up-samples the features that the one before it up-sampled [0063-0065]. What
the source leaves open was chosen by the comparisons in `recipes/hsr-lite-x4/README.md`:

* **Residuals inside a branch.** The first convolution makes features, the next six are three
  residual pairs, the eighth closes a skip over all of them. At the same learning rate this gave
  30.2 dB on Set5 where eight plain convolutions stayed at 28.6.
* **A skip from the up-sampled input.** The network adds what bicubic lacks, so colours and flat
  areas are right from the first step on, and the residual is small enough for half precision.
  Without it the comparison ended 1.3 dB lower on Set5.
* **Widths.** At equal width a 7x7 branch costs five times a 3x3 one. By default a branch gets
  `48 * (k_min / k) ** 2` channels in multiples of eight, which fill a CPU's vector registers: most
  of the capacity goes to the smallest kernel. After as many steps, each 16 % longer, that was
  0.35 dB above widths balanced by cost (24, 16, 12).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

UP_FACTORS = {2: [2], 3: [3], 4: [2, 2], 8: [2, 2, 2]}
"""Up-sampling factors by scale, low to high; levels are their running products, from 1."""


def default_widths(kernel_sizes: Sequence[int]) -> list[int]:
    """Channels per branch when none are given: they fall with the square of the kernel size."""
    smallest = min(kernel_sizes)
    return [max(8, round(48 * (smallest / k) ** 2 / 8) * 8) for k in kernel_sizes]


def _conv(in_channels: int, out_channels: int, kernel_size: int, dilation: int = 1) -> nn.Conv2d:
    """A convolution that keeps the size of its input (zeros outside the picture)."""
    padding = dilation * (kernel_size // 2)
    return nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding, dilation=dilation)


def _activation(x: Tensor) -> Tensor:
    """In place, as are the sums below: what a convolution gave is needed nowhere else."""
    return F.leaky_relu(x, 0.1, inplace=True)


class Branch(nn.Module):
    """One branch of the extraction: 4 convolutions, 3 dilated, 1 convolution, one kernel size."""

    def __init__(self, kernel_size: int, width: int, dilations: Sequence[int]) -> None:
        super().__init__()
        layers = [_conv(3, width, kernel_size)]
        layers += [_conv(width, width, kernel_size) for _ in range(3)]
        layers += [_conv(width, width, kernel_size, dilation) for dilation in dilations]
        layers += [_conv(width, width, kernel_size)]
        self.convs = nn.ModuleList(layers)

    def forward(self, lq: Tensor) -> Tensor:
        """(B,3,H,W) to (B,width,H,W)."""
        first = features = self.convs[0](lq)
        for i in (1, 3, 5):
            features = self.convs[i + 1](_activation(self.convs[i](features))).add_(features)
        return _activation(self.convs[7](features).add_(first))


class HierarchicalFeatureExtraction(nn.Module):
    """Parallel branches on the same input, a kernel size for each (HFEM [0073-0077])."""

    def __init__(
        self, kernel_sizes: Sequence[int], widths: Sequence[int], dilations: Sequence[int]
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            Branch(k, width, dilations) for k, width in zip(kernel_sizes, widths, strict=True)
        )
        # All else shows in the weights' shapes, for programs without config.json (spandrel_arch).
        self.register_buffer("dilations", torch.tensor(list(dilations)))

    def forward(self, lq: Tensor) -> Tensor:
        """(B,3,H,W) to (B,sum(widths),H,W)."""
        return torch.cat([branch(lq) for branch in self.branches], dim=1)


class FeatureFusion(nn.Module):
    """The block where the branches meet: kernels 1, 3, 3, first plus third output ([0079-0080])."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.conv1 = _conv(in_channels, width, 1)
        self.conv2 = _conv(width, width, 3)
        self.conv3 = _conv(width, width, 3)

    def forward(self, features: Tensor) -> Tensor:
        """(B,in_channels,H,W) to (B,width,H,W)."""
        first = self.conv1(features)
        return self.conv3(_activation(self.conv2(first))).add_(first)


class Upsampler(nn.Module):
    """A convolution and a pixel shuffle: features at `factor` times the resolution."""

    def __init__(self, in_channels: int, out_channels: int, factor: int) -> None:
        super().__init__()
        self.conv = _conv(in_channels, out_channels * factor**2, 3)
        self.factor = factor

    def forward(self, features: Tensor) -> Tensor:
        """(B,in_channels,H,W) to (B,out_channels,H*factor,W*factor)."""
        r = self.factor
        if not features.is_contiguous(memory_format=torch.channels_last):
            return F.pixel_shuffle(_activation(self.conv(features)), r)
        # The same in channels_last, which pixel_shuffle leaves: with the convolution's channels in
        # the order (r, r, out) the shuffle moves blocks of them and the layout stays.
        weight, bias = (
            parameter.unflatten(0, (-1, r * r)).transpose(0, 1).flatten(0, 1)
            for parameter in self.conv.parameters()
        )
        blocks = _activation(F.conv2d(features, weight, bias, padding=1)).permute(0, 2, 3, 1)
        blocks = blocks.unflatten(3, (r, r, -1)).transpose(2, 3)  # (B,H,r,W,r,out)
        return blocks.flatten(1, 2).flatten(2, 3).permute(0, 3, 1, 2)


class HierarchicalGuidedReconstruction(nn.Module):
    """A branch per resolution, each up-sampling what the one before it did (HGRM [0082-0086])."""

    def __init__(self, in_channels: int, widths: Sequence[int], factors: Sequence[int]) -> None:
        super().__init__()
        channels = [in_channels, *widths]
        self.upsamplers = nn.ModuleList(
            Upsampler(c_in, c_out, factor)
            for c_in, c_out, factor in zip(channels, widths, factors, strict=False)
        )
        self.heads = nn.ModuleList(_conv(c, 3, 3) for c in channels)

    def forward(self, features: Tensor, wanted: Sequence[int]) -> list[Tensor]:
        """Residual images of the levels whose (ascending) indices are `wanted`, and no others."""
        images = []
        for i in range(wanted[-1] + 1):
            if i > 0:
                features = self.upsamplers[i - 1](features)
            if i in wanted:
                images.append(self.heads[i](features))
        return images


BICUBIC_RADIUS = 2
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
        taps = range(-BICUBIC_RADIUS, BICUBIC_RADIUS + 1)
        centres = [(p + 0.5) / factor - 0.5 for p in range(factor)]
        # In plain Python: arithmetic on torch's meta device, where shapes are checked, would
        # import its compiler.
        lines = [[_cubic(tap - centre) for tap in taps] for centre in centres]
        zeros = [[0.0] * len(taps)] * len(taps)
        weight = [
            [[[y * x for x in column] for y in row] if i == o else zeros for i in range(3)]
            for row in lines
            for column in lines
            for o in range(3)
        ]
        # Not saved: it follows from the factor.
        self.register_buffer("weight", torch.tensor(weight), persistent=False)

    def forward(self, lq: Tensor) -> Tensor:
        """(B,3,H,W) to (B,3,H*factor,W*factor), in channels_last."""
        r = self.factor
        with torch.autocast(lq.device.type, enabled=False):  # what is added up must be exact
            padded = F.pad(lq, [BICUBIC_RADIUS] * 4, mode="replicate")
            pixels = F.conv2d(padded, self.weight.to(lq.dtype)).permute(0, 2, 3, 1)
        rows = pixels.unflatten(3, (r, r * 3)).transpose(2, 3)  # (B,H,r,W,r*3)
        return rows.flatten(1, 2).unflatten(3, (r, 3)).flatten(2, 3).permute(0, 3, 1, 2)


class HSRNetwork(nn.Module):
    """Hierarchical super-resolution network.

    Args:
        scale: Factor of the last level: 2, 3, 4 or 8.
        kernel_sizes: Odd kernel size of every branch; any number of branches.
        widths: Channels of every branch; by default `default_widths(kernel_sizes)`.
        dilations: Dilations of the three dilated convolutions in every branch.
        fusion_width: Channels of the fused features.
        reconstruction_widths: Channels of the up-sampled features of every level above x1, low to
            high; by default 24 at the first and half as many, but at least 12, at each later one.

    Raises:
        ValueError: An argument is out of its range; the message names it.
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
            raise ValueError("widths and dilations must be positive")

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
            # Start close to the bicubic skip: large residuals would have to be unlearnt first.
            assert isinstance(head, nn.Conv2d) and head.bias is not None
            with torch.no_grad():
                head.weight.mul_(0.1)
                head.bias.zero_()

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """As `nn.Module.load_state_dict`; a ValueError for weights with other dilations."""
        stored, ours = state_dict.get("extraction.dilations"), self.config["dilations"]
        if stored is not None and stored.tolist() != ours:
            raise ValueError(f"the weights have dilations {stored.tolist()}, config.json {ours}")
        return super().load_state_dict(state_dict, *args, **kwargs)

    def forward(self, lq: Tensor) -> list[Tensor]:
        """All levels of a batch.

        Args:
            lq: (B,3,H,W), RGB, float in [0, 1]; any H and W from 1 up.

        Returns:
            One (B,3,H*s,W*s) image for every s in `levels`, low to high, unclamped.
        """
        return self._reconstruct(lq, range(len(self.levels)))

    def super_resolve(self, lq: Tensor, scale: int) -> Tensor:
        """One level alone: what the others need and this one does not is never computed.

        Args:
            lq: (B,3,H,W), RGB, float in [0, 1].
            scale: One of `levels`.

        Returns:
            (B,3,H*scale,W*scale), unclamped; equal to `forward(lq)[levels.index(scale)]`.
        """
        return self._reconstruct(lq, [self.levels.index(scale)])[0]

    def _reconstruct(self, lq: Tensor, wanted: Sequence[int]) -> list[Tensor]:
        residuals = self.reconstruction(self.fusion(self.extraction(lq)), wanted)
        images = []
        for index, residual in zip(wanted, residuals, strict=True):
            images.append(residual + self.skips[index](lq))
        return images

    @property
    def receptive_field(self) -> int:
        """Radius, in input pixels, of what the last level's output depends on; exact.

        A pixel of the last level that lies inside input pixel (y, x) depends on input pixels
        y - radius to y + radius and x - radius to x + radius, and on nothing else.
        """
        branches = [
            sum(_radius(conv) for conv in branch.convs)  # pyright: ignore
            for branch in self.extraction.branches
        ]
        features = max(branches) + _radius(self.fusion.conv2) + _radius(self.fusion.conv3)

        # From the last image down to the fused features, as an interval of pixels: those of the
        # last level in one input pixel, then what each convolution and pixel shuffle before reads.
        reconstruction = self.reconstruction
        low, high = 0, self.scale - 1
        head = _radius(reconstruction.heads[-1])
        low, high = low - head, high + head
        for upsampler in reversed(reconstruction.upsamplers):
            assert isinstance(upsampler, Upsampler)
            radius = _radius(upsampler.conv)
            low, high = low // upsampler.factor - radius, high // upsampler.factor + radius
        return max(features + max(-low, high), BICUBIC_RADIUS)


def _radius(conv: nn.Module) -> int:
    """Pixels on each side that a convolution reads."""
    assert isinstance(conv, nn.Conv2d)
    return conv.dilation[0] * (conv.kernel_size[0] // 2)
