"""Which weights the page runs on: those asked for, their twins, and the shipped ones instead."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from playwright.sync_api import Page, expect

from hsr_hub import HSRNet
from hsr_hub.hub import bundled
from hsr_hub.webapp import models
from tests.hub_client import assert_no_token, client, environment
from tests.hub_double import Hub
from tests.space import Space, download, drop, noise, pixels, running
from tests.util import ROOT, run

BUNDLED = "hsr-lite-x4"


def perturbed(seed: int) -> HSRNet:
    """The shipped network with other weights of the same shape."""
    network = HSRNet.from_pretrained(BUNDLED)
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * parameter.std() * torch.randn_like(parameter))
    return network


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> dict[str, str]:
    """Folders with two sets, the twin of the first, and a set of another shape."""
    folder = tmp_path_factory.mktemp("sets")
    networks = {"plain": perturbed(1), "other": perturbed(2), "twin": perturbed(3)}
    networks["small"] = HSRNet(kernel_sizes=[3], widths=[8], fusion_width=8)
    for name, network in networks.items():
        network.save_pretrained(folder / name)
    return {name: str(folder / name) for name in networks}


@pytest.fixture(scope="module")
def choice(sets: dict[str, str]) -> Iterator[Space]:
    """A Space with two sets, one of them with a twin."""
    names = f"{sets['plain']}, {sets['other']}"
    with running(HSR_MODEL_ID=names, HSR_DETAIL_MODEL_ID=sets["twin"]) as space:
        yield space


@pytest.mark.slow
def test_strength_and_model_are_shown_where_they_are_a_choice(
    page: Page, choice: Space, sets: dict[str, str]
):
    with running(HSR_MODEL_ID=sets["plain"]) as alone:
        page.goto(alone.address)
        expect(page.locator("#go")).to_be_visible()
        expect(page.get_by_label("Strength").locator("visible=true")).to_have_count(0)
        expect(page.get_by_label("Model").locator("visible=true")).to_have_count(0)
    page.goto(choice.address)
    expect(page.get_by_role("slider", name="Strength").first).to_be_visible()
    model = page.get_by_role("combobox", name="Model").first
    expect(model).to_have_value("plain")
    # The second set has no twin: nothing to be strong about.
    model.click()
    page.get_by_role("option", name="other").click()
    expect(page.get_by_role("slider", name="Strength").locator("visible=true")).to_have_count(0)


STRENGTH_SHOWN = """
import sys
from pathlib import Path
from hsr_hub.hub import bundled
bundled.BUNDLED = Path(sys.argv[1])
import app
sliders = [block for block in app.demo.blocks.values() if getattr(block, "label", "") == "Strength"]
print(app.nets.names, list(app.nets.detail), [slider.visible for slider in sliders])
"""


@pytest.mark.slow
def test_strength_is_about_the_model_that_is_shown_first(sets: dict[str, str], tmp_path: Path):
    for name, source in (("two", "other"), ("two-detail", "twin")):
        shutil.copytree(sets[source], tmp_path / name)
    found = []
    for names in (f"{sets['plain']}, two", f"two, {sets['plain']}"):
        env = {"PYTHONPATH": str(ROOT), "HSR_MODEL_ID": names, "HSR_DETAIL_MODEL_ID": ""}
        done = run(sys.executable, "-c", STRENGTH_SHOWN, tmp_path, env=env)
        assert done.returncode == 0, done.stderr
        found.append(done.stdout.splitlines()[-1])
    assert found == [
        "['plain', 'two'] ['two'] [False, False]",
        "['two', 'plain'] ['two'] [True, True]",
    ]


@pytest.mark.slow
def test_strength_mixes_a_set_with_its_twin(
    page: Page, choice: Space, sets: dict[str, str], tmp_path: Path
):
    path = tmp_path / "photo.png"
    noise((60, 40)).save(path)
    drop(page, choice, path)
    expect(page.locator("#go")).to_be_enabled(timeout=20_000)
    page.get_by_role("spinbutton", name="Strength").first.fill("0.6")
    page.locator("#go").click()
    expect(page.locator("#note")).to_be_visible(timeout=60_000)
    plain, twin = (HSRNet.from_pretrained(sets[name]) for name in ("plain", "twin"))
    expected = HSRNet.interpolate(plain, twin, 0.6).upscale(path)
    assert np.array_equal(pixels(download(page, tmp_path)), np.asarray(expected))
    assert not np.array_equal(np.asarray(expected), np.asarray(plain.upscale(path)))


@pytest.mark.slow
def test_the_endpoint_takes_strength_and_model(choice: Space, sets: dict[str, str], tmp_path: Path):
    path = tmp_path / "photo.png"
    noise((60, 40)).save(path)
    space = Client(choice.address, verbose=False)
    for options, name in [
        ({}, "plain"),
        ({"strength": 1}, "twin"),
        ({"model": "other"}, "other"),
    ]:
        result = space.predict(handle_file(str(path)), api_name="/upscale", **options)
        expected = HSRNet.from_pretrained(sets[name]).upscale(path)
        assert np.array_equal(pixels(result), np.asarray(expected)), name
    with pytest.raises(AppError, match="other has no detail twin here"):
        space.predict(handle_file(str(path)), strength=0.5, model="other", api_name="/upscale")


def test_the_first_choice_is_the_best_set_for_the_device(
    sets: dict[str, str], tmp_path: Path, monkeypatch
):
    for name in ("hsr-lite-x4", "hsr-lite-x4-detail", "hsr-aaa"):
        shutil.copytree(sets["plain"], tmp_path / name)
    monkeypatch.setattr(bundled, "BUNDLED", tmp_path)
    assert models.load({}, "cpu").names == ["hsr-lite-x4", "hsr-aaa"]
    # Without the larger set, what is there is taken on a GPU too.
    assert bundled.default_model("cuda") == "hsr-lite-x4"
    shutil.copytree(sets["small"], tmp_path / "hsr-x4")
    assert models.load({}, "cpu").names == ["hsr-lite-x4", "hsr-aaa", "hsr-x4"]
    # A device that every machine has, and that is no CPU.
    assert models.load({}, "meta").names == ["hsr-x4", "hsr-aaa", "hsr-lite-x4"]
    found = [bundled.default_model(device) for device in ("cpu", "cuda:1", "mps")]
    assert found == ["hsr-lite-x4", "hsr-x4", "hsr-x4"]


@pytest.fixture
def silent() -> Iterator[str]:
    """A Hub that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.slow
