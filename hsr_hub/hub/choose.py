"""Choose the weights for an image by looking at it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from hsr_hub.hub.bundled import DETAIL, bundled_models
from hsr_hub.images import FORMATS, ImageTraits

Kind = Literal["clean", "detail", "photo"]

REAL = "-real"
"""Suffix of the weights for degraded images."""

AUTO = "auto"
"""Code name of the automatic choice."""

LABELS = {
    AUTO: "Auto",
    "clean": "Clean original",
    "photo": "Web or phone photo",
    "detail": "More detail (partly invented)",
}
"""What visitors read, by code name."""

# `benchmarks/auto_choice.py` measures the thresholds. In doubt they lead to the weights for photos,
# which cost a clean image little, while those for clean images cost a degraded one much.
MAX_QUALITY = {"JPEG": 80, "WEBP": 45}
"""Quality by codec up to which a file is taken for compressed.

Around these qualities the weights for photos and the detail model are equally good.
"""

MIN_BLOCKINESS = 0.5
"""Lowest blockiness at which an image is taken for a JPEG that was saved again.

JPEGs of quality 95 have 0.4 on average, of quality 90 0.6.
"""

MIN_RESAVED_BLOCKINESS = 0.7
"""The same for files of a higher quality than `MAX_QUALITY`, whose own blocks are in it too."""

MIN_LUMA_NOISE = 6.0
"""Lowest noise in luma, of 255, of a noisy photo. Fine texture everywhere can look like less."""

MIN_GREY_NOISE = 3.5
"""The same for grey images, which have no chroma that would tell noise from texture."""

MIN_CHROMA_NOISE = 1.5
"""Lowest noise in chroma, of 255, of a noisy photo. Most clean photos are below 1."""

MAX_BLURRED = 0.42
"""Largest sharpness of a blurred photo: a Gaussian of one pixel leaves at most 0.4."""

MIN_REPETITION = 0.4
"""Lowest share of repeated pixels of a drawing or screenshot. Most photos are below 0.2."""

LOSSY = [name for name, entry in FORMATS.items() if entry.lossy]
"""Lossy codecs. The quality of those without an entry in `MAX_QUALITY` is not known."""


@dataclass(frozen=True)
class Choice:
    """Weights that fit an image.

    Attributes:
        kind: `"clean"` for faithful weights, `"detail"` for their detail model, or `"photo"` for
            the weights that also remove noise, blur and blocks.
        reason: A sentence for people: what was seen, and what is done.
    """

    kind: Kind
    reason: str


def choose_model(traits: ImageTraits, scale: float, names: Collection[str]) -> Choice:
    """Return the kind of weights for an image, and the reason.

    Args:
        traits: What is known about the image.
        scale: Factor of the enlargement. At 1 the image is always cleaned, because the weights for
            clean images do not change it.
        names: Weights that are at hand. Without a name in `-real` or `-detail` that kind is not
            chosen.
    """
    seen = _degradation(traits)
    drawing = traits.repetition >= MIN_REPETITION
    kind: Kind = "clean"
    if (seen or scale == 1) and any(name.endswith(REAL) for name in names):
        kind = "photo"
    elif not seen and not drawing and scale > 1 and any(name.endswith(DETAIL) for name in names):
        kind = "detail"
    clean = "Clean drawing or screenshot" if drawing else "Clean photo"
    return Choice(kind, f"{seen or clean}: {_action(kind, scale)}")


def _action(kind: Kind, scale: float) -> str:
    """Return what is done to an image, for people."""
    if scale == 1:
        return "cleaned at its size" if kind == "photo" else "kept as it is"
    resized = "enlarged" if scale > 1 else "made smaller"
    actions = {
        "clean": resized,
        "detail": f"{resized}, with some detail invented",
        "photo": f"cleaned and {resized}",
    }
    return actions[kind]


def _degradation(traits: ImageTraits) -> str | None:
    """Return what an image suffers from, for people, or None. Compression is named first."""
    if traits.codec in LOSSY:
        label, limit = FORMATS[traits.codec].label, MAX_QUALITY.get(traits.codec)
        if limit is None or traits.quality is None:
            return f"Compressed photo, {label}"
        if traits.quality <= limit:
            return f"Compressed photo, {label} about {traits.quality}"
    least = MIN_BLOCKINESS if traits.quality is None else MIN_RESAVED_BLOCKINESS
    if traits.blockiness >= least:
        return "Compressed photo, once a JPEG"
    least = MIN_LUMA_NOISE if traits.chroma_noise else MIN_GREY_NOISE
    if traits.luma_noise >= least or traits.chroma_noise >= MIN_CHROMA_NOISE:
        return "Noisy photo"
    if traits.sharpness <= MAX_BLURRED:
        return "Blurred photo"
    return None


def model_for(kind: Kind, names: Collection[str], default: str) -> str:
    """Return the code name of the weights of a kind.

    Args:
        kind: See `Choice`.
        names: Weights that are at hand.
        default: Weights for clean images that are preferred, such as `default_model(device)`.

    Returns:
        `default`, or its variant of that kind, or the first other one of that kind.
    """
    suffix = {"clean": "", "detail": DETAIL, "photo": REAL}[kind]
    fitting = sorted(name for name in names if suffix and name.endswith(suffix))
    if not fitting:
        return default
    preferred = default.removesuffix(DETAIL) + suffix
    return preferred if preferred in fitting else fitting[0]


def choose_weights(
    traits: ImageTraits, scale: float, names: Collection[str], default: str
) -> tuple[str, str]:
    """Return the code name of the weights that fit an image, and the reason for people.

    Args:
        traits: What is known about the image.
        scale: Factor of the enlargement.
        names: Weights that are at hand.
        default: Weights for clean images that are preferred, such as `default_model(device)`.
    """
    choice = choose_model(traits, scale, names)
    return model_for(choice.kind, names, default), choice.reason


def cleans(name: str) -> bool:
    """Return whether weights can remove noise, blur and blocks, so that 1x is of use.

    Bundled weights can if they end in `-real`. Nothing is known about others, so they may.
    """
    return name.endswith(REAL) or name not in bundled_models()
