"""Requests that name files of the server: only uploads are read, and nothing else is revealed."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsr_hub import HSRNet
from hsr_hub.images import ImageError
from hsr_hub.webapp import storage
from hsr_hub.webapp.batch_tab import BatchTab
from hsr_hub.webapp.single_tab import SingleTab
from tests.space import Space, noise
from tests.test_app_api import ask, uploaded
from tests.test_app_units import FORM, REQUEST, make_context, make_tab

META = {"_type": "gradio.FileData"}
REFUSED = "there is no image: send a file or its address"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of a process, with one upload in it, and another image outside."""
    (tmp_path / "root" / "a1b2").mkdir(parents=True)
    noise((40, 30)).save(tmp_path / "root" / "a1b2" / "photo.png")
    noise((40, 30)).save(tmp_path / "secret.png")
    return tmp_path / "root"


def refused(root: Path, file: Any) -> bool:
    """Return whether a file is refused, in the one sentence that reveals nothing."""
    try:
        storage.uploaded(root, file)
    except ImageError as error:
        assert str(error) == REFUSED
        return True
    return False


def test_an_upload_is_taken_under_its_owner_s_name(root: Path):
    photo = root / "a1b2" / "photo.png"
    file = {"path": str(photo), "meta": META}
    assert storage.uploaded(root, file) == (photo, "photo.png")
    assert storage.uploaded(root, {**file, "orig_name": None}) == (photo, "photo.png")
    assert storage.uploaded(root, {**file, "orig_name": "cat.png"}) == (photo, "cat.png")
    assert storage.uploaded(root, {**file, "orig_name": "x" * 9999}) == (photo, "x" * 255)
    assert storage.uploaded(root, {**file, "orig_name": ["cat"]}) == (photo, "photo.png")
    photo.unlink()  # `load_upload` reports it
    assert storage.uploaded(root, file) == (photo, "photo.png")


@pytest.mark.parametrize(
    "meta", [None, "gradio.FileData", [], {}, {"_type": "other"}, {**META, "more": 1}]
)
def test_data_that_gradio_did_not_mark_is_refused(root: Path, meta: Any):
    photo = str(root / "a1b2" / "photo.png")
    assert refused(root, {"path": photo, "meta": meta})
    assert refused(root, {"path": photo})


def test_other_files_and_links_are_refused(root: Path):
    (root / "out.png").symlink_to(root.parent / "secret.png")
    (root / "gone.png").symlink_to(root.parent / "missing.png")
    (root / "in.png").symlink_to(root / "a1b2" / "photo.png")
    (root / "folder").symlink_to(root.parent)
    os.mkfifo(root / "pipe.png")
    made = storage.new_folder(root) / "photo-4x.png"
    noise((8, 8)).save(made)
    for path in [
        *(root.parent / "secret.png", root.parent / "missing.png", root, root / "a1b2"),
        *(root / "out.png", root / "gone.png", root / "in.png", root / "pipe.png"),
        *(root / "folder" / "secret.png", root / "folder" / "missing.png"),
        *(root / ".." / "secret.png", root / "a1b2" / ".." / "a1b2" / "photo.png"),
        *(Path(f"{root}-2") / "photo.png", Path("a1b2/photo.png"), made),
    ]:
        assert refused(root, {"path": str(path), "meta": META}), path
    for path in [
        "",
        None,
        7,
        b"x",
        [],
        {},
        f"{root}/a\0b",
        f"{root}/{'x' * 300}",
        f"{root}/\ud800",
    ]:
        assert refused(root, {"path": path, "meta": META}), path
    for file in [None, "", str(root / "a1b2" / "photo.png"), 7, [], {}]:
        assert refused(root, file), file


def test_nothing_outside_is_accessed(root: Path, monkeypatch: pytest.MonkeyPatch):
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("a path outside the folder was accessed")

    for name in ("stat", "lstat", "readlink"):
        monkeypatch.setattr(os, name, never)
    paths = [root.parent / "secret.png", root / ".." / "secret.png"]
    answers = [refused(root, {"path": str(path), "meta": META}) for path in paths]
    monkeypatch.undo()
    assert all(answers)


@given(
    st.lists(st.sampled_from(["..", ".", "a1b2", "photo.png", "secret.png", "", "/"]) | st.text())
)
def test_no_spelling_of_a_path_leads_outside(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str]
):
    root = tmp_path_factory.getbasetemp()
    for path in ("/".join([str(root), *parts]), "/".join(parts)):
        if not refused(root, {"path": path, "meta": META}):
            found, _ = storage.uploaded(root, {"path": path, "meta": META})
            assert found.resolve().is_relative_to(root)


