"""HSRNetwork: structure, levels, receptive field, and its bicubic up-sampling."""

from __future__ import annotations

from functools import lru_cache

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hsr_hub import HSRNet
from hsr_hub.network import BicubicUpsampling, Branch
from tests.conftest import random_model

LEVELS = {2: [1, 2], 3: [1, 3], 4: [1, 2, 4], 8: [1, 2, 4, 8]}


def convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [m for m in module.modules() if isinstance(m, nn.Conv2d)]


def test_structure_is_that_of_the_patent():
    model = HSRNet()
    kernels = [3, 5, 7]
    assert len(model.extraction.branches) == len(kernels)
    for branch, kernel in zip(model.extraction.branches, kernels, strict=True):
        convs = convolutions(branch)
        assert len(convs) == 8
        assert {c.kernel_size for c in convs} == {(kernel, kernel)}
        assert [c.dilation[0] > 1 for c in convs] == [False] * 4 + [True] * 3 + [False]
    assert [c.kernel_size[0] for c in convolutions(model.fusion)] == [1, 3, 3]
    # The first level has a convolution, every later one an up-sampler and a convolution.
    assert len(model.reconstruction.heads) == len(model.levels) == 3
    assert len(model.reconstruction.upsamplers) == 2
    assert all(c.out_channels == 3 for c in convolutions(model.reconstruction.heads))


def test_no_convolution_outside_the_structure():
    model = HSRNet()
    assert len(convolutions(model)) == 3 * 8 + 3 + 3 + 2
    assert sum(p.numel() for p in model.parameters()) == sum(
        p.numel() for c in convolutions(model) for p in c.parameters()
    )


def test_fusion_adds_first_and_third_output():
    fusion = HSRNet().fusion
    features = torch.rand(1, fusion.conv1.in_channels, 5, 4)
    first = fusion.conv1(features)
    third = fusion.conv3(F.leaky_relu(fusion.conv2(first), 0.1))
    torch.testing.assert_close(fusion(features), first + third)


def test_every_branch_reads_the_input():
    model = HSRNet()
    for branch in model.extraction.branches:
        assert isinstance(branch, Branch)
        assert convolutions(branch)[0].in_channels == 3


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("kernel_sizes", [[3], [3, 5], [3, 5, 7, 9]])
def test_levels_for_every_scale_and_number_of_branches(scale, kernel_sizes):
    model = HSRNet(scale=scale, kernel_sizes=kernel_sizes).eval()
    assert model.levels == LEVELS[scale]
    with torch.no_grad():
        images = model(torch.rand(2, 3, 5, 7))
    assert [tuple(i.shape) for i in images] == [(2, 3, 5 * s, 7 * s) for s in model.levels]


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_super_resolve_equals_forward_and_skips_other_levels(scale):
    model = random_model(scale=scale, kernel_sizes=[3], widths=[8], fusion_width=8)
    lq = torch.rand(1, 3, 6, 5)
    called: list[str] = []
    for name, module in model.reconstruction.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda *_, name=name: called.append(name))
    with torch.no_grad():
        images = model(lq)
        for index, level in enumerate(model.levels):
            called.clear()
            torch.testing.assert_close(model.super_resolve(lq, level), images[index])
            assert called == [f"upsamplers.{i}.conv" for i in range(index)] + [f"heads.{index}"]


def test_untrained_network_is_close_to_bicubic():
    torch.manual_seed(0)
    lq = torch.rand(1, 3, 16, 16)
    model = HSRNet().eval()
    bicubic = F.interpolate(lq, scale_factor=4, mode="bicubic")
    assert (model(lq)[-1] - bicubic).abs().mean() < 0.05


@settings(max_examples=15, deadline=None)
@given(
    scale=st.sampled_from([2, 3, 4, 8]),
    kernel_sizes=st.lists(st.sampled_from([1, 3, 5]), min_size=1, max_size=3),
    dilations=st.lists(st.integers(1, 4), min_size=3, max_size=3),
)
def test_receptive_field_is_exact(scale, kernel_sizes, dilations):
    """An output pixel depends on pixels at the radius, on every side, and on none outside."""
    model = random_model(
        scale=scale,
        kernel_sizes=kernel_sizes,
        widths=[2] * len(kernel_sizes),
        dilations=dilations,
        fusion_width=2,
        reconstruction_widths=[2] * (len(LEVELS[scale]) - 1),
    ).double()
    assert measured_reach(model) == {(-model.receptive_field, model.receptive_field)}


def measured_reach(model: HSRNet) -> set[tuple[int, int]]:
    """Return the first and last pixel, relative to its own, that the output depends on."""
    scale, side = model.scale, 2 * model.receptive_field + 5
    centre = side // 2
    lq = torch.rand(1, 3, side, side, dtype=torch.double, requires_grad=True)
    pixel = slice(centre * scale, (centre + 1) * scale)
    # Random signs, so that no two paths to a pixel cancel.
    weights = torch.randn(3, scale, scale, dtype=torch.double)
    (model.super_resolve(lq, scale)[0, :, pixel, pixel] * weights).sum().backward()
    assert lq.grad is not None
    touched = lq.grad.abs().sum(dim=(0, 1))
    rows, columns = (touched.sum(dim=d).nonzero().flatten() - centre for d in (1, 0))
    return {(int(reached.min()), int(reached.max())) for reached in (rows, columns)}


