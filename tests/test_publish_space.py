"""`hsr-hub push-space`: the files that the Space needs, in one commit."""

from __future__ import annotations

import ast
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hsr_hub.hub import bundled_models, publish_space, space_files
from tests.hub_client import client
from tests.hub_double import Fault, Hub
from tests.hub_state import Blob
from tests.util import ROOT

NEEDED = {"README.md", "app.py", "requirements.txt", "LICENSE", "space.json"}


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub().serve() as hub:
        yield hub


def test_files_are_the_app_the_package_the_examples_and_the_needed_weights():
    names = set(space_files("org/hsr"))
    assert NEEDED | {"hsr_hub/model.py", "hsr_hub/py.typed", "examples/cat.png"} <= names
    assert {"hsr_hub/webapp/page.css", "hsr_hub/webapp/page.js"} <= names
    code = {path.relative_to(ROOT).as_posix() for path in (ROOT / "hsr_hub").rglob("*.py")}
    assert code <= names
    assert not [name for name in names if re.search(r"tests|__pycache__|\.pyc|docs/", name)]
    # Besides the model on the Hub, only the weights that replace it if the Hub is down.
    weights = {Path(name).parent.name for name in names if name.endswith(".safetensors")}
    assert weights == {"hsr-lite-x4", "hsr-lite-x4-detail"}.intersection(bundled_models())
    for name in names - NEEDED:
        assert name.startswith(("hsr_hub/", "examples/")), name


def test_libraries_that_the_space_imports_are_in_its_requirements():
    """Imports inside functions are for optional features."""
    named = (ROOT / "requirements.txt").read_text().lower().replace("-", "_")
    # Dependencies of torch, huggingface_hub and gradio.
    brought = {"typing_extensions", "yaml", "httpx", "starlette", "hsr_hub"}
    for name in (n for n in space_files("org/hsr") if n.endswith(".py")):
        for node in ast.parse((ROOT / name).read_text()).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                full = getattr(node, "module", None) or node.names[0].name
                library = full.partition(".")[0]
                distribution = {"PIL": "pillow"}.get(library, library)
                known = library in sys.stdlib_module_names or library in brought
                assert known or distribution in named, f"{name} imports {library}"


def test_a_bundled_model_is_uploaded_with_the_space():
    names = set(space_files("hsr-lite-x4"))
    assert "hsr_hub/weights/hsr-lite-x4/model.safetensors" in names
    readme = space_files("hsr-lite-x4")["README.md"]
    assert isinstance(readme, bytes) and b"preload_from_hub" not in readme


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in (*NEEDED - {"space.json"}, "hsr_hub", "examples"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_other_files_of_the_checkout_are_not_uploaded(checkout: Path):
    expected = set(space_files("org/hsr", root=checkout))
    strays = ["examples/holiday.png", "examples/.cache/a.json", "hsr_hub/notes.txt"]
    strays += ["hsr_hub/webapp/page.css.orig", "hsr_hub/.ruff_cache/page.js"]
    strays += ["hsr_hub/weights/hsr-lite-x4/optimizer.bin"]
    for name in strays:
        (checkout / name).parent.mkdir(exist_ok=True)
        (checkout / name).touch()
    assert set(space_files("org/hsr", root=checkout)) == expected
    for path in (ROOT / "examples").iterdir():
        assert f"examples/{path.name}" in expected


def test_detail_models_of_bundled_models_are_uploaded_too(monkeypatch, checkout: Path):
    weights = checkout / "hsr_hub" / "weights"
    for name in ("hsr-lite-x4-detail", "hsr-real", "hsr-real-detail", "hsr-large"):
        shutil.copytree(weights / "hsr-lite-x4", weights / name, dirs_exist_ok=True)
    monkeypatch.setattr("hsr_hub.hub.bundled.BUNDLED", weights)

    def uploaded(*models: str) -> set[str]:
        names = space_files(*models, root=checkout)
        return {n.split("/")[2] for n in names if n.endswith("model.safetensors")}

    default = {"hsr-lite-x4", "hsr-lite-x4-detail"}
    assert uploaded("org/hsr") == uploaded("hsr-lite-x4") == default
    assert uploaded("hsr-real") == default | {"hsr-real", "hsr-real-detail"}
    assert uploaded("org/hsr", "hsr-large") == default | {"hsr-large"}


def test_wrong_models_and_folders_are_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"is not a checkout .* which has app\.py"):
        space_files("org/hsr", root=tmp_path)
    for model in ("no-such-model", "a/b/c", "org/hsr\nx", ""):
        with pytest.raises(ValueError, match="neither a Hub id"):
            space_files(model)
        with pytest.raises(ValueError, match="neither a Hub id"):
            space_files("org/hsr", model)
        with pytest.raises(ValueError, match="neither a Hub id"):
            space_files(["org/hsr", model])


def test_an_installed_package_publishes_the_checkout_in_the_current_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(publish_space, "ROOT", tmp_path)  # site-packages
    monkeypatch.chdir(ROOT)
    assert space_files("org/hsr")["app.py"] == ROOT / "app.py"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="run this in its folder"):
        space_files("org/hsr")


