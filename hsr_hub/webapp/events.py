"""Options of the page's Gradio events, and helpers for what the handlers return."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from hsr_hub.webapp.limits import MAX_CONCURRENT

Updates = dict[Any, Any]
"""What a handler returns: a value or a `gr.update` for each component that changes, or
`gr.skip()`."""
UpdateStream = Iterator[Updates]

PRIVATE_EVENT: dict[str, Any] = {
    "show_progress": "hidden",
    "api_visibility": "private",
    "preprocess": False,
}
"""For the page's own handlers. `preprocess` would open hostile files before they are checked."""

QUICK_EVENT: dict[str, Any] = {"queue": False, **PRIVATE_EVENT}
"""For handlers that only change the page. They do not wait for others."""

GPU_EVENT: dict[str, Any] = {"concurrency_limit": MAX_CONCURRENT, "concurrency_id": "device"}
"""For events that wait for the device. The order of the work is up to `DeviceQueue`."""


def visitor(request: gr.Request) -> str:
    """Return the name of the visitor's session."""
    return str(request.session_hash)


def html(text: str) -> dict[str, Any]:
    """Return an update for a `gr.HTML`, which is hidden when there is no text."""
    return gr.update(value=text, visible=bool(text))
