"""A Hub on loopback that the real `huggingface_hub` cannot tell from the real one.

It answers what the client sends for the things this project does (huggingface_hub 1.16 to 2.x):
creating repositories, preupload, large files by LFS (`HubStorage` in `hub_storage.py`; by Xet too),
commits, pull requests, tags, branches, files with their redirects, ETags and commit headers. It
keeps what it got, counts every request, and fails where a test tells it to.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import uvicorn
import yaml
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.routing import Match, Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from tests.hub_storage import HubStorage

WRITE_TOKEN = "hf_" + "WriteTokenOfTheTests0123456789ab"
READ_TOKEN = "hf_" + "ReadTokenOfTheTests0123456789abc"
GITATTRIBUTES = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"
SPACE_README = b"---\ntitle: New\nsdk: gradio\nsdk_version: 6.0.0\napp_file: app.py\n---\n"


class HubError(Exception):
    """An answer of the Hub that is not 2xx."""

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
    """A repository: `refs` are branches, `refs/pr/N` and tags; every commit holds all its files."""

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

    def files(self, revision: str = "main") -> dict[str, bytes]:
        return {p: blob.content for p, blob in self.commits[self.resolve(revision)].items()}


@dataclass
class Fault:
    """What goes wrong at the route of that name (`where`).

    `how`: a status; "cut" after a piece of the body has come in; "half" of the answer, then cut;
    "expired" token; "echo" of the token in the error; or, as a float, seconds of silence first.
    """

    where: str
    how: int | float | Literal["cut", "half", "expired", "echo"]
    repo: str = ""
    times: int = 1_000_000


@dataclass
class Seen:
    """A request that came in."""

    name: str
    method: str
    path: str
    token: str
    size: int = 0


class Hub:
    """State, routes and the server."""

    def __init__(self) -> None:
        self.repos: dict[tuple[str, str], Repo] = {}
        self.tokens: dict[str, set[str]] = {WRITE_TOKEN: {"org", "user"}, READ_TOKEN: set()}
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self.endpoint = ""
        self.storage = HubStorage(self)
        self.transports: dict[Any, asyncio.Transport] = {}
        self.api = FastAPI()
        self.api.add_exception_handler(HubError, _refuse)
        _add_routes(self, self.api)
        self.storage.add_routes(self.api)

    # ---- what tests ask for and look at
    def repo(self, repo_id: str, kind: str = "models") -> Repo:
        return self.repos[kind, repo_id]

    def add_repo(self, repo_id: str, kind: str = "models", private: bool = False) -> Repo:
        repo = self.repos[kind, repo_id] = Repo(kind, repo_id, private)
        start = {".gitattributes": Blob(GITATTRIBUTES, False)}
        if kind == "spaces":
            start["README.md"] = Blob(SPACE_README, False)
        repo.commit("main", start, "initial commit")
        return repo

    def put(self, repo_id: str, files: dict[str, bytes], revision: str = "main") -> str:
        """A commit made on the Hub itself: its web editor, or somebody else's push."""
        repo = self.repos.get(("models", repo_id)) or self.add_repo(repo_id)
        new = {path: Blob(content, _is_binary(content)) for path, content in files.items()}
        for blob in new.values():
            self.storage.objects[blob.sha256] = blob.content
        before = repo.commits[repo.resolve(revision)]
        return repo.commit(revision, {**before, **new}, "edited on the Hub")

    def count(self, name: str, repo_id: str = "") -> int:
        return sum(seen.name == name and repo_id in seen.path for seen in self.seen)

    # ---- permissions
    def may(self, request: Request, repo: Repo | None, write: bool = False) -> None:
        """Let the request through, or say why not in the Hub's own words."""
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
        """The app, with the faults that the tests ordered in front of it."""
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
        if scope["path"] != "/api/agent-harnesses":  # the library's look-up about its own user
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
        }.get(str(fault.how)) or HubError(int(fault.how), "ordered by the test")
        return await _refuse(Request(scope), error)(scope, counted, send)

    @contextmanager
    def serve(self) -> Iterator[Hub]:
        hub = self

        class Protocol(H11Protocol):
            """Uvicorn's own, whose connections can be cut."""

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


def _refuse(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HubError)
    headers = {"X-Error-Message": error.message, "X-Request-Id": "of-the-double"}
    if error.code:
        headers["X-Error-Code"] = error.code
    return JSONResponse({"error": error.message}, error.status, headers=headers)


