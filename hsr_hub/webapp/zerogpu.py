"""ZeroGPU: a Space that gets a GPU for the time of one call, which runs in a separate process.

Import this module before torch initializes CUDA. On other machines it does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

ACTIVE = os.environ.get("SPACES_ZERO_GPU", "").lower() in {"1", "t", "true"}
MAX_SECONDS = 120
"""Longest time that a call may ask for."""

if ACTIVE:
    import spaces  # pyright: ignore[reportMissingImports]  # installed only on such a Space

Function = TypeVar("Function", bound=Callable[..., Any])


def gpu_task(estimate: Callable[..., float | None]) -> Callable[[Function], Function]:
    """Decorate a function that needs the GPU.

    Args:
        estimate: Called with the function's arguments. Returns the expected seconds, or None if
            unknown. Visitors have a daily quota, and short calls are scheduled before long ones.
    """

    def decorate(function: Function) -> Function:
        if not ACTIVE:
            return function

        def duration(*args: Any, **kwargs: Any) -> int:
            seconds = estimate(*args, **kwargs)
            # Twice the average, and a margin for acquiring the GPU.
            return min(MAX_SECONDS, round(10 + 2 * (20 if seconds is None else seconds)))

        return spaces.GPU(duration=duration)(function)  # pyright: ignore

    return decorate
