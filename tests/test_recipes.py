"""Widening a network, and transferring detail to the wider one."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hsr_hub import HSRNet
from recipes.transfer import transfer
from recipes.widen import widen, widen_to_x4


@settings(deadline=None, max_examples=10)
@given(extra=st.lists(st.integers(0, 5), min_size=5, max_size=5), seed=st.integers(0, 99))
def test_widened_network_gives_the_same_images(extra: list[int], seed: int):
    torch.manual_seed(seed)
    shape = {"widths": [4, 3], "fusion_width": 5, "reconstruction_widths": [4, 3]}
    wider = {
        "widths": [4 + extra[0], 3 + extra[1]],
        "fusion_width": 5 + extra[2],
        "reconstruction_widths": [4 + extra[3], 3 + extra[4]],
    }
    old = HSRNet(kernel_sizes=[3, 5], **shape)
    new = widen(old, HSRNet(kernel_sizes=[3, 5], **wider))
    lq = torch.rand(1, 3, 9, 11)
    for ours, theirs in zip(old(lq), new(lq), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    sum(image.mean() for image in new(lq)).backward()  # pyright: ignore
    head = new.reconstruction.heads[2]
    assert isinstance(head, torch.nn.Conv2d) and head.weight.grad is not None
    assert (head.weight.grad != 0).all(), "new channels are not trained from the first step"


def test_transfer_to_an_untrained_wide_network_is_exact():
    """A network that was only widened becomes the narrow detail model."""
    fidelity, detail = (
        HSRNet.from_pretrained(name) for name in ("hsr-lite-x4", "hsr-lite-x4-detail")
    )
    begun = widen_to_x4(fidelity)
    lq = torch.rand(1, 3, 9, 11)
    with torch.no_grad():
        carried, theirs = transfer(begun, fidelity, detail)(lq), detail(lq)
        kept = begun(lq)
    torch.testing.assert_close(carried, theirs, rtol=0, atol=1e-4)
    torch.testing.assert_close(kept, fidelity(lq), rtol=0, atol=1e-4)
