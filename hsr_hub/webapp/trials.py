"""Every choice of weights on one spot of a photo, to choose by looking."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from hsr_hub.hub import AUTO
from hsr_hub.images import ImageData, save_pil, to_eight_bits, to_image
from hsr_hub.webapp.connections import Caller, address_of
from hsr_hub.webapp.context import AppContext
from hsr_hub.webapp.engine import DeviceTask, Progress, crop
from hsr_hub.webapp.jobs import Job
from hsr_hub.webapp.limits import FILE_OVERHEAD, MAX_SCALE, MIN_SCALE
from hsr_hub.webapp.models import ModelStore
from hsr_hub.webapp.previews import MAX_SCREEN_PROFILE, for_viewer
from hsr_hub.webapp.uploads import load_upload
from hsr_hub.webapp.upscale_request import UpscaleRequest

TRIAL_PIXELS = 320
"""Side of a trial's result in pixels."""
MIN_TRIAL_SIDE, MAX_TRIAL_SIDE = 40, 256
"""Side of the part of the source for a trial, in pixels."""


@dataclass(frozen=True)
class Trial:
    """One choice, tried on a part of the image."""

    file: Path
    request: UpscaleRequest | None
    """None for the plain enlargement, to compare with."""


class TrialTask(DeviceTask["list[Trial]"]):
    """Several choices that are tried on one spot of an image."""

    def __init__(
        self,
        context: AppContext,
        job: Job,
        upload: tuple[Path, str],
        requests: list[UpscaleRequest],
        spot: tuple[float, float],
        caller: Caller | None = None,
    ) -> None:
        """Nothing starts before the iteration.

        Args:
            context: As for `DeviceTask`.
            job: As for `DeviceTask`.
            upload: As for `DeviceTask`.
            requests: How to upscale it. All have the same scale or size.
            spot: (x, y) of the middle of the part, from 0 to 1.
            caller: As for `DeviceTask`.
        """
        super().__init__(context, job, upload, caller)
        self.requests, self.spot = requests, spot
        self.scale = 1.0
        self._part: ImageData | None = None
        self._inner = (0, 0, 0, 0)
        self._done = 0

    def _read(self) -> int:
        self.job.raise_if_cancelled()
        image = load_upload(self.path, self.name, self.job.raise_if_cancelled)
        first = self.requests[0]
        target = first.target(image.size)
        image = crop(image, first.crop_box(image.size))
        # An exact size can ask for any factor. A trial of it would be as large as the whole result.
        self.scale = min(MAX_SCALE, max(MIN_SCALE, target[0] / image.size[0]))
        side = min(MAX_TRIAL_SIDE, max(MIN_TRIAL_SIDE, round(TRIAL_PIXELS / self.scale)))
        # What a network sees around the part is computed too, so that the pixels are those of the
        # whole result.
        margin = self.context.models.get(first.model).receptive_field
        starts, ends, outer_starts, outer_ends = [], [], [], []
        for middle, length in zip(self.spot, image.size, strict=True):
            shown = min(side, length)
            start = min(max(0, round(middle * length - shown / 2)), length - shown)
            outer_starts.append(max(0, start - margin))
            outer_ends.append(min(length, start + shown + margin))
            starts.append(start - outer_starts[-1])
            ends.append(starts[-1] + shown)
        self._inner = (*starts, *ends)
        part = crop(image, (*outer_starts, *outer_ends))
        self._part = for_viewer(part)
        return len(self.requests) * part.size[0] * part.size[1]

    def _release(self) -> None:
        self._part = None

    def _work(self) -> list[Trial]:
        part = self._part
        assert part is not None
        plain = to_eight_bits(to_image(part))
        size = UpscaleRequest("", scale=self.scale).target(part.size)
        left, top, right, bottom = (round(side * self.scale) for side in self._inner)
        left, top = min(left, size[0] - 1), min(top, size[1] - 1)
        inner = left, top, max(right, left + 1), max(bottom, top + 1)  # at least one pixel
        folder = self.job.folder / "trials"
        each = 4 * size[0] * size[1] + MAX_SCREEN_PROFILE + FILE_OVERHEAD
        self.context.reserve((1 + len(self.requests)) * each, address_of(self.caller))
        folder.mkdir()
        trials = [Trial(folder / "plain.png", None)]
        save_pil(plain.resize(size, Image.Resampling.BICUBIC).crop(inner), trials[0].file)
        for number, request in enumerate(self.requests):
            self.job.raise_if_cancelled()
            scaled = replace(request, scale=self.scale, width=None, height=None)
            made = self.context.compute(scaled, part, self.job.cancel_file)
            file = folder / f"{number}.png"
            save_pil(to_eight_bits(to_image(made)).crop(inner), file)
            trials.append(Trial(file, request))
            self._done += 1
        return trials

    def _progress(self) -> Progress:
        return Progress(fraction=self._done / len(self.requests))


def choices(models: ModelStore, same_size: bool = False) -> list[tuple[str, float]]:
    """Return model and strength of every choice; for the same size of those that clean."""
    found = [(name, float(detail)) for name, detail in map(models.split, models.labels)]
    found = [(name, strength) for name, strength in found if name != AUTO]
    if not models.auto:  # the detail models have no names of their own
        found += [(name, 1.0) for name in models.detail]
    return [choice for choice in found if not same_size or models.cleans(*choice)]


def spot_of(spot: Any) -> tuple[float, float]:
    """Return the place that a browser sent, "0.5 0.25" for example, or else the middle."""
    try:
        x, y = (float(part) for part in spot.split())
    except (AttributeError, ValueError):
        return 0.5, 0.5
    if not (math.isfinite(x) and math.isfinite(y)):
        return 0.5, 0.5
    return min(1.0, max(0.0, x)), min(1.0, max(0.0, y))
