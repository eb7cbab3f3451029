r"""Train HSRNet on your own photographs.

    # one machine, whatever it has
    accelerate launch train_accelerate.py --train_data_dir photos --output_dir out

    # two GPUs, bfloat16, a folder with HR/ and LRx4/ to watch, going on where it was stopped
    accelerate launch --multi_gpu --num_processes 2 --mixed_precision bf16 train_accelerate.py \
        --train_data_dir photos more_photos --output_dir out \
        --validation_data_dir Set5 --resume_from_checkpoint latest

One folder of photographs is enough: the low-resolution images and the labels of every level are
made from them. At the end `--output_dir` holds config.json, model.safetensors (the averaged
weights) and README.md: a folder that `HSRNet.from_pretrained` takes.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import shutil
import sys
import time
from pathlib import Path
from typing import cast

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from hsr_hub import HSRNet
from hsr_hub.evaluation import find_pairs, psnr_y, read_pair
from hsr_hub.training.data import PhotoCrops, crop_margin, label_pyramid, quantise
from hsr_hub.training.ema import averaged_copy
from hsr_hub.training.losses import pixel_loss

logger = logging.getLogger("train")

MAX_BAD_STEPS = 20
"""Steps in a row whose gradient is not finite before the run gives up."""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line, checked as far as that is possible without reading a picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--train_data_dir", nargs="+", type=Path, required=True, help="folders of photographs")
    add("--output_dir", type=Path, required=True)
    add("--seed", type=int, default=0)

    network = parser.add_argument_group("network (see HSRNet)")
    network.add_argument("--scale", type=int, default=4)
    network.add_argument("--kernel_sizes", nargs="+", type=int, default=[3, 5, 7])
    network.add_argument("--widths", nargs="+", type=int, help="one per kernel size")
    network.add_argument("--dilations", nargs=3, type=int, default=[2, 2, 2])
    network.add_argument("--fusion_width", type=int, default=48)
    network.add_argument("--reconstruction_widths", nargs="+", type=int)
    network.add_argument(
        "--pretrained_model",
        help="weights to start from (Hub id, folder or shipped name); brings its own shape",
    )

    data = parser.add_argument_group("data")
    data.add_argument("--crop_size", type=int, default=128, help="ground-truth pixels")
    data.add_argument("--train_batch_size", type=int, default=16, help="per process")
    data.add_argument("--dataloader_num_workers", type=int, default=0)
    data.add_argument("--cache_images", action="store_true", help="keep decoded photos in memory")

    optimisation = parser.add_argument_group("optimisation")
    optimisation.add_argument("--max_train_steps", type=int, default=10_000)
    optimisation.add_argument("--learning_rate", type=float, default=2.5e-3)
    optimisation.add_argument("--lr_warmup_steps", type=int, default=100)
    optimisation.add_argument("--adam_beta1", type=float, default=0.9)
    optimisation.add_argument("--adam_beta2", type=float, default=0.99)
    optimisation.add_argument("--weight_decay", type=float, default=0.0)
    optimisation.add_argument("--max_grad_norm", type=float, default=0.5)
    optimisation.add_argument("--ema_decay", type=float, default=0.999)
    optimisation.add_argument("--pixel_weight", type=float, default=1.0)

    watching = parser.add_argument_group("watching and keeping")
    watching.add_argument("--validation_data_dir", nargs="+", type=Path, default=[])
    watching.add_argument("--validation_steps", type=int, default=500)
    watching.add_argument("--logging_steps", type=int, default=50)
    watching.add_argument("--checkpointing_steps", type=int, default=500)
    watching.add_argument("--checkpoints_total_limit", type=int, default=2)
    watching.add_argument("--resume_from_checkpoint", help="a checkpoint folder, or 'latest'")
    watching.add_argument(
        "--report_to", help="a tracker that Accelerate knows: tensorboard, wandb, ..."
    )
    args = parser.parse_args(argv)
    if args.crop_size % args.scale:
        parser.error(f"--crop_size {args.crop_size} is not a multiple of --scale {args.scale}")
    for name in ("train_batch_size", "max_train_steps", "validation_steps", "checkpointing_steps"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} must be at least 1")
    return args


def learning_rate_at(step: int, args: argparse.Namespace) -> float:
    """Linear warm-up, then a cosine to a thousandth of the peak; `step` counts from 0."""
    if step < args.lr_warmup_steps:
        return args.learning_rate * (step + 1) / args.lr_warmup_steps
    span = max(1, args.max_train_steps - args.lr_warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, (step - args.lr_warmup_steps) / span)))
    return args.learning_rate * (0.001 + 0.999 * cosine)


def checkpoints(output_dir: Path) -> list[Path]:
    """Whole checkpoints, oldest first."""
    found = [p for p in output_dir.glob("checkpoint-*") if p.name.split("-")[1].isdigit()]
    return sorted(found, key=lambda p: int(p.name.split("-")[1]))


def save_checkpoint(
    accelerator: Accelerator, output_dir: Path, global_step: int, total_limit: int
) -> None:
    """Write `checkpoint-{step}` aside and rename it, so that one that is there is whole."""
    partial = output_dir / f"checkpoint-{global_step}.partial"
    if accelerator.is_main_process and partial.exists():
        shutil.rmtree(partial)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(partial))  # on every rank: each has random states of its own
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        whole = output_dir / f"checkpoint-{global_step}"
        if whole.exists():
            shutil.rmtree(whole)
        partial.rename(whole)
        for old in checkpoints(output_dir)[:-total_limit]:
            shutil.rmtree(old)


def resume(accelerator: Accelerator, args: argparse.Namespace) -> int:
    """Load the asked checkpoint, if there is one; the global step it was written at."""
    if not args.resume_from_checkpoint:
        return 0
    if args.resume_from_checkpoint == "latest":
        found = checkpoints(args.output_dir)
        if not found:
            logger.info("no checkpoint in %s yet: starting anew", args.output_dir)
            return 0
        folder = found[-1]
    else:
        folder = Path(args.resume_from_checkpoint)
        if not folder.is_dir():
            raise SystemExit(f"--resume_from_checkpoint: there is no folder {folder}")
    accelerator.load_state(str(folder))
    step = int(folder.name.split("-")[1])
    logger.info("resumed from %s at step %d", folder, step)
    return step


@torch.no_grad()
def validate(net: HSRNet, folders: list[Path], device: torch.device) -> dict[str, float]:
    """PSNR-Y of the last level on every validation folder, by the field's protocol."""
    figures = {}
    for folder in folders:
        values = []
        for lq_path, gt_path in find_pairs(folder, net.scale):
            lq, gt = read_pair(lq_path, gt_path, net.scale)
            image = torch.from_numpy(lq).to(device).permute(2, 0, 1)[None].float() / 255
            sr = quantise(net.super_resolve(image, net.scale)) * 255
            array = sr[0].permute(1, 2, 0).round().byte().cpu().numpy()
            values.append(psnr_y(array, gt, border=net.scale))
        figures[f"val/psnr/{folder.name}"] = sum(values) / len(values)
    if figures:
        figures["val/psnr"] = sum(figures.values()) / len(figures)
    return figures


