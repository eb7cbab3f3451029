"""The flags of `train_accelerate.py` with their defaults and help texts."""

from __future__ import annotations

import argparse
from pathlib import Path

from hsr_hub.training.presets import PRESETS


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Adds to each help text the default, if there is one to show."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        default = action.default
        if action.help is None or default in (None, argparse.SUPPRESS, []):
            return action.help
        if isinstance(default, bool):  # of a switch, which is off
            return action.help
        values = default if isinstance(default, list) else [default]
        shown = " ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values)
        return f"{action.help} (default: {shown})"


def build_parser(description: str | None) -> argparse.ArgumentParser:
    """Return the parser with all flags."""
    parser = argparse.ArgumentParser(description=description, formatter_class=HelpFormatter)
    add = parser.add_argument
    add("--output_dir", type=Path, help="Folder for checkpoints and the result.")
    add(
        "--preset",
        choices=sorted(PRESETS),
        help="Settings that are known to work: 'fidelity' is the pixel loss alone; 'detail' and "
        "'real' use all losses, on clean and on degraded images, and start from --pretrained_model."
        " Other flags take precedence.",
    )
    add("--seed", type=int, default=0, help="Seed of the initial weights and of all crops.")
    _add_network(parser)
    _add_data(parser)
    _add_losses(parser)
    _add_optimization(parser)
    _add_tracking(parser)
    return parser


def _add_network(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "network (see HSRNet)",
        "Without these flags, it is that of --pretrained_model, else that of hsr-lite-x4.",
    )
    add = group.add_argument
    add(
        "--scale",
        type=int,
        default=4,
        choices=[2, 3, 4, 8],
        help="Factor of the last level. Every lower level is trained too.",
    )
    add("--kernel_sizes", nargs="+", type=int, help="Odd kernel size of every branch.")
    add("--widths", nargs="+", type=int, help="Channels of every branch.")
    add("--dilations", nargs=3, type=int, help="Dilations within every branch.")
    add("--fusion_width", type=int, help="Channels of the fused features.")
    add(
        "--reconstruction_widths",
        nargs="+",
        type=int,
        help="Channels of every level above x1.",
    )
    add(
        "--pretrained_model",
        "--pretrained_model_name_or_path",
        help="Start from these weights: a Hub id, a folder or the name of a bundled model.",
    )
    add("--revision", help="Branch, tag or commit of --pretrained_model on the Hub.")
    add(
        "--discriminator_width",
        type=int,
        default=64,
        help="Channels of the discriminator's first block. VGG-13 has 64.",
    )
    add(
        "--pretrained_discriminator",
        "--discriminator_start",
        type=Path,
        help="Start the discriminator from a checkpoint of an adversarial run, or from its "
        "safetensors file.",
    )


