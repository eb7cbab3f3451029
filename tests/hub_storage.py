"""The large files of the Hub's double: LFS for 1.x, Xet for 2.x, and a CDN.

huggingface_hub 2.x with hf_xet uploads every large file by Xet, or by LFS if HF_HUB_DISABLE_XET=1.
1.16 asks the LFS endpoint which one to use.
"""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING, Any

import lz4.frame
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

if TYPE_CHECKING:
    from tests.hub_double import Hub

PART = 16 * 1024
"""Larger files are uploaded in parts of this size. The real Hub does so above 5 GB."""

XET_TOKEN = "xet-of-the-double"
END = b"\xff" * 32


def hash_text(raw: bytes) -> str:
    """Return a hash as Xet writes it: four little-endian numbers."""
    return "".join(f"{number:016x}" for number in struct.unpack("<4Q", raw))


def xorb_chunks(xorb: bytes) -> tuple[list[bytes], list[int]]:
    """Return the unpacked chunks of a serialised xorb, and the offsets of their ends and starts."""
    chunks, starts, at = [], [0], 0
    while at + 8 <= len(xorb) and xorb[at] == 0:
        packed, scheme = int.from_bytes(xorb[at + 1 : at + 4], "little"), xorb[at + 4]
        size = int.from_bytes(xorb[at + 5 : at + 8], "little")
        data = xorb[at + 8 : at + 8 + packed]
        if scheme:
            data = lz4.frame.decompress(data)
        if scheme == 2:  # grouped: bytes 0, 4, 8, ..., then 1, 5, 9, ...
            plain, taken = bytearray(size), 0
            for group in range(4):
                count = len(range(group, size, 4))
                plain[group::4] = data[taken : taken + count]
                taken += count
            data = bytes(plain)
        assert len(data) == size, "a chunk has another size than announced"
        chunks.append(data)
        at += 8 + packed
        starts.append(at)
    return chunks, starts


def shard_files(shard: bytes) -> list[dict[str, Any]]:
    """Return the files of a shard: hash, SHA-256, and terms (xorb, first chunk, end)."""
    files, at = [], 48
    while shard[at : at + 32] != END:
        flags, count = struct.unpack("<II", shard[at + 32 : at + 40])
        file: dict[str, Any] = {"hash": hash_text(shard[at : at + 32]), "terms": []}
        at += 48
        for _ in range(count):
            size, first, end = struct.unpack("<III", shard[at + 36 : at + 48])
            file["terms"].append((hash_text(shard[at : at + 32]), first, end, size))
            at += 48
        at += 48 * count if flags >> 31 else 0  # verification entries
        if flags >> 30 & 1:
            file["sha256"] = hash_text(shard[at : at + 32])
            at += 48
        files.append(file)
    return files


