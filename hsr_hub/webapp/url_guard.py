"""Pictures that callers name by their address in the web: what may be fetched, and how much of it.

Gradio fetches them before any function of ours is called, with the whole answer in memory.
"""

from __future__ import annotations

import asyncio

import httpx

from hsr_hub.webapp.uploads import MAX_UPLOAD_MEGABYTES

AT_ONCE = 2
"""Answers that are in memory at a time; further ones wait."""
SECONDS = 30
"""How long an answer may take as a whole."""


def guard() -> None:
    """Have Gradio fetch within these limits, whatever part of the page an address is sent to."""
    from gradio import processing_utils

    processing_utils.async_transport = Bounded()  # pyright: ignore[reportAttributeAccessIssue]


class Bounded(httpx.AsyncBaseTransport):
    """Fetches from public hosts alone, as Gradio's own does, up to the size of an upload."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(AT_ONCE)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The whole answer, or a redirection, which comes here anew.

        Raises:
            gr.Error: It is not to be had; the message is for whoever sent the address.
        """
        address = str(request.url)
        try:
            async with self._places:
                return await asyncio.wait_for(_fetch(request), SECONDS)
        except asyncio.TimeoutError:
            reason = f"it took more than {SECONDS} seconds"
        except (httpx.HTTPError, ValueError, OSError) as error:
            reason = str(error) or type(error).__name__
        import gradio as gr

        raise gr.Error(
            f"{address} could not be fetched: {reason}. Send the file itself.",
            title="Cannot do this",
            print_exception=False,
        )


async def _way_to(host: str) -> httpx.AsyncBaseTransport:
    """A connection to a host that everybody reaches; ours are none of a stranger's business."""
    import safehttpx
    from gradio import processing_utils

    if safehttpx.matches_domain_whitelist(host, processing_utils.PUBLIC_HOSTNAME_WHITELIST):
        return httpx.AsyncHTTPTransport()
    return safehttpx.AsyncSecureTransport(await safehttpx.async_validate_url(host))


async def _fetch(request: httpx.Request) -> httpx.Response:
    # A request of its own: the number of the host will be written into it.
    asked = httpx.Request("GET", request.url, headers=request.headers)
    asked.headers["Accept-Encoding"] = "identity"
    async with await _way_to(request.url.host) as way:
        answer = await way.handle_async_request(asked)
        if answer.has_redirect_location:
            return httpx.Response(answer.status_code, headers=answer.headers)
        if answer.status_code != 200:
            raise ValueError(f"the answer was {answer.status_code}")
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise ValueError("it comes packed, and could be of any size")
        content = bytearray()
        async for part in answer.aiter_raw():
            content += part
            if len(content) > MAX_UPLOAD_MEGABYTES * 2**20:
                raise ValueError(f"it has more than {MAX_UPLOAD_MEGABYTES} MB")
        return httpx.Response(200, headers=answer.headers, content=bytes(content))
