"""Sizes of results, and the level of the network that a size needs."""

from __future__ import annotations


def target_size(
    source: tuple[int, int],
    *,
    scale: float | None = None,
    size: tuple[int, int] | None = None,
    default: float = 1,
) -> tuple[int, int]:
    """(width, height) of the result for a source of (width, height).

    Raises:
        ValueError: Both a scale and a size, or one that is not positive.
    """
    if scale is not None and size is not None:
        raise ValueError("give either scale or size, not both")
    if size is not None:
        if len(size) != 2 or any(s != int(s) or s < 1 for s in size):
            raise ValueError(f"size must be two positive whole numbers, not {size!r}")
        return int(size[0]), int(size[1])
    factor = default if scale is None else scale
    if not (0 < factor <= 1e6):  # false for NaN too
        raise ValueError(f"scale must be a positive number up to a million, not {scale!r}")
    return max(1, round(source[0] * factor)), max(1, round(source[1] * factor))


def fit_size(
    source: tuple[int, int],
    *,
    width: int | None = None,
    height: int | None = None,
    longest: int | None = None,
) -> tuple[int, int]:
    """(width, height) of a result that keeps the source's aspect ratio.

    Args:
        source: Its (width, height).
        width: At most this wide.
        height: At most this high.
        longest: The longer side at most this long. One of the three is met.

    Raises:
        ValueError: None was given, or one that is not positive.
    """
    limits = [(width, source[0]), (height, source[1]), (longest, max(source))]
    factors = [limit / side for limit, side in limits if limit is not None]
    if not factors or min(factors) <= 0:
        raise ValueError("give a positive width, height or longest side")
    factor = min(factors)
    return max(1, round(source[0] * factor)), max(1, round(source[1] * factor))


def choose_level(levels: list[int], source: tuple[int, int], target: tuple[int, int]) -> int:
    """The smallest level whose result is at least as large as the target, or the last."""
    for level in levels:
        if all(s * level >= t for s, t in zip(source, target, strict=True)):
            return level
    return levels[-1]
