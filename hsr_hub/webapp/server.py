"""How the page is served: the gate, proxies, connections, and a check that the guards sit.

Environment variables:

- HSR_ALLOWED_HOSTS: host names, separated by commas, under which the page may be called besides
  those of a local start. "*" allows any. A page that is bound to other addresses than this
  machine's own allows any by default.
- FORWARDED_ALLOW_IPS: addresses or networks of proxies, separated by commas, whose X-Forwarded
  headers are believed. "*" believes any peer. On a Hugging Face Space, which can be reached through
  its proxy only, this is the default. Elsewhere no peer is believed.
- HSR_MAX_DISK_GB: gigabytes for all uploads and results.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from functools import partial
from typing import Any

import gradio as gr
import uvicorn.config
from gradio import http_server, processing_utils, queueing, routes
from starlette.middleware import Middleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from hsr_hub.webapp import url_guard
from hsr_hub.webapp.connections import Connections
from hsr_hub.webapp.limits import IDLE_SECONDS, MAX_CONNECTIONS, MAX_DISK_BYTES
from hsr_hub.webapp.middleware import LOCAL_HOSTS, Gate, LogLimit, Refused
from hsr_hub.webapp.storage import Disk

PROXIES = "FORWARDED_ALLOW_IPS"


def disk_budget(environment: Mapping[str, str]) -> int:
    """Return the bytes that all files may have.

    Raises:
        SystemExit: HSR_MAX_DISK_GB is not a positive number.
    """
    text = environment.get("HSR_MAX_DISK_GB", "")
    if not text:
        return MAX_DISK_BYTES
    with contextlib.suppress(ValueError, OverflowError):
        if (budget := int(float(text) * 2**30)) > 0:
            return budget
    raise SystemExit(f"HSR_MAX_DISK_GB must be a positive number, not {text!r}")


def middleware(
    environment: MutableMapping[str, str],
    connections: Connections,
    disk: Disk,
    app: gr.Blocks | None = None,
) -> list[Middleware]:
    """Return what Gradio's app is wrapped in.

    Args:
        environment: Host names and proxies. Afterwards it tells uvicorn to believe no proxy,
            because the middleware does that itself.
        connections: Gets the open streams.
        disk: The folder of this process.
        app: The page, whose events are checked.
    """
    default = "*" if environment.get("SPACE_ID") else ""
    proxies = environment.get(PROXIES, default)
    environment[PROXIES] = ""
    trusts, check = _trusts(proxies), partial(_check_event, {} if app is None else app.fns)
    gate = Middleware(Gate, connections, disk, allowed_hosts(environment), trusts, check)
    return [gate, Middleware(ProxyHeadersMiddleware, trusted_hosts=proxies)]


def _check_event(functions: Mapping[int, Any], body: dict[str, Any]) -> None:
    """Raise if the JSON of an event names no function, or has another number of values.

    Raises:
        Refused: It does.
    """
    index, values = body.get("fn_index"), body.get("data")
    if not isinstance(values, list):
        raise Refused(422, "data must be a list")
    if index is None:  # an endpoint, which Gradio finds by its name
        return
    known = isinstance(index, int) and not isinstance(index, bool) and index in functions
    if not known or functions[index].fn is None:
        raise Refused(404, "there is no such function")
    if len(values) != len(functions[index].inputs):
        raise Refused(422, f"data must have {len(functions[index].inputs)} values")


def allowed_hosts(environment: Mapping[str, str]) -> set[str]:
    """Return the host names under which the page may be called; none means any.

    A page on this machine only is not called by other names, unless by a web site whose name was
    made to resolve to this machine (DNS rebinding).
    """
    named = {name.strip().lower() for name in environment.get("HSR_ALLOWED_HOSTS", "").split(",")}
    named.discard("")
    server = environment.get("GRADIO_SERVER_NAME", "127.0.0.1").lower()
    local = server == "localhost" or _is_loopback(server.strip("[]"))
    shared = environment.get("GRADIO_SHARE", "").lower() == "true"
    if "*" in named or (not named and (not local or shared)):
        return set()
    return {*named, *LOCAL_HOSTS, server}


def _is_loopback(address: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(address).is_loopback
    return False


def _trusts(proxies: str) -> Callable[[str], bool]:
    """Return whether a peer is one of the proxies."""
    networks = []
    for name in filter(None, map(str.strip, proxies.split(","))):
        if name == "*":
            return lambda _: True
        try:
            networks.append(ipaddress.ip_network(name, strict=False))
        except ValueError:
            raise SystemExit(f"{PROXIES} must hold addresses or networks, not {name!r}") from None

    def trusts(peer: str) -> bool:
        with contextlib.suppress(ValueError):
            return any(ipaddress.ip_address(peer) in network for network in networks)
        return False

    return trusts


class LimitedProtocol(AutoHTTPProtocol):  # pyright: ignore[reportGeneralTypeIssues]
    """Uvicorn's HTTP, which closes connections that send nothing or half a request, or too many."""

    connections: set[Any]
    loop: asyncio.AbstractEventLoop
    cycle: Any

    def connection_made(self, transport: Any) -> None:
        """Register a connection, and look at it from time to time."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
            return
        self._look_later(transport, None)

    def _look_later(self, transport: asyncio.Transport, last: object) -> None:
        self.loop.call_later(IDLE_SECONDS, self._look, transport, last)

    def _look(self, transport: asyncio.Transport, last: object) -> None:
        """Close a connection whose last request was answered at the last look already."""
        if transport.is_closing():
            return
        cycle = self.cycle
        idle = cycle is None or cycle.response_complete
        state = (cycle,) if idle else None
        if state is not None and state == last:
            transport.close()
            return
        self._look_later(transport, state)


async def _no_app(scope: Any, receive: Any, send: Any) -> None:
    """Answer nothing. It is never called."""


def guard() -> None:
    """Make uvicorn limit its connections, and keep hostile clients out of the log.

    Raises:
        RuntimeError: Gradio or uvicorn has changed, and a guard would not sit.
    """
    uvicorn.config.HTTP_PROTOCOLS["auto"] = f"{__name__}:{LimitedProtocol.__name__}"
    config = uvicorn.Config(app=_no_app, log_config=None)
    config.load()
    guards = {
        "the limit of connections": config.http_protocol_class is LimitedProtocol,
        "the limit of the log": all("traceback" in vars(module) for module in (queueing, routes)),
        "the server": getattr(http_server, "uvicorn", None) is uvicorn,
        "the guard of addresses": isinstance(
            getattr(processing_utils, "async_transport", None), url_guard.LimitedTransport
        ),
    }
    if missing := [name for name, sits in guards.items() if not sits]:
        raise RuntimeError(
            f"{' and '.join(missing)} cannot be installed: take versions of gradio and uvicorn "
            "that requirements.txt allows"
        )
    for module in (queueing, routes):
        setattr(module, "traceback", LimitedTraceback())  # noqa: B010
    logging.getLogger("uvicorn.error").addFilter(_is_important)


class LimitedTraceback:
    """Python's `traceback`, which prints few of them: hostile values cause one each in Gradio."""

    def __init__(self) -> None:
        self._limit = LogLimit()

    def __getattr__(self, name: str) -> Any:
        return getattr(traceback, name)

    def print_exc(self, *args: Any, **kwargs: Any) -> None:
        """Print the current exception."""
        if self._limit.allows():
            traceback.print_exc(*args, **kwargs)


def _is_important(record: logging.LogRecord) -> bool:
    return "Invalid HTTP request" not in record.getMessage()
