"""Uploads are decoded in processes with limits: hostile files fail fast, and alone."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import threading
import time
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from hsr_hub.images import (
    ImageData,
    ImageError,
    ImageWarning,
    Metadata,
    inspect_file,
    read_image,
    write_image,
)
from hsr_hub.webapp.decode_worker import METADATA_BLOBS, DecodeRequest
from hsr_hub.webapp.decoder import BASE_MEMORY, MEMORY_PER_PIXEL, Decoder
from tests.test_image_guards import many_scans
from tests.util import ROOT

MAX_PIXELS = 24_000_000
MEMORY = BASE_MEMORY + MEMORY_PER_PIXEL * MAX_PIXELS

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    decoder = Decoder()
    decoder.start()
    yield decoder
    decoder.close()


@pytest.fixture(scope="module")
def quick_decoder() -> Iterator[Decoder]:
    """One process, and one second for each file."""
    decoder = Decoder(workers=1, seconds=1)
    decoder.start()
    yield decoder
    decoder.close()


# Ordinary files


def ordinary_files(folder: Path) -> dict[str, Path]:
    rng = np.random.default_rng(0)
    paths = {}
    for dtype, top in ((np.uint8, 256), (np.uint16, 65536)):
        for channels in (1, 2, 3, 4):
            shape = (40, 60) if channels == 1 else (40, 60, channels)
            path = folder / f"{dtype.__name__}-{channels}.png"
            write_image(ImageData(rng.integers(0, top, shape, dtype)), path)
            paths[path.stem] = path
    write_image(read_image(paths["uint16-3"]), folder / "uint16-3.tif")
    with Image.open(paths["uint8-3"]) as opened:
        image = opened.convert("RGB")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    image.save(
        folder / "meta.jpg", exif=exif, icc_profile=profile, dpi=(300, 300), xmp=b"<x:xmpmeta/>"
    )
    image.convert("CMYK").save(folder / "cmyk.jpg")
    image.save(folder / "image.webp", lossless=True)
    image.save(folder / "image.avif")
    image.save(folder / "image.bmp")
    image.save(folder / "image.gif", save_all=True, append_images=[image.rotate(90)])
    return {path.name: path for path in sorted(folder.iterdir())}


def test_each_field_of_the_metadata_is_sent():
    sent = {*METADATA_BLOBS, "dpi", "text"}
    # A file has a stamp only if it is a result, which loses it when it is read.
    assert sent == {field.name for field in fields(Metadata)} - {"stamp"}
    assert set(METADATA_BLOBS) == {"icc_profile", "exif", "xmp", "iptc", "comment"}


def test_images_equal_those_decoded_in_this_process(decoder: Decoder, tmp_path: Path):
    for name, path in ordinary_files(tmp_path).items():
        with warnings.catch_warnings(record=True) as expected_warnings:
            warnings.simplefilter("always")
            expected = read_image(path, name, MAX_PIXELS)
        with warnings.catch_warnings(record=True) as found_warnings:
            warnings.simplefilter("always")
            found = decoder.read_image(path, name, MAX_PIXELS)
        assert found.array.dtype == expected.array.dtype, name
        np.testing.assert_array_equal(found.array, expected.array, err_msg=name)
        assert found.metadata == expected.metadata, name
        assert found.traits == inspect_file(path, expected), name
        assert found.array.flags.writeable
        texts = [str(w.message) for w in expected_warnings if w.category is ImageWarning]
        assert [str(w.message) for w in found_warnings] == texts, name


def test_errors_equal_those_of_this_process(decoder: Decoder, cat: Path, tmp_path: Path):
    cut = tmp_path / "cut.png"
    cut.write_bytes(cat.read_bytes()[:5000])
    text = tmp_path / "text.jpg"
    text.write_text("no image")
    empty = tmp_path / "empty.png"
    empty.touch()
    for path, max_pixels in ((cut, MAX_PIXELS), (text, 10), (empty, 10), (cat, 10)):
        with pytest.raises(ImageError) as expected:
            read_image(path, "näme \udcff.png", max_pixels)
        with pytest.raises(ImageError) as found:
            decoder.read_image(path, "näme \udcff.png", max_pixels)
        assert str(found.value) == str(expected.value)


def test_the_largest_upload_fits_the_memory(decoder: Decoder, tmp_path: Path):
    path = tmp_path / "large.webp"  # the format that needs the most
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.new("RGBA", (6000, 4000), (1, 2, 3, 4))
    image.save(path, lossless=True, method=0, quality=0, exif=exif)
    assert decoder.read_image(path, path.name, MAX_PIXELS).size == (4000, 6000)


# Hostile files


def gif_comments(path: Path, comments: int = 1_000_000) -> None:
    header = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6)
    frame = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02D\x01\x00;"
    path.write_bytes(header + b"!\xfe\x01a\x00" * comments + frame)


def bmp_run_lengths(path: Path) -> None:
    width, bits, rle8 = 20_000_000, 8, 1
    pixels = b"\x00\x02\x00\xff" + b"\x00\x01"  # go up 255 rows, end
    offset = 14 + 40 + 4 * 256
    path.write_bytes(
        struct.pack("<2sIHHI", b"BM", offset + len(pixels), 0, 0, offset)
        + struct.pack("<IiiHHIIiiII", 40, width, 1, 1, bits, rle8, len(pixels), 0, 0, 256, 0)
        + bytes(4 * 256)
        + pixels
    )


def tiff_tags(path: Path, tags: int = 1000, size: int = 4_000_000) -> None:
    """Write a TIFF whose tags all have the same 4 MB as their value."""
    entries = [
        (256, 3, 1, 8),
        (257, 3, 1, 8),
        (258, 3, 1, 8),
        (262, 3, 1, 1),
        (273, 4, 1, 8),
        (279, 4, 1, 64),
        *((40_000 + tag, 7, size, 8) for tag in range(tags)),
    ]
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    directory = struct.pack("<H", len(entries)) + packed + bytes(4)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + size) + bytes(size) + directory)


def png_chunks(path: Path, texts: int = 500) -> None:
    """Write a PNG with compressed texts of 1 MB each."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    bomb = zlib.compress(bytes(1_000_000))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
        + b"".join(chunk(b"zTXt", b"key%d\0\0" % i + bomb) for i in range(texts))
        + chunk(b"IDAT", zlib.compress(bytes(72)))
        + chunk(b"IEND", b"")
    )


