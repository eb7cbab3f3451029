"""ZeroGPU: a Space whose GPU is lent for the time of one call, which runs in a process of its own.

Imported before torch touches CUDA; everywhere else it does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

ACTIVE = os.environ.get("SPACES_ZERO_GPU", "").lower() in {"1", "t", "true"}
LONGEST = 120
"""Seconds that a call may ask for."""

if ACTIVE:
    import spaces  # pyright: ignore[reportMissingImports]  (it is there on such a Space alone)

Function = TypeVar("Function", bound=Callable[..., Any])


def lent(seconds: Callable[..., float | None]) -> Callable[[Function], Function]:
    """Decorate a function that needs the GPU.

    Args:
        seconds: Gets the function's arguments and says how long it will take, if that is known.
            Visitors have so many seconds a day, and a short call is served before a long one.
    """

    def decorate(function: Function) -> Function:
        if not ACTIVE:
            return function

        def duration(*args: Any, **kwargs: Any) -> int:
            expected = seconds(*args, **kwargs)
            # Twice what it took on average, and what it takes to get hold of the GPU.
            return min(LONGEST, round(10 + 2 * (20 if expected is None else expected)))

        return spaces.GPU(duration=duration)(function)  # pyright: ignore

    return decorate
