"""How the page is served: the gate, proxies, connections, and a check that the guards sit.

Environment variables:

- HSR_ALLOWED_HOSTS: host names, separated by commas, under which the page may be called besides
  those of a local start. "*" allows any. A page that is bound to other addresses than this
  machine's own allows any by default.
- FORWARDED_ALLOW_IPS: addresses or networks of proxies, separated by commas, whose X-Forwarded
  headers are believed. Each proxy appends the address of its own peer, so the visitor's is the last
  one that is not a proxy's. A visitor can send others before it. On a Hugging Face Space, private
  addresses are proxies by default. Elsewhere no peer is believed. "*" believes any peer, and the
  first address, which is safe only behind a proxy that drops what visitors send.
- HSR_MAX_DISK_GB: gigabytes for all uploads and results.
- HSR_KEEP_MINUTES: minutes after which they are removed.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import ipaddress
import logging
import os
import sys
import warnings
from collections.abc import Callable, Mapping, MutableMapping
from functools import partial
from itertools import zip_longest
from typing import Any, NamedTuple, NoReturn

import gradio as gr
import uvicorn.config
from gradio import http_server, processing_utils
from gradio.data_classes import FileData
from starlette.middleware import Middleware
from uvicorn.protocols.http.h11_impl import H11Protocol

from hsr_hub.images import ImageWarning
from hsr_hub.webapp import gradio_guards, url_guard
from hsr_hub.webapp.connections import Connections, network_of
from hsr_hub.webapp.limits import (
    IDLE_SECONDS,
    KEEP_SECONDS,
    MAX_CONNECTIONS,
    MAX_CONNECTIONS_PER_ADDRESS,
    MAX_DISK_BYTES,
    MAX_FIELDS,
    MAX_LISTED_FILES,
    MAX_TEXT,
    MIN_READ_BYTES,
)
from hsr_hub.webapp.middleware import LOCAL_HOSTS, Gate, LogLimit, Refused
from hsr_hub.webapp.storage import Disk, is_below

if sys.platform == "win32":
    resource = None
else:
    import resource

PROXIES = "FORWARDED_ALLOW_IPS"

SPACE_PROXIES = (
    "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,169.254.0.0/16,127.0.0.0/8,"
    "::1,fc00::/7,fe80::/10"
)
"""The proxies in front of a Space have private addresses, and no visitor has one."""

LOG_TEXT = 500
"""Characters of a message in the log."""

OPEN_FILES = 4 * MAX_CONNECTIONS
"""Descriptors that are asked for. A connection that gets a file has two."""


def disk_budget(environment: Mapping[str, str]) -> int:
    """Return the bytes that all files may have.

    Raises:
        SystemExit: HSR_MAX_DISK_GB is not a positive number.
    """
    return int(_positive(environment, "HSR_MAX_DISK_GB", MAX_DISK_BYTES / 2**30) * 2**30)


def keep_seconds(environment: Mapping[str, str]) -> float:
    """Return the seconds after which files are removed.

    Raises:
        SystemExit: HSR_KEEP_MINUTES is not a positive number.
    """
    return _positive(environment, "HSR_KEEP_MINUTES", KEEP_SECONDS / 60) * 60


def _positive(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name, "")
    if not text:
        return default
    with contextlib.suppress(ValueError):
        if 1e-6 < (value := float(text)) < 1e9:
            return value
    raise SystemExit(f"{name} must be a positive number, not {text!r}")


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
    default = SPACE_PROXIES if environment.get("SPACE_ID") else ""
    proxies = environment.get(PROXIES, default)
    environment[PROXIES] = ""
    trusts = _trusts(proxies)
    check = partial(_check_event, {} if app is None else app.fns, disk)
    LimitedProtocol.trusts_proxy = staticmethod(trusts)
    return [Middleware(Gate, connections, disk, allowed_hosts(environment), trusts, check, proxies)]


def _check_event(functions: Mapping[int, Any], disk: Disk, body: dict[str, Any], name: str) -> None:
    """Raise if the JSON of an event names no function, or has wrong values.

    Gradio prints a stack trace for wrong types, and keeps the last value of each component for each
    session, whatever it is.

    Args:
        functions: Gradio's functions by their index.
        disk: The folder of this process.
        body: The JSON.
        name: Name of the endpoint; "" if the JSON has the function's index.

    Raises:
        Refused: It has another number of values, one of another type or size, or a file that was
            not uploaded.
    """
    index, values = body.get("fn_index"), body.get("data")
    if not isinstance(values, list):
        raise Refused(422, "data must be a list")
    if body.get("batched"):
        raise Refused(422, "batched must be false")
    _check_files(disk, [values, body.get("event_data")])
    if index is None:  # an endpoint, which Gradio finds by its name
        function = next((f for f in functions.values() if name and f.api_name == name), None)
    else:
        known = isinstance(index, int) and not isinstance(index, bool) and index in functions
        if not known or functions[index].fn is None:
            raise Refused(404, "there is no such function")
        function = functions[index]
    inputs = [] if function is None else function.inputs
    if index is not None and len(values) != len(inputs):
        raise Refused(422, f"data must have {len(inputs)} values")
    for number, (component, value) in enumerate(zip_longest(inputs, values)):
        if not _fits(component, value):
            raise Refused(422, f"value {number + 1} of data has the wrong type, or is too large")


def _fits(component: Any, value: Any) -> bool:
    """Return whether a value is one that the browser sends for a component.

    Args:
        component: Of Gradio; None if it is not known.
        value: Can be anything.
    """
    kind = "" if component is None else component.get_block_name()
    if kind == "file":
        return value is None or (
            isinstance(value, list)
            and len(value) <= MAX_LISTED_FILES
            and all(isinstance(file, dict) and _is_flat(file) for file in value)
        )
    if kind == "dataset":  # the number of an example
        samples = getattr(component, "raw_samples", ())
        return type(value) is int and 0 <= value < len(samples)
    if isinstance(value, dict):
        return kind in {"image", "browserstate", ""} and _is_flat(value)
    return value is None or (kind not in {"image", "browserstate"} and _is_scalar(value))


def _is_flat(value: dict[str, Any]) -> bool:
    """Return whether data is as small as Gradio's for a file, which has another object in it."""
    return len(value) <= MAX_FIELDS and all(
        _is_scalar(part)
        or (isinstance(part, dict) and len(part) <= 4 and all(map(_is_scalar, part.values())))
        for part in value.values()
    )


