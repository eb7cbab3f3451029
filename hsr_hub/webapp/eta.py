"""How long a picture will take on this machine: measured at start, and again with every picture."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image

from hsr_hub.images import save_pil
from hsr_hub.inference import choose_level
from hsr_hub.model import HSRNet

NEWEST = 0.4
"""Weight of the newest picture in the running averages."""
SIDE = 192
"""Of the picture that is made at start."""

Size = tuple[int, int]


class Speed:
    """Running averages: seconds per multiplication, by level, and per pixel that is saved.

    Multiplications tell one network from another. Levels are told apart as well, since the last
    ones move more data for each.
    """

    def __init__(self) -> None:
        self._compute: dict[int, float] = {}
        self._save: float | None = None
        self._lock = threading.Lock()

    def calibrate(self, model: HSRNet, folder: Path) -> None:
        """Measure with a small picture of noise, the worst case of a PNG."""
        noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        image = Image.fromarray(noise)
        for level in model.levels:
            model.upscale(image.crop((0, 0, 32, 32)), scale=level)  # what is set up once
            started = time.perf_counter()
            result = model.upscale(image, scale=level)
            self.computed(model, image.size, result.size, time.perf_counter() - started)
            path, started = folder / "calibration.png", time.perf_counter()
            save_pil(result, path)
            self.saved(result.size, 2 * (time.perf_counter() - started))  # the page saves a pair
            path.unlink()

    def computed(self, model: HSRNet, source: Size, target: Size, seconds: float) -> None:
        """Take note of a picture's time in the network."""
        level = choose_level(model.levels, source, target)
        newest = seconds / (source[0] * source[1] * multiplications(model, level))
        with self._lock:
            self._compute[level] = _average(self._compute.get(level), newest)

    def saved(self, target: Size, seconds: float) -> None:
        """Take note of the time to write a result."""
        with self._lock:
            self._save = _average(self._save, seconds / (target[0] * target[1]))

    def seconds(self, model: HSRNet, source: Size, target: Size) -> tuple[float, float] | None:
        """What a picture will take in the network and to be saved; nothing before any was made."""
        level = choose_level(model.levels, source, target)
        if not self._compute or self._save is None:
            return None
        each = self._compute.get(level) or max(self._compute.values())
        pixels = source[0] * source[1]
        return each * pixels * multiplications(model, level), self._save * target[0] * target[1]


def _average(old: float | None, newest: float) -> float:
    return newest if old is None else (1 - NEWEST) * old + NEWEST * newest


def multiplications(model: HSRNet, level: int) -> int:
    """Multiplications per pixel of the input for one level."""
    net, index = model.reconstruction, model.levels.index(level)
    parts = [(model.extraction, 1), (model.fusion, 1), (net.heads[index], level)]
    # An up-sampler's convolution runs at the resolution before it.
    parts += list(zip(net.upsamplers[:index], model.levels, strict=False))
    return sum(p.numel() * s**2 for part, s in parts for p in part.parameters() if p.dim() > 1)
