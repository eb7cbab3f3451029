"""The optimizers and their learning rates."""

from __future__ import annotations

import argparse
import math

import torch
from torch import nn


def get_lr(step: int, peak: float, args: argparse.Namespace) -> float:
    """Return the learning rate of a step: linear warm-up, then `--lr_scheduler`.

    "cosine" falls to a thousandth of the peak and "linear" to zero; the others stay.

    Args:
        step: Counted from 0.
        peak: Highest rate.
        args: The flags of the run.
    """
    if args.lr_scheduler == "constant":
        return peak
    if step < args.lr_warmup_steps:
        return peak * (step + 1) / args.lr_warmup_steps
    if args.lr_scheduler == "constant_with_warmup":
        return peak
    span = max(1, args.max_train_steps - args.lr_warmup_steps)
    done = min(1.0, (step - args.lr_warmup_steps) / span)
    if args.lr_scheduler == "linear":
        return peak * (1 - done)
    cosine = 0.5 * (1 + math.cos(math.pi * done))
    return peak * (0.001 + 0.999 * cosine)


def set_lr(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def build_optimizer(net: nn.Module, args: argparse.Namespace) -> torch.optim.Optimizer:
    """Return AdamW, or SGD as in the source; the training loop sets the learning rate."""
    if args.optimizer == "sgd":
        return torch.optim.SGD(net.parameters(), 1.0, momentum=0.9, weight_decay=args.weight_decay)
    betas = (args.adam_beta1, args.adam_beta2)
    return torch.optim.AdamW(
        net.parameters(), betas=betas, eps=args.adam_epsilon, weight_decay=args.weight_decay
    )
