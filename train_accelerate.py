r"""Train HSRNet on your own photographs: pixel, perceptual and adversarial losses, on any machine.

    # fidelity: the pixel loss alone
    accelerate launch train_accelerate.py --train_data_dir photos --output_dir fidelity

    # detail: all losses, starting from those weights
    accelerate launch train_accelerate.py --train_data_dir photos --output_dir detail \
        --preset detail --pretrained_model fidelity

    # the same as --preset detail, in full
    accelerate launch train_accelerate.py --train_data_dir photos --output_dir detail \
        --pretrained_model fidelity --learning_rate 4e-4 --pixel_weight 0.5 \
        --perceptual_weight 0.02 --adversarial_weight 0.015 --consistency_weight 1 \
        --checkerboard_weight 3 --strengths 1 1 1 0.5

    # photographs from the Hub in, a model on the Hub out
    accelerate launch train_accelerate.py --dataset_name org/photos --output_dir my-model \
        --pretrained_model hsr-lite-x4 --push_to_hub

    # two GPUs in bfloat16, validation on a folder with HR/ and LRx4/, resumed after a stop
    accelerate launch --multi_gpu --num_processes 2 --mixed_precision bf16 train_accelerate.py \
        --train_data_dir photos more_photos --output_dir fidelity --validation_data_dir Set5 \
        --report_to tensorboard --resume_from_checkpoint latest

Photographs are enough: low-resolution images and the labels of every level are made from them.
Your own low-resolution images are used with `--train_pairs_dir`. At the end `--output_dir` holds
config.json, model.safetensors (averaged weights) and README.md, which
`HSRNet.from_pretrained` loads.

`main` is the whole program in order. The steps of D and G, which it calls, are above it.
"""

from __future__ import annotations

import argparse
import copy
import logging
import math
from typing import NamedTuple

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from hsr_hub import HSRNet
from hsr_hub.evaluation import LpipsSqueeze
from hsr_hub.images import atomic_write
from hsr_hub.training.adversarial import adversarial_loss, discriminator_loss, real_over_fake
from hsr_hub.training.arguments import parse_args
from hsr_hub.training.checkpoints import save_checkpoint
from hsr_hub.training.data import (
    Cropper,
    PhotoCrops,
    StreamCrops,
    crop_margin,
    exit_without_photos,
    label_pyramid,
    quantise,
)
from hsr_hub.training.losses import (
    LevelPairs,
    center_crops,
    checkerboard_loss,
    consistency_loss,
    flat_loss,
    pixel_loss,
    random_crops,
)
from hsr_hub.training.meter import StepMeter
from hsr_hub.training.mixing import mixed_weights
from hsr_hub.training.networks import TrainingNetworks, build_networks
from hsr_hub.training.optimizers import get_lr, set_lr
from hsr_hub.training.photos import Photos, StreamPhotos, export_validation, open_photos
from hsr_hub.training.publishing import (
    dataset_ids,
    next_command,
    prepare_repository,
    publish_checkpoint,
    publish_result,
    save,
)
from hsr_hub.training.resume import Launch, forget_best, resume
from hsr_hub.training.session import (
    announce,
    any_process,
    exit_on_error,
    log,
    prepare_output,
    readable_errors,
    start_accelerator,
)
from hsr_hub.training.state import AdversarialTrend, RunState, StepCounter
from hsr_hub.training.stop import StopRequest, ignore_signals
from hsr_hub.training.summary import training_text
from hsr_hub.training.validation import log_grid, prepare_validation, validate

logger = logging.getLogger("train")


VALIDATION_SIDE = 32
"""Pixels of x1 at the center of each validation image that VGG compares."""


EARLY_LOGS = (1, 2, 5, 10, 20)
"""Steps of a launch that are logged, whatever `--logging_steps` is, to show that it learns."""


def photos_per_step(args: argparse.Namespace, accelerator: Accelerator) -> int:
    """Return the number of crops in a step of all processes."""
    return args.train_batch_size * accelerator.num_processes * args.gradient_accumulation_steps


