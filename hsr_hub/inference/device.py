"""Where to compute, and in which number type."""

from __future__ import annotations

import numpy as np
import torch

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def best_device() -> str:
    """cuda, mps, xpu or cpu: the first that is there."""
    if torch.cuda.is_available():
        return "cuda"
    if torch.backends.mps.is_available():
        return "mps"
    if torch.xpu.is_available():
        return "xpu"
    return "cpu"


def choose_dtype(
    dtype: str | torch.dtype | None, device: torch.device, depth: np.dtype
) -> torch.dtype:
    """The type of the convolutions: the one asked for, or by default the fastest that is safe.

    That is bfloat16 for 8-bit pictures where the device computes in it natively: its rounding stays
    below an 8-bit step, as the network only adds a small residual to the skip. Older NVIDIA GPUs
    get float16 instead; tiles that leave its range are computed again. Deeper pictures and float
    arrays get float32.

    Raises:
        ValueError: There is no such type.
    """
    if dtype is None:
        if depth != np.uint8:
            return torch.float32
        if _has_bfloat16(device):
            return torch.bfloat16
        return torch.float16 if device.type == "cuda" else torch.float32
    for name, known in DTYPES.items():
        if dtype in (name, known):
            return known
    raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, not {dtype!r}")


def _has_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for it; emulated, it would be slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities"):  # torch 2.10 on
        capabilities = torch.cpu.get_capabilities()
        return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
    return False
