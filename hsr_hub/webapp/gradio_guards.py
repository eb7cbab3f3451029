"""Limits inside Gradio: form fields, uploads, sessions, messages, results for assistants, the log.

They replace names of Gradio that are not public. `guards` tells whether each one is in place, and
`server.guard` ends the start if one is not.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import traceback
import weakref
from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import gradio as gr
from gradio import mcp, queueing, route_utils, routes, state_holder, utils
from PIL import Image
from starlette.formparsers import MultiPartException

from hsr_hub.webapp import url_guard
from hsr_hub.webapp.limits import (
    MAX_FIELD_BYTES,
    MAX_MCP_IMAGE_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_MESSAGES,
    MAX_QUEUE_PER_ADDRESS,
    MAX_SESSION_MESSAGE_BYTES,
    MAX_UPLOADS_TRACKED,
)
from hsr_hub.webapp.middleware import LogLimit

FINAL_MESSAGES = {"process_completed", "close_stream", "unexpected_error", "server_stopped"}

NOT_READ = "the result was not read in time: ask for it again"

_original_part_data = route_utils.GradioMultiPartParser.on_part_data
_original_tool_args = mcp.GradioMCPServer._prepare_tool_call_args
_original_image = mcp.GradioMCPServer.get_image
_original_error_payload = vars(queueing)["error_payload"]
_original_push = queueing.Queue.push
_original_session_state = route_utils.restore_session_state


def install() -> None:
    """Put the limits in place."""
    setattr(route_utils.GradioMultiPartParser, "on_part_data", _limited_part_data)  # noqa: B010
    setattr(routes, "file_upload_statuses", UploadProgress())  # noqa: B010
    setattr(queueing, "AsyncQueue", MessageQueue)  # noqa: B010
    setattr(queueing, "LRUCache", MessageQueues)  # noqa: B010
    setattr(queueing.Queue, "push", _fair_push)  # noqa: B010
    setattr(queueing.Queue, "compute_analytics_summary", _no_analytics)  # noqa: B010
    setattr(state_holder, "OrderedDict", FairTable)  # noqa: B010
    setattr(route_utils, "restore_session_state", _session_state_of_address)  # noqa: B010
    setattr(queueing, "error_payload", _error_with_message)  # noqa: B010
    for name, method in {
        "_prepare_tool_call_args": _checked_tool_args,
        "get_image": staticmethod(_small_image),
        "get_base64_data": staticmethod(_file_as_base64),
    }.items():
        setattr(mcp.GradioMCPServer, name, method)
    for module in (queueing, routes):
        setattr(module, "traceback", LimitedTraceback())  # noqa: B010


def guards() -> dict[str, bool]:
    """Return for each limit whether Gradio has the names that `install` replaces."""
    parser, server = route_utils.GradioMultiPartParser, mcp.GradioMCPServer
    queue = queueing.Queue(True, 1, 1, None, blocks=None)  # pyright: ignore[reportArgumentType]
    return {
        "the limit of form fields": hasattr(parser, "on_part_data"),
        "the limit of uploads' progress": all(
            name in vars(route_utils.FileUploadProgress()) for name in ("_statuses", "_signals")
        )
        and hasattr(routes, "file_upload_statuses"),
        "the limit of messages": hasattr(queueing, "AsyncQueue"),
        "the limit of events of one address": hasattr(queue, "event_queue_per_concurrency_id"),
        "the fair tables of sessions": isinstance(queue.pending_messages_per_session, FairTable)
        and isinstance(state_holder.StateHolder().session_data, FairTable),
        "the message of errors": hasattr(queueing, "error_payload"),
        "the limits of the MCP server": all(
            hasattr(server, name)
            for name in ("_prepare_tool_call_args", "get_image", "get_base64_data")
        ),
        "the limit of the log": all("traceback" in vars(module) for module in (queueing, routes)),
    }


def forget(app: gr.Blocks) -> None:
    """Empty Gradio's lists that grow with every file and with every event."""
    forget_files(app)
    forget_events(app)


def forget_files(app: gr.Blocks) -> None:
    """Empty Gradio's lists of files. `storage.Disk` removes the files."""
    for files in app.temp_file_sets:
        files.clear()


