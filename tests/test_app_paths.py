"""Requests that name files of the server: none but uploads are read, and none is told of."""

from __future__ import annotations

import json
import os
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsr_hub import HSRNet
from hsr_hub.images import ImageError
from hsr_hub.webapp import storage
from hsr_hub.webapp.batch_tab import SeveralPhotos
from hsr_hub.webapp.example_cache import Examples
from hsr_hub.webapp.single_tab import OnePhoto
from tests.space import Space, noise, running
from tests.test_app_api import ask, uploaded
from tests.test_app_parts import shop

META = {"_type": "gradio.FileData"}
REFUSED = "there is no picture: send a file or its address"
FORM = (4, None, None, 0, "it")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of a process, with one upload in it and one picture beside it."""
    (tmp_path / "root" / "a1b2").mkdir(parents=True)
    noise((40, 30)).save(tmp_path / "root" / "a1b2" / "photo.png")
    noise((40, 30)).save(tmp_path / "secret.png")
    return tmp_path / "root"


def refused(root: Path, file: Any) -> bool:
    """Whether a file is refused, in the one sentence that says nothing of it."""
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
    photo.unlink()  # an hour later; whoever reads it says so
    assert storage.uploaded(root, file) == (photo, "photo.png")


@pytest.mark.parametrize(
    "meta", [None, "gradio.FileData", [], {}, {"_type": "other"}, {**META, "more": 1}]
)
def test_data_that_gradio_did_not_mark_is_refused(root: Path, meta: Any):
    photo = str(root / "a1b2" / "photo.png")
    assert refused(root, {"path": photo, "meta": meta})
    assert refused(root, {"path": photo})


def test_what_is_no_upload_is_refused(root: Path):
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


def test_nothing_outside_is_looked_at(root: Path, monkeypatch: pytest.MonkeyPatch):
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("a path of a stranger was looked at")

    for name in ("stat", "lstat", "readlink"):
        monkeypatch.setattr(os, name, never)
    paths = [root.parent / "secret.png", root / ".." / "secret.png"]
    answers = [refused(root, {"path": str(path), "meta": META}) for path in paths]
    monkeypatch.undo()
    assert all(answers)


@given(
    st.lists(st.sampled_from(["..", ".", "a1b2", "photo.png", "secret.png", "", "/"]) | st.text())
)
def test_no_spelling_leads_out(tmp_path_factory: pytest.TempPathFactory, parts: list[str]):
    root = tmp_path_factory.getbasetemp()
    for path in ("/".join([str(root), *parts]), "/".join(parts)):
        if not refused(root, {"path": path, "meta": META}):
            found, _ = storage.uploaded(root, {"path": path, "meta": META})
            assert found.resolve().is_relative_to(root)


def test_both_tabs_refuse_in_the_same_words(root: Path, model: HSRNet):
    one = OnePhoto(shop(root, model), Examples([]))
    several = SeveralPhotos(shop(root, model))
    good = {"path": str(root / "a1b2" / "photo.png"), "meta": META}
    for name in ("secret.png", "missing.png"):
        file = {"path": str(root.parent / name), "meta": META}
        changes = one.receive("me", file, *FORM)
        assert set(changes) == {"photo", "problem"}
        assert REFUSED in changes["problem"]["value"] and name not in changes["problem"]["value"]
        changes = several.prepare("me", [good, file], *FORM)
        assert changes["ticket"] == {"value": None}
        assert REFUSED in changes["problem"]["value"] and name not in changes["problem"]["value"]
    assert "picture" in one.receive("me", good, *FORM)
    assert several.prepare("me", [good], *FORM)["ticket"]["value"] is not None


@pytest.fixture(scope="module")
def besieged() -> Iterator[Space]:
    """A Space of its own: Gradio prints a stack trace for what it refuses itself."""
    with running() as space:
        yield space


def press(space: Space, place: str, event: str, value: Any) -> dict[str, Any]:
    """What the page's own handler of an event answers to a value that no page would send."""
    with urllib.request.urlopen(f"{space.address}/config", timeout=20) as answer:
        config = json.load(answer)
    parts = {part["id"]: part["props"] for part in config["components"]}
    [target] = [key for key, props in parts.items() if props.get("elem_id") == place]
    [handler] = [entry for entry in config["dependencies"] if [target, event] in entry["targets"]]
    data = [value, *(parts[key].get("value") for key in handler["inputs"][1:])]
    session = uuid.uuid4().hex
    request = urllib.request.Request(
        f"{space.address}/gradio_api/queue/join",
        json.dumps({"data": data, "fn_index": handler["id"], "session_hash": session}).encode(),
        {"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=20).close()
    address = f"{space.address}/gradio_api/queue/data?session_hash={session}"
    with urllib.request.urlopen(address, timeout=60) as lines:
        for line in lines:
            message = json.loads(line.removeprefix(b"data: ")) if line.strip() else {}
            if message.get("msg") == "process_completed":
                return message["output"]
    raise AssertionError("no answer")


def answers(space: Space, file: dict[str, Any]) -> list[Any]:
    """What the endpoint and the handlers of both tabs say to a file, without the times it took."""
    pressed = [press(space, "photo", "change", file), press(space, "several-go", "click", [file])]
    said = [output.get("data") or output["error"] for output in pressed]
    return [ask(space, file, 1, None, None, 0, "hsr-lite-x4"), *said]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("extra", "ours"),
    [
        ({}, True),
        ({"meta": {}}, True),
        ({"meta": {"_type": "other"}}, True),
        ({"meta": META}, False),  # refused by Gradio, without a word
        ({"meta": "gradio.FileData"}, False),
    ],
)
def test_files_of_the_server_are_refused_and_not_told_of(
    besieged: Space, tmp_path: Path, extra: dict[str, Any], ours: bool
):
    noise((40, 30)).save(tmp_path / "there.png")
    upload = Path(uploaded(besieged, tmp_path / "there.png")["path"])
    for folder in (tmp_path, upload.parent / os.path.relpath(tmp_path, upload.parent)):
        there = answers(besieged, {"path": str(folder / "there.png"), **extra})
        assert there == answers(besieged, {"path": str(folder / "missing.png"), **extra})
        endpoint, one, several = there
        assert endpoint.startswith("event: error") and (REFUSED in endpoint) == ours
        assert REFUSED in str(one) if ours else one is None
        assert several is None  # Gradio's own check of a list of files


@pytest.mark.slow
def test_an_upload_is_taken_everywhere(besieged: Space, tmp_path: Path):
    noise((40, 30)).save(tmp_path / "photo.png")
    endpoint, one, several = answers(besieged, uploaded(besieged, tmp_path / "photo.png"))
    assert endpoint.startswith("event: complete") and "photo-1x.png" in endpoint
    assert "40 × 30" in str(one) and "Starting" in str(several)


@pytest.mark.slow
def test_examples_come_as_uploads_of_gradio_s(besieged: Space):
    with urllib.request.urlopen(f"{besieged.address}/config", timeout=20) as answer:
        parts = json.load(answer)["components"]
    [shown] = [part["props"] for part in parts if part["type"] == "dataset"]
    assert len(shown["samples"]) == 3
    for [example] in shown["samples"]:
        assert "event: complete" in answers(besieged, example)[0]
