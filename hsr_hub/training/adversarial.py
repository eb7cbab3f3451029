"""The relativistic average losses of generator and discriminator, a pair: change both together.

Numbers in brackets are paragraphs of the patent application CN 111369440 A.
"""

from __future__ import annotations

import torch
import torch.distributed
import torch.nn.functional as F
from torch import Tensor


def adversarial_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return L_a, the generator's loss [0111-0124].

    -log(1 - D_Ra(real, fake)) - log(D_Ra(fake, real)) with D_Ra(a, b) = sigmoid(C(a) - mean C(b)).

    Args:
        real: The discriminator's outputs C for labels, any shape.
        fake: Its outputs for the network's images. The mean C is that of all processes' batches.

    Returns:
        A scalar, the mean over this process's samples.
    """
    real_logits, fake_logits = _relative_logits(real, fake)
    return F.softplus(real_logits).mean() + F.softplus(-fake_logits).mean()


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return the discriminator's loss, with the arguments of `adversarial_loss` [0111-0124].

    -log(D_Ra(real, fake)) - log(1 - D_Ra(fake, real)).
    """
    real_logits, fake_logits = _relative_logits(real, fake)
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def _relative_logits(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logits of D_Ra(real, fake) and D_Ra(fake, real)."""
    return real - global_mean(fake), fake - global_mean(real)


def real_over_fake(real: Tensor, fake: Tensor) -> Tensor:
    """Return how often a real image ranks above a fake one, over all pairs.

    At 0.5 the discriminator cannot tell them apart: the equilibrium of [0124].
    """
    difference = real.flatten()[:, None] - fake.flatten()[None, :]
    return (difference > 0).float().mean() + 0.5 * (difference == 0).float().mean()


def global_mean(values: Tensor) -> Tensor:
    """Return the mean over all processes' batches of equal size, with gradients to all of them."""
    mean = values.mean()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        from torch.distributed.nn.functional import all_reduce

        mean = all_reduce(mean) / torch.distributed.get_world_size()
    return mean
