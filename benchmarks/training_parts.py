"""Measure where a training step's time goes: data, labels, generator, VGG-19, LPIPS, discriminator.

    python -m benchmarks.training_parts [--stage fidelity detail] [--json FILE] [FLAG ...]

Builds what `train_accelerate.py` builds for `--preset fidelity` and `--preset detail`, and runs
every part by itself, forwards and backwards, on the crops of one batch. Milliseconds are medians
over `--repeats` runs. Other flags are those of the training script, such as `--train_batch_size 4`,
`--mixed_precision bf16` or `--flat_weight 3`. Photos are those of `train/photos-1` under HSR_DATA,
or the examples. The file of VGG-19 is that of HSR_DATA, if it is there. Nothing else should run on
the machine meanwhile.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

import train_accelerate as script
from benchmarks import common
from hsr_hub.evaluation import data_root
from hsr_hub.training.arguments import parse_args
from hsr_hub.training.data import crop_margin, label_pyramid, quantise
from hsr_hub.training.levels import LevelPairs, random_crops
from hsr_hub.training.networks import TrainingNetworks, build_networks
from hsr_hub.training.photos import open_photos
from hsr_hub.training.session import start_accelerator

VGG = "vgg19_caffe_conv1_1-conv3_4.fp16.safetensors"
STAGES = {
    "fidelity": ["--preset", "fidelity"],
    "detail": ["--preset", "detail", "--pretrained_model", "hsr-lite-x4"],
}


def training_flags(stage: str, out: str, flags: list[str]) -> argparse.Namespace:
    """Return the parsed flags of a stage; those that are given take precedence."""
    photos = data_root() / "train" / "photos-1"
    vgg = data_root() / "weights" / VGG
    line = [*STAGES[stage], "--output_dir", out, "--dataloader_num_workers", "0"]
    line += ["--train_data_dir", str(photos if photos.is_dir() else common.ROOT / "examples")]
    if stage == "detail" and vgg.is_file():
        line += ["--perceptual_weights_path", str(vgg)]
    return parse_args([*line, *flags], __doc__)


def milliseconds(device: torch.device, repeats: int, run: Callable[[], object]) -> float:
    """Return the median time of `run`, which runs once more before for caches and memory."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[1:])


def measure(args: argparse.Namespace, repeats: int) -> dict[str, float]:
    """Return the milliseconds of every part of a step, and of a whole step as `step`."""
    accelerator = start_accelerator(args)
    nets = build_networks(args, accelerator)
    loader = script.build_loader(args, accelerator, open_photos(args, accelerator), 0)
    batches = iter(loader)
    batch = next(batches)
    levels = nets.raw_g.levels

    def labels() -> tuple[Tensor, list[Tensor]]:
        gt = crop_margin(label_pyramid(batch["gt"].float() / 255, levels), levels)
        return (batch["lq"].float() / 255 if "lq" in batch else quantise(gt[0])), gt

    lq, gt = labels()
    made = [image.detach().float() for image in nets.net_g(lq)]

    def leaves() -> LevelPairs:
        """Return images that take a gradient, so that a term's backward pass ends at them."""
        return LevelPairs([image.clone().requires_grad_() for image in made], gt)

    def generator() -> None:
        images = nets.net_g(lq)
        torch.autograd.backward(images, [torch.ones_like(image) for image in images])
        nets.optimizer_g.step()
        nets.optimizer_g.zero_grad()
        nets.ema.update_parameters(nets.raw_g)

    def term(loss: Callable[[LevelPairs], Tensor]) -> Callable[[], None]:
        def run() -> None:
            with precision(accelerator, nets):
                total = loss(leaves())
            total.backward()

        return run

    def adversarial() -> None:
        pair = random_crops(*leaves(), key=0)
        script.discriminator_step(accelerator, nets, pair, args.max_grad_norm)
        assert nets.raw_d is not None
        nets.raw_d.requires_grad_(False)
        with torch.no_grad():
            real = nets.raw_d(pair.gt[-1]).float()
        script.adversarial_loss(real, nets.raw_d(pair.sr[-1]).float()).backward()
        nets.raw_d.requires_grad_(True)

    def step() -> None:
        full = LevelPairs([image.float() for image in nets.net_g(lq)], gt)
        cropped = random_crops(*full, key=0)
        if nets.net_d is not None:
            script.discriminator_step(accelerator, nets, cropped, args.max_grad_norm)
        script.generator_step(accelerator, nets, args, full, cropped, 1.0)
        nets.ema.update_parameters(nets.raw_g)

    parts: dict[str, Callable[[], object]] = {
        "data": lambda: next(batches),
        "labels": labels,
        "generator": generator,
        "pixel terms": term(
            lambda pair: torch.stack([*script.pixel_terms(args, pair).values()]).sum()
        ),
    }
    if nets.perceptual is not None:
        vgg = nets.perceptual
        parts["VGG-19"] = term(lambda pair: vgg(*random_crops(*pair, key=0)))
    if nets.lpips is not None:
        lpips = nets.lpips
        parts["LPIPS"] = term(lambda pair: lpips(*random_crops(*pair, key=0)))
    if nets.net_d is not None:
        parts["discriminator"] = adversarial
    parts["step"] = step
    return {name: milliseconds(accelerator.device, repeats, run) for name, run in parts.items()}


def precision(accelerator: Accelerator, nets: TrainingNetworks):
    """Return the precision in which the script computes VGG-19 and LPIPS."""
    device = accelerator.device.type
    return torch.autocast(device, torch.bfloat16) if nets.in_bf16 else nullcontext()


def main(argv: list[str] | None = None) -> None:
    """Print the parts of both stages and write JSON on request."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stage", nargs="+", choices=sorted(STAGES), default=[*STAGES])
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--json", type=Path)
    args, flags = parser.parse_known_args(argv)
    rows = []
    for stage in args.stage:
        with tempfile.TemporaryDirectory() as out:
            found = measure(training_flags(stage, out, flags), args.repeats)
        together = sum(found.values()) - found["step"]
        for part, value in found.items():
            share = "" if part == "step" else f"{value / together:7.0%}"
            print(f"{stage:9} {part:14} {value:10.1f} ms {share}", flush=True)
        rows.append({"stage": stage, "milliseconds": found})
    common.save(args.json, rows=rows, flags=flags)


if __name__ == "__main__":
    main()
