"""The device to compute on, and the number type of the convolutions."""

from __future__ import annotations

import numpy as np
import torch

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def best_device() -> str:
    """Return the first available device of cuda, mps, xpu and cpu."""
    if torch.cuda.is_available():
        return "cuda"
    if torch.backends.mps.is_available():
        return "mps"
    if torch.xpu.is_available():
        return "xpu"
    return "cpu"


def parse_dtype(dtype: str | torch.dtype) -> torch.dtype:
    """Return the torch type of a name such as "bfloat16".

    Raises:
        ValueError: The type is not one of `DTYPES`.
    """
    for name, known in DTYPES.items():
        if dtype in (name, known):
            return known
    raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, not {dtype!r}")


def choose_dtype(
    dtype: str | torch.dtype | None, device: torch.device, depth: np.dtype
) -> torch.dtype:
    """Return the number type of the convolutions.

    The default is the fastest type that is safe. For 8-bit images that is bfloat16, on devices with
    native instructions for it. Its rounding error is below an 8-bit step, because the network only
    adds a small residual to the skip. Older NVIDIA GPUs get float16, and tiles that overflow are
    computed again in float32. 16-bit and float images get float32.

    Args:
        dtype: The type to use, or None for the default.
        device: The device of the network.
        depth: The type of the image's array.

    Raises:
        ValueError: The type is not one of `DTYPES`.
    """
    if dtype is not None:
        return parse_dtype(dtype)
    if depth != np.uint8:
        return torch.float32
    if _has_bfloat16(device):
        return torch.bfloat16
    return torch.float16 if device.type == "cuda" else torch.float32


def _has_bfloat16(device: torch.device) -> bool:
    """Return whether the device has bfloat16 instructions; emulation is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities"):  # since torch 2.10
        capabilities = torch.cpu.get_capabilities()
        return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
    return False
