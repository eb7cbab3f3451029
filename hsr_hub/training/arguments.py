"""The flags of `train_accelerate.py`, in the dialect of the diffusers scripts."""

from __future__ import annotations

import argparse
from pathlib import Path

from hsr_hub.training.losses import parse_layers


def parse_args(argv: list[str] | None, description: str | None) -> argparse.Namespace:
    """The command line, checked as far as that is possible without reading a file."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--train_data_dir", nargs="+", type=Path, required=True, help="folders of photographs")
    add("--output_dir", type=Path, required=True)
    add("--seed", type=int, default=0)

    add = parser.add_argument_group("network (see HSRNet)").add_argument
    add("--scale", type=int, default=4, choices=[2, 3, 4, 8])
    add("--kernel_sizes", nargs="+", type=int, help="odd; one branch each")
    add("--widths", nargs="+", type=int, help="one per kernel size")
    add("--dilations", nargs=3, type=int)
    add("--fusion_width", type=int)
    add("--reconstruction_widths", nargs="+", type=int, help="one per level above x1")
    add("--pretrained_model", help="start from these weights (Hub id, folder, shipped name)")
    add("--discriminator_width", type=int, default=64, help="VGG-13's is 64")

    add = parser.add_argument_group("data").add_argument
    add("--crop_size", type=int, default=128, help="ground-truth pixels")
    add("--train_batch_size", type=int, default=16, help="per process")
    add("--degradation", choices=["bicubic", "real"], default="bicubic")
    add("--dataloader_num_workers", type=int, help="default: 2, or 0 with --cache_images")
    add(
        "--cache_images",
        nargs="?",
        const="memory",
        choices=["memory", "device"],
        help="keep decoded photos as uint8 in main memory, or on the device",
    )

    add = parser.add_argument_group("losses: L_G = pixel + perceptual + adversarial").add_argument
    add("--pixel_weight", type=float, default=1.0)
    add("--perceptual_weight", type=float, default=0.0)
    add("--adversarial_weight", type=float, default=0.0)
    add("--consistency_weight", type=float, default=0.0, help="of the result, scaled down again")
    add("--grid_weight", type=float, default=0.0, help="of errors that come with every input pixel")
    add(
        "--flat_weight",
        type=float,
        default=0.0,
        help="Weight of an extra pixel loss where the labels are flat. It removes grain there.",
    )
    add(
        "--lpips_weight",
        type=float,
        default=0.0,
        help="Weight of LPIPS (SqueezeNet) of the last level. It needs --metric_weights. The "
        "resulting weights score better by LPIPS than they look.",
    )
    add("--perceptual_layers", default="conv1_2:0.1,conv2_2:0.1,conv3_4:1", help="of VGG-19")
    add("--perceptual_weights_path", type=Path, help="safetensors, Caffe's; else torchvision's")
    add("--strengths", nargs="+", type=float, default=[1.0], help="of steps in turn, see README")
    add("--pixel_steps", type=int, default=0, help="steps of pixel loss alone before the others")

    add = parser.add_argument_group("optimisation").add_argument
    add("--max_train_steps", type=int, default=10_000)
    add(
        "--gradient_accumulation_steps",
        type=int,
        default=1,
        help="batches per step; the adversarial loss takes its means within a batch",
    )
    add("--optimizer", choices=["adamw", "sgd"], default="adamw")
    add("--learning_rate", type=float, default=2e-3)
    add("--discriminator_learning_rate", type=float, default=1e-4)
    add("--lr_warmup_steps", type=int, default=100)
    add("--adam_beta1", type=float, default=0.9)
    add("--adam_beta2", type=float, default=0.99)
    add("--weight_decay", type=float, default=0.0)
    add("--max_grad_norm", type=float, default=0.5)
    add("--ema_decay", type=float, default=0.999)
    add("--compile", action="store_true", help="torch.compile the generator's training forward")

    add = parser.add_argument_group("watching, keeping, publishing").add_argument
    add("--validation_data_dir", nargs="+", type=Path, default=[], help="with HR/ and LRx{scale}/")
    add("--validation_steps", type=int, default=500)
    add("--metric_weights", type=Path, help="folder of LPIPS weights")
    add("--patience", type=int, help="stop after so many validations without a lower L_G")
    add("--logging_steps", type=int, default=50)
    add("--checkpointing_steps", type=int, default=500)
    add("--checkpoints_total_limit", type=int, default=2)
    add("--resume_from_checkpoint", help="a checkpoint folder, or 'latest'")
    add("--report_to", help="a tracker that Accelerate knows: tensorboard, wandb, ...")
    add("--push_to_hub", action="store_true", help="publish at the end (token: hf auth login)")
    add("--hub_model_id", help="org/name")
    add("--hub_private_repo", action="store_true", help="a new repository is private")
    add("--hub_dataset_ids", nargs="+", default=[], help="the photos' own Hub ids, for the card")
    add("--data_credits", type=Path, help="Markdown for the card: the photos' sources, licences")
    args = parser.parse_args(argv)

    if args.crop_size % args.scale:
        parser.error(f"--crop_size {args.crop_size} is not a multiple of --scale {args.scale}")
    at_least_one = "crop_size train_batch_size max_train_steps validation_steps logging_steps "
    at_least_one += "checkpointing_steps checkpoints_total_limit gradient_accumulation_steps"
    for name in at_least_one.split():
        if getattr(args, name) < 1:
            parser.error(f"--{name} must be at least 1")
    if args.patience is not None and not args.validation_data_dir:
        parser.error("--patience counts validations: name a folder with --validation_data_dir")
    if args.patience is not None and args.patience < 1:
        parser.error("--patience must be at least 1")
    if args.lpips_weight > 0 and not args.metric_weights:
        parser.error("--lpips_weight needs the weights of LPIPS: add --metric_weights FOLDER")
    if args.push_to_hub and not args.hub_model_id:
        parser.error("--push_to_hub needs --hub_model_id org/name")
    if not all(0 < strength <= 1 for strength in args.strengths):
        parser.error(f"--strengths must lie above 0 and up to 1, not {args.strengths}")
    if args.strengths != [1.0] and not args.pretrained_model:
        parser.error("--strengths mixes with the weights of --pretrained_model: name them")
    if args.data_credits and not args.data_credits.is_file():
        parser.error(f"--data_credits: there is no file {args.data_credits}")
    if args.cache_images == "device" and args.dataloader_num_workers:
        parser.error("--cache_images device cuts crops on the device: no --dataloader_num_workers")
    if args.dataloader_num_workers is None:
        # Decoding beside the step; crops out of decoded photos cost less than handing them over.
        args.dataloader_num_workers = 0 if args.cache_images else 2
    try:
        args.perceptual_layers = parse_layers(args.perceptual_layers)
    except ValueError as error:
        parser.error(f"--perceptual_layers: {error}")
    return args
