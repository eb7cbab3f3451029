"""Losses by hand and against their sources, the discriminator, and the steps that use them."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

import train_accelerate as script
from hsr_hub import HSRNet
from hsr_hub.evaluation import data_root
from hsr_hub.training.adversarial import adversarial_loss, discriminator_loss, real_over_fake
from hsr_hub.training.arguments import parse_args
from hsr_hub.training.data import crop_margin, label_pyramid
from hsr_hub.training.discriminator import Discriminator
from hsr_hub.training.ema import make_ema
from hsr_hub.training.feature_scale import feature_scale, weight_note
from hsr_hub.training.levels import LevelPairs, center_crops, random_crops
from hsr_hub.training.losses import checkerboard_loss, consistency_loss, flat_loss, pixel_loss
from hsr_hub.training.mixing import mixed_weights
from hsr_hub.training.perceptual import IMAGENET_STD, LpipsLoss, PerceptualLoss, parse_layers
from hsr_hub.training.presets import STAGE_TWO
from tests.training import write_small_vgg
from train_accelerate import optimizer_step

needs_metric_weights = pytest.mark.skipif(
    not (data_root() / "weights" / "lpips_squeeze_linear_v0.1.safetensors").is_file(),
    reason="the weights of LPIPS are not at hand (HSR_DATA)",
)


def parsed(*flags: str) -> argparse.Namespace:
    return parse_args(["--train_data_dir", "x", "--output_dir", "y", *flags], None)


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


def test_a_grid_costs_and_texture_hardly():
    gt = [torch.full((1, 3, 24 * s, 24 * s), 0.5) for s in (1, 2, 4)]
    assert float(checkerboard_loss(gt, gt)) == 0
    cell = torch.zeros(4, 4)
    cell[1, 2] = 0.16  # one pixel of every sixteen
    grid = [*gt[:2], gt[2] + cell.repeat(24, 24)]
    torch.testing.assert_close(checkerboard_loss(grid, gt), torch.tensor(0.01))
    noise = torch.randn(gt[2].shape, generator=torch.Generator().manual_seed(0))
    texture = [*gt[:2], gt[2] + noise / noise.abs().mean() * 0.01]  # as strong as the grid
    assert float(checkerboard_loss(texture, gt)) < 0.2 * float(checkerboard_loss(grid, gt))
    small = [torch.rand(1, 3, 2 * s, 3 * s) for s in (1, 2, 4)]
    assert checkerboard_loss(small, [torch.zeros_like(image) for image in small]).isfinite()


@given(key=st.integers(0, 10_000), batch=st.integers(1, 2))
def test_windows_are_the_same_of_image_and_label_and_lie_elsewhere_in_each_step(key, batch):
    gt = [torch.rand(batch, 3, 6 * s, 5 * s) for s in (1, 2, 4)]
    sr = [-image for image in gt]
    seen_sr, seen_gt = random_crops(sr, gt, key)
    assert all(torch.equal(a, -b) for a, b in zip(seen_sr, seen_gt, strict=True))
    assert [tuple(image.shape[-2:]) for image in seen_gt] == [(6, 5), (11, 9), (21, 17)]
    again, _ = random_crops(sr, gt, key)
    assert all(torch.equal(a, b) for a, b in zip(seen_sr, again, strict=True))


def test_windows_take_all_phases_of_the_up_sampling():
    rows = torch.arange(32.0)[:, None].expand(32, 32)
    levels = [torch.zeros(1, 1, 8, 8), (rows * 32 + rows.T)[None, None]]
    corners = {float(random_crops(levels, levels, key)[0][1][0, 0, 0, 0]) for key in range(200)}
    assert corners == {32.0 * y + x for y in range(4) for x in range(4)}


def test_perceptual_loss_in_bfloat16_is_nearly_that_in_float32(model: HSRNet, tmp_path: Path):
    write_small_vgg(tmp_path / "vgg.safetensors")
    loss = PerceptualLoss({"conv1_2": 1.0}, tmp_path / "vgg.safetensors")
    args = parsed("--pixel_weight", "0", "--perceptual_weight", "1")
    sr, gt = ([torch.rand(2, 3, 8 * s, 8 * s) for s in (1, 2, 4)] for _ in range(2))
    found = []
    for in_bf16 in (False, True):
        optimizer = torch.optim.SGD(model.parameters())
        nets = script.TrainingNetworks(
            model, model, optimizer, make_ema(model), perceptual=loss, in_bf16=in_bf16
        )
        pair = LevelPairs(sr, gt)
        losses = script.generator_losses(nets, args, pair, pair)
        assert list(losses) == ["perceptual"]  # nothing is computed for a weight of zero
        found.append(losses["perceptual"])
    assert found[1].dtype == torch.float32
    assert not torch.equal(*found)
    torch.testing.assert_close(*found, rtol=0.02, atol=0)


def test_features_of_labels_are_computed_once_and_without_gradients(tmp_path: Path, monkeypatch):
    loss = PerceptualLoss({"conv1_2": 1.0}, write_small_vgg(tmp_path / "vgg.safetensors"))
    passes: list[bool] = []
    compute = PerceptualLoss._features

    def counted(self, image: torch.Tensor):
        features = compute(self, image)
        passes.append(all(value.requires_grad for value in features.values()))
        return features

    monkeypatch.setattr(PerceptualLoss, "_features", counted)
    gt = [torch.rand(1, 3, 8 * s, 8 * s) for s in (1, 2)]
    loss([torch.rand_like(label).requires_grad_() for label in gt], gt)
    assert passes == [False, True] * 2  # of each level the label and the image


def test_a_loss_that_is_not_finite_skips_the_step_whatever_its_gradient_is():
    net = nn.Linear(2, 1)
    before = [p.clone() for p in net.parameters()]
    optimizer = torch.optim.SGD(net.parameters(), 1.0)
    accelerator = Accelerator(cpu=True)
    for bad in (float("nan"), float("inf")):
        # Its own gradient is finite: the L1 loss's is a sign.
        loss = net(torch.ones(1, 2)).abs().sum() + bad
        assert not optimizer_step(accelerator, loss, net, optimizer, 1.0)[0]
    # A finite loss with a gradient that is not finite: the root of zero.
    loss = (0 * net(torch.ones(1, 2)).sum()).sqrt()
    assert loss.isfinite() and not optimizer_step(accelerator, loss, net, optimizer, 1.0)[0]
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    finite, norm = optimizer_step(accelerator, 3 * net(torch.ones(1, 2)).sum(), net, optimizer, 1.0)
    assert finite
    torch.testing.assert_close(norm, torch.tensor(27.0).sqrt())  # before clipping: 3, 3 and 3
    assert not all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


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


def test_flat_loss_weighs_flat_areas():
    gt = [torch.full((1, 3, 16 * s, 16 * s), 0.3) for s in (1, 2)]
    assert float(flat_loss(gt, gt)) == 0
    shifted = [image + 0.1 for image in gt]
    torch.testing.assert_close(flat_loss(shifted, gt), torch.tensor(0.2), rtol=0.02, atol=0)
    columns = torch.arange(32) % 2 / 10  # the 5x5 windows deviate by about 0.05
    textured = [gt[0], gt[1] + columns]
    assert float(flat_loss([gt[0], textured[1] + 0.1], textured)) < 1e-3
    # The weight follows the label, so the gradient is the weight's over the number of values.
    half = gt[1].clone()
    half[..., 16:] += columns[16:]
    sr = (half + 0.1).requires_grad_()
    flat_loss([gt[0], sr], [gt[0], half]).backward()
    assert sr.grad is not None and sr.grad.isfinite().all()
    torch.testing.assert_close(
        sr.grad[..., 2:12], torch.full((1, 3, 32, 10), 1 / half.numel()), rtol=0.02, atol=0
    )
    assert sr.grad[..., 20:].abs().max() < 0.01 / half.numel()


@given(seed=st.integers(0, 1000))
def test_flat_loss_is_at_most_the_pixel_loss(seed: int):
    torch.manual_seed(seed)
    sr, gt = ([torch.rand(1, 3, 6 * s, 5 * s) for s in (1, 2)] for _ in range(2))
    assert 0 <= float(flat_loss(sr, gt)) <= float(pixel_loss(sr, gt))


@needs_metric_weights
def test_lpips_loss_is_the_metric_with_gradients(small_photo):
    loss = LpipsLoss(data_root() / "weights")
    gt = torch.from_numpy(np.array(small_photo)).permute(2, 0, 1)[None]
    sr = (gt.float() + torch.randn(gt.shape) * 20).clamp(0, 255).byte()
    images = [sr.float() / 255, gt.float() / 255]
    found = loss([images[0]], [images[1]])
    arrays = (image[0].permute(1, 2, 0).numpy() for image in (sr, gt))
    assert float(found) == pytest.approx(loss.metric.distance(*arrays), rel=1e-4)
    assert float(loss([images[1]], [images[1]])) == 0
    assert not any(p.requires_grad for p in loss.parameters())
    # A step against the gradient brings the image closer. Black input has features of zero.
    black = torch.zeros_like(images[0])
    for start in (images[0], black):
        image = start.clone().requires_grad_()
        before = loss([image], [images[1]])
        before.backward()
        assert image.grad is not None and image.grad.isfinite().all()
        step = image.grad / image.grad.abs().max() * 0.01
        assert float(loss([start - step], [images[1]])) < before.item()


def test_layers_are_parsed_and_wrong_ones_named():
    assert parse_layers("conv1_2:0.1, conv3_4") == {"conv1_2": 0.1, "conv3_4": 1.0}
    for text, named in (("conv6_1", "conv6_1"), ("conv1_2:x", "conv1_2"), ("conv1_2:-1", "-1")):
        with pytest.raises(ValueError, match=named):
            parse_layers(text)


def test_perceptual_loss_against_torchvisions_vgg19(tmp_path: Path):
    """Layers by name, after their ReLU, Caffe's preprocessing; the network is torchvision's own."""
    from torchvision.models import vgg

    torch.manual_seed(0)
    reference = vgg.make_layers(vgg.cfgs["E"][:10])  # to conv3_4
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


def test_a_file_of_torchvisions_vgg19_is_fed_as_torchvision_does(tmp_path: Path):
    path = write_small_vgg(tmp_path / "vgg.safetensors")
    image, label = torch.rand(2, 1, 3, 16, 16)
    state = load_file(path)
    state["features.0.weight"][0, 0, 0] = torch.tensor([-0.0534743, -0.0492573, -0.0679424])
    save_file(state, path)
    first = torch.nn.Conv2d(3, 64, 3, padding=1)
    first.load_state_dict({k: state[f"features.0.{k}"] for k in ("weight", "bias")})
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]
    a, b = (first((x - mean) / std).relu() for x in (image, label))
    found = PerceptualLoss({"conv1_1": 1.0}, path)([image], [label])
    torch.testing.assert_close(found, (a - b).abs().mean())


@pytest.mark.parametrize("preset", STAGE_TWO)
def test_a_preset_names_the_weight_that_fits_the_features_of_vgg19(tmp_path: Path, preset: str):
    path = write_small_vgg(tmp_path / "vgg.safetensors")
    flags = ["--preset", preset, "--pretrained_model", "x", "--perceptual_layers", "conv2_2"]
    flags += ["--perceptual_weights_path", str(path)]
    loss = PerceptualLoss({"conv2_2": 1.0}, path)
    scale = feature_scale(loss)
    assert scale is not None
    last = loss.features[7]
    assert isinstance(last, torch.nn.Conv2d) and last.bias is not None
    for factor in (1.0, 3.0):  # how large the features are, compared with those of the Caffe file
        now = feature_scale(loss)
        assert now is not None
        with torch.no_grad():
            for parameter in (last.weight, last.bias):
                parameter *= factor / now
        note = weight_note(parsed(*flags), loss)
        assert ("--perceptual_weight 0.0001 has the effect" in note) == (factor == 3)
        assert weight_note(parsed(*flags, "--perceptual_weight", "0.1"), loss) == ""


def test_the_weights_of_presets_fit_caffes_vgg19_and_its_conversion(tmp_path: Path):
    """As the file that the bundled models were trained with, and in torchvision's convention."""
    path = data_root() / "weights" / "vgg19_caffe_conv1_1-conv3_4.fp16.safetensors"
    if not path.is_file():
        pytest.skip("VGG-19 in Caffe's convention is missing (HSR_DATA)")
    start = ["--preset", "detail", "--pretrained_model", "x"]
    args = parsed(*start, "--perceptual_weights_path", str(path))
    loss = PerceptualLoss(args.perceptual_layers, path)
    assert args.perceptual_weight == 3e-4
    assert feature_scale(loss) == pytest.approx(1, abs=0.01)
    assert weight_note(args, loss) == ""
    # The same network for inputs of a standard deviation of 1, with features as much smaller.
    per_unit = 255 * sum(IMAGENET_STD) / 3
    loss.caffe = False
    with torch.no_grad():
        for module in loss.features:
            if isinstance(module, torch.nn.Conv2d) and module.bias is not None:
                module.bias /= per_unit
        first = loss.features[0]
        assert isinstance(first, torch.nn.Conv2d)
        first.weight.copy_(first.weight.flip(1))  # RGB
    args = parsed(*start)
    assert args.perceptual_weight == 0.02
    assert feature_scale(loss) == pytest.approx(1 / per_unit, rel=0.05)
    assert weight_note(args, loss) == ""


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

    args = parsed("--adversarial_weight", "0.1")
    accelerator = Accelerator(cpu=True)
    net_g, net_d = HSRNet(**model.config), Discriminator(width=4)
    nets = script.TrainingNetworks(
        net_g, net_g, torch.optim.SGD(net_g.parameters(), 0.1), make_ema(net_g)
    )
    nets.net_d = nets.raw_d = net_d
    nets.optimizer_d = torch.optim.SGD(net_d.parameters(), 0.1)
    lq, gt = torch.rand(2, 3, 8, 8), [torch.rand(2, 3, 8 * s, 8 * s) for s in (1, 2, 4)]

    def weights(net: nn.Module) -> list[torch.Tensor]:
        return [p.detach().clone() for p in net.parameters()]

    def changed(before: list[torch.Tensor], net: nn.Module) -> bool:
        return any(not torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))

    g_before, d_before = weights(net_g), weights(net_d)
    sr = net_g(lq)
    pair = LevelPairs(sr, gt)
    script.discriminator_step(accelerator, nets, pair, 1.0)
    assert changed(d_before, net_d)
    assert not changed(g_before, net_g)
    assert all(p.grad is None for p in net_g.parameters())

    d_before = weights(net_d)
    values, finite = script.generator_step(accelerator, nets, args, pair, pair, 1.0)
    assert finite
    assert set(values) == {"loss_g/pixel", "loss_g/adversarial", "grad_norm/g"}
    assert changed(g_before, net_g)
    assert not changed(d_before, net_d)
    assert all(p.grad is None for p in net_d.parameters())
    assert all(p.requires_grad for p in net_d.parameters())