def test_both_tabs_refuse_with_the_same_message(root: Path, model: HSRNet):
    context = make_context(root, model)
    single, batch = make_tab(SingleTab, context, []), make_tab(BatchTab, context)
    good = {"path": str(root / "a1b2" / "photo.png"), "meta": META}
    for name in ("secret.png", "missing.png"):
        file = {"path": str(root.parent / name), "meta": META}
        updates = single.receive(REQUEST, file, *FORM)
        assert set(updates) == {single.inputs.photo, single.inputs.error_box}
        message = updates[single.inputs.error_box]["value"].lower()
        assert REFUSED in message and name not in message
        [updates] = batch.run(REQUEST, [good, file], None, "PNG", *FORM)
        assert set(updates) == {batch.error_box}
        message = updates[batch.error_box]["value"].lower()
        assert REFUSED in message and name not in message
    assert single.inputs.upload in single.receive(REQUEST, good, *FORM)
    *_, last = batch.run(REQUEST, [good], None, "PNG", *FORM)
    assert "The photo is" in last[batch.progress_bar]["value"]


def trigger(space: Space, elem_id: str, event: str, value: Any) -> list[dict[str, Any]]:
    """Send a value to the page's handler of an event, and return its answers."""
    with urllib.request.urlopen(f"{space.address}/config", timeout=20) as answer:
        config = json.load(answer)
    parts = {part["id"]: part["props"] for part in config["components"]}
    [target] = [key for key, props in parts.items() if props.get("elem_id") == elem_id]
    [handler] = [
        entry
        for entry in config["dependencies"]
        if [target, event] in entry["targets"] and entry["backend_fn"]
    ]
    data = [value, *(parts[key].get("value") for key in handler["inputs"][1:])]
    session = uuid.uuid4().hex
    request = urllib.request.Request(
        f"{space.address}/gradio_api/queue/join",
        json.dumps({"data": data, "fn_index": handler["id"], "session_hash": session}).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        urllib.request.urlopen(request, timeout=20).close()
    except urllib.error.HTTPError as error:
        return [{"error": f"{error.code} {json.load(error)['detail']}"}]
    address = f"{space.address}/gradio_api/queue/data?session_hash={session}"
    outputs = []
    with urllib.request.urlopen(address, timeout=60) as lines:
        for line in lines:
            message = json.loads(line.removeprefix(b"data: ")) if line.strip() else {}
            if message.get("msg") in {"process_generating", "process_completed"}:
                outputs.append(message["output"])
            if message.get("msg") == "process_completed":
                return outputs
    raise AssertionError("no answer")


def answers(space: Space, file: dict[str, Any]) -> list[Any]:
    """Return what the endpoint and the handlers of both tabs answer."""
    triggered = [
        trigger(space, "photo", "change", file),
        trigger(space, "batch-run-button", "click", [file]),
    ]
    said = [[output.get("data") or output["error"] for output in outputs] for outputs in triggered]
    try:
        return [ask(space, file, 1, None, None, 0, "hsr-lite-x4"), *said]
    except urllib.error.HTTPError as error:
        return [f"{error.code} {json.load(error)['detail']}", *said]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("extra", "at_once"),
    [
        ({}, False),
        ({"meta": {}}, True),
        ({"meta": {"_type": "other"}}, True),
        ({"meta": META}, True),
        ({"meta": "gradio.FileData"}, True),
    ],
)
def test_files_of_the_server_are_refused_and_not_revealed(
    rough_space: Space, tmp_path: Path, extra: dict[str, Any], at_once: bool
):
    noise((40, 30)).save(tmp_path / "there.png")
    upload = Path(uploaded(rough_space, tmp_path / "there.png")["path"])
    for folder in (tmp_path, upload.parent / os.path.relpath(tmp_path, upload.parent)):
        there = answers(rough_space, {"path": str(folder / "there.png"), **extra})
        assert there == answers(rough_space, {"path": str(folder / "missing.png"), **extra})
        endpoint, single, batch = there
        if at_once:
            assert endpoint == f"422 {REFUSED}" and single == batch == [endpoint]
        else:
            assert endpoint.startswith("event: error") and REFUSED in endpoint
            assert REFUSED in str(single).lower()
            assert batch == ["these values could not be processed"]  # by Gradio's own check


@pytest.mark.slow
def test_an_upload_is_taken_everywhere(rough_space: Space, tmp_path: Path):
    noise((40, 30)).save(tmp_path / "photo.png")
    endpoint, single, batch = answers(rough_space, uploaded(rough_space, tmp_path / "photo.png"))
    assert endpoint.startswith("event: complete") and "photo-1x-hsr-lite-x4.png" in endpoint
    assert "40 × 30" in str(single) and "Starting" in str(batch)


@pytest.mark.slow
def test_examples_are_uploads_for_gradio(rough_space: Space):
    with urllib.request.urlopen(f"{rough_space.address}/config", timeout=20) as answer:
        parts = json.load(answer)["components"]
    [shown] = [part["props"] for part in parts if part["type"] == "dataset"]
    assert shown["samples"]
    for [example] in shown["samples"]:
        assert "event: complete" in answers(rough_space, example)[0]
