"""The gate in front of Gradio: which requests get in, and how large they may be.

Gradio has many routes that this page does not use. Only the routes in `ROUTES` are answered, each
with the largest body that it needs. All others answer 404.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from hsr_hub.webapp.connections import MCP_CALL, Connections, network_of
from hsr_hub.webapp.limits import (
    BODY_SECONDS,
    FILE_OVERHEAD,
    LOG_LINES_PER_MINUTE,
    MAX_FILES,
    MAX_JSON_BYTES,
    MAX_JSON_PARTS,
    MAX_MCP_BYTES,
    MAX_MCP_CALLS,
    MAX_MCP_CALLS_PER_ADDRESS,
    MAX_SESSION_NAME,
    MAX_STREAMS_PER_ADDRESS,
    MAX_UPLOAD_BYTES,
    UPLOAD_SECONDS,
)
from hsr_hub.webapp.storage import Disk, DiskFullError, is_below

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

READ = ("GET", "HEAD", "OPTIONS")
API = "/gradio_api"
ROUTES: list[tuple[re.Pattern[str], dict[str, int]]] = [
    (re.compile(pattern), bodies)
    for pattern, bodies in [
        (r"/", dict.fromkeys(READ, 0)),
        (r"/(config|theme\.css|robots\.txt|favicon\.ico|manifest\.json)/?", dict.fromkeys(READ, 0)),
        (r"/(static|assets|svelte)/.+", dict.fromkeys(READ, 0)),
        (
            rf"{API}/(info|openapi\.json|app_id|user|token|login_check|theme\.css|startup-events)/?",
            dict.fromkeys(READ, 0),
        ),
        (
            rf"{API}/(queue/data|queue/status|upload_progress|heartbeat/[^/]{{1,{MAX_SESSION_NAME}}})",
            dict.fromkeys(READ, 0),
        ),
        (rf"{API}/file=.+", dict.fromkeys(READ, 0)),
        (rf"{API}/call/(v2/)?[^/]+/[^/]+", dict.fromkeys(READ, 0)),
        (
            rf"{API}/(queue/join|cancel|reset/?|(run|api|call|call/v2)/[^/]+/?)",
            {"POST": MAX_JSON_BYTES, "OPTIONS": 0},
        ),
        (rf"{API}/upload", {"POST": MAX_UPLOAD_BYTES, "OPTIONS": 0}),
        (
            rf"{API}/mcp(/|/http/?|/schema)?",
            {"POST": MAX_MCP_BYTES, "GET": 0, "HEAD": 0, "DELETE": 0, "OPTIONS": 0},
        ),
    ]
]

FILE = f"{API}/file="
UPLOAD = f"{API}/upload"
MCP = f"{API}/mcp"
STREAMS = re.compile(
    rf"{API}/(queue/data|upload_progress|heartbeat/[^/]+|call/(v2/)?[^/]+/[^/]+|mcp(/.*)?)"
)
STREAM = re.compile(rf"{API}/call/(?:v2/)?[^/]+/([^/]+)")
EVENT = re.compile(rf"{API}/(?:queue/join|(?:run|api|call)/(?P<name>[^/]+)/?)")
EVENT_V2 = re.compile(rf"{API}/call/v2/[^/]+/?")
"""Its values are the fields of the body itself."""
PAGES = re.compile(rf"/|{API}/info/?")
"""The page, and the description of the API with calls to copy. Ours is the page with the empty
name, and Gradio fails at others. Unless a page is named, it keeps the first description, with the
host name of its request, for everybody."""
MAX_FILE_NAME = 255
"""Bytes of a part of a path. Systems fail at longer ones."""
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
RANGE = re.compile(r"bytes=(\d{1,15}-\d{0,15}|-\d{1,15})")
# They are about one connection. Gradio's MCP server sends the caller's headers on to the page.
HOP_BY_HOP = {b"connection", b"transfer-encoding", b"te", b"upgrade", b"expect", b"keep-alive"}
FORWARDED = (b"forwarded", b"x-forwarded-", b"x-gradio-server", b"x-direct-url", b"x-real-ip")

log = logging.getLogger(__name__)


class Refused(Exception):  # noqa: N818  (an answer)
    """A request that is not let in. The message is for the caller."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Address(NamedTuple):
    """What is checked first: method, path without the prefix, and size of the body."""

    method: str
    path: str
    limit: int


Check = Callable[[dict[str, Any], str], None]


