"""Models of the page: those that are asked for, detail models, and the bundled ones instead."""

from __future__ import annotations

import json
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from playwright.sync_api import Page, expect

import app
from hsr_hub import HSRNet
from hsr_hub.hub import bundled
from hsr_hub.webapp import models
from hsr_hub.webapp.context import AppContext
from hsr_hub.webapp.device_queue import DeviceQueue
from hsr_hub.webapp.models import ModelStore, load_models
from hsr_hub.webapp.texts import in_browser
from tests.hub_client import assert_no_token, client, environment
from tests.hub_double import Hub
from tests.space import Space, chosen, download, drop, noise, pixels, running, show_options

BUNDLED = "hsr-lite-x4"


def perturbed(seed: int) -> HSRNet:
    """The bundled model with other weights of the same shape."""
    network = HSRNet.from_pretrained(BUNDLED)
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * parameter.std() * torch.randn_like(parameter))
    return network


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> dict[str, str]:
    """Folders with two models, the detail model of the first, and a model of another shape."""
    folder = tmp_path_factory.mktemp("weights")
    networks = {"plain": perturbed(1), "other": perturbed(2), "detail": perturbed(3)}
    networks["small"] = HSRNet(kernel_sizes=[3], widths=[8], fusion_width=8)
    for name, network in networks.items():
        network.save_pretrained(folder / name)
    return {name: str(folder / name) for name in networks}


@pytest.fixture(scope="module")
def choice(weights: dict[str, str]) -> Iterator[Space]:
    """A Space with two models, the first of which has a detail model."""
    names = f"{weights['plain']}, {weights['other']}"
    own = {"HSR_MODEL_ID": names, "HSR_DETAIL_MODEL_ID": weights["detail"]}
    with running(fork=True, **own) as space:
        yield space


def shown(store: ModelStore, folder: Path) -> dict[str, list[bool]]:
    """Return whether the controls of both tabs are visible and enabled at first."""
    context = AppContext(folder, store, DeviceQueue(1))
    found: dict[str, list[bool]] = {"Strength": [], "Model": []}
    names = {in_browser("strength_label"): "Strength", in_browser("model_label"): "Model"}
    for block in app.build_app(context).blocks.values():
        label = names.get(getattr(block, "label", None) or "")
        if label is not None:
            shown = (
                getattr(block, "visible", None) and getattr(block, "interactive", None) is not False
            )
            found[label].append(bool(shown))
    return found


def test_strength_and_model_are_shown_where_there_is_a_choice(
    weights: dict[str, str], tmp_path: Path, monkeypatch
):
    def load(names: str, detail: str = "") -> ModelStore:
        return load_models({"HSR_MODEL_ID": names, "HSR_DETAIL_MODEL_ID": detail}, "cpu")

    hidden, visible = [False, False], [True, True]
    alone = load(weights["plain"])
    assert shown(alone, tmp_path) == {"Strength": hidden, "Model": hidden}
    alone = load(weights["plain"], weights["detail"])
    assert shown(alone, tmp_path) == {"Strength": visible, "Model": hidden}
    # Strength is about the model that is selected at first.
    for name, source in (("two", "other"), ("two-detail", "detail")):
        shutil.copytree(weights[source], tmp_path / name)
    monkeypatch.setattr(bundled, "BUNDLED", tmp_path)
    store = load(f"{weights['plain']}, two")
    assert (store.names, list(store.detail)) == (["plain", "two"], ["two"])
    assert shown(store, tmp_path) == {"Strength": hidden, "Model": visible}
    store = load(f"two, {weights['plain']}")
    assert (store.names, list(store.detail)) == (["two", "plain"], ["two"])
    assert shown(store, tmp_path) == {"Strength": visible, "Model": visible}


@pytest.mark.slow
def test_strength_follows_the_model_that_is_selected(page: Page, choice: Space):
    page.goto(choice.address)
    show_options(page)
    expect(page.get_by_role("slider", name="Strength").first).to_be_visible()
    expect(page.get_by_role("radio", name="plain").first).to_be_checked()
    # The second model has no detail model. There is no Auto among a user's models.
    page.get_by_role("radio", name="other").first.check()
    expect(page.get_by_role("slider", name="Strength").first).to_be_disabled()
    expect(page.get_by_text("other has no detail model").first).to_be_visible()
    expect(page.get_by_role("radio", name="Auto")).to_have_count(0)