def build_loader(
    args: argparse.Namespace,
    accelerator: Accelerator,
    photos: Photos | StreamPhotos,
    first_step: int,
) -> DataLoader:
    """Return the loader of the crops from `first_step` on.

    A sample depends on the seed and its index alone, so a resumed run continues at its index. For
    a stream that holds for the position of the crop, but not for the photo.
    """
    per_step = photos_per_step(args, accelerator)
    cropper = Cropper(args.crop_size, args.scale, args.seed, args.degradation)
    span = {"num_samples": args.max_train_steps * per_step, "first_index": first_step * per_step}
    if isinstance(photos, StreamPhotos):
        dataset = StreamCrops(photos, cropper, **span)
    else:
        dataset = PhotoCrops(
            photos,
            cropper,
            **span,
            cache_on={"memory": "cpu", "device": accelerator.device}.get(args.cache_images),
            progress=accelerator.is_main_process,
        )
    loader = DataLoader(
        dataset,
        batch_size=args.train_batch_size,
        num_workers=args.dataloader_num_workers,
        worker_init_fn=ignore_signals,
    )
    return accelerator.prepare(loader)


class StepResult(NamedTuple):
    """Values of one step of G or D for the log."""

    values: dict[str, Tensor]
    finite: bool = True
    """False if the gradient was not finite, so that the step was skipped."""


def optimizer_step(
    accelerator: Accelerator,
    loss: Tensor,
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    max_norm: float,
) -> tuple[bool, Tensor | None]:
    """Compute the gradient, clip it and step, unless the loss or the gradient is not finite.

    The gradient is that of all processes, so all of them decide alike. Reading its norm waits for
    the device, once per network and step.

    Returns:
        Whether the gradient was finite, and its norm before clipping. Within an accumulation they
        are True and None.
    """
    # L1's gradient is a sign, so that it is finite even if the loss is not. The factor is 1 for a
    # finite loss. For others it is NaN, and so is the gradient then.
    accelerator.backward(loss * (1 + (loss - loss).detach()))
    finite, norm = True, None
    if accelerator.sync_gradients:
        # accelerator.clip_grad_norm_ would unscale the fp16 gradients of every optimizer, and so
        # those that the other network has accumulated.
        accelerator.unscale_gradients(optimizer)
        norm = nn.utils.clip_grad_norm_(net.parameters(), max_norm)
        finite = bool(norm.isfinite())
    if finite or accelerator.mixed_precision == "fp16":  # fp16's scaler skips the step by itself
        optimizer.step()
    optimizer.zero_grad()
    return finite, norm


def discriminator_step(
    accelerator: Accelerator, nets: TrainingNetworks, cropped: LevelPairs, max_norm: float
) -> StepResult:
    """Train D for one step on the labels and images of the last level."""
    assert nets.net_d is not None and nets.optimizer_d is not None
    # One forward pass for both, because DDP expects one per backward pass.
    scores = nets.net_d(torch.cat([cropped.gt[-1], cropped.sr[-1].detach()])).float()
    real, fake = scores.chunk(2)
    loss = discriminator_loss(real, fake)
    finite, norm = optimizer_step(accelerator, loss, nets.net_d, nets.optimizer_d, max_norm)
    values = {"loss_d": loss, "d/real_over_fake": real_over_fake(real, fake)}
    if norm is not None:
        values["grad_norm/d"] = norm
    return StepResult(values, finite)


