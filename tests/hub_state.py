"""The state of the Hub's double: repositories, commits and files; and its errors."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse


class HubError(Exception):
    """An answer of the Hub with an error status."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        self.status, self.message, self.code = status, message, code


@dataclass(frozen=True)
class Blob:
    """A file of a commit."""

    content: bytes
    large: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def git_oid(self) -> str:
        content = self.content
        if self.large:
            pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n"
            content = pointer.format(self.sha256, len(content)).encode()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    def described(self, path: str) -> dict[str, Any]:
        entry = {"type": "file", "path": path, "size": len(self.content), "oid": self.git_oid}
        if self.large:
            entry["lfs"] = {"oid": self.sha256, "size": len(self.content), "pointerSize": 130}
        return entry


@dataclass
class Repo:
    """A repository. `refs` holds branches and `refs/pr/N`; a commit holds all its files."""

    kind: str
    id: str
    private: bool
    commits: dict[str, dict[str, Blob]] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, ref: str, files: dict[str, Blob], title: str) -> str:
        oid = hashlib.sha1(f"{self.id} {len(self.commits)} {title}".encode()).hexdigest()
        self.commits[oid], self.titles[oid], self.refs[ref] = files, title, oid
        return oid

    def resolve(self, revision: str) -> str:
        found = self.refs.get(revision) or self.tags.get(revision)
        if not found and revision in self.commits:
            found = revision
        if not found:
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return found

    def split(self, rest: str) -> tuple[str, str]:
        """Return the commit and the path in `REVISION/PATH`.

        A revision may contain slashes (refs/pr/1), so the longest known one is taken.
        """
        known = [*self.refs, *self.tags, *self.commits]
        fitting = [r for r in known if rest == r or rest.startswith(r + "/")]
        revision = max(fitting, key=len, default=rest.partition("/")[0])
        return self.resolve(revision), rest.removeprefix(revision).removeprefix("/")

    def files(self, revision: str = "main") -> dict[str, bytes]:
        return {p: blob.content for p, blob in self.commits[self.resolve(revision)].items()}


def refuse(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HubError)
    headers = {"X-Error-Message": error.message, "X-Request-Id": "of-the-double"}
    if error.code:
        headers["X-Error-Code"] = error.code
    return JSONResponse({"error": error.message}, error.status, headers=headers)


def is_binary(content: bytes) -> bool:
    """Return whether the Hub puts a file into its large-file storage."""
    try:
        content.decode()
    except UnicodeDecodeError:
        return True
    return b"\0" in content
