"""What the repository promises about itself."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.util import ROOT, run

SOURCES = [
    *(p for p in ROOT.glob("*.py")),
    *(
        p
        for folder in ("hsr_hub", "recipes", "docs", "benchmarks")
        for p in (ROOT / folder).rglob("*")
    ),
]


def test_the_data_folder_is_named_in_one_place():
    named = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path.suffix in {".py", ".sh"} and re.search(r"shared\W+data", path.read_text())
    ]
    assert named == ["hsr_hub/evaluation/datasets.py"]


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


def test_modules_depend_one_way():
    """Leaf modules of training import no other training module, but these."""
    allowed = {("data", "degradations"), ("arguments", "losses"), ("validation", "data")}
    allowed |= {("losses", "data")}  # what is scaled down as the labels are
    for path in (ROOT / "hsr_hub" / "training").glob("*.py"):
        for other in re.findall(r"from hsr_hub\.training\.(\w+) import", path.read_text()):
            assert (path.stem, other) in allowed, f"{path.stem} imports {other}"
    for path in (ROOT / "hsr_hub").glob("*.py"):
        assert "hsr_hub.training" not in path.read_text(), path.name


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
def test_links_and_pictures_exist(name: str):
    text = (ROOT / name).read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text) + re.findall(
        r"`((?:recipes|docs)/[^`*]+)`", text
    ):
        if not target.startswith("http"):
            assert ((ROOT / name).parent / target.split()[0]).exists(), target


def test_python_files_stay_small():
    for path in (p for p in SOURCES if p.suffix == ".py"):
        lines = len(path.read_text().splitlines())
        assert lines <= (500 if path.name == "train_accelerate.py" else 370), f"{path}: {lines}"
