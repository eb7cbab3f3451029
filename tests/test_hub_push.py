"""Pushing to the Hub: one commit that keeps edited cards, or nothing and a clear message."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from hsr_hub import HSRNet
from hsr_hub.evaluation import evaluate
from hsr_hub.hub import BUNDLED, publish
from tests.hub_client import assert_no_token, client
from tests.hub_double import READ_TOKEN, WRITE_TOKEN, Fault, Hub

pytestmark = pytest.mark.slow

WITHOUT_XET = {"HF_HUB_DISABLE_XET": "1"}

PUSH_EACH = """
import json, sys
from hsr_hub.hub import publish
def push(job):
    try:
        return publish(**job)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
print("said", json.dumps([push(job) for job in json.loads(sys.argv[1])]))
"""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub().serve() as hub:
        yield hub


@pytest.fixture
def folder(model: HSRNet, tmp_path: Path) -> Path:
    folder = tmp_path / "fidelity"
    model.save_pretrained(folder)
    Image.effect_noise((64, 64), 60).save(folder / "sample.png")
    return folder


def push_each(hub: Hub, home: Path, jobs: list[dict[str, Any]]) -> list[str]:
    """Return what `publish` returns or raises for each job, in one fresh process."""
    done = client(hub, home, "-c", PUSH_EACH, json.dumps(jobs))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.rpartition("said ")[2])


def test_branch_pull_request_and_versions(hub: Hub, folder: Path, tmp_path: Path):
    hub.add_repo("org/public")
    hub.add_repo("other/theirs")
    job = {"folder": str(folder), "repo_id": "org/hsr"}
    jobs = [
        {**job, "branch": "experiment"},
        {**job, "create_pr": True},
        {**job, "tag": "v1.0"},
        {**job, "tag": "v1.0"},
        {**job, "create_pr": True, "tag": "v2.0"},
        {**job, "repo_id": "org/public", "private": True},
        {**job, "repo_id": "other/theirs"},
        {**job, "repo_id": "other/theirs", "create_pr": True},
        {**job, "create_pr": True, "branch": "experiment"},
        job,
        {**job, "repo_id": "mine"},
    ]
    said = push_each(hub, tmp_path / "home", jobs)
    repo, files = hub.repo("org/hsr"), {"config.json", "model.safetensors", "README.md"}
    files |= {"sample.png", ".gitattributes"}
    assert set(repo.files("experiment")) == set(repo.files("refs/pr/1")) == files
    assert said[0].endswith(f"/org/hsr/commit/{repo.refs['experiment']}")
    assert said[1] == f"{hub.endpoint}/org/hsr/discussions/1"
    # The pull request was opened while main was empty. Then v1.0 was published.
    assert set(repo.files("main")) == set(repo.files("v1.0")) == files
    assert said[3] == "RefusedError: org/hsr already has a version v1.0: choose another --tag"
    assert said[4].startswith("ValueError: a pull request cannot be tagged")
    assert said[5].startswith("RefusedError: org/public exists and is public")
    assert re.match("PublishError: Nothing was published to other/theirs.*403", said[6])
    assert said[7] == f"{hub.endpoint}/other/theirs/discussions/1"
    assert set(hub.repo("other/theirs", "models").files("refs/pr/1")) == files
    # Nothing has changed, so no commit is made and the address of the last one is returned.
    assert said[9].endswith(f"/org/hsr/commit/{repo.refs['main']}")
    assert len(repo.commits) == 4  # with the initial commit; the last jobs made none
    assert hub.count("commit", "org/hsr") == 3
    assert b'from_pretrained("user/mine")' in hub.repo("user/mine").files()["README.md"]


def test_an_edited_card_is_kept_and_gets_new_metrics(
    hub: Hub, folder: Path, model: HSRNet, test_set: Path, tmp_path: Path
):
    measured = evaluate(model, test_set, dtype="float32", progress=False)
    first = tmp_path / "first.json"
    first.write_text(json.dumps({**vars(measured), "psnr_y": 11.11}))
    home, command = tmp_path / "home", ("-m", "hsr_hub", "push", folder, "org/hsr")
    done = client(hub, home, *command, "--metrics", first)
    assert done.returncode == 0, done.stderr
    repo = hub.repo("org/hsr")
    card = repo.files()["README.md"].decode()
    assert "| 11.11 (" in card and "value: 11.11" in card
    assert 'from_pretrained("org/hsr")' in card and "# hsr\n" in card

    edited = (
        card.replace("license: apache-2.0", "license: apache-2.0  # ours\ntitle: mine")
        .replace("# hsr\n", "# The finest net\n")
        .replace("Detail in the result is made up", "As I found, detail in the result is made up")
        .replace("## Limits", "## My notes\n\nKept: 猫, `|` and <b>tags</b>.\n\n## Limits")
        .replace("\n<!-- /hsr-hub:training", "Trained at home.\n<!-- /hsr-hub:training")
    )
    edited += "\nThe end."
    index = "    - type: psnr\n      value: 7.0\n      name: PSNR, by a friend\n"
    edited = edited.replace("    metrics:\n", "    metrics:\n" + index, 1)
    hub.put("org/hsr", {"README.md": edited.encode()})
    commits = hub.count("commit")
    second = tmp_path / "second.json"
    second.write_text(json.dumps({**vars(measured), "psnr_y": 22.22}))
    done = client(hub, home, *command, "--figures", second)
    assert done.returncode == 0, done.stderr
    assert "The card on the Hub keeps its own words" in done.stderr
    assert f"hf upload org/hsr {folder / 'README.md'} README.md" in done.stderr
    assert hub.count("commit") == commits + 1
    after = repo.files()["README.md"].decode()
    assert "11.11" not in after
    assert "| 22.22 (" in after and "value: 22.22" in after
    for words in (
        "license: apache-2.0  # ours\ntitle: mine",
        "# The finest net\n",
        "As I found, detail in the result is made up",
        "## My notes\n\nKept: 猫, `|` and <b>tags</b>.\n",
        "Trained at home.",
        "\nThe end.",
    ):
        assert words in after
    results = yaml.safe_load(after.split("---\n")[1])["model-index"][0]["results"]
    values = [m["value"] for r in results for m in r["metrics"]]
    assert 22.22 in values


# Route, fault, and the route of the upload that the repeated command must not use again.
FAULTS: list[tuple[str, Any, str | None]] = [
    ("create", "expired", None),
    ("info", "cut", None),
    ("preupload", "expired", None),
    ("xet-token", "expired", None),
    ("xorb", "cut", ""),
    ("xorb", 503, None),
    ("shard", "cut", ""),
    ("commit", "cut", "xorb"),
    ("commit", 503, None),
    ("commit", "expired", "xorb"),
    ("commit", "echo", None),
]
FAULTS_WITHOUT_XET: list[tuple[str, Any, str | None]] = [
    ("lfs-batch", "expired", None),
    ("lfs-put", "cut", ""),
    ("lfs-put", 503, None),
    ("lfs-complete", 500, None),
    ("lfs-verify", "expired", "lfs-put"),
    ("commit", "cut", "lfs-put"),
]


def fail(hub: Hub, folder: Path, home: Path, env: dict[str, str]) -> str:
    """Push with a fault, and return the command that the error names to repeat it."""
    (fault,) = hub.faults
    push = ("-m", "hsr_hub", "push", folder, "org/hsr", "--private", "--tag", "v1.0")
    done = client(hub, home, *push, look_in=(folder,), env=env)
    assert done.returncode == 1, fault
    assert "Traceback" not in done.stderr, done.stderr
    message = done.stderr[done.stderr.index("hsr-hub: Nothing was published") :]
    assert message.count("To repeat it:") == message.count("hsr-hub push") == 1
    if fault.how == "expired":
        assert "401" in message or "hf auth login" in message
    if fault.how == "echo":
        assert "hf_***" in message
    for repo in hub.repos.values():
        assert len(repo.commits) == 1 and not repo.tags, fault
    return message.partition("To repeat it:\n")[2].splitlines()[0]


def fail_and_repeat(
    hub: Hub, folder: Path, home: Path, kept: str | None, env: dict[str, str]
) -> None:
    """Push with a fault, and then run the command that the error names."""
    with hub.serve():
        words = shlex.split(fail(hub, folder, home, env))
        if kept is None:
            return
        sent = hub.count(kept) if kept else 0
        assert not kept or sent, "nothing was sent before it broke"
        (fault,), hub.faults = hub.faults, []
        assert words[0] == "hsr-hub"
        done = client(hub, home, "-m", "hsr_hub", *words[1:], env=env)
        assert done.returncode == 0, done.stderr
        repo = hub.repo("org/hsr")
        assert repo.private and repo.tags == {"v1.0": repo.refs["main"]}
        assert len(repo.commits) == 2
        assert not kept or hub.count(kept) == sent, f"{fault}: sent again"


@pytest.mark.parametrize("transfer", ["xet", "without xet"])
def test_a_cut_push_changes_nothing_and_can_be_repeated(
    transfer: str, folder: Path, tmp_path: Path
):
    """A cut push makes no commit. Repeated, it sends only what is missing."""
    cases, env = (FAULTS, {}) if transfer == "xet" else (FAULTS_WITHOUT_XET, WITHOUT_XET)
    before = {p: p.read_bytes() for p in folder.iterdir()}
    hubs = [Hub() for _ in cases]
    with ThreadPoolExecutor(6) as pool:  # the clients mostly wait before they retry
        running = []
        for hub, (where, how, kept) in zip(hubs, cases, strict=True):
            hub.faults = [Fault(where, how)]
            home = tmp_path / f"home-{len(running)}"
            running.append(pool.submit(fail_and_repeat, hub, folder, home, kept, env))
        for each in running:
            each.result()
    assert {p: p.read_bytes() for p in folder.iterdir()} == before


def test_published_but_not_tagged(hub: Hub, folder: Path, tmp_path: Path):
    hub.faults = [Fault("tag", 500)]
    push = ("-m", "hsr_hub", "push", folder, "org/hsr", "--tag", "v1.0")
    done = client(hub, tmp_path / "home", *push)
    assert "hsr-hub: Published, but v1.0 could not be set: " in done.stderr
    hub.faults = []
    done = client(hub, tmp_path / "home", *push)
    repo = hub.repo("org/hsr")
    assert repo.tags == {"v1.0": repo.refs["main"]}
    assert (len(repo.commits), hub.count("xorb")) == (2, 1)


def test_temporary_faults_are_retried(hub: Hub, folder: Path, tmp_path: Path):
    """The client retries what fails once, and waits for slow answers."""
    hub.faults = [
        Fault("preupload", 503, times=1),
        Fault("xorb", "cut", times=1),
        Fault("shard", 500, times=1),
        Fault("commit", 2.0, times=1),
    ]
    done = client(hub, tmp_path / "home", "-m", "hsr_hub", "push", folder, "org/hsr")
    assert done.returncode == 0, done.stderr
    assert all(fault.times == 0 for fault in hub.faults)
    assert len(hub.repo("org/hsr").commits) == 2


def test_an_edit_during_a_push_is_not_lost(hub: Hub, folder: Path, tmp_path: Path):
    home, push = tmp_path / "home", ("-m", "hsr_hub", "push", folder, "org/hsr")
    assert client(hub, home, *push).returncode == 0
    card = hub.repo("org/hsr").files()["README.md"]
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config + "\n")  # a change to publish
    hub.faults = [Fault("preupload", 4.0)]  # time to edit the card
    hub.seen.clear()

    def edit() -> None:
        while not hub.count("preupload"):
            time.sleep(0.05)
        hub.put("org/hsr", {"README.md": card + b"\nMy words.\n"})

    with ThreadPoolExecutor(1) as pool:
        editing = pool.submit(edit)
        done = client(hub, home, *push)
        editing.result()
    assert done.returncode == 1
    assert "412" in done.stderr and "Somebody else changed the repository" in done.stderr
    hub.faults = []
    assert client(hub, home, *push).returncode == 0
    files = hub.repo("org/hsr").files()
    assert files["README.md"] == card + b"\nMy words.\n"
    assert files["config.json"].decode() == config + "\n"


def test_a_folder_that_does_not_load_is_not_sent(hub: Hub, folder: Path, tmp_path: Path):
    (folder / "model.safetensors").write_bytes(b"cut off")
    done = client(hub, tmp_path / "home", "-m", "hsr_hub", "push", folder, "org/hsr")
    assert done.returncode == 1
    assert "model.safetensors is not a valid safetensors file" in done.stderr
    assert hub.seen == []


def test_a_folder_without_a_card_gets_one_on_the_hub_only(hub: Hub, folder: Path, tmp_path: Path):
    (folder / "README.md").unlink()
    done = client(hub, tmp_path / "home", "-m", "hsr_hub", "push", folder, "org/hsr")
    assert done.returncode == 0, done.stderr
    card = hub.repo("org/hsr").files()["README.md"].decode()
    assert 'from_pretrained("org/hsr")' in card and "(sample.png)" in card
    assert not (folder / "README.md").exists()
    with pytest.raises(FileNotFoundError, match=r"README\.md"):
        publish(folder, "org/hsr")


def test_a_bundled_model_is_pushed_by_its_name(hub: Hub, tmp_path: Path):
    done = client(hub, tmp_path / "home", "-m", "hsr_hub", "push", "hsr-lite-x4", "org/net")
    assert done.returncode == 0, done.stderr
    files = hub.repo("org/net").files()
    bundled = {path.name: path.read_bytes() for path in (BUNDLED / "hsr-lite-x4").iterdir()}
    assert set(files) == {*bundled, ".gitattributes"}
    assert files["model.safetensors"] == bundled["model.safetensors"]
    assert b'from_pretrained("org/net")' in files["README.md"]
    # A name that is neither a folder nor a bundled model: the Hub is not asked.
    hub.seen.clear()
    done = client(hub, tmp_path / "home", "-m", "hsr_hub", "push", "org/net", "org/copy")
    assert done.returncode == 1 and "no model 'org/net'" in done.stderr
    assert hub.seen == []


def test_push_without_a_token_or_write_access(hub: Hub, folder: Path, tmp_path: Path):
    push = ("-m", "hsr_hub", "push", folder, "org/hsr")
    done = client(hub, tmp_path / "home", *push, token="")
    assert done.returncode == 1
    assert "hf auth login" in done.stderr
    done = client(hub, tmp_path / "home", *push, token=READ_TOKEN)
    assert "needs write access" in done.stderr
    assert hub.repos == {}


def test_token_is_hidden_when_everything_is_logged(hub: Hub, folder: Path, tmp_path: Path):
    """The Hub repeats the token, the exception is not caught, and all libraries log everything."""
    hub.faults = [Fault("commit", "echo")]
    code = "import sys; from hsr_hub import HSRNet\n"
    code += "HSRNet.from_pretrained(sys.argv[1]).push_to_hub('org/hsr')"
    env = {"HF_DEBUG": "1", "HF_HUB_VERBOSITY": "debug", "RUST_LOG": "debug"}
    done = client(hub, tmp_path / "home", "-c", code, folder, look_in=(folder,), env=env)
    assert "Traceback" in done.stderr and "PublishError" in done.stderr
    assert "Send: curl" in done.stderr  # the libraries did log
    assert "the token hf_*** is not one we like" in done.stderr
    # The search for tokens works.
    for output in (WRITE_TOKEN, f"a {READ_TOKEN} b"):
        with pytest.raises(AssertionError):
            assert_no_token(output)
    (tmp_path / "log").write_bytes(b"\0" + WRITE_TOKEN.encode())
    with pytest.raises(AssertionError, match="log"):
        assert_no_token("", tmp_path)
