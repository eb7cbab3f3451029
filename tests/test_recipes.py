"""What the recipes do to networks."""

from __future__ import annotations

import runpy

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hsr_hub import HSRNet
from tests.util import ROOT

widen = runpy.run_path(str(ROOT / "recipes" / "hsr-x4" / "widen.py"))["widen"]
transfer = runpy.run_path(str(ROOT / "recipes" / "hsr-x4-detail" / "transfer.py"))


@settings(deadline=None, max_examples=10)
@given(extra=st.lists(st.integers(0, 5), min_size=5, max_size=5), seed=st.integers(0, 99))
def test_a_widened_network_starts_where_the_narrow_one_ended(extra: list[int], seed: int):
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
    grown = new.reconstruction.heads[2].weight
    assert grown.grad is not None and (grown.grad != 0).all()  # new channels take part at once


def test_detail_is_carried_over_to_a_wider_network():
    """Where the wide one still is what it began as, it becomes the narrow one's twin."""
    fidelity, detail = (
        HSRNet.from_pretrained(name) for name in ("hsr-lite-x4", "hsr-lite-x4-detail")
    )
    begun = transfer["wide"](fidelity)
    lq = torch.rand(1, 3, 9, 11)
    with torch.no_grad():
        carried, theirs = transfer["transfer"](begun, fidelity, detail)(lq), detail(lq)
        kept = begun(lq)
    torch.testing.assert_close(carried, theirs, rtol=0, atol=1e-4)
    torch.testing.assert_close(kept, fidelity(lq), rtol=0, atol=1e-4)
