"""Publish a folder of weights to the Hugging Face Hub: in one commit, or not at all."""

from __future__ import annotations

import argparse
import hashlib
import logging
import shlex
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi

from hsr_hub.hub.checkpoint import CONFIG_NAME, WEIGHTS_NAME, resolve_folder
from hsr_hub.hub.download import explain, hide_token, hub_api
from hsr_hub.hub.model_card import merged, named, read_metrics, same_prose, with_metrics

if TYPE_CHECKING:
    from huggingface_hub import ModelInfo, SpaceInfo

    from hsr_hub.model import HSRNet

CARD_NAME = "README.md"
MESSAGE = "Publish an HSRNet"

logger = logging.getLogger(__name__)


class PublishError(RuntimeError):
    """The Hub did not take it; the message ends with the command that repeats it."""


class RefusedError(ValueError):
    """What was asked for does not fit what is on the Hub: repeating it would not help."""


def publish(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool | None = None,
    branch: str | None = None,
    create_pr: bool = False,
    tag: str | None = None,
    figures: Sequence[Path] = (),
    token: str | bool | None = None,
    commit_message: str = MESSAGE,
    repeat: str | None = None,
) -> str:
    """Upload config, weights, card and sample pictures in one commit.

    The card on the Hub keeps what people wrote into it; see `hsr_hub.hub.model_card.merged`.

    Args:
        folder: What `save_pretrained` or `train_accelerate.py` left, or the name of a shipped set.
        repo_id: "org/name"; made if it is not there.
        private: For a new repository; by default the organisation's own default.
        branch: Where to commit; made if it is not there. By default main.
        create_pr: Propose the commit instead, as a pull request to `branch`.
        tag: A version to give the commit, like "v1.0"; it must be new.
        figures: Files that `hsr-hub evaluate --json` wrote, for the card.
        token: By default that of HF_TOKEN or `hf auth login`.
        commit_message: Of the commit or the pull request.
        repeat: What the error names as the way to do it again, if not the command line.

    Returns:
        The address of the commit or the pull request.

    Raises:
        FileNotFoundError, ValueError: The folder does not load, or the arguments do not fit
            together; nothing was sent.
        PublishError: The Hub refused or could not be reached.
    """
    from hsr_hub.model import HSRNet

    if tag and create_pr:
        raise ValueError("a pull request cannot be tagged: tag the version when it is merged")
    by_hand = repeat is None  # the folder, and maybe its card, are somebody's own
    if repeat is None:
        options = {"--branch": branch, "--tag": tag}
        words = ["hsr-hub", "push", str(folder), repo_id]
        words += [word for pair in options.items() if pair[1] for word in map(str, pair)]
        words += ["--private"] * bool(private) + ["--create-pr"] * create_pr
        words += ["--figures", *map(str, figures)] if figures else []
        repeat = shlex.join(words)
    folder = resolve_folder(folder)
    model = HSRNet.from_pretrained(folder)
    card = _local_card(folder, model, repo_id)
    if figures:
        card = with_metrics(card, [figure for path in figures for figure in read_metrics(path)])

    api = hub_api(token)
    with explained(f"Nothing was published to {repo_id}", repeat, token):
        repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        card = named(card, repo_id)  # "hsr" has become "me/hsr"
        head = _target(api, repo_id, private, branch, create_pr, tag)
        there = {
            file.path: file
            for file in api.get_paths_info(repo_id, [WEIGHTS_NAME, CARD_NAME], revision=head)
        }
        lfs = getattr(there.get(WEIGHTS_NAME), "lfs", None)
        same_weights = bool(lfs) and lfs.sha256 == _sha256(folder / WEIGHTS_NAME)
        if CARD_NAME in there:
            theirs = _remote_card(api, repo_id, head)
            if by_hand and not same_prose(theirs, card):
                logger.warning(
                    "The card on the Hub keeps its own words; figures, training and the like were "
                    "brought up to date. To replace it: hf upload %s %s README.md",
                    repo_id,
                    folder / CARD_NAME,
                )
            card = merged(theirs, card, same_weights=same_weights)
        files: dict[str, Path | bytes] = {CONFIG_NAME: folder / CONFIG_NAME}
        if not same_weights:  # what is there already is not sent again
            files[WEIGHTS_NAME] = folder / WEIGHTS_NAME
        files |= {CARD_NAME: card.encode()} | {p.name: p for p in _pictures(folder, card)}
        commit = send(
            *(api, repo_id, files, head),
            commit_message=commit_message,
            revision=branch,
            create_pr=create_pr,
        )
    if tag:
        with explained(f"Published, but {tag} could not be set", repeat, token):
            api.create_tag(repo_id, tag=tag, revision=commit.oid)
    return str(commit.pr_url or commit.commit_url)


