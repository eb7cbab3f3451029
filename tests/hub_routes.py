"""The routes of the Hub's double, except the storage of large files."""

from __future__ import annotations

import base64
import json
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import yaml
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from tests.hub_state import Blob, HubError, Repo, is_binary, refuse

if TYPE_CHECKING:
    from tests.hub_double import Hub


def _check_card(content: str, kind: str) -> list[str]:
    """Return the errors that the Hub finds in the metadata of a README."""
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


def add_routes(hub: Hub, api: FastAPI) -> None:
    """Add the routes to the app."""

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

    @api.get("/api/{kind}/{org}/{name}/auth-check", name="auth-check")
    @api.get("/api/{kind}/{org}/{name}/auth-check/write", name="auth-check")
    async def auth_check(request: Request, kind: str, org: str, name: str):
        find(request, kind, f"{org}/{name}", write=request.url.path.endswith("/write"))
        return {}

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

    @api.get("/api/{kind}/{org}/{name}/tree/{rest:path}", name="tree")
    async def tree(request: Request, kind: str, org: str, name: str, rest: str):
        repo = find(request, kind, f"{org}/{name}")
        oid, folder = repo.split(rest)
        prefix = f"{folder}/" if folder else ""
        inside = {p: b for p, b in repo.commits[oid].items() if p.startswith(prefix)}
        if not inside:
            raise HubError(404, f"{folder} does not exist on {rest}", "EntryNotFound")
        parents = {str(above) for p in inside for above in PurePosixPath(p).parents}
        folders = sorted(p for p in parents if p != "." and p.startswith(prefix))
        listed = [{"type": "directory", "path": p, "oid": "0" * 40, "size": 0} for p in folders]
        listed += [blob.described(path) for path, blob in inside.items()]
        if request.query_params.get("recursive") in {"true", "True", "1"}:
            return listed
        return [entry for entry in listed if "/" not in entry["path"].removeprefix(prefix)]

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
            large = path.endswith(".safetensors") or is_binary(sample)
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
        oid, path = repo.split(rest)
        headers = {"X-Repo-Commit": oid}
        blob = repo.commits[oid].get(path)
        if blob is None:
            error = HubError(404, "Entry not found", "EntryNotFound")
            answer = refuse(request, error)
            answer.headers.update(headers)
            return answer
        headers["X-Linked-Size"] = str(len(blob.content))
        etag = blob.sha256 if blob.large else blob.git_oid
        headers["X-Linked-ETag"] = f'"{etag}"'
        if blob.large:
            # Another host, as on the real Hub, to which the client must not send its token.
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