def test_the_validation_leaves_the_other_networks_out(model: HSRNet):
    class Fails(nn.Module):
        def forward(self, *args):
            raise AssertionError("it is not needed")

    class Sides(nn.Module):
        def forward(self, sr, gt):
            sides.append([image.shape[-1] for image in (*sr, *gt)])
            return torch.ones(())

    sides: list[list[int]] = []
    nets = script.TrainingNetworks(
        model, model, torch.optim.SGD(model.parameters()), make_ema(model)
    )
    nets.net_d = nets.raw_d = Fails()
    nets.perceptual = Fails()  # type: ignore[assignment]
    sr, gt = ([torch.rand(1, 3, 40 * s, 50 * s) for s in (1, 2, 4)] for _ in range(2))
    pair = LevelPairs(sr, gt)
    lpips = ["--patience_metric", "lpips", "--metric_weights", "x"]
    args = parsed("--adversarial_weight", "1", "--perceptual_weight", "2", *lpips)
    assert list(script.validation_terms(nets, args, pair)) == ["pixel"]
    # Where L_G tells the best validation, VGG compares the center alone.
    nets.perceptual = Sides()  # type: ignore[assignment]
    args = parsed("--adversarial_weight", "1", "--perceptual_weight", "2")
    assert float(script.validation_terms(nets, args, pair)["perceptual"]) == 2
    assert sides == [[32, 64, 128] * 2]


