"""The averaged weights, which are validated, saved and published."""

from __future__ import annotations

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def make_ema(module: nn.Module, decay: float = 0.999) -> AveragedModel:
    """Return an exponential moving average of a network's weights.

    The decay warms up as `(1 + n) / (10 + n)` over the n updates done, so that the almost random
    weights of the first hundred steps are soon forgotten. Every process keeps the average: the same
    gradients give the same averages, and every process can write and read its checkpoint.

    Args:
        module: The unwrapped network. Its copy is `.module`, in eval mode.
        decay: Highest weight of the past in one `update_parameters(module)`.
    """

    def update(averaged, current, num_averaged) -> None:
        done = int(num_averaged)
        get_ema_multi_avg_fn(min(decay, (1 + done) / (10 + done)))(averaged, current, num_averaged)

    average = AveragedModel(module, multi_avg_fn=update, use_buffers=True)
    return average.eval().requires_grad_(False)
