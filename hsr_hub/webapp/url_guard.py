"""Images that are given by their address: which hosts are allowed, and limits on the download.

Gradio downloads them before it calls a handler, and holds each one in memory.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from contextvars import ContextVar
from typing import cast

import gradio as gr
import httpx
import safehttpx
from gradio import processing_utils

from hsr_hub.webapp.limits import (
    DOWNLOAD_SECONDS,
    MAX_DOWNLOADS,
    MAX_UPLOAD_MEGABYTES,
    MAX_WAITING_DOWNLOADS,
)

Reserve = Callable[[int, str], object]

caller: ContextVar[str] = ContextVar("caller", default="")
"""Network address of the visitor whose event is processed; `gradio_guards` sets it."""


def guard(reserve: Reserve = lambda size, address: None) -> None:
    """Make Gradio download within these limits, wherever an address is sent to.

    Args:
        reserve: Called with the bytes that are about to be stored, and the visitor's network
            address. Raises if there is no room.
    """
    processing_utils.async_transport = LimitedTransport(reserve)  # pyright: ignore[reportAttributeAccessIssue]


class LimitedTransport(httpx.AsyncBaseTransport):
    """Downloads files up to the size of an upload, and only from public hosts."""

    def __init__(self, reserve: Reserve = lambda size, address: None) -> None:
        self._slots, self._reserve = asyncio.Semaphore(MAX_DOWNLOADS), reserve
        self._requests = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the whole response, or a redirect, for which httpx calls this again.

        Raises:
            gr.Error: The download failed. The message is for the caller who sent the address.
        """
        address = str(request.url)
        self._requests += 1
        try:
            if self._requests > MAX_DOWNLOADS + MAX_WAITING_DOWNLOADS:
                raise ValueError("too many others are being fetched")
            return await asyncio.wait_for(self._in_turn(request), DOWNLOAD_SECONDS)
        except asyncio.TimeoutError:
            reason = f"it took more than {DOWNLOAD_SECONDS} seconds"
        except (httpx.HTTPError, ValueError, OSError) as error:
            reason = str(error) or type(error).__name__
        finally:
            self._requests -= 1
        raise gr.Error(
            f"{address} could not be fetched: {reason}. Send the file itself.",
            title="Cannot do this",
            print_exception=False,
        )

    async def _in_turn(self, request: httpx.Request) -> httpx.Response:
        async with self._slots:
            return await _fetch(request, self._reserve)


NOT_PUBLIC = [
    ipaddress.ip_network(network)
    for network in ("192.88.99.0/24", "2002::/16", "2001::/23", "64:ff9b::/96", "64:ff9b:1::/48")
]
"""Networks that `is_global` accepts, but whose addresses stand for others, or for none."""
GLOBAL_V6 = ipaddress.ip_network("2000::/3")


def is_public(address: str) -> bool:
    """Return whether an IP address is reachable from everywhere, and so not in a local network."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        elif ip not in GLOBAL_V6:
            return False
    if not ip.is_global or ip.is_multicast:
        return False
    return not any(ip.version == network.version and ip in network for network in NOT_PUBLIC)


async def public_address(host: str) -> str:
    """Return the IP address of a host.

    Raises:
        ValueError: There is none, or one of them is not public.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses or not all(map(is_public, addresses)):
        raise ValueError(f"{host} is not a public host")
    return addresses[0]


async def _fetch(request: httpx.Request, reserve: Reserve) -> httpx.Response:
    # A copy, because the transport replaces the host name with its address.
    copy = httpx.Request("GET", request.url, headers=request.headers)
    copy.headers["Accept-Encoding"] = "identity"
    address = await public_address(request.url.host)
    async with safehttpx.AsyncSecureTransport(address) as transport:
        # safehttpx declares another type.
        response = cast(httpx.Response, await transport.handle_async_request(copy))
        if response.has_redirect_location:
            return httpx.Response(response.status_code, headers=response.headers)
        if response.status_code != 200:
            raise ValueError(f"the answer was {response.status_code}")
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise ValueError("it comes packed, and could be of any size")
        content = bytearray()
        async for part in response.aiter_raw():
            content += part
            reserve(len(part), caller.get())
            if len(content) > MAX_UPLOAD_MEGABYTES * 2**20:
                raise ValueError(f"it has more than {MAX_UPLOAD_MEGABYTES} MB")
        return httpx.Response(200, headers=response.headers, content=bytes(content))