def forget_events(app: gr.Blocks) -> None:
    """Empty Gradio's lists of ended events that nobody has listened for."""
    queue = app._queue
    known, running = queue.pending_messages_per_session, queue.event_ids_to_events
    for session, events in list(queue.pending_event_ids_session.items()):
        if session not in known or len(events) > MAX_MESSAGES:
            events.difference_update([event for event in list(events) if event not in running])
            if not events:
                queue.pending_event_ids_session.pop(session, None)


# Uploads.


def _limited_part_data(
    parser: route_utils.GradioMultiPartParser, data: bytes, start: int, end: int
) -> None:
    """Refuse a form field without a file that is large, because Gradio holds it in memory."""
    part = parser._current_part
    if part.file is None:
        if len(part.data) + end - start > MAX_FIELD_BYTES:
            raise MultiPartException(
                f"A field without a file exceeded the maximum allowed size of {MAX_FIELD_BYTES} "
                "bytes."
            )
        part.data += data[start:end]
        return
    _original_part_data(parser, data, start, end)


class UploadProgress(route_utils.FileUploadProgress):
    """The progress of the last uploads. Gradio keeps that of all whose browser does not ask."""

    def track(self, upload_id: str) -> None:
        """Add an upload, and forget the oldest one."""
        super().track(upload_id)
        while len(self._statuses) > MAX_UPLOADS_TRACKED:
            self.stop_tracking(next(iter(self._statuses)))

    async def is_tracked(self, upload_id: str) -> bool:
        """Wait until an upload is known."""
        try:
            return await super().is_tracked(upload_id)
        finally:
            if upload_id not in self._statuses:
                self._signals.pop(upload_id, None)

    def stop_tracking(self, upload_id: str) -> None:
        """Forget an upload."""
        super().stop_tracking(upload_id)
        self._signals.pop(upload_id, None)


# Sessions and events.


class FairTable(OrderedDict):  # pyright: ignore[reportMissingTypeArgument]
    """A table of sessions. When it is full, the address that has the most of them loses one.

    Gradio drops the oldest session of all. One visitor who opens many could so end the work of all
    others. The values have an attribute `address`.
    """

    def popitem(self, last: bool = True) -> tuple[Any, Any]:
        """Remove the last entry, or the oldest one of the address that has the most."""
        if last or not self:
            return super().popitem(last)
        counts = Counter(map(_owner, self.values()))
        busiest = max(counts.values())
        key = next(key for key, value in self.items() if counts[_owner(value)] == busiest)
        return key, self.pop(key)


class MessageQueues(FairTable, utils.LRUCache):
    """The unread messages by session."""


def _owner(value: Any) -> str:
    return getattr(value, "address", "")


def _address(request: Any) -> str:
    client = getattr(request, "client", None)
    return client.host if client else ""


async def _fair_push(
    queue: queueing.Queue, body: Any, request: Any, username: str | None
) -> tuple[bool, Any, Any]:
    """Add an event to Gradio's queue, unless too many of the same address wait there."""
    address = _address(request)
    lines = queue.event_queue_per_concurrency_id.values()
    own = sum(_address(event.request) == address for line in lines for event in line.queue)
    if own >= MAX_QUEUE_PER_ADDRESS:
        return False, f"{own} requests of yours wait already: try again later", "queue_full"
    pushed = await _original_push(queue, body, request, username)
    messages = queue.pending_messages_per_session.get(body.session_hash)
    if messages is not None:
        setattr(messages, "address", address)  # noqa: B010
    return pushed


def _session_state_of_address(app: Any, body: Any) -> Any:
    """Return the state of a session, and note the address whose session and whose files these are.

    Gradio calls it for each step of an event, before it downloads the files of the event.
    """
    state, iterator = _original_session_state(app, body)
    address = _address(body.request)
    setattr(state, "address", address)  # noqa: B010
    url_guard.caller.set(address)
    return state, iterator


def _no_analytics(queue: queueing.Queue, records: Any) -> Any:
    """Compute nothing: Gradio summarizes the last 10,000 events after each one that fails."""
    return queue.cached_event_analytics_summary


# Messages.


