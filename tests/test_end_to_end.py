"""Train, push, pull in a fresh process, upscale, and a Space on those weights, over real HTTP."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from hsr_hub import HSRNet
from hsr_hub.hub import metadata, model_card
from tests.hub_client import assert_no_token, client, environment
from tests.hub_double import READ_TOKEN, Hub
from tests.test_train_launch import ENVIRONMENT, command, run_training, script

pytestmark = pytest.mark.slow


@contextmanager
def running_space(hub: Hub, folder: Path, home: Path) -> Iterator[str]:
    """`python app.py` in a folder that holds the Space's files; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = environment(hub, home, token=READ_TOKEN)  # the Space's secret: the model is private
    del env["PYTHONPATH"]  # those files alone
    env |= {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port)}
    env.pop("HSR_MODEL_ID", None)
    log = folder.with_suffix(".log")
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=folder, env=env, stdout=output, stderr=output
        )
    try:
        for _ in range(1200):
            assert process.poll() is None, log.read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        else:
            raise AssertionError("the Space did not start: " + log.read_text())
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def test_from_training_to_the_space(
    photo_folder: Path, test_set: Path, small_photo: Image.Image, tmp_path: Path
):
    out, photo = tmp_path / "out", tmp_path / "photo.png"
    small_photo.save(photo)
    credits = tmp_path / "credits.md"
    credits.write_text("By Ansel, CC0.\n")
    with Hub().serve() as hub:
        # Train and push.
        flags = ["--max_train_steps", "4", "--validation_data_dir", str(test_set)]
        flags += ["--push_to_hub", "--hub_model_id", "org/net", "--hub_dataset_ids", "org/photos"]
        flags += ["--hub_private_repo", "--data_credits", str(credits)]
        training = command(photo_folder, out, *flags)
        done = client(hub, tmp_path / "a", *training, look_in=(out,), env=ENVIRONMENT)
        assert done.returncode == 0, done.stdout + done.stderr
        repo = hub.repo("org/net")
        assert f"published: {hub.endpoint}/org/net/commit/{repo.refs['main']}" in done.stdout
        files = repo.files()
        names = {"config.json", "model.safetensors", "README.md", "sample.png", ".gitattributes"}
        assert set(files) == names
        assert hub.count("commit") == 1
        for name in names - {".gitattributes", "README.md"}:
            assert files[name] == (out / name).read_bytes()
        card = files["README.md"].decode()
        assert repo.private
        assert 'from_pretrained("org/net")' in card
        assert "**Data.** 3 photographs. By Ansel, CC0.\n" in card
        assert "4 steps by `train_accelerate.py`" in card and "kernel_sizes: [3, 5]" in card
        data = metadata(card)
        assert data["datasets"] == ["org/photos"]
        assert data["model-index"][0]["results"][0]["dataset"]["name"] == test_set.name
        assert str(tmp_path) not in card

        # Pull in a fresh process and upscale.
        local = np.asarray(HSRNet.from_pretrained(out).upscale(photo))
        upscale = ("-m", "hsr_hub", "upscale", photo, "-o", tmp_path / "pulled.png")
        done = client(hub, tmp_path / "b", *upscale, "--model", "org/net", token=READ_TOKEN)
        assert done.returncode == 0, done.stderr
        with Image.open(tmp_path / "pulled.png") as image:
            assert np.array_equal(np.asarray(image), local)

        # The Space, from the files that were pushed and nothing else.
        push = ("-m", "hsr_hub", "push-space", "org/space", "--model", "org/net")
        done = client(hub, tmp_path / "a", *push)
        assert done.returncode == 0, done.stderr
        folder = tmp_path / "space"
        for name, content in hub.repo("org/space", "spaces").files().items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        code = "import hsr_hub; print(hsr_hub.__file__)"
        env = {name: v for name, v in os.environ.items() if name != "PYTHONPATH"}
        where = subprocess.run(
            [sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, text=True
        )
        assert where.stdout.strip() == str(folder / "hsr_hub" / "__init__.py"), where.stderr
        hub.seen.clear()
        with running_space(hub, folder, tmp_path / "c") as address:
            assert hub.count("cas-data") or hub.count("cdn")  # the weights came over HTTP
            reply = Client(address, verbose=False).predict(handle_file(photo), api_name="/upscale")
            with Image.open(reply) as image:
                assert image.format == "PNG"
                assert np.array_equal(np.asarray(image), local)
        assert_no_token(folder.with_suffix(".log").read_text(), folder, tmp_path / "c")


def test_training_again_keeps_the_words_of_the_card(model: HSRNet, photo_folder, tmp_path: Path):
    text = str(model_card(model, name="out"))
    card = tmp_path / "README.md"
    text = text.replace("## Limits", "## Mine\n\nMy words.\n\n## Limits")
    card.write_text(text.replace("license: apache-2.0", "license: mit # ours"))
    done = run_training(script(photo_folder, tmp_path, "--max_train_steps", "1"))
    assert done.returncode == 0, done.stdout + done.stderr
    text = card.read_text()
    assert "## Mine\n\nMy words.\n" in text
    assert "1 steps by `train_accelerate.py`" in text
    assert "sources and licences were not recorded" in text
    assert text.count("## Training") == 1
    assert "## Metrics" not in text  # nothing was validated
    assert "\nlicense: mit # ours\n" in text