def _is_scalar(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_TEXT
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) < 1 << 64
    return value is None or isinstance(value, (bool, float))


def _check_files(disk: Disk, values: list[Any]) -> None:
    """Raise if nested data has a file that is neither an upload nor a web address.

    Gradio refuses it too, but without a message, and only after it has waited for its turn.
    """
    left: list[Any] = [values]
    while left:
        value = left.pop()
        if isinstance(value, list):
            left += value
        elif isinstance(value, dict):
            left += value.values()
            if "meta" in value and "path" in value and not _is_file(disk, value):
                raise Refused(422, "there is no image: send a file or its address")


def _is_file(disk: Disk, value: dict[str, Any]) -> bool:
    try:
        file = FileData.model_validate(value)
    except ValueError:
        return False
    address = file.path.startswith(("http://", "https://"))
    return address or is_below(disk.root, file.path)


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


class _Look(NamedTuple):
    """State of a connection."""

    cycle: object
    written: int
    waiting: int


class LimitedProtocol(H11Protocol):
    """Uvicorn's HTTP, with limits: connections that send or read nothing, or are too many, end.

    Its other implementation, httptools, does not limit the size of headers.
    """

    trusts_proxy: Callable[[str], bool] = staticmethod(lambda _: False)
    connections: set[Any]
    network = ""
    """What stands for the peer's network address. To find it for all connections with each new one
    would take so long that a visitor who opens many holds up all others."""
    _written = 0

    def connection_made(self, transport: Any) -> None:
        """Register a connection, and look at it from time to time."""
        super().connection_made(transport)
        peer = self.client[0] if self.client else ""
        self.network = network_of(peer)
        own = sum(other.network == self.network for other in self.connections)
        too_many = own > MAX_CONNECTIONS_PER_ADDRESS and not self.trusts_proxy(peer)
        if too_many or len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
            return
        self._look_later(transport, None)

    def resume_writing(self) -> None:
        """Count how often the peer has read what waited for it."""
        self._written += 1
        super().resume_writing()

    def _should_upgrade(self) -> bool:
        """Refuse WebSockets without a message in the log."""
        return False

    def _look_later(self, transport: asyncio.Transport, last: _Look | None) -> None:
        self.loop.call_later(IDLE_SECONDS, self._look, transport, last)

    def _look(self, transport: asyncio.Transport, last: _Look | None) -> None:
        """Close a connection on which nothing has happened since the last look.

        An answer may take its time. But if it waits for the peer to read, the peer must read
        `MIN_READ_BYTES` between two looks.
        """
        if transport.is_closing() and not transport.get_write_buffer_size():
            return
        idle = self.cycle is None or self.cycle.response_complete
        waiting = transport.get_write_buffer_size()
        now = _Look(self.cycle, self._written, waiting) if idle or waiting else None
        if now and last and now[:2] == last[:2] and last.waiting - waiting < MIN_READ_BYTES:
            if waiting:
                transport.abort()
            else:
                transport.close()
            return
        self._look_later(transport, now)


async def _no_app(scope: Any, receive: Any, send: Any) -> None:
    """Answer nothing. It is never called."""


def guard() -> None:
    """Make uvicorn limit its connections, and keep hostile clients out of the log.

    Raises:
        RuntimeError: Gradio or uvicorn has changed, and a guard would not sit.
    """
    _raise_open_files()
    gradio_guards.install()
    uvicorn.config.HTTP_PROTOCOLS["auto"] = f"{__name__}:{LimitedProtocol.__name__}"
    config = uvicorn.Config(app=_no_app, log_config=None)
    config.load()
    guards = {
        "the limit of connections": config.http_protocol_class is LimitedProtocol,
        **gradio_guards.guards(),
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
    logging.getLogger("uvicorn.error").addFilter(LimitedLog())
    others = logging.StreamHandler()  # of libraries: the MCP server describes each invalid message
    others.addFilter(LimitedLog())
    logging.basicConfig(handlers=[others], format=f"%(levelname)s:%(name)s:%(message).{LOG_TEXT}s")
    warnings.simplefilter("ignore", ImageWarning)  # visitors read them as notes


def run(main: Callable[[], None]) -> NoReturn:
    """Call a function, remove what is left, and end the process without waiting for its threads.

    A thread that computes would otherwise go on while Python ends, and abort the process.
    """
    code: object = 0
    try:
        main()
    except SystemExit as error:
        code = error.code
    if isinstance(code, str):
        print(code, file=sys.stderr)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _raise_open_files() -> None:
    """Allow this process enough descriptors for `MAX_CONNECTIONS`, as far as the system does."""
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class LimitedLog(logging.Filter):
    """Let few of the messages through that clients cause."""

    def __init__(self) -> None:
        super().__init__()
        self._limit = LogLimit()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a message is logged."""
        if "Invalid HTTP request" in record.getMessage():
            return False
        return record.levelno < logging.WARNING or self._limit.allows()