def send(
    api: HfApi,
    repo_id: str,
    files: Mapping[str, Path | bytes],
    head: str,
    *,
    delete: Sequence[str] = (),
    **options: Any,
) -> CommitInfo:
    """One commit on top of `head`, refused by the Hub if somebody else was quicker.

    Not `upload_folder`, which may cut a folder into several commits since 2.x.
    """
    additions = [CommitOperationAdd(name, content) for name, content in files.items()]
    deletions = [CommitOperationDelete(name) for name in delete]
    return api.create_commit(repo_id, [*additions, *deletions], parent_commit=head, **options)


@contextmanager
def explained(what: str, repeat: str, token: str | bool | None) -> Iterator[None]:
    """Turn whatever the network or the Hub does into one message with the command to repeat."""
    try:
        yield
    except RefusedError:
        raise
    except Exception as error:
        hide_token(error, token)
        reason = explain(error)
        raise PublishError(
            f"{what}: {reason}\nThe files here are whole. To repeat it:\n  {repeat}"
        ) from error


def _target(
    api: HfApi,
    repo_id: str,
    private: bool | None,
    branch: str | None,
    create_pr: bool,
    tag: str | None,
) -> str:
    """The commit to build on, after what must be known before anything is sent."""
    if tag and any(ref.name == tag for ref in api.list_repo_refs(repo_id).tags):
        raise RefusedError(f"{repo_id} has a version {tag} already: choose another --tag")
    info = api.model_info(repo_id)
    refuse_public(info, private)
    if branch and not create_pr:
        api.create_branch(repo_id, branch=branch, exist_ok=True)
    if branch:
        info = api.model_info(repo_id, revision=branch)
    assert info.sha is not None
    return info.sha


def refuse_public(info: ModelInfo | SpaceInfo, private: bool | None) -> None:
    """Nothing that is to be private goes where everybody can read it.

    Raises:
        RefusedError: It would.
    """
    if private and info.private is False:
        raise RefusedError(
            f"{info.id} is there already, and public: make it private on its settings page first"
        )


def _local_card(folder: Path, model: HSRNet, repo_id: str) -> str:
    """The folder's own card, or a new one, with the repository's name in it."""
    path = folder / CARD_NAME
    if path.is_file():
        try:
            return named(path.read_text(encoding="utf-8").replace("\r\n", "\n"), repo_id)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    from hsr_hub.hub.model_card import model_card

    return str(model_card(model, name=repo_id, sample=(folder / "sample.png").is_file()))


def _remote_card(api: HfApi, repo_id: str, commit: str) -> str:
    with tempfile.TemporaryDirectory() as cache:
        path = api.hf_hub_download(repo_id, CARD_NAME, revision=commit, cache_dir=cache)
        return Path(path).read_text(encoding="utf-8")


def _pictures(folder: Path, card: str) -> list[Path]:
    """Samples, and what else the card shows: not every picture that lies about."""
    return [
        path
        for path in sorted(folder.glob("*.png"))
        if not path.name.startswith(".")  # somebody is writing it
        and (path.name.startswith("sample") or f"({path.name})" in card)
    ]


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


# ---- the command line


def add_command(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add `push`; `command(name, run, text)` makes its parser."""
    parser = command("push", _push, "Publish a trained folder to the Hugging Face Hub.")
    parser.add_argument("folder", metavar="DIR", help="what a training left, or a shipped set")
    parser.add_argument("repo_id", metavar="org/name")
    parser.add_argument("--private", action="store_true", default=None, help="a new repository")
    parser.add_argument("--branch", help="commit there; made if needed")
    parser.add_argument("--create-pr", action="store_true", help="propose it as a pull request")
    parser.add_argument("--tag", help="a new version's name, like v1.0")
    parser.add_argument(
        "--figures", nargs="+", type=Path, default=[], help="from `hsr-hub evaluate --json`"
    )


def _push(args: argparse.Namespace) -> int:
    names = ("private", "branch", "create_pr", "tag", "figures")
    options = {name: getattr(args, name) for name in names}
    print(publish(args.folder, args.repo_id, **options))
    return 0
