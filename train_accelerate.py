r"""Train HSRNet on your own photographs: pixel, perceptual and adversarial losses, on any machine.

    # fidelity: the pixel loss alone, on whatever this machine has
    accelerate launch train_accelerate.py --train_data_dir photos --output_dir fidelity

    # detail: all three losses, from those weights
    accelerate launch train_accelerate.py --train_data_dir photos --output_dir detail \
        --pretrained_model fidelity --learning_rate 4e-4 --pixel_weight 0.5 \
        --perceptual_weight 0.02 --adversarial_weight 0.015 --consistency_weight 1 \
        --grid_weight 3 --strengths 1 1 1 0.5

    # two GPUs in bfloat16, watched on a folder with HR/ and LRx4/, going on where it stopped
    accelerate launch --multi_gpu --num_processes 2 --mixed_precision bf16 train_accelerate.py \
        --train_data_dir photos more_photos --output_dir fidelity --validation_data_dir Set5 \
        --report_to tensorboard --resume_from_checkpoint latest

One folder of photographs is enough: the low-resolution images and the labels of every level are
made from them. At the end `--output_dir` holds config.json, model.safetensors (the averaged
weights) and README.md: a folder that `HSRNet.from_pretrained` takes.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import cast

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, set_seed
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from hsr_hub import HSRNet
from hsr_hub.evaluation import LpipsSqueeze, evaluate
from hsr_hub.hub import merged, model_card, publish
from hsr_hub.images import atomic_write
from hsr_hub.training.arguments import parse_args
from hsr_hub.training.checkpoints import (
    RunState,
    StopRequest,
    find_checkpoints,
    find_resume_folder,
    ignore_signals,
    remove_leftovers,
    save_checkpoint,
)
from hsr_hub.training.data import PhotoCrops, crop_margin, label_pyramid, quantise
from hsr_hub.training.discriminator import Discriminator
from hsr_hub.training.ema import make_ema
from hsr_hub.training.losses import (
    LpipsLoss,
    PerceptualLoss,
    adversarial_loss,
    checkerboard_loss,
    consistency_loss,
    discriminator_loss,
    flat_loss,
    pixel_loss,
    random_crops,
    real_over_fake,
)
from hsr_hub.training.mixing import mixed_weights
from hsr_hub.training.optimizers import build_optimizer, get_lr, set_lr
from hsr_hub.training.summary import training_text
from hsr_hub.training.validation import check_pairs, log_grid, validate

logger = logging.getLogger("train")

Levels = tuple[Sequence[Tensor], Sequence[Tensor]]  # images and labels, low to high

MAX_BAD_STEPS = 20
"""Steps in a row whose gradient is not finite before the run gives up."""


@contextmanager
def naming(flag: str) -> Iterator[None]:
    """Turn what a flag's value caused into one line that names the flag."""
    try:
        yield
    except (OSError, ValueError, ImportError) as error:
        raise SystemExit(f"{flag}: {error}") from error


def build_generator(args: argparse.Namespace) -> HSRNet:
    """A new network, or the one to start from."""
    shape = ("scale", "kernel_sizes", "widths", "dilations", "fusion_width")
    shape += ("reconstruction_widths",)
    given = {name: getattr(args, name) for name in shape if getattr(args, name) is not None}
    if args.pretrained_model:
        with naming("--pretrained_model"):
            net = HSRNet.from_pretrained(args.pretrained_model).train()
        for name, value in given.items():
            if net.config[name] != value:
                raise SystemExit(
                    f"--pretrained_model {args.pretrained_model} has {name} {net.config[name]}, "
                    f"--{name} says {value}"
                )
    else:
        with naming("network"):  # the message itself names the argument
            net = HSRNet(**given)
    vars(args).update(net.config)  # the recipe in the card: what was built
    return net


@dataclass
class Networks:
    """What the steps below work on; `net_*` as Accelerate prepared them, `raw_*` as built."""

    net_g: nn.Module
    optimizer_g: torch.optim.Optimizer
    net_d: nn.Module
    raw_d: nn.Module
    optimizer_d: torch.optim.Optimizer | None
    perceptual: PerceptualLoss | None
    perceptual_in_bf16: bool
    lpips: LpipsLoss | None = None


