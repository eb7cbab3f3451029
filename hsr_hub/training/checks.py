"""What flags must be and how they fit together, as far as that is known without reading a file."""

from __future__ import annotations

import argparse
import math

from hsr_hub.training.presets import STAGE_TWO

AT_LEAST_ONE = (
    "crop_size",
    "train_batch_size",
    "max_train_steps",
    "validation_steps",
    "logging_steps",
    "checkpointing_steps",
    "checkpoints_total_limit",
    "gradient_accumulation_steps",
    "discriminator_width",
    "max_train_samples",
    "num_train_epochs",
    "patience",
)
NOT_NEGATIVE = (
    "learning_rate",
    "discriminator_learning_rate",
    "lr_warmup_steps",
    "weight_decay",
    "pixel_steps",
    "dataloader_num_workers",
)
BELOW_ONE = ("adam_beta1", "adam_beta2", "ema_decay")
POSITIVE = ("adam_epsilon", "max_grad_norm")
LARGEST_SEED = 2**32 - 1


def check_args(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End the program with a message if values are out of range or do not fit together."""
    if args.output_dir is None:
        parser.error("--output_dir is missing: the folder for checkpoints and the result")
    _check_data(parser, args)
    if args.preset in STAGE_TWO and not args.pretrained_model:
        parser.error(
            f"--preset {args.preset} continues from weights of the pixel loss: add "
            "--pretrained_model with the --output_dir of a run with --preset fidelity, or a "
            "bundled model such as hsr-lite-x4"
        )
    if args.revision and not args.pretrained_model:
        parser.error("--revision belongs to --pretrained_model: add that flag")
    if args.crop_size % args.scale:
        parser.error(f"--crop_size {args.crop_size} is not a multiple of --scale {args.scale}")
    _check_ranges(parser, args)
    validates = args.validation_data_dir or args.validation_dataset_name
    if args.patience is not None and not validates:
        parser.error("--patience counts validations: add --validation_data_dir FOLDER")
    for flag, needed in (
        ("--lpips_weight", args.lpips_weight > 0),
        ("--patience_metric lpips", args.patience_metric == "lpips"),
    ):
        if needed and not args.metric_weights:
            parser.error(f"{flag} needs the weights of LPIPS: add --metric_weights FOLDER")
    _check_losses(parser, args)
    if args.pretrained_discriminator and args.adversarial_weight == 0:
        parser.error("--pretrained_discriminator needs a discriminator: add --adversarial_weight")
    if args.push_checkpoints and not args.push_to_hub:
        parser.error("--push_checkpoints goes with --push_to_hub: add that flag")
    if not all(0 < strength <= 1 for strength in args.strengths):
        parser.error(f"--strengths must be above 0 and at most 1, not {args.strengths}")
    if args.strengths != [1.0] and not args.pretrained_model:
        parser.error("--strengths mixes with the weights of --pretrained_model: add that flag")
    if args.data_credits and not args.data_credits.is_file():
        parser.error(f"--data_credits: there is no file {args.data_credits}")
    if args.cache_images == "device" and args.dataloader_num_workers:
        parser.error("--cache_images device works without workers: --dataloader_num_workers 0")


def _check_ranges(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End the program if a number is out of range."""
    ranges = (
        (AT_LEAST_ONE, lambda value: value >= 1, "at least 1"),
        (NOT_NEGATIVE, lambda value: 0 <= value < math.inf, "at least 0"),
        (BELOW_ONE, lambda value: 0 <= value < 1, "at least 0 and below 1"),
        (POSITIVE, lambda value: value > 0, "above 0"),
        (("seed",), lambda value: 0 <= value <= LARGEST_SEED, f"from 0 to {LARGEST_SEED}"),
    )
    for names, is_valid, wanted in ranges:
        for name in names:
            value = getattr(args, name)
            if value is not None and not is_valid(value):
                parser.error(f"--{name} must be {wanted}, not {value}")


SOURCES = ("train_data_dir", "train_pairs_dir", "dataset_name")
OF_DATASET = (
    "dataset_config_name",
    "dataset_revision",
    "max_train_samples",
    "streaming",
)


def _check_data(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End the program unless the flags name one source of photographs, and fit it."""
    given = [f"--{name}" for name in SOURCES if getattr(args, name)]
    if len(given) != 1:
        parser.error(
            "no photographs: add --train_data_dir FOLDER, --dataset_name ORG/NAME or "
            "--train_pairs_dir FOLDER"
            if not given
            else f"{' and '.join(given)} exclude each other: choose one"
        )
    for name in OF_DATASET:
        if getattr(args, name) and not args.dataset_name:
            parser.error(f"--{name} belongs to --dataset_name: add that flag or leave this one out")
    if args.train_pairs_dir and args.degradation != "bicubic":
        parser.error("--degradation has no effect on --train_pairs_dir: leave it out")
    if args.streaming and args.cache_images:
        parser.error("--streaming keeps no photos: leave out --cache_images")
    if args.streaming and args.num_train_epochs:
        parser.error("the length of a stream is not known: use --max_train_steps")
    if args.streaming and (args.dataloader_num_workers or 0) > 1:
        parser.error("--streaming reads in one process: --dataloader_num_workers 0 or 1")


PIXEL_TERMS = ("pixel_weight", "consistency_weight", "checkerboard_weight", "flat_weight")
"""Weights of the losses in `losses.py`, which need no other network."""

OTHER_TERMS = ("perceptual_weight", "lpips_weight", "adversarial_weight")
"""Weights of the losses that other networks compute."""

CONSISTENCY_SIDE = 5
"""Smallest x1 crop that `consistency_loss` can compare; it leaves out two pixels on each side."""

LPIPS_SIDE = 17
"""Smallest image that SqueezeNet takes."""


def _check_losses(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End the program if the losses are not defined for these weights and crops."""
    for name in (*PIXEL_TERMS, *OTHER_TERMS):
        if not getattr(args, name) >= 0:
            parser.error(f"--{name} must be at least 0, not {getattr(args, name)}")
    has_pixel_term = any(getattr(args, name) > 0 for name in PIXEL_TERMS)
    if not has_pixel_term and not any(getattr(args, name) > 0 for name in OTHER_TERMS):
        parser.error("all weights of losses are 0: set --pixel_weight")
    if not has_pixel_term and args.pixel_steps > 0:
        parser.error("--pixel_steps needs a loss of its own: set --pixel_weight")
    smallest = CONSISTENCY_SIDE * args.scale
    if args.consistency_weight > 0 and args.crop_size < smallest:
        parser.error(
            f"--crop_size {args.crop_size} is too small for --consistency_weight at --scale "
            f"{args.scale}: use at least {smallest}"
        )
    # The crop that LPIPS sees is smaller by scale - 1; see `random_crops`.
    smallest = -(-(LPIPS_SIDE + args.scale - 1) // args.scale) * args.scale
    if args.lpips_weight > 0 and args.crop_size < smallest:
        parser.error(
            f"--crop_size {args.crop_size} is too small for --lpips_weight at --scale "
            f"{args.scale}: use at least {smallest}"
        )
