"""config.json and model.safetensors: found, read strictly, written.

Only safetensors are ever opened. A pickle can run code when it is read, whoever made it.
"""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
SHIPPED = Path(__file__).parent / "weights"


def shipped_names() -> list[str]:
    """Names of the sets that come with this package."""
    return sorted(p.parent.name for p in SHIPPED.glob(f"*/{CONFIG_NAME}"))


def locate(
    name: str | Path, *, revision: str | None = None, **download_options: Any
) -> tuple[Path, Path]:
    """Paths of config.json and model.safetensors of a folder, a shipped set or a Hub repository.

    Args:
        name: The model. A folder of that name with a config.json is preferred to a shipped set.
        revision: Branch, tag or commit on the Hub.
        download_options: More arguments for `huggingface_hub.hf_hub_download`.

    Raises:
        FileNotFoundError: There is no such model, or it lacks one of the two files.
    """
    folder = Path(name)
    if not (folder / CONFIG_NAME).is_file() and str(name) in shipped_names():
        folder = SHIPPED / str(name)
    if folder.is_dir():
        for file_name in (CONFIG_NAME, WEIGHTS_NAME):
            if not (folder / file_name).is_file():
                raise FileNotFoundError(_missing(file_name, f"folder {folder}"))
        return folder / CONFIG_NAME, folder / WEIGHTS_NAME
    if isinstance(name, Path) or str(name).count("/") != 1:
        raise FileNotFoundError(
            f"no model {str(name)!r}: it is not a folder, not a shipped set "
            f"({', '.join(shipped_names())}), and not a Hub id like 'org/name'"
        )
    paths = []
    for file_name in (CONFIG_NAME, WEIGHTS_NAME):
        try:
            paths.append(
                Path(hf_hub_download(str(name), file_name, revision=revision, **download_options))
            )
        except LocalEntryNotFoundError:
            raise  # the Hub cannot be reached and nothing is cached: the library says so
        except EntryNotFoundError as error:
            raise FileNotFoundError(_missing(file_name, f"Hub repository {name}")) from error
        except (OSError, ValueError):
            raise  # the Hub's own answers (no such repository, no access) say what is wrong
        except Exception as error:  # the HTTP library's: cut connections, impossible addresses
            raise OSError(f"{file_name} of {name} could not be downloaded: {error}") from error
    return paths[0], paths[1]


def _missing(file_name: str, where: str) -> str:
    if file_name == WEIGHTS_NAME:
        return f"{where} has no {WEIGHTS_NAME}; other formats, pickles above all, are not opened"
    return f"{where} has no {CONFIG_NAME}, so the network's shape is unknown"


def read_config(path: Path, known: Container[str]) -> dict[str, Any]:
    """The constructor's arguments in a config.json.

    Args:
        path: The file.
        known: Names that the constructor takes.

    Raises:
        ValueError: Not a JSON object, or one with an unknown key; the message names the file.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, nested beyond reason
        raise ValueError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path} must hold a JSON object, not {type(config).__name__}")
    unknown = [key for key in config if key not in known]
    if unknown:
        raise ValueError(f"{path} has keys that this version of hsr_hub does not know: {unknown}")
    return config


def read_weights(path: Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a safetensors file that fit a network exactly.

    Args:
        path: The file.
        expected: The network's own state: names and shapes that the file must have.

    Raises:
        ValueError: Not a safetensors file, or its names or shapes are not the network's; the
            message names the file and the first few of them.
    """
    try:
        state = load_file(path)
    except (SafetensorError, ValueError, OSError) as error:
        raise ValueError(f"{path} is not a sound safetensors file: {error}") from error
    problems = [f"lacks {key}" for key in expected if key not in state]
    problems += [f"has an unexpected {key}" for key in state if key not in expected]
    problems += [
        f"{key} is {list(state[key].shape)} instead of {list(expected[key].shape)}"
        for key in expected
        if key in state and state[key].shape != expected[key].shape
    ]
    if problems:
        shown = "; ".join(problems[:5]) + (
            f"; and {len(problems) - 5} more" if problems[5:] else ""
        )
        raise ValueError(f"{path} does not fit its {CONFIG_NAME}: {shown}")
    return state


def write(folder: Path, config: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
    """Write both files into an existing folder."""
    save_file({k: v.contiguous() for k, v in state.items()}, folder / WEIGHTS_NAME)
    text = json.dumps(config, indent=2) + "\n"
    (folder / CONFIG_NAME).write_text(text, encoding="utf-8")
