"""The network has the source's structure, and its promises hold."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hsr_hub import HSRNet
from hsr_hub.network import Branch
from tests.conftest import random_model

LEVELS = {2: [1, 2], 3: [1, 3], 4: [1, 2, 4], 8: [1, 2, 4, 8]}


def convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [m for m in module.modules() if isinstance(m, nn.Conv2d)]


def test_structure_is_the_sources():
    model = HSRNet()
    kernels = [3, 5, 7]
    assert len(model.extraction.branches) == len(kernels)
    for branch, kernel in zip(model.extraction.branches, kernels, strict=True):
        convs = convolutions(branch)
        assert len(convs) == 8
        assert {c.kernel_size for c in convs} == {(kernel, kernel)}
        assert [c.dilation[0] > 1 for c in convs] == [False] * 4 + [True] * 3 + [False]
    assert [c.kernel_size[0] for c in convolutions(model.fusion)] == [1, 3, 3]
    # The first reconstruction branch is a convolution, every later one an up-sampler and one.
    assert len(model.reconstruction.heads) == len(model.levels) == 3
    assert len(model.reconstruction.upsamplers) == 2
    assert all(c.out_channels == 3 for c in convolutions(model.reconstruction.heads))


def test_every_convolution_is_in_the_structure():
    """Nothing computes beside the structure above."""
    model = HSRNet()
    assert len(convolutions(model)) == 3 * 8 + 3 + 3 + 2
    assert sum(p.numel() for p in model.parameters()) == sum(
        p.numel() for c in convolutions(model) for p in c.parameters()
    )


def test_fusion_sums_first_and_third_output():
    fusion = HSRNet().fusion
    features = torch.rand(1, fusion.conv1.in_channels, 5, 4)
    first = fusion.conv1(features)
    third = fusion.conv3(nn.functional.leaky_relu(fusion.conv2(first), 0.1))
    torch.testing.assert_close(fusion(features), first + third)


def test_branches_run_side_by_side_on_the_input():
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
def test_one_level_alone_is_the_same_and_computes_no_more(scale):
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
    bicubic = nn.functional.interpolate(lq, scale_factor=4, mode="bicubic")
    assert (model(lq)[-1] - bicubic).abs().mean() < 0.05


@settings(max_examples=15, deadline=None)
@given(
    scale=st.sampled_from([2, 3, 4, 8]),
    kernel_sizes=st.lists(st.sampled_from([1, 3, 5]), min_size=1, max_size=3),
    dilations=st.lists(st.integers(1, 4), min_size=3, max_size=3),
)
def test_receptive_field_is_exact(scale, kernel_sizes, dilations):
    """Outside the radius nothing changes; at it, on every side, something does."""
    model = random_model(
        scale=scale, kernel_sizes=kernel_sizes, dilations=dilations, fusion_width=4
    ).double()
    radius = model.receptive_field
    side = 2 * radius + 5
    centre = side // 2
    lq = torch.rand(1, 3, side, side, dtype=torch.double, requires_grad=True)
    pixel = slice(centre * scale, (centre + 1) * scale)
    # Random signs, so that no two paths to a pixel cancel.
    weights = torch.randn(3, scale, scale, dtype=torch.double)
    (model.super_resolve(lq, scale)[0, :, pixel, pixel] * weights).sum().backward()
    assert lq.grad is not None
    touched = lq.grad.abs().sum(dim=(0, 1))
    rows, columns = (touched.sum(dim=d).nonzero().flatten() - centre for d in (1, 0))
    for reached in (rows, columns):
        assert (reached.min().item(), reached.max().item()) == (-radius, radius)


def test_receptive_field_by_changing_pixels(model: HSRNet):
    """The same without gradients: a changed input pixel reaches as far as the radius says."""
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
def test_wrong_arguments_are_named(config, named):
    with pytest.raises(ValueError, match=named):
        HSRNet(**config)


def test_interpolate(model: HSRNet):
    other = random_model(**model.config)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    for strength in (0.0, 0.25, 1.0):
        mixed = HSRNet.interpolate(model, other, strength)
        for a, b in zip(mixed.parameters(), model.parameters(), strict=True):
            torch.testing.assert_close(a, b + strength)
    with pytest.raises(ValueError, match="strength"):
        HSRNet.interpolate(model, other, 1.5)
    with pytest.raises(ValueError, match="kernel_sizes"):
        HSRNet.interpolate(model, HSRNet(), 0.5)


def test_images_have_the_layout_of_the_input():
    net = HSRNet(kernel_sizes=[3], widths=[4], fusion_width=4, reconstruction_widths=[4, 4])
    lq = torch.rand(2, 3, 6, 5)
    assert all(image.is_contiguous() for image in net(lq))
    lasts = net(lq.to(memory_format=torch.channels_last))
    assert all(image.is_contiguous(memory_format=torch.channels_last) for image in lasts)
