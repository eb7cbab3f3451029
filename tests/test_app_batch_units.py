"""The handlers of the tab for several photos, without a server."""

from __future__ import annotations

import re
import threading
import zipfile
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from PIL import Image

from hsr_hub import HSRNet
from hsr_hub.webapp.batch_tab import BatchTab
from hsr_hub.webapp.eta import Estimate
from hsr_hub.webapp.upscale_request import EXACT
from tests.space import noise
from tests.test_app_units import FORM, REQUEST, make_context, make_tab, received


def make_batch(
    tmp_path: Path, model: HSRNet, names: list[str]
) -> tuple[BatchTab, list[dict[str, Any]]]:
    """The tab for several photos, and uploads of these names, each in its own folder."""
    context = make_context(tmp_path, model)
    files = []
    for number, name in enumerate(names):
        path = tmp_path / str(number) / "upload.png"
        path.parent.mkdir()
        noise((30 + number, 20), seed=number).save(path)
        files.append(received(context, path, name))
    return make_tab(BatchTab, context), files


def test_a_batch_is_described_before_it_starts(tmp_path: Path, model: HSRNet):
    tab, files = make_batch(tmp_path, model, ["a.png", "b.png", "c.png"])
    Path(files[1]["path"]).write_text("not an image")
    *steps, last = tab.receive(REQUEST, files, None, *FORM)
    assert ["Looking at photo 1 of 3" in step[tab.info]["value"] for step in steps[:2]] == [
        True,
        False,
    ]
    assert last[tab.run_button]["value"] == "Make 2 photos sharp"
    assert last[tab.run_button]["interactive"]
    rows = last[tab.rows_done]["value"]
    assert re.findall('data-state="(.+?)"', rows) == ["waiting", "failed", "waiting"]
    assert "30 × 20 to 120 × 80" in rows and "32 × 20 to 128 × 80" in rows
    assert "1 of 3 photos could not be used." in last[tab.file_errors]["value"]

    # Files that are known are not read again.
    known = last[tab.checks]
    for file in files:
        Path(file["path"]).unlink()
    [again] = tab.receive(REQUEST, files[:1], known, *FORM)
    assert again[tab.run_button]["value"] == "Make 1 photo sharp"
    assert list(again[tab.checks]) == [files[0]["path"]]
    [none] = tab.receive(REQUEST, [], known, *FORM)
    assert none[tab.checks] == {} and not none[tab.run_button]["interactive"]

    # The form: another size, one that is too large, and one that is wrong.
    small = tab.describe(files, known, False, 2, *FORM[1:])
    assert "30 × 20 to 60 × 40" in small[tab.rows_done]["value"]
    large = tab.describe(files, known, False, EXACT, 9000, 9000, 0, "it")
    assert "9000x9000 would be 81 megapixels" in large[tab.error_box]["value"]
    assert not large[tab.run_button]["interactive"]
    assert "These files" not in large[tab.error_box]["value"]
    [many] = tab.receive(REQUEST, files * 34, known, *FORM)
    assert "These files cannot be used." in many[tab.error_box]["value"]
    assert "102 files are too many at once" in many[tab.error_box]["value"]
    kept = tab.describe(files, known, True, 2, *FORM[1:])
    assert tab.rows_done not in kept and kept[tab.stale]["visible"]


def test_photos_that_are_too_large_do_not_stop_the_others(tmp_path: Path, model: HSRNet):
    tab, files = make_batch(tmp_path, model, ["wide.png", "b.png"])
    Image.new("L", (4100, 2)).save(files[0]["path"])
    *_, last = tab.receive(REQUEST, files, None, *FORM)
    assert last[tab.run_button]["value"] == "Make 1 photo sharp"
    *_, end = tab.run(REQUEST, files, last[tab.checks], "PNG", *FORM)
    assert "1 of 2 photos could not be used." in end[tab.file_errors]["value"]
    assert "wide.png: 16400x8 would be" in end[tab.file_errors]["value"]
    assert "1 of 2 photos" in end[tab.progress_bar]["value"]


@pytest.mark.parametrize(("output_format", "suffix"), [("JPEG", ".jpg"), ("WebP", ".webp")])
def test_a_batch_in_another_format(tmp_path: Path, model: HSRNet, output_format: str, suffix: str):
    tab, files = make_batch(tmp_path, model, ["../<b>.png", "a.png"])
    *_, last = tab.run(REQUEST, files, None, output_format, 2, *FORM[1:])
    with zipfile.ZipFile(last[tab.archive]["value"]) as archive:
        assert archive.namelist() == [f"b-2x-it{suffix}", f"a-2x-it{suffix}"]
        with archive.open(archive.namelist()[0]) as file, Image.open(file) as image:
            assert (image.format, image.size) == (output_format.upper(), (60, 40))
    assert not list(tmp_path.rglob("*-2x-it.png"))
    assert "<b>" not in last[tab.rows_done]["value"]