def test_the_choice_of_models_is_written_to_space_json():
    def choice(model: str | list[str], detail_model: str | None = None) -> dict[str, Any]:
        files = space_files(model, detail_model)
        content = files["space.json"]
        assert isinstance(content, bytes)
        choice = json.loads(content)
        assert set(choice.pop("files")) == set(files)
        assert len(choice.pop("readme_text")) == 64
        return choice

    made_by = "hsr-hub push-space"
    assert choice("org/hsr") == {"made_by": made_by, "models": ["org/hsr"], "detail_model": None}
    assert choice("org/hsr", "org/detail") == {
        "made_by": made_by,
        "models": ["org/hsr"],
        "detail_model": "org/detail",
    }
    assert choice(["org/hsr", "hsr-x4"])["models"] == ["org/hsr", "hsr-x4"]
    assert space_files("org/hsr")["app.py"] == ROOT / "app.py"  # unchanged


@pytest.mark.slow
def test_push_space_with_a_detail_model(hub: Hub, tmp_path: Path):
    for name in ("org/hsr", "org/detail"):
        hub.put(name, {"config.json": b"{}", "model.safetensors": b"\0weights"})
    command = ("-m", "hsr_hub", "push-space", "org/space", "--model", "org/hsr", "--detail-model")
    said = client(hub, tmp_path, *command, "org/nothing").stderr
    assert "404" in said
    assert said.endswith("push-space org/space --model org/hsr --detail-model org/nothing\n")
    done = client(hub, tmp_path, *command, "org/detail", "--model", "hsr-x4")
    assert done.returncode == 0, done.stderr
    files = hub.repo("org/space", "spaces").files()
    assert "hsr_hub/weights/hsr-x4/model.safetensors" in files
    front = yaml.safe_load(files["README.md"].decode().split("---\n")[1])
    assert front["models"] == ["org/hsr", "org/detail"]
    preloaded = [f"{name} config.json,model.safetensors" for name in front["models"]]
    assert front["preload_from_hub"] == preloaded
    choice = json.loads(files["space.json"])
    assert (choice["models"], choice["detail_model"]) == (["org/hsr", "hsr-x4"], "org/detail")


@pytest.mark.slow
def test_push_space(hub: Hub, tmp_path: Path):
    hub.put("org/hsr", {"config.json": b"{}", "model.safetensors": b"\0weights"})
    hub.put("org/other", {"pytorch_model.bin": b"\0"})
    hub.repo("org/hsr").private = True
    command = ("-m", "hsr_hub", "push-space", "org/space", "--model")
    done = client(hub, tmp_path, *command, "org/hsr", "--private")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{hub.endpoint}/spaces/org/space"
    assert "org/hsr is private: give the Space a secret HF_TOKEN" in done.stderr
    space = hub.repo("org/space", "spaces")
    assert space.private and hub.count("commit") == 1
    expected = {
        name: content if isinstance(content, bytes) else content.read_bytes()
        for name, content in space_files("org/hsr").items()
    }
    front = yaml.safe_load(space.files()["README.md"].decode().split("---\n")[1])
    assert front["models"] == ["org/hsr"] and "preload_from_hub" not in front  # it is private
    hub.repo("org/hsr").private = False
    assert client(hub, tmp_path, *command, "org/hsr", "--private").returncode == 0
    assert {n: c for n, c in space.files().items() if n != ".gitattributes"} == expected
    front = yaml.safe_load(space.files()["README.md"].decode().split("---\n")[1])
    assert front["preload_from_hub"] == ["org/hsr config.json,model.safetensors"]
    assert (front["sdk"], front["app_file"]) == ("gradio", "app.py")

    # Files of the last push that are not needed any more are deleted. What the owner has added and
    # changed stays.
    files = dict(space.commits[space.refs["main"]])
    owned = {"examples/mine.png", "packages.txt"}
    files |= dict.fromkeys({"hsr_hub/old.py", *owned}, files["app.py"])
    choice = json.loads(expected["space.json"])
    choice["files"].append("hsr_hub/old.py")
    files["space.json"] = Blob(json.dumps(choice).encode(), False)
    front |= {"title": "Mine", "suggested_hardware": "cpu-upgrade", "sdk_version": "5.0.0"}
    written = expected["README.md"].decode().split("---\n")[2]

    def push_again(header: dict[str, Any], text: str) -> tuple[dict[str, Any], str, str]:
        """Return the README after its owner's change and a push, in two parts, and the errors."""
        readme = f"---\n{yaml.safe_dump(header)}---\n{text}"
        files["README.md"] = Blob(readme.encode(), False)
        space.commit("main", files, "by hand")
        done = client(hub, tmp_path, *command, "org/hsr")
        assert done.returncode == 0, done.stderr
        files["space.json"] = Blob(space.files()["space.json"], False)
        _, front, text = space.files()["README.md"].decode().split("---\n")
        return yaml.safe_load(front), text, done.stderr

    header, text, said = push_again(front, written)
    assert set(space.files()) == {*expected, ".gitattributes", *owned}
    assert hub.count("commit") == 3
    pushed = yaml.safe_load(expected["README.md"].decode().split("---\n")[1])
    kept = {"title": "Mine", "suggested_hardware": "cpu-upgrade"}
    assert header == {**pushed, **kept}
    assert text == written.replace("# hsr-hub", "# Mine") and "README" not in said
    # Every change of the text is kept, also by the push after the next.
    for changed in (f"{text}\nWrite to me.\n", text.replace("# Mine", "# Ours"), "\nMy words.\n"):
        assert push_again(header, changed)[1] == changed
        header, text_then, said = push_again(header, changed)
        assert text_then == changed and "README was changed there, and is kept" in said