@pytest.mark.parametrize("hub", ["refuses", "is silent"])
def test_without_the_hub_the_page_starts_soon_and_says_what_it_runs_on(
    hub: str, silent: str, page: Page, cat: Path, tmp_path: Path
):
    started = time.perf_counter()
    with running(
        HF_ENDPOINT=silent if hub == "is silent" else "http://127.0.0.1:9",  # nobody is there
        HF_HOME=str(tmp_path),
        HSR_MODEL_ID="org/hsr",
        HSR_REVISION="v1.0",
        HSR_DETAIL_MODEL_ID="org/hsr-detail",
    ) as space:
        assert time.perf_counter() - started < 60
        page.goto(space.address)
        notice = page.get_by_role("status").filter(has_text="could not be loaded")
        expect(notice).to_contain_text("org/hsr could not be loaded: the Hub cannot be reached")
        expect(notice).to_contain_text(f"Shipped weights ({BUNDLED}) are used instead")
        result = Client(space.address, verbose=False).predict(
            handle_file(str(cat)), scale=1, api_name="/upscale"
        )
        expected = HSRNet.from_pretrained(BUNDLED).upscale(cat, scale=1)
        assert np.array_equal(pixels(result), np.asarray(expected))


@pytest.mark.slow
def test_weights_come_from_the_hub_at_the_revision_asked_for(
    sets: dict[str, str], cat: Path, tmp_path: Path
):
    push = ("-m", "hsr_hub", "push")
    with Hub().serve() as hub:
        for name, tag in (("plain", "v1.0"), ("other", "v2.0")):
            done = client(hub, tmp_path / "a", *push, sets[name], "org/hsr", "--tag", tag)
            assert done.returncode == 0, done.stderr
        settings = {**environment(hub, tmp_path / "b"), "HSR_MODEL_ID": "org/hsr"}
        with running(**settings, HSR_REVISION="v1.0") as space:
            result = Client(space.address, verbose=False).predict(
                handle_file(str(cat)), scale=1, api_name="/upscale"
            )
            expected = HSRNet.from_pretrained(sets["plain"]).upscale(cat, scale=1)
            assert np.array_equal(pixels(result), np.asarray(expected))
            assert_no_token(space.log.read_text())


def test_the_shipped_sets_are_the_default():
    found = models.load({}, "cpu")
    assert found.names[0] == BUNDLED and found.notices == []
    assert not any(name.endswith("-detail") for name in found.names)


def test_a_shipped_twin_needs_no_asking(monkeypatch, tmp_path: Path):
    for name in (BUNDLED, f"{BUNDLED}-detail", f"{BUNDLED}-real"):
        perturbed(4).save_pretrained(tmp_path / name)
    monkeypatch.setattr("hsr_hub.hub.bundled.BUNDLED", tmp_path)
    found = models.load({}, "cpu")
    assert found.names == [BUNDLED, f"{BUNDLED}-real"]
    assert list(found.detail) == [BUNDLED]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("config.json", "its files are broken"),
        ("model.safetensors", "its files are broken"),
        ("missing", "it does not exist, or lacks config.json"),
    ],
)
def test_broken_weights_are_replaced_by_the_shipped_ones(tmp_path: Path, broken, reason):
    folder = tmp_path / "broken"
    perturbed(5).save_pretrained(folder)
    if broken == "missing":
        (folder / "config.json").unlink()
    else:
        (folder / broken).write_text("{")
    found = models.load({"HSR_MODEL_ID": str(folder)}, "cpu")
    choosable = [n for n in bundled.bundled_models() if not n.endswith(bundled.DETAIL)]
    assert found.names[0] == BUNDLED and sorted(found.names) == choosable
    assert reason in found.notices[0] and "used instead" in found.notices[1]


