"""Imports stay light, the documentation's snippet runs, and its links and commands exist."""

from __future__ import annotations

import re
import shlex
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml
from PIL import Image

from hsr_hub import __version__
from hsr_hub.hub import ORGANIZATION, REPOSITORY
from tests.util import ROOT, run


def test_no_module_imports_heavy_libraries_when_imported():
    code = """
import importlib, pkgutil, sys, hsr_hub
heavy = ("accelerate", "gradio", "torchvision", "skimage", "spandrel", "onnx", "pyvips")
for module in pkgutil.walk_packages(hsr_hub.__path__, "hsr_hub."):
    # Only app.py imports the page, which needs Gradio.
    if module.name != "hsr_hub.__main__" and not module.name.startswith("hsr_hub.webapp"):
        importlib.import_module(module.name)
print([m for m in heavy if m in sys.modules])
"""
    done = run(sys.executable, "-c", code)
    assert done.stdout.strip() == "[]", done.stderr


def test_readme_snippet_runs(cat: Path, tmp_path: Path):
    readme = (ROOT / "README.md").read_text()
    snippet = re.search(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    assert snippet is not None
    with Image.open(cat) as image:
        image.crop((0, 0, 40, 30)).save(tmp_path / "photo.jpg")
    done = run(sys.executable, "-c", snippet.group(1), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "photo-4x.png") as image:
        assert image.size == (160, 120)


DOCUMENTS = [
    *(path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("*.md"))),
    *(path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("docs/*.md"))),
    "examples/README.md",
    "recipes/README.md",
]


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_exist(name: str):
    text = (ROOT / name).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith("http"):
            continue
        target, _, anchor = link.partition("#")
        path = (ROOT / name).parent / target if target else ROOT / name
        assert path.exists(), link
        assert not anchor or anchor in anchors(path.read_text(encoding="utf-8")), link
    for path in re.findall(r"`((?:recipes|docs|tests|benchmarks|hsr_hub)/[^`\s]*)`", text):
        assert "NAME" in path or any(ROOT.glob(path.rstrip("/"))), path


@pytest.mark.parametrize("name", DOCUMENTS)
def test_modules_of_documented_commands_exist(name: str):
    text = (ROOT / name).read_text(encoding="utf-8")
    for module in re.findall(r"python -m ((?:benchmarks|recipes|docs)\.\w+)", text):
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), module


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documented_flags_exist(name: str):
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    for line in re.findall(r"^(?:.*&& )?hsr-hub (.+)$", text, re.MULTILINE):
        command, *words = shlex.split(line, comments=True)
        if command not in ("upscale", "push", "push-space", "evaluate", "export"):
            continue
        known = set(re.findall(r"--[a-z-]+", help_of("-m", "hsr_hub", command)))
        assert {word for word in words if word.startswith("--")} <= known, line
    for line in re.findall(r"^accelerate launch train_accelerate.py (.+)$", text, re.MULTILINE):
        known = set(re.findall(r"--[a-z_]+", help_of("train_accelerate.py")))
        assert {word for word in line.split() if word.startswith("--")} <= known, line


@cache
def help_of(*words: str) -> str:
    return run(sys.executable, *words, "--help", cwd=ROOT).stdout


def test_the_addresses_of_the_project_agree():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nRepository = "{REPOSITORY}"\n' in project
    assert f'\nModels = "https://huggingface.co/{ORGANIZATION}"\n' in project
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["repository-code"] == REPOSITORY
    assert citation["version"] == __version__
    for name in DOCUMENTS:
        text = (ROOT / name).read_text(encoding="utf-8")
        ours = re.findall(r"https://github\.com/[\w-]+/hsr-hub", text + project)
        assert set(ours) == {REPOSITORY}, name


def test_dependabot_watches_actions_and_python():
    text = (ROOT / ".github" / "dependabot.yml").read_text(encoding="utf-8")
    updates = yaml.safe_load(text)["updates"]
    assert {update["package-ecosystem"] for update in updates} == {"github-actions", "pip"}