class MessageQueue(asyncio.Queue):
    """Messages of one session that nobody has read yet.

    Gradio has no limit for them, and a message can hold a preview of a megabyte. Messages between
    the first and the last one are dropped if too many bytes wait, in this session or in all. The
    last one takes the room of others: of this session, and then of those in which the most waits.
    A visitor who reads has nothing waiting.
    """

    _all: ClassVar[weakref.WeakSet[MessageQueue]] = weakref.WeakSet()

    def _init(self, maxsize: int) -> None:
        self._messages: deque[tuple[Any, int]] = deque()
        self.waiting_bytes = 0
        MessageQueue._all.add(self)

    def qsize(self) -> int:
        """Return how many messages wait."""
        return len(self._messages)

    def _get(self) -> Any:
        message, size = self._messages.popleft()
        self.waiting_bytes -= size
        return message

    def _put(self, item: Any) -> None:
        size = _text_size(getattr(item, "output", None))
        self._messages.append((item, size))
        self.waiting_bytes += size

    def empty(self) -> bool:
        """Return whether no message waits."""
        return not self._messages

    def put_nowait(self, item: Any) -> None:
        """Add a message, or drop it."""
        if self.qsize() >= MAX_MESSAGES:
            return
        if size := _text_size(getattr(item, "output", None)):
            if _is_final(item):
                self._make_room(size)
            elif not self._has_room(size):
                return
        super().put_nowait(item)

    def _has_room(self, size: int) -> bool:
        if self.waiting_bytes + size > MAX_SESSION_MESSAGE_BYTES:
            return False
        return sum(queue.waiting_bytes for queue in self._all) + size <= MAX_MESSAGE_BYTES

    def _make_room(self, size: int) -> None:
        if self.waiting_bytes + size > MAX_SESSION_MESSAGE_BYTES:
            self._forget_values()
        fullest = sorted(self._all, key=lambda queue: queue.waiting_bytes)
        while fullest and sum(queue.waiting_bytes for queue in fullest) + size > MAX_MESSAGE_BYTES:
            fullest.pop()._forget_values()

    def _forget_values(self) -> None:
        """Drop the messages with values. Those that end a run stay, without their values."""
        kept: deque[tuple[Any, int]] = deque()
        for message, size in list(self._messages):
            if not size:
                kept.append((message, 0))
            elif _is_final(message):
                message = copy.copy(message)
                message.output, message.success = {"error": NOT_READ}, False
                kept.append((message, 0))
        self._messages, self.waiting_bytes = kept, 0


def _is_final(message: Any) -> bool:
    return getattr(message, "msg", "") in FINAL_MESSAGES


def _text_size(value: Any) -> int:
    """Return the number of characters in nested data."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(_text_size, value.values()))
    if isinstance(value, (list, tuple)):
        return sum(map(_text_size, value))
    return 0


def _error_with_message(error: BaseException | None, show_error: bool) -> dict[str, Any]:
    """Return what is sent for an error. Gradio sends nothing about those of its own."""
    content = _original_error_payload(error, show_error)
    if content["error"] is None:
        content["error"] = "these values could not be processed"
    return content


# Assistants.


def _checked_tool_args(server: mcp.GradioMCPServer, name: str, arguments: dict[str, Any]) -> Any:
    """Refuse nested arguments.

    Gradio's MCP server is a client of its own page, and a client uploads each file that a
    dictionary names. The schema of the tool refuses dictionaries too.
    """
    for key, value in arguments.items():
        if isinstance(value, (dict, list)):
            raise ValueError(f"{key} must be text or a number")
    return _original_tool_args(server, name, arguments)


def _small_image(path: str) -> Image.Image | None:
    """Return a result that is sent itself; None for a large one, of which the address is sent."""
    file = Path(path)
    if not file.is_file() or file.stat().st_size > MAX_MCP_IMAGE_BYTES:
        return None
    return _original_image(path)


def _file_as_base64(image: Image.Image, format: str) -> str:
    """Return the file of an image in base64. Gradio would decode and compress it once more."""
    return base64.b64encode(Path(str(getattr(image, "filename", ""))).read_bytes()).decode()


# The log.


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
