"""Training what lies between two sets of weights, so that their mixtures are good too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def mixed_weights(net: nn.Module, fidelity: Sequence[Tensor], strength: float) -> Iterator[None]:
    """Within, the weights are mixed as `HSRNet.interpolate` does; what changed them then stays.

    An optimizer's step is added to the mixture and so, afterwards, to the weights themselves. With
    weight decay, which is not the mixture's but the weights', that is only nearly so.

    Args:
        net: The network that is trained, for detail.
        fidelity: The parameters of strength 0, in the order of `net.parameters()`.
        strength: In (0, 1]; at 1 nothing is mixed.
    """
    with torch.no_grad():
        offsets = [
            (other - own) * (1 - strength)
            for own, other in zip(net.parameters(), fidelity, strict=True)
        ]
        for own, offset in zip(net.parameters(), offsets, strict=True):
            own.add_(offset)
    yield
    with torch.no_grad():
        for own, offset in zip(net.parameters(), offsets, strict=True):
            own.sub_(offset)
