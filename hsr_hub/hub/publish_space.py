"""Publish a Space: this repository's web page with the weights of a model, in one commit.

The Space gets app.py, the package, and a `space.json` that names the models. The page reads that
file, unless the Space's settings (HSR_MODEL_ID) choose other models.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import HfApi
from huggingface_hub.hf_api import ModelInfo

from hsr_hub.hub.bundled import (
    ATTRIBUTION_NAME,
    CARD_NAME,
    CONFIG_NAME,
    DEFAULT_MODEL,
    DETAIL,
    WEIGHTS_NAME,
    bundled_models,
)
from hsr_hub.hub.card_editing import FRONT, metadata
from hsr_hub.hub.download import hub_api
from hsr_hub.hub.links import REPOSITORY
from hsr_hub.hub.publish_model import (
    RefusedError,
    create_commit,
    hub_errors,
    read_remote,
    refuse_public,
)

ROOT = Path(__file__).resolve().parents[2]
"""The repository, if the package is used from there, or is installed by `pip install -e`."""

SPACE_FILE = "space.json"
MADE_BY = "hsr-hub push-space"
"""Value of "made_by" in `space.json`, by which `push_space` recognises its own Spaces."""

CODE_SUFFIXES = {".py", ".css", ".js", ".json", ".jpg", ".png", ".svg", ".typed"}
MODEL_FILES = (
    CARD_NAME,
    CONFIG_NAME,
    WEIGHTS_NAME,
    ATTRIBUTION_NAME,
    "sample.png",
    "training-curve.png",
)

NEW_SPACE = {CARD_NAME, ".gitattributes"}
"""Files that the Hub puts into a new Space."""

SET_BY_US = {"sdk", "sdk_version", "python_version", "app_file", "models", "preload_from_hub"}
"""Metadata of the Space that each push sets. Its owner may change the rest."""

README = """
# {title}

An image upscaler on {weights}: enlarge small photos, and clean compressed or noisy ones.
Written by `hsr-hub push-space` of [hsr-hub]({repository}), whose
[SECURITY]({repository}/blob/main/SECURITY.md) says what is promised about uploads.

Detail in the result is made up from what photographs usually look like. Do not use it for forensic,
medical or other work in which an invented line matters.