def update(
    accelerator: Accelerator, loss: Tensor, net: nn.Module, optimizer, max_norm
) -> tuple[bool, Tensor | None]:
    """Backward, clip, step; False when loss or gradient was not finite and the step left out.

    The second value is the gradient's norm before clipping; None within an accumulation.

    The gradient is that of all processes, so all of them decide alike. Reading its norm waits for
    the device, once per network and step.
    """
    # A loss that is not finite need not have such a gradient (L1's is a sign): times NaN it has.
    accelerator.backward(loss * (1 + (loss - loss).detach()))
    finite, norm = True, None
    if accelerator.sync_gradients:
        # accelerator.clip_grad_norm_ would unscale every optimizer's fp16 gradients, so those that
        # the other network has accumulated too.
        accelerator.unscale_gradients(optimizer)
        norm = nn.utils.clip_grad_norm_(net.parameters(), max_norm)
        finite = bool(norm.isfinite())
    if finite or accelerator.mixed_precision == "fp16":  # fp16's scaler leaves it out by itself
        optimizer.step()
    optimizer.zero_grad()
    return finite, norm


def discriminator_step(
    accelerator: Accelerator, nets: Networks, seen: Levels, max_norm: float
) -> tuple[dict[str, Tensor], bool]:
    """One step of D on the target level's labels and images."""
    # One forward for both: no batch statistics, and DDP wants one forward per backward.
    real, fake = nets.net_d(torch.cat([seen[1][-1], seen[0][-1].detach()])).float().chunk(2)
    loss = discriminator_loss(real, fake)
    finite, norm = update(accelerator, loss, nets.net_d, nets.optimizer_d, max_norm)
    values = {"loss_d": loss, "d/real_over_fake": real_over_fake(real, fake)}
    return values | ({} if norm is None else {"grad_norm/d": norm}), finite


def generator_losses(
    nets: Networks, args: argparse.Namespace, whole: Levels, seen: Levels, strength: float = 1.0
) -> dict[str, Tensor]:
    """The weighted terms of L_G; VGG and D look at windows `seen` and count by the strength."""
    (sr, gt), (seen_sr, seen_gt) = whole, seen
    losses = {"pixel": args.pixel_weight * pixel_loss(sr, gt)}
    if args.consistency_weight > 0:
        losses["consistency"] = args.consistency_weight * consistency_loss(sr, gt)
    if args.grid_weight > 0:
        losses["grid"] = args.grid_weight * checkerboard_loss(sr, gt)
    if args.flat_weight > 0:
        losses["flat"] = args.flat_weight * flat_loss(sr, gt)
    if nets.lpips is not None and strength > 0:
        with torch.autocast(sr[-1].device.type, torch.bfloat16, enabled=nets.perceptual_in_bf16):
            loss = nets.lpips(seen_sr, seen_gt)
        losses["lpips"] = strength * args.lpips_weight * loss
    if nets.perceptual is not None and strength > 0:
        # Not in float16, beyond whose largest number features of Caffe's convention can come.
        with torch.autocast(sr[-1].device.type, torch.bfloat16, enabled=nets.perceptual_in_bf16):
            loss = nets.perceptual(seen_sr, seen_gt)
        losses["perceptual"] = strength * args.perceptual_weight * loss
    if nets.optimizer_d is not None and strength > 0:
        # The bare network, frozen: G's step leaves nothing on D and reduces nothing for it.
        with torch.no_grad():
            real = nets.raw_d(seen_gt[-1]).float()
        fake = nets.raw_d(seen_sr[-1]).float()
        losses["adversarial"] = strength * args.adversarial_weight * adversarial_loss(real, fake)
    return losses


def generator_step(
    accelerator: Accelerator,
    nets: Networks,
    args: argparse.Namespace,
    whole: Levels,
    seen: Levels,
    strength: float,
) -> tuple[dict[str, Tensor], bool]:
    """One step of G; D is frozen meanwhile."""
    nets.raw_d.requires_grad_(False)
    losses = generator_losses(nets, args, whole, seen, strength)
    total = sum(losses.values(), start=whole[0][0].new_zeros(()))
    finite, norm = update(accelerator, total, nets.net_g, nets.optimizer_g, args.max_grad_norm)
    nets.raw_d.requires_grad_(True)
    values = {f"loss_g/{name}": value for name, value in losses.items()}
    return values | ({} if norm is None else {"grad_norm/g": norm}), finite


