"""Publish a folder of weights and its card to the Hub, in one commit or not at all."""

from __future__ import annotations

import logging
import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.hf_api import ModelInfo, RepoFile, SpaceInfo

from hsr_hub.evaluation import Metrics
from hsr_hub.hub.bundled import (
    ATTRIBUTION_NAME,
    CARD_NAME,
    CONFIG_NAME,
    WEIGHTS_NAME,
    resolve_folder,
)
from hsr_hub.hub.card_editing import (
    merged,
    same_prose,
    with_license,
    with_metrics,
    with_repo_id,
)
from hsr_hub.hub.download import error_text, hide_token, hub_api

MESSAGE = "Publish an HSRNet"

logger = logging.getLogger(__name__)


class PublishError(RuntimeError):
    """The upload failed. The message ends with the command that repeats it."""


class RefusedError(ValueError):
    """The request conflicts with what is on the Hub, so repeating it would not help."""


def publish(
    folder: str | Path,
    repo_id: str,
    *,
    card: str | None = None,
    metrics: Sequence[Metrics] = (),
    license_id: str | None = None,
    private: bool | None = None,
    branch: str | None = None,
    create_pr: bool = False,
    tag: str | None = None,
    token: str | bool | None = None,
    commit_message: str = MESSAGE,
    repeat: str | None = None,
) -> str:
    """Upload config, weights, card, sample images and attributions in one commit.

    The weights are not loaded. A card on the Hub keeps what people wrote into it; see `merged`.

    Args:
        folder: A folder written by `save_pretrained` or `train_accelerate.py`, or the name of a
            bundled model.
        repo_id: "org/name"; the repository is created if needed.
        card: Text of the card; by default the folder's README.md.
        metrics: Metrics that replace those of the card.
        license_id: Licence that replaces that of the card, on the Hub too; see `with_license`.
        private: Visibility of a new repository; by default the organisation's default.
        branch: Branch to commit to, which is created if needed; by default main.
        create_pr: Propose the commit as a pull request to `branch` instead.
        tag: Version to give the commit, like "v1.0"; it must be new.
        token: By default HF_TOKEN or the one of `hf auth login`.
        commit_message: Message of the commit or title of the pull request.
        repeat: Command that error messages name to repeat the upload; by default `hsr-hub push`
            with these arguments.

    Returns:
        The address of the commit or the pull request.

    Raises:
        FileNotFoundError: If the folder lacks a file.
        ValueError: If the arguments or the card are wrong. Nothing was uploaded.
        RefusedError: If the repository is public but must be private, or the tag exists.
        PublishError: If the Hub refuses or cannot be reached.
    """
    if tag and create_pr:
        raise ValueError("a pull request cannot be tagged: tag the version when it is merged")
    repeat = repeat or push_command(
        folder,
        repo_id,
        license_id=license_id,
        private=private,
        branch=branch,
        create_pr=create_pr,
        tag=tag,
    )
    folder = resolve_folder(folder)
    card_path = folder / CARD_NAME
    needed = [folder / CONFIG_NAME, folder / WEIGHTS_NAME, *([] if card else [card_path])]
    for path in needed:
        if not path.is_file():
            raise FileNotFoundError(f"no {path}: publish a folder that `save_pretrained` wrote")
    text = (card or card_path.read_text(encoding="utf-8")).replace("\r\n", "\n")
    if metrics:
        text = with_metrics(text, metrics)
    try:
        text = with_repo_id(text, repo_id)
    except ValueError as error:
        raise ValueError(f"{card_path}: {error}") from error

    api = hub_api(token)
    with hub_errors(f"Nothing was published to {repo_id}", repeat, token):
        repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        text = with_repo_id(text, repo_id)  # create_repo made "hsr" into "user/hsr"
        head = _target_commit(api, repo_id, private, branch, create_pr, tag)
        paths = api.get_paths_info(repo_id, [WEIGHTS_NAME, CARD_NAME], revision=head)
        there = {file.path: file for file in paths if isinstance(file, RepoFile)}
        if CARD_NAME in there:
            theirs = read_remote(api, repo_id, CARD_NAME, head)
            if card is None and not same_prose(theirs, text):
                logger.warning(
                    "The card on the Hub keeps its own words; metrics, training and the like were "
                    "brought up to date. To replace it: hf upload %s %s README.md",
                    repo_id,
                    card_path,
                )
            same_weights = _is_same(folder / WEIGHTS_NAME, there.get(WEIGHTS_NAME))
            text = merged(theirs, text, same_weights=same_weights)
        if license_id:
            text = with_license(text, license_id)
        commit = create_commit(
            api,
            repo_id,
            {
                CONFIG_NAME: folder / CONFIG_NAME,
                WEIGHTS_NAME: folder / WEIGHTS_NAME,
                CARD_NAME: text.encode(),
                **{path.name: path for path in _companions(folder, text)},
            },
            head,
            commit_message=commit_message,
            revision=branch,
            create_pr=create_pr,
        )
    if tag:
        with hub_errors(f"Published, but {tag} could not be set", repeat, token):
            api.create_tag(repo_id, tag=tag, revision=commit.oid)
    return str(commit.pr_url or commit.commit_url)