@pytest.mark.slow
def test_strength_mixes_a_model_with_its_detail_model(
    page: Page, choice: Space, weights: dict[str, str], tmp_path: Path
):
    path = tmp_path / "photo.png"
    noise((60, 40)).save(path)
    drop(page, choice, path)
    expect(page.locator("#run-button")).to_be_enabled(timeout=20_000)
    page.get_by_role("spinbutton", name="Strength").first.fill("0.6")
    page.locator("#run-button").click()
    expect(page.locator("#result-summary")).to_be_visible(timeout=60_000)
    plain, detail = (HSRNet.from_pretrained(weights[name]) for name in ("plain", "detail"))
    expected = HSRNet.interpolate(plain, detail, 0.6).upscale(path)
    assert np.array_equal(pixels(download(page, tmp_path)), np.asarray(expected))
    assert not np.array_equal(np.asarray(expected), np.asarray(plain.upscale(path)))


@pytest.mark.slow
def test_the_endpoint_takes_strength_and_model(
    choice: Space, weights: dict[str, str], tmp_path: Path
):
    path = tmp_path / "photo.png"
    noise((60, 40)).save(path)
    space = Client(choice.address, verbose=False)
    for options, name in [
        ({}, "plain"),
        ({"strength": 1}, "detail"),
        ({"model": "other"}, "other"),
    ]:
        result = space.predict(handle_file(str(path)), api_name="/upscale", **options)
        expected = HSRNet.from_pretrained(weights[name]).upscale(path)
        assert np.array_equal(pixels(result), np.asarray(expected)), name
    with pytest.raises(AppError, match="other has no detail model here"):
        space.predict(handle_file(str(path)), strength=0.5, model="other", api_name="/upscale")


def test_the_default_is_the_best_model_for_the_device(
    weights: dict[str, str], tmp_path: Path, monkeypatch
):
    for name in ("hsr-lite-x4", "hsr-lite-x4-detail", "hsr-aaa"):
        shutil.copytree(weights["plain"], tmp_path / name)
    monkeypatch.setattr(bundled, "BUNDLED", tmp_path)
    assert load_models({}, "cpu").names == ["hsr-lite-x4", "hsr-aaa"]
    # Without the larger model, the small one is the default on a GPU too.
    assert bundled.default_model("cuda") == "hsr-lite-x4"
    shutil.copytree(weights["small"], tmp_path / "hsr-x4")
    assert load_models({}, "cpu").names == ["hsr-lite-x4", "hsr-aaa", "hsr-x4"]
    # A device that every machine has, and that is not a CPU.
    assert load_models({}, "meta").names == ["hsr-x4", "hsr-aaa", "hsr-lite-x4"]
    found = [bundled.default_model(device) for device in ("cpu", "cuda:1", "mps")]
    assert found == ["hsr-lite-x4", "hsr-x4", "hsr-x4"]


