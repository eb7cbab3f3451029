"""The parts of the page, without a server."""

from __future__ import annotations

import os
import re
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
import yaml
from PIL import ExifTags, Image

from hsr_hub import HSRNet
from hsr_hub.hub import DETAIL, bundled_models
from hsr_hub.images import (
    NOTES_KEY,
    ImageData,
    ImageError,
    Metadata,
    read_image,
    to_image,
    write_image,
)
from hsr_hub.webapp import batch_templates, downloads, previews, storage, templates
from hsr_hub.webapp.batch_tab import BatchTab
from hsr_hub.webapp.context import AppContext
from hsr_hub.webapp.device_queue import DeviceQueue
from hsr_hub.webapp.engine import Result, UpscaleTask
from hsr_hub.webapp.eta import PendingWork, TimeEstimator
from hsr_hub.webapp.example_cache import MAX_PIXELS, MAX_RESULTS, ExampleCache
from hsr_hub.webapp.form import adapted
from hsr_hub.webapp.history import Shown
from hsr_hub.webapp.jobs import Job, JobCancelledError, Jobs
from hsr_hub.webapp.models import ModelStore
from hsr_hub.webapp.single_tab import SingleTab
from hsr_hub.webapp.texts import ENGLISH
from hsr_hub.webapp.tiles import TILE, bicubic_part, save_tiles
from hsr_hub.webapp.trials import Trial, TrialTask, spot_of
from hsr_hub.webapp.uploads import ResultTooLargeError, Upload
from hsr_hub.webapp.upscale_request import (
    CROP,
    EXACT,
    FIT,
    UpscaleRequest,
    parse_request,
    request_from_form,
)
from tests.space import noise
from tests.util import ROOT

REQUEST = gr.Request(session_hash="me")
FORM = (4, None, None, 0, "it")
MADE = UpscaleRequest("it", scale=2)
IPTC = b"\x1c\x02\x78\x00\x0bOpa in Rome"


def make_context(folder: Path, model: HSRNet) -> AppContext:
    """A context with one worker and one model, "it"."""
    return AppContext(folder, ModelStore({"it": model}, {}, []), DeviceQueue(1))


def make_tab(tab: Callable[..., Any], *args: Any) -> Any:
    """A tab, as `build_app` builds it."""
    with gr.Blocks():
        return tab(*args)


def make_task(context: AppContext, path: Path, job: Job | None = None, **options) -> UpscaleTask:
    """A task to upscale a file by 4."""
    job = job or Job(storage.new_folder(context.folder))
    return UpscaleTask(context, job, (path, path.name), UpscaleRequest("it", scale=4), **options)


# The device queue and the engine.


def test_the_queue_runs_entries_in_order_and_tells_how_many_are_ahead():
    queue, go = DeviceQueue(1), threading.Event()
    done: list[int] = []

    def work(number: int) -> int:
        go.wait(10)
        done.append(number)
        return number

    first = queue.submit(partial(work, 0))
    assert queue.ahead(first) == 0, "nothing runs"
    others = [queue.submit(partial(work, number)) for number in range(1, 6)]
    assert [queue.ahead(entry) for entry in others] == [1, 2, 3, 4, 5]
    queue.remove(others[1])
    assert others[1].done and queue.ahead(others[2]) == 2
    go.set()
    assert all(entry.wait(10) for entry in others)
    assert done == [0, 1, 3, 4, 5] and others[-1].future.result() == 5


def test_an_error_in_the_queue_reaches_its_owner_only():
    queue = DeviceQueue(1)
    broken, good = queue.submit(lambda: 1 / 0), queue.submit(lambda: "fine")
    with pytest.raises(ZeroDivisionError):
        broken.future.result(10)
    assert good.future.result(10) == "fine"


def test_cancel_ends_before_another_tile_is_computed(tmp_path: Path, model: HSRNet):
    noise((1700, 1300)).save(tmp_path / "photo.png")  # many tiles, because it has a preview
    context = make_context(tmp_path, model)
    job = Job(storage.new_folder(tmp_path))
    task = make_task(context, tmp_path / "photo.png", job, view="comparison")
    cancelled_after = None
    with pytest.raises(JobCancelledError):
        for _ in task:
            if task.tiles_done and cancelled_after is None:
                cancelled_after = task.tiles_done
                job.cancel()
    assert cancelled_after is not None
    assert task.tiles_done <= cancelled_after + 1 < task.tiles_total
    assert task.result is None