def _add_data(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("data").add_argument
    add(
        "--train_data_dir",
        nargs="+",
        type=Path,
        default=[],
        help="Folders of training photographs. Subfolders are searched too.",
    )
    add(
        "--train_pairs_dir",
        nargs="+",
        type=Path,
        default=[],
        help="Folders with HR/ and LRx{scale}/, for low-resolution images of your own.",
    )
    add(
        "--dataset_name",
        help="Data set of photographs: a Hub id, or a folder that the datasets library loads.",
    )
    add("--dataset_config_name", help="Configuration of --dataset_name.")
    add("--dataset_split", default="train", help="Split of --dataset_name.")
    add("--dataset_revision", help="Branch, tag or commit of --dataset_name.")
    add("--image_column", help="Column of images. The default is the first one.")
    add("--max_train_samples", type=int, help="Use no more photos of --dataset_name than this.")
    add(
        "--streaming",
        action="store_true",
        help="Read --dataset_name while training, without a download first. Photos are shuffled "
        "within a buffer only, and a resumed run is not the same to the bit.",
    )
    add("--crop_size", type=int, default=128, help="Side of the crops in ground-truth pixels.")
    add("--train_batch_size", type=int, default=16, help="Crops per process and batch.")
    add(
        "--degradation",
        choices=["bicubic", "real"],
        default="bicubic",
        help="How low-resolution images are made. 'bicubic' only scales down; 'real' adds blur, "
        "noise and compression as photos from phones and web sites have them.",
    )
    add(
        "--dataloader_num_workers",
        type=int,
        help="Processes that decode photos. The default is 2, or 0 with --cache_images.",
    )
    add(
        "--cache_images",
        nargs="?",
        const="memory",
        choices=["memory", "device"],
        help="Keep the decoded photos in main memory, or on the device.",
    )


def _add_losses(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("losses: L_G is the weighted sum of these terms").add_argument
    add("--pixel_weight", type=float, default=1.0, help="Weight of the pixel loss.")
    add(
        "--perceptual_weight",
        type=float,
        default=0.0,
        help="Weight of the difference in VGG-19 features. At 0 VGG-19 is not loaded.",
    )
    add(
        "--adversarial_weight",
        type=float,
        default=0.0,
        help="Weight of the adversarial loss. At 0 no discriminator is trained.",
    )
    add(
        "--consistency_weight",
        type=float,
        default=0.0,
        help="Weight of the difference between the input and the result scaled down to its size.",
    )
    add(
        "--checkerboard_weight",
        "--grid_weight",
        type=float,
        default=0.0,
        help="Weight of errors that repeat with every input pixel.",
    )
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
    add(
        "--perceptual_layers",
        default="conv1_2:0.1,conv2_2:0.1,conv3_4:1",
        help="Convolutions of VGG-19 with their weights.",
    )
    add(
        "--perceptual_levels",
        choices=["all", "upper"],
        default="all",
        help="Levels that VGG-19 compares. 'upper' leaves the x1 level to the pixel loss.",
    )
    add(
        "--perceptual_weights_path",
        type=Path,
        help="Safetensors file of VGG-19: torchvision's weights, or others in Caffe's convention. "
        "By default torchvision's are downloaded.",
    )
    add(
        "--strengths",
        nargs="+",
        type=float,
        default=[1.0],
        help="Mixing strengths, one per step in turn. A step at 0.5 trains the mean of these "
        "weights and those of --pretrained_model.",
    )
    add(
        "--pixel_steps",
        type=int,
        default=0,
        help="Steps before the perceptual, LPIPS and adversarial losses begin.",
    )


def _add_optimization(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("optimization").add_argument
    add("--max_train_steps", type=int, default=10_000, help="Optimizer steps of the whole run.")
    add(
        "--num_train_epochs",
        type=int,
        help="Length of the run in passes over the photos, one crop of each per pass, instead of "
        "--max_train_steps.",
    )
    add(
        "--gradient_accumulation_steps",
        type=int,
        default=1,
        help="Batches per optimizer step. The adversarial loss takes its means within a batch.",
    )
    add("--optimizer", choices=["adamw", "sgd"], default="adamw", help="Optimizer of G and D.")
    add("--learning_rate", type=float, default=2e-3, help="Highest learning rate of G.")
    add(
        "--discriminator_learning_rate",
        type=float,
        default=1e-4,
        help="Highest learning rate of D.",
    )
    add(
        "--lr_scheduler",
        choices=["cosine", "linear", "constant", "constant_with_warmup"],
        default="cosine",
        help="Learning rate after the warm-up. 'constant' has no warm-up.",
    )
    add("--lr_warmup_steps", type=int, default=100, help="Steps of linear warm-up.")
    add("--adam_beta1", type=float, default=0.9, help="Decay of AdamW's mean gradient.")
    add("--adam_beta2", type=float, default=0.99, help="Decay of AdamW's mean squared gradient.")
    add(
        "--weight_decay",
        "--adam_weight_decay",
        type=float,
        default=0.0,
        help="Weight decay of G and D.",
    )
    add("--adam_epsilon", type=float, default=1e-8, help="AdamW's epsilon.")
    add(
        "--max_grad_norm",
        type=float,
        default=0.5,
        help="Longer gradients are clipped to this norm. The log has the norms before clipping.",
    )
    add("--ema_decay", type=float, default=0.999, help="Decay of the averaged weights.")
    add(
        "--mixed_precision",
        choices=["no", "fp16", "bf16"],
        help="By default that of `accelerate launch` or `accelerate config`.",
    )
    add("--allow_tf32", action="store_true", help="Let GPUs from Ampere on multiply in TF32.")
    add("--compile", action="store_true", help="Compile G's forward pass with torch.compile.")


def _add_tracking(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("validation, checkpoints and publishing").add_argument
    add(
        "--validation_data_dir",
        nargs="+",
        type=Path,
        default=[],
        help="Test sets: folders with HR/ and LRx{scale}/.",
    )
    add(
        "--validation_dataset_name",
        help="Data set of the Hub to validate on. It is written into --output_dir, and its images "
        "are scaled down by bicubic.",
    )
    add(
        "--validation_dataset_split",
        default="validation",
        help="Split of --validation_dataset_name.",
    )
    add("--validation_steps", type=int, default=500, help="Steps between validations.")
    add("--metric_weights", type=Path, help="Folder with the weights of LPIPS.")
    add(
        "--patience",
        type=int,
        help="Stop after this many validations without improvement of --patience_metric.",
    )
    add(
        "--patience_metric",
        choices=["loss", "lpips"],
        default="loss",
        help="What tells the best validation: L_G without the adversarial term, or LPIPS, which "
        "needs --metric_weights.",
    )
    add(
        "--save_last",
        action="store_true",
        help="Save the averaged weights of the last step, not those that validated best.",
    )
    add("--logging_steps", type=int, default=50, help="Steps between lines of the log.")
    add("--checkpointing_steps", type=int, default=500, help="Steps between checkpoints.")
    add("--checkpoints_total_limit", type=int, default=2, help="Checkpoints to keep.")
    add("--resume_from_checkpoint", help="A checkpoint folder, or 'latest'.")
    add("--report_to", help="A tracker that Accelerate knows, such as tensorboard or wandb.")
    add(
        "--push_to_hub",
        action="store_true",
        help="Publish the result. Log in with `hf auth login` first. The repository is made, and "
        "the right to write checked, before the first step.",
    )
    add(
        "--push_checkpoints",
        action="store_true",
        help="With --push_to_hub: also publish the averaged weights of every checkpoint.",
    )
    add(
        "--hub_model_id",
        help="Repository to publish to, as org/name. The default is the name of --output_dir.",
    )
    add(
        "--hub_license",
        help="Licence of the weights, such as cc-by-4.0. The default is that of an earlier card, "
        "else apache-2.0.",
    )
    add("--hub_private_repo", action="store_true", help="Make a new repository private.")
    add(
        "--hub_dataset_ids",
        nargs="+",
        default=[],
        help="Hub ids of the photographs, for the model card. --dataset_name is added.",
    )
    add(
        "--data_credits",
        type=Path,
        help="Markdown file with the photographs' sources and licences, for the model card.",
    )
