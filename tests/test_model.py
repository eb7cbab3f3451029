"""HSRNet: interpolation between two networks."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch

from hsr_hub import HSRNet
from tests.conftest import random_model


def test_interpolate_mixes_the_weights(model: HSRNet):
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
    with pytest.raises(TypeError, match=r"'hsr-x4-detail' is no network: load it by"):
        HSRNet.interpolate(model, cast(Any, "hsr-x4-detail"), 0.5)
    with pytest.raises(ValueError, match=r"kernel_sizes.*\(\[3, 5\], \[3, 5, 7\]\)"):
        HSRNet.interpolate(model, HSRNet(), 0.5)