def test_cancel_ends_a_request_that_waits(tmp_path: Path, model: HSRNet):
    noise((40, 30)).save(tmp_path / "photo.png")
    context, release = make_context(tmp_path, model), threading.Event()
    context.queue.submit(lambda: release.wait(30))
    job = Job(storage.new_folder(tmp_path))
    with pytest.raises(JobCancelledError):
        for progress in make_task(context, tmp_path / "photo.png", job):
            if progress.ahead == 1:
                job.cancel()
    release.set()


def test_a_task_that_is_not_watched_any_more_is_cancelled(tmp_path: Path, model: HSRNet):
    noise((900, 700)).save(tmp_path / "photo.png")
    context, job = make_context(tmp_path, model), Job(storage.new_folder(tmp_path))
    for _ in make_task(context, tmp_path / "photo.png", job, view="comparison"):
        break
    assert job.cancelled


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "I;16"])
def test_the_full_preview_equals_the_reduced_result(tmp_path: Path, model: HSRNet, mode):
    image = noise((500, 300))
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    else:
        image = image.convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    image.save(tmp_path / "photo.png")
    context = make_context(tmp_path, model)
    task = make_task(context, tmp_path / "photo.png", view="comparison")
    for _ in task:
        pass
    assert task.result is not None
    assert task.preview is not None and task.preview.tiles == 4
    assert max(task.preview.size) == previews.PREVIEW_SIDE
    result = to_image(read_image(task.result.path))
    small = previews.for_screen(result).resize(task.preview.size, reducing_gap=2.0)
    difference = np.asarray(task.preview.image).astype(int) - np.asarray(small)
    assert np.abs(difference).mean() < 2


def test_what_was_converted_is_in_the_result_and_in_its_file(tmp_path: Path, model: HSRNet):
    frames = [noise((40, 30), seed=number) for number in range(2)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    task = make_task(make_context(tmp_path, model), tmp_path / "moving.gif")
    for _ in task:
        pass
    assert task.result is not None
    assert "only the first" in " ".join(task.result.notes)
    with Image.open(task.result.path) as image:
        assert image.info[NOTES_KEY] == "\n".join(task.result.notes)


def test_estimates_follow_the_measurements(tmp_path: Path, model: HSRNet):
    estimator = TimeEstimator()
    assert estimator.estimate(model, (100, 100), (400, 400)) is None
    estimator.calibrate(model, tmp_path)
    assert list(tmp_path.iterdir()) == []
    small = estimator.estimate(model, (100, 100), (400, 400))
    large = estimator.estimate(model, (200, 200), (800, 800))
    twice = estimator.estimate(model, (100, 100), (400, 400), forward_passes=2)
    assert small and large and twice
    assert large == pytest.approx([4 * part for part in small])
    assert twice == pytest.approx([2 * small.compute, small.save])
    for _ in range(20):
        estimator.add_compute(model, (100, 100), (400, 400), 5.0)
        estimator.add_save((400, 400), 2.0)
    assert estimator.estimate(model, (100, 100), (400, 400)) == pytest.approx((5, 2), rel=0.01)


# Requests.


def test_a_request_knows_size_and_name_of_its_result(model: HSRNet):
    models = ModelStore({"it": model}, {}, [])
    parse = partial(parse_request, models, strength=0, model="it")
    cases: list[tuple[UpscaleRequest, tuple[int, int], str]] = [
        (parse(2, None, None), (80, 60), "2x-it"),
        (parse(1.7, 0, None), (68, 51), "1.7x-it"),
        (parse(4, 100, None), (100, 75), "100x75-it"),
        (parse(None, None, 90), (120, 90), "120x90-it"),
        (parse(None, 50, 90.2), (50, 90), "50x90-it"),
        (request_from_form(models, EXACT, 50, None, 0, "it"), (50, 38), "50x38-it"),
        (request_from_form(models, 3, 50, None, 0, "it"), (120, 90), "3x-it"),
    ]
    for request, target, label in cases:
        assert (request.target((40, 30)), request.label((40, 30))) == (target, label)
    # A panorama can be that wide. Alone, a width is no reason to refuse.
    assert parse(None, 16000, None).target((8000, 100)) == (16000, 200)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (("four", None, None, 0, "it"), "scale must be a number, not 'four'"),
        (([4], None, None, 0, "it"), r"scale must be a number, not \[4\]"),
        (({}, None, None, 0, "it"), "scale must be a number"),
        ((True, None, None, 0, "it"), "scale must be a number, not True"),
        ((float("nan"), None, None, 0, "it"), "scale must be between 0.25 and 8, not nan"),
        ((10**400, None, None, 0, "it"), "scale must be between"),
        (("exact", None, 0, 0, "it"), "fill in a width, a height, or both"),
        (("exact", "9", None, 0, "it"), "width must be a number, not '9'"),
        (("exact", None, [1], 0, "it"), r"height must be a number, not \[1\]"),
        (("exact", 1e9, None, 0, "it"), "width must be between 1 and 16000"),
        ((4, None, None, "1", "it"), "strength must be a number, not '1'"),
        ((4, None, None, 2, "it"), "strength must be between 0 and 1, not 2"),
        ((4, None, None, 0.5, "it"), "it has no detail model here: strength must be 0"),
        ((4, None, None, 0, "gpt"), "there is no model 'gpt' here; choose it"),
        ((4, None, None, 0, ["it"]), "there is no model"),
        ((4, None, None, 0, None), "there is no model"),
    ],
)
def test_wrong_values_of_any_type_get_one_sentence(model: HSRNet, values, message):
    with pytest.raises(ValueError, match=message) as caught:
        request_from_form(ModelStore({"it": model}, {}, []), *values)
    assert len(str(caught.value)) < 200


