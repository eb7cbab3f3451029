"""Training of mixtures of two sets of weights, so that every strength of the slider works."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def mixed_weights(
    net: nn.Module, start_parameters: Sequence[Tensor] | None, strength: float
) -> Iterator[None]:
    """Mix the weights as `HSRNet.interpolate` does, and keep what changed them within.

    An optimizer's step moves the mixture, and afterwards the weights themselves, by the same
    amount. Weight decay acts on the mixture, which is only approximately the same.

    Args:
        net: The trained network: strength 1.
        start_parameters: The parameters of strength 0, in the order of `net.parameters()`. They may
            be None if the strength is always 1.
        strength: In (0, 1]. At 1 nothing is copied or changed.
    """
    if strength == 1 or start_parameters is None:
        yield
        return
    with torch.no_grad():
        offsets = [
            (other - own) * (1 - strength)
            for own, other in zip(net.parameters(), start_parameters, strict=True)
        ]
        for own, offset in zip(net.parameters(), offsets, strict=True):
            own.add_(offset)
    yield
    with torch.no_grad():
        for own, offset in zip(net.parameters(), offsets, strict=True):
            own.sub_(offset)
