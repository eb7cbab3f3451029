"""Fixtures: a small network with random weights, images, and a temporary Hub cache."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile
from collections import Counter
from pathlib import Path

# Before huggingface_hub is imported, because it reads these once.
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="hsr-hub-test-")
atexit.register(shutil.rmtree, os.environ["HF_HOME"], ignore_errors=True)
os.environ.pop("HF_TOKEN", None)

# Before torch is imported: workers of pytest-xdist, and the programs that they start, share the
# cores. More threads than cores are much slower than fewer.
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    threads = max(1, (os.cpu_count() or 1) // int(workers))
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))

import numpy as np
import pytest
import torch
from hypothesis import settings
from PIL import Image

from hsr_hub import HSRNet
from tests.space import (  # noqa: F401  (fixtures)
    browser,
    desktop,
    mobile,
    page,
    phone,
    playwright,
    rough_space,
    space,
    wrong_files,
)
from tests.util import ROOT

# The machine may be busy, so that the time of one example says nothing.
settings.register_profile("hsr-hub", deadline=None)
settings.load_profile("hsr-hub")

# A shell starts background jobs with Ctrl-C ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


LONGEST = ("test_train_launch.py", "test_app_single_tab.py")
"""Files that take minutes each."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest files first, and then those with the most slow tests.

    pytest-xdist gives whole files to its workers. If a long one came last, the others would wait.
    """
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: (item.path.name not in LONGEST, -slow[item.path]))


def random_model(**config) -> HSRNet:
    """Return a network whose heads are scaled up from near zero, so that every weight matters."""
    torch.manual_seed(0)
    model = HSRNet(**config).eval()
    with torch.no_grad():
        for head in model.reconstruction.heads:
            assert isinstance(head, torch.nn.Conv2d) and head.bias is not None
            head.weight.mul_(5)
            head.bias.normal_(std=0.02)
    return model


@pytest.fixture(scope="session")
def model() -> HSRNet:
    return random_model(
        kernel_sizes=[3, 5],
        widths=[8, 4],
        dilations=[2, 1, 3],
        fusion_width=8,
        reconstruction_widths=[8, 4],
    )


@pytest.fixture(scope="session")
def cat() -> Path:
    return ROOT / "examples" / "cat.png"


@pytest.fixture
def small_photo(cat: Path) -> Image.Image:
    with Image.open(cat) as image:
        return image.convert("RGB").crop((40, 20, 101, 67))


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory) -> Path:
    """Ground-truth images for trainings and evaluations without a data folder."""
    folder = tmp_path_factory.mktemp("photos")
    for name in ("cat", "coffee", "astronaut"):
        with Image.open(ROOT / "examples" / f"{name}.png") as image:
            image.convert("RGB").crop((20, 20, 180, 140)).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="session")
def test_set(tmp_path_factory, photo_folder: Path) -> Path:
    """A folder with HR/ and LRx4/ as `hsr-hub evaluate` takes it."""
    folder = tmp_path_factory.mktemp("set") / "Photos3"
    (folder / "HR").mkdir(parents=True)
    (folder / "LRx4").mkdir()
    for path in sorted(photo_folder.iterdir()):
        with Image.open(path) as image:
            image.save(folder / "HR" / path.name)
            lq = image.resize((image.width // 4, image.height // 4), Image.Resampling.BICUBIC)
            lq.save(folder / "LRx4" / path.name)
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