def test_one_of_two_that_is_missing_leaves_the_other(sets: dict[str, str], tmp_path: Path):
    found = models.load({"HSR_MODEL_ID": f"{tmp_path / 'no'},{sets['other']}"}, "cpu")
    assert found.names == ["other"] and len(found.notices) == 1


def test_a_twin_of_another_shape_is_not_mixed(sets: dict[str, str]):
    found = models.load(
        {"HSR_MODEL_ID": sets["plain"], "HSR_DETAIL_MODEL_ID": sets["small"]}, "cpu"
    )
    assert found.detail == {} and "another shape" in found.notices[0]


def test_what_was_downloaded_before_serves_without_the_hub(
    monkeypatch, sets: dict[str, str], tmp_path: Path
):
    """A snapshot in the Hub's cache, as the Space's preloading leaves it."""
    repository = tmp_path / "models--org--hsr"
    snapshot = repository / "snapshots" / ("0" * 40)
    HSRNet.from_pretrained(sets["plain"]).save_pretrained(snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    found = models.load({"HSR_MODEL_ID": "org/hsr"}, "cpu")
    assert found.names == ["org/hsr"] and found.notices == []


def test_a_mixture_is_of_the_very_strength(sets: dict[str, str]):
    found = models.load({"HSR_MODEL_ID": sets["plain"], "HSR_DETAIL_MODEL_ID": sets["twin"]}, "cpu")
    mixed = found.get("plain", 0.125).state_dict()
    expected = HSRNet.interpolate(found.plain["plain"], found.detail["plain"], 0.125).state_dict()
    assert all(torch.equal(mixed[key], expected[key]) for key in expected)
    assert found.get("plain", 0.125) is not found.get("plain", 0.12)


def test_mixtures_are_kept_a_few_at_a_time(sets: dict[str, str]):
    found = models.load({"HSR_MODEL_ID": sets["plain"], "HSR_DETAIL_MODEL_ID": sets["twin"]}, "cpu")
    half = found.get("plain", 0.5)
    assert found.get("plain", 0.5) is half
    for strength in (0.1, 0.2, 0.3, 0.4):
        found.get("plain", strength)
    assert found.get("plain", 0.5) is not half
    assert found.get("plain", 0) is found.plain["plain"]


ZERO_GPU = '''
"""Stands in for the `spaces` package of a ZeroGPU Space: calls run in a forked process."""
import json, multiprocessing, os

def GPU(duration):
    def decorate(function):
        def lent(*args, **kwargs):
            if os.path.exists(os.environ["LENT"] + ".none"):
                import gradio
                raise gradio.Error("No GPU time left today", title="ZeroGPU quota exceeded")
            with open(os.environ["LENT"], "a") as log:
                log.write(json.dumps(duration(*args, **kwargs)) + "\\n")
            context = multiprocessing.get_context("fork")
            here, there = context.Pipe(duplex=False)
            def call():
                there.send(function(*args, **kwargs))
            context.Process(target=call, daemon=True).start()
            return here.recv()
        return lent
    return decorate
'''


@pytest.mark.slow
def test_on_zero_gpu_the_work_is_lent_a_gpu_for_as_long_as_it_takes(page: Page, tmp_path: Path):
    (tmp_path / "spaces.py").write_text(ZERO_GPU)
    log = tmp_path / "lent"
    with running(
        SPACES_ZERO_GPU="true",
        PYTHONPATH=str(tmp_path),
        LENT=str(log),
        OMP_NUM_THREADS="1",  # GNU's OpenMP does not survive a fork
    ) as space:
        photo = tmp_path / "photo.png"  # no example, whose result would be kept
        noise((225, 150)).save(photo)
        drop(page, space, photo)
        # Nothing was measured yet, and nothing is made up.
        expect(page.locator("#facts")).to_contain_text("known after the first", timeout=20_000)
        page.locator("#go").click()
        expect(page.locator("#note")).to_be_visible(timeout=60_000)
        expected = HSRNet.from_pretrained(BUNDLED).upscale(photo)
        assert np.array_equal(pixels(download(page, tmp_path)), np.asarray(expected))
        api = Client(space.address, verbose=False)
        api.predict(handle_file(str(photo)), api_name="/upscale")
        noise((900, 600)).save(tmp_path / "larger.png")
        api.predict(handle_file(str(tmp_path / "larger.png")), scale=1, api_name="/upscale")
        # No GPU time left: what the package says comes through, and the page is ready again.
        (tmp_path / "lent.none").touch()
        page.locator("#go").click()
        expect(page.get_by_test_id("toast-body")).to_contain_text("No GPU time left")
        expect(page.locator("#go")).to_be_visible()
        with pytest.raises(AppError, match="No GPU time left today"):
            api.predict(handle_file(str(photo)), api_name="/upscale")
    first, second, larger = (json.loads(line) for line in log.read_text().splitlines())
    assert first == 50  # a guess
    assert 10 <= second < larger <= 120  # by the measure, and by the pixels