def test_both_sides_are_fitted_or_cropped(tmp_path: Path, model: HSRNet):
    store = ModelStore({"it": model}, {}, [])
    fitted = request_from_form(store, EXACT, 50, 50, 0, "it", FIT)
    assert fitted.target((40, 30)) == (50, 38) and fitted.crop_box((40, 30)) is None
    # A side that was rounded is taken as it is.
    assert request_from_form(store, EXACT, 50, 37, 0, "it", FIT).target((40, 30)) == (50, 37)
    cropped = request_from_form(store, EXACT, 50, 50, 0, "it", CROP)
    assert cropped.target((40, 30)) == (50, 50) and cropped.crop_box((40, 30)) == (5, 0, 35, 30)
    assert cropped.label((40, 30)) == "50x50-cropped-it"
    with pytest.raises(ValueError, match="choose fit or crop"):
        request_from_form(store, EXACT, 50, 50, 0, "it", "../..")

    noise((40, 30)).save(tmp_path / "photo.png")
    context, job = make_context(tmp_path, model), Job(storage.new_folder(tmp_path))
    task = UpscaleTask(context, job, (tmp_path / "photo.png", "photo.png"), cropped)
    for _ in task:
        pass
    assert task.result is not None
    with Image.open(tmp_path / "photo.png") as image:
        expected = model.upscale(image.crop((5, 0, 35, 30)), size=(50, 50))
    assert np.array_equal(read_image(task.result.path).array, np.asarray(expected))


def test_a_trial_has_the_pixels_of_the_whole_result(tmp_path: Path, model: HSRNet):
    noise((400, 300)).save(tmp_path / "photo.png")
    context, job = make_context(tmp_path, model), Job(storage.new_folder(tmp_path))
    upload = tmp_path / "photo.png", "photo.png"
    task = TrialTask(context, job, upload, [UpscaleRequest("it", scale=4)], (0.5, 0.9))
    for _ in task:
        pass
    assert task.result is not None
    plain, trial = task.result
    assert plain.request is None and trial.request == UpscaleRequest("it", scale=4)
    made, whole = read_image(trial.file).array, np.asarray(model.upscale(tmp_path / "photo.png"))
    left, top = 4 * (200 - 40), 4 * (300 - 80)
    assert made.shape == (320, 320, 3)
    difference = made.astype(int) - whole[top : top + 320, left : left + 320]
    assert np.abs(difference).max() <= 1, "rounding may differ with the size of a tile"


