"""Draw crops side by side: eyes, fur, leaves, brick, text and sky.

The images are samples of scikit-image and scikit-learn that may be shown anywhere, in full size.
Print `CREDIT` below them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from benchmarks.degradation_protocol import degrade

SCALE = 4
CROPS = [
    ("chelsea", (118, 78, 226, 150)),  # eyes
    ("chelsea", (100, 4, 208, 76)),  # fur
    ("china.jpg", (330, 338, 438, 410)),  # leaves
    ("brick", (200, 200, 308, 272)),
    ("page", (2, 2, 110, 74)),  # text
    ("china.jpg", (150, 14, 258, 86)),  # sky
]
"""Name of an image, and the part that is shown: left, top, right, bottom."""

CREDIT = (
    "by Stéfan van der Walt (cat, CC0), danielbuechele (pagoda, CC BY 2.0), scikit-image "
    "(text) and CC0Textures (brick)"
)

Method = Callable[[np.ndarray, int], np.ndarray]
"""Takes a low-resolution image (H,W,3) and a factor, returns the enlarged image; both uint8."""


def sample(name: str) -> np.ndarray:
    """Return a sample image, (H,W,3) uint8."""
    if name.endswith(".jpg"):
        from sklearn.datasets import load_sample_image

        return load_sample_image(name)
    from skimage import data

    image = getattr(data, name)()
    return image if image.ndim == 3 else np.dstack([image] * 3)


def comparison_grid(columns: Sequence[Method], degraded: bool = False) -> Image.Image:
    """Draw a row per crop at twice its size: the result of every column, then the original.

    Args:
        columns: Methods that enlarge.
        degraded: Degrade the input by the fixed protocol. By default it is made by bicubic.
    """
    rows = []
    results: dict[str, list[np.ndarray]] = {}
    for name, (left, top, right, bottom) in CROPS:
        if name not in results:
            gt = sample(name)
            height, width = (side // SCALE for side in gt.shape[:2])
            gt = gt[: height * SCALE, : width * SCALE]
            lq = np.asarray(Image.fromarray(gt).resize((width, height), Image.Resampling.BICUBIC))
            if degraded:
                lq = degrade(gt, SCALE, np.random.default_rng(len(results)))
            results[name] = [*(enlarge(lq, SCALE) for enlarge in columns), gt]
        rows.append(np.hstack([image[top:bottom, left:right] for image in results[name]]))
    return Image.fromarray(np.vstack(rows).repeat(2, axis=0).repeat(2, axis=1))
