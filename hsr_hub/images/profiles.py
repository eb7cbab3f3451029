"""Colour profiles for images that describe their colours in another way.

A PNG can give primaries and a gamma (cHRM, gAMA) or code points (cICP), and an AVIF or HEIC code
points. Only an ICC profile can be stored in every format, so one is made from them.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
from PIL import Image

COLOUR_BYTES = 1 << 16
"""Bytes at the start of a file in which its colour description is."""

D65 = (0.3127, 0.329)
SRGB_PRIMARIES = (0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
PRIMARIES = {
    1: (SRGB_PRIMARIES, D65),
    5: ((0.64, 0.33, 0.29, 0.6, 0.15, 0.06), D65),
    6: ((0.63, 0.34, 0.31, 0.595, 0.155, 0.07), D65),
    9: ((0.708, 0.292, 0.17, 0.797, 0.131, 0.046), D65),
    11: ((0.68, 0.32, 0.265, 0.69, 0.15, 0.06), (0.314, 0.351)),
    12: ((0.68, 0.32, 0.265, 0.69, 0.15, 0.06), D65),
}
"""Chromaticities x and y of red, green and blue, and of white, by the numbers of ITU-T H.273."""

SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
BT709_CURVE = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
CURVES: dict[int, tuple[float, ...]] = {
    1: BT709_CURVE,
    4: (2.2,),
    5: (2.8,),
    6: BT709_CURVE,
    8: (1.0,),
    13: SRGB_CURVE,
    14: BT709_CURVE,
    15: BT709_CURVE,
}
"""Parameters of ICC's parametric curves, by the numbers of transfer functions in H.273."""

HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
"""Transfer functions of HDR, which a profile of this kind cannot describe."""

BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
D50 = np.array([0.9642, 1.0, 0.8249])


class CodePoints(NamedTuple):
    """Colours as numbers of H.273."""

    primaries: int
    transfer: int

    @property
    def is_srgb(self) -> bool:
        """Whether the colours are those of sRGB, or unspecified."""
        return self.primaries in {0, 1, 2} and self.transfer in {0, 1, 2, 6, 13}

    def profile(self) -> bytes | None:
        """Return a profile, or None if the colours are sRGB or cannot be described by one."""
        if self.is_srgb or self.transfer in HDR_TRANSFERS:
            return None
        primaries = PRIMARIES.get(1 if self.primaries == 2 else self.primaries)
        curve = CURVES.get(13 if self.transfer == 2 else self.transfer)
        return make_profile(*primaries, curve) if primaries and curve else None


def make_profile(
    primaries: tuple[float, ...], white: tuple[float, ...], curve: tuple[float, ...]
) -> bytes | None:
    """Return an RGB profile.

    Args:
        primaries: x and y of red, green and blue.
        white: x and y of white.
        curve: A gamma, or the parameters g, a, b, c, d of sRGB's kind of curve.

    Returns:
        The profile, or None if there are no such colours.
    """
    try:
        columns = np.array([_to_xyz(*primaries[at : at + 2]) for at in (0, 2, 4)]).T
        white_xyz = np.array(_to_xyz(*white))
        matrix = columns * np.linalg.solve(columns, white_xyz)
    except (ZeroDivisionError, np.linalg.LinAlgError):
        return None
    cones = np.diag((BRADFORD @ D50) / (BRADFORD @ white_xyz))
    adapted = np.linalg.inv(BRADFORD) @ cones @ BRADFORD @ matrix
    if not (np.isfinite(adapted).all() and np.abs(adapted).max() < 4):
        return None
    names = (b"rXYZ", b"gXYZ", b"bXYZ")
    tags = {name: _xyz(column) for name, column in zip(names, adapted.T, strict=True)}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _curve(curve))
    return _join(tags, b"RGB ")


def make_grey_profile(curve: tuple[float, ...]) -> bytes:
    """Return a grey profile; see `make_profile` for the curve."""
    return _join({b"kTRC": _curve(curve)}, b"GRAY")


def find_code_points(image: Image.Image, head: bytes) -> CodePoints | None:
    """Return the code points of an opened PNG, AVIF or HEIC, or None.

    Args:
        image: The file as Pillow opened it.
        head: The first `COLOUR_BYTES` of the file.
    """
    if image.format == "PNG":
        at = head.find(b"\0\0\0\4cICP") + 8
        return CodePoints(head[at], head[at + 1]) if at >= 8 and at + 2 <= len(head) else None
    if image.format == "AVIF":
        at = head.find(b"colrnclx") + 8
        found = at >= 8 and at + 4 <= len(head)
        return CodePoints(*struct.unpack_from(">2H", head, at)) if found else None
    nclx = image.info.get("nclx_profile")
    if image.format == "HEIF" and isinstance(nclx, dict):
        numbers = nclx.get("color_primaries", 2), nclx.get("transfer_characteristics", 2)
        return CodePoints(*(int(number) for number in numbers))
    return None


def find_profile(image: Image.Image, points: CodePoints | None, *, grey: bool) -> bytes | None:
    """Return a profile for an opened image without one, or None for sRGB.

    Args:
        image: The file as Pillow opened it.
        points: Its code points.
        grey: Whether its pixels are grey.
    """
    if points is not None:
        return None if grey else points.profile()
    info = image.info
    gamma, chromaticity = info.get("gamma"), info.get("chromaticity")
    if image.format != "PNG" or "srgb" in info or not isinstance(gamma, float) or gamma <= 0:
        return None
    usual = abs(gamma - 0.45455) < 0.01
    curve = SRGB_CURVE if usual else (min(max(1 / gamma, 0.1), 10.0),)
    if grey:
        return None if usual else make_grey_profile(curve)
    white, primaries = D65, SRGB_PRIMARIES
    if isinstance(chromaticity, tuple) and len(chromaticity) == 8:
        white, primaries = chromaticity[:2], chromaticity[2:]
    if usual and np.abs(np.subtract(primaries, SRGB_PRIMARIES)).max() < 0.002:
        return None
    return make_profile(primaries, white, curve)


def _curve(parameters: tuple[float, ...]) -> bytes:
    kind = 0 if len(parameters) == 1 else 3
    return b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + b"".join(map(_fixed, parameters))


def _join(tags: dict[bytes, bytes], space: bytes) -> bytes:
    """Return an ICC profile of version 4 with these tags and the ones that all need."""
    text = "made from the image's own colour description".encode("utf-16-be")
    words = b"mluc\0\0\0\0" + struct.pack(">II4sII", 1, 12, b"enUS", len(text), 28) + text
    tags = {b"desc": words, b"cprt": words, b"wtpt": _xyz(D50), **tags}
    at = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    places: dict[bytes, int] = {}
    for name, data in tags.items():
        if data not in places:
            places[data] = at + len(body)
            body += data + bytes(-len(data) % 4)
        table += name + struct.pack(">II", places[data], len(data))
    header = struct.pack(
        ">I4xI4s4s4s12x4s28x", at + len(body), 0x04300000, b"mntr", space, b"XYZ ", b"acsp"
    )
    header += b"".join(map(_fixed, D50))
    return header.ljust(128, b"\0") + table + body


def _to_xyz(x: float, y: float) -> tuple[float, float, float]:
    return x / y, 1.0, (1 - x - y) / y


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _xyz(values: np.ndarray) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(map(_fixed, values))