@pytest.mark.parametrize("fitting", [CROP, FIT])
@pytest.mark.parametrize(
    ("source", "size"),
    [((40, 40), (16_000, 4000)), ((40, 40), (1, 1)), ((300, 1), (1, 1)), ((1, 1), (4000, 4000))],
)
def test_a_trial_is_small_for_any_exact_size(tmp_path: Path, model: HSRNet, source, size, fitting):
    noise(source).save(tmp_path / "photo.png")
    context, job = make_context(tmp_path, model), Job(storage.new_folder(tmp_path))
    upload = tmp_path / "photo.png", "photo.png"
    request = UpscaleRequest("it", width=size[0], height=size[1], fitting=fitting)
    task = TrialTask(context, job, upload, [request], (0.5, 0.5))
    for _ in task:
        pass
    assert task.result is not None
    for trial in task.result:
        with Image.open(trial.file) as image:
            assert max(image.size) <= 320


def test_tiles_are_the_pixels_of_before_and_after(tmp_path: Path):
    before = ImageData.from_image(noise((200, 150)))
    after = ImageData.from_image(noise((TILE + 288, 600), seed=1))
    folder = save_tiles(before, after, tmp_path / "tiles")
    assert len(list(folder.iterdir())) == 8
    plain = np.asarray(to_image(before).resize(after.size, Image.Resampling.BICUBIC))
    for side, whole in (("before", plain), ("after", after.array)):
        for column, row in ((0, 0), (1, 0), (0, 1), (1, 1)):
            tile = read_image(folder / f"{side}-{column}-{row}.png").array
            left, top = column * TILE, row * TILE
            expected = whole[top : top + TILE, left : left + TILE].astype(int)
            assert np.abs(tile - expected).max() <= 1
    part = bicubic_part(to_image(before), after.size, (0, 0, 9, 9))
    assert np.array_equal(np.asarray(part), plain[:9, :9])


def test_a_waiting_visitor_is_told_the_time_with_the_wait(tmp_path: Path, model: HSRNet):
    pending = PendingWork(workers=2)
    assert pending.wait() == 0
    for number in range(3):
        pending.add(number, 20)
    assert pending.wait() == 30 and pending.wait(1, task=2) == 10
    pending.remove(0)
    assert pending.wait() == 20

    noise((40, 30)).save(tmp_path / "photo.png")
    context, release = make_context(tmp_path, model), threading.Event()
    context.queue.submit(lambda: release.wait(30))
    context.pending.add("running", 40)
    task = make_task(context, tmp_path / "photo.png", expected=10)
    states = []
    for state in task:
        states.append(state)
        release.set()
    assert states[0].ahead == 1 and states[0].seconds_left == 50
    assert "Your result is here in about 50 s." in templates.progress(states[0])


def test_the_headline_of_an_error_follows_its_class():
    with pytest.raises(ResultTooLargeError) as caught:
        UpscaleRequest("it", width=20000).target((200, 1))
    assert ENGLISH["error_size"] in templates.option_error(caught.value)
    other = templates.option_error(ValueError("there are no weights 'would be'"))
    assert ENGLISH["error_options"] in other and ENGLISH["error_size"] not in other


def test_errors_are_sentences():
    texts = {
        "there is no such file": "There is no such file.",
        "text.png is not an image": "text.png is not an image.",
        "4000x3000 would be too large": "4000x3000 would be too large.",
        "Give it again.": "Give it again.",
    }
    for text, expected in texts.items():
        assert templates.sentence(text) == expected


# Handlers.


def test_what_a_browser_remembers_or_clicks_is_checked(tmp_path: Path, model: HSRNet):
    context = make_context(tmp_path, model)
    tab = make_tab(SingleTab, context, [])
    for memory in (None, 7, [], {"format": "../x", "model": "gpt", "leave_out": "yes"}):
        updates = tab.restore(memory)
        assert updates == gr.skip(), memory
    assert tab.restore({"format": "WebP", "leave_out": True})[tab.result.output_format] == "WebP"
    for data in (None, 7, {}, {"index": -1}, {"index": 1}, {"index": "0"}, {"index": True}):
        event = gr.EventData(None, data)
        assert tab.result.show_again([], event) == gr.skip()
        assert (
            tab.result.trials.choose_trial([Trial(tmp_path / "x.png", None)], 4, event) == gr.skip()
        )
    assert tab.result.show_again([], None) == gr.skip(), "what Gradio gives without an event"
    for model_name in (None, 7, [], {}):
        assert tab.inputs.form.scale in adapted(tab.inputs.form, context.models, model_name, 4)
    for spot in (None, 7, "", "a b", "nan 1", "1 2 3", {}):
        assert spot_of(spot) == (0.5, 0.5)
    assert spot_of("-1 0.25") == (0, 0.25)


