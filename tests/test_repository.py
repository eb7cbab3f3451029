"""Imports stay light, the snippet of the README runs, and links exist."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.util import ROOT, run


def test_no_module_imports_heavy_libraries_when_imported():
    code = """
import importlib, pkgutil, sys, hsr_hub
heavy = ("accelerate", "gradio", "torchvision", "skimage", "spandrel", "onnx", "pyvips")
for module in pkgutil.walk_packages(hsr_hub.__path__, "hsr_hub."):
    if module.name != "hsr_hub.__main__":
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


@pytest.mark.parametrize("name", ["README.md", "examples/README.md"])
def test_links_exist(name: str):
    text = (ROOT / name).read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text) + re.findall(
        r"`((?:recipes|docs)/[^`*]+)`", text
    ):
        if not target.startswith("http"):
            assert ((ROOT / name).parent / target.split()[0]).exists(), target
