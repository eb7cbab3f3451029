"""A double of the Hub on loopback for the real `huggingface_hub`.

It is modelled on the sources of that library (1.16 to 2.x) and answers what the client sends for
this project: creating repositories, preupload, large files by LFS and Xet (`hub_storage.py`),
commits, pull requests, tags, branches, and files with their redirects, ETags and commit headers. It
stores the uploads, records every request, and fails where a test tells it to.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import uvicorn
from fastapi import FastAPI, Request
from starlette.routing import Match, Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from tests.hub_routes import add_routes
from tests.hub_state import Blob, HubError, Repo, is_binary, refuse
from tests.hub_storage import HubStorage

WRITE_TOKEN = "hf_" + "WriteTokenOfTheTests0123456789ab"
READ_TOKEN = "hf_" + "ReadTokenOfTheTests0123456789abc"
GITATTRIBUTES = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"
SPACE_README = b"---\ntitle: New\nsdk: gradio\nsdk_version: 6.0.0\napp_file: app.py\n---\n"


@dataclass
class Fault:
    """A fault at the route named `where`.

    `how`: a status; "cut" after a piece of the body has come in; "half" of the answer, then cut;
    "expired" token; "echo" of the token in the error; or, as a float, seconds of silence first.
    """

    where: str
    how: int | float | Literal["cut", "half", "expired", "echo"]
    repo: str = ""
    times: int = 1_000_000


@dataclass
class Seen:
    """A request that was received."""

    name: str
    method: str
    path: str
    token: str
    size: int = 0


class Hub:
    """The state, the routes and the server."""

    def __init__(self) -> None:
        self.repos: dict[tuple[str, str], Repo] = {}
        self.tokens: dict[str, set[str]] = {WRITE_TOKEN: {"org", "user"}, READ_TOKEN: set()}
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self.endpoint = ""
        self.storage = HubStorage(self)
        self.transports: dict[Any, asyncio.Transport] = {}
        self.api = FastAPI()
        self.api.add_exception_handler(HubError, refuse)
        add_routes(self, self.api)
        self.storage.add_routes(self.api)

    # ---- for tests
    def repo(self, repo_id: str, kind: str = "models") -> Repo:
        return self.repos[kind, repo_id]

    def add_repo(self, repo_id: str, kind: str = "models", private: bool = False) -> Repo:
        repo = self.repos[kind, repo_id] = Repo(kind, repo_id, private)
        start = {".gitattributes": Blob(GITATTRIBUTES, False)}
        if kind == "spaces":
            start["README.md"] = Blob(SPACE_README, False)
        repo.commit("main", start, "initial commit")
        return repo

    def put(
        self,
        repo_id: str,
        files: dict[str, bytes],
        revision: str = "main",
        kind: str = "models",
    ) -> str:
        """Commit files as the web editor of the Hub or another user does."""
        repo = self.repos.get((kind, repo_id)) or self.add_repo(repo_id, kind)
        new = {path: Blob(content, is_binary(content)) for path, content in files.items()}
        for blob in new.values():
            self.storage.objects[blob.sha256] = blob.content
        before = repo.commits[repo.resolve(revision)]
        return repo.commit(revision, {**before, **new}, "edited on the Hub")

    def count(self, name: str, repo_id: str = "") -> int:
        return sum(seen.name == name and repo_id in seen.path for seen in self.seen)

    # ---- permissions
    def may(self, request: Request, repo: Repo | None, write: bool = False) -> None:
        """Raise the Hub's error if the request lacks a permission."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token and token not in self.tokens:
            raise HubError(401, "Invalid credentials in Authorization header")
        if repo is None or (repo.private and not token):
            raise HubError(404 if token else 401, "Repository not found", "RepoNotFound")
        if write and repo.id.split("/")[0] not in self.tokens.get(token, set()):
            if not token:
                raise HubError(401, "Invalid username or password.")
            raise HubError(403, f"you are not allowed to write to {repo.id} with this token")

    # ---- serving
    async def __call__(self, scope, receive, send) -> None:
        """Answer a request, or fail as the tests asked."""
        if scope["type"] != "http":
            return await self.api(scope, receive, send)
        name = "unknown"
        for route in self.api.routes:
            if isinstance(route, Route) and route.matches(scope)[0] is Match.FULL:
                name = route.name
                break
        headers = dict(scope["headers"])
        token = headers.get(b"authorization", b"").decode().removeprefix("Bearer ")
        seen = Seen(name, scope["method"], scope["path"], token)
        if scope["path"] != "/api/agent-harnesses":  # the library asks about its own user
            self.seen.append(seen)

        async def counted():
            message = await receive()
            seen.size += len(message.get("body", b""))
            return message

        fault = next(
            (f for f in self.faults if f.where == name and f.repo in scope["path"] and f.times),
            None,
        )
        if fault is None:
            return await self.api(scope, counted, send)
        fault.times -= 1
        transport = self.transports[tuple(scope["client"])]
        if isinstance(fault.how, float):
            await asyncio.sleep(fault.how)
            return await self.api(scope, counted, send)
        if fault.how == "cut":
            await counted()
            transport.abort()
            return None
        if fault.how == "half":
            return await self.api(scope, counted, _half(send, transport))
        while (await counted()).get("more_body"):
            pass
        error = {
            "expired": HubError(401, "Invalid credentials in Authorization header"),
            "echo": HubError(400, f"the token {token} is not one we like"),
        }.get(str(fault.how)) or HubError(int(fault.how), "requested by the test")
        return await refuse(Request(scope), error)(scope, counted, send)

    @contextmanager
    def serve(self) -> Iterator[Hub]:
        hub = self

        class Protocol(H11Protocol):
            """Uvicorn's protocol, with access to the connections."""

            def connection_made(self, transport) -> None:
                super().connection_made(transport)
                hub.transports[tuple(transport.get_extra_info("peername")[:2])] = transport

        config = uvicorn.Config(
            self, host="127.0.0.1", port=0, log_level="error", http=Protocol, lifespan="off"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive(), "the Hub's double did not start"
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{port}"
        try:
            yield self
        finally:
            server.should_exit = server.force_exit = True
            thread.join(20)


def _half(send, transport: asyncio.Transport):
    """Return a `send` that drops the connection in the middle of the body."""

    async def cut(message) -> None:
        if message["type"] == "http.response.body" and message.get("body"):
            body = message["body"]
            await send({**message, "body": body[: len(body) // 2], "more_body": True})
            await asyncio.sleep(0.05)  # time to reach the client
            transport.abort()
        else:
            await send(message)

    return cut