def test_the_place_is_left_out_of_a_download(tmp_path: Path, model: HSRNet):
    exif = Image.Exif()
    exif[ExifTags.IFD.GPSInfo] = {1: "N", 2: (52.0, 31.0, 0.0)}
    noise((40, 30)).save(tmp_path / "photo.jpg", exif=exif)
    context = make_context(tmp_path, model)
    tab = make_tab(SingleTab, context, [])
    upload = Upload(tmp_path / "photo.jpg", "photo.jpg", (40, 30), 1, tmp_path / "photo.jpg")
    *_, last = tab.run(REQUEST, upload, *FORM)
    shown = last[tab.result.shown]
    assert read_image(shown.result.path).metadata.exif is not None
    for output_format in ("PNG", "JPEG"):
        *_, last = tab.result.convert(REQUEST, shown, output_format, True)
        path = Path(last[tab.result.download]["value"])
        assert path.stem == shown.result.path.stem
        with Image.open(path) as image:
            assert not image.getexif().get_ifd(ExifTags.IFD.GPSInfo)
    written = path.stat().st_mtime_ns
    downloads.write_copy(shown.result.path, path, "JPEG", True)  # by another request that waited
    assert path.stat().st_mtime_ns == written
    *_, last = tab.result.convert(REQUEST, shown, "JPEG", False)
    with Image.open(last[tab.result.download]["value"]) as image:
        assert image.getexif().get_ifd(ExifTags.IFD.GPSInfo)


def test_a_download_keeps_the_metadata_of_a_jpeg_and_says_what_it_lost(
    tmp_path: Path, model: HSRNet
):
    photo, kept = ImageData(np.asarray(noise((40, 30)))), Metadata(iptc=IPTC, comment=b"by Opa")
    write_image(replace(photo, metadata=kept), tmp_path / "photo.jpg")
    prompted = Metadata(text={"prompt": "a cat"})
    write_image(replace(photo, metadata=prompted), tmp_path / "made.png")
    context = make_context(tmp_path, model)
    tab = make_tab(SingleTab, context, [])

    def download(name: str, *formats: str) -> dict[Any, Any]:
        upload = Upload(tmp_path / name, name, (40, 30), 1, tmp_path / name)
        *_, last = tab.run(REQUEST, upload, *FORM)
        shown = last[tab.result.shown]
        for output_format in formats:
            *_, last = tab.result.convert(REQUEST, shown, output_format, False)
        return last

    last = download("photo.jpg", "JPEG")
    found = read_image(last[tab.result.download]["value"]).metadata
    assert (found.iptc, found.comment) == (IPTC, b"by Opa")
    assert "hsr-notes" not in last[tab.result.result_summary]["value"]
    lost = "JPEG cannot hold its text &#x27;prompt&#x27;"
    for formats, said in ((("JPEG",), True), (("JPEG", "PNG"), False)):
        last = download("made.png", *formats)
        assert (lost in last[tab.result.result_summary]["value"]) == said
    last = download("made.png", "JPEG", "PNG", "JPEG")
    assert lost in last[tab.result.result_summary]["value"], "the copy is there already"


def test_the_error_of_a_download_names_no_folder_of_the_server(tmp_path: Path, monkeypatch):
    noise((40, 30)).save(tmp_path / "made.png")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device", str(tmp_path / ".temporary.jpg"))

    monkeypatch.setattr("hsr_hub.images.writing.write_by_pillow", fail)
    with pytest.raises(ImageError) as caught:
        downloads.write_copy(tmp_path / "made.png", tmp_path / "made.jpg", "JPEG")
    assert str(caught.value) == "made.jpg cannot be written: No space left on device"


def received(context: AppContext, path: Path, name: str | None = None) -> dict[str, Any]:
    """An upload as Gradio hands it over."""
    return {"path": str(path), "orig_name": name or path.name, "meta": storage.UPLOAD_META}


