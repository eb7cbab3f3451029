"""What `train_accelerate.py` refuses before the first step, and what it says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.test_train_launch import ENVIRONMENT
from tests.util import run

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--train_data_dir", "{tmp}/none"], "--train_data_dir"),
        (["--train_data_dir", "{tmp}"], "--train_data_dir: no usable photo"),
        (["--crop_size", "30"], "--crop_size"),
        (["--scale", "5"], "--scale"),
        (["--widths", "8"], "widths"),
        (["--scale", "2", "--pretrained_model", "hsr-lite-x4"], "--pretrained_model"),
        (["--pretrained_model", "nothing"], "--pretrained_model"),
        (["--pretrained_model", "hsr-lite-x4", "--fusion_width", "8"], "--fusion_width"),
        (["--validation_data_dir", "{broken}"], "--validation_data_dir: "),
        (["--report_to", "nobody"], "--report_to"),
        (["--perceptual_layers", "conv9_9:1"], "--perceptual_layers"),
        (
            ["--perceptual_weight", "1", "--perceptual_weights_path", "gone"],
            "--perceptual_weights_path",
        ),
        (
            ["--perceptual_weight", "1", "--perceptual_weights_path", "{broken}/HR/a.png"],
            "--perceptual_weights_path",
        ),
        (["--validation_data_dir", "{tmp}"], "--validation_data_dir"),
        (["--resume_from_checkpoint", "gone"], "--resume_from_checkpoint"),
        (["--push_to_hub"], "--hub_model_id"),
        (["--patience", "3"], "--patience"),
        (["--lpips_weight", "1"], "--metric_weights"),
        (["--lpips_weight", "1", "--metric_weights", "gone"], "--metric_weights"),
        (["--strengths", "1", "0.5"], "--pretrained_model"),
        (["--strengths", "0", "--pretrained_model", "hsr-lite-x4"], "--strengths"),
    ],
)
def test_wrong_use_is_refused_before_the_first_step(photo_folder, tmp_path: Path, flags, named):
    broken = tmp_path / "broken"
    (broken / "HR").mkdir(parents=True)
    (broken / "HR" / "a.png").write_bytes(b"no picture")
    filled = [flag.format(tmp=tmp_path, broken=broken) for flag in flags]
    done = run(
        *(sys.executable, "train_accelerate.py", "--train_data_dir", photo_folder),
        *("--output_dir", tmp_path / "out", "--crop_size", "32", *filled),
        env=ENVIRONMENT,
    )
    assert done.returncode != 0
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert "Running training" not in done.stdout
