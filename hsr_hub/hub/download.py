"""Talking to the Hub: files from it, and errors that say what to do and never show a token."""

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
"""Of a download whose connection breaks; 1.x of the Hub's client gives up at the first."""

ADVICE = {
    401: "Log in with `hf auth login`, or set HF_TOKEN to a token that is valid.",
    403: "The token may not do that: it needs write access to this repository.",
    412: "Somebody else changed the repository meanwhile.",
}
"""What to do, by the Hub's answer."""


def hub_api(token: str | bool | None = None) -> HfApi:
    """The Hub's client, saying which library asks."""
    return HfApi(token=token, library_name="hsr_hub", library_version=__version__)


def download(repo_id: str, file_name: str, **options: Any) -> Path:
    """A file of a model repository, from the cache where that is enough.

    Args:
        repo_id: "org/name".
        file_name: Its path in the repository.
        options: For `huggingface_hub.hf_hub_download`: revision, token, cache_dir, ...

    Raises:
        FileNotFoundError: The repository has no such file; the message says what it has instead.
        OSError, ValueError: The Hub refused, or cannot be reached; see the message.
    """
    token = options.get("token")
    for attempt in range(ATTEMPTS):
        try:
            return Path(hf_hub_download(repo_id, file_name, **options))
        except LocalEntryNotFoundError as error:
            # The library speaks of a bad connection here, whatever the Hub has answered.
            if error.__cause__ is not None:
                error.args = (f"{error} What went wrong: {explain(error.__cause__)}",)
            hide_token(error, token)
            raise
        except EntryNotFoundError as error:
            hide_token(error, token)
            names = _names(repo_id, options.get("revision"), token)
            where = f"Hub repository {repo_id}"
            raise FileNotFoundError(missing(file_name, where, names)) from error
        except (OSError, ValueError) as error:
            hide_token(error, token)
            raise  # the Hub's own answers (no such repository, no access) say what is wrong
        except Exception as error:  # the HTTP library's: cut connections, impossible addresses
            hide_token(error, token)
            if attempt + 1 < ATTEMPTS:
                time.sleep(1)
                continue
            if not options.get("force_download"):
                with suppress(LocalEntryNotFoundError):
                    offline = {**options, "local_files_only": True}
                    return Path(hf_hub_download(repo_id, file_name, **offline))
            reason = explain(error)
            raise OSError(f"{file_name} of {repo_id} could not be downloaded: {reason}") from error
    raise AssertionError("unreachable")


def _names(repo_id: str, revision: str | None, token: str | bool | None) -> list[str]:
    """Files of the repository; none if it does not tell."""
    try:
        return hub_api(token).list_repo_files(repo_id, revision=revision)
    except Exception:  # an error is being reported already
        return []


def missing(file_name: str, where: str, names: list[str]) -> str:
    """The message for a model without one of its files.

    Args:
        file_name: What it lacks.
        where: The folder or repository, as the message names it.
        names: What it has.
    """
    pickles = [name for name in names if Path(name).suffix in PICKLES]
    if pickles:
        return (
            f"{where} has no {file_name}, only {', '.join(pickles[:3])}: pickles can run any code "
            "when they are read, and are never opened here. Ask its maker for model.safetensors"
        )
    if file_name.endswith(".json"):
        return f"{where} has no {file_name}, so the network's shape is unknown"
    return f"{where} has no {file_name}; other formats, pickles above all, are not opened"


def explain(error: BaseException) -> str:
    """An error of the Hub's client in one line, with what to do about it."""
    text = " ".join(str(error).split()) or type(error).__name__
    cause = error.__cause__
    if isinstance(error, RuntimeError) and cause is not None:  # "Error while uploading ..."
        return f"{text} {explain(cause)}"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if "401 Unauthorized" in text:  # hf_xet has words only
        status = 401
    return f"{text} {ADVICE[status]}" if status in ADVICE else text


def hide_token(error: BaseException, token: str | bool | None = None) -> None:
    """Take the token out of an error's message, and out of those that led to it.

    The Hub does not repeat tokens, but what stands between may: proxies, mirrors, log collectors.

    Args:
        error: Changed in place.
        token: The one that was used; by default that of HF_TOKEN or `hf auth login`.
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
