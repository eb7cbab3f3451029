"""Publish the Space: the page of this repository on somebody's weights, in one commit."""

from __future__ import annotations

import argparse
import ast
import logging
import re
import shlex
from collections.abc import Callable
from modulefinder import ModuleFinder
from pathlib import Path
from typing import Any

import yaml

from hsr_hub.hub.checkpoint import CONFIG_NAME, DEFAULT_MODEL, DETAIL, WEIGHTS_NAME, bundled_models
from hsr_hub.hub.download import hub_api
from hsr_hub.hub.publish_model import CARD_NAME, RefusedError, explained, refuse_public, send

ROOT = Path(__file__).resolve().parents[2]
"""The repository, where the package is used from a checkout."""

PACKAGE_DATA = ("py.typed", "webapp/page.css", "webapp/page.js")
SET_FILES = (CARD_NAME, CONFIG_NAME, WEIGHTS_NAME, "sample.png", "training-curve.png")
"""What is sent beside code: the package's data, and of each set."""

OWN_FOLDERS = ("hsr_hub/", "examples/")
"""What in the Space is all ours: files there that are not needed any more are removed."""

README = """---
{front}---

# {title}

hsr-hub on {weights}: drop a small photo in, take a sharp one out.
Written by `hsr-hub push-space`.

Detail in the result is made up from what photographs usually look like: do not use it for forensic,
medical or other work in which an invented line matters.
"""

logger = logging.getLogger(__name__)


def push_space(
    space_id: str,
    model: str,
    *,
    detail_model: str | None = None,
    private: bool | None = None,
    token: str | bool | None = None,
) -> str:
    """Upload exactly the files that the Space needs, in one commit.

    Args:
        space_id: "org/name"; made if it is not there.
        model: What it runs on: a Hub id, or the name of a shipped set, which then goes with it.
        detail_model: Its twin with more detail, likewise; a shipped set's own twin needs no asking.
        private: For a new Space; by default the organisation's own default.
        token: By default that of HF_TOKEN or `hf auth login`.

    Returns:
        The Space's address.

    Raises:
        FileNotFoundError: This is no checkout of the repository.
        ValueError: There is no such model, or it is not one of ours.
        hsr_hub.hub.publish_model.PublishError: The Hub refused or could not be reached.
    """
    files = space_files(model, detail_model)
    api = hub_api(token)
    words = ["hsr-hub", "push-space", space_id, "--model", model]
    words += ["--detail-model", detail_model] if detail_model else []
    words += ["--private"] * bool(private)
    with explained(f"Nothing was published to {space_id}", shlex.join(words), token):
        for name in _on_the_hub(model, detail_model):
            _check_model(api.model_info(name))
        url = api.create_repo(
            space_id, repo_type="space", space_sdk="gradio", private=private, exist_ok=True
        )
        info = api.space_info(url.repo_id)
        refuse_public(info, private)
        head = info.sha
        assert head is not None
        there = api.list_repo_files(url.repo_id, repo_type="space", revision=head)
        send(
            *(api, url.repo_id, files, head),
            delete=[n for n in there if n.startswith(OWN_FOLDERS) and n not in files],
            repo_type="space",
            commit_message=f"Publish hsr-hub on {model}",
        )
    return str(url)


def _check_model(info: Any) -> None:
    lacking = {CONFIG_NAME, WEIGHTS_NAME} - {s.rfilename for s in info.siblings or []}
    if lacking:
        raise RefusedError(f"{info.id} has no {' and no '.join(sorted(lacking))}: not our model")
    if info.private:
        logger.warning(
            "%s is private: give the Space a secret HF_TOKEN that may read it (in its settings)",
            info.id,
        )


def _on_the_hub(*models: str | None) -> list[str]:
    return [name for name in models if name is not None and name not in bundled_models()]