The method is described in the Chinese patent application CN 111369440 A, granted as
CN111369440B. The licence of the code cannot grant rights that others hold.
"""

logger = logging.getLogger(__name__)


def push_space(
    space_id: str,
    model: str | Sequence[str] | None = None,
    *,
    detail_model: str | None = None,
    private: bool | None = None,
    token: str | bool | None = None,
    repeat: str | None = None,
) -> str:
    """Upload the files that the Space needs, and no others, in one commit.

    A later push replaces them, and deletes those that the Space does not need any more. It keeps
    the Space's other files, the metadata that its owner has changed, and the README's text if its
    owner has changed it.

    Args:
        space_id: "org/name"; the Space is created if needed.
        model: A Hub id, or the name of a bundled model, which is uploaded too; or several, the
            first of which is the default. Without it, all bundled models, among which the page
            chooses for each image.
        detail_model: Detail model of the first, likewise. A bundled model's own detail model is
            always used.
        private: Visibility of a new Space; by default the organisation's default.
        token: By default HF_TOKEN or the one of `hf auth login`.
        repeat: Command that error messages name to repeat the upload; by default
            `hsr-hub push-space` with these arguments.

    Returns:
        The Space's address.

    Raises:
        FileNotFoundError: If neither the package nor the current folder is in a checkout of the
            repository.
        ValueError: If there is no such model, it is not an HSRNet, or `detail_model` is given
            without `model`.
        RefusedError: If the Space was made by somebody else, or is public but must be private.
        PublishError: If the Hub refuses or cannot be reached.
    """
    models, root = _names(model), _checkout()
    files = space_files(models, detail_model, root=root)
    api = hub_api(token)
    if repeat is None:
        words = ["hsr-hub", "push-space", space_id]
        words += [word for name in models for word in ("--model", name)]
        words += ["--detail-model", detail_model] if detail_model else []
        words += ["--private"] if private else []
        repeat = shlex.join(words)
    with hub_errors(f"Nothing was published to {space_id}", repeat, token):
        private_models = {
            name
            for name in _hub_ids(*models, detail_model)
            if _check_model(api.model_info(name)).private
        }
        url = api.create_repo(
            space_id, repo_type="space", space_sdk="gradio", private=private, exist_ok=True
        )
        info = api.space_info(url.repo_id)
        refuse_public(info, private)
        head = info.sha
        assert head is not None
        there = api.list_repo_files(url.repo_id, repo_type="space", revision=head)
        last_push = _last_push(api, url.repo_id, head, there)
        unused = [name for name in there if name in last_push.files and name not in files]
        before = ""
        if last_push.files and CARD_NAME in there:
            before = read_remote(api, url.repo_id, CARD_NAME, head, "space")
        _describe(files, models, detail_model, root, before, last_push.text_hash, private_models)
        create_commit(
            api,
            url.repo_id,
            files,
            head,
            delete=unused,
            repo_type="space",
            commit_message=f"Publish hsr-hub on {', '.join(models) or 'the bundled weights'}",
        )
    return str(url)


def space_files(
    model: str | Sequence[str] | None = None,
    detail_model: str | None = None,
    *,
    root: Path | None = None,
) -> dict[str, Path | bytes]:
    """Return the Space's files by their names there.

    With a model, bundled weights are uploaded only if they are needed: the models themselves, the
    default model, which the page uses if the Hub does not answer, and the detail models of these.

    Args:
        model: A Hub id or the name of a bundled model, or several; by default all bundled models.
        detail_model: Detail model of the first, likewise.
        root: A checkout of the repository, by default the one that `push_space` uses.

    Raises:
        FileNotFoundError: If there is no checkout.
        ValueError: If a model is neither a Hub id nor a bundled model, or `detail_model` is given
            without `model`.
    """
    root = root or _checkout()
    if not _is_checkout(root):
        raise FileNotFoundError(
            f"{root} is not a checkout of the repository: run this in its folder, which has app.py"
        )
    models = _names(model)
    if detail_model is not None and not models:
        raise ValueError(f"detail model {detail_model} has no model: name one with --model")
    for name in _hub_ids(*models, detail_model):
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
            raise ValueError(f"{name!r} is neither a Hub id like org/name nor a bundled model")
    needed = {*bundled_models()}
    if models:  # the page takes none for all bundled models
        needed &= {name + end for name in (DEFAULT_MODEL, *models) for end in ("", DETAIL)} | {
            detail_model
        }
    weights = root / "hsr_hub" / "weights"
    paths = [
        root / "app.py",
        root / "requirements.txt",
        root / "LICENSE",
        *_code(root / "hsr_hub"),
        *(weights / name / file for name in needed for file in MODEL_FILES),
        *_examples(root / "examples"),
    ]
    files: dict[str, Path | bytes] = {
        path.relative_to(root).as_posix(): path for path in sorted(paths) if path.is_file()
    }
    _describe(files, models, detail_model, root)
    return files


def _checkout() -> Path:
    """Return the repository: where the package is, or else the current folder."""
    return ROOT if _is_checkout(ROOT) else Path.cwd()


def _is_checkout(folder: Path) -> bool:
    return (folder / "app.py").is_file() and (folder / "hsr_hub" / "weights").is_dir()


def _names(model: str | Sequence[str] | None) -> list[str]:
    return [model] if isinstance(model, str) else list(model or ())


def _code(package: Path) -> list[Path]:
    """Return the package's modules and page files, without caches and weights."""
    return [
        path
        for path in package.rglob("*")
        if path.suffix in CODE_SUFFIXES
        and "weights" not in path.relative_to(package).parts
        and not any(part.startswith((".", "_")) for part in path.relative_to(package).parent.parts)
    ]


def _examples(folder: Path) -> list[Path]:
    """Return the example images that the folder's README credits, and the README."""
    credits = folder / CARD_NAME
    names = re.findall(r"`([^`/]+\.(?:png|jpg))`", credits.read_text(encoding="utf-8"))
    return [credits, *(folder / name for name in names)]


def _hub_ids(*models: str | None) -> list[str]:
    return [name for name in models if name is not None and name not in bundled_models()]


def _check_model(info: ModelInfo) -> ModelInfo:
    """Return the same, and warn if the repository is private.

    Raises:
        RefusedError: If it lacks config or weights.
    """
    lacking = {CONFIG_NAME, WEIGHTS_NAME} - {s.rfilename for s in info.siblings or []}
    if lacking:
        raise RefusedError(f"{info.id} is not an HSRNet: no {' and no '.join(sorted(lacking))}")
    if info.private:
        logger.warning(
            "%s is private: give the Space a secret HF_TOKEN that may read it (in its settings)",
            info.id,
        )
    return info