HOSTILE = {
    "many_scans.jpg": (many_scans, "more than 100 scans"),
    "gif_comments.gif": (gif_comments, "took more than 1 seconds"),
    "bmp_run_lengths.bmp": (bmp_run_lengths, "needs more than"),
    "tiff_tags.tif": (tiff_tags, "needs more than|took more than"),
    "png_chunks.png": (png_chunks, "Too much memory|took more than"),
}


@on_linux
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_within_limits(
    quick_decoder: Decoder, cat: Path, tmp_path: Path, name: str
):
    make, message = HOSTILE[name]
    path = tmp_path / name
    make(path)
    assert path.stat().st_size < 40 * 2**20
    started = time.monotonic()
    with pytest.raises(ImageError, match=f"{name}.*({message})"):
        quick_decoder.read_image(path, name, MAX_PIXELS)
    assert time.monotonic() - started < 4
    assert quick_decoder.read_image(cat, "cat.png", MAX_PIXELS).array.any()
    # The limit is on what a file adds to a worker, as a small photo shows it.
    assert peak_memory(path) < peak_memory(cat) + MEMORY


def peak_memory(path: Path) -> int:
    """Return the largest resident memory of a worker and its child, in bytes."""
    # Measured by a small process: what pytest uses would count as the peak of its own children.
    code = """
import os, subprocess, sys
worker = subprocess.Popen(
    [sys.executable, "-m", "hsr_hub.webapp.decode_worker"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
)
worker.stdin.write(sys.stdin.buffer.read())
worker.stdin.flush()
worker.stdout.readline()
worker.stdin.close()
print(os.wait4(worker.pid, 0)[2].ru_maxrss * 1024)
"""
    request = DecodeRequest(str(path), path.name, MAX_PIXELS, 1, MEMORY)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        input=request.to_line(),
        stdout=subprocess.PIPE,
        check=True,
    )
    return int(done.stdout)