def main(argv: list[str] | None = None) -> None:
    """Train until `--max_train_steps`, then save the averaged weights."""
    args = parse_args(argv)
    accelerator = Accelerator(log_with=args.report_to, project_dir=str(args.output_dir))
    logging.basicConfig(
        level=logging.INFO if accelerator.is_main_process else logging.ERROR,
        format="%(asctime)s %(message)s",
        datefmt="%H:%M:%S",
        stream=sys.stdout,
    )
    args.output_dir.mkdir(parents=True, exist_ok=True)
    set_seed(args.seed)  # the same initial weights everywhere; data has its own keyed randomness

    # ---- build: network, average, optimizer
    if args.pretrained_model:
        net_g = HSRNet.from_pretrained(args.pretrained_model).train()
        if net_g.scale != args.scale:
            raise SystemExit(
                f"--pretrained_model {args.pretrained_model} has scale {net_g.scale}, "
                f"--scale says {args.scale}"
            )
    else:
        net_g = HSRNet(
            scale=args.scale,
            kernel_sizes=args.kernel_sizes,
            widths=args.widths,
            dilations=args.dilations,
            fusion_width=args.fusion_width,
            reconstruction_widths=args.reconstruction_widths,
        )
    # channels_last is the faster layout, but on a CPU its bfloat16 gradients of dilated
    # convolutions are NaN (torch 2.15): there bfloat16 goes without.
    if not (accelerator.device.type == "cpu" and accelerator.mixed_precision == "bf16"):
        net_g = net_g.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    net_g = net_g.to(accelerator.device)
    ema = averaged_copy(net_g, args.ema_decay)
    averaged = cast(HSRNet, ema.module)
    optimizer = torch.optim.AdamW(
        net_g.parameters(),
        lr=args.learning_rate,
        betas=(args.adam_beta1, args.adam_beta2),
        weight_decay=args.weight_decay,
    )
    levels = net_g.levels
    net_g, optimizer = accelerator.prepare(net_g, optimizer)
    accelerator.register_for_checkpointing(ema)
    global_step = resume(accelerator, args)

    # ---- data: sample i is the same whoever draws it, so a resumed run just begins further on
    global_batch = args.train_batch_size * accelerator.num_processes
    dataset = PhotoCrops(
        args.train_data_dir,
        crop_size=args.crop_size,
        scale=args.scale,
        num_samples=args.max_train_steps * global_batch,
        seed=args.seed,
        first_index=global_step * global_batch,
        cache_images=args.cache_images,
        progress=accelerator.is_main_process,
    )
    loader = DataLoader(
        dataset, batch_size=args.train_batch_size, num_workers=args.dataloader_num_workers
    )
    loader = accelerator.prepare(loader)

    pairs = {folder: len(find_pairs(folder, args.scale)) for folder in args.validation_data_dir}
    parameters = sum(p.numel() for p in averaged.parameters())
    logger.info("***** Running training *****")
    logger.info("  parameters %d, levels %s", parameters, levels)
    logger.info("  photos %d, validation pairs %s", len(dataset.paths), sum(pairs.values()))
    logger.info("  batch per process %d, global batch %d", args.train_batch_size, global_batch)
    logger.info("  steps %d, from step %d", args.max_train_steps, global_step)

    def log(values: dict[str, float], step: int) -> None:
        accelerator.log(values, step=step)
        if accelerator.is_main_process:
            with (args.output_dir / "log.jsonl").open("a") as lines:
                lines.write(json.dumps({"step": step, **values}) + "\n")
            logger.info("step %d  %s", step, "  ".join(f"{k} {v:.5g}" for k, v in values.items()))

    if args.report_to:
        flags = {
            k: v if isinstance(v, (int, float, str, bool)) else str(v)
            for k, v in vars(args).items()
        }
        accelerator.init_trackers("hsr-hub", config=flags)

    # ---- train
    progress = tqdm(
        total=args.max_train_steps,
        initial=global_step,
        desc="steps",
        disable=not (accelerator.is_main_process and sys.stderr.isatty()),
    )
    bad_steps = 0
    loss_sum = torch.zeros((), device=accelerator.device)
    data_time, window_start, batch_wanted = 0.0, time.perf_counter(), time.perf_counter()
    steps_in_window = 0
    for batch in loader:
        data_time += time.perf_counter() - batch_wanted

        labels = crop_margin(label_pyramid(batch.float() / 255, levels), levels)
        lq = quantise(labels[0])  # the bicubic protocol: the input is the x1 label in 8 bits
        rate = learning_rate_at(global_step, args)
        for group in optimizer.param_groups:
            group["lr"] = rate

        sr = net_g(lq)
        loss = args.pixel_weight * pixel_loss([image.float() for image in sr], labels)
        accelerator.backward(loss)
        norm = accelerator.clip_grad_norm_(net_g.parameters(), args.max_grad_norm)
        if norm is None or torch.isfinite(norm):
            optimizer.step()
            ema.update_parameters(accelerator.unwrap_model(net_g))
            bad_steps = 0
        else:
            bad_steps += 1
            logger.warning("step %d: gradient not finite, step skipped", global_step + 1)
            if bad_steps == MAX_BAD_STEPS:
                raise SystemExit(
                    f"{bad_steps} steps in a row had no finite gradient; lower --learning_rate "
                    "or train without mixed precision. The last checkpoint is intact."
                )
        optimizer.zero_grad()
        global_step += 1
        steps_in_window += 1
        loss_sum += loss.detach()
        progress.update()

        if global_step % args.logging_steps == 0:
            seconds = time.perf_counter() - window_start
            log(
                {
                    "loss_g/pixel": loss_sum.item() / steps_in_window,
                    "lr": rate,
                    "seconds/step": seconds / steps_in_window,
                    "seconds/data": data_time / steps_in_window,
                },
                global_step,
            )
            loss_sum.zero_()
            data_time, steps_in_window, window_start = 0.0, 0, time.perf_counter()
        last = global_step == args.max_train_steps
        if args.validation_data_dir and (global_step % args.validation_steps == 0 or last):
            started = time.perf_counter()
            if accelerator.is_main_process:
                log(
                    validate(averaged, args.validation_data_dir, accelerator.device),
                    global_step,
                )
            accelerator.wait_for_everyone()
            window_start += time.perf_counter() - started
        if global_step % args.checkpointing_steps == 0 or last:
            save_checkpoint(accelerator, args.output_dir, global_step, args.checkpoints_total_limit)
        batch_wanted = time.perf_counter()
    progress.close()

    # ---- keep
    if accelerator.is_main_process:
        averaged.save_pretrained(args.output_dir)
        logger.info("done: %s", args.output_dir)
    accelerator.end_training()


if __name__ == "__main__":
    main()
