"""The runs behind the bundled models fit the script, and networks are widened exactly."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hsr_hub import HSRNet
from hsr_hub.training.arguments import parse_args
from hsr_hub.training.degradations import degrade
from recipes.fit_first_head import fit
from recipes.mean_of_checkpoints import mean_of_checkpoints
from recipes.transfer import transfer
from recipes.widen import widen, widen_to_x4
from tests.util import ROOT, run


@settings(max_examples=10)
@given(extra=st.lists(st.integers(0, 5), min_size=5, max_size=5), seed=st.integers(0, 99))
def test_widened_network_gives_the_same_images(extra: list[int], seed: int):
    torch.manual_seed(seed)
    shape = {"widths": [4, 3], "fusion_width": 5, "reconstruction_widths": [4, 3]}
    wider = {
        "widths": [4 + extra[0], 3 + extra[1]],
        "fusion_width": 5 + extra[2],
        "reconstruction_widths": [4 + extra[3], 3 + extra[4]],
    }
    old = HSRNet(kernel_sizes=[3, 5], **shape)
    new = widen(old, HSRNet(kernel_sizes=[3, 5], **wider))
    lq = torch.rand(1, 3, 9, 11)
    for ours, theirs in zip(old(lq), new(lq), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    sum(image.mean() for image in new(lq)).backward()  # pyright: ignore
    head = new.reconstruction.heads[2]
    assert isinstance(head, torch.nn.Conv2d) and head.weight.grad is not None
    assert (head.weight.grad != 0).all(), "new channels are not trained from the first step"


def test_transfer_to_an_untrained_wide_network_is_exact():
    """A network that was only widened becomes the narrow detail model."""
    fidelity, detail = (
        HSRNet.from_pretrained(name) for name in ("hsr-lite-x4", "hsr-lite-x4-detail")
    )
    begun = widen_to_x4(fidelity)
    lq = torch.rand(1, 3, 9, 11)
    with torch.no_grad():
        carried, theirs = transfer(begun, fidelity, detail)(lq), detail(lq)
        kept = begun(lq)
    torch.testing.assert_close(carried, theirs, rtol=0, atol=1e-4)
    torch.testing.assert_close(kept, fidelity(lq), rtol=0, atol=1e-4)


def test_a_fitted_head_changes_level_x1_alone_and_for_the_better(photo_folder: Path):
    net = HSRNet(kernel_sizes=[3, 5], widths=[8, 4], fusion_width=8, reconstruction_widths=[8, 4])
    photos = sorted(photo_folder.iterdir())
    gt = [np.asarray(Image.open(path).convert("RGB")) for path in photos]
    degraded = [degrade(image, 4, np.random.default_rng(5)) for image in gt]

    def error() -> float:
        pairs = zip(degraded, gt, strict=True)
        return sum(float(np.square(cleaned(lq) - small(image)).mean()) for lq, image in pairs)

    def cleaned(lq: np.ndarray) -> np.ndarray:
        return np.asarray(net.upscale(lq, scale=1, dtype="float32")).astype(float)

    def small(image: np.ndarray) -> np.ndarray:
        size = (image.shape[1] // 4, image.shape[0] // 4)
        return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC), float)

    before, upper = error(), [level.clone() for level in net(torch.ones(1, 3, 8, 8))[1:]]
    fit(net, photos, share=1, passes=20, seed=0)
    assert error() < 0.95 * before
    for old, new in zip(upper, net(torch.ones(1, 3, 8, 8))[1:], strict=True):
        torch.testing.assert_close(new, old, rtol=0, atol=0)


RECORDER = """#!{python}
import json, sys
from pathlib import Path
words = sys.argv[1:]
if words[:1] == ["-c"]:  # the folder of the data
    print("data")
elif "train_accelerate.py" in words:
    flags = words[words.index("train_accelerate.py") + 1 :]
    with open({log!r}, "a") as lines:
        print(json.dumps(flags), file=lines)
elif words == ["-", {made!r}]:  # a program on the standard input
    compile(sys.stdin.read(), "the script", "exec")
elif words[:1] == ["-m"]:
    assert Path(*words[1].split(".")).with_suffix(".py").is_file(), words
"""


SCRIPTS = sorted((ROOT / "recipes").glob("*/train*.sh"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_scripts_of_the_bundled_models_fit_the_training_script(script: Path, tmp_path: Path):
    """Run with programs that record their arguments instead of training."""
    log, made = tmp_path / "log.jsonl", str(tmp_path / "made")
    text = RECORDER.format(python=sys.executable, log=str(log), made=made)
    for name in ("accelerate", "python", "python3"):
        (tmp_path / "bin").mkdir(exist_ok=True)
        program = tmp_path / "bin" / name
        program.write_text(text)
        program.chmod(0o755)
    env = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    further = ["mixed"] if script.parent.name == "hsr-x4-real" else []
    done = run("bash", script, made, *further, env=env)
    assert done.returncode == 0, done.stderr
    for line in log.read_text().splitlines():
        args = parse_args(json.loads(line), None)
        assert args.save_last or args.validation_data_dir == []
    assert ".pkl" not in script.read_text() and "torch.load" not in script.read_text()


def test_the_mean_of_checkpoints_leaves_out_the_first_steps(tmp_path: Path):
    shape = {"kernel_sizes": [3], "widths": [4], "fusion_width": 4, "reconstruction_widths": [4, 4]}
    nets = {step: HSRNet(**shape) for step in (2, 10, 20, 30)}
    for step, net in nets.items():
        net.save_pretrained(tmp_path / f"checkpoint-{step}")
    mean = mean_of_checkpoints(tmp_path, from_step=10).state_dict()
    for key, value in mean.items():
        expected = sum(nets[step].state_dict()[key] for step in (10, 20, 30)) / 3
        torch.testing.assert_close(value, expected, check_dtype=False)
    with pytest.raises(ValueError, match="no checkpoint of step 31 or later"):
        mean_of_checkpoints(tmp_path, from_step=31)
