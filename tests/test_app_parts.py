"""What stands behind the page, piece by piece."""

from __future__ import annotations

import os
import re
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from hsr_hub import HSRNet
from hsr_hub.hub import DETAIL, bundled_models
from hsr_hub.images import ImageError, to_image
from hsr_hub.webapp import engine, requests, storage, templates, uploads
from hsr_hub.webapp.batch_job import Batch
from hsr_hub.webapp.eta import Speed
from hsr_hub.webapp.example_cache import Examples
from hsr_hub.webapp.jobs import Job, Jobs, Stopped, Turns
from hsr_hub.webapp.models import Networks
from hsr_hub.webapp.single_tab import OnePhoto
from hsr_hub.webapp.uploads import Upload
from tests.space import noise
from tests.util import ROOT


def shop(folder: Path, model: HSRNet) -> engine.Workshop:
    """A workshop with one place and one network."""
    networks = Networks({"it": model}, {}, [])

    def compute(order, picture, stop_file, **reports):
        return engine.compute(networks, order, picture, stop_file, **reports)

    return engine.Workshop(folder, networks, Speed(), Turns(1), Jobs(folder), compute)


def task(
    shop: engine.Workshop, path: Path, order: requests.Order, job: Job, watched: bool = False
) -> engine.Task:
    """A task whose outcome is the result itself."""
    return engine.Task(
        shop, path, path.name, lambda _: order, job, lambda o, s, made: made, watched
    )


def test_turns_come_in_the_order_of_asking():
    turns, go = Turns(1), threading.Event()
    done: list[int] = []

    def work(number: int) -> None:
        go.wait(10)
        done.append(number)

    first = turns.ask(partial(work, 0))
    while turns.ahead(first):
        time.sleep(0.01)
    others = [turns.ask(partial(work, number)) for number in range(1, 6)]
    assert [turns.ahead(turn) for turn in others] == [1, 2, 3, 4, 5]
    turns.leave(others[1])
    assert others[1].over.is_set() and turns.ahead(others[2]) == 2
    go.set()
    assert all(turn.over.wait(10) for turn in others)
    assert done == [0, 1, 3, 4, 5]


def test_a_stop_is_obeyed_before_another_tile_is_computed(tmp_path: Path, model: HSRNet):
    noise((900, 700)).save(tmp_path / "photo.png")  # two tiles a side, since somebody watches
    workshop = shop(tmp_path, model)
    job = Job(storage.new_folder(tmp_path))
    stopped_after = None
    started = task(workshop, tmp_path / "photo.png", requests.Order("it", scale=4), job, True)
    with pytest.raises(Stopped):
        for state in started.watch():
            if state.done and stopped_after is None:
                stopped_after = state.done
                job.stop()
    assert stopped_after is not None
    assert started.total == 4 and started.done <= stopped_after + 1 < 4
    assert started.outcome is None


def test_whoever_stops_while_waiting_is_not_kept_waiting(tmp_path: Path, model: HSRNet):
    noise((40, 30)).save(tmp_path / "photo.png")
    workshop, release = shop(tmp_path, model), threading.Event()
    workshop.turns.ask(lambda: release.wait(30))
    job = Job(storage.new_folder(tmp_path))
    waiting = task(workshop, tmp_path / "photo.png", requests.Order("it", scale=4), job)
    with pytest.raises(Stopped):
        for state in waiting.watch():
            if state.ahead == 1:
                job.stop()
    release.set()


def test_a_task_nobody_watches_any_more_stops(tmp_path: Path, model: HSRNet):
    noise((900, 700)).save(tmp_path / "photo.png")
    job = Job(storage.new_folder(tmp_path))
    order = requests.Order("it", scale=4)
    for _ in task(shop(tmp_path, model), tmp_path / "photo.png", order, job, True).watch():
        break
    assert job.stopped


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "I;16"])
def test_the_preview_ends_as_the_result_made_small(tmp_path: Path, model: HSRNet, mode):
    image = noise((500, 300))
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    else:
        image = image.convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    image.save(tmp_path / "photo.png")
    job = Job(storage.new_folder(tmp_path))
    done = task(
        shop(tmp_path, model), tmp_path / "photo.png", requests.Order("it", scale=4), job, True
    )
    for _ in done.watch():
        pass
    assert done.preview is not None and done.preview.version == 4
    assert max(done.preview.size) == uploads.PREVIEW_SIDE
    small = uploads.for_screen(to_image(done.outcome)).resize(done.preview.size, reducing_gap=2.0)
    difference = np.asarray(done.preview.image).astype(int) - np.asarray(small)
    assert np.abs(difference).mean() < 2


def test_expected_times_follow_what_was_measured(tmp_path: Path, model: HSRNet):
    speed = Speed()
    assert speed.seconds(model, (100, 100), (400, 400)) is None
    speed.calibrate(model, tmp_path)
    assert list(tmp_path.iterdir()) == []
    small = speed.seconds(model, (100, 100), (400, 400))
    large = speed.seconds(model, (200, 200), (800, 800))
    assert small and large
    assert large == pytest.approx([4 * part for part in small])
    for _ in range(20):
        speed.computed(model, (100, 100), (400, 400), 5.0)
        speed.saved((400, 400), 2.0)
    assert speed.seconds(model, (100, 100), (400, 400)) == pytest.approx((5, 2), rel=0.01)