class LogLimit:
    """Lets a few messages per minute through. A client could fill the log otherwise."""

    def __init__(self, per_minute: int = LOG_LINES_PER_MINUTE) -> None:
        self._per_minute, self._minute, self._count = per_minute, 0, 0

    def allows(self) -> bool:
        """Return whether one more message may be logged."""
        minute = int(time.monotonic() // 60)
        if minute != self._minute:
            self._minute, self._count = minute, 0
        self._count += 1
        return self._count <= self._per_minute


class Gate:
    """Pure ASGI middleware. It refuses requests before Gradio reads them."""

    def __init__(
        self,
        app: App,
        connections: Connections,
        disk: Disk,
        hosts: Iterable[str] = (),
        trusts_proxy: Callable[[str], bool] = lambda _: False,
        check_event: Check = lambda body, name: None,
        proxies: str = "",
    ) -> None:
        """Wrap an app.

        Args:
            app: Gradio.
            connections: Gets the streams that are open.
            disk: The folder of this process and its budget.
            hosts: Names under which the page may be called, in lower case. Empty: any.
            trusts_proxy: Whether the address of a peer is a proxy's, whose headers are believed.
            check_event: Raises `Refused` for the JSON of an event that Gradio could not process.
                Its second argument is the name of the endpoint, or "".
            proxies: The same proxies, as uvicorn takes them.
        """
        self.app, self.connections, self.disk = app, connections, disk
        self.hosts, self.trusts_proxy = frozenset(hosts), trusts_proxy
        self.check_event = check_event
        self._behind_proxy = ProxyHeadersMiddleware(self._answer, trusted_hosts=proxies)  # pyright: ignore[reportArgumentType]
        self._log_limit = LogLimit()
        self._streams: Counter[str] = Counter()
        self._mcp_calls: dict[str, str] = {}
        """Addresses of the callers of MCP, by the name of the call."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            if not started and message.get("status") == 500 and scope["method"] == "POST":
                raise Refused(422, "these values could not be processed")
            started = True
            await send(message)

        try:
            self._check_headers(scope)
            await self._behind_proxy(scope, receive, watched)  # pyright: ignore[reportArgumentType]
        except Refused as refused:
            if not started:
                await _send_error(send, refused.status, str(refused))
        except (ClientDisconnect, OSError):  # the client hung up, or there are no descriptors
            pass
        except Exception as error:
            if self._log_limit.allows():
                log.error("%.200r: %s: %.200s", scope["path"], type(error).__name__, error)
            if not started:
                status = 400 if scope["method"] == "POST" else 500  # Gradio fails at wrong types
                await _send_error(send, status, "this request could not be processed")

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("client"):
            scope["client"] = (network_of(scope["client"][0]), scope["client"][1])
        address = self._find(scope)
        self._check_names(scope)
        if PAGES.fullmatch(address.path):  # the last value counts
            scope["query_string"] = scope.get("query_string", b"") + b"&page="
        to_mcp = address.path.startswith(MCP)
        if not to_mcp:
            self._restore_caller(scope)
        limited = _Body(receive, address.limit)
        if address.path == UPLOAD:
            limited = _UploadBody(receive, address.limit, self.disk, scope)
        elif to_mcp:
            limited = _StoredBody(receive, address.limit, self.disk, scope)
        length = _header(scope, b"content-length")
        if length.isdigit() and int(length) > address.limit:
            raise limited.too_large()
        reader: Receive = limited
        with contextlib.ExitStack() as stack:
            if to_mcp and address.method == "POST":
                stack.enter_context(self._mcp_call(scope))
            if STREAMS.fullmatch(address.path) and address.method == "GET":
                stack.enter_context(self._stream_of(scope))
                stack.enter_context(self.connections.listening(_listener(address.path, scope)))
            if address.method == "POST" and address.path != UPLOAD:
                body = await limited.read_all()
                if to_mcp:
                    _parse(body, b"[{,")  # its JSON may be larger, so its values are counted too
                else:
                    self._check_json(address.path, _parse(body))
                reader = _replay(body, limited)
            if address.path.startswith(FILE):
                send = _while_there(Path(address.path.removeprefix(FILE)), send)
            try:
                await self.app(scope, reader, send)
            except Exception:
                if limited.refused:  # Gradio may have wrapped it
                    raise limited.refused from None
                raise

    def _check_json(self, path: str, data: dict[str, Any]) -> None:
        """Refuse the JSON of an event that Gradio could not process."""
        if found := EVENT.fullmatch(path):
            self.check_event(data, found["name"] or "")
        elif EVENT_V2.fullmatch(path):
            self.check_event({"data": list(data.values())}, "")

    def _check_headers(self, scope: Scope) -> None:
        """Check the host, and drop what only a named proxy may say."""
        host = _header(scope, b"host").lower()
        name = host.rsplit(":", 1)[0] if re.search(r":\d+$", host) else host
        if self.hosts and name not in self.hosts:
            raise Refused(400, "this page has another host name: see HSR_ALLOWED_HOSTS")
        peer = scope["client"][0] if scope.get("client") else ""
        if not self.trusts_proxy(peer):
            scope["headers"] = [h for h in scope["headers"] if not h[0].startswith(FORWARDED)]
        if not RANGE.fullmatch(_header(scope, b"range")):  # Gradio fails at others
            scope["headers"] = [h for h in scope["headers"] if h[0] != b"range"]

    def _find(self, scope: Scope) -> Address:
        """Return what a request is for.

        Raises:
            Refused: There is no such route.
        """
        path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
        too_long = any(len(part.encode()) > MAX_FILE_NAME for part in path.split("/"))
        for pattern, bodies in () if too_long else ROUTES:
            if pattern.fullmatch(path) and scope["method"] in bodies:
                if path.startswith(FILE) and not is_below(self.disk.root, path.removeprefix(FILE)):
                    break
                return Address(scope["method"], path, bodies[scope["method"]])
        raise Refused(404, "there is nothing here")

    def _check_names(self, scope: Scope) -> None:
        """Refuse long names of sessions and uploads, which Gradio keeps for a while.

        Raises:
            Refused: One is too long.
        """
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        for field in ("session_hash", "upload_id"):
            if any(len(name) > MAX_SESSION_NAME for name in query.get(field, [])):
                raise Refused(422, f"{field} must have at most {MAX_SESSION_NAME} characters")

    @contextlib.contextmanager
    def _mcp_call(self, scope: Scope) -> Iterator[None]:
        """Name a call of MCP for its time.

        Gradio's MCP server is a client of the page. It sends the headers of its caller, among them
        this name, so the page knows the caller's address, and when the caller has hung up.

        Raises:
            Refused: There are too many calls.
        """
        address = _address(scope)
        own = list(self._mcp_calls.values()).count(address)
        if own >= MAX_MCP_CALLS_PER_ADDRESS or len(self._mcp_calls) >= MAX_MCP_CALLS:
            raise Refused(429, "too many calls are being answered: try again later")
        name = secrets.token_hex(16)
        dropped = {*HOP_BY_HOP, MCP_CALL}
        kept = [header for header in scope["headers"] if header[0] not in dropped]
        scope["headers"] = [*kept, (MCP_CALL, name.encode())]
        self._mcp_calls[name] = address
        try:
            with self.connections.listening(name):
                yield
        finally:
            del self._mcp_calls[name]

    def _restore_caller(self, scope: Scope) -> None:
        """Set the address of a request that Gradio's MCP server sends for a caller.

        Raises:
            Refused: The caller has hung up.
        """
        if name := _header(scope, MCP_CALL):
            if name not in self._mcp_calls:
                raise Refused(410, "the caller has hung up")
            scope["client"] = (self._mcp_calls[name], 0)

    @contextlib.contextmanager
    def _stream_of(self, scope: Scope) -> Iterator[None]:
        """Count an open stream for its address."""
        address = _address(scope)
        if self._streams[address] >= MAX_STREAMS_PER_ADDRESS:
            raise Refused(429, f"{self._streams[address]} streams of this address are open")
        self._streams[address] += 1
        try:
            yield
        finally:
            self._streams[address] -= 1
            if not self._streams[address]:
                del self._streams[address]


class _Body:
    """The `receive` of a request, which refuses a body that is too large or too slow."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive, self.limit = receive, limit
        self._size, self._complete = 0, False
        small = limit <= MAX_JSON_BYTES
        self._deadline = time.monotonic() + (BODY_SECONDS if small else UPLOAD_SECONDS)
        self.refused: Refused | None = None

    def too_large(self) -> Refused:
        return Refused(413, f"the request is too large: it may have {self.limit} bytes")

    async def __call__(self) -> Message:
        if self._complete:  # wait for the end of the connection
            return await self._receive()
        try:
            left = min(BODY_SECONDS, self._deadline - time.monotonic())
            message = await asyncio.wait_for(self._receive(), left)
            if message["type"] == "http.request":
                self._add(message.get("body", b""))
                self._complete = not message.get("more_body", False)
            return message
        except asyncio.TimeoutError:
            refused = Refused(408, "the request was not sent completely")
        except Refused as error:
            refused = error
        self._complete, self.refused = True, refused
        raise refused

    async def read_all(self) -> bytes:
        """Return the whole body, which is small."""
        parts: list[bytes] = []
        while not self._complete:
            message = await self()
            if message["type"] == "http.disconnect":
                raise Refused(400, "the request was not sent completely")
            parts.append(message.get("body", b""))
        return b"".join(parts)

    def _add(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self.limit:
            raise self.too_large()


class _StoredBody(_Body):
    """A body that is written to the disk, which must have room."""

    def __init__(self, receive: Receive, limit: int, disk: Disk, scope: Scope) -> None:
        super().__init__(receive, limit)
        self._disk, self._address = disk, _address(scope)

    def _add(self, data: bytes) -> None:
        super()._add(data)
        self._reserve(len(data))

    def _reserve(self, size: int) -> None:
        try:
            self._disk.reserve(size, self._address)
        except DiskFullError as error:
            raise Refused(507, str(error)) from error


class _UploadBody(_StoredBody):
    """A body with files, whose number is limited."""

    def __init__(self, receive: Receive, limit: int, disk: Disk, scope: Scope) -> None:
        super().__init__(receive, limit, disk, scope)
        self._boundary = _boundary(scope)
        self._parts, self._tail = 0, b""

    def _add(self, data: bytes) -> None:
        super()._add(data)
        if not self._boundary:
            return
        text = self._tail + data
        found = text.count(self._boundary)
        self._reserve(found * FILE_OVERHEAD)
        self._parts += found
        self._tail = text[-(len(self._boundary) - 1) :]
        if self._parts > MAX_FILES + 1:  # one boundary more than parts
            raise Refused(413, f"these are too many files: send up to {MAX_FILES} at once")


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def _address(scope: Scope) -> str:
    return scope["client"][0] if scope.get("client") else ""


def _boundary(scope: Scope) -> bytes:
    # As Gradio reads it. Otherwise a header could name one boundary to it, and another one here.
    _, options = parse_options_header(_header(scope, b"content-type"))
    boundary = options.get(b"boundary", b"")
    return b"--" + boundary if boundary else b""


def _listener(path: str, scope: Scope) -> str:
    """Return the session or the event whose results a stream gets; "" for other streams."""
    if path == f"{API}/queue/data":
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        return query.get("session_hash", [""])[0]
    found = STREAM.fullmatch(path)
    return found[1] if found else ""


def _parse(body: bytes, marks: bytes = b"[{") -> dict[str, Any]:
    """Return the object of a JSON body.

    Args:
        body: The JSON.
        marks: Characters that begin a part. Parts are counted before the JSON is parsed.

    Raises:
        Refused: It is not a JSON object, has too many parts, or the name of its session is not
            valid.
    """
    if sum(map(body.count, marks)) > MAX_JSON_PARTS:
        raise Refused(413, f"the request has more than {MAX_JSON_PARTS} parts")
    try:
        data = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise Refused(400, "the request is not valid JSON") from error
    if not isinstance(data, dict):
        raise Refused(422, "the request must be a JSON object")
    session = data.get("session_hash")
    if session is not None and not (isinstance(session, str) and len(session) <= MAX_SESSION_NAME):
        raise Refused(422, f"session_hash must be text of at most {MAX_SESSION_NAME} characters")
    return data


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body that was read, and then waits for the disconnect."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


def _while_there(file: Path, send: Send) -> Send:
    """Return a `send` that ends an answer when its file is removed.

    Somebody who reads slowly would otherwise keep the space of removed files, which nothing counts.
    """

    async def checked(message: Message) -> None:
        if message.get("more_body") and not file.exists():
            raise ClientDisconnect
        await send(message)

    return checked


async def _send_error(send: Send, status: int, message: str) -> None:
    body = json.dumps({"detail": message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if status in {408, 413, 507}:
        headers.append((b"connection", b"close"))  # what was not read is not wanted
    with contextlib.suppress(OSError):
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