class HubStorage:
    """Large files by their SHA-256, and the routes for uploads and downloads."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.objects: dict[str, bytes] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.xorbs: dict[str, bytes] = {}
        self.xet_files: dict[str, dict[str, Any]] = {}

    def xet_headers(self, sha256: str, repo: str) -> dict[str, str]:
        """Return the headers that tell a client to download by Xet."""
        for file in self.xet_files.values():
            if file["sha256"] == sha256:
                link = f'<{repo}/xet-read-token/main>; rel="xet-auth"'
                return {"X-Xet-Hash": file["hash"], "Link": link}
        return {}

    def add_routes(self, api: FastAPI) -> None:
        """Add the routes to the app."""
        self._add_lfs(api)
        self._add_xet(api)

        @api.api_route("/cdn/{sha256}", methods=["GET", "HEAD"], name="cdn")
        async def cdn(request: Request, sha256: str):
            content, total = self.objects[sha256], len(self.objects[sha256])
            asked = request.headers.get("range", "")
            if not asked.startswith("bytes="):
                return Response(content, media_type="application/octet-stream")
            first, _, last = asked.removeprefix("bytes=").partition("-")
            piece = content[int(first) : int(last) + 1 if last else total]
            spot = f"bytes {first}-{int(first) + len(piece) - 1}/{total}"
            return Response(piece, 206, headers={"Content-Range": spot})

    def _add_lfs(self, api: FastAPI) -> None:
        @api.post("/{org}/{name}.git/info/lfs/objects/batch", name="lfs-batch")
        @api.post("/{kind}/{org}/{name}.git/info/lfs/objects/batch", name="lfs-batch")
        async def batch(request: Request, org: str, name: str, kind: str = "models"):
            self.hub.may(request, self.hub.repos.get((kind, f"{org}/{name}")), write=True)
            answer = []
            for asked in (await request.json())["objects"]:
                oid, size = asked["oid"], asked["size"]
                entry = {"oid": oid, "size": size}
                if oid not in self.objects:
                    place = f"{self.hub.endpoint}/lfs/{oid}"
                    upload: dict[str, Any] = {"href": place, "header": {}}
                    if size > PART:
                        numbers = range(1, -(-size // PART) + 1)
                        upload["header"] = {"chunk_size": str(PART)}
                        upload["header"] |= {str(n): f"{place}/{n}" for n in numbers}
                    verify = {"href": f"{place}/verify", "header": {}}
                    entry["actions"] = {"upload": upload, "verify": verify}
                answer.append(entry)
            return {"transfer": "multipart", "objects": answer}

        @api.put("/lfs/{oid}", name="lfs-put")
        async def put(request: Request, oid: str):
            self._keep(oid, await request.body())
            return Response()

        @api.put("/lfs/{oid}/{part}", name="lfs-put")
        async def put_part(request: Request, oid: str, part: int):
            content = await request.body()
            self.parts.setdefault(oid, {})[part] = content
            return Response(headers={"ETag": hashlib.md5(content).hexdigest()})

        @api.post("/lfs/{oid}", name="lfs-complete")
        async def complete(request: Request, oid: str):
            asked = await request.json()
            parts = self.parts.pop(oid)
            assert [part["partNumber"] for part in asked["parts"]] == sorted(parts)
            self._keep(oid, b"".join(parts[number] for number in sorted(parts)))
            return {}

        @api.post("/lfs/{oid}/verify", name="lfs-verify")
        async def verify(request: Request, oid: str):
            asked = await request.json()
            return Response(status_code=200 if len(self.objects[oid]) == asked["size"] else 400)

    def _keep(self, sha256: str, content: bytes) -> None:
        assert hashlib.sha256(content).hexdigest() == sha256, "not the announced file"
        self.objects[sha256] = content

    def _add_xet(self, api: FastAPI) -> None:
        @api.get("/api/{kind}/{org}/{name}/xet-{right}-token/{revision:path}", name="xet-token")
        async def xet_token(request: Request, kind: str, org: str, name: str, right: str):
            repo = self.hub.repos.get((kind, f"{org}/{name}"))
            pull = request.query_params.get("create_pr") == "1"
            self.hub.may(request, repo, write=right == "write" and not pull)
            place = f"{self.hub.endpoint}/cas"
            body = {"casUrl": place, "exp": 9_999_999_999, "accessToken": XET_TOKEN}
            # Python reads the headers, hf_xet the body.
            headers = {"X-Xet-Cas-Url": place, "X-Xet-Access-Token": XET_TOKEN}
            return JSONResponse(body, headers={**headers, "X-Xet-Token-Expiration": "9999999999"})

        @api.post("/cas/v1/xorbs/default/{xorb}", name="xorb")
        async def put_xorb(request: Request, xorb: str):
            known = xorb in self.xorbs
            self.xorbs[xorb] = await request.body()
            return {"was_inserted": not known}

        @api.post("/cas/v1/shards", name="shard")
        async def put_shard(request: Request):
            for file in shard_files(await request.body()):
                content = b""
                for xorb, first, end, size in file["terms"]:
                    piece = b"".join(xorb_chunks(self.xorbs[xorb])[0][first:end])
                    assert len(piece) == size, "a term has another size than announced"
                    content += piece
                self.xet_files[file["hash"]] = file
                self._keep(file["sha256"], content)
            return {"result": 1}

        @api.get("/cas/v1/reconstructions/{file}", name="reconstruction")
        async def reconstruct(request: Request, file: str):
            terms, fetch = [], {}
            for xorb, first, end, size in self.xet_files[file]["terms"]:
                span = {"start": first, "end": end}
                terms.append({"hash": xorb, "unpacked_length": size, "range": span})
                starts = xorb_chunks(self.xorbs[xorb])[1]
                urls = {"start": starts[first], "end": starts[end] - 1}
                url = f"{self.hub.endpoint}/cas/data/{xorb}"
                fetch.setdefault(xorb, []).append({"range": span, "url": url, "url_range": urls})
            return {"offset_into_first_range": 0, "terms": terms, "fetch_info": fetch}

        @api.get("/cas/data/{xorb}", name="cas-data")
        async def data(request: Request, xorb: str):
            first, _, last = request.headers["range"].removeprefix("bytes=").partition("-")
            content = self.xorbs[xorb][int(first) : int(last) + 1]
            spot = f"bytes {first}-{last}/{len(self.xorbs[xorb])}"
            return Response(content, 206, headers={"Content-Range": spot})
