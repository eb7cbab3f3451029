"""Data that depends on seed and index alone, labels as the protocol has them, losses by hand."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from hsr_hub import HSRNet
from hsr_hub.training.checkpoints import RunState
from hsr_hub.training.data import (
    LQ_MARGIN,
    PhotoCrops,
    crop_margin,
    label_pyramid,
    quantise,
    resize_antialiased,
)
from hsr_hub.training.degradations import degrade
from hsr_hub.training.discriminator import Discriminator
from hsr_hub.training.ema import averaged_copy
from hsr_hub.training.losses import (
    PerceptualLoss,
    adversarial_loss,
    consistency_loss,
    discriminator_loss,
    parse_layers,
    pixel_loss,
    real_over_fake,
)
from hsr_hub.training.validation import log_grid, validate
from tests.util import ROOT
from train_accelerate import update


def crops(folder: Path, **options) -> PhotoCrops:
    defaults = {"crop_size": 48, "scale": 4, "num_samples": 64, "progress": False}
    return PhotoCrops([folder], **{**defaults, **options})


def test_samples_depend_on_seed_and_index_alone(photo_folder: Path):
    plain = crops(photo_folder)
    cached = crops(photo_folder, cache_on="cpu")
    later = crops(photo_folder, first_index=10)
    assert len(later) == 54
    for index in (3, 0, 20, 11):
        assert torch.equal(plain[index]["gt"], cached[index]["gt"])
    assert torch.equal(later[0]["gt"], plain[10]["gt"])
    assert not torch.equal(crops(photo_folder, seed=1)[0]["gt"], plain[0]["gt"])
    assert plain[0]["gt"].shape == (3, 48 + 8 * LQ_MARGIN, 48 + 8 * LQ_MARGIN)
    assert plain[0]["gt"].dtype == torch.uint8


def test_every_photo_is_seen_once_per_epoch(tmp_path: Path):
    for value in range(5):
        Image.new("RGB", (48, 48), (value * 40, 0, 0)).save(tmp_path / f"{value}.png")
    data = crops(tmp_path)
    for epoch in range(3):
        reds = sorted(int(data[5 * epoch + i]["gt"][0, 0, 0]) for i in range(5))
        assert reds == [0, 40, 80, 120, 160]


def test_unusable_files_are_named_and_skipped(photo_folder: Path, tmp_path: Path, caplog):
    folder = tmp_path / "mixed"
    shutil.copytree(photo_folder, folder)
    (folder / "broken.jpg").write_bytes(b"no picture")
    Image.new("RGB", (40, 400)).save(folder / "narrow.png")
    data = crops(folder)
    assert len(data.paths) == 3
    assert "broken.jpg" in caplog.text
    assert "narrow.png" in caplog.text
    with pytest.raises(ValueError, match="no usable photo"):
        crops(folder, crop_size=400)
    with pytest.raises(FileNotFoundError, match="missing"):
        crops(tmp_path / "missing")


def test_labels_are_the_whole_photos_labels(photo_folder: Path, monkeypatch):
    """Cut out of the photo's own pyramid: the crop's edge leaves no trace."""
    data = crops(photo_folder)
    with Image.open(data.paths[0]) as image:
        photo = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 255
    whole = label_pyramid(photo, [1, 2, 4])
    top, left, size, m = 40, 24, 48, 4 * LQ_MARGIN
    sample = photo[:, :, top - m : top + size + m, left - m : left + size + m]
    for level, label, full in zip(
        (1, 2, 4), crop_margin(label_pyramid(sample, [1, 2, 4]), [1, 2, 4]), whole, strict=True
    ):
        y, x, side = top * level // 4, left * level // 4, size * level // 4
        torch.testing.assert_close(label, full[:, :, y : y + side, x : x + side])


def test_resizing_is_pillows_bicubic(small_photo: Image.Image):
    crop = small_photo.crop((0, 0, 60, 44))
    ours = resize_antialiased(
        torch.from_numpy(np.array(crop)).permute(2, 0, 1)[None] / 255, (11, 15)
    )
    theirs = np.asarray(crop.resize((15, 11), Image.Resampling.BICUBIC)).astype(int)
    rounded = (quantise(ours)[0].permute(1, 2, 0) * 255).round().numpy()
    assert np.abs(rounded - theirs).max() <= 1
    with pytest.raises(ValueError, match="multiple of 4"):
        label_pyramid(torch.zeros(1, 3, 10, 8), [1, 2, 4])


def test_pixel_loss_sums_the_levels_means():
    sr = [torch.full((1, 3, 2, 2), 0.5), torch.full((1, 3, 4, 4), 0.2)]
    gt = [torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 4, 4)]
    assert pixel_loss(sr, gt).item() == pytest.approx(0.7)


def test_consistency_asks_for_nothing_but_the_input_back(rng: np.random.Generator):
    gt = label_pyramid(torch.from_numpy(rng.random((1, 3, 60, 60), dtype=np.float32)), (1, 2, 4))
    levels = [torch.rand_like(gt[0]), torch.rand_like(gt[1]), gt[2]]
    assert float(consistency_loss(levels, gt)) == 0  # the other levels do not count
    shifted = [*levels[:2], gt[2] + 0.25]
    torch.testing.assert_close(consistency_loss(shifted, gt), torch.tensor(0.25))
    fine = torch.ones_like(gt[2])
    fine[..., ::2] = -1  # what the filter takes out is free
    assert float(consistency_loss([*levels[:2], gt[2] + 0.2 * fine], gt)) < 0.01
    # The label of a crop was made with what lies beyond its border.
    inner = crop_margin(gt, (1, 2, 4))
    assert float(consistency_loss(inner, inner)) < 1e-6


def test_perceptual_loss_in_bfloat16_is_nearly_that_in_float32(model: HSRNet, tmp_path: Path):
    from torchvision.models import vgg19

    import train_accelerate as script

    state = {
        f"features.{k}": v
        for k, v in cast(nn.Sequential, vgg19(weights=None).features)[:3].state_dict().items()
    }
    save_file(state, tmp_path / "vgg.safetensors")
    loss = PerceptualLoss({"conv1_2": 1.0}, tmp_path / "vgg.safetensors")
    args = SimpleNamespace(pixel_weight=0, consistency_weight=0, perceptual_weight=1)
    sr, gt = ([torch.rand(2, 3, 8 * s, 8 * s) for s in (1, 2, 4)] for _ in range(2))
    found = []
    for in_bf16 in (False, True):
        nets = script.Networks(model, None, model, model, None, loss, in_bf16)  # type: ignore[arg-type]
        found.append(script.generator_losses(nets, args, sr, gt)["perceptual"])  # type: ignore[arg-type]
    assert found[1].dtype == torch.float32
    assert not torch.equal(*found)
    torch.testing.assert_close(*found, rtol=0.02, atol=0)


def test_average_follows_the_weights(model: HSRNet):
    net = HSRNet(**model.config)
    ema = averaged_copy(net, decay=0.9)
    ema.update_parameters(net)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(1)
    before = [p.clone() for p in ema.module.parameters()]
    ema.update_parameters(net)
    # The second update's decay is still warming up: (1 + 1) / (10 + 1).
    for old, new in zip(before, ema.module.parameters(), strict=True):
        torch.testing.assert_close(new, old + 1 - 2 / 11)
    assert not any(p.requires_grad for p in ema.parameters())


def test_every_flag_is_read():
    programs = ("train_accelerate.py", "hsr_hub/training/optimizers.py")
    source = "".join((ROOT / name).read_text() for name in programs)
    card = (ROOT / "hsr_hub/training/card.py").read_text()
    flags = re.findall(r'"--(\w+)"', (ROOT / "hsr_hub/training/arguments.py").read_text())
    assert len(flags) > 20
    # The card quotes the names of flags that it leaves out: there only an attribute counts.
    unread = [f for f in flags if f"args.{f}" not in source + card and f'"{f}"' not in source]
    assert unread == []


def test_a_loss_that_is_not_finite_skips_the_step_whatever_its_gradient_is():
    net = nn.Linear(2, 1)
    before = [p.clone() for p in net.parameters()]
    optimizer = torch.optim.SGD(net.parameters(), 1.0)
    accelerator = Accelerator(cpu=True)
    for bad in (float("nan"), float("inf")):
        # Its own gradient is finite: the L1 loss's is a sign.
        loss = net(torch.ones(1, 2)).abs().sum() + bad
        assert not update(accelerator, loss, net, optimizer, 1.0)
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    assert update(accelerator, net(torch.ones(1, 2)).abs().sum(), net, optimizer, 1.0)
    assert not all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def test_validation_counts_only_numbers():
    state = RunState()
    for loss in (1.0, 2.0, float("nan"), float("inf"), 3.0):
        state.note_validation(loss)
    assert (state.best_loss, state.validations_since_best) == (1.0, 2)


def test_folders_of_one_name_are_both_measured(test_set: Path, tmp_path: Path):
    other = tmp_path / "other" / test_set.name
    shutil.copytree(test_set, other)
    for name in ("HR", "LRx4"):
        for path in sorted((other / name).iterdir())[1:]:
            path.unlink()
    net = HSRNet(kernel_sizes=[3], widths=[4], fusion_width=4, reconstruction_widths=[4, 4]).eval()
    figures = validate(net, [test_set, other], torch.device("cpu"), losses=lambda *_: {}).figures
    each = [v for k, v in figures.items() if k.startswith("val/psnr/")]
    assert len(each) == 2 and each[0] != each[1]
    assert figures["val/psnr"] == pytest.approx(np.mean(each))


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "swanlab", "aim", "clearml"])
def test_the_grid_goes_to_every_tracker_that_takes_pictures(name: str):
    seen: dict = {}

    def log_images(values: dict, step: int, **options) -> None:
        seen.update(values, step=step)

    grid = Image.new("RGB", (8, 4))
    tracker = SimpleNamespace(name=name, log_images=log_images)
    log_grid([SimpleNamespace(name="no pictures"), tracker], grid, 7)
    (shown,) = (v for k, v in seen.items() if k != "step")
    assert seen["step"] == 7 and np.asarray(shown).shape[-3:] == (4, 8, 3)


def test_real_degradation_is_seeded_and_fits(photo_folder: Path):
    data = crops(photo_folder, degradation="real", crop_size=64)
    samples = [data[i] for i in range(12)]
    for index, sample in enumerate(samples):
        assert sample["lq"].shape == (3, 16, 16)
        assert sample["lq"].dtype == torch.uint8
        again = crops(photo_folder, degradation="real", crop_size=64)[index]
        assert torch.equal(sample["lq"], again["lq"])
        # Still that crop: what is left of it at low resolution is close to its plain bicubic.
        gt = sample["gt"][None].float() / 255
        plain = crop_margin(label_pyramid(gt, [1, 4]), [1, 4])[0]
        assert (sample["lq"] / 255 - plain).abs().mean() < 0.12
    differences = [
        (s["lq"] / 255 - resize_antialiased(s["gt"][None, :, 16:-16, 16:-16] / 255, (16, 16)))
        for s in samples
    ]
    strengths = [float(d.abs().mean()) for d in differences]
    assert max(strengths) > 2 * min(strengths)  # some pictures suffer more than others


def test_degrade_takes_every_scale(rng):
    gt = rng.integers(0, 256, (48, 24, 3), dtype=np.uint8)
    for scale in (2, 3, 4, 8):
        for seed in range(8):
            lq = degrade(gt, scale, np.random.default_rng(seed))
            assert lq.shape == (48 // scale, 24 // scale, 3)


def test_adversarial_losses_by_the_sources_formula():
    torch.manual_seed(0)
    real, fake = torch.randn(5, 1), torch.randn(5, 1)

    def d_ra(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(a - b.mean())

    # [0111-0124]: -log(1 - D_Ra(I_HR, I_SR)) - log(D_Ra(I_SR, I_HR)), and the mirror for D.
    for_g = -torch.log(1 - d_ra(real, fake)).mean() - torch.log(d_ra(fake, real)).mean()
    for_d = -torch.log(d_ra(real, fake)).mean() - torch.log(1 - d_ra(fake, real)).mean()
    torch.testing.assert_close(adversarial_loss(real, fake), for_g)
    torch.testing.assert_close(discriminator_loss(real, fake), for_d)
    # By hand: equal scores leave D_Ra at a half everywhere.
    same = torch.zeros(3, 1)
    assert adversarial_loss(same, same).item() == pytest.approx(2 * np.log(2))
    # Safe where the formula itself is not: far apart, log(0) would be infinite.
    assert adversarial_loss(torch.tensor([[1e4]]), torch.tensor([[-1e4]])).isfinite()


def test_real_over_fake_counts_pairs():
    real, fake = torch.tensor([[1.0], [3.0]]), torch.tensor([[2.0], [3.0], [0.0]])
    # 1 beats 0; 3 beats 2 and 0 and draws with 3: 3.5 of 6.
    assert real_over_fake(real, fake).item() == pytest.approx(3.5 / 6)
    assert real_over_fake(real, real).item() == 0.5


def test_layers_are_parsed_and_wrong_ones_named():
    assert parse_layers("conv1_2:0.1, conv3_4") == {"conv1_2": 0.1, "conv3_4": 1.0}
    for text, named in (("conv6_1", "conv6_1"), ("conv1_2:x", "conv1_2"), ("conv1_2:-1", "-1")):
        with pytest.raises(ValueError, match=named):
            parse_layers(text)


def test_perceptual_loss_against_torchvisions_vgg19(tmp_path: Path):
    """Layers by name, after their ReLU, Caffe's preprocessing; the network is torchvision's own."""
    from torchvision.models import vgg19

    torch.manual_seed(0)
    vgg = vgg19(weights=None)
    assert isinstance(vgg.features, nn.Sequential)
    reference = vgg.features[:18]
    state = {f"features.{k}": v for k, v in reference.state_dict().items()}
    save_file(state, tmp_path / "vgg.safetensors")
    sr = [torch.rand(2, 3, 8, 8), torch.rand(2, 3, 16, 16)]
    gt = [torch.rand_like(image) for image in sr]

    mean = torch.tensor([103.939, 116.779, 123.68])[:, None, None]
    expected = 0.0
    for image, label in zip(sr, gt, strict=True):
        features = [(x[:, [2, 1, 0]] * 255 - mean) for x in (image, label)]
        for index, module in enumerate(reference):
            features = [module(x) for x in features]
            # conv2_1 is module 5, conv3_4 module 16; their ReLUs follow.
            weight = {6: 0.5, 17: 2.0}.get(index, 0)
            expected += weight * (features[0] - features[1]).abs().mean()
    layers = {"conv2_1": 0.5, "conv3_4": 2.0}
    loss = PerceptualLoss(layers, tmp_path / "vgg.safetensors")
    torch.testing.assert_close(loss(sr, gt), expected)
    assert not any(p.requires_grad for p in loss.parameters())

    with pytest.raises(ValueError, match="not deep enough"):
        PerceptualLoss({"conv4_1": 1.0}, tmp_path / "vgg.safetensors")
    state["features.2.bias"][3] = float("nan")
    save_file(state, tmp_path / "vgg.safetensors")
    with pytest.raises(ValueError, match=r"features\.2\.bias"):
        PerceptualLoss({"conv2_1": 1.0}, tmp_path / "vgg.safetensors")
    with pytest.raises(FileNotFoundError, match=r"gone\.safetensors"):
        PerceptualLoss(layers, tmp_path / "gone.safetensors")


def test_discriminator_is_vgg13_without_batch_statistics():
    net = Discriminator(width=4)
    kinds = [type(m) for m in net.modules()]
    assert kinds.count(nn.Conv2d) == 10
    assert kinds.count(nn.MaxPool2d) == 5
    assert kinds.count(nn.Linear) == 3
    widths = [m.out_channels for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert widths == [4, 4, 8, 8, 16, 16, 32, 32, 32, 32]
    assert not list(net.buffers())
    for size in ((1, 1), (17, 40), (96, 96)):
        batch = torch.rand(3, 3, *size)
        scores = net(batch)
        assert scores.shape == (3, 1)
        torch.testing.assert_close(scores[1:2], net(batch[1:2]), atol=1e-5, rtol=1e-4)


def test_steps_change_their_own_network_only(model: HSRNet):
    from accelerate import Accelerator

    import train_accelerate as script
    from hsr_hub.training.arguments import parse_args

    flags = ["--train_data_dir", "x", "--output_dir", "y", "--adversarial_weight", "0.1"]
    args = parse_args(flags, None)
    accelerator = Accelerator(cpu=True)
    net_g, net_d = HSRNet(**model.config), Discriminator(width=4)
    nets = script.Networks(
        *(net_g, torch.optim.SGD(net_g.parameters(), 0.1), net_d, net_d),
        *(torch.optim.SGD(net_d.parameters(), 0.1), None, False),
    )
    lq, gt = torch.rand(2, 3, 8, 8), [torch.rand(2, 3, 8 * s, 8 * s) for s in (1, 2, 4)]

    def weights(net: nn.Module) -> list[torch.Tensor]:
        return [p.detach().clone() for p in net.parameters()]

    def changed(before: list[torch.Tensor], net: nn.Module) -> bool:
        return any(not torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))

    g_before, d_before = weights(net_g), weights(net_d)
    sr = net_g(lq)
    script.discriminator_step(accelerator, nets, sr[-1], gt[-1], 1.0)
    assert changed(d_before, net_d)
    assert not changed(g_before, net_g)
    assert all(p.grad is None for p in net_g.parameters())

    d_before = weights(net_d)
    values, finite = script.generator_step(accelerator, nets, args, sr, gt, pixel_only=False)
    assert finite
    assert set(values) == {"loss_g/pixel", "loss_g/adversarial"}
    assert changed(g_before, net_g)
    assert not changed(d_before, net_d)
    assert all(p.grad is None for p in net_d.parameters())
    assert all(p.requires_grad for p in net_d.parameters())