def test_a_photo_that_is_removed_while_it_waits_is_asked_for_again(tmp_path: Path, model: HSRNet):
    context = make_context(tmp_path, model)
    photo, thumbnail = tmp_path / "cat.png", tmp_path / "thumbnail.jpg"
    for path in (photo, thumbnail):
        noise((40, 30)).save(path)
    tab = make_tab(SingleTab, context, [photo])
    stream = tab.run(REQUEST, Upload(photo, "cat.png", (40, 30), 1, thumbnail), *FORM)
    next(stream)
    photo.unlink()
    *_, last = stream
    assert last[tab.inputs.upload] is None
    assert "no longer here" in last[tab.inputs.error_box]["value"]
    lost = Result(tmp_path / "cat-2x.png", (80, 60))
    shown = Shown(Upload(photo, "cat.png", (40, 30), 1, thumbnail), FORM, MADE, lost, None)
    [answer] = tab.result.convert(REQUEST, shown, "JPEG", False)
    gone = answer[tab.inputs.error_box]["value"]
    assert "no longer here" in gone and str(tmp_path) not in gone


def test_wrong_types_end_in_an_error_box(tmp_path: Path, model: HSRNet):
    context = make_context(tmp_path, model)
    photo, thumbnail = tmp_path / "cat.png", tmp_path / "thumbnail.jpg"
    for path in (photo, thumbnail):
        noise((40, 30)).save(path)
    upload = Upload(photo, "cat.png", (40, 30), 1, thumbnail)
    single, batch = make_tab(SingleTab, context, []), make_tab(BatchTab, context)
    for file in (7, "cat.png", [], {}, {"path": 7}, {"path": None}):
        assert single.inputs.error_box in single.receive(REQUEST, file, *FORM), file
    for scale in ("four", [], {}, None, True):
        form = (scale, *FORM[1:])
        for answer in (
            single.receive(REQUEST, received(context, photo), *form),
            single.inputs.describe(upload, *form),
            *single.run(REQUEST, upload, *form),
            *batch.run(REQUEST, [received(context, photo)], None, "PNG", *form),
        ):
            box = answer.get(single.inputs.error_box) or answer[batch.error_box]
            assert "Scale must be a number" in box["value"], scale
    for output_format in ("GIF", "", None, 7, [], {}):
        shown = Shown(upload, FORM, MADE, Result(photo, (40, 30)), None)
        [answer] = single.result.convert(REQUEST, shown, output_format, False)
        assert "Choose PNG, JPEG, WebP." in answer[single.inputs.error_box]["value"]
    for files in (None, [], {}, "cat.png", 7):
        [answer] = batch.run(REQUEST, files, None, "PNG", *FORM)
        assert "There are no files" in answer[batch.error_box]["value"]
    for output_format in ("GIF", "", None, 7, [], {}):
        [answer] = batch.run(REQUEST, [received(context, photo)], None, output_format, *FORM)
        assert "Choose PNG, JPEG, WebP" in answer[batch.error_box]["value"]
    [answer] = batch.run(REQUEST, [7], None, "PNG", *FORM)
    assert "There is no image" in answer[batch.error_box]["value"]
    [answer] = batch.run(REQUEST, [received(context, photo)] * 101, None, "PNG", *FORM)
    assert "101 files are too many" in answer[batch.error_box]["value"]


# Files.


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("holiday.jpg", "holiday"),
        ("Ürlaub am See (2).JPEG", "Ürlaub am See (2)"),
        ("archive.tar.gz", "archive.tar"),
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\photo.png", "photo"),
        (".hidden.png", "hidden"),
        ("....png", "png"),
        ("", "image"),
        ('<img src="x">.png', "img src=x"),
        ("a\nb\x00c.png", "abc"),
        ("x" * 300 + ".png", "x" * 200),
        ("\N{CAT FACE}" * 99 + ".png", "\N{CAT FACE}" * 50),
    ],
)
def test_results_are_named_after_uploads_and_stay_in_their_folder(name: str, stem: str):
    assert storage.file_stem(name) == stem


def test_names_of_uploads_are_escaped():
    error = ImageError("<script>alert(1)</script>.png is not an image")
    errors = batch_templates.file_errors([("<script>alert(1)</script>.png", str(error))], 2)
    for text in (templates.error_box("No.", error), errors):
        assert "<script" not in text and "&lt;script" in text