def main(argv: list[str] | None = None) -> None:
    """Train until `--max_train_steps` or convergence, then save the averaged weights."""
    args = parse_args(argv, __doc__)
    with naming("--report_to"):
        accelerator = Accelerator(
            log_with=args.report_to,
            project_dir=str(args.output_dir),
            gradient_accumulation_steps=args.gradient_accumulation_steps,
        )
    main_process, device = accelerator.is_main_process, accelerator.device
    logging.basicConfig(
        level=logging.INFO if main_process else logging.ERROR,
        format="%(asctime)s %(message)s",
        datefmt="%H:%M:%S",
        stream=sys.stdout,
    )
    logging.getLogger("accelerate").setLevel(logging.WARNING)
    # The main process looks for all, so that none resumes from elsewhere.
    chosen = [
        find_resume_folder(args.resume_from_checkpoint, args.output_dir) if main_process else None
    ]
    resume_folder = broadcast_object_list(chosen)[0]
    if resume_folder and not resume_folder.is_dir():
        raise SystemExit(
            f"{resume_folder} is not on this machine: share --output_dir between nodes"
        )
    args.output_dir.mkdir(parents=True, exist_ok=True)
    if main_process:
        remove_leftovers(args.output_dir)
    set_seed(args.seed)  # the same initial weights everywhere; data has its own keyed randomness

    # ---- build: networks, average, losses, optimizers
    raw_g = build_generator(args)
    raw_d = Discriminator(args.discriminator_width)
    levels = raw_g.levels
    # channels_last is the faster layout, but on a CPU the bfloat16 weight gradients of a dilated
    # convolution of 24, 40, 56, ... channels are NaN in it (torch 2.15).
    hit = [w for w in raw_g.config["widths"] if w > 8 and w % 16]
    in_bf16 = accelerator.mixed_precision == "bf16"
    if not (hit and device.type == "cpu" and in_bf16):
        raw_g.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        raw_d.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    raw_g.to(device)
    fidelity = [parameter.detach().clone() for parameter in raw_g.parameters()]
    ema = make_ema(raw_g, args.ema_decay)
    averaged = cast(HSRNet, ema.module)
    perceptual = None
    if args.perceptual_weight > 0:
        with naming("--perceptual_weights_path"):
            perceptual = PerceptualLoss(args.perceptual_layers, args.perceptual_weights_path)
        perceptual.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    net_g, optimizer_g = accelerator.prepare(raw_g, build_optimizer(raw_g, args))
    net_d, optimizer_d = raw_d, None
    if args.adversarial_weight > 0:
        net_d, optimizer_d = accelerator.prepare(raw_d, build_optimizer(raw_d, args))
    lpips_loss = None
    if args.lpips_weight > 0:
        with naming("--metric_weights"):
            lpips_loss = LpipsLoss(args.metric_weights).to(device)
    nets = Networks(net_g, optimizer_g, net_d, raw_d, optimizer_d, perceptual, in_bf16, lpips_loss)
    forward_g = torch.compile(net_g) if args.compile else net_g
    state = RunState()
    accelerator.register_for_checkpointing(ema, state)
    if resume_folder:
        accelerator.load_state(str(resume_folder))
        accelerator.step = 0  # a checkpoint never falls inside an accumulation
        logger.info("resumed from %s at step %d", resume_folder, state.global_step)
    elif args.resume_from_checkpoint:
        logger.info("no checkpoint in %s yet", args.output_dir)

    # ---- data: sample i is the same whoever draws it, so a resumed run just begins further on
    micro_batch = args.train_batch_size * accelerator.num_processes
    global_batch = micro_batch * args.gradient_accumulation_steps
    with naming("--train_data_dir"):
        dataset = PhotoCrops(
            args.train_data_dir,
            crop_size=args.crop_size,
            scale=args.scale,
            num_samples=args.max_train_steps * global_batch,
            seed=args.seed,
            first_index=state.global_step * global_batch,
            degradation=args.degradation,
            cache_on={"memory": "cpu", "device": device}.get(args.cache_images),
            progress=main_process,
        )
    with naming("--validation_data_dir"):
        pairs = check_pairs(args.validation_data_dir, args.scale) if args.validation_data_dir else 0
    with naming("--metric_weights"):
        lpips = LpipsSqueeze(args.metric_weights) if args.metric_weights else None
    loader = accelerator.prepare(
        DataLoader(
            dataset,
            batch_size=args.train_batch_size,
            num_workers=args.dataloader_num_workers,
            worker_init_fn=ignore_signals,
        )
    )

    logger.info("***** Running training *****")
    logger.info("  parameters %d, levels %s", sum(p.numel() for p in raw_g.parameters()), levels)
    logger.info("  photos %d, validation pairs %d", len(dataset.paths), pairs)
    logger.info("  processes %d on %s", accelerator.num_processes, device.type)
    logger.info("  batch per process %d, global batch %d", args.train_batch_size, global_batch)
    logger.info("  steps %d, from step %d", args.max_train_steps, state.global_step)

    def log(values: dict[str, float]) -> None:
        accelerator.log(values, step=state.global_step)
        if main_process:
            with naming("--output_dir"), (args.output_dir / "log.jsonl").open("a") as lines:
                lines.write(json.dumps({"step": state.global_step, **values}) + "\n")
            shown = "  ".join(f"{key} {value:.5g}" for key, value in values.items())
            tqdm.write(f"step {state.global_step}  {shown}", file=sys.stdout)

    def checkpoint() -> None:
        save_checkpoint(
            accelerator, args.output_dir, state.global_step, args.checkpoints_total_limit
        )

    def run_validation() -> None:
        result = validate(
            averaged,
            args.validation_data_dir,
            device,
            losses=lambda sr, gt: generator_losses(nets, args, (sr, gt), (sr, gt)),
            lpips=lpips,
        )
        log(result.figures)
        state.note_validation(result.figures["val/loss_g"])
        if main_process and result.grid:
            with naming("--output_dir"), atomic_write(args.output_dir / "sample.png") as partial:
                result.grid.save(partial)
            log_grid(accelerator.trackers, result.grid, state.global_step)

    if args.report_to:
        plain = (int, float, str, bool)
        accelerator.init_trackers(
            "hsr-hub", {k: v if isinstance(v, plain) else str(v) for k, v in vars(args).items()}
        )

    # ---- train
    stop = StopRequest()
    progress = tqdm(
        total=args.max_train_steps,
        initial=state.global_step,
        desc="steps",
        disable=None if main_process else True,  # None: shown on a terminal only
    )
    sums: dict[str, list[Tensor]] = {}
    not_finite: set[str] = set()
    micro_steps, bad_in_a_row, reason, stopped, hinted = 0, 0, "", False, False
    data_time, window_start, batch_wanted = 0.0, time.perf_counter(), time.perf_counter()
    # A run that was stopped after it had converged has nothing left to learn.
    for batch in () if state.converged(args) else loader:
        data_time += time.perf_counter() - batch_wanted

        gt = crop_margin(label_pyramid(batch["gt"].float() / 255, levels), levels)
        # The bicubic protocol: the input is the x1 label in 8 bits.
        lq = batch["lq"].float() / 255 if "lq" in batch else quantise(gt[0])
        rate = get_lr(state.global_step, args.learning_rate, args)
        set_lr(optimizer_g, rate)

        trained = [net_g] if optimizer_d is None else [net_g, net_d]
        strength = args.strengths[state.global_step % len(args.strengths)]
        detail = 0.0 if state.global_step < args.pixel_steps else strength
        with accelerator.accumulate(*trained), mixed_weights(raw_g, fidelity, strength):
            values, finite = {}, True
            sr = [image.float() for image in forward_g(lq)]
            seen = random_crops(sr, gt, state.global_step)
            if optimizer_d is not None and detail > 0:
                peak = args.discriminator_learning_rate
                set_lr(optimizer_d, get_lr(state.global_step, peak, args))
                values, finite = discriminator_step(accelerator, nets, seen, args.max_grad_norm)
            g_values, g_finite = generator_step(accelerator, nets, args, (sr, gt), seen, detail)
            finite = finite and g_finite
        for key, value in {**values, **g_values}.items():
            sums.setdefault(key, []).append(value.detach())
            if not (finite or value.isfinite()):
                not_finite.add(key)
        micro_steps += 1
        if not accelerator.sync_gradients:
            batch_wanted = time.perf_counter()
            continue

        state.global_step += 1
        progress.update()
        if g_finite:
            ema.update_parameters(accelerator.unwrap_model(net_g))
        bad_in_a_row = 0 if finite else bad_in_a_row + 1
        if not finite:
            state.skipped_steps += 1
            logger.warning(
                "step %d: gradient not finite, step skipped (not finite: %s; %d skipped so far)",
                state.global_step,
                ", ".join(sorted(not_finite)) or "no loss of this process",
                state.skipped_steps,
            )
            not_finite.clear()
            if bad_in_a_row == MAX_BAD_STEPS:
                kept = find_checkpoints(args.output_dir)
                raise SystemExit(
                    f"{MAX_BAD_STEPS} steps in a row had no finite gradient: lower --learning_rate "
                    "or train without mixed precision. "
                    + (f"{kept[-1].name} is intact." if kept else "There is no checkpoint yet.")
                )

        if state.global_step % args.logging_steps == 0:
            seconds = time.perf_counter() - window_start
            steps = micro_steps / args.gradient_accumulation_steps
            means = {
                key: float(cast(Tensor, accelerator.reduce(torch.stack(values).mean(), "mean")))
                for key, values in sums.items()
            }
            timing = {"seconds/step": seconds / steps, "seconds/data": data_time / steps}
            log({**means, "lr": rate, **timing})
            if data_time > 0.05 * seconds and not hinted:
                hinted = True
                logger.warning("data is waited for: try --cache_images, --dataloader_num_workers")
            sums, micro_steps, data_time, window_start = {}, 0, 0.0, time.perf_counter()
        last = state.global_step == args.max_train_steps
        paused = time.perf_counter()
        if args.validation_data_dir and (state.global_step % args.validation_steps == 0 or last):
            run_validation()
        if state.global_step == args.pixel_steps:
            state.expect_other_losses()
        stopped = anywhere(accelerator, bool(stop.reason()))
        reason = (
            f"stopped by {stop.reason() or 'a signal to another process'}"
            if stopped
            else f"L_G has converged: {args.patience} validations without a lower one"
            if anywhere(accelerator, state.converged(args))
            else f"reached --max_train_steps {args.max_train_steps}"
            if last
            else ""
        )
        if reason or state.global_step % args.checkpointing_steps == 0:
            checkpoint()
        if reason:
            break
        window_start += time.perf_counter() - paused
        batch_wanted = time.perf_counter()
    progress.close()
    logger.info("step %d: %s", state.global_step, reason or "nothing left to do")
    if stopped:
        accelerator.end_training()
        raise SystemExit("checkpoint saved; go on with --resume_from_checkpoint latest")

    # ---- keep and publish
    if main_process:
        with naming("--output_dir"):
            keep(averaged, args, accelerator, state.global_step, len(dataset.paths))
    accelerator.end_training()


