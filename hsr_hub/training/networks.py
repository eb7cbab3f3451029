"""The networks of a run with their optimizers and losses."""

from __future__ import annotations

import argparse
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from hsr_hub.model import HSRNet
from hsr_hub.network import NETWORK_ARGUMENTS
from hsr_hub.training.checkpoints import load_bare, state_folder
from hsr_hub.training.discriminator import Discriminator
from hsr_hub.training.ema import make_ema
from hsr_hub.training.feature_scale import weight_note
from hsr_hub.training.optimizers import build_optimizer
from hsr_hub.training.perceptual import LpipsLoss, PerceptualLoss
from hsr_hub.training.session import exit_on_error

if TYPE_CHECKING:
    from accelerate import Accelerator

logger = logging.getLogger(__name__)


@dataclass
class TrainingNetworks:
    """Networks, optimizers and losses of a run."""

    net_g: nn.Module
    """G as Accelerate prepared it. Train with it: its backward pass reduces the gradients of all
    processes."""
    raw_g: HSRNet
    """The same network without Accelerate's wrapper, for its parameters, levels and config."""
    optimizer_g: torch.optim.Optimizer
    ema: AveragedModel
    """The running average of `raw_g`. Update it after each step of G; `averaged` is its network."""
    net_d: nn.Module | None = None
    """D as Accelerate prepared it, to train D; None without an adversarial loss."""
    raw_d: nn.Module | None = None
    """The same network without the wrapper, for G's step, which must reduce no gradients of D."""
    optimizer_d: torch.optim.Optimizer | None = None
    perceptual: PerceptualLoss | None = None
    lpips: LpipsLoss | None = None
    in_bf16: bool = False
    """Whether VGG and LPIPS compute in bfloat16."""
    start_parameters: list[Tensor] | None = None
    """The parameters of `--pretrained_model`, if `--strengths` mixes with them."""
    best: HSRNet | None = None
    """A copy of `averaged` at the best validation, on the main process; None without validation."""

    @property
    def averaged(self) -> HSRNet:
        """The network with the averaged weights, to validate, to save and to publish."""
        return cast(HSRNet, self.ema.module)

    def check_finite(self) -> None:
        """Raise SystemExit if the weights have diverged, so that they are not saved.

        A step that is too large can give finite weights whose images are not finite.
        """
        weights = [*self.averaged.parameters()]
        if self.raw_d is not None:
            weights += self.raw_d.parameters()
        with torch.no_grad():
            results = self.averaged(torch.full((1, 3, 8, 8), 0.5, device=weights[0].device))
        if not all(values.isfinite().all() for values in (*weights, *results)):
            raise SystemExit(
                "the weights have diverged and are not saved: their values, or those of their "
                "images, are not finite. Lower --learning_rate; earlier checkpoints are intact."
            )


def build_networks(args: argparse.Namespace, accelerator: Accelerator) -> TrainingNetworks:
    """Build what the flags ask for, and nothing for a loss whose weight is zero."""
    raw_g = build_generator(args)
    raw_d = build_discriminator(args) if args.adversarial_weight > 0 else None
    # channels_last is faster. On a CPU, though, the bfloat16 weight gradients of a dilated
    # convolution with 24, 40, 56, ... channels are NaN in it (torch 2.15).
    affected = any(width > 8 and width % 16 for width in raw_g.config["widths"])
    on_cpu, in_bf16 = accelerator.device.type == "cpu", accelerator.mixed_precision == "bf16"
    layout = torch.contiguous_format if affected and on_cpu and in_bf16 else torch.channels_last
    raw_g.to(accelerator.device, memory_format=layout)  # pyright: ignore[reportCallIssue]
    mixes = any(strength < 1 for strength in args.strengths)
    start = [p.detach().clone() for p in raw_g.parameters()] if mixes else None
    ema = make_ema(raw_g, args.ema_decay)
    net_g, optimizer_g = accelerator.prepare(raw_g, build_optimizer(raw_g, args))
    nets = TrainingNetworks(net_g, raw_g, optimizer_g, ema, in_bf16=in_bf16, start_parameters=start)
    if raw_d is not None:
        raw_d.to(memory_format=layout)  # pyright: ignore[reportCallIssue]
        nets.raw_d = raw_d
        nets.net_d, nets.optimizer_d = accelerator.prepare(raw_d, build_optimizer(raw_d, args))
    if args.perceptual_weight > 0:
        nets.perceptual = build_perceptual_loss(args)
        if note := weight_note(args, nets.perceptual):
            logger.warning(note)
        nets.perceptual.to(accelerator.device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    if args.lpips_weight > 0:
        with exit_on_error("--metric_weights"):
            nets.lpips = LpipsLoss(args.metric_weights).to(accelerator.device)
    return nets


def build_perceptual_loss(args: argparse.Namespace) -> PerceptualLoss:
    """Return the loss on VGG-19, whose weights may have to be downloaded."""
    path = args.perceptual_weights_path
    try:
        return PerceptualLoss(
            args.perceptual_layers, path, skip_x1=args.perceptual_levels == "upper"
        )
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        if path is not None:
            raise SystemExit(f"--perceptual_weights_path: {error}") from error
        flag = f"--preset {args.preset}" if args.preset else "--perceptual_weight"
        raise SystemExit(
            f"{flag} needs torchvision's VGG-19, which is not at hand: {error}\n"
            "Start once with a connection to the internet, give a file of weights with "
            "--perceptual_weights_path, or train without it: --perceptual_weight 0"
        ) from error


def build_generator(args: argparse.Namespace) -> HSRNet:
    """Return a new network or that of `--pretrained_model`, and complete the flags from it."""
    flags = {name: getattr(args, name) for name in NETWORK_ARGUMENTS}
    given = {name: value for name, value in flags.items() if value is not None}
    if args.pretrained_model:
        with exit_on_error("--pretrained_model"):
            net = HSRNet.from_pretrained(args.pretrained_model, revision=args.revision).train()
        for name, value in given.items():
            if net.config[name] != value:
                raise SystemExit(
                    f"--pretrained_model {args.pretrained_model} has {name} {net.config[name]}, "
                    f"but --{name} is {value}: leave out --{name} or choose other weights"
                )
        for name, weight in net.named_parameters():
            if not weight.isfinite().all():
                raise SystemExit(
                    f"--pretrained_model {args.pretrained_model}: {name} has values that are not "
                    "finite: choose other weights"
                )
    else:
        with exit_on_error("network"):  # the message itself names the argument
            net = HSRNet(**given)
    vars(args).update(net.config)  # the card's recipe names what was built
    return net


def build_discriminator(args: argparse.Namespace) -> Discriminator:
    """Return a new discriminator or that of `--pretrained_discriminator`."""
    net = Discriminator(args.discriminator_width)
    path = args.pretrained_discriminator
    if path is None:
        return net
    with exit_on_error("--pretrained_discriminator"):
        file = state_folder(path) / "model_1.safetensors" if path.is_dir() else path
        if not file.is_file():
            raise FileNotFoundError(f"there is no file {file}, as an adversarial run writes it")
        try:
            load_bare(net, file)
        except (RuntimeError, SafetensorError) as error:  # other sizes, or no safetensors file
            raise ValueError(
                f"{file} does not fit --discriminator_width {args.discriminator_width}: {error}"
            ) from error
    return net
