"""Sizes of results, and the level of the network for a size."""

from __future__ import annotations


def check_scale_and_size(scale: float | None, size: tuple[int, int] | None) -> None:
    """Raise if scale and size are both given, or one is not positive.

    Raises:
        ValueError: See above.
    """
    if scale is not None and size is not None:
        raise ValueError(f"give either scale or size, not both: scale={scale!r}, size={size!r}")
    try:
        bad = size is not None and (len(size) != 2 or any(s != int(s) or s < 1 for s in size))
    except (TypeError, ValueError, OverflowError):  # no pair, no numbers, or not finite
        bad = True
    if bad:
        raise ValueError(f"size must be (width, height), two positive whole numbers, not {size!r}")
    if scale is not None and not 0 < scale <= 1e6:  # also refuses NaN
        raise ValueError(f"scale must be a positive number up to a million, not {scale!r}")


def target_size(
    source: tuple[int, int],
    *,
    scale: float | None = None,
    size: tuple[int, int] | None = None,
    default: float = 1,
) -> tuple[int, int]:
    """Return the (width, height) of a result.

    Args:
        source: (width, height) of the source.
        scale: Factor from source to result.
        size: (width, height) of the result, in place of a factor.
        default: The factor if neither is given.

    Raises:
        ValueError: Both are given, or one is not positive.
    """
    check_scale_and_size(scale, size)
    if size is not None:
        return int(size[0]), int(size[1])
    return _scaled(source, default if scale is None else scale)


def fit_size(
    source: tuple[int, int],
    *,
    width: int | None = None,
    height: int | None = None,
    longest: int | None = None,
) -> tuple[int, int]:
    """Return the largest (width, height) that keeps the aspect ratio and all given limits.

    Args:
        source: (width, height) of the source.
        width: Largest width.
        height: Largest height.
        longest: Largest length of the longer side.

    Raises:
        ValueError: No limit is given, or one is not positive.
    """
    limits = [(width, source[0]), (height, source[1]), (longest, max(source))]
    factors = [limit / side for limit, side in limits if limit is not None]
    if not factors or min(factors) <= 0:
        raise ValueError(
            "give a positive width, height or longest side, "
            f"not width={width!r}, height={height!r}, longest={longest!r}"
        )
    return _scaled(source, min(factors))


def choose_level(levels: list[int], source: tuple[int, int], target: tuple[int, int]) -> int:
    """Return the smallest level whose result is at least as large as the target, or the last.

    Args:
        levels: Factors of the network's levels, ascending.
        source: (width, height) of the source.
        target: (width, height) of the result.
    """
    for level in levels:
        if all(s * level >= t for s, t in zip(source, target, strict=True)):
            return level
    return levels[-1]


def _scaled(source: tuple[int, int], factor: float) -> tuple[int, int]:
    return max(1, round(source[0] * factor)), max(1, round(source[1] * factor))
