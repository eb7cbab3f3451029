"""Exports: through spandrel, and as ONNX files."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from docs import spandrel_pull_request
from hsr_hub import HSRNet
from hsr_hub.export.onnx import export_onnx
from hsr_hub.export.spandrel import read_config
from hsr_hub.hub import BUNDLED, bundled_models
from tests.conftest import random_model
from tests.hub_process import run_python
from tests.util import ROOT


@pytest.fixture
def lq(small_photo: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(small_photo).copy()).permute(2, 0, 1)[None] / 255


SPANDREL = """
import json, sys
import numpy as np, spandrel, torch
import hsr_hub.export.spandrel
from hsr_hub import HSRNet
from hsr_hub.hub import BUNDLED
hsr_hub.export.spandrel.install()
hsr_hub.export.spandrel.install()
lq = torch.from_numpy(np.load(sys.argv[1]))
for name in sys.argv[2:]:
    loaded = spandrel.ModelLoader().load_from_file(BUNDLED / name / "model.safetensors")
    assert loaded.architecture.id == "HSRNet" and loaded.scale == 4, loaded
    with torch.inference_mode():
        expected = HSRNet.from_pretrained(name)(lq)[-1].clamp(0, 1)
    sr = loaded(lq)
    assert torch.equal(sr, expected), (sr - expected).abs().max()
    # On a small crop, because convolutions of low precision are slow on many CPUs.
    crop = lq[:, :, :16, :16]
    expected = loaded(crop)
    for dtype, claimed, largest in (
        (torch.float16, loaded.supports_half, 1),
        (torch.bfloat16, loaded.supports_bfloat16, 6),
    ):
        assert claimed
        low = loaded.to(dtype=dtype)(crop.to(dtype)).float()
        assert (low - expected).abs().max() * 255 < largest
    print(name)
"""


def test_bundled_models_load_through_spandrel(lq: torch.Tensor, tmp_path: Path):
    """In its own process, because `install` changes spandrel's registry."""
    np.save(tmp_path / "lq.npy", lq.numpy())
    words = ["-c", SPANDREL, str(tmp_path / "lq.npy"), *bundled_models()]
    done = run_python(words, ROOT, os.environ, timeout=240)
    assert done.stdout.split() == bundled_models(), done.stderr


def test_the_files_for_spandrels_pull_request_work_without_hsr_hub(
    lq: torch.Tensor, tmp_path: Path
):
    spec = importlib.util.find_spec("spandrel")
    assert spec is not None and spec.submodule_search_locations
    installed = Path(spec.submodule_search_locations[0])
    shutil.copytree(installed, tmp_path / "spandrel", ignore=shutil.ignore_patterns("*.pyc"))
    spandrel_pull_request.write(tmp_path / "spandrel")
    np.save(tmp_path / "lq.npy", lq.numpy())
    code = """
import sys, numpy, torch, spandrel
loaded = spandrel.ModelLoader().load_from_file(sys.argv[2])
assert loaded.architecture.id == "HSRNet" and "hsr_hub" not in sys.modules
numpy.save(sys.argv[3], loaded(torch.from_numpy(numpy.load(sys.argv[1]))).numpy())
print(spandrel.__file__)
"""
    weights = BUNDLED / "hsr-lite-x4" / "model.safetensors"
    words = ["-c", code, str(tmp_path / "lq.npy"), str(weights), str(tmp_path / "sr.npy")]
    env = os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": "1"}
    done = run_python(words, tmp_path, env, timeout=120)
    assert done.stdout.strip() == str(tmp_path / "spandrel" / "__init__.py"), done.stderr
    with torch.inference_mode():
        expected = HSRNet.from_pretrained("hsr-lite-x4")(lq)[-1].clamp(0, 1)
    assert np.array_equal(np.load(tmp_path / "sr.npy"), expected.numpy())


@pytest.mark.parametrize(
    "config",
    [
        {"scale": 2, "kernel_sizes": [3]},
        {"scale": 3, "kernel_sizes": [5, 3], "widths": [4, 6], "dilations": [1, 2, 4]},
        {"scale": 8, "fusion_width": 10, "reconstruction_widths": [9, 7, 5]},
    ],
)
def test_spandrel_derives_the_configuration_from_the_weights(config):
    model = HSRNet(**config)
    assert read_config(model.state_dict()) == model.config


def test_weights_with_other_dilations_are_refused(tmp_path: Path):
    HSRNet(kernel_sizes=[3], dilations=[1, 2, 3]).save_pretrained(tmp_path)
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace("3\n", "2\n", 1))
    with pytest.raises(ValueError):
        HSRNet.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"\[1, 2, 3\]"):
        HSRNet(kernel_sizes=[3]).load_state_dict(
            HSRNet(kernel_sizes=[3], dilations=[1, 2, 3]).state_dict()
        )


@pytest.mark.slow
def test_onnx_file_gives_the_same_pixels(tmp_path: Path, lq: torch.Tensor):
    import onnxruntime

    words = ["-m", "hsr_hub", "export", "--onnx", str(tmp_path / "out" / "hsr.onnx")]
    done = run_python(words, ROOT, os.environ, timeout=240)
    assert done.returncode == 0, done.stderr
    session = onnxruntime.InferenceSession(tmp_path / "out" / "hsr.onnx")
    model = HSRNet.from_pretrained("hsr-lite-x4")
    for image in (lq, lq[:, :, :7, :1]):
        (sr,) = session.run(None, {"lq": image.numpy()})
        with torch.inference_mode():
            expected = model(image)[-1].numpy()
        assert np.abs(np.asarray(sr) - expected).max() <= 1e-4


@pytest.mark.slow
def test_onnx_of_another_scale(tmp_path: Path):
    assert export_onnx(random_model(scale=3, kernel_sizes=[3], widths=[4]), tmp_path / "x") < 1e-4
