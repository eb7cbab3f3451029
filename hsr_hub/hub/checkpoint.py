"""Find, read and write config.json and model.safetensors.

Only safetensors files are opened. Reading a pickle can run code that somebody put into it.
"""

from __future__ import annotations

import json
import re
import reprlib
import shutil
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from hsr_hub.hub.bundled import CONFIG_NAME, WEIGHTS_NAME, bundled_models, resolve_folder
from hsr_hub.hub.download import download, missing_file

WEIGHT_DTYPES = ("F64", "F32", "F16", "BF16", "I64")
"""Number formats that weights may have, as safetensors names them. I64 is for the dilations."""

MAX_ENTRIES = 16
"""Entries of a list in config.json: branches, for example."""
MAX_NUMBER = 4096
"""Largest number in config.json: channels, for example."""
MAX_CONFIG_BYTES = 1 << 16


def resolve_file(name: str | Path, file_name: str, **download_options: Any) -> Path:
    """Return the path of a model's file, downloading it if the model is on the Hub.

    Args:
        name: A folder, the name of a bundled model, or a Hub id.
        file_name: `CONFIG_NAME` or `WEIGHTS_NAME`.
        download_options: Arguments of `huggingface_hub.hf_hub_download`; used for Hub ids only.

    Raises:
        FileNotFoundError: If there is no such model, or it does not have the file.
    """
    folder = resolve_folder(name)
    if folder.is_dir():
        if not (folder / file_name).is_file():
            names = [path.name for path in sorted(folder.iterdir())]
            raise FileNotFoundError(missing_file(file_name, f"folder {folder}", names))
        return folder / file_name
    if isinstance(name, Path) or not re.fullmatch(r"[\w.-]+/[\w.-]+", str(name)):
        raise FileNotFoundError(
            f"no model {str(name)!r}: it is not a folder, not a bundled model "
            f"({', '.join(bundled_models())}), and not a Hub id like 'org/name'"
        )
    return download(str(name), file_name, **download_options)


def commit_of(path: Path) -> str | None:
    """Return the commit that a file in the Hub's cache belongs to, or None for other files."""
    found = re.search(r"[/\\]snapshots[/\\]([0-9a-f]{40})[/\\]", str(path))
    return found and found[1]


def read_config(path: Path, known: Container[str]) -> dict[str, Any]:
    """Return the constructor's arguments that a config.json holds.

    Args:
        path: The file.
        known: Names of the arguments that the constructor takes.

    Raises:
        ValueError: If the file is not a JSON object, has an unknown key, or a value is not an
            integer or a list of integers within bounds.
    """
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise ValueError(f"{path} has more than {MAX_CONFIG_BYTES} bytes")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # also text that is not UTF-8
        raise ValueError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path} must hold a JSON object, not {type(config).__name__}")
    unknown = [key for key in config if key not in known]
    if unknown:
        raise ValueError(f"{path} has keys that this version of hsr_hub does not know: {unknown}")
    for key, value in config.items():
        _check_numbers(path, key, value)
    return config


def _check_numbers(path: Path, key: str, value: Any) -> None:
    """Raise if a value is not an integer or a short list of integers, of a sensible size.

    Other numbers would fail late, or build a network of a size that nobody has.
    """
    numbers = value if isinstance(value, list) else [value]
    if len(numbers) > MAX_ENTRIES:
        raise ValueError(
            f"{path}: {key} has {len(numbers)} entries; at most {MAX_ENTRIES} are valid"
        )
    for number in numbers:
        # None is the default of a list.
        if number is None and not isinstance(value, list):
            continue
        if type(number) is not int or not 0 <= number <= MAX_NUMBER:
            raise ValueError(
                f"{path}: {key} must hold integers from 0 to {MAX_NUMBER}, "
                f"not {reprlib.repr(number)}"
            )


def read_weights(path: Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file that fits a network exactly.

    Names, shapes and number formats are compared before any tensor is read.

    Args:
        path: The file.
        expected: The network's own state, on any device. Only its names and shapes are used.

    Raises:
        ValueError: If the file is not a valid safetensors file, or its tensors are not those of
            the network.
    """
    try:
        with safe_open(path, framework="pt") as file:
            entries = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118
            shapes = {key: list(entry.get_shape()) for key, entry in entries.items()}
            dtypes = {key: str(entry.get_dtype()) for key, entry in entries.items()}
        if problems := _mismatches(shapes, dtypes, expected):
            more = f"; and {len(problems) - 5} more" if problems[5:] else ""
            raise ValueError(
                f"{path} does not fit its {CONFIG_NAME}: {'; '.join(problems[:5])}{more}"
            )
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path} is not a valid safetensors file: {error}. It may be cut off or damaged: "
            "get it again"
        ) from error


def _mismatches(
    shapes: Mapping[str, list[int]], dtypes: Mapping[str, str], expected: Mapping[str, Tensor]
) -> list[str]:
    """Return one phrase for each tensor that does not fit the network."""
    problems = [f"lacks {key}" for key in expected if key not in shapes]
    problems += [f"has an unexpected {key}" for key in shapes if key not in expected]
    for key in expected:
        if key not in shapes:
            continue
        wanted = list(expected[key].shape)
        if shapes[key] != wanted:
            problems.append(f"{key} is {shapes[key]} instead of {wanted}")
        if dtypes[key] not in WEIGHT_DTYPES:
            problems.append(f"{key} holds {dtypes[key]}, not one of {', '.join(WEIGHT_DTYPES)}")
    return problems


def write(folder: Path, config: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
    """Write config.json and model.safetensors into an existing folder.

    Raises:
        ValueError: A value of the configuration is one that `read_config` refuses.
    """
    for key, value in config.items():
        _check_numbers(folder / CONFIG_NAME, key, value)
    text = json.dumps(config, indent=2) + "\n"
    (folder / CONFIG_NAME).write_text(text, encoding="utf-8")
    save_file({k: v.contiguous() for k, v in state.items()}, folder / WEIGHTS_NAME)
    # Newer safetensors versions let only the owner read the file, which a service may not be.
    shutil.copymode(folder / CONFIG_NAME, folder / WEIGHTS_NAME)