@pytest.mark.slow
def test_push_space_without_a_model_has_all_bundled_weights_and_auto(hub: Hub, tmp_path: Path):
    command = ("-m", "hsr_hub", "push-space", "org/space")
    hub.faults = [Fault("commit", 500)]
    said = client(hub, tmp_path, *command).stderr
    assert said.endswith("To repeat it:\n  hsr-hub push-space org/space\n")
    hub.faults = []
    done = client(hub, tmp_path, *command)
    assert done.returncode == 0, done.stderr
    space = hub.repo("org/space", "spaces")
    assert list(space.titles.values())[1:] == ["Publish hsr-hub on the bundled weights"]
    folder = tmp_path / "space"
    for name, content in space.files().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    readme = (folder / "README.md").read_text()
    assert "on the bundled weights, among which it chooses for each photo:" in readme
    assert "preload_from_hub" not in readme
    # What the page finds in the Space, without the checkout.
    code = "import hsr_hub, pathlib; from hsr_hub.webapp.models import load_models; "
    code += "found = load_models({}, 'cpu', pathlib.Path('space.json')); "
    code += "print(hsr_hub.__file__, found.auto, found.notices, *found.choices)"
    done = client(hub, tmp_path, "-c", code, cwd=folder)
    assert done.returncode == 0, done.stderr
    file, auto, notices, *choices = done.stdout.split()
    assert (file, auto, notices) == (str(folder / "hsr_hub" / "__init__.py"), "True", "[]")
    assert set(choices) == {"auto", *bundled_models()}

    # A detail model belongs to a model.
    done = client(hub, tmp_path, *command, "--detail-model", "org/detail")
    assert done.returncode == 1
    assert "detail model org/detail has no model: name one with --model" in done.stderr


@pytest.mark.slow
def test_push_space_refused_or_cut(hub: Hub, tmp_path: Path):
    hub.put("org/hsr", {"config.json": b"{}", "model.safetensors": b"\0weights"})
    hub.put("org/other", {"pytorch_model.bin": b"\0"})
    command = ("-m", "hsr_hub", "push-space", "org/space", "--model")
    said = client(hub, tmp_path, *command, "org/other").stderr
    assert "org/other is not an HSRNet: no config.json and no model.safetensors" in said
    said = client(hub, tmp_path, *command, "org/nothing").stderr
    assert "Nothing was published to org/space: 404" in said
    assert ("spaces", "org/space") not in hub.repos
    hub.faults = [Fault("commit", 500)]
    said = client(hub, tmp_path, *command, "org/hsr").stderr
    assert said.endswith("To repeat it:\n  hsr-hub push-space org/space --model org/hsr\n")
    assert len(hub.repo("org/space", "spaces").commits) == 1


@pytest.mark.slow
def test_a_public_space_is_refused_as_a_private_one(hub: Hub, tmp_path: Path):
    hub.add_repo("org/space", "spaces")
    command = ("-m", "hsr_hub", "push-space", "org/space", "--model", "hsr-lite-x4", "--private")
    done = client(hub, tmp_path, *command)
    assert done.returncode == 1
    assert "org/space exists and is public" in done.stderr
    assert "To repeat it" not in done.stderr
    assert len(hub.repo("org/space", "spaces").commits) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "files",
    [
        {"app.py": b"print()"},
        {"app.py": b"print()", "space.json": b"[1]"},
        {"app.py": b"print()", "space.json": b"{"},
        {"space.json": b'{"made_by": "me"}'},
        {"README.md": b"---\nsdk: static\n---\n", "index.html": b"<p>"},
        {"README.md": b"---\napp_file: main.py\n---\n", "main.py": b"", "examples/a.jpg": b""},
        {"Dockerfile": b"FROM scratch"},
    ],
    ids=lambda files: "-".join(files),
)
def test_a_space_of_somebody_else_is_refused(hub: Hub, tmp_path: Path, files: dict[str, bytes]):
    space = hub.add_repo("org/space", "spaces")
    blobs = {name: Blob(content, False) for name, content in files.items()}
    head = space.commit("main", blobs, "by hand")
    command = ("-m", "hsr_hub", "push-space", "org/space", "--model", "hsr-lite-x4")
    done = client(hub, tmp_path, *command)
    assert done.returncode == 1
    assert "org/space exists and was not made by `hsr-hub push-space`" in done.stderr
    assert "choose another name, or delete the Space" in done.stderr
    assert space.refs["main"] == head