def generator_losses(
    nets: TrainingNetworks,
    args: argparse.Namespace,
    full: LevelPairs,
    cropped: LevelPairs,
    strength: float = 1.0,
) -> dict[str, Tensor]:
    """Return the weighted terms of the generator's loss L_G by name.

    Args:
        nets: Networks and losses.
        args: The flags of the run.
        full: What the pixel terms compare.
        cropped: What VGG, LPIPS and the discriminator see.
        strength: Factor of the terms on `cropped`; at 0 they are not computed.
    """
    losses = pixel_terms(args, full)
    if strength == 0:
        return losses
    device_type = full.sr[-1].device.type
    # Not in float16, because features in Caffe's convention can exceed its largest number.
    with torch.autocast(device_type, torch.bfloat16, enabled=nets.in_bf16):
        if nets.perceptual is not None:
            loss = nets.perceptual(*cropped)
            losses["perceptual"] = strength * args.perceptual_weight * loss
        if nets.lpips is not None:
            losses["lpips"] = strength * args.lpips_weight * nets.lpips(*cropped)
    if nets.raw_d is not None:
        # The bare network, because G's step must reduce no gradients of D.
        with torch.no_grad():
            real = nets.raw_d(cropped.gt[-1]).float()
        fake = nets.raw_d(cropped.sr[-1]).float()
        losses["adversarial"] = strength * args.adversarial_weight * adversarial_loss(real, fake)
    return losses


def pixel_terms(args: argparse.Namespace, full: LevelPairs) -> dict[str, Tensor]:
    """Return the weighted terms of L_G that need no other network."""
    losses = {}
    if args.pixel_weight > 0:
        losses["pixel"] = args.pixel_weight * pixel_loss(*full)
    if args.consistency_weight > 0:
        losses["consistency"] = args.consistency_weight * consistency_loss(*full)
    if args.checkerboard_weight > 0:
        losses["checkerboard"] = args.checkerboard_weight * checkerboard_loss(*full)
    if args.flat_weight > 0:
        losses["flat"] = args.flat_weight * flat_loss(*full)
    return losses


def validation_terms(
    nets: TrainingNetworks, args: argparse.Namespace, pair: LevelPairs
) -> dict[str, Tensor]:
    """Return the terms of L_G that tell the best validation.

    The adversarial loss is left out, because it rises while the discriminator improves. VGG would
    cost more than all else, so it compares the center of an image only, and nothing if LPIPS tells
    the best validation.
    """
    losses = pixel_terms(args, pair)
    if nets.perceptual is not None and args.patience_metric == "loss":
        with torch.autocast(pair.sr[-1].device.type, torch.bfloat16, enabled=nets.in_bf16):
            loss = nets.perceptual(*center_crops(pair, VALIDATION_SIDE))
        losses["perceptual"] = args.perceptual_weight * loss
    return losses


def generator_step(
    accelerator: Accelerator,
    nets: TrainingNetworks,
    args: argparse.Namespace,
    full: LevelPairs,
    cropped: LevelPairs,
    strength: float,
) -> StepResult:
    """Train G for one step while D is frozen; the arguments are those of `generator_losses`."""
    if nets.raw_d is not None:
        nets.raw_d.requires_grad_(False)
    losses = generator_losses(nets, args, full, cropped, strength)
    total = sum(losses.values(), start=full.sr[0].new_zeros(()))
    finite, norm = optimizer_step(
        accelerator, total, nets.net_g, nets.optimizer_g, args.max_grad_norm
    )
    if nets.raw_d is not None:
        nets.raw_d.requires_grad_(True)
    values = {f"loss_g/{name}": value for name, value in losses.items()}
    if norm is not None:
        values["grad_norm/g"] = norm
    return StepResult(values, finite)


