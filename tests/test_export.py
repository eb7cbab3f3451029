"""Our weights in other programs: through spandrel, and as ONNX."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hsr_hub import HSRNet
from hsr_hub.hub import BUNDLED, bundled_models
from tests.conftest import random_model
from tests.util import hsr_hub


@pytest.fixture
def lq(small_photo: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(small_photo).copy()).permute(2, 0, 1)[None] / 255


@pytest.mark.parametrize("name", bundled_models())
def test_shipped_sets_load_through_spandrel(name: str, lq: torch.Tensor):
    """In a process of its own: `install` changes spandrel's registry."""
    program = f"""
import numpy as np, spandrel, torch
import hsr_hub.export.spandrel
hsr_hub.export.spandrel.install()
hsr_hub.export.spandrel.install()
loaded = spandrel.ModelLoader().load_from_file({str(BUNDLED / name / "model.safetensors")!r})
assert loaded.architecture.id == "HSRNet" and loaded.scale == 4, loaded
torch.manual_seed(0)
lq = torch.rand(1, 3, 33, 47)
sr = loaded(lq)
from hsr_hub import HSRNet
with torch.inference_mode():
    expected = HSRNet.from_pretrained({name!r})(lq)[-1].clamp(0, 1)
assert torch.equal(sr, expected), (sr - expected).abs().max()
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    "config",
    [
        {"scale": 2, "kernel_sizes": [3]},
        {"scale": 3, "kernel_sizes": [5, 3], "widths": [4, 6], "dilations": [1, 2, 4]},
        {"scale": 8, "fusion_width": 10, "reconstruction_widths": [9, 7, 5]},
    ],
)
def test_shape_is_read_off_the_weights(config):
    from hsr_hub.export.spandrel import read_config

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

    done = hsr_hub("export", "--onnx", tmp_path / "out" / "hsr.onnx")
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
    from hsr_hub.export.onnx import export_onnx

    assert export_onnx(random_model(scale=3, kernel_sizes=[3], widths=[4]), tmp_path / "x") < 1e-4