# Cancelling, and processes that end


class CancelledError(Exception):
    pass


def test_a_cancelled_decode_ends_and_the_next_works(
    quick_decoder: Decoder, cat: Path, tmp_path: Path
):
    path = tmp_path / "slow.gif"
    gif_comments(path)
    started = time.monotonic()

    def raise_if_cancelled() -> None:
        if time.monotonic() - started > 0.5:
            raise CancelledError

    with pytest.raises(CancelledError):
        quick_decoder.read_image(path, path.name, MAX_PIXELS, raise_if_cancelled)
    assert time.monotonic() - started < 1.5
    assert quick_decoder.read_image(cat, "cat.png", MAX_PIXELS).array.any()


def test_a_cancelled_decode_leaves_the_queue(decoder: Decoder, tmp_path: Path):
    path = tmp_path / "slow.gif"
    gif_comments(path)
    end = threading.Event()

    def raise_if_ended() -> None:
        if end.is_set():
            raise CancelledError

    def decode() -> None:
        with pytest.raises(CancelledError):
            decoder.read_image(path, path.name, MAX_PIXELS, raise_if_ended)

    threads = [threading.Thread(target=decode) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    end.set()
    started = time.monotonic()
    for thread in threads:
        thread.join()
    assert time.monotonic() - started < 2


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@on_linux
def test_a_crash_is_an_error_and_the_next_decode_works(
    quick_decoder: Decoder, cat: Path, tmp_path: Path
):
    path = tmp_path / "crash.gif"
    gif_comments(path)
    process = quick_decoder._workers[0]._process
    assert process

    def crash() -> None:
        for child in children(process.pid):
            os.kill(child, signal.SIGSEGV)

    with pytest.raises(ImageError, match=r"crash\.gif could not be decoded"):
        quick_decoder.read_image(path, path.name, MAX_PIXELS, crash)
    assert quick_decoder.read_image(cat, "cat.png", MAX_PIXELS).array.any()


@on_linux
def test_no_process_outlives_its_parent(tmp_path: Path):
    path = tmp_path / "slow.gif"
    gif_comments(path)
    code = (
        "import os, sys\nfrom pathlib import Path\n"
        "from hsr_hub.webapp.decoder import Decoder\n"
        "decoder = Decoder(workers=1)\ndecoder.start()\n"
        "print(decoder._workers[0]._process.pid, flush=True)\n"
        "decoder.read_image(Path(sys.argv[1]), 'slow.gif', 1000)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout
    with parent.stdout as output:
        worker = int(output.readline())
    wait_until(lambda: children(worker))
    (child,) = children(worker)
    parent.kill()
    parent.wait()
    wait_until(lambda: not is_running(worker) and not is_running(child))


def is_running(pid: int) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def wait_until(condition, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@on_linux
def test_workers_have_no_tokens(monkeypatch: pytest.MonkeyPatch, cat: Path):
    monkeypatch.setenv("HF_TOKEN", "secret")
    decoder = Decoder(workers=1)
    decoder.read_image(cat, "cat.png", MAX_PIXELS)
    process = decoder._workers[0]._process
    assert process
    assert b"secret" not in Path(f"/proc/{process.pid}/environ").read_bytes()
    decoder.close()
    assert not is_running(process.pid)
    with pytest.raises(ImageError, match="shut down"):
        decoder.read_image(cat, "cat.png", MAX_PIXELS)


def test_the_worker_does_not_import_torch():
    code = "import sys, hsr_hub.webapp.decode_worker as _; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
