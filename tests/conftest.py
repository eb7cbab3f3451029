"""Fixtures: a small network with random weights, pictures, a Hub cache of the run's own."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

# Before huggingface_hub is imported: it reads these once.
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="hsr-hub-test-")
os.environ.pop("HF_TOKEN", None)

import numpy as np
import pytest
import torch
from PIL import Image

from hsr_hub import HSRNet
from tests.space import (  # noqa: F401  (fixtures)
    browser,
    page,
    playwright,
    rough_space,
    space,
    wrong_files,
)
from tests.util import ROOT

# A shell starts what it puts in the background deaf to Ctrl-C, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def random_model(**config) -> HSRNet:
    """A network whose every weight matters: heads are scaled up from their near-zero start."""
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
    """Ground-truth pictures for trainings and evaluations where no data folder is at hand."""
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