def test_a_batch_stops_with_what_it_has(tmp_path: Path, model: HSRNet):
    files = []
    for number in range(3):
        files.append((tmp_path / f"{number}.png", "same.png"))
        noise((30, 20), seed=number).save(files[-1][0])
    job = Job(storage.new_folder(tmp_path))
    batch = Batch(shop(tmp_path, model), files, lambda _: requests.Order("it", scale=2), job)
    for state in batch.watch():
        assert 0 <= state.fraction <= 1
        if len(state.done) == 2:
            job.stop()
    assert [name for _, name in batch.done] == ["same-2x.png", "same-2x-2.png"]
    assert batch.archive.exists()
    # No result lies about beside the archive, and no half of one.
    assert {p.suffix for p in job.folder.iterdir() if p.name != "stop"} == {".zip", ".jpg"}


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
        ("", "picture"),
        ('<img src="x">.png', "img src=x"),
        ("a\nb\x00c.png", "abc"),
        ("x" * 300 + ".png", "x" * 200),
        ("\N{CAT FACE}" * 99 + ".png", "\N{CAT FACE}" * 50),
    ],
)
def test_results_are_named_after_uploads_and_stay_in_their_folder(name: str, stem: str):
    assert storage.file_stem(name) == stem


def test_names_of_strangers_are_no_markup():
    error = ImageError("<script>alert(1)</script>.png is not a picture")
    for text in (templates.problem("No.", error), templates.problems([str(error)])):
        assert "<script" not in text and "&lt;script" in text


def test_a_photo_that_goes_while_it_waits_is_asked_for_again(tmp_path: Path, model: HSRNet):
    job = Job(storage.new_folder(tmp_path))
    picture = Upload(tmp_path / "cat.png", "cat.png", (40, 30), 1)
    noise((40, 30)).save(picture.path)
    tab = OnePhoto(shop(tmp_path, model), Examples([picture.path]))
    picture.path.unlink()
    *_, last = tab.sharpen("me", (job, picture, requests.Order("it", scale=2)))
    assert last["picture"] == {"value": None}
    assert "no longer here" in last["problem"]["value"]
    gone = tab.convert("me", tmp_path / "cat-2x.png", "JPEG")["problem"]["value"]
    assert "no longer here" in gone and str(tmp_path) not in gone


def test_an_example_s_result_is_for_those_who_take_the_example(tmp_path: Path):
    path, order = tmp_path / "cat.png", requests.Order("it", scale=2)
    noise((40, 30)).save(path)
    examples = Examples([path])
    made = tmp_path / "made"
    made.mkdir()
    outcome = (made / "cat-2x.png", made / "before.png", made / "after.png")
    for file in outcome:
        file.touch()
    rude = Upload(path, "rude.png", (40, 30), 1)
    examples.keep(rude, order, outcome)
    cat = Upload(path, "cat.png", (40, 30), 1)
    assert examples.find(cat, order) is None
    examples.keep(cat, order, outcome)
    assert examples.find(rude, order) is None
    # Whoever takes it makes it young again, for whatever looks at its age.
    for file in (*outcome, made):
        os.utime(file, (0, 0))
    assert examples.find(cat, order) == outcome
    assert all(file.stat().st_mtime > 0 for file in (*outcome, made))
    outcome[2].unlink()
    assert examples.find(cat, order) is None
    outcome[2].touch()
    noise((40, 30), seed=1).save(path)  # another picture of that name
    assert examples.find(cat, order) is None


def test_old_work_is_removed_though_nobody_comes(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(storage, "SWEEP_SECONDS", 0.05)
    root = storage.open_folder()
    old, young = storage.new_folder(root), storage.new_folder(root)
    (old / "photo-4x.png").touch()
    long_ago = time.time() - storage.KEEP_SECONDS - 60
    os.utime(old, (long_ago, long_ago))
    for _ in range(200):
        if not old.exists():
            break
        time.sleep(0.05)
    assert not old.exists() and young.exists()


def test_a_new_job_stops_the_one_before(tmp_path: Path):
    jobs = Jobs(tmp_path)
    first, other = jobs.start("me"), jobs.start("you")
    second = jobs.start("me")
    assert first.stopped and not second.stopped and not other.stopped
    assert jobs.was_replaced("me", first) and not jobs.was_replaced("me", second)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.3, "about 1 s"), (4.4, "about 4 s"), (42, "about 40 s"), (200, "about 3 min")],
)
def test_times_are_told_in_steps_that_promise_no_more_than_is_known(seconds, text):
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


def test_every_set_that_visitors_can_choose_is_described():
    choosable = {name for name in bundled_models() if not name.endswith(DETAIL)}
    assert choosable == set(templates.ABOUT)
    assert templates.models(["org/hsr"]) is None