class ResizeUpsampler(nn.Module):
    """Another up-sampler: the features are repeated, then a convolution at the larger size."""

    def __init__(self, in_channels: int, out_channels: int, factor: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.factor = factor
        self.multiplications = self.conv.weight.numel() * factor**2
        self.values_per_pixel = in_channels + 2 * out_channels

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return F.leaky_relu(self.conv(F.interpolate(features, scale_factor=self.factor)), 0.1)

    def read_interval(self, low: int, high: int) -> tuple[int, int]:
        return (low - 1) // self.factor, (high + 1) // self.factor


def test_another_upsampler_needs_its_interval_multiplications_and_values_only():
    model = random_model(widths=[2] * 3, fusion_width=2, reconstruction_widths=[2, 4]).double()
    before = model.multiplications(4)
    own = model.reconstruction.upsamplers
    parts = [ResizeUpsampler(2, 2, 2), ResizeUpsampler(2, 4, 2)]
    model.reconstruction.upsamplers = nn.ModuleList(parts).double()
    assert measured_reach(model) == {(-model.receptive_field, model.receptive_field)}
    saved = sum(p.weight.numel() * s**2 for p, s in zip(convolutions(own), (1, 2), strict=True))
    added = parts[0].multiplications + parts[1].multiplications * 4
    assert model.multiplications(4) == before - saved + added
    features = 3 * (6 + 2)
    assert model.bytes_per_pixel(4) == 4 * (features + (2 + 2 * 4 + 9) * 16)


def test_receptive_field_bounds_a_changed_pixel(model: HSRNet):
    """A changed input pixel changes output pixels up to the radius, and no others."""
    radius = model.receptive_field
    side = 2 * radius + 7
    torch.manual_seed(0)
    lq = torch.rand(1, 3, side, side, dtype=torch.double)
    net = random_model(**model.config).double()
    with torch.no_grad():
        before = net.super_resolve(lq, 4)
        changed = lq.clone()
        changed[:, :, 3, 3] += 0.5
        reach = (net.super_resolve(changed, 4) - before).abs().amax(dim=1)[0].nonzero()
    last_pixel = (3 + radius) * 4 + 3
    assert reach.max().item() <= last_pixel
    assert reach.max().item() >= last_pixel - 3


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"scale": 5}, "scale"),
        ({"kernel_sizes": [4]}, "kernel_sizes"),
        ({"kernel_sizes": []}, "kernel_sizes"),
        ({"widths": [8]}, "widths"),
        ({"dilations": [2]}, "dilations"),
        ({"reconstruction_widths": [8]}, "reconstruction_widths"),
        ({"fusion_width": 0}, "widths"),
    ],
)
def test_error_names_the_wrong_argument(config, named):
    with pytest.raises(ValueError, match=named):
        HSRNet(**config)


def test_super_resolve_refuses_a_scale_that_is_no_level(model: HSRNet):
    with pytest.raises(ValueError, match=r"\[1, 2, 4\], not 3"):
        model.super_resolve(torch.rand(1, 3, 4, 4), 3)


def test_weights_with_other_dilations_are_refused(model: HSRNet):
    other = HSRNet(**{**model.config, "dilations": [1, 1, 1]})
    with pytest.raises(ValueError, match=r"\[1, 1, 1\]"):
        model.load_state_dict(other.state_dict())


def test_output_keeps_the_memory_layout_of_the_input():
    net = HSRNet(kernel_sizes=[3], widths=[4], fusion_width=4, reconstruction_widths=[4, 4])
    lq = torch.rand(2, 3, 6, 5)
    assert all(image.is_contiguous() for image in net(lq))
    lasts = net(lq.to(memory_format=torch.channels_last))
    assert all(image.is_contiguous(memory_format=torch.channels_last) for image in lasts)


bicubic_upsampling = lru_cache(BicubicUpsampling)


@given(
    factor=st.sampled_from([2, 3, 4, 8]),
    batch=st.integers(1, 3),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_bicubic_equals_torch_in_both_layouts(factor, batch, height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    lq = torch.rand(batch, 3, height, width, generator=generator)
    expected = F.interpolate(lq, scale_factor=factor, mode="bicubic", align_corners=False)
    for layout in (torch.contiguous_format, torch.channels_last):
        found = bicubic_upsampling(factor)(lq.to(memory_format=layout))
        torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)


def test_bicubic_ignores_autocast():
    lq = torch.rand(1, 3, 12, 11).to(memory_format=torch.channels_last)
    upsampling = BicubicUpsampling(4)
    expected = upsampling(lq)
    with torch.autocast("cpu", torch.bfloat16):
        found = upsampling(lq)
    assert found.dtype == torch.float32 and torch.equal(found, expected)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_bicubic_weights_are_not_saved():
    assert not BicubicUpsampling(4).state_dict()
    assert BicubicUpsampling(4).half().weight.dtype == torch.float16
