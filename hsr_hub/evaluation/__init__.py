"""Test sets, metrics, and `evaluate`, which measures a network on a test set."""

from hsr_hub.evaluation.datasets import data_root, find_pairs, read_pair
from hsr_hub.evaluation.lpips import LpipsSqueeze
from hsr_hub.evaluation.metrics import (
    colour_drift,
    consistency,
    flat_noise,
    luma,
    psnr_y,
    ssim_y,
)
from hsr_hub.evaluation.runner import Metrics, evaluate, peak_memory_mib, table

__all__ = [
    "LpipsSqueeze",
    "Metrics",
    "colour_drift",
    "consistency",
    "data_root",
    "evaluate",
    "find_pairs",
    "flat_noise",
    "luma",
    "peak_memory_mib",
    "psnr_y",
    "read_pair",
    "ssim_y",
    "table",
]
