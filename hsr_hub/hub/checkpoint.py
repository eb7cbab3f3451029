"""config.json and model.safetensors: found, read strictly, written.

Only safetensors are ever opened. A pickle can run code when it is read, whoever made it.
"""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from hsr_hub.hub.download import download, missing

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
BUNDLED = Path(__file__).parents[1] / "weights"
DEFAULT_MODEL = "hsr-lite-x4"
"""The shipped set that is used on a CPU where none is named."""
GPU_MODEL = "hsr-x4"
"""The one that is used on a GPU: larger, and more faithful."""
DETAIL = "-detail"
"""What a shipped set's twin with more detail is called after it."""

SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8}
"""Bytes of the number formats that weights may have; whole numbers are the dilations."""

MAX_HEADER = 10_000_000
"""Bytes; ours take some thousands."""


def bundled_models() -> list[str]:
    """Names of the sets that come with this package."""
    return sorted(p.parent.name for p in BUNDLED.glob(f"*/{CONFIG_NAME}"))


def default_model(device: str) -> str:
    """The shipped set for a device ("cpu", "cuda:1", ...) where none is named."""
    larger = not device.startswith("cpu") and GPU_MODEL in bundled_models()
    return GPU_MODEL if larger else DEFAULT_MODEL


def resolve_folder(name: str | Path) -> Path:
    """Where a model that is here lies: a folder with a config.json is preferred to a shipped set.

    Args:
        name: A folder or a shipped set; what is neither comes back as it is.
    """
    folder = Path(name)
    if not (folder / CONFIG_NAME).is_file() and str(name) in bundled_models():
        return BUNDLED / str(name)
    return folder


def resolve_file(name: str | Path, file_name: str, **download_options: Any) -> Path:
    """Path of one of the two files of a folder, a shipped set or a Hub repository.

    Args:
        name: The model: a Hub id, or what `resolve_folder` takes.
        file_name: `CONFIG_NAME` or `WEIGHTS_NAME`.
        download_options: For `huggingface_hub.hf_hub_download`, if it comes to that.

    Raises:
        FileNotFoundError: There is no such model, or it lacks the file.
    """
    folder = resolve_folder(name)
    if folder.is_dir():
        if not (folder / file_name).is_file():
            names = [path.name for path in sorted(folder.iterdir())]
            raise FileNotFoundError(missing(file_name, f"folder {folder}", names))
        return folder / file_name
    if isinstance(name, Path) or str(name).count("/") != 1:
        raise FileNotFoundError(
            f"no model {str(name)!r}: it is not a folder, not a shipped set "
            f"({', '.join(bundled_models())}), and not a Hub id like 'org/name'"
        )
    return download(str(name), file_name, **download_options)


def commit_of(path: Path) -> str | None:
    """The commit that a file in the Hub's cache belongs to; None for other files."""
    found = re.search(r"[/\\]snapshots[/\\]([0-9a-f]{40})[/\\]", str(path))
    return found and found[1]


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
        ValueError: Not a safetensors file, its header lies about its content, or its names or
            shapes are not the network's; the message names the file and the first few keys.
    """
    try:
        header, size = _read_header(path)
        lies = [lie for key, entry in header.items() if (lie := header_error(key, entry, size))]
        if lies:
            raise ValueError(_first_few(lies))
    except (ValueError, RecursionError, OSError) as error:
        raise ValueError(f"{path} is not a sound safetensors file: {error}") from error
    problems = [f"lacks {key}" for key in expected if key not in header]
    problems += [f"has an unexpected {key}" for key in header if key not in expected]
    problems += [
        f"{key} is {header[key]['shape']} instead of {list(expected[key].shape)}"
        for key in expected
        if key in header and header[key]["shape"] != list(expected[key].shape)
    ]
    if problems:
        raise ValueError(f"{path} does not fit its {CONFIG_NAME}: {_first_few(problems)}")
    try:
        return load_file(path)
    except (SafetensorError, ValueError, OSError) as error:  # tensors that overlap, and the like
        raise ValueError(f"{path} is not a sound safetensors file: {error}") from error


def _read_header(path: Path) -> tuple[dict[str, Any], int]:
    """Tensor entries by key, and how many bytes of data follow.

    The safetensors library reads it too, but does not say which tensor is wrong.
    """
    total = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if total < 8 or length > min(MAX_HEADER, total - 8):
            raise ValueError(f"{total} bytes are too few for what its first ones announce")
        header = json.loads(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    header.pop("__metadata__", None)
    return header, total - 8 - length


def header_error(key: str, entry: Any, size: int) -> str:
    """What is wrong in itself with an entry of the header; nothing: an empty string."""
    try:
        shape, (begin, end), dtype = entry["shape"], entry["data_offsets"], entry["dtype"]
        if dtype not in SIZES:
            return f"{key} holds {dtype}: weights are floating-point numbers"
        if not all(isinstance(n, int) and n >= 0 for n in (*shape, begin, end)):
            return f"{key} has a negative or broken size"
        needed = math.prod(shape) * SIZES[dtype]
    except (TypeError, ValueError, KeyError):
        return f"{key} has no dtype, shape and data_offsets"
    if end - begin != needed:
        return f"{key} of {shape} {dtype} takes {needed} bytes, its data_offsets {end - begin}"
    return f"{key} ends at byte {end} of {size}" if end > size else ""


def _first_few(problems: list[str]) -> str:
    more = f"; and {len(problems) - 5} more" if problems[5:] else ""
    return "; ".join(problems[:5]) + more


def write(folder: Path, config: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
    """Write both files into an existing folder."""
    text = json.dumps(config, indent=2) + "\n"
    (folder / CONFIG_NAME).write_text(text, encoding="utf-8")
    save_file({k: v.contiguous() for k, v in state.items()}, folder / WEIGHTS_NAME)
    # Newer safetensors lets the file's owner alone read it; a service may be somebody else.
    shutil.copymode(folder / CONFIG_NAME, folder / WEIGHTS_NAME)