def test_results_beyond_a_limit_are_in_the_archive_only(
    tmp_path: Path, model: HSRNet, monkeypatch: pytest.MonkeyPatch
):
    tab, files = make_batch(tmp_path, model, ["a.png", "b.png"])
    monkeypatch.setattr("hsr_hub.webapp.batch_run.MAX_SEPARATE_BYTES", 6000)
    *_, last = tab.run(REQUEST, files, None, "PNG", *FORM)
    with zipfile.ZipFile(last[tab.archive]["value"]) as archive:
        assert len(archive.namelist()) == 2
        sizes = [entry.file_size for entry in archive.infolist()]
    kept = sum(sum(sizes[: n + 1]) <= 6000 for n in range(2))
    assert last[tab.rows_done]["value"].count("Download ·") == kept < 2
    assert "In the ZIP only" in last[tab.rows_done]["value"]


def test_a_batch_keeps_what_is_done_when_the_gpu_time_ends(
    tmp_path: Path, model: HSRNet, monkeypatch: pytest.MonkeyPatch
):
    tab, files = make_batch(tmp_path, model, ["a.png", "b.png"])
    compute, calls = tab.context.compute, []

    def limited(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise gr.Error("no GPU time is left today")
        return compute(*args, **kwargs)

    monkeypatch.setattr(tab.context, "compute", limited)
    updates = []
    with pytest.raises(gr.Error, match="no GPU time"):
        for update in tab.run(REQUEST, files, None, "PNG", *FORM):
            updates.append(update)
    assert "1 of 2 photos" in updates[-1][tab.progress_bar]["value"]
    with zipfile.ZipFile(updates[-1][tab.archive]["value"]) as archive:
        assert archive.namelist() == ["a-4x-it.png"]


def test_the_times_of_a_batch_contain_the_wait(
    tmp_path: Path, model: HSRNet, monkeypatch: pytest.MonkeyPatch
):
    tab, files = make_batch(tmp_path, model, ["a.png", "b.png"])
    context, release = tab.context, threading.Event()
    monkeypatch.setattr(context, "estimate", lambda *_: Estimate(compute=19, save=1))
    context.queue.submit(lambda: release.wait(30))
    context.pending.add("running", 40)
    *_, described = tab.receive(REQUEST, files, None, *FORM)
    assert "about 80 s, with the wait" in described[tab.info]["value"]
    stream = tab.run(REQUEST, files, described[tab.checks], "PNG", *FORM)
    next(stream)
    waiting = next(stream)[tab.progress_bar]["value"]
    assert "One photo is before yours." in waiting
    assert "Your photos are here in about 80 s." in waiting
    assert context.pending.wait() == 60, "others wait for one photo of the batch"
    release.set()
    *_, last = stream
    assert "All 2 photos" in last[tab.progress_bar]["value"]


def test_another_list_of_files_ends_the_run(tmp_path: Path, model: HSRNet):
    tab, files = make_batch(tmp_path, model, ["a.png", "b.png"])
    stream = tab.run(REQUEST, files, None, "PNG", *FORM)
    next(stream)
    *_, looked = tab.receive(REQUEST, files[:1], None, *FORM)
    assert looked[tab.cancel_button] == gr.update(visible=False)
    *_, last = stream
    assert last == gr.skip()


def test_a_batch_that_is_cancelled_keeps_what_is_done(tmp_path: Path, model: HSRNet):
    context = make_context(tmp_path, model)
    tab = make_tab(BatchTab, context)
    files = []
    for number in range(3):
        noise((30, 20), seed=number).save(tmp_path / f"{number}.png")
        files.append(received(context, tmp_path / f"{number}.png", "same.png"))
    updates: list[dict] = []
    for update in tab.run(REQUEST, files, None, "PNG", 2, None, None, 0, "it"):
        updates.append(update)
        if update.get(tab.rows_done, {}).get("value", "").count('data-state="done"') == 2:
            tab.cancel(REQUEST)
    last = updates[-1]
    states = re.findall('data-state="(.+?)"', last[tab.rows_done]["value"])
    assert states == ["done", "done", "skipped"]
    assert "2 of 3 photos" in last[tab.progress_bar]["value"]
    archive = Path(last[tab.archive]["value"])
    with zipfile.ZipFile(archive) as opened:
        names = opened.namelist()
    assert names == ["same-2x-it.png", "same-2x-it-2.png"]
    # Each result can be downloaded under its name, and nothing else is left.
    made = {str(path.relative_to(archive.parent)) for path in archive.parent.rglob("*.*")}
    assert made == {
        archive.name,
        *(f"{n}/{file}" for n in (0, 1) for file in (names[n], "after.jpg")),
    }
    for number, name in enumerate(names):
        assert f'{number}/{name}"' in last[tab.rows_done]["value"]
