"""Images that are given by their address: which hosts are allowed, and limits on the download.

Gradio downloads them before it calls a handler, and holds each one in memory.
"""

from __future__ import annotations

import asyncio

import gradio as gr
import httpx
import safehttpx
from gradio import processing_utils

from hsr_hub.webapp.limits import DOWNLOAD_SECONDS, MAX_DOWNLOADS, MAX_UPLOAD_MEGABYTES


def guard() -> None:
    """Make Gradio download within these limits, wherever an address is sent to."""
    processing_utils.async_transport = LimitedTransport()  # pyright: ignore[reportAttributeAccessIssue]


class LimitedTransport(httpx.AsyncBaseTransport):
    """Downloads files up to the size of an upload, and only from public hosts, as Gradio does."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(MAX_DOWNLOADS)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the whole response, or a redirect, for which httpx calls this again.

        Raises:
            gr.Error: The download failed. The message is for the caller who sent the address.
        """
        address = str(request.url)
        try:
            async with self._slots:
                return await asyncio.wait_for(_fetch(request), DOWNLOAD_SECONDS)
        except asyncio.TimeoutError:
            reason = f"it took more than {DOWNLOAD_SECONDS} seconds"
        except (httpx.HTTPError, ValueError, OSError) as error:
            reason = str(error) or type(error).__name__
        raise gr.Error(
            f"{address} could not be fetched: {reason}. Send the file itself.",
            title="Cannot do this",
            print_exception=False,
        )


async def _transport(host: str) -> httpx.AsyncBaseTransport:
    """Return a transport to a public host; raise ValueError for any other host."""
    if safehttpx.matches_domain_whitelist(host, processing_utils.PUBLIC_HOSTNAME_WHITELIST):
        return httpx.AsyncHTTPTransport()
    return safehttpx.AsyncSecureTransport(await safehttpx.async_validate_url(host))


async def _fetch(request: httpx.Request) -> httpx.Response:
    # A copy, because the transport replaces the host name with its address.
    copy = httpx.Request("GET", request.url, headers=request.headers)
    copy.headers["Accept-Encoding"] = "identity"
    async with await _transport(request.url.host) as transport:
        response = await transport.handle_async_request(copy)
        if response.has_redirect_location:
            return httpx.Response(response.status_code, headers=response.headers)
        if response.status_code != 200:
            raise ValueError(f"the answer was {response.status_code}")
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise ValueError("it comes packed, and could be of any size")
        content = bytearray()
        async for part in response.aiter_raw():
            content += part
            if len(content) > MAX_UPLOAD_MEGABYTES * 2**20:
                raise ValueError(f"it has more than {MAX_UPLOAD_MEGABYTES} MB")
        return httpx.Response(200, headers=response.headers, content=bytes(content))