@pytest.fixture
def silent() -> Iterator[str]:
    """A Hub that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_silent_hub_delays_the_start_by_seconds_only(silent: str, monkeypatch, tmp_path: Path):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", silent)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    started = time.perf_counter()
    environment = {"HSR_MODEL_ID": "org/hsr,org/more", "HSR_DETAIL_MODEL_ID": "org/hsr-detail"}
    found = load_models(environment, "cpu")
    assert time.perf_counter() - started < 2 * models.HUB_SECONDS + 10
    assert "org/hsr could not be loaded: the Hub cannot be reached." in found.notices
    assert found.default == BUNDLED


@pytest.mark.slow
def test_without_the_hub_the_page_starts_soon_and_names_the_models_it_uses(
    page: Page, cat: Path, tmp_path: Path
):
    started = time.perf_counter()
    with running(
        fork=True,
        HF_ENDPOINT="http://127.0.0.1:9",  # refuses connections
        HF_HOME=str(tmp_path),
        HSR_MODEL_ID="org/hsr",
        HSR_REVISION="v1.0",
        HSR_DETAIL_MODEL_ID="org/hsr-detail",
    ) as space:
        assert time.perf_counter() - started < 60
        page.goto(space.address)
        notice = page.get_by_role("status").filter(has_text="could not be loaded")
        expect(notice).to_contain_text("org/hsr could not be loaded: the Hub cannot be reached")
        expect(notice).to_contain_text(f"Bundled weights ({BUNDLED}) are used instead")
        result = Client(space.address, verbose=False).predict(
            handle_file(str(cat)), scale=1, api_name="/upscale"
        )
        _, model = chosen(cat, scale=1)
        assert np.array_equal(pixels(result), np.asarray(model.upscale(cat, scale=1)))


@pytest.mark.slow
def test_weights_come_from_the_hub_at_the_given_revision(
    weights: dict[str, str], cat: Path, tmp_path: Path
):
    push = ("-m", "hsr_hub", "push")
    with Hub().serve() as hub:
        for name, tag in (("plain", "v1.0"), ("other", "v2.0")):
            done = client(hub, tmp_path / "a", *push, weights[name], "org/hsr", "--tag", tag)
            assert done.returncode == 0, done.stderr
        settings = {**environment(hub, tmp_path / "b"), "HSR_MODEL_ID": "org/hsr"}
        with running(fork=True, **settings, HSR_REVISION="v1.0") as space:
            result = Client(space.address, verbose=False).predict(
                handle_file(str(cat)), scale=1, api_name="/upscale"
            )
            expected = HSRNet.from_pretrained(weights["plain"]).upscale(cat, scale=1)
            assert np.array_equal(pixels(result), np.asarray(expected))
            assert_no_token(space.log.read_text())


def test_bundled_models_are_the_default():
    found = load_models({}, "cpu")
    assert found.default == BUNDLED and found.notices == []
    assert not any(name.endswith("-detail") for name in found.names)


def test_a_bundled_detail_model_is_found_by_its_name(monkeypatch, tmp_path: Path):
    for name in (BUNDLED, f"{BUNDLED}-detail", f"{BUNDLED}-real"):
        perturbed(4).save_pretrained(tmp_path / name)
    monkeypatch.setattr("hsr_hub.hub.bundled.BUNDLED", tmp_path)
    found = load_models({}, "cpu")
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
def test_broken_weights_are_replaced_by_the_bundled_ones(tmp_path: Path, broken, reason):
    folder = tmp_path / "broken"
    perturbed(5).save_pretrained(folder)
    if broken == "missing":
        (folder / "config.json").unlink()
    else:
        (folder / broken).write_text("{")
    found = load_models({"HSR_MODEL_ID": str(folder)}, "cpu")
    choosable = [n for n in bundled.bundled_models() if not n.endswith(bundled.DETAIL)]
    assert found.default == BUNDLED and sorted(found.names) == choosable
    assert reason in found.notices[0] and "used instead" in found.notices[1]


def test_if_one_of_two_is_missing_the_other_is_used(weights: dict[str, str], tmp_path: Path):
    found = load_models({"HSR_MODEL_ID": f"{tmp_path / 'no'},{weights['other']}"}, "cpu")
    assert found.names == ["other"] and len(found.notices) == 1


def test_a_detail_model_of_another_shape_is_not_mixed(weights: dict[str, str]):
    found = load_models(
        {"HSR_MODEL_ID": weights["plain"], "HSR_DETAIL_MODEL_ID": weights["small"]}, "cpu"
    )
    assert found.detail == {} and "another shape" in found.notices[0]


def test_downloaded_weights_are_used_without_the_hub(
    monkeypatch, weights: dict[str, str], tmp_path: Path
):
    """A snapshot in the Hub's cache, as the Space's preloading leaves it."""
    repository = tmp_path / "models--org--hsr"
    snapshot = repository / "snapshots" / ("0" * 40)
    HSRNet.from_pretrained(weights["plain"]).save_pretrained(snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    found = load_models({"HSR_MODEL_ID": "org/hsr"}, "cpu")
    assert found.names == ["org/hsr"] and found.notices == []


def test_a_mixed_model_has_exactly_the_strength(weights: dict[str, str]):
    found = load_models(
        {"HSR_MODEL_ID": weights["plain"], "HSR_DETAIL_MODEL_ID": weights["detail"]}, "cpu"
    )
    mixed = found.get("plain", 0.125).state_dict()
    expected = HSRNet.interpolate(found.plain["plain"], found.detail["plain"], 0.125).state_dict()
    assert all(torch.equal(mixed[key], expected[key]) for key in expected)
    assert found.get("plain", 0.125) is not found.get("plain", 0.12)


def test_a_few_mixed_models_are_kept(weights: dict[str, str]):
    found = load_models(
        {"HSR_MODEL_ID": weights["plain"], "HSR_DETAIL_MODEL_ID": weights["detail"]}, "cpu"
    )
    half = found.get("plain", 0.5)
    assert found.get("plain", 0.5) is half
    for strength in (0.1, 0.2, 0.3, 0.4):
        found.get("plain", strength)
    assert found.get("plain", 0.5) is not half
    assert found.get("plain", 0) is found.plain["plain"]


ZERO_GPU = '''
"""Replaces the `spaces` package of a ZeroGPU Space: calls run in a forked process."""
import json, multiprocessing, os

def GPU(duration):
    def decorate(function):
        def call_in_process(*args, **kwargs):
            if os.path.exists(os.environ["CALLS"] + ".none"):
                import gradio
                raise gradio.Error("No GPU time left today", title="ZeroGPU quota exceeded")
            with open(os.environ["CALLS"], "a") as log:
                log.write(json.dumps(duration(*args, **kwargs)) + "\\n")
            context = multiprocessing.get_context("fork")
            here, there = context.Pipe(duplex=False)
            def call():
                there.send(function(*args, **kwargs))
            context.Process(target=call, daemon=True).start()
            return here.recv()
        return call_in_process
    return decorate
'''


@pytest.mark.slow
def test_on_zerogpu_a_call_asks_for_as_many_seconds_as_it_needs(page: Page, tmp_path: Path):
    (tmp_path / "spaces.py").write_text(ZERO_GPU)
    log = tmp_path / "calls"
    with running(
        fork=True,
        SPACES_ZERO_GPU="true",
        PYTHONPATH=str(tmp_path),
        CALLS=str(log),
        OMP_NUM_THREADS="1",  # GNU's OpenMP does not survive a fork
    ) as space:
        photo = tmp_path / "photo.png"  # not an example, whose result would be cached
        noise((225, 150)).save(photo)
        drop(page, space, photo)
        # Nothing was measured yet.
        expect(page.locator("#image-info")).to_contain_text("known after the first", timeout=20_000)
        page.locator("#run-button").click()
        expect(page.locator("#result-summary")).to_be_visible(timeout=60_000)
        _, model = chosen(photo)
        expected = np.asarray(model.upscale(photo))
        assert np.array_equal(pixels(download(page, tmp_path)), expected)
        api = Client(space.address, verbose=False)
        api.predict(handle_file(str(photo)), api_name="/upscale")
        noise((900, 600)).save(tmp_path / "larger.png")
        api.predict(handle_file(str(tmp_path / "larger.png")), scale=1, api_name="/upscale")
        # No GPU time is left: the package's message is shown, and the page is ready again.
        (tmp_path / "calls.none").touch()
        page.locator("#run-button").click()
        expect(page.get_by_test_id("toast-body")).to_contain_text("No GPU time left")
        expect(page.locator("#run-button")).to_be_visible()
        with pytest.raises(AppError, match="No GPU time left today"):
            api.predict(handle_file(str(photo)), api_name="/upscale")
    first, second, larger = (json.loads(line) for line in log.read_text().splitlines())
    assert first == 50  # a guess
    assert 10 <= second < larger <= 120  # by the measured time and the number of pixels


def test_a_file_next_to_the_app_names_the_models_unless_the_environment_does(
    weights: dict[str, str], tmp_path: Path
):
    file = tmp_path / "space.json"
    file.write_text(json.dumps({"models": [weights["plain"]], "detail_model": weights["detail"]}))
    found = load_models({}, "cpu", file)
    assert (found.names, list(found.detail), found.notices) == (["plain"], ["plain"], [])
    found = load_models({"HSR_DETAIL_MODEL_ID": weights["small"]}, "cpu", file)
    assert found.names == ["plain"] and "another shape" in found.notices[0]
    found = load_models({"HSR_MODEL_ID": weights["other"]}, "cpu", file)
    assert (found.names, list(found.detail)) == (["other"], [])
    assert load_models({"HSR_MODEL_ID": ""}, "cpu", file).default == BUNDLED
    file.write_text(json.dumps({"models": [weights["other"]], "detail_model": None}))
    assert load_models({}, "cpu", file).names == ["other"]


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '{"models": "org/hsr"}', '{"models": ["a/b"], "detail_model": 7}']
)
def test_a_broken_file_leaves_the_bundled_models_and_a_notice(tmp_path: Path, content: str):
    (tmp_path / "space.json").write_text(content)
    found = load_models({}, "cpu", tmp_path / "space.json")
    assert found.default == BUNDLED and "could not be read" in found.notices[0]
