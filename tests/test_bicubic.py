"""The skip's interpolation is torch's, in either layout."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from hsr_hub.network import BicubicUpsampling


@settings(deadline=None)
@given(
    factor=st.sampled_from([2, 3, 4, 8]),
    batch=st.integers(1, 3),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_as_torch_in_both_layouts(factor: int, batch: int, height: int, width: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    lq = torch.rand(batch, 3, height, width, generator=generator)
    expected = F.interpolate(lq, scale_factor=factor, mode="bicubic", align_corners=False)
    for layout in (torch.contiguous_format, torch.channels_last):
        found = BicubicUpsampling(factor)(lq.to(memory_format=layout))
        torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)


def test_half_precision_around_it_changes_nothing():
    lq = torch.rand(1, 3, 12, 11).to(memory_format=torch.channels_last)
    upsampling = BicubicUpsampling(4)
    expected = upsampling(lq)
    with torch.autocast("cpu", torch.bfloat16):
        found = upsampling(lq)
    assert found.dtype == torch.float32 and torch.equal(found, expected)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_it_is_stored_nowhere():
    assert not BicubicUpsampling(4).state_dict()
    assert BicubicUpsampling(4).half().weight.dtype == torch.float16