def space_files(
    model: str, detail_model: str | None = None, root: Path = ROOT
) -> dict[str, Path | bytes]:
    """The Space's files by their names there.

    The modules are those that app.py imports, directly or through others, so that the list follows
    the code; with them go the package's data, the examples, the models that are shipped sets, the
    default one, which stands in when the Hub does not answer, and the twins of these. Whatever else
    lies about in the checkout stays there.

    Args:
        model: A Hub id or the name of a shipped set.
        detail_model: Its twin, likewise.
        root: A checkout of the repository.

    Raises:
        FileNotFoundError: It is not one.
        ValueError: A model is no Hub id and not shipped.
    """
    app = root / "app.py"
    if not app.is_file():
        raise FileNotFoundError(f"no {app}: publish the Space from a checkout of the repository")
    for name in _on_the_hub(model, detail_model):
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
            raise ValueError(f"{name!r} is no Hub id like org/name and no shipped set")
    package = root / "hsr_hub"
    finder = ModuleFinder(path=[str(root)])
    finder.run_script(str(app))
    modules = (getattr(module, "__file__", None) for module in finder.modules.values())
    code = [Path(file) for file in modules if file and Path(file) != app]
    sets = {DEFAULT_MODEL, DEFAULT_MODEL + DETAIL, model, model + DETAIL, detail_model}
    sets = sets.intersection(bundled_models())
    data = [package / name for name in PACKAGE_DATA]
    data += [package / "weights" / name / file for name in sets for file in SET_FILES]
    credits = root / "examples" / CARD_NAME
    pictures = re.findall(r"`([^`/]+\.png)`", credits.read_text(encoding="utf-8"))
    data += [credits, *(credits.with_name(name) for name in pictures)]
    names = sorted(path.relative_to(root).as_posix() for path in [*code, *data] if path.is_file())
    return {
        "README.md": _readme(model, detail_model, root).encode(),
        "app.py": choosing(app.read_text(encoding="utf-8"), model, detail_model).encode(),
        "requirements.txt": root / "requirements.txt",
        "LICENSE": root / "LICENSE",
        **{name: root / name for name in names},
    }


def choosing(source: str, model: str, detail_model: str | None = None) -> str:
    """app.py with the weights to use, unless the Space's settings choose others (HSR_MODEL_ID).

    In the file and not in the settings, so that it comes with the same commit, needs no further
    right, and stays with whoever duplicates or clones the Space. The twin is for these weights
    only.
    """
    last = 0
    for node in ast.parse(source).body:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not docstring and getattr(node, "module", None) != "__future__":
            break
        last = node.end_lineno or last
    lines = source.splitlines(keepends=True)
    choice = 'if "HSR_MODEL_ID" not in os.environ:  # by hsr-hub push-space\n'
    choice += f'    os.environ["HSR_MODEL_ID"] = {model!r}\n'
    if detail_model:
        choice += f'    os.environ.setdefault("HSR_DETAIL_MODEL_ID", {detail_model!r})\n'
    return "".join([*lines[:last], "\nimport os\n\n", choice, *lines[last:]])


def _readme(model: str, detail_model: str | None, root: Path) -> str:
    """The repository's front matter with the models filled in, and a text for the Space."""
    text = (root / CARD_NAME).read_text(encoding="utf-8")
    front = yaml.safe_load(text.split("---\n")[1])
    hub = _on_the_hub(model, detail_model)
    if hub:
        front["models"] = hub
        front["preload_from_hub"] = [f"{name} {CONFIG_NAME},{WEIGHTS_NAME}" for name in hub]
    names = [
        f"[{name}](https://huggingface.co/{name})" if name in hub else f"the weights `{name}`"
        for name in (model, detail_model)
        if name
    ]
    weights = " and ".join(names)
    dumped = yaml.safe_dump(front, sort_keys=False, allow_unicode=True)
    return README.format(front=dumped, title=front["title"], weights=weights)


# ---- the command line


def add_command(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add `push-space`; `command(name, run, text)` makes its parser."""
    parser = command("push-space", _push_space, "Publish the Space on the weights of a model.")
    parser.add_argument("space_id", metavar="org/space")
    parser.add_argument("--model", required=True, help="Hub id, or a shipped set")
    parser.add_argument("--detail-model", metavar="M2", help="its twin, for the slider; likewise")
    parser.add_argument("--private", action="store_true", default=None, help="a new Space")


def _push_space(args: argparse.Namespace) -> int:
    options = {"detail_model": args.detail_model, "private": args.private}
    print(push_space(args.space_id, args.model, **options))
    return 0