def anywhere(accelerator: Accelerator, wish: bool) -> bool:
    """Whether any process wishes it, so that all of them leave the loop at the same step."""
    if accelerator.num_processes == 1:
        return wish
    flag = torch.tensor(float(wish), device=accelerator.device)
    return float(cast(Tensor, accelerator.reduce(flag, "sum"))) > 0


def keep(
    net: HSRNet, args: argparse.Namespace, accelerator: Accelerator, steps: int, photos: int
) -> None:
    """Weights, config and card into the output folder, and to the Hub when that is asked."""
    card_path = args.output_dir / "README.md"
    earlier = card_path.read_text(encoding="utf-8") if card_path.is_file() else ""
    net.save_pretrained(args.output_dir)
    figures = [
        evaluate(net, folder, metric_weights=args.metric_weights, dtype="float32", progress=False)
        for folder in args.validation_data_dir
    ]
    machine = (
        f"{accelerator.num_processes} process(es) on {accelerator.device.type}, mixed precision "
        f"{accelerator.mixed_precision}"
    )
    card = model_card(
        net,
        name=args.hub_model_id or args.output_dir.resolve().name,
        # Memory would be the training's.
        metrics=[replace(f, peak_memory_mib=None) for f in figures],
        training=training_text(args, steps=steps, photos=photos, machine=machine),
        degradation=args.degradation,
        datasets=args.hub_dataset_ids,
        sample=(args.output_dir / "sample.png").exists(),
    )
    text = merged(earlier, str(card), same_weights=False) if earlier else str(card)
    with atomic_write(card_path) as partial:
        partial.write_text(text, encoding="utf-8")
    logger.info("saved: %s", args.output_dir)
    if args.push_to_hub:
        private = args.hub_private_repo or None
        try:
            address = publish(args.output_dir, args.hub_model_id, private=private)
            logger.info("published: %s", address)
        except Exception as error:  # whatever the network or the Hub does, the folder is whole
            raise SystemExit(f"publishing failed: {error}") from error


if __name__ == "__main__":
    main()