def _half(send, transport: asyncio.Transport):
    """A `send` that drops the connection in the middle of the answer's body."""

    async def cut(message) -> None:
        if message["type"] == "http.response.body" and message.get("body"):
            body = message["body"]
            await send({**message, "body": body[: len(body) // 2], "more_body": True})
            await asyncio.sleep(0.05)  # let it reach the other side
            transport.abort()
        else:
            await send(message)

    return cut


def _is_binary(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return True
    return b"\0" in content


def _check_card(content: str, kind: str) -> list[str]:
    """What the Hub has against a README's metadata."""
    match = re.match(r"---\n(.*?)\n---(\n|$)", content, flags=re.DOTALL)
    try:
        data = yaml.safe_load(match[1]) if match else {}
    except yaml.YAMLError as error:
        return [f"not YAML: {error}"]
    if not isinstance(data, dict):
        return ["the metadata must be a mapping"]
    errors = []
    for name in ("tags", "datasets", "metrics", "models", "preload_from_hub"):
        values = data.get(name) or []
        if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
            errors.append(f'"{name}" must be a list of strings')
    for model in data.get("model-index") or []:
        for result in model["results"]:
            if not (result["task"].get("type") and result["dataset"].get("type")):
                errors.append('"model-index" has a result without task or dataset type')
            if any(not isinstance(m.get("value"), (int, float)) for m in result["metrics"]):
                errors.append('"model-index" has a metric without a value')
    if kind == "space":
        if data.get("sdk") not in ("gradio", "docker", "static"):
            errors.append('"sdk" is required')
        if len(data.get("short_description") or "") > 60:
            errors.append('"short_description" must be at most 60 characters')
    return errors


def _add_routes(hub: Hub, api: FastAPI) -> None:
    """Everything but the storage of large files."""

    def find(request: Request, kind: str, repo_id: str, write: bool = False) -> Repo:
        repo = hub.repos.get((kind, repo_id))
        hub.may(request, repo, write)
        assert repo is not None
        return repo

    @api.post("/api/repos/create", name="create")
    async def create(request: Request):
        asked = await request.json()
        kind = {"space": "spaces"}.get(asked.get("type") or "", "models")
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        namespace = asked.get("organization") or "user"
        repo_id = f"{namespace}/{asked['name']}"
        if token not in hub.tokens:
            raise HubError(401, "Invalid credentials in Authorization header")
        if namespace not in hub.tokens[token]:
            raise HubError(403, f"You don't have the rights to create a model under {namespace!r}")
        url = f"{hub.endpoint}/{'spaces/' if kind == 'spaces' else ''}{repo_id}"
        if (kind, repo_id) in hub.repos:
            body = {"error": "You already created this model repo", "url": url}
            return JSONResponse(body, 409)
        private = bool(asked.get("private")) or asked.get("visibility") == "private"
        hub.add_repo(repo_id, kind, private)
        return {"url": url, "name": repo_id, "id": repo_id}

    @api.post("/api/validate-yaml", name="validate")
    async def validate(request: Request):
        asked = await request.json()
        errors = _check_card(asked["content"], asked.get("repoType") or "model")
        body = {"errors": [{"message": e} for e in errors], "warnings": []}
        return JSONResponse(body, 400 if errors else 200)

    @api.get("/api/{kind}/{org}/{name}", name="info")
    @api.get("/api/{kind}/{org}/{name}/revision/{revision:path}", name="info")
    async def info(request: Request, kind: str, org: str, name: str, revision: str = "main"):
        repo = find(request, kind, f"{org}/{name}")
        oid = repo.resolve(revision)
        siblings = [{"rfilename": path} for path in repo.commits[oid]]
        known = {"id": repo.id, "modelId": repo.id, "private": repo.private, "sha": oid}
        return {**known, "siblings": siblings, "tags": [], "downloads": 0, "likes": 0}

    @api.get("/api/{kind}/{org}/{name}/refs", name="refs")
    async def refs(request: Request, kind: str, org: str, name: str):
        repo = find(request, kind, f"{org}/{name}")

        def listed(names: dict[str, str], prefix: str):
            return [
                {"name": n, "ref": prefix + n, "targetCommit": oid}
                for n, oid in names.items()
                if not n.startswith("refs/")
            ]

        tags, branches = listed(repo.tags, "refs/tags/"), listed(repo.refs, "refs/heads/")
        return {"branches": branches, "tags": tags, "converts": [], "pullRequests": []}

    @api.post("/api/{kind}/{org}/{name}/branch/{branch:path}", name="branch")
    async def branch(request: Request, kind: str, org: str, name: str, branch: str):
        repo = find(request, kind, f"{org}/{name}", write=True)
        if branch in repo.refs:
            raise HubError(409, f"Reference refs/heads/{branch} already exists")
        start = (await request.json()).get("startingPoint", "main")
        repo.refs[branch] = repo.resolve(start)
        return {}

    @api.post("/api/{kind}/{org}/{name}/tag/{revision:path}", name="tag")
    async def tag(request: Request, kind: str, org: str, name: str, revision: str):
        repo = find(request, kind, f"{org}/{name}", write=True)
        asked = (await request.json())["tag"]
        if asked in repo.tags:
            raise HubError(409, f"Tag reference exists already: {asked}")
        repo.tags[asked] = repo.resolve(revision)
        return {}

    @api.get("/api/{kind}/{org}/{name}/tree/{revision:path}", name="tree")
    async def tree(request: Request, kind: str, org: str, name: str, revision: str):
        repo = find(request, kind, f"{org}/{name}")
        return [b.described(p) for p, b in repo.commits[repo.resolve(revision)].items()]

    @api.post("/api/{kind}/{org}/{name}/paths-info/{revision:path}", name="paths-info")
    async def paths_info(request: Request, kind: str, org: str, name: str, revision: str):
        repo = find(request, kind, f"{org}/{name}")
        files = repo.commits[repo.resolve(revision)]
        asked = (await request.form()).getlist("paths")
        return [files[str(p)].described(str(p)) for p in asked if p in files]

    @api.post("/api/{kind}/{org}/{name}/preupload/{revision:path}", name="preupload")
    async def preupload(request: Request, kind: str, org: str, name: str, revision: str):
        opens_pr = request.query_params.get("create_pr") == "1"
        repo = find(request, kind, f"{org}/{name}", write=not opens_pr)
        files = repo.commits[repo.resolve(revision)]
        answer = []
        for asked in (await request.json())["files"]:
            path, sample = asked["path"], base64.b64decode(asked["sample"])
            large = path.endswith(".safetensors") or _is_binary(sample)
            entry = {"path": path, "uploadMode": "lfs" if large else "regular"}
            if path in files:
                blob = files[path]
                entry["oid"] = blob.sha256 if blob.large else blob.git_oid
            answer.append({**entry, "shouldIgnore": False})
        return {"files": answer}

    @api.post("/api/{kind}/{org}/{name}/commit/{revision:path}", name="commit")
    async def commit(request: Request, kind: str, org: str, name: str, revision: str):
        opens_pr = request.query_params.get("create_pr") == "1"
        repo = find(request, kind, f"{org}/{name}", write=not opens_pr)
        parent = repo.resolve(revision)
        files = dict(repo.commits[parent])
        header: dict[str, Any] = {}
        for line in (await request.body()).splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "header":
                header = value
            elif item["key"] == "file":
                files[value["path"]] = Blob(base64.b64decode(value["content"]), False)
            elif item["key"] == "lfsFile":
                if value["oid"] not in hub.storage.objects:
                    raise HubError(400, f"LFS pointer pointed to a missing file: {value['path']}")
                files[value["path"]] = Blob(hub.storage.objects[value["oid"]], True)
            elif item["key"] == "deletedFile":
                del files[value["path"]]
            else:
                raise HubError(400, f"unknown key {item['key']}")
        if header.get("parentCommit", parent) != parent:
            raise HubError(412, "A commit has happened since. Please refresh and try again.")
        ref, pull = revision, None
        if opens_pr:
            ref = f"refs/pr/{1 + sum(r.startswith('refs/pr/') for r in repo.refs)}"
            pull = f"{hub.endpoint}/{repo.id}/discussions/{ref.rpartition('/')[2]}"
        oid = repo.commit(ref, files, header["summary"])
        url = f"{hub.endpoint}/{repo.id}/commit/{oid}"
        return {"success": True, "commitOid": oid, "commitUrl": url, "pullRequestUrl": pull}

    async def resolve(request: Request, rest: str, org: str, name: str, kind: str = "models"):
        repo = find(request, kind, f"{org}/{name}")
        # A revision may hold slashes (refs/pr/1): the longest that is one is meant.
        known = [*repo.refs, *repo.tags, *repo.commits]
        fitting = [r for r in known if rest.startswith(r + "/")]
        revision = max(fitting, key=len, default=rest.partition("/")[0])
        oid, path = repo.resolve(revision), rest.removeprefix(revision + "/")
        headers = {"X-Repo-Commit": oid}
        blob = repo.commits[oid].get(path)
        if blob is None:
            error = HubError(404, "Entry not found", "EntryNotFound")
            answer = _refuse(request, error)
            answer.headers.update(headers)
            return answer
        headers["X-Linked-Size"] = str(len(blob.content))
        etag = blob.sha256 if blob.large else blob.git_oid
        headers["X-Linked-ETag"] = f'"{etag}"'
        if blob.large:
            # Another host, as on the real Hub: the client must not send its token there.
            place = hub.endpoint.replace("127.0.0.1", "localhost")
            headers |= hub.storage.xet_headers(blob.sha256, f"{hub.endpoint}/api/{kind}/{repo.id}")
            return RedirectResponse(f"{place}/cdn/{blob.sha256}", 302, headers=headers)
        if "resolve-cache" not in request.url.path:
            place = f"/api/resolve-cache/{kind}/{repo.id}/{oid}/{path}"
            return RedirectResponse(place, 307, headers=headers)
        return Response(blob.content, headers={**headers, "ETag": f'"{etag}"'})

    for place in (
        "/{org}/{name}/resolve/{rest:path}",
        "/{kind}/{org}/{name}/resolve/{rest:path}",
        "/api/resolve-cache/{kind}/{org}/{name}/{rest:path}",
    ):
        api.api_route(place, methods=["GET", "HEAD"], name="resolve")(resolve)
