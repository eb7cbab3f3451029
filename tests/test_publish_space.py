"""`hsr-hub push-space`: exactly the files that the Space needs, in one commit."""

from __future__ import annotations

import ast
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from hsr_hub.hub import bundled_models, choosing, space_files
from tests.hub_client import client
from tests.hub_double import Fault, Hub
from tests.util import ROOT

NEEDED = {"README.md", "app.py", "requirements.txt", "LICENSE"}


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub().serve() as hub:
        yield hub


def test_files_follow_what_the_app_imports():
    names = set(space_files("org/hsr"))
    assert NEEDED | {"hsr_hub/model.py", "hsr_hub/py.typed", "examples/cat.png"} <= names
    # Nothing for training, no tests, no caches; no weights but those that stand in for the Hub's.
    assert not [
        n for n in names if re.search(r"training(?!-curve\.png$)|tests|__pycache__|\.pyc|docs/", n)
    ]
    weights = {Path(n).parent.name for n in names if n.endswith(".safetensors")}
    assert weights == {"hsr-lite-x4", "hsr-lite-x4-detail"}.intersection(bundled_models())
    for name in names - NEEDED:
        assert name.startswith(("hsr_hub/", "examples/")) or name.endswith(".py"), name
    # Every module of ours that an uploaded file imports is uploaded.
    for name in (n for n in names if n.endswith(".py")):
        for node in ast.walk(ast.parse((ROOT / name).read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hsr_hub"):
                module = (node.module or "").replace(".", "/")
                assert {f"{module}.py", f"{module}/__init__.py"} & names, f"{name}: {node.module}"


def test_what_must_be_imported_is_in_the_requirements():
    """Libraries at the top of an uploaded module; those inside functions are optional parts."""
    named = (ROOT / "requirements.txt").read_text().lower().replace("-", "_")
    # What the others bring: torch its typing_extensions, huggingface_hub its YAML, gradio the rest.
    brought = {"typing_extensions", "yaml", "httpx", "safehttpx", "hsr_hub"}
    for name in (n for n in space_files("org/hsr") if n.endswith(".py")):
        for node in ast.parse((ROOT / name).read_text()).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                full = getattr(node, "module", None) or node.names[0].name
                library = full.partition(".")[0]
                distribution = {"PIL": "pillow"}.get(library, library)
                known = library in sys.stdlib_module_names or library in brought
                assert known or distribution in named, f"{name} imports {library}"


def test_a_shipped_set_goes_with_the_space():
    names = set(space_files("hsr-lite-x4"))
    assert "hsr_hub/weights/hsr-lite-x4/model.safetensors" in names
    readme = space_files("hsr-lite-x4")["README.md"]
    assert isinstance(readme, bytes) and b"preload_from_hub" not in readme


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in (*NEEDED, "hsr_hub", "examples"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_what_else_lies_about_is_not_sent(checkout: Path):
    expected = set(space_files("org/hsr", root=checkout))
    strays = ["examples/holiday.png", "examples/.cache/a.json", "hsr_hub/notes.txt"]
    strays += ["hsr_hub/webapp/page.css.orig", "hsr_hub/try.py", "hsr_hub/.ruff_cache/page.js"]
    strays += ["hsr_hub/weights/hsr-lite-x4/optimizer.bin"]
    for name in strays:
        (checkout / name).parent.mkdir(exist_ok=True)
        (checkout / name).touch()
    assert set(space_files("org/hsr", root=checkout)) == expected
    named = re.findall(r'for name in \("(.*)"\)\]', (ROOT / "app.py").read_text())[0]
    for name in named.split('", "'):
        assert f"examples/{name}.png" in expected


def test_the_twins_of_shipped_sets_go_with_them(monkeypatch, checkout: Path):
    shipped = checkout / "hsr_hub" / "weights"
    for name in ("hsr-lite-x4-detail", "hsr-real", "hsr-real-detail", "hsr-large"):
        shutil.copytree(shipped / "hsr-lite-x4", shipped / name, dirs_exist_ok=True)
    monkeypatch.setattr("hsr_hub.hub.checkpoint.BUNDLED", shipped)

    def sets(*models: str) -> set[str]:
        names = space_files(*models, root=checkout)
        return {n.split("/")[2] for n in names if n.endswith("model.safetensors")}

    default = {"hsr-lite-x4", "hsr-lite-x4-detail"}
    assert sets("org/hsr") == sets("hsr-lite-x4") == default
    assert sets("hsr-real") == default | {"hsr-real", "hsr-real-detail"}
    assert sets("org/hsr", "hsr-large") == default | {"hsr-large"}


def test_wrong_use_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="checkout"):
        space_files("org/hsr", root=tmp_path)
    for model in ("no-such-set", "a/b/c", "org/hsr\nx", ""):
        with pytest.raises(ValueError, match="no Hub id"):
            space_files(model)
        with pytest.raises(ValueError, match="no Hub id"):
            space_files("org/hsr", model)


@pytest.mark.parametrize(
    "source",
    [
        '"""Doc."""\n\nfrom __future__ import annotations\n\nprint(1)\n',
        '"""Doc.\n\nMore."""\nimport os\n',
        "# a comment\nfrom __future__ import annotations\n",
        "print(1)\n",
        "",
    ],
)
def test_the_model_is_chosen_before_anything_else_runs(source: str):
    text = choosing(source, "org/hsr")
    body = ast.parse(text).body
    compile(text, "app.py", "exec")  # __future__ is still first
    at = next(i for i, node in enumerate(body) if "HSR_MODEL_ID" in ast.unparse(node))
    before = [ast.unparse(node) for node in body[:at]]
    assert all("__future__" in b or "Doc." in b or b == "import os" for b in before)


@pytest.mark.parametrize("detail", ["org/detail", None])
def test_the_settings_of_the_space_choose_other_weights(monkeypatch, detail: str | None):
    def chosen(**settings: str) -> tuple[str | None, str | None]:
        monkeypatch.setattr(os, "environ", settings)
        exec(choosing("", "org/hsr", detail), {})
        return settings.get("HSR_MODEL_ID"), settings.get("HSR_DETAIL_MODEL_ID")

    assert chosen() == ("org/hsr", detail)
    assert chosen(HSR_DETAIL_MODEL_ID="org/new") == ("org/hsr", "org/new")
    assert chosen(HSR_MODEL_ID="org/other") == ("org/other", None)  # of another shape, maybe


@pytest.mark.slow
def test_push_space_with_a_detail_model(hub: Hub, tmp_path: Path):
    for name in ("org/hsr", "org/detail"):
        hub.put(name, {"config.json": b"{}", "model.safetensors": b"\0weights"})
    command = ("-m", "hsr_hub", "push-space", "org/space", "--model", "org/hsr", "--detail-model")
    said = client(hub, tmp_path, *command, "org/nothing").stderr
    assert "404" in said
    assert said.endswith("push-space org/space --model org/hsr --detail-model org/nothing\n")
    done = client(hub, tmp_path, *command, "org/detail")
    assert done.returncode == 0, done.stderr
    files = hub.repo("org/space", "spaces").files()
    front = yaml.safe_load(files["README.md"].decode().split("---\n")[1])
    assert front["models"] == ["org/hsr", "org/detail"]
    preloaded = [f"{name} config.json,model.safetensors" for name in front["models"]]
    assert front["preload_from_hub"] == preloaded
    assert b"""os.environ.setdefault("HSR_DETAIL_MODEL_ID", 'org/detail')""" in files["app.py"]


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
    assert {n: c for n, c in space.files().items() if n != ".gitattributes"} == expected
    front = yaml.safe_load(space.files()["README.md"].decode().split("---\n")[1])
    assert front["models"] == ["org/hsr"]
    assert front["preload_from_hub"] == ["org/hsr config.json,model.safetensors"]
    assert (front["sdk"], front["app_file"]) == ("gradio", "app.py")

    # What is not needed any more goes, what is not ours stays; in one commit again.
    files = dict(space.commits[space.refs["main"]])
    files |= dict.fromkeys(("hsr_hub/old.py", "examples/old.png", "packages.txt"), files["app.py"])
    space.commit("main", files, "by hand")
    done = client(hub, tmp_path, *command, "org/hsr")
    assert done.returncode == 0, done.stderr
    assert set(space.files()) == {*expected, ".gitattributes", "packages.txt"}
    assert hub.count("commit") == 2


@pytest.mark.slow
def test_push_space_refused_or_cut(hub: Hub, tmp_path: Path):
    hub.put("org/hsr", {"config.json": b"{}", "model.safetensors": b"\0weights"})
    hub.put("org/other", {"pytorch_model.bin": b"\0"})
    command = ("-m", "hsr_hub", "push-space", "org/space", "--model")
    said = client(hub, tmp_path, *command, "org/other").stderr
    assert "org/other has no config.json and no model.safetensors: not our model" in said
    said = client(hub, tmp_path, *command, "org/nothing").stderr
    assert "Nothing was published to org/space: 404" in said
    assert ("spaces", "org/space") not in hub.repos
    hub.faults = [Fault("commit", 500)]
    said = client(hub, tmp_path, *command, "org/hsr").stderr
    assert said.endswith("To repeat it:\n  hsr-hub push-space org/space --model org/hsr\n")
    assert len(hub.repo("org/space", "spaces").commits) == 1


@pytest.mark.slow
def test_a_public_space_is_not_taken_for_a_private_one(hub: Hub, tmp_path: Path):
    hub.add_repo("org/space", "spaces")
    command = ("-m", "hsr_hub", "push-space", "org/space", "--model", "hsr-lite-x4", "--private")
    done = client(hub, tmp_path, *command)
    assert done.returncode == 1
    assert "org/space is there already, and public" in done.stderr
    assert "To repeat it" not in done.stderr
    assert len(hub.repo("org/space", "spaces").commits) == 1
