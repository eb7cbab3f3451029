"""Many picture files at once: which goes where, and decoding and encoding beside the computing."""

from __future__ import annotations

import hashlib
import os
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image
from tqdm.auto import tqdm

from hsr_hub.images import (
    READ_SUFFIXES,
    WRITE_FORMATS,
    ImageData,
    ImageWarning,
    Metadata,
    choose_format,
    prepare_folder,
    read_image,
    write_image,
)
from hsr_hub.inference.sizes import fit_size, target_size
from hsr_hub.inference.upscale import upscale_image

if TYPE_CHECKING:
    from hsr_hub.network import HSRNetwork


class Job(NamedTuple):
    """A picture, and the file that its result goes to."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Options:
    """What is wanted of every picture; the flags of `hsr-hub upscale`."""

    scale: float | None = None
    size: tuple[int, int] | None = None
    width: int | None = None
    height: int | None = None
    longest: int | None = None
    tile_size: int | None = None
    dtype: str | None = None
    format: str | None = None
    quality: int | None = None
    strip_metadata: bool = False
    max_megapixels: float = 400

    def label(self, scale: int) -> str:
        """What the name of a result says of its size, for a model of that scale."""
        if self.size:
            return f"{self.size[0]}x{self.size[1]}"
        for side, letter in ((self.width, "w"), (self.height, "h"), (self.longest, "px")):
            if side:
                return f"{side}{letter}"
        return f"{self.scale or scale:g}x"

    def target_size(self, source: tuple[int, int], scale: int) -> tuple[int, int]:
        """(width, height) of the result.

        Raises:
            ValueError: It has more pixels than the limit.
        """
        if self.width or self.height or self.longest:
            target = fit_size(source, width=self.width, height=self.height, longest=self.longest)
        else:
            target = target_size(source, scale=self.scale, size=self.size, default=scale)
        if target[0] * target[1] > self.max_megapixels * 1e6:
            raise ValueError(
                f"the result would have {target[0]}x{target[1]} pixels, more than "
                f"{self.max_megapixels:g} megapixels: choose a smaller size, or raise "
                "--max-megapixels"
            )
        return target


def plan(inputs: Sequence[Path], output: Path, label: str, format: str | None = None) -> list[Job]:
    """Each source with the file for its result: `output`, or NAME-{label}.png in it.

    Raises:
        ValueError: A result would take a source's place, or the output is no folder and must be.
    """
    if len(inputs) == 1 and not inputs[0].is_dir() and output.suffix and not output.is_dir():
        choose_format(output, format)
        if output.resolve() == inputs[0].resolve():
            raise ValueError(f"{output} would take the place of the picture itself")
        return [Job(inputs[0], output)]
    suffix = (format or "png").lower()
    choose_format(output, suffix)
    if output.is_file() or output.suffix[1:].lower() in WRITE_FORMATS:
        raise ValueError(f"several pictures need a folder; {output} is named as a file")
    places: list[tuple[Path, Path]] = []
    for entry in inputs:
        if entry.is_dir() and entry.resolve() == output.resolve():
            raise ValueError(
                f"results in {output} would mix with the pictures: name another folder"
            )
        # The folder's tree is kept.
        places += [
            (source, source.relative_to(entry).parent if entry.is_dir() else Path())
            for source in _pictures(entry, output)
        ]
    names = _names(places)
    jobs = [
        Job(source, output / place / f"{name}-{label}.{suffix}")
        for (source, place), name in zip(places, names, strict=True)
    ]
    sources = {job.source.resolve() for job in jobs}
    for job in jobs:
        if job.target.resolve() in sources:
            raise ValueError(
                f"{job.target} would take the place of a picture that is to be enlarged"
            )
    return jobs


def _names(places: list[tuple[Path, Path]]) -> list[str]:
    """A name for each source in its place, which no other has.

    Where pictures are called the same, all of them get what tells them apart, so that a picture
    that is added later never takes the name of another's earlier result.
    """
    names = [source.stem for source, _ in places]
    for tell in (lambda s: s.suffix[1:].lower(), lambda s: _digest(str(s.resolve()))):
        keys = [
            str(place / name).casefold() for (_, place), name in zip(places, names, strict=True)
        ]
        counts = Counter(keys)
        names = [
            f"{name}-{tell(source)}" if counts[key] > 1 else name
            for (source, _), name, key in zip(places, names, keys, strict=True)
        ]
    return names


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def _pictures(entry: Path, output: Path) -> list[Path]:
    """The entry itself, or the pictures below it without hidden ones and earlier results."""
    if not entry.is_dir():
        return [entry]
    earlier = output.resolve()
    return sorted(
        path
        for path in entry.rglob("*")
        if path.suffix.lower() in READ_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(entry).parts)
        and path.is_file()
        and earlier not in path.resolve().parents
    )


def own_share(jobs: list[Job]) -> list[Job]:
    """This process's part of the jobs, where a launcher started several (`accelerate launch`)."""
    rank, processes = (int(os.environ.get(name, v)) for name, v in (("RANK", 0), ("WORLD_SIZE", 1)))
    return jobs[rank::processes]


