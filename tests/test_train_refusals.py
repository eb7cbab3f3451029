"""Flags of `train_accelerate.py`: refusals before the first step, suggestions and presets."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from accelerate.utils import LoggerType

from hsr_hub import HSRNet
from hsr_hub.training.arguments import parse_args
from hsr_hub.training.flags import build_parser
from hsr_hub.training.presets import PRESETS
from hsr_hub.training.session import readable_errors
from tests.training import train
from tests.util import ROOT


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
        (["--push_checkpoints"], "--push_to_hub"),
        (["--dataset_name", "org/photos"], "--train_data_dir and --dataset_name exclude each"),
        (["--streaming"], "--streaming belongs to --dataset_name"),
        (["--image_column", "x", "--max_train_samples", "2"], "--max_train_samples belongs to"),
        (["--preset", "real"], "--pretrained_model"),
        (["--revision", "v1"], "--revision belongs to --pretrained_model"),
        (["--train_batchsize", "2"], "did you mean --train_batch_size?"),
        (["--learning-rate", "1"], "there is no flag --learning-rate: did you mean --learning_ra"),
        (["--resolution", "64"], "there is no flag --resolution: use --crop_size"),
        (["--hub-token", "x"], "there is no flag --hub-token: set HF_TOKEN"),
        (["--patience", "3"], "--patience"),
        (["--lpips_weight", "1"], "--metric_weights"),
        (["--patience_metric", "lpips"], "--metric_weights"),
        (["--pixel_weight", "-1"], "--pixel_weight must be at least 0, not -1.0"),
        (["--perceptual_weight", "nan"], "--perceptual_weight must be at least 0"),
        (["--pixel_weight", "0"], "--pixel_weight"),
        (
            ["--pixel_weight", "0", "--adversarial_weight", "1", "--pixel_steps", "2"],
            "--pixel_steps",
        ),
        (["--crop_size", "16", "--consistency_weight", "1"], "use at least 20"),
        (
            ["--crop_size", "16", "--lpips_weight", "1", "--metric_weights", "x"],
            "use at least 20",
        ),
        (["--pretrained_model", "{nan}"], "--pretrained_model"),
        (["--seed", "-1"], "--seed must be from 0 to 4294967295, not -1"),
        (["--learning_rate", "inf"], "--learning_rate must be at least 0, not inf"),
        (["--lr_warmup_steps", "-1"], "--lr_warmup_steps must be at least 0"),
        (["--weight_decay", "nan"], "--weight_decay must be at least 0, not nan"),
        (["--adam_beta2", "1"], "--adam_beta2 must be at least 0 and below 1, not 1.0"),
        (["--ema_decay", "-0.1"], "--ema_decay must be at least 0 and below 1"),
        (["--adam_epsilon", "0"], "--adam_epsilon must be above 0"),
        (["--max_grad_norm", "0"], "--max_grad_norm must be above 0"),
        (["--discriminator_width", "0"], "--discriminator_width must be at least 1"),
        (["--dataloader_num_workers", "-1"], "--dataloader_num_workers must be at least 0"),
        (["--num_train_epochs", "0"], "--num_train_epochs must be at least 1"),
        (["--pretrained_discriminator", "x"], "add --adversarial_weight"),
        (
            ["--adversarial_weight", "1", "--pretrained_discriminator", "{tmp}"],
            "--pretrained_discriminator: there is no file",
        ),
        (["--lpips_weight", "1", "--metric_weights", "gone"], "--metric_weights"),
        (["--strengths", "1", "0.5"], "--pretrained_model"),
        (["--strengths", "0", "--pretrained_model", "hsr-lite-x4"], "--strengths"),
    ],
)
def test_wrong_use_is_refused_before_the_first_step(
    photo_folder, tmp_path: Path, capsys, caplog, flags, named
):
    broken = tmp_path / "broken"
    (broken / "HR").mkdir(parents=True)
    (broken / "HR" / "a.png").write_bytes(b"no picture")
    if "{nan}" in flags:
        net = HSRNet(
            kernel_sizes=[3, 5], widths=[8, 4], fusion_width=8, reconstruction_widths=[8, 4]
        )
        next(net.parameters()).data[0] = float("nan")
        net.save_pretrained(tmp_path / "nan")
    filled = [flag.format(tmp=tmp_path, broken=broken, nan=tmp_path / "nan") for flag in flags]
    caplog.set_level("INFO")
    with pytest.raises(SystemExit) as refusal:
        train(photo_folder, tmp_path / "out", *filled, network=["--crop_size", "32"])
    printed = capsys.readouterr()
    assert refusal.value.code not in (0, None)
    assert named in f"{refusal.value}{printed.err}"
    assert "Running training" not in caplog.text


def test_a_tracker_without_its_package_is_refused(photo_folder, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("accelerate.tracking.get_available_trackers", lambda: [])
    with pytest.raises(SystemExit, match="pip install tensorboard"):
        train(photo_folder, tmp_path / "out", "--report_to", LoggerType.TENSORBOARD.value)


def test_the_smallest_crops_are_accepted():
    flags = ["--train_data_dir", "x", "--output_dir", "y", "--crop_size"]
    for scale, side in (("4", "20"), ("2", "10"), ("3", "15")):
        parse_args([*flags, side, "--scale", scale, "--consistency_weight", "1"], None)
    for scale, side in (("4", "20"), ("2", "18"), ("8", "24")):
        lpips = ["--lpips_weight", "1", "--metric_weights", "x"]
        parse_args([*flags, side, "--scale", scale, *lpips], None)


def documented_presets() -> dict[str, list[str]]:
    """Return the flags of every preset by the table in the documentation."""
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (?:the defaults: )?`(--[^`]+)`", page, re.MULTILINE)
    return {name: flags.split() for name, flags in rows}


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_what_the_documentation_says(preset: str):
    start = ["--train_data_dir", "x", "--output_dir", "y", "--pretrained_model", "hsr-lite-x4"]
    found = vars(parse_args([*start, "--preset", preset], None))
    written = vars(parse_args([*start, *documented_presets()[preset]], None))
    assert found | {"preset": None} == written


def test_flags_take_precedence_over_presets():
    start = ["--train_data_dir", "x", "--output_dir", "y", "--pretrained_model", "hsr-lite-x4"]
    flags = ["--preset", "real", "--crop_size", "64", "--flat_weight", "0"]
    caffe = ["--perceptual_weights_path", "vgg.safetensors", "--metric_weights", "weights"]
    args = parse_args([*start, *flags, *caffe], None)
    assert (args.crop_size, args.flat_weight, args.degradation) == (64, 0, "real")
    assert (args.perceptual_weight, args.lpips_weight) == (3e-4, 0.4)


def test_flags_of_the_diffusers_scripts_are_understood():
    flags = ["--adam_weight_decay", "0.1", "--pretrained_model_name_or_path", "org/net"]
    flags += ["--mixed_precision", "bf16", "--allow_tf32", "--lr_scheduler", "constant_with_warmup"]
    flags += ["--num_train_epochs", "3", "--dataloader_num_workers", "1", "--push_to_hub"]
    flags += ["--revision", "v1", "--hub_license", "mit", "--dataset_config_name", "small"]
    args = parse_args(["--dataset_name", "org/photos", "--output_dir", "a/my-model", *flags], None)
    assert (args.weight_decay, args.pretrained_model) == (0.1, "org/net")
    assert args.hub_model_id == "my-model"


def test_running_out_of_memory_names_the_flags_that_need_less():
    with pytest.raises(SystemExit, match="lower --train_batch_size"), readable_errors():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
    with pytest.raises(SystemExit, match="stopped by Ctrl-C"), readable_errors():
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("flags", "named"), [(["--mixed_precision", "bf16"], "--mixed_precision"), ([], "accelerate l")]
)
def test_a_refused_precision_does_not_blame_the_tracker(
    photo_folder, tmp_path, monkeypatch, flags, named
):
    def refuse(**_):
        raise ValueError("bf16 mixed precision requires PyTorch >= 1.10 and a supported device.")

    monkeypatch.setattr("accelerate.Accelerator", refuse)
    with pytest.raises(SystemExit, match=f"^{named}.*: bf16 mixed precision"):
        train(photo_folder, tmp_path / "out", *flags)


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--perceptual_weight", "1"], "^--perceptual_weight needs torchvision's VGG-19"),
        (["--preset", "detail", "--pretrained_model", "hsr-lite-x4"], "^--preset detail needs"),
    ],
)
def test_vgg_without_a_connection_says_what_to_do(
    photo_folder, tmp_path, monkeypatch, flags, named
):
    def unreachable(*_, **__):
        raise URLError("Name or service not known")

    monkeypatch.setattr("torchvision.models.VGG19_Weights.get_state_dict", unreachable)
    small = ["--crop_size", "32", "--discriminator_width", "4"]
    with pytest.raises(SystemExit, match=named) as refusal:
        train(photo_folder, tmp_path / "out", *flags, network=small)
    assert "train without it: --perceptual_weight 0" in str(refusal.value)


def test_the_help_names_the_defaults():
    text = " ".join(build_parser(None).format_help().split())
    for shown in ("of G. (default: 0.002)", "pixel loss. (default: 1)", "(default: bicubic)"):
        assert shown in text
    assert not re.search(r"default: (None|False|\[)", text)
