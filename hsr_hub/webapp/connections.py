"""Which callers still listen for their results."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import gradio as gr
from gradio.context import LocalContext

from hsr_hub.webapp.device_queue import Visitor
from hsr_hub.webapp.limits import HANG_UP_SECONDS

MCP_CALL = b"x-hsr-mcp-call"
"""Header that names a call of MCP. `middleware.Gate` sets it, and refuses it from others."""


@dataclass(frozen=True)
class Caller:
    """Who sent a request, and since when."""

    visitor: Visitor
    event: str = ""
    """Gradio's id of the event. A program listens for it instead of for its session."""
    since: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, request: gr.Request) -> Caller | None:
        """Return the caller of a handler; None if it was not called over HTTP."""
        client = getattr(request, "client", None)
        if client is None:
            return None
        call = request.headers.get(MCP_CALL.decode())
        if call:  # all calls of MCP have the same session
            return cls(Visitor(client.host, call), call)
        visitor = Visitor(client.host, str(request.session_hash))
        return cls(visitor, LocalContext.event_id.get(None) or "")


def network_of(address: str) -> str:
    """Return what stands for a visitor's network address in limits and queues.

    Of IPv6 it is the network, because a visitor has 2^64 addresses in it.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, 64), strict=False).network_address)


def address_of(caller: Caller | None) -> str:
    """Return the network address of a caller; "" if there is none."""
    return caller.visitor.address if caller else ""


class Connections:
    """The open streams of events, by the session or the event that they are for."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()
        self._closed: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def listening(self, key: str) -> Iterator[None]:
        """Register a stream for the time of the block."""
        with self._lock:
            self._open[key] += 1
        try:
            yield
        finally:
            now = time.monotonic()
            with self._lock:
                self._open[key] -= 1
                if not self._open[key]:
                    del self._open[key]
                    self._closed[key] = now
                old = [k for k, at in self._closed.items() if now - at > HANG_UP_SECONDS]
                for outdated in old:
                    del self._closed[outdated]

    def has(self, caller: Caller) -> bool:
        """Return whether a caller listens, or did so or sent the request a moment ago."""
        keys = {caller.visitor.session, caller.event}
        with self._lock:
            if any(self._open[key] for key in keys if key in self._open):
                return True
            last = max([caller.since, *(self._closed.get(key, 0) for key in keys)])
        return time.monotonic() - last < HANG_UP_SECONDS