def upscale_files(model: HSRNetwork, jobs: Sequence[Job], options: Options) -> int:
    """Read, enlarge, write; the next picture is decoded and the last one encoded meanwhile.

    A picture that fails is named and skipped.

    Returns:
        How many failed.
    """
    # Pillow has a limit of its own, for all that is opened in this process; ours is judged first.
    Image.MAX_IMAGE_PIXELS = None
    warnings.simplefilter("always", ImageWarning)
    warnings.showwarning = lambda message, *_, **__: tqdm.write(f"hsr-hub: {message}", sys.stderr)
    failures = 0

    def failed(job: Job, error: BaseException) -> None:
        nonlocal failures
        failures += 1
        reason = str(error) or type(error).__name__
        named = reason if job.source.name in reason else f"{job.source}: {reason}"
        tqdm.write(f"hsr-hub: skipped: {named}", file=sys.stderr)

    def written(job: Job, result: ImageData, writing: Future[None]) -> None:
        try:
            writing.result()
        except Exception as error:
            failed(job, error)
        else:
            tqdm.write(f"{job.target} {result.size[0]}x{result.size[1]}")
        bar.update()

    with (
        tqdm(total=len(jobs), unit="picture", disable=None) as bar,
        ThreadPoolExecutor(1) as writer,
    ):
        writing: tuple[Job, ImageData, Future[None]] | None = None
        for job, reading in _read_ahead(jobs, options):
            bar.set_description(job.source.name)
            try:
                result = _upscale(model, job, reading.result(), options)
            except Exception as error:  # whatever one picture causes, the next may go well
                failed(job, error)
                bar.update()
                continue
            if writing is not None:
                written(*writing)
            writing = job, result, writer.submit(_write, result, job.target, options)
        if writing is not None:
            written(*writing)
    return failures


def _read_ahead(jobs: Sequence[Job], options: Options) -> Iterator[tuple[Job, Future[ImageData]]]:
    """The jobs with their pictures, of which one more is decoded meanwhile."""
    with ThreadPoolExecutor(1) as reader:

        def read(job: Job) -> Future[ImageData]:
            limit = int(options.max_megapixels * 1e6)
            return reader.submit(read_image, job.source, max_pixels=limit)

        upcoming = read(jobs[0]) if jobs else None
        for number, job in enumerate(jobs, 1):
            reading, upcoming = upcoming, read(jobs[number]) if number < len(jobs) else None
            assert reading is not None
            yield job, reading


def _upscale(model: HSRNetwork, job: Job, picture: ImageData, options: Options) -> ImageData:
    target = options.target_size(picture.size, model.scale)
    prepare_folder(job.target)
    tqdm.write(
        f"{job.source.name}: {picture.size[0]}x{picture.size[1]} to {target[0]}x{target[1]}",
        file=sys.stderr,
    )
    with tqdm(desc="tiles", leave=False, disable=None, position=1) as tiles:

        def show(done: int, total: int) -> None:
            tiles.total = total
            tiles.update(done - tiles.n)

        return upscale_image(
            *(model, picture),
            size=target,
            tile_size=options.tile_size,
            dtype=options.dtype,
            progress=show,
        )


def _write(result: ImageData, target: Path, options: Options) -> None:
    if options.strip_metadata:  # but not the profile: without it the colours would change
        result = ImageData(result.array, Metadata(icc_profile=result.metadata.icc_profile))
    write_image(result, target, format=options.format, quality=options.quality)
