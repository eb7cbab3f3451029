"""An exponential moving average of weights."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class ModelEma:
    """Averaged weights of a network; what is validated, saved and published.

    The decay warms up as `(1 + step) / (10 + step)`, so that the first hundred steps, random weights,
    do not linger. Kept on every rank: the same gradients make the same averages, and every rank can
    write and read its checkpoint.

    Args:
        module: The unwrapped network; `averaged` is a copy of it in eval mode.
        decay: Largest weight of the past in one step.
    """

    def __init__(self, module: nn.Module, decay: float = 0.999) -> None:
        self.averaged = copy.deepcopy(module).eval().requires_grad_(False)
        self.decay = decay
        self.step = 0

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move the averages towards `module`'s present weights."""
        self.step += 1
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        ours, theirs = list(self.averaged.parameters()), list(module.parameters())
        torch._foreach_lerp_(ours, theirs, 1 - decay)
        for buffer, current in zip(self.averaged.buffers(), module.buffers(), strict=True):
            buffer.copy_(current)

    def state_dict(self) -> dict[str, Tensor | int]:
        """Weights and step count, for a checkpoint."""
        return {"step": self.step, **self.averaged.state_dict()}

    def load_state_dict(self, state: dict[str, Tensor | int]) -> None:
        """Take up a state that `state_dict` gave."""
        weights = dict(state)
        self.step = int(weights.pop("step"))
        self.averaged.load_state_dict(weights)
