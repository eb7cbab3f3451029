"""What all visitors share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hsr_hub.images import ImageData
from hsr_hub.inference import best_device
from hsr_hub.webapp import zerogpu
from hsr_hub.webapp.compute import compute
from hsr_hub.webapp.connections import Caller, Connections
from hsr_hub.webapp.decoder import DecodedImage
from hsr_hub.webapp.device_queue import DeviceQueue, Visitor
from hsr_hub.webapp.eta import Estimate, PendingWork, TimeEstimator
from hsr_hub.webapp.jobs import Jobs
from hsr_hub.webapp.models import ModelStore, load_models
from hsr_hub.webapp.requests import UpscaleRequest
from hsr_hub.webapp.uploads import forward_passes, load_upload


@dataclass
class AppContext:
    """Folder, models, device queue, jobs and measured times of this process."""

    folder: Path
    models: ModelStore
    queue: DeviceQueue
    estimator: TimeEstimator = field(default_factory=TimeEstimator)
    pending: PendingWork = field(default_factory=PendingWork)
    intake: DeviceQueue = field(default_factory=lambda: DeviceQueue(1))
    """Decodes uploads for the page, in turns like those for the device."""
    connections: Connections = field(default_factory=Connections)
    reserve: Callable[[int], object] = lambda _: None
    """Called with the bytes of a result before it is saved. Raises if the disk has no room."""
    reports_tiles: bool = True
    """Whether the computation runs in this process, so that it can call back after each tile."""
    jobs: Jobs = field(init=False)
    compute: Callable[..., ImageData] = field(init=False)
    """`compute.compute` with this context's models, on the GPU that ZeroGPU assigns."""

    def __post_init__(self) -> None:
        self.jobs = Jobs(self.folder)
        self.compute = self._gpu_task()

    @classmethod
    def create(
        cls, folder: Path, environment: Mapping[str, str], space_file: Path | None = None
    ) -> AppContext:
        """Load the models and measure this machine.

        Args:
            folder: The folder of this process.
            environment: Names the models, as for `load_models`.
            space_file: As for `load_models`.
        """
        device = best_device()
        models = load_models(environment, device, space_file)
        # All CPU cores work on one image. A GPU can start a second while the first is saved.
        workers = 1 if device == "cpu" else 2
        context = cls(folder, models, DeviceQueue(workers), reports_tiles=not zerogpu.ACTIVE)
        context.pending = PendingWork(workers)
        if not zerogpu.ACTIVE:  # there is no GPU before the first request
            context.estimator.calibrate(models.get(models.default), folder)
        return context

    def load_upload(self, path: Path, name: str, caller: Caller | None) -> DecodedImage:
        """Read an upload when it is its visitor's turn.

        Raises:
            ImageError: As `uploads.load_upload`.
            QueueFullError: Too many uploads wait.
        """
        images: list[DecodedImage] = []
        entry = self.intake.submit(
            images.pop,
            lambda: images.append(load_upload(path, name)),
            caller.visitor if caller else Visitor(),
            path.stat().st_size if path.is_file() else 0,
        )
        return entry.future.result()

    def estimate(
        self, request: UpscaleRequest, size: tuple[int, int], forward_passes: int
    ) -> Estimate | None:
        """Return the expected time for an image of that size, if it is known."""
        model = self.models.get(request.model)
        kept, target = request.kept_size(size), request.target(size)
        return self.estimator.estimate(model, kept, target, forward_passes)

    def _gpu_task(self) -> Callable[..., ImageData]:
        def seconds(request: UpscaleRequest, image: ImageData, cancel_file: Path) -> float | None:
            expected = self.estimate(request, image.size, forward_passes(image))
            return expected and expected.compute

        @zerogpu.gpu_task(seconds)
        def run(*args: Any, **kwargs: Any) -> ImageData:
            return compute(self.models, *args, **kwargs)

        return run