@dataclass(frozen=True)
class LastPush:
    """What the last push to a Space said about itself in `space.json`.

    Attributes:
        files: Names of the files that it uploaded; none if the Space is new.
        text_hash: `_text_hash` of the README's text; empty if it is not known.
    """

    files: list[str]
    text_hash: str = ""


def _last_push(api: HfApi, space_id: str, commit: str, names: list[str]) -> LastPush:
    """Return what is known of the last push to a Space.

    Raises:
        RefusedError: If the Space has files, and `push_space` did not make it.
    """
    if set(names) <= NEW_SPACE:
        return LastPush([])
    made: Any = None
    if SPACE_FILE in names:
        try:
            made = json.loads(read_remote(api, space_id, SPACE_FILE, commit, "space"))
        except ValueError:  # another program's file
            made = None
    if not isinstance(made, dict) or made.get("made_by") != MADE_BY:
        raise RefusedError(
            f"the Space {space_id} exists and was not made by `{MADE_BY}`, which would replace its "
            "files: choose another name, or delete the Space first"
        )
    listed = made.get("files")
    files = [str(name) for name in listed] if isinstance(listed, list) else [SPACE_FILE]
    return LastPush(files, str(made.get("readme_text", "")))


def _describe(
    files: dict[str, Path | bytes],
    models: list[str],
    detail_model: str | None,
    root: Path,
    before: str = "",
    last_hash: str = "",
    private_models: Collection[str] = (),
) -> None:
    """Add the README and `space.json` to the files of a Space.

    Args:
        files: All other files.
        models: Hub ids or names of bundled models.
        detail_model: Likewise.
        root: A checkout, whose README has the metadata.
        before: The Space's README, with what its owner has changed since the last push.
        last_hash: `_text_hash` of the text that the last push wrote into it.
        private_models: Those of the Hub ids that the Hub cannot load before the Space starts,
            because only a secret of the running Space may read them.
    """
    front = _front(models, detail_model, root, before, private_models)
    text = _text(models, detail_model, str(front["title"]))
    choice = {
        "made_by": MADE_BY,
        "models": models,
        "detail_model": detail_model,
        "readme_text": _text_hash(text),
        "files": sorted({CARD_NAME, SPACE_FILE, *files}),
    }
    text_before = FRONT.sub("", before)
    if text_before.strip() and _text_hash(text_before) != last_hash:
        text = text_before
        logger.warning("the text of the Space's README was changed there, and is kept")
    header = yaml.safe_dump(front, sort_keys=False, allow_unicode=True)
    files[CARD_NAME] = f"---\n{header}---\n{text}".encode()
    files[SPACE_FILE] = (json.dumps(choice, indent=2) + "\n").encode()


def _front(
    models: list[str],
    detail_model: str | None,
    root: Path,
    before: str,
    private_models: Collection[str],
) -> dict[str, Any]:
    """Return the metadata of the Space's README; see `_describe`."""
    front = metadata((root / CARD_NAME).read_text(encoding="utf-8"))
    hub_ids = _hub_ids(*models, detail_model)
    if hub_ids:
        front["models"] = hub_ids
    public = [name for name in hub_ids if name not in private_models]
    if public:
        front["preload_from_hub"] = [f"{name} {CONFIG_NAME},{WEIGHTS_NAME}" for name in public]
    return front | {k: value for k, value in metadata(before).items() if k not in SET_BY_US}


def _text(models: list[str], detail_model: str | None, title: str) -> str:
    """Return the text of the Space's README below its metadata."""
    hub_ids = _hub_ids(*models, detail_model)
    names = [
        f"[{name}](https://huggingface.co/{name})" if name in hub_ids else f"the weights `{name}`"
        for name in (*models, detail_model)
        if name
    ]
    bundled = "the bundled weights, among which it chooses for each photo"
    return README.format(title=title, weights=" and ".join(names) or bundled, repository=REPOSITORY)


def _text_hash(text: str) -> str:
    """Return the SHA-256 of a text without the spaces around it."""
    return hashlib.sha256(text.strip().encode()).hexdigest()
