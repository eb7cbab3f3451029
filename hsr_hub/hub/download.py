"""Download files from the Hub. Errors say what to do and never show a token."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, get_token, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from hsr_hub.version import __version__

PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"}

ATTEMPTS = 3
"""Attempts at a download whose connection breaks. huggingface_hub 1.x makes only one."""

ADVICE = {
    401: "Log in with `hf auth login`, or set HF_TOKEN to a valid token.",
    403: "The token needs write access to this repository.",
    412: "Somebody else changed the repository in the meantime.",
}
"""Advice by HTTP status."""


def hub_api(token: str | bool | None = None) -> HfApi:
    """Return the Hub's client, which identifies itself as hsr_hub."""
    return HfApi(token=token, library_name="hsr_hub", library_version=__version__)


def download(repo_id: str, file_name: str, **options: Any) -> Path:
    """Return the path of a model repository's file in the cache, downloading it if needed.

    A broken connection is tried again. If the Hub cannot be reached, a cached file is used.

    Args:
        repo_id: "org/name".
        file_name: Path of the file in the repository.
        options: Arguments of `huggingface_hub.hf_hub_download`: revision, token, cache_dir, ...

    Raises:
        FileNotFoundError: If the repository has no such file; the message says what it has.
        OSError, ValueError: If the Hub refuses, or cannot be reached and nothing is cached.
    """
    token = options.get("token")
    for attempt in range(ATTEMPTS):
        try:
            return Path(hf_hub_download(repo_id, file_name, **options))
        except LocalEntryNotFoundError as error:
            # The library's text blames the connection, even if the Hub answered with an error.
            if error.__cause__ is not None:
                error.args = (f"{error} What went wrong: {error_text(error.__cause__)}",)
            hide_token(error, token)
            raise
        except EntryNotFoundError as error:
            hide_token(error, token)
            names = _names(repo_id, options.get("revision"), token)
            where = f"Hub repository {repo_id}"
            raise FileNotFoundError(missing_file(file_name, where, names)) from error
        except (OSError, ValueError) as error:
            hide_token(error, token)
            raise  # the Hub's own errors (no such repository, no access) are clear
        except Exception as error:  # errors of the HTTP library: broken connections, bad addresses
            hide_token(error, token)
            if attempt + 1 < ATTEMPTS:
                time.sleep(1)
                continue
            if not options.get("force_download"):
                with suppress(LocalEntryNotFoundError):
                    offline = {**options, "local_files_only": True}
                    return Path(hf_hub_download(repo_id, file_name, **offline))
            reason = error_text(error)
            raise OSError(f"{file_name} of {repo_id} could not be downloaded: {reason}") from error
    raise AssertionError("unreachable")


def _names(repo_id: str, revision: str | None, token: str | bool | None) -> list[str]:
    """Return the names of the repository's files, or none if the Hub does not answer."""
    try:
        return hub_api(token).list_repo_files(repo_id, revision=revision)
    except Exception:  # the caller reports the first error
        return []


def missing_file(file_name: str, where: str, names: list[str]) -> str:
    """Return the message for a model that lacks a file.

    Args:
        file_name: The file that is missing.
        where: The folder or repository, as the message should name it.
        names: The files that are there.
    """
    pickles = [name for name in names if Path(name).suffix in PICKLES]
    if pickles:
        return (
            f"{where} has no {file_name}, only {', '.join(pickles[:3])}: reading a pickle can run "
            "any code, so pickles are never opened. Ask the author for model.safetensors"
        )
    if file_name.endswith(".json"):
        return f"{where} has no {file_name}, so the network's shape is unknown"
    return f"{where} has no {file_name}, and no other format is opened"


def error_text(error: BaseException) -> str:
    """Return an error of the Hub's client as one line, with advice on what to do."""
    text = " ".join(str(error).split()) or type(error).__name__
    cause = error.__cause__
    if isinstance(error, RuntimeError) and cause is not None:  # "Error while uploading ..."
        return f"{text} {error_text(cause)}"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if "401 Unauthorized" in text:  # errors of hf_xet carry no response
        status = 401
    return f"{text} {ADVICE[status]}" if status in ADVICE else text


def hide_token(error: BaseException, token: str | bool | None = None) -> None:
    """Remove the token from the messages of an error and of its causes.

    The Hub does not repeat tokens, but a proxy, a mirror or a log collector may.

    Args:
        error: The error, which is changed in place.
        token: The token that was used; by default HF_TOKEN or the one of `hf auth login`.
    """
    secret = token if isinstance(token, str) else get_token()
    seen: BaseException | None = error
    while secret and seen is not None:
        seen.args = tuple(
            part.replace(secret, "hf_***") if isinstance(part, str) else part for part in seen.args
        )
        if isinstance(message := getattr(seen, "server_message", None), str):
            seen.server_message = message.replace(secret, "hf_***")  # pyright: ignore[reportAttributeAccessIssue]
        seen = seen.__cause__ or seen.__context__