def test_center_crops_are_centered():
    rows = torch.arange(10.0)[:, None].expand(10, 12)
    image = (rows * 100 + torch.arange(12.0))[None, None]
    pair = LevelPairs([image], [-image])
    cropped = center_crops(pair, 4)
    assert cropped.sr[0][0, 0, 0, 0] == 304 and cropped.sr[0].shape[-2:] == (4, 4)
    assert torch.equal(cropped.gt[0], -cropped.sr[0])
    assert center_crops(pair, 99).sr[0].shape == image.shape


def test_a_step_at_half_strength_stays_with_the_weights(model: HSRNet):
    net, fidelity = HSRNet(**model.config), [p.detach().clone() for p in model.parameters()]
    before = [p.detach().clone() for p in net.parameters()]
    half = HSRNet.interpolate(model, net, 0.5)
    with mixed_weights(net, fidelity, 0.5):
        for own, mixed in zip(net.parameters(), half.parameters(), strict=True):
            torch.testing.assert_close(own, mixed)
            own.data += 0.01  # what an optimizer does
    for own, then in zip(net.parameters(), before, strict=True):
        torch.testing.assert_close(own, then + 0.01)
    with mixed_weights(net, fidelity, 1):
        for own, then in zip(net.parameters(), before, strict=True):
            torch.testing.assert_close(own, then + 0.01)
    storages = [p.data_ptr() for p in net.parameters()]
    versions = [p._version for p in net.parameters()]
    with mixed_weights(net, None, 1):  # costs nothing: no copies, no changes
        pass
    assert storages == [p.data_ptr() for p in net.parameters()]
    assert versions == [p._version for p in net.parameters()]
