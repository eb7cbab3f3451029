"""The parts that protect the page: turns, the disk, addresses, hosts, connections."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import threading
import time
import weakref
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
import numpy as np
import pytest
import uvicorn
from PIL import Image, ImageCms
from starlette.responses import FileResponse

from hsr_hub import HSRNet
from hsr_hub.images import ImageData, ImageError, Metadata, png, read_image, write_image
from hsr_hub.webapp import (
    connections,
    device_queue,
    middleware,
    previews,
    server,
    storage,
    templates,
    uploads,
    url_guard,
)
from hsr_hub.webapp import limits as limits_of_page
from hsr_hub.webapp.batch_tab import BatchTab
from hsr_hub.webapp.connections import Caller, Connections
from hsr_hub.webapp.device_queue import DeviceQueue, QueueFullError, Visitor
from hsr_hub.webapp.engine import UpscaleTask
from hsr_hub.webapp.jobs import Job, JobCancelledError, Jobs
from hsr_hub.webapp.limits import MAX_CONCURRENT
from hsr_hub.webapp.single_tab import SingleTab
from hsr_hub.webapp.tiles import save_tiles
from hsr_hub.webapp.upscale_request import EXACT, FIT, UpscaleRequest
from tests.space import noise
from tests.test_app_units import FORM, REQUEST, make_context, make_tab, make_task

MEGABYTE = 1 << 20


def run_async(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine in a thread, since Playwright occupies the event loop of this one."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


# Turns.


def run_all(submissions: list[tuple[str, Visitor, int]], seconds: float = 0) -> list[str]:
    """Return the order in which entries run that are submitted while the device is busy."""
    queue, release, order = DeviceQueue(1), threading.Event(), []

    def work(name: str) -> None:
        time.sleep(seconds)
        order.append(name)

    running = queue.submit(lambda: release.wait(10), visitor=Visitor("busy", "0"))
    # Two more, which were prepared before the others came.
    early = [queue.submit(lambda: None, visitor=Visitor("busy", "0")) for _ in range(2)]
    time.sleep(0.1)
    entries = [
        queue.submit(partial(work, name), visitor=visitor, cost=cost)
        for name, visitor, cost in submissions
    ]
    release.set()
    assert all(entry.wait(10) for entry in [running, *early, *entries])
    return order


def test_addresses_take_turns_and_so_do_sessions_of_an_address():
    one, same_address, other = Visitor("a", "1"), Visitor("a", "2"), Visitor("b", "3")
    order = run_all(
        [(f"a1-{n}", one, 0) for n in range(6)]
        + [(f"a2-{n}", same_address, 0) for n in range(3)]
        + [(f"b-{n}", other, 0) for n in range(3)],
        seconds=0.02,
    )
    assert order.index("b-2") < 8, order
    assert order.index("b-0") <= 2 and order.index("a2-0") <= 4, order
    assert order.index("b-1") <= 4, order


def test_a_small_image_is_not_starved_by_large_ones_nor_a_large_one_by_small_ones():
    large = [(f"large{n}", Visitor("a", str(n)), 10 * MEGABYTE) for n in range(15)]
    order = run_all([*large, ("small", Visitor("a", "small"), 1)])
    assert order.index("small") <= 2, order
    small = [(f"small{n}", Visitor(f"b{n}", ""), 1) for n in range(30)]
    order = run_all([("large", Visitor("a", ""), 10 * MEGABYTE), *small])
    assert order.index("large") <= device_queue.OLDEST_EVERY + 2, order


def test_a_small_image_is_computed_between_the_tiles_of_a_large_one():
    queue, order = DeviceQueue(1), []
    tiles = [threading.Event() for _ in range(3)]

    def large() -> None:
        for number, tile in enumerate(tiles):
            tile.wait(10)
            time.sleep(0.06)  # small images get as much time as the large one has had
            order.append(f"tile {number}")
            queue.run_small()

    def small(name: str) -> None:
        order.append(name)
        time.sleep(0.05)
        assert queue.run_small() == 0, "a small image is not interrupted"

    pixels, file_size = 24_000_000, 10 * MEGABYTE
    first = queue.submit(large, lambda: pixels, Visitor("a"), file_size)
    waiting = [
        queue.submit(partial(order.append, "large"), lambda: pixels, Visitor(address), file_size)
        for address in "bcd"
    ]
    while not (queue._running and queue._ready):
        time.sleep(0.01)
    others = [
        queue.submit(partial(small, name), lambda: 1000, Visitor(name)) for name in ("e", "f")
    ]
    for tile, entry in zip(tiles, [*others, None], strict=True):
        while entry is not None and not any(ready.pixels == 1000 for ready in queue._ready):
            time.sleep(0.01)
        tile.set()
        assert entry is None or entry.wait(10)
    assert all(entry.wait(10) for entry in [first, *waiting])
    assert order[:5] == ["tile 0", "e", "tile 1", "f", "tile 2"]
    assert first.interrupted >= 0.1


def test_small_images_take_at_most_half_of_the_time_of_a_large_one():
    queue, taken = DeviceQueue(1), []

    def large() -> None:
        for _ in range(12):
            time.sleep(0.02)
            while not any(entry.pixels == 1000 for entry in queue._ready):
                time.sleep(0.001)
            taken.append(queue.run_small())

    pixels, file_size = 24_000_000, 10 * MEGABYTE
    first = queue.submit(large, lambda: pixels, Visitor("a"), file_size)
    second = queue.submit(lambda: None, lambda: pixels, Visitor("b"), file_size)
    while not (queue._running and queue._ready):
        time.sleep(0.01)
    small = [
        queue.submit(partial(time.sleep, 0.1), lambda: 1000, Visitor(str(number)))
        for number in range(12)
    ]
    assert all(entry.wait(10) for entry in [first, second, *small])
    assert 0 in taken, taken
    assert max(taken) >= 0.1 and first.interrupted < 0.6, taken


def test_a_small_file_with_a_large_image_does_not_block_small_images():
    queue, released, prepared, tile = DeviceQueue(1), [], [], threading.Event()

    def large() -> None:
        while not tile.wait(0.01):
            queue.run_small()

    def prepare_flat() -> int:
        prepared.append("flat")
        return 24_000_000

    running = queue.submit(large, lambda: 24_000_000, Visitor("a"), 10 * MEGABYTE)
    early = queue.submit(lambda: None, lambda: 24_000_000, Visitor("b"), 10 * MEGABYTE)
    while not (queue._running and queue._ready):
        time.sleep(0.01)
    flat = queue.submit(
        lambda: None, prepare_flat, Visitor("c"), 100, partial(released.append, "flat")
    )
    while not prepared:
        time.sleep(0.01)
    small = queue.submit(lambda: None, lambda: 1000, Visitor("d"), 200)
    try:
        assert small.wait(5), "a small image waits for the whole large one"
        assert released == ["flat"] and flat in queue._waiting, "its pixels stay in memory"
    finally:
        tile.set()
    assert all(entry.wait(10) for entry in [running, early, flat])
    assert prepared == ["flat", "flat"]


def test_a_tiny_image_with_a_large_result_is_not_small(tmp_path: Path, model: HSRNet):
    root = tmp_path.resolve()
    context = make_context(root, model)
    noise((4, 4)).save(root / "a.png")

    def pixels(request: UpscaleRequest) -> int:
        job = Job(storage.new_folder(root))
        return UpscaleTask(context, job, (root / "a.png", "a.png"), request)._read()

    assert pixels(UpscaleRequest("it", scale=4)) < limits_of_page.SMALL_IMAGE_PIXELS
    large = UpscaleRequest("it", width=8000, height=8000)
    assert pixels(large) > limits_of_page.SMALL_IMAGE_PIXELS


def test_the_number_of_waiting_images_is_limited(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(device_queue, "MAX_WAITING", 8)
    monkeypatch.setattr(device_queue, "PLACES_FOR_NEWCOMERS", 2)
    monkeypatch.setattr(device_queue, "MAX_WAITING_PER_ADDRESS", 3)
    assert limits_of_page.MAX_WAITING + limits_of_page.PLACES_FOR_NEWCOMERS < MAX_CONCURRENT
    queue, release = DeviceQueue(1), threading.Event()
    for _ in range(3):
        queue.submit(lambda: release.wait(10), visitor=Visitor("a"))
    with pytest.raises(QueueFullError, match="3 images of yours wait already"):
        queue.submit(lambda: None, visitor=Visitor("a", "other session"))
    last = [queue.submit(lambda: None, visitor=Visitor(address)) for address in "bcdef"][-1]
    with pytest.raises(QueueFullError, match="8 images wait already"):
        queue.submit(lambda: None, visitor=Visitor("f"))
    for address in "gh":  # they have none in the queue yet
        queue.submit(lambda: None, visitor=Visitor(address))
    with pytest.raises(QueueFullError, match="10 images wait already"):
        queue.submit(lambda: None, visitor=Visitor("i"))
    release.set()
    assert last.wait(10)
    assert queue.submit(lambda: 7, visitor=Visitor("a")).future.result(10) == 7


def test_slow_preparation_of_one_address_does_not_keep_the_device():
    queue, release = DeviceQueue(1), threading.Event()
    slow = [
        queue.submit(lambda: None, lambda: release.wait(10), Visitor("slow", str(n)))
        for n in range(4)
    ]
    quick = [queue.submit(lambda: "fine", lambda: None, Visitor("quick")) for _ in range(3)]
    assert [entry.future.result(5) for entry in quick] == ["fine"] * 3
    assert not any(entry.done for entry in slow)
    release.set()


def test_few_images_are_in_memory_while_many_wait():
    queue, release, decoded = DeviceQueue(1), threading.Event(), []
    entries = [
        queue.submit(
            lambda: release.wait(10), partial(decoded.append, n), Visitor(str(n % 5), str(n))
        )
        for n in range(20)
    ]
    time.sleep(0.3)
    assert len(decoded) <= 1 + device_queue.MAX_PREPARING
    release.set()
    assert all(entry.wait(10) for entry in entries)


def test_an_error_does_not_keep_the_image():
    class Pixels:
        pass

    seen: list[weakref.ref] = []

    def refuse() -> None:
        image = Pixels()
        seen.append(weakref.ref(image))
        raise ValueError("too large")

    entry = DeviceQueue(1).submit(lambda: None, refuse)
    assert isinstance(entry.future.exception(10), ValueError)
    gc.collect()
    assert seen[0]() is None


def test_a_caller_has_hung_up_when_nothing_listens_for_a_while(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connections, "HANG_UP_SECONDS", 0.2)
    streams, caller = Connections(), Caller(Visitor("a", "session"), "event")
    assert streams.has(caller), "it was sent just now"
    time.sleep(0.25)
    assert not streams.has(caller)
    for key in ("session", "event"):
        with streams.listening(key):
            time.sleep(0.25)
            assert streams.has(caller)
        assert streams.has(caller)
        time.sleep(0.25)
        assert not streams.has(caller)


# The disk.


def write(path: Path, size: int, age: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    then = time.time() - age
    os.utime(path, (then, then))
    os.utime(path.parent, (then, then))
    return path


def test_everything_in_the_folder_has_one_age(tmp_path: Path):
    example = write(tmp_path / "hash0" / "cat.png", 9, 9999)
    disk = storage.Disk(tmp_path)
    old = [
        write(tmp_path / "hash1" / "photo.png", 9, 9999),  # an upload
        write(tmp_path / storage.JOBS / "job1" / "photo-4x.png", 9, 9999),
    ]
    write(tmp_path / "tmpcut", 9, 9999)  # an upload that was cut off
    (tmp_path / "empty").mkdir()
    os.utime(tmp_path / "empty", (0, 0))
    (tmp_path / "link").symlink_to(example.parent)
    os.utime(tmp_path / "link", (0, 0), follow_symlinks=False)
    used = write(tmp_path / storage.JOBS / "job2" / "photo-4x.png", 9, 9999)
    young = write(used.with_suffix(".webp"), 9, 5)  # converted just now
    disk.sweep()
    assert not any(path.parent.exists() for path in old)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"hash0", storage.JOBS}
    assert example.exists() and used.exists() and young.exists()


def test_the_oldest_files_give_way_when_the_disk_is_full(tmp_path: Path):
    disk = storage.Disk(tmp_path, budget=10 * MEGABYTE)
    files = [write(tmp_path / f"hash{n}" / "a.png", 2 * MEGABYTE, 700 + n) for n in range(8)]
    disk.sweep()
    assert [path.exists() for path in files] == [True] * 3 + [False] * 5
    disk.reserve(3 * MEGABYTE)
    with pytest.raises(storage.DiskFullError, match="full: try again later"):
        disk.reserve(2 * MEGABYTE)
    disk.sweep()  # counts what is really there
    disk.reserve(2 * MEGABYTE)
    recent = [write(tmp_path / f"new{n}" / "a.png", 2 * MEGABYTE, n) for n in range(8)]
    disk.sweep()
    assert all(path.exists() for path in recent), "somebody may still look at them"


def test_small_files_count_the_blocks_that_they_take(tmp_path: Path):
    disk = storage.Disk(tmp_path, budget=MEGABYTE)
    for number in range(200):
        write(tmp_path / f"hash{number}" / "a.png", 1, 0)
    disk.sweep()
    with pytest.raises(storage.DiskFullError):
        disk.reserve(1)


def test_a_small_disk_counts_instead_of_the_budget(tmp_path: Path, monkeypatch):
    disk = storage.Disk(tmp_path, budget=100 * MEGABYTE)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=2 * MEGABYTE))
    disk.sweep()
    disk.reserve(MEGABYTE)
    with pytest.raises(storage.DiskFullError):
        disk.reserve(2 * MEGABYTE)


def test_files_are_kept_for_the_time_that_is_set(tmp_path: Path):
    disk = storage.Disk(tmp_path, keep=60)
    old = write(tmp_path / "hash1" / "photo.png", 9, 61)
    young = write(tmp_path / "hash2" / "photo.png", 9, 30)
    disk.sweep()
    assert young.exists() and not old.exists()


def test_a_result_needs_room_on_the_disk(tmp_path: Path, model: HSRNet):
    root = tmp_path.resolve()
    noise((40, 30)).save(root / "photo.png")
    context = make_context(root, model)
    context.reserve = storage.Disk(root, budget=40 * 30 * 3 * 16 - 1).reserve
    task = make_task(context, root / "photo.png")
    with pytest.raises(ValueError, match="disk of this page is full"):
        list(task)
    assert not list(root.glob(f"{storage.JOBS}/*/*.png"))


def bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_all_files_need_room_before_they_are_saved(tmp_path: Path, model: HSRNet):
    root = tmp_path.resolve()
    profile = np.random.default_rng(0).bytes(200_000)  # it cannot be packed
    noise((120, 90)).save(root / "photo.png", icc_profile=profile)
    context, reserved = make_context(root, model), []
    context.reserve = lambda size, address: reserved.append(size)
    single, batch = make_tab(SingleTab, context, []), make_tab(BatchTab, context)
    file = {"path": str(root / "photo.png"), "meta": storage.UPLOAD_META}
    exact = (EXACT, 3200, 2400, 0, "it", FIT)  # more than the viewer shows at once, so with tiles

    def check(handler: Callable[..., Any], *values: Any) -> Any:
        before = bytes_below(root)
        reserved.clear()
        answer = handler(REQUEST, *values)
        *_, last = [answer] if isinstance(answer, dict) else answer
        written = bytes_below(root) - before
        assert 0 < written <= sum(reserved), (written, reserved)
        return last

    upload = check(single.receive, file, *FORM)[single.inputs.upload]
    shown = check(single.run, upload, *exact)[single.result.shown]
    assert shown.result.tiles is not None
    check(single.result.convert, shown, "JPEG", False)
    check(single.result.convert, shown, "PNG", True)
    check(single.result.trials.try_all, upload, "0.5 0.5", *FORM)
    known = check(batch.receive, [file], None, *FORM)[batch.checks]
    for output_format in ("PNG", "WebP"):
        check(batch.run, [file], known, output_format, *FORM)

    def full(size: int, address: str) -> None:
        raise storage.DiskFullError("the disk is full")

    context.reserve = full
    for answers in (
        [single.receive(REQUEST, file, *FORM)],
        single.run(REQUEST, upload, *exact),
        single.result.convert(REQUEST, shown, "WebP", True),
        single.result.trials.try_all(REQUEST, upload, "0.5 0.5", *FORM),
    ):
        *_, last = answers
        assert "The disk is full" in last[single.inputs.error_box]["value"]
    *_, last = batch.run(REQUEST, [file], known, "PNG", *FORM)
    assert "photo.png: The disk is full." in last[batch.file_errors]["value"]


def test_the_viewer_gets_no_metadata_and_no_large_profile(tmp_path: Path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for size, kept in ((0, True), (999_000, False)):
        metadata = Metadata(icc_profile=profile + bytes(size))
        image = ImageData(np.zeros((90, 120, 3), np.uint8), metadata)
        after = ImageData(np.zeros((600, 800, 3), np.uint8), image.metadata)
        folder = save_tiles(image, after, tmp_path / f"tiles{size}")
        for file in (
            previews.save_thumbnail(image, tmp_path / "thumbnail.jpg"),
            previews.save_comparison(image, after, tmp_path / "result.png")[0],
            *folder.iterdir(),
        ):
            with Image.open(file) as opened:
                assert ("icc_profile" in opened.info) is kept, file.name


def test_one_address_gets_half_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(storage, "MIN_ADDRESS_BYTES", MEGABYTE)
    disk = storage.Disk(tmp_path, budget=10 * MEGABYTE, keep=0.6)
    disk.reserve(5 * MEGABYTE, "8.8.8.8")
    with pytest.raises(storage.DiskFullError, match="your files take half"):
        disk.reserve(1, "8.8.8.8")
    disk.reserve(5 * MEGABYTE, "9.9.9.9")
    with pytest.raises(storage.DiskFullError, match="disk of this page is full"):
        disk.reserve(1, "7.7.7.7")
    for ended in (False, True):  # not twice as much around the end of a period
        time.sleep(0.15)
        disk.sweep()
        with contextlib.nullcontext() if ended else pytest.raises(storage.DiskFullError):
            disk.reserve(5 * MEGABYTE, "8.8.8.8")


def test_a_job_without_a_result_leaves_no_folder(tmp_path: Path, model: HSRNet):
    root = tmp_path.resolve()
    noise((40, 30)).save(root / "photo.png")
    (root / "broken.png").write_bytes(b"x")
    context = make_context(root, model)
    with pytest.raises(ValueError, match="not an image"):
        list(make_task(context, root / "broken.png"))
    job = Job(storage.new_folder(root))
    job.cancel()
    with pytest.raises(JobCancelledError):
        list(make_task(context, root / "photo.png", job))
    batch = make_tab(BatchTab, context)
    for files in (None, [], 7, [{"path": "x"}]):
        list(batch.receive(REQUEST, files, None, *FORM))
    assert list((root / storage.JOBS).iterdir()) == []


def test_owners_of_jobs_are_forgotten(tmp_path: Path):
    jobs = Jobs(tmp_path)
    running = [jobs.start(f"session{number}") for number in range(3)]
    assert len(jobs._jobs) == 3
    del running
    gc.collect()
    assert len(jobs._jobs) == 0


def test_an_upload_of_a_visitor_who_left_is_not_decoded(tmp_path: Path, model: HSRNet, monkeypatch):
    monkeypatch.setattr(connections, "HANG_UP_SECONDS", 0)
    noise((40, 30)).save(tmp_path / "photo.png")
    context = make_context(tmp_path, model)
    monkeypatch.setattr(uploads.DECODER, "read_image", lambda *_: pytest.fail("it was decoded"))
    caller = Caller(Visitor("a", "session"))
    for work in (
        lambda: context.accept_upload(tmp_path / "photo.png", "photo.png", caller),
        lambda: context.in_turn(lambda: pytest.fail("it was converted"), tmp_path, caller),
    ):
        with pytest.raises(ValueError, match="the visitor has left"):
            work()


def test_conversions_are_made_in_turns(tmp_path: Path, model: HSRNet):
    context, release = make_context(tmp_path, model), threading.Event()
    caller = Caller(Visitor("a", "session"))
    with ThreadPoolExecutor(limits_of_page.MAX_WAITING_PER_ADDRESS) as pool:
        first = [
            pool.submit(context.in_turn, lambda: release.wait(10), tmp_path, caller)
            for _ in range(limits_of_page.MAX_WAITING_PER_ADDRESS)
        ]
        while len(context.file_queue._active()) < len(first):
            time.sleep(0.01)
        with pytest.raises(QueueFullError, match="16 images of yours wait already"):
            context.in_turn(lambda: None, tmp_path, caller)
        other = Caller(Visitor("b", "session"))
        assert context.in_turn(lambda: 7, tmp_path, other) == 7
        release.set()
        assert all(entry.result(10) for entry in first)


def test_visitors_who_left_are_forgotten_by_the_queue(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(device_queue, "MAX_KNOWN", 20)
    queue, release = DeviceQueue(1), threading.Event()
    queue.submit(lambda: release.wait(10), visitor=Visitor("busy"))
    for number in range(60):
        entry = queue.submit(lambda: None, visitor=Visitor("a", str(number)))
        queue.remove(entry)
    assert len(queue._used) < 30
    release.set()


# Addresses.


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("8.8.8.8", "8.8.8.8"),
        ("::ffff:8.8.8.8", "8.8.8.8"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::7%eth0", "2001:db8:1:2::"),
        ("", ""),
    ],
)
def test_a_visitor_with_a_network_has_one_address(address: str, network: str):
    assert connections.network_of(address) == network


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses(address: str):
    assert url_guard.is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "fe80::1",
        "fc00::1",
        "fec0::1",
        "ff0e::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "::ffff:127.0.0.1",
        "::ffff:100.64.0.1",
        "host",
        "",
    ],
)
def test_addresses_that_are_not_public(address: str):
    assert not url_guard.is_public(address)


@pytest.mark.parametrize("answer", [["100.64.0.1"], ["8.8.8.8", "10.0.0.1"], []])
def test_a_name_with_one_address_that_is_not_public_is_refused(
    monkeypatch: pytest.MonkeyPatch, answer: list[str]
):
    async def resolve() -> None:
        async def getaddrinfo(*_: object, **__: object) -> list:
            return [(0, 0, 0, "", (address, 0)) for address in answer]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        await url_guard.public_address("huggingface.co")

    with pytest.raises(ValueError, match="is not a public host"):
        run_async(resolve())


# Values.


@pytest.mark.parametrize(
    ("value", "fitting"),
    [
        (None, "scale width model leave_out image files memory any"),
        (4, "scale width model leave_out any example"),
        (-1, "scale width model leave_out any"),
        (5.5, "scale width model leave_out any"),
        (True, "scale width model leave_out any"),
        ("exact", "scale width model leave_out any"),
        ("x" * 4097, ""),
        (10**30, ""),
        ([], "files"),
        ([[]] * 9, ""),
        ([{}] * 1000, "files"),
        ([{}] * 1001, ""),
        ([None], ""),
        ({"format": "PNG", "at_once": True}, "image memory any"),
        ({"path": "a", "size": 9, "meta": {"_type": "gradio.FileData"}}, "image memory any"),
        ({"path": "a", "meta": {"_type": {}}}, ""),
        ({"path": "a", "more": []}, ""),
        ({"path": "x" * 4097}, ""),
        ({str(number): 0 for number in range(17)}, ""),
    ],
)
def test_components_get_values_that_they_can_have(value: Any, fitting: str):
    with gr.Blocks():
        components = {
            "scale": gr.Radio(),
            "width": gr.Number(),
            "model": gr.Dropdown(),
            "leave_out": gr.Checkbox(),
            "image": gr.Image(),
            "files": gr.File(),
            "memory": gr.BrowserState(),
            "example": gr.Dataset(components=["textbox"], samples=[["a"]] * 5),
            "any": None,
        }
    found = [name for name, component in components.items() if server._fits(component, value)]
    assert set(found) == set(fitting.split())


# Hosts, proxies and connections.


@pytest.mark.parametrize(
    ("environment", "hosts"),
    [
        ({}, {"localhost", "127.0.0.1", "[::1]"}),
        ({"HSR_ALLOWED_HOSTS": "Sharp.example, "}, {"sharp.example", "localhost", "127.0.0.1"}),
        ({"GRADIO_SERVER_NAME": "0.0.0.0"}, set()),
        ({"GRADIO_SERVER_NAME": "0.0.0.0", "HSR_ALLOWED_HOSTS": "a.example"}, {"a.example"}),
        ({"GRADIO_SHARE": "True"}, set()),
        ({"HSR_ALLOWED_HOSTS": "*"}, set()),
    ],
)
def test_which_hosts_are_allowed(environment: dict[str, str], hosts: set[str]):
    found = server.allowed_hosts(environment)
    assert found >= hosts and bool(found) == bool(hosts)


@pytest.mark.parametrize(
    ("environment", "peer", "believed"),
    [
        ({}, "127.0.0.1", False),
        ({"FORWARDED_ALLOW_IPS": "10.0.0.0/8"}, "10.1.2.3", True),
        ({"FORWARDED_ALLOW_IPS": "10.0.0.0/8"}, "127.0.0.1", False),
        ({"FORWARDED_ALLOW_IPS": "10.0.0.7, ::1"}, "::1", True),
        ({"SPACE_ID": "me/space"}, "10.1.2.3", True),
        ({"SPACE_ID": "me/space", "FORWARDED_ALLOW_IPS": ""}, "10.1.2.3", False),
    ],
)
def test_only_named_proxies_are_believed(environment, peer, believed, tmp_path: Path):
    [gate] = server.middleware(environment, Connections(), storage.Disk(tmp_path))
    seen: list[Any] = []

    async def app(scope, receive, send) -> None:
        seen.append((scope["client"][0], dict(scope["headers"])))

    headers = [(b"host", b"localhost"), (b"x-forwarded-for", b"9.9.9.9")]
    scope = {"type": "http", "method": "GET", "path": "/config", "headers": headers}
    run_async(cast(Any, gate.cls)(app, *gate.args)({**scope, "client": (peer, 1)}, None, None))
    # The gate and Gradio see the visitor's address, not the proxy's.
    assert seen[0][0] == ("9.9.9.9" if believed else peer)
    assert (b"x-forwarded-for" in seen[0][1]) is believed
    assert environment["FORWARDED_ALLOW_IPS"] == "", "uvicorn itself believes no proxy"


@pytest.mark.parametrize(
    ("forwarded", "visitor"),
    [
        ("9.9.9.9", "9.9.9.9"),
        ("6.6.6.6, 9.9.9.9", "9.9.9.9"),  # the visitor sent the first
        ("6.6.6.6, 10.0.0.1, 9.9.9.9, 10.16.3.80, 172.17.0.2", "9.9.9.9"),
        ("x, 2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("10.0.0.7", "10.0.0.7"),
    ],
)
def test_a_visitor_of_a_space_cannot_choose_an_address(tmp_path: Path, forwarded, visitor):
    environment: dict[str, str] = {"SPACE_ID": "me/space"}
    [gate] = server.middleware(environment, Connections(), storage.Disk(tmp_path))
    seen: list[str] = []

    async def app(scope, receive, send) -> None:
        seen.append(scope["client"][0])

    headers = [(b"host", b"localhost"), (b"x-forwarded-for", forwarded.encode())]
    scope = {"type": "http", "method": "GET", "path": "/config", "headers": headers}
    client = ("10.16.3.80", 1)
    run_async(cast(Any, gate.cls)(app, *gate.args)({**scope, "client": client}, None, None))
    assert seen == [visitor]


def test_wrong_settings_are_named():
    with pytest.raises(SystemExit, match="HSR_MAX_DISK_GB must be a positive number, not '-1'"):
        server.disk_budget({"HSR_MAX_DISK_GB": "-1"})
    with pytest.raises(SystemExit, match="HSR_KEEP_MINUTES must be a positive number, not 'nan'"):
        server.keep_seconds({"HSR_KEEP_MINUTES": "nan"})
    assert server.keep_seconds({"HSR_KEEP_MINUTES": "0.5"}) == 30
    with pytest.raises(SystemExit, match="must hold addresses or networks, not 'proxy'"):
        server.middleware({server.PROXIES: "proxy"}, Connections(), None)  # pyright: ignore


def test_connections_that_send_nothing_or_half_a_request_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server, "IDLE_SECONDS", 0.3)
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 4)

    async def app(scope, receive, send) -> None:
        await asyncio.sleep(1.5 if scope["path"] == "/slow" else 0)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    with serving(app) as address:
        connected = []
        for sent in (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /"):
            connected.append(socket.create_connection(address, timeout=10))
            connected[-1].sendall(sent)
        slow = socket.create_connection(address, timeout=10)
        slow.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.1)
        fifth = socket.create_connection(address, timeout=10)
        with fifth, contextlib.suppress(ConnectionError):
            assert fifth.recv(1) == b"", "one too many"
        started = time.monotonic()
        for connection in connected:
            while connection.recv(1000):
                pass
            connection.close()
        assert time.monotonic() - started < 1.2
        assert slow.recv(1000).startswith(b"HTTP/1.1 204"), "an answer may take its time"
        slow.close()


@contextlib.contextmanager
def serving(app: Any) -> Iterator[tuple[str, int]]:
    """Serve an app as `server.guard` makes uvicorn do, and give its address."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        config = uvicorn.Config(
            app, http=server.LimitedProtocol, lifespan="off", log_level="critical"
        )
        http = uvicorn.Server(config)
        thread = threading.Thread(target=http.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield listening.getsockname()
        finally:
            http.should_exit = True
            thread.join(10)


def test_an_answer_that_is_not_read_ends(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server, "IDLE_SECONDS", 0.3)
    parts, sent = 400, 0

    async def app(scope, receive, send) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(parts):
            await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
            sent += 1
        await send({"type": "http.response.body"})

    def ask() -> socket.socket:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(address)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        return connection

    with serving(app) as address, ask() as stalled:
        time.sleep(0.1)
        assert sent < parts, "the buffers took all"
        time.sleep(1)
        assert sent == parts, "the connection was closed, and Gradio's work has ended"
        with contextlib.suppress(ConnectionError):
            while stalled.recv(1 << 20):
                pass


def test_an_answer_that_is_read_slowly_does_not_end():
    ended: list[str] = []
    transport = SimpleNamespace(
        is_closing=lambda: False,
        get_write_buffer_size=lambda: waiting,
        abort=lambda: ended.append("abort"),
        close=lambda: ended.append("close"),
    )
    last: list[Any] = [None]
    protocol = cast(Any, server.LimitedProtocol.__new__(server.LimitedProtocol))
    protocol.cycle = SimpleNamespace(response_complete=False)
    protocol.loop = SimpleNamespace(call_later=lambda *arguments: last.append(arguments[-1]))
    waiting = 1_000_000
    for _ in range(5):  # less waits at each look
        protocol._look(transport, last[-1])
        waiting -= limits_of_page.MIN_READ_BYTES
    for _ in range(5):  # as much as at the last look, but it was less between
        protocol._look(transport, last[-1])
        protocol._written += 1
    waiting = 0
    for _ in range(5):  # all was read, and the answer takes its time
        protocol._look(transport, last[-1])
    assert ended == []
    waiting = 9
    for _ in range(2):
        protocol._look(transport, last[-1])
    assert ended == ["abort"]


def test_one_address_may_have_half_of_the_connections(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server, "MAX_CONNECTIONS_PER_ADDRESS", 2)
    monkeypatch.setattr(server.LimitedProtocol, "trusts_proxy", staticmethod(lambda _: False))

    async def app(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    asked: list[str] = []
    original = server.network_of
    monkeypatch.setattr(server, "network_of", lambda peer: asked.append(peer) or original(peer))

    def answered(source: str) -> bool:
        connection = socket.create_connection(address, 10, (source, 0))
        connections.append(connection)
        with contextlib.suppress(ConnectionError):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            return connection.recv(100) != b""
        return False

    connections: list[socket.socket] = []
    with serving(app) as address:
        assert [answered("127.0.0.1") for _ in range(4)] == [True, True, False, False]
        assert answered("127.0.0.2")
        monkeypatch.setattr(server.LimitedProtocol, "trusts_proxy", staticmethod(lambda _: True))
        assert answered("127.0.0.1"), "all visitors have the proxy's address"
        assert len(asked) == len(connections), "the time of a connection grows with the others"
        for connection in connections:
            connection.close()


def test_there_are_descriptors_for_all_connections(monkeypatch: pytest.MonkeyPatch):
    limits = {"now": (256, 100_000)}
    resource = SimpleNamespace(
        RLIMIT_NOFILE=0,
        RLIM_INFINITY=-1,
        getrlimit=lambda _: limits["now"],
        setrlimit=lambda _, wanted: limits.update(now=wanted),
    )
    monkeypatch.setattr(server, "resource", resource)
    url_guard.guard()
    server.guard()
    assert limits["now"] == (server.OPEN_FILES, 100_000)
    assert server.OPEN_FILES > 2 * limits_of_page.MAX_CONNECTIONS


def test_a_body_that_drips_ends_at_its_deadline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(middleware, "BODY_SECONDS", 0.3)
    monkeypatch.setattr(middleware, "UPLOAD_SECONDS", 0.9)
    sent: list[dict[str, Any]] = []

    async def app(scope, receive, send) -> None:
        while (await receive()).get("more_body"):
            pass

    async def drip() -> dict[str, Any]:
        await asyncio.sleep(0.1)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def silence() -> dict[str, Any]:
        await asyncio.sleep(30)
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    gate = middleware.Gate(app, Connections(), storage.Disk(tmp_path))
    for path, receive, most in [
        ("/gradio_api/queue/join", drip, 0.7),
        ("/gradio_api/upload", drip, 1.3),
        ("/gradio_api/upload", silence, 0.7),
        ("/gradio_api/mcp/", silence, 0.7),
    ]:
        scope = {"type": "http", "method": "POST", "path": path, "headers": []}
        started = time.monotonic()
        run_async(gate(scope, receive, send))
        assert time.monotonic() - started < most + 1, path
        assert sent[-2]["status"] == 408, path


def test_a_download_ends_when_its_file_is_removed(tmp_path: Path):
    file = tmp_path / "result.png"
    file.write_bytes(bytes(1 << 20))
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)
        if len(sent) == 4:
            file.unlink()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    download = cast(middleware.App, FileResponse(file))
    gate = middleware.Gate(download, Connections(), storage.Disk(tmp_path))
    scope = {"type": "http", "method": "GET", "headers": []}
    scope |= {"path": f"/gradio_api/file={file}", "asgi": {"spec_version": "2.4"}}
    run_async(gate(scope, receive, send))
    assert len(sent) == 4 and sent[-1]["more_body"]


def test_a_guard_that_does_not_sit_ends_the_start(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gradio.processing_utils.async_transport", None)
    with pytest.raises(RuntimeError, match="the guard of addresses cannot be installed"):
        server.guard()
    url_guard.guard()
    server.guard()


# Sentences about a file.


@pytest.mark.filterwarnings("ignore")
def test_sentences_about_a_hostile_file_are_few_and_short(tmp_path: Path):
    keys = [": its " * 100_000, *(f"key {number}" for number in range(10_000))]
    image = ImageData(np.zeros((8, 8, 3), np.uint8), Metadata(text=dict.fromkeys(keys, "value")))
    [note] = write_image(image, tmp_path / "out.jpg")
    assert len(note) < 500 and "more texts" in note
    noise((8, 8)).save(tmp_path / "in.png")
    data = (tmp_path / "in.png").read_bytes()
    damaged = [b"\0\0\0\0" + b"x%03d" % number + b"bad!" for number in range(1000)]
    (tmp_path / "in.png").write_bytes(data[:33] + b"".join(damaged) + data[33:])
    notes = read_image(tmp_path / "in.png").notes
    assert len(notes) == png.MAX_LOSSES + 1 and "more of its chunks" in notes[-1]
    started = time.perf_counter()  # the pattern of a sentence with two values took an hour
    assert "a.png" in templates.library_text("a.png" + ": its " * 200_000, "note_")
    assert time.perf_counter() - started < 5


def test_an_upload_that_is_too_long_is_refused(tmp_path: Path, model: HSRNet):
    context = make_context(tmp_path, model)
    for name, size in (("row.png", (1_000_000, 1)), ("column.png", (1, 70_000))):
        Image.new("L", size).save(tmp_path / name)
        with pytest.raises(ImageError, match=f"{name} is {max(size)} pixels long"):
            context.accept_upload(tmp_path / name, name, None)
    Image.new("L", (65_535, 1)).save(tmp_path / "good.png")
    upload = context.accept_upload(tmp_path / "good.png", "good.png", None)
    assert upload.size == (65_535, 1) and upload.exists
