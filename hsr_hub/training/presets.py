"""Settings that are known to work, by the name that `--preset` takes."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

_ALL_LOSSES = {"consistency_weight": 1.0, "checkerboard_weight": 3.0}

PRESETS: dict[str, dict[str, Any]] = {
    "fidelity": {},
    "detail": {
        **_ALL_LOSSES,
        "learning_rate": 4e-4,
        "pixel_weight": 0.5,
        "adversarial_weight": 0.015,
        "strengths": [1.0, 1.0, 1.0, 0.5],
    },
    "real": {
        **_ALL_LOSSES,
        "degradation": "real",
        "crop_size": 96,
        "train_batch_size": 3,
        "learning_rate": 3e-4,
        "flat_weight": 3.0,
        "adversarial_weight": 0.005,
        "ema_decay": 0.998,
    },
}
"""Flags with their values. "fidelity" is what the script does without other flags."""

STAGE_TWO = ("detail", "real")
"""Presets that continue from weights of the pixel loss."""

CAFFE_WEIGHT = 3e-4
"""`--perceptual_weight` for VGG-19 in Caffe's convention, whose features are larger."""

TORCHVISION_WEIGHT = 0.02
"""The same for torchvision's weights. In its convention, inputs and features are 57 times smaller.

`feature_scale` compares the features themselves.
"""

LPIPS_WEIGHT = 0.4


def preset_flags(args: Namespace) -> dict[str, Any]:
    """Return the flags of `--preset` with their values, which depend on the weights at hand."""
    flags = dict(PRESETS[args.preset])
    if args.preset in STAGE_TWO:
        flags["perceptual_weight"] = (
            CAFFE_WEIGHT if args.perceptual_weights_path else TORCHVISION_WEIGHT
        )
    if args.preset == "real" and args.metric_weights:
        flags["lpips_weight"] = LPIPS_WEIGHT
    if args.train_pairs_dir:
        flags.pop("degradation", None)
    return flags


def preset_note(args: Namespace) -> str:
    """Return what a preset leaves out because of missing flags; empty if nothing."""
    if args.preset == "real" and args.lpips_weight == 0 and not args.metric_weights:
        return (
            f"--preset real: LPIPS is left out of the loss, because --metric_weights is not given; "
            f"with it, --lpips_weight would be {LPIPS_WEIGHT}"
        )
    return ""
