"""The page's own files and head, which Gradio cannot set: icons, manifest, and link previews.

Gradio adds a page's `head` in the browser, where the programs that make link previews do not see
it, and the template of its HTML describes Gradio instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from hsr_hub.webapp import page_templates
from hsr_hub.webapp.templates import SHOWCASE
from hsr_hub.webapp.texts import first_language

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

ICONS = Path(__file__).with_name("icons")
TYPES = {".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg"}
CACHE_SECONDS = 86_400

GRADIO_META = re.compile(r'<meta\s+(?:property|name)="(?:og|twitter):[^>]*>\s*')
"""Link previews of Gradio's template. The last ones have the page's title, without a picture."""

HOST = re.compile(r"[\w.\-\[\]:]+")
"""What a host header may hold to be written into the page."""


def page_files() -> dict[str, tuple[str, bytes]]:
    """Return type and content of each file, by its path."""
    files = {
        f"/{page_templates.FILES}/{path.name}": (TYPES[path.suffix], path.read_bytes())
        for path in [*ICONS.iterdir(), *SHOWCASE.iterdir()]
        if path.suffix in TYPES
    }
    manifest = json.dumps(page_templates.manifest()).encode()
    files["/manifest.json"] = ("application/manifest+json", manifest)
    return files


class PageFiles:
    """Pure ASGI middleware. It answers with files that were read at the start, and no others."""

    def __init__(self, app: App, host: str | None = None) -> None:
        """Wrap an app.

        Args:
            app: Gradio.
            host: Public name of the server, as in `SPACE_HOST`; by default that of each request.
        """
        self.app, self.host = app, host
        self.files = page_files()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["method"] not in {"GET", "HEAD"}:
            await self.app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
        if path in self.files:
            await _send(send, *self.files[path], with_body=scope["method"] == "GET")
        elif path == "/" and scope["method"] == "GET":
            headers = dict(scope["headers"])
            language = first_language(headers.get(b"accept-language", b"").decode("latin-1"))
            await self.app(scope, receive, _NewHead(send, self._origin(scope), language))
        else:
            await self.app(scope, receive, send)

    def _origin(self, scope: Scope) -> str:
        if self.host:
            return f"https://{self.host}"
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        if not HOST.fullmatch(host):
            return ""
        return f"{scope.get('scheme', 'http')}://{host}{scope.get('root_path', '')}"


class _NewHead:
    """The `send` of the page's HTML, in which the head is replaced."""

    def __init__(self, send: Send, origin: str, language: str) -> None:
        self._send, self._origin, self._language = send, origin, language
        self._start: Message | None = None
        self._parts: list[bytes] = []

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = dict(message["headers"])
            plain = b"content-encoding" not in headers
            if plain and headers.get(b"content-type", b"").startswith(b"text/html"):
                self._start = message
                return
        if self._start is None:
            await self._send(message)
            return
        self._parts.append(message.get("body", b""))
        if message.get("more_body"):
            return
        body = self._with_head(b"".join(self._parts))
        kept = [header for header in self._start["headers"] if header[0] != b"content-length"]
        headers = [
            *kept,
            (b"content-length", b"%d" % len(body)),
            (b"vary", b"accept-language"),
        ]
        await self._send({**self._start, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    def _with_head(self, body: bytes) -> bytes:
        # The scripts hold the page's configuration, which is left as it is.
        start, script, rest = body.decode().partition("<script")
        start = start.replace('lang="en"', f'lang="{self._language}"', 1)
        start = GRADIO_META.sub("", start) + page_templates.head(self._origin)
        return f"{start}\n{script}{rest}".encode()


async def _send(send: Send, type: str, content: bytes, with_body: bool) -> None:
    headers = [
        (b"content-type", type.encode()),
        (b"content-length", b"%d" % len(content)),
        (b"cache-control", b"public, max-age=%d" % CACHE_SECONDS),
        (b"x-content-type-options", b"nosniff"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content if with_body else b""})