def main(argv: list[str] | None = None) -> None:
    """Train until `--max_train_steps` or convergence, then save the averaged weights."""
    args = parse_args(argv, __doc__)
    accelerator = start_accelerator(args)
    resume_folder = prepare_output(args, accelerator)
    photos = open_photos(args, accelerator, resume_folder)
    number = None if isinstance(photos, StreamPhotos) else len(photos)
    if args.num_train_epochs and number:
        per_step = photos_per_step(args, accelerator)
        args.max_train_steps = math.ceil(args.num_train_epochs * number / per_step)
    if args.validation_dataset_name:
        args.validation_data_dir = [*args.validation_data_dir, export_validation(args, accelerator)]
    set_seed(args.seed)  # the same initial weights in every process; crops have their own seeds
    nets = build_networks(args, accelerator)
    state = RunState()
    accelerator.register_for_checkpointing(nets.ema, state)
    launches = resume(args, accelerator, nets, state, resume_folder, number)
    first_step = state.global_step
    loader = build_loader(args, accelerator, photos, first_step)
    lpips, pairs = prepare_validation(args, accelerator)
    prepare_repository(args, accelerator)
    announce(args, accelerator, nets.raw_g, first_step=first_step, photos=number, pairs=pairs)

    levels = nets.raw_g.levels
    forward_g = torch.compile(nets.net_g) if args.compile else nets.net_g
    trained = [nets.net_g, *([] if nets.net_d is None else [nets.net_d])]
    progress = tqdm(
        total=args.max_train_steps,
        initial=state.global_step,
        desc="steps",
        disable=None if accelerator.is_main_process else True,  # None: only on a terminal
    )
    stop, meter, counter, trend = StopRequest(), StepMeter(), StepCounter(), AdversarialTrend()
    reason, hinted = "", bool(args.cache_images)
    # A run that was stopped after it had converged does not continue.
    batches = () if state.converged(args) else exit_without_photos(meter.timed(loader))
    for batch in batches:
        # 1. Make the labels of every level and the input.
        gt = crop_margin(label_pyramid(batch["gt"].float() / 255, levels), levels)
        lq = batch["lq"].float() / 255 if "lq" in batch else quantise(gt[0])

        # 2. Set the learning rates and the strength of the perceptual and adversarial losses.
        rate = get_lr(state.global_step, args.learning_rate, args)
        set_lr(nets.optimizer_g, rate)
        if nets.optimizer_d is not None:
            peak = args.discriminator_learning_rate
            set_lr(nets.optimizer_d, get_lr(state.global_step, peak, args))
        strength = args.strengths[state.global_step % len(args.strengths)]
        loss_strength = 0.0 if state.global_step < args.pixel_steps else strength

        # 3. Train D and then G for one step on the same images.
        with accelerator.accumulate(*trained), mixed_weights(nets.raw_g, nets.fidelity, strength):
            full = LevelPairs([image.float() for image in forward_g(lq)], gt)
            cropped = random_crops(*full, key=state.global_step)
            d_step = StepResult({})
            if nets.net_d is not None and loss_strength > 0:
                d_step = discriminator_step(accelerator, nets, cropped, args.max_grad_norm)
            g_step = generator_step(accelerator, nets, args, full, cropped, loss_strength)
        meter.add(d_step.values | g_step.values)
        if not accelerator.sync_gradients:
            continue  # the step goes on with the next batch

        # 4. Count the step and average the weights.
        state.global_step += 1
        progress.update()
        if g_step.finite:
            nets.ema.update_parameters(nets.raw_g)
        if d_step.finite and g_step.finite:
            counter.note_taken()
        else:
            losses = meter.not_finite(args.gradient_accumulation_steps)
            counter.note_skipped(state, losses, args.output_dir)

        # 5. Log.
        regular = state.global_step % args.logging_steps == 0
        if regular or state.global_step - first_step in EARLY_LOGS:
            values = meter.summary(accelerator) | {"lr": rate}
            log(args, accelerator, state.global_step, values)
            trend.add(values)
            waits = values["seconds/data"] > 0.05 * values["seconds/step"]
            if regular and waits and not hinted and not args.streaming:
                logger.warning(
                    "Training waits for data: try --cache_images, --dataloader_num_workers"
                )
                hinted = True

        # 6. Validate, save a checkpoint, and stop if it is time.
        with meter.paused():
            last = state.global_step == args.max_train_steps
            due = last or state.global_step % args.validation_steps == 0
            if args.validation_data_dir and due:
                if trends := trend.report(state):
                    log(args, accelerator, state.global_step, trends)
                run_validation(args, accelerator, nets, state, lpips)
            if state.global_step == args.pixel_steps:  # other losses begin
                forget_best(nets, state)
            reason = stop_reason(args, accelerator, state, stop)
            if reason or state.global_step % args.checkpointing_steps == 0:
                nets.check_finite()
                checkpoint = save_checkpoint(
                    accelerator,
                    args.output_dir,
                    state.global_step,
                    args.checkpoints_total_limit,
                    averaged=nets.averaged,
                    launches=launches,
                    best=nets.best,
                )
                if args.push_checkpoints and accelerator.is_main_process and not reason:
                    text = describe(args, launches, state.global_step, number)
                    publish_checkpoint(nets.averaged, args, checkpoint, text, stop)
        if reason:
            break
    progress.close()
    logger.info("step %d: %s", state.global_step, reason or "nothing left to do")
    if reason.startswith("stopped"):
        accelerator.end_training()
        raise SystemExit("checkpoint saved; continue with --resume_from_checkpoint latest")
    counter.check()
    nets.check_finite()
    if accelerator.is_main_process:
        net, saved_step = choose_weights(args, nets, state)
        text = describe(args, launches, state.global_step, number, saved_step)
        with exit_on_error("--output_dir"):
            save(net, args, text)
        if args.push_to_hub:
            publish_result(args, stop)
        logger.info("try it: %s", next_command(args))
    accelerator.end_training()


