"""What all visitors share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from hsr_hub.images import ImageData, ImageError
from hsr_hub.inference import best_device
from hsr_hub.webapp import storage, zerogpu
from hsr_hub.webapp.compute import compute
from hsr_hub.webapp.connections import Caller, Connections, address_of
from hsr_hub.webapp.device_queue import DeviceQueue, Visitor
from hsr_hub.webapp.eta import Estimate, PendingWork, TimeEstimator
from hsr_hub.webapp.jobs import Jobs
from hsr_hub.webapp.models import ModelStore, load_models
from hsr_hub.webapp.previews import save_thumbnail, thumbnail_bytes
from hsr_hub.webapp.uploads import Upload, forward_passes, load_upload
from hsr_hub.webapp.upscale_request import UpscaleRequest

T = TypeVar("T")


@dataclass
class AppContext:
    """Folder, models, device queue, jobs and measured times of this process."""

    folder: Path
    models: ModelStore
    queue: DeviceQueue
    estimator: TimeEstimator = field(default_factory=TimeEstimator)
    pending: PendingWork = field(default_factory=PendingWork)
    file_queue: DeviceQueue = field(default_factory=lambda: DeviceQueue(1))
    """Decodes uploads and converts results for the page, in a fair order like the device's."""
    connections: Connections = field(default_factory=Connections)
    reserve: Callable[[int, str], object] = lambda size, address: None
    """Called before files are saved, with their bytes and the visitor's network address. Raises if
    the disk has no room."""
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

    def accept_upload(
        self, path: Path, name: str, caller: Caller | None, thumbnail: Path | None = None
    ) -> Upload:
        """Read an upload when it is its visitor's turn, and save its thumbnail.

        Args:
            path: The file.
            name: What its owner calls it.
            caller: Who sent it.
            thumbnail: Where to save the thumbnail; by default in a new folder.

        Raises:
            DiskFullError: There is no room for the thumbnail.
            ImageError: As `uploads.load_upload`, or the caller has hung up.
            QueueFullError: Too many files wait.
        """

        def accept() -> Upload:
            image = load_upload(path, name, partial(self._raise_if_gone, caller))
            self.reserve(thumbnail_bytes(image), address_of(caller))
            file = thumbnail or storage.new_folder(self.folder) / "thumbnail.jpg"
            save_thumbnail(image, file)
            return Upload(path, name, image.size, forward_passes(image), file, image.traits)

        return self.in_turn(accept, path, caller)

    def in_turn(self, work: Callable[[], T], file: Path, caller: Caller | None) -> T:
        """Do work with a file when it is its visitor's turn, and return its result.

        Raises:
            ImageError: The caller has hung up.
            QueueFullError: Too many files wait.
        """
        results: list[T] = []

        def prepare() -> None:
            self._raise_if_gone(caller)
            results.append(work())

        visitor = caller.visitor if caller else Visitor()
        cost = file.stat().st_size if file.is_file() else 0
        return self.file_queue.submit(results.pop, prepare, visitor, cost).future.result()

    def _raise_if_gone(self, caller: Caller | None) -> None:
        if caller is not None and not self.connections.has(caller):
            raise ImageError("the visitor has left")

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