def create_commit(
    api: HfApi,
    repo_id: str,
    files: Mapping[str, Path | bytes],
    head: str,
    *,
    delete: Sequence[str] = (),
    **options: Any,
) -> CommitInfo:
    """Upload files in one commit on top of `head`. The library leaves out unchanged files.

    `HfApi.upload_folder` is not used, because it may split a folder into several commits.

    Args:
        api: The Hub's client.
        repo_id: The repository.
        files: Paths or contents by their names in the repository.
        head: The parent commit. The Hub refuses the commit if it is not the latest any more.
        delete: Names of files to delete.
        options: Arguments of `HfApi.create_commit`.
    """
    additions = [CommitOperationAdd(name, content) for name, content in files.items()]
    deletions = [CommitOperationDelete(name) for name in delete]
    return api.create_commit(repo_id, [*additions, *deletions], parent_commit=head, **options)


@contextmanager
def hub_errors(what: str, repeat: str, token: str | bool | None) -> Iterator[None]:
    """Turn any error except `RefusedError` into a `PublishError` with the command to repeat."""
    try:
        yield
    except RefusedError:
        raise
    except Exception as error:
        hide_token(error, token)
        reason = error_text(error)
        raise PublishError(
            f"{what}: {reason}\nThe local files are unchanged. To repeat it:\n  {repeat}"
        ) from error


def read_remote(
    api: HfApi, repo_id: str, name: str, commit: str, repo_type: str | None = None
) -> str:
    """Return a text file of a repository without leaving it in the cache."""
    with tempfile.TemporaryDirectory() as cache:
        path = api.hf_hub_download(
            repo_id, name, revision=commit, repo_type=repo_type, cache_dir=cache
        )
        return Path(path).read_text(encoding="utf-8")


def refuse_public(info: ModelInfo | SpaceInfo, private: bool | None) -> None:
    """Raise `RefusedError` if the repository must be private but is public."""
    if private and info.private is False:
        raise RefusedError(
            f"{info.id} exists and is public: make it private on its settings page first"
        )


def _target_commit(
    api: HfApi,
    repo_id: str,
    private: bool | None,
    branch: str | None,
    create_pr: bool,
    tag: str | None,
) -> str:
    """Return the commit to build on. Raise `RefusedError` before anything is uploaded."""
    if tag and any(ref.name == tag for ref in api.list_repo_refs(repo_id).tags):
        raise RefusedError(f"{repo_id} already has a version {tag}: choose another --tag")
    info = api.model_info(repo_id)
    refuse_public(info, private)
    if branch and not create_pr:
        api.create_branch(repo_id, branch=branch, exist_ok=True)
    if branch:
        info = api.model_info(repo_id, revision=branch)
    assert info.sha is not None
    return info.sha


def _is_same(path: Path, remote: RepoFile | None) -> bool:
    """Return whether a large file on the Hub has the content of a local file."""
    if remote is None or remote.lfs is None:
        return False
    return remote.lfs.sha256 == CommitOperationAdd(path.name, path).upload_info.sha256.hex()


def _companions(folder: Path, card: str) -> list[Path]:
    """Return the samples, the other images that the card shows, and the attributions it links."""
    return [
        path
        for path in [*sorted(folder.glob("*.png")), *folder.glob(ATTRIBUTION_NAME)]
        if not path.name.startswith(".")  # a partial file
        and (path.name.startswith("sample") or f"({path.name})" in card)
    ]


def push_command(
    folder: str | Path,
    repo_id: str,
    *,
    license_id: str | None = None,
    private: bool | None = None,
    branch: str | None = None,
    create_pr: bool = False,
    tag: str | None = None,
) -> str:
    """Return the `hsr-hub push` command with these arguments of `publish`."""
    words = ["hsr-hub", "push", str(folder), repo_id]
    words += ["--license", license_id] if license_id else []
    words += ["--branch", branch] if branch else []
    words += ["--tag", tag] if tag else []
    words += ["--private"] if private else []
    words += ["--create-pr"] if create_pr else []
    return shlex.join(words)