def describe(
    args: argparse.Namespace,
    launches: list[Launch],
    steps: int,
    photos: int | None,
    saved_step: int | None = None,
) -> str:
    """Return the card's text about the training; see `training_text`."""
    return training_text(
        launches,
        steps=steps,
        saved_step=steps if saved_step is None else saved_step,
        photos=photos,
        credits=args.data_credits,
        datasets=dataset_ids(args),
    )


def run_validation(
    args: argparse.Namespace,
    accelerator: Accelerator,
    nets: TrainingNetworks,
    state: RunState,
    lpips: LpipsSqueeze | None,
) -> None:
    """Measure the averaged weights, log the result and keep them if they are the best.

    sample.png shows the weights that would be saved now.
    """
    result = validate(
        nets.averaged,
        args.validation_data_dir,
        accelerator.device,
        losses=lambda pair: validation_terms(nets, args, pair),
        lpips=lpips,
        accelerator=accelerator,
    )
    metrics = result.metrics
    if args.lpips_weight > 0:
        metrics["val/loss_g/lpips"] = args.lpips_weight * metrics["val/lpips"]
        metrics["val/loss_g"] += metrics["val/loss_g/lpips"]
    log(args, accelerator, state.global_step, metrics)
    measure = metrics["val/lpips" if args.patience_metric == "lpips" else "val/loss_g"]
    improved = state.note_validation(measure)
    if not accelerator.is_main_process or not result.grid:
        return
    if improved:
        nets.best = copy.deepcopy(nets.averaged)
    if improved or args.save_last:
        with exit_on_error("--output_dir"), atomic_write(args.output_dir / "sample.png") as partial:
            result.grid.save(partial)
    log_grid(accelerator.trackers, result.grid, state.global_step)


def stop_reason(
    args: argparse.Namespace, accelerator: Accelerator, state: RunState, stop: StopRequest
) -> str:
    """Return why the run ends after this step; empty if it does not."""
    if any_process(accelerator, bool(stop.reason())):
        return f"stopped by {stop.reason() or 'a signal to another process'}"
    if state.converged(args):
        name = {"loss": "L_G", "lpips": "LPIPS"}[args.patience_metric]
        return f"{name} has converged: {args.patience} validations without a lower one"
    if state.global_step == args.max_train_steps:
        return f"reached --max_train_steps {args.max_train_steps}"
    return ""


def choose_weights(
    args: argparse.Namespace, nets: TrainingNetworks, state: RunState
) -> tuple[HSRNet, int]:
    """Return the averaged weights to save and their step: the best, or the last."""
    if nets.best is None or args.save_last or not math.isfinite(state.best_measure):
        return nets.averaged, state.global_step
    name = {"loss": "L_G without the adversarial term", "lpips": "LPIPS"}[args.patience_metric]
    logger.info(
        "saving the averaged weights of step %d, which validated best: %s %.5g%s",
        state.best_step,
        name,
        state.best_measure,
        "" if state.best_step == state.global_step else " (--save_last saves those of the end)",
    )
    return nets.best, state.best_step


if __name__ == "__main__":
    with readable_errors():
        main()
