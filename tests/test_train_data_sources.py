"""Photographs from the Hub by the `datasets` library, and pairs of photographs."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import torch
from PIL import Image

from hsr_hub import HSRNet
from hsr_hub.hub import metadata
from hsr_hub.training.checkpoints import read_launches
from hsr_hub.training.data import Cropper, PhotoCrops
from hsr_hub.training.photos import DatasetPhotos, FolderPhotos, PairPhotos, load_images
from hsr_hub.training.publishing import lineage
from tests.hub_client import client
from tests.hub_double import READ_TOKEN, Hub
from tests.test_train_launch import ENVIRONMENT
from tests.training import NETWORK, same_weights, train
from tests.util import ROOT

README = ROOT / "README.md"
LAUNCH = [
    *("-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1"),
    *("--num_machines", "1", "--dynamo_backend", "no", "--main_process_port", "0"),
]
SHORT = ["--max_train_steps", "2", "--checkpointing_steps", "2"]


def parquet(photos: Path) -> bytes:
    """Return a data set of photos as `datasets` writes it: bytes and names in one column."""
    paths = sorted(photos.iterdir())
    rows = [{"bytes": path.read_bytes(), "path": path.name} for path in paths]
    table = pyarrow.table({"title": [p.stem for p in paths], "photo": rows})
    features = {"title": {"dtype": "string", "_type": "Value"}, "photo": {"_type": "Image"}}
    info = json.dumps({"info": {"features": features}}).encode()
    file = io.BytesIO()
    pyarrow.parquet.write_table(table.replace_schema_metadata({b"huggingface": info}), file)
    return file.getvalue()


@pytest.fixture(scope="module")
def hub(photo_folder: Path) -> Iterator[Hub]:
    """A Hub with the photos of `photo_folder` as parquet and as files."""
    hub = Hub()
    data = {"data/train-00000-of-00001.parquet": parquet(photo_folder)}
    hub.put("org/photos", data, kind="datasets")
    files = {f"train/{path.name}": path.read_bytes() for path in photo_folder.iterdir()}
    hub.put("org/files", files, kind="datasets")
    with hub.serve():
        yield hub


def command(out: Path, *flags: str) -> list[str]:
    """Return the script without a launcher, and without a folder of photographs."""
    words = ["train_accelerate.py", "--output_dir", str(out), *NETWORK]
    return [*words, "--dataloader_num_workers", "0", *flags]


@pytest.mark.slow
def test_from_a_data_set_to_a_pushed_model_and_on(hub: Hub, photo_folder: Path, tmp_path: Path):
    """From an empty cache; then resumed, exactly as a folder of the same photos."""
    out, home = tmp_path / "my-model", tmp_path / "home"
    flags = ["--dataset_name", "org/photos", "--push_to_hub", "--hub_license", "cc-by-4.0"]
    start = tmp_path / "start"
    net = HSRNet(kernel_sizes=[3, 5], widths=[8, 4], fusion_width=8, reconstruction_widths=[8, 4])
    net.save_pretrained(start)
    for name in ("config.json", "model.safetensors", "README.md"):
        hub.put("org/base", {name: (start / name).read_bytes()})
    flags += ["--pretrained_model_name_or_path", "org/base", "--revision", "main"]
    flags += ["--push_checkpoints", "--checkpointing_steps", "1"]
    launch = command(out, *flags, "--max_train_steps", "2")
    done = client(hub, home, *launch, look_in=(out,), env=ENVIRONMENT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the result will be published to user/my-model" in done.stdout
    assert "photos 3, validation pairs 0" in done.stdout
    assert "try it: hsr-hub upscale photo.jpg -o sharp.png --model user/my-model" in done.stdout
    card = hub.repo("user/my-model").files()["README.md"].decode()
    found = metadata(card)
    assert found["datasets"] == ["org/photos"]
    assert found["base_model"] == ["org/base"] and found["base_model_relation"] == "finetune"
    assert found["license"] == "cc-by-4.0"
    titles = list(hub.repo("user/my-model").titles.values())
    assert titles[1:] == ["Averaged weights of step 1", "Publish an HSRNet"]

    # Two more steps, after the data set has changed on the Hub: the run keeps to its commit. A
    # licence that is asked for replaces those of both cards, which are otherwise kept.
    hub.put("user/my-model", {"README.md": f"{card}\nMy words.\n".encode()})
    commit = hub.repo("org/photos", "datasets").refs["main"]
    hub.put("org/photos", {"data/train-00000-of-00001.parquet": b"other"}, kind="datasets")
    try:
        resumed = ["--max_train_steps", "4", "--resume_from_checkpoint", "latest"]
        resumed += ["--hub_license", "cc0-1.0"]
        done = client(hub, home, *command(out, *flags, *resumed), env=ENVIRONMENT)
    finally:
        hub.repo("org/photos", "datasets").refs["main"] = commit
    assert done.returncode == 0, done.stdout + done.stderr
    card = hub.repo("user/my-model").files()["README.md"].decode()
    assert "\nMy words.\n" in card and "4 steps by `train_accelerate.py`" in card
    for text in (card, (out / "README.md").read_text()):
        assert metadata(text)["license"] == "cc0-1.0"
        assert metadata(text)["base_model"] == ["org/base"]
    (last,) = {tuple(x["arguments"]["dataset_commit"] for x in read_launches(out / "checkpoint-4"))}
    assert last == (commit, commit)
    # The rows of the data set are in the order of the folder, which is that of the names.
    folder = tmp_path / "folder"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in ENVIRONMENT; sums depend on it
    try:
        for steps in ("2", "4"):
            flags = ["--max_train_steps", steps, "--resume_from_checkpoint", "latest"]
            train(photo_folder, folder, "--pretrained_model", str(start), *flags)
    finally:
        torch.set_num_threads(threads)
    assert same_weights(out, folder)
    assert same_weights(out / "checkpoint-4", folder / "checkpoint-4")


@pytest.mark.slow
def test_the_line_of_the_readme_publishes_a_model(hub: Hub, tmp_path: Path):
    """From an empty cache into a new repository, with fewer and smaller crops."""
    hub.repos.pop(("models", "user/my-model"), None)
    (line,) = re.findall(r"^accelerate launch (.+--dataset_name.+)$", README.read_text(), re.M)
    words = line.replace("your-name/photos", "org/photos").split()
    out = tmp_path / words[words.index("--output_dir") + 1]
    words[words.index("--output_dir") + 1] = str(out)
    launch = [*LAUNCH, *words, "--max_train_steps", "1", "--crop_size", "32"]
    done = client(
        hub, tmp_path / "home", *launch, "--train_batch_size", "1", look_in=(out,), env=ENVIRONMENT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    card = hub.repo("user/my-model").files()["README.md"].decode()
    found = metadata(card)
    assert found["datasets"] == ["org/photos"]
    assert found["base_model"] == ["hsr-hub/hsr-lite-x4"]
    assert found["base_model_relation"] == "finetune"
    assert found["license"] == "apache-2.0"
    assert "3 photographs of [org/photos](https://huggingface.co/datasets/org/photos)" in card
    assert "started from the weights of `hsr-lite-x4`" in card
    # Settings without effect are not in the card.
    assert "dataset_split: train" in card
    for name in ("discriminator_width", "validation_dataset_split", "streaming", "flat_weight"):
        assert f"{name}:" not in card
    HSRNet.from_pretrained(out)


def test_the_lineage_of_a_folder_is_that_of_its_card(tmp_path: Path):
    assert lineage(None) == []
    assert lineage("org/net") == ["org/net"]
    assert lineage("hsr-x4") == ["hsr-hub/hsr-x4"]
    assert lineage(str(tmp_path)) == []
    for value, expected in (("org/a", ["org/a"]), ("[org/a, org/b]", ["org/a", "org/b"])):
        (tmp_path / "README.md").write_text(f"---\nbase_model: {value}\n---\n")
        assert lineage(str(tmp_path)) == expected
    (tmp_path / "README.md").write_text("---\n: {\n---\n")
    assert lineage(str(tmp_path)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["org/photos", "org/files"])
def test_a_stream_trains_and_says_what_it_cannot_promise(hub: Hub, tmp_path: Path, name: str):
    flags = ["--dataset_name", name, "--streaming", *SHORT]
    done = client(hub, tmp_path / "home", *command(tmp_path / "out", *flags), env=ENVIRONMENT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cannot be repeated to the bit" in done.stdout
    assert "photos streamed" in done.stdout
    assert f"A stream of photographs of [{name}](" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.slow
def test_a_missing_right_is_refused_before_the_first_step(hub: Hub, tmp_path: Path):
    hub.add_repo("other/net")
    flags = ["--dataset_name", "org/files", "--push_to_hub", "--hub_model_id", "other/net", *SHORT]
    for token, named in (("", "hf auth login"), (READ_TOKEN, "not allowed to write")):
        launch = command(tmp_path / "out", *flags)
        done = client(hub, tmp_path / "home", *launch, token=token, env=ENVIRONMENT)
        assert done.returncode != 0
        assert "--push_to_hub: other/net cannot be published" in done.stderr
        assert named in done.stderr
        assert "Running training" not in done.stdout


@pytest.fixture
def imagefolder(photo_folder: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    shutil.copytree(photo_folder, folder / "train")
    shutil.copytree(photo_folder, folder / "validation")
    return folder


def test_a_local_imagefolder_gives_the_crops_of_a_folder(imagefolder: Path, photo_folder: Path):
    dataset = load_images(str(imagefolder), flag="--dataset_name")
    photos = DatasetPhotos(dataset, dataset.column_names[0], "images")
    cropper = Cropper(48, 4)
    ours = PhotoCrops(photos, cropper, num_samples=9)
    theirs = PhotoCrops(FolderPhotos([photo_folder], 48, False), cropper, num_samples=9)
    for index in range(9):
        assert torch.equal(ours[index]["gt"], theirs[index]["gt"])


def test_an_imagefolder_trains_and_validates(imagefolder: Path, tmp_path: Path, caplog):
    caplog.set_level("INFO")
    out = tmp_path / "out"
    flags = ["--dataset_name", str(imagefolder), "--validation_dataset_name", str(imagefolder)]
    flags += ["--max_train_samples", "2", "--num_train_epochs", "4", "--validation_steps", "1"]
    train(None, out, *flags)
    assert "photos 2, validation pairs 3" in caplog.text
    assert "reached --max_train_steps 2" in caplog.text
    card = (out / "README.md").read_text()
    assert "datasets" not in metadata(card) and str(tmp_path) not in card
    assert "| images |" in card or "images" in card
    steps = [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert steps[0] == 1  # the first steps are logged


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--dataset_name", "{none}"], "--dataset_name"),
        (["--image_column", "pixels"], "no column 'pixels'; it has image"),
        (["--dataset_split", "test"], "--dataset_name"),
        (["--validation_dataset_name", "{images}", "--validation_dataset_split", "dev"], "dev"),
        (["--image_column", "image", "--train_pairs_dir", "{images}"], "exclude each other"),
    ],
)
def test_wrong_data_is_refused_by_its_flag(imagefolder, tmp_path: Path, capsys, flags, named):
    none, images = str(tmp_path / "none"), str(imagefolder)
    flags = [flag.format(none=none, images=images) for flag in flags]
    with pytest.raises(SystemExit) as refusal:
        train(None, tmp_path / "out", "--dataset_name", images, *flags, *SHORT)
    assert named in f"{refusal.value}{capsys.readouterr().err}"


@pytest.fixture
def pairs(photo_folder: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "pairs"
    (folder / "LRx4").mkdir(parents=True)
    shutil.copytree(photo_folder, folder / "HR")
    for path in (folder / "HR").iterdir():
        with Image.open(path) as image:
            small = image.resize((image.width // 4, image.height // 4), Image.Resampling.BOX)
            small.save(folder / "LRx4" / f"{path.stem}x4.png")
    return folder


def test_crops_of_pairs_fit_each_other(pairs: Path):
    data = PhotoCrops(PairPhotos([pairs], 32, 4, False), Cropper(32, 4), num_samples=12)
    for index in range(12):
        sample = data[index]
        inner = sample["gt"][:, 16:-16, 16:-16].float()
        small = torch.nn.functional.avg_pool2d(inner, 4)
        assert sample["lq"].shape == (3, 8, 8)
        assert (small - sample["lq"]).abs().max() <= 1


def test_pairs_train(pairs: Path, tmp_path: Path):
    train(None, tmp_path / "out", "--train_pairs_dir", str(pairs), *SHORT, "--cache_images")
    assert HSRNet.from_pretrained(tmp_path / "out").scale == 4


def test_pairs_that_do_not_fit_are_named(pairs: Path, tmp_path: Path):
    Image.new("RGB", (30, 30)).save(pairs / "LRx4" / "catx4.png")
    (pairs / "LRx4" / "coffeex4.png").unlink()
    with pytest.raises(SystemExit) as refusal:
        train(None, tmp_path / "out", "--train_pairs_dir", str(pairs), *SHORT)
    text = str(refusal.value)
    assert "--train_pairs_dir: 2 pairs do not fit --scale 4" in text
    assert "coffee.png has no image in" in text
    assert "catx4.png is 30x30, but cat.png is 160x120" in text