def test_cached_results_are_only_for_the_example_itself(tmp_path: Path):
    path, request = tmp_path / "cat.png", UpscaleRequest("it", scale=2)
    noise((40, 30)).save(path)
    cache = ExampleCache([path])
    folder = tmp_path / "made"
    folder.mkdir()
    comparison = (folder / "before.png", folder / "after.png")
    result = Result(folder / "cat-2x.png", (80, 60), comparison)
    for file in result.files:
        file.touch()
    other_name = Upload(path, "other.png", (40, 30), 1, path)
    cache.keep(other_name, request, result)
    cat = Upload(path, "cat.png", (40, 30), 1, path)
    assert cache.find(cat, request) is None
    cache.keep(cat, request, result)
    assert cache.find(other_name, request) is None
    # Each use resets the age of the files.
    for file in (*result.files, folder):
        os.utime(file, (0, 0))
    assert cache.find(cat, request) == result
    assert all(file.stat().st_mtime > 0 for file in (*result.files, folder))
    comparison[1].unlink()
    assert cache.find(cat, request) is None
    comparison[1].touch()
    for number in range(2 * MAX_RESULTS):
        cache.keep(cat, UpscaleRequest("it", width=number + 0.5), result)
    assert len(cache._results) == MAX_RESULTS
    # Their space on the disk is limited, because each use keeps the files.
    for number in range(50):
        cache.keep(cat, UpscaleRequest("it", width=number), replace(result, size=(2000, 2000)))
    assert sum(r.size[0] * r.size[1] for r in cache._results.values()) <= MAX_PIXELS
    cache.keep(cat, request, replace(result, size=(4000, 2000)))
    assert cache.find(cat, request) is None
    noise((40, 30), seed=1).save(path)  # another image of that name
    assert cache.find(cat, request) is None


def test_old_jobs_are_removed_without_any_request(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(storage, "SWEEP_SECONDS", 0.05)
    monkeypatch.setattr(tempfile, "tempdir", None)
    root = storage.open_folder()
    storage.Disk(root).start()
    old, young = storage.new_folder(root), storage.new_folder(root)
    (old / "photo-4x.png").touch()
    long_ago = time.time() - storage.KEEP_SECONDS - 60
    for path in (old / "photo-4x.png", old):
        os.utime(path, (long_ago, long_ago))
    for _ in range(200):
        if not old.exists():
            break
        time.sleep(0.05)
    assert not old.exists() and young.exists()


def test_a_new_job_cancels_the_one_before(tmp_path: Path):
    jobs = Jobs(tmp_path)
    first, other = jobs.start("me"), jobs.start("you")
    second = jobs.start("me")
    assert first.cancelled and not second.cancelled and not other.cancelled
    assert first.replaced and not second.replaced and not other.replaced


# Texts.


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.3, "about 1 s"), (4.4, "about 4 s"), (42, "about 40 s"), (200, "about 3 min")],
)
def test_expected_times_are_rounded(seconds, text):
    assert templates.duration(seconds) == text


def test_the_front_matter_is_what_a_space_needs():
    front = yaml.safe_load((ROOT / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    assert front["sdk"] == "gradio" and front["app_file"] == "app.py"
    assert re.fullmatch(r"6\.\d+\.\d+", front["sdk_version"]), "pinned"
    assert front["python_version"] == "3.12"
    assert 0 < len(front["short_description"]) <= 60
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {front["colorFrom"], front["colorTo"]} <= colours
    assert {"title", "emoji", "license"} <= set(front)
    assert {"super-resolution", "mcp-server"} <= set(front["tags"])


def test_every_bundled_model_has_a_name_for_people(model: HSRNet):
    plain = {name: model for name in bundled_models() if not name.endswith(DETAIL)}
    detail = {name: model for name in plain if name + DETAIL in bundled_models()}
    store = ModelStore(plain, detail, [], auto=True)
    labels = store.labels
    assert list(labels.values())[:3] == ["Auto", "Clean original", "Web or phone photo"]
    assert len(set(labels.values())) == len(labels) and set(plain) < set(labels)
    assert ModelStore({"org/hsr": model}, {}, []).labels == {"org/hsr": "org/hsr"}
