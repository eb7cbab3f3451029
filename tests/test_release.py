"""The wheel of a release: built, installed away from the sources, and used."""

from __future__ import annotations

import os
import shutil
import site
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from hsr_hub import HSRNet, __version__
from hsr_hub.hub import BUNDLED
from tests.util import ROOT, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Return the wheel that `python -m build` makes in a copy of the sources."""
    sources = tmp_path_factory.mktemp("sources")
    shutil.copytree(ROOT / "hsr_hub", sources / "hsr_hub")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources)
    done = run(sys.executable, "-m", "build", sources, env={"PYTHONPATH": ""})
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (found,) = (sources / "dist").glob("*.whl")
    assert found.name == f"hsr_hub-{__version__}-py3-none-any.whl"
    assert len(list((sources / "dist").glob("*.tar.gz"))) == 1
    return found


def test_wheel_contains_the_code_and_the_bundled_models(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    weights = {p.relative_to(ROOT).as_posix() for p in BUNDLED.rglob("*") if p.is_file()}
    code = {p.relative_to(ROOT).as_posix() for p in (ROOT / "hsr_hub").rglob("*.py")}
    assert weights | code | {"hsr_hub/py.typed"} <= names
    assert all(name.startswith(("hsr_hub/", f"hsr_hub-{__version__}")) for name in names)


def test_wheel_works_in_a_clean_environment(wheel: Path, cat: Path, tmp_path: Path):
    clean, bare = tmp_path / "clean", {"PYTHONPATH": "", "HF_HUB_OFFLINE": "1"}
    assert run(sys.executable, "-m", "venv", "--without-pip", clean).returncode == 0
    python = clean / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "-q")
    done = run(*pip, "--no-deps", "--no-index", wheel, env=bare)
    assert done.returncode == 0, done.stderr
    # The dependencies are gigabytes, so those of this environment are used.
    own = run(python, "-c", "import site; print(site.getsitepackages()[0])").stdout.strip()
    lines = "\n".join(path for path in site.getsitepackages() if Path(path).is_dir())
    (Path(own) / "others.pth").write_text(lines + "\n")

    where = run(python, "-c", "import hsr_hub; print(hsr_hub.__file__)", cwd=tmp_path, env=bare)
    assert where.stdout.strip() == str(Path(own) / "hsr_hub" / "__init__.py"), where.stderr
    command = python.with_name("hsr-hub")
    done = run(command, "--version", cwd=tmp_path, env=bare)
    assert done.stdout.strip() == f"hsr-hub {__version__}", done.stderr
    done = run(
        command,
        "upscale",
        cat,
        "-o",
        tmp_path / "cat-4x.png",
        "--model",
        "hsr-lite-x4",
        cwd=tmp_path,
        env=bare,
    )
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "cat-4x.png") as image:
        expected = HSRNet.from_pretrained("hsr-lite-x4").upscale(cat)
        assert np.array_equal(np.asarray(image), np.asarray(expected))
    # A Space can be published from a checkout only.
    done = run(command, "push-space", "org/space", "--model", "org/hsr", cwd=tmp_path, env=bare)
    assert done.returncode == 1 and "is not a checkout of the repository" in done.stderr


def test_release_workflow_builds_installs_and_runs_the_wheel():
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text()
    workflow = yaml.safe_load(text)
    assert workflow[True]["push"]["tags"] == ["v*"]  # YAML 1.1 reads the key `on` as a boolean
    steps = "\n".join(step.get("run", "") for step in workflow["jobs"]["wheel"]["steps"])
    order = ["python -m build", "install dist/*.whl", "hsr-hub --version", "hsr-hub upscale"]
    assert [steps.index(part) for part in order] == sorted(steps.index(part) for part in order)
