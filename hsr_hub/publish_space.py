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

from hsr_hub.checkpoint import CONFIG_NAME, DEFAULT_MODEL, WEIGHTS_NAME, shipped_names
from hsr_hub.hub import hub_api
from hsr_hub.publish import CARD_NAME, RefusedError, explained, refuse_public, send

ROOT = Path(__file__).resolve().parents[1]
"""The repository, where the package is used from a checkout."""

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
    private: bool | None = None,
    token: str | bool | None = None,
) -> str:
    """Upload exactly the files that the Space needs, in one commit.

    Args:
        space_id: "org/name"; made if it is not there.
        model: What it runs on: a Hub id, or the name of a shipped set, which then goes with it.
        private: For a new Space; by default the organisation's own default.
        token: By default that of HF_TOKEN or `hf auth login`.

    Returns:
        The Space's address.

    Raises:
        FileNotFoundError: This is no checkout of the repository.
        ValueError: There is no such model, or it is not one of ours.
        hsr_hub.publish.PublishError: The Hub refused or could not be reached.
    """
    files = space_files(model)
    api = hub_api(token)
    words = ["hsr-hub", "push-space", space_id, "--model", model] + ["--private"] * bool(private)
    with explained(f"Nothing was published to {space_id}", shlex.join(words), token):
        if model not in shipped_names():
            _check_model(api.model_info(model))
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


def space_files(model: str, root: Path = ROOT) -> dict[str, Path | bytes]:
    """The Space's files by their names there.

    The modules are those that app.py imports, directly or through others, so that the list follows
    the code; with them go the package's data, the examples, the model if it is a shipped set, and
    the default one, which stands in when the Hub does not answer.

    Args:
        model: A Hub id or the name of a shipped set.
        root: A checkout of the repository.

    Raises:
        FileNotFoundError: It is not one.
        ValueError: The model is no Hub id and not shipped.
    """
    app = root / "app.py"
    if not app.is_file():
        raise FileNotFoundError(f"no {app}: publish the Space from a checkout of the repository")
    shipped = model in shipped_names()
    if not shipped and not re.fullmatch(r"[\w.-]+/[\w.-]+", model):
        raise ValueError(f"{model!r} is no Hub id like org/name and no shipped set")
    package = root / "hsr_hub"
    finder = ModuleFinder(path=[str(root)])
    finder.run_script(str(app))
    modules = (getattr(module, "__file__", None) for module in finder.modules.values())
    code = [Path(file) for file in modules if file and Path(file) != app]
    data = [
        path
        for folder in (package, root / "examples")
        for path in folder.rglob("*")
        if path.is_file()
        and path.suffix not in {".py", ".pyc"}
        and not any(part.startswith((".", "__")) for part in path.relative_to(root).parts)
        and (package / "weights" not in path.parents or path.parent.name in {model, DEFAULT_MODEL})
    ]
    names = sorted(path.relative_to(root).as_posix() for path in [*code, *data])
    return {
        "README.md": _readme(model, shipped, root).encode(),
        "app.py": choosing(app.read_text(encoding="utf-8"), model).encode(),
        "requirements.txt": root / "requirements.txt",
        "LICENSE": root / "LICENSE",
        **{name: root / name for name in names},
    }


def choosing(source: str, model: str) -> str:
    """app.py with the weights to use, unless the Space's settings choose others (HSR_MODEL_ID).

    In the file and not in the settings, so that it comes with the same commit, needs no further
    right, and stays with whoever duplicates or clones the Space.
    """
    last = 0
    for node in ast.parse(source).body:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not docstring and getattr(node, "module", None) != "__future__":
            break
        last = node.end_lineno or last
    lines = source.splitlines(keepends=True)
    choice = f'os.environ.setdefault("HSR_MODEL_ID", {model!r})  # by hsr-hub push-space\n'
    return "".join([*lines[:last], "\nimport os\n\n", choice, *lines[last:]])


def _readme(model: str, shipped: bool, root: Path) -> str:
    """The repository's front matter with the model filled in, and a text for the Space."""
    text = (root / CARD_NAME).read_text(encoding="utf-8")
    front = yaml.safe_load(text.split("---\n")[1])
    weights = f"the weights `{model}`"
    if not shipped:
        front["models"] = [model]
        front["preload_from_hub"] = [f"{model} {CONFIG_NAME},{WEIGHTS_NAME}"]
        weights = f"[{model}](https://huggingface.co/{model})"
    dumped = yaml.safe_dump(front, sort_keys=False, allow_unicode=True)
    return README.format(front=dumped, title=front["title"], weights=weights)


# ---- the command line


def add_command(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add `push-space`; `command(name, run, text)` makes its parser."""
    parser = command("push-space", _push_space, "Publish the Space on the weights of a model.")
    parser.add_argument("space_id", metavar="org/space")
    parser.add_argument("--model", required=True, help="Hub id, or a shipped set")
    parser.add_argument("--private", action="store_true", default=None, help="a new Space")


def _push_space(args: argparse.Namespace) -> int:
    print(push_space(args.space_id, args.model, private=args.private))
    return 0
