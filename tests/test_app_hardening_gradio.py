"""Limits inside Gradio: form fields, sessions, messages, results for assistants, lists of files."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import gradio as gr
import pytest
from gradio import mcp, queueing, routes, server_messages, state_holder
from gradio.route_utils import GradioMultiPartParser
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from hsr_hub.webapp import gradio_guards
from hsr_hub.webapp.connections import Connections
from hsr_hub.webapp.gradio_guards import MessageQueue
from hsr_hub.webapp.limits import (
    MAX_FIELD_BYTES,
    MAX_MCP_IMAGE_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_MESSAGES,
    MAX_QUEUE_PER_ADDRESS,
    MAX_SESSION_MESSAGE_BYTES,
    MAX_UPLOADS_TRACKED,
)
from hsr_hub.webapp.middleware import App, Gate
from hsr_hub.webapp.storage import Disk
from tests.space import noise

gradio_guards.install()  # as app.py does; it changes nothing for other tests

PART = b"--edge\r\nContent-Disposition: form-data; name=files%s\r\n\r\n"


class Message(NamedTuple):
    """A message as Gradio sends it."""

    msg: str
    output: Any = None


def parse_form(body: bytes, folder: Path) -> Any:
    """Parse a form as Gradio's upload does."""

    async def parts() -> AsyncGenerator[bytes, None]:
        for start in range(0, len(body), 50_000):
            yield body[start : start + 50_000]

    headers = Headers({"content-type": "multipart/form-data; boundary=edge"})
    parser = GradioMultiPartParser(headers, parts(), max_file_size=1e9, upload_dir=folder)
    with ThreadPoolExecutor(1) as thread:  # Playwright occupies this thread's event loop
        return thread.submit(asyncio.run, cast(Any, parser.parse())).result()


def test_a_form_field_without_a_file_is_small(tmp_path: Path):
    end = b"\r\n--edge--\r\n"
    field, file = PART % b"", PART % b"; filename=a.png"
    assert parse_form(field + bytes(MAX_FIELD_BYTES) + end, tmp_path)["files"]
    with pytest.raises(MultiPartException, match="exceeded the maximum allowed size"):
        parse_form(field + bytes(MAX_FIELD_BYTES + 1) + end, tmp_path)
    form = parse_form(file + bytes(MAX_FIELD_BYTES + 1) + end, tmp_path)
    assert form["files"].size == MAX_FIELD_BYTES + 1


def test_the_address_with_the_most_sessions_loses_one():
    def session(address: str) -> Any:
        return SimpleNamespace(address=address)

    table = gradio_guards.MessageQueues(4)
    table["victim"] = session("8.8.8.8")
    for number in range(20):
        table[f"new{number}"] = session("9.9.9.9")
    assert list(table) == ["victim", "new17", "new18", "new19"]
    holder = state_holder.StateHolder()
    assert isinstance(holder.session_data, gradio_guards.FairTable)
    assert isinstance(make_queue().pending_messages_per_session, gradio_guards.MessageQueues)


def make_queue() -> queueing.Queue:
    return queueing.Queue(True, 1, 1, 32, blocks=None)  # pyright: ignore[reportArgumentType]


def test_one_address_cannot_fill_gradio_s_queue():
    with gr.Blocks() as app:
        gr.Button().click(lambda: None, api_name="quick")
    [function] = app.fns.values()
    queue = app._queue
    queue.max_size = 32
    queue.create_event_queue_for_fn(function)

    def push(address: str, session: str) -> Any:
        request = SimpleNamespace(client=SimpleNamespace(host=address))
        body = SimpleNamespace(fn_index=function._id, session_hash=session, event_id=None)
        with ThreadPoolExecutor(1) as thread:
            pushed = queue.push(cast(Any, body), cast(Any, request), None)
            return thread.submit(asyncio.run, cast(Any, pushed)).result()

    answers = [push("9.9.9.9", str(number)) for number in range(40)]
    assert sum(success for success, *_ in answers) == MAX_QUEUE_PER_ADDRESS
    assert answers[-1][1:] == ("8 requests of yours wait already: try again later", "queue_full")
    assert push("8.8.8.8", "victim")[0]
    messages: Any = queue.pending_messages_per_session["victim"]
    assert messages.address == "8.8.8.8"


def test_failed_events_are_not_summarized():
    queue = make_queue()
    records = [{"function": "a", "status": "failed", "process_time": 1.0}] * 10
    queue.events_recorded = 10
    assert queue.compute_analytics_summary(records) == {"functions": {}}


def test_messages_that_nobody_reads_are_dropped():
    assert vars(queueing)["AsyncQueue"] is MessageQueue
    queue = MessageQueue()
    preview = Message("process_generating", {"data": [{"value": "x" * 2**20}, None, 5, ["y"]]})
    for _ in range(100):
        queue.put_nowait(preview)
    assert queue.waiting_bytes <= MAX_SESSION_MESSAGE_BYTES
    last = Message("process_completed", {"data": ["done"]})
    queue.put_nowait(last)
    messages = []
    while not queue.empty():
        messages.append(queue.get_nowait())
    assert messages[0] is preview and messages[-1] is last and queue.waiting_bytes == 0
    for _ in range(2 * MAX_MESSAGES):
        queue.put_nowait(last)
    assert queue.qsize() == MAX_MESSAGES


def test_the_messages_of_all_sessions_are_limited():
    preview = Message("process_generating", {"data": ["x" * 2**20]})
    queues = [MessageQueue() for _ in range(50)]
    for queue in queues:
        for _ in range(8):
            queue.put_nowait(preview)
    assert sum(queue.waiting_bytes for queue in queues) <= MAX_MESSAGE_BYTES
    queues.clear()  # sessions that Gradio has forgotten
    queue = MessageQueue()
    queue.put_nowait(preview)
    assert queue.qsize() == 1


def test_results_that_nobody_reads_lose_their_values():
    def result() -> Any:
        values = {"data": ["x" * 2**20]}
        return server_messages.ProcessCompletedMessage(output=values, success=True)

    reader = MessageQueue()
    reader.put_nowait(wanted := result())
    queues = [MessageQueue() for _ in range(50)]
    for queue in queues:
        for _ in range(20):
            queue.put_nowait(result())
        assert queue.qsize() == 20 and queue.waiting_bytes <= MAX_SESSION_MESSAGE_BYTES
    assert sum(queue.waiting_bytes for queue in [reader, *queues]) <= MAX_MESSAGE_BYTES
    assert reader.get_nowait() is wanted
    first = queues[-1].get_nowait()
    assert (first.msg, first.success) == ("process_completed", False)
    assert first.output == {"error": gradio_guards.NOT_READ}


def test_an_assistant_gets_the_file_itself_or_the_address_of_a_large_one(tmp_path: Path):
    small, large = tmp_path / "small.png", tmp_path / "large.png"
    noise((40, 30)).save(small, compress_level=0)
    large.write_bytes(small.read_bytes() + bytes(MAX_MCP_IMAGE_BYTES))
    server = mcp.GradioMCPServer
    image = server.get_image(str(small))
    assert image is not None
    # Not decoded and compressed once more, which would take long and stop the event loop.
    assert server.get_base64_data(image, "png") == base64.b64encode(small.read_bytes()).decode()
    assert server.get_image(str(large)) is None
    assert server.get_image(str(tmp_path / "missing.png")) is None


def test_calls_to_copy_have_the_host_of_their_own_request(tmp_path: Path):
    with gr.Blocks() as page:
        gr.Button().click(lambda: None, api_name="it")
    app = cast(App, routes.App.create_app(page))
    gate = Gate(app, Connections(), Disk(tmp_path))
    for host in ("evil.example", "photos.example"):
        client = TestClient(cast(ASGIApp, gate), base_url=f"http://{host}")
        for path in ("info", "info/", "info?all_endpoints=true", "info?page=none", "info"):
            answer = client.get(f"/gradio_api/{path}")
            assert answer.status_code == 200
            if "all" not in path:  # that one has no calls
                assert host in answer.text
            assert host == "evil.example" or "evil.example" not in answer.text


def test_an_assistant_cannot_name_a_file_of_the_server(cat: Path):
    file = {"path": str(cat), "meta": {"_type": "gradio.FileData"}}
    for value in (file, [file]):
        with pytest.raises(ValueError, match="image must be text or a number"):
            mcp.GradioMCPServer._prepare_tool_call_args(cast(Any, None), "x", {"image": value})


def test_the_progress_of_few_uploads_is_kept():
    progress = cast(gradio_guards.UploadProgress, vars(routes)["file_upload_statuses"])
    assert isinstance(progress, gradio_guards.UploadProgress)

    async def ask(upload_id: str) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(progress.is_tracked(upload_id), 0.01)

    async def send_and_ask() -> None:
        for number in range(2 * MAX_UPLOADS_TRACKED):
            progress.append(f"upload{number}", "a.png", b"x")
        assert await progress.is_tracked(f"upload{2 * MAX_UPLOADS_TRACKED - 1}")
        await asyncio.gather(*(ask(f"missing{number}") for number in range(20)))

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, send_and_ask()).result()
    assert len(progress._statuses) == MAX_UPLOADS_TRACKED
    assert len(progress._signals) <= MAX_UPLOADS_TRACKED
    for upload_id in list(progress._statuses):
        progress.stop_tracking(upload_id)
    assert not progress._signals


def test_ended_events_that_nobody_listened_for_are_forgotten():
    with gr.Blocks() as app:
        gr.Image()
    queue = app._queue
    events = queue.pending_event_ids_session
    events |= {"gone": {"a"}, "gone, but it runs": {"b"}, "open": {"c"}}
    events["open, with many"] = {f"event{number}" for number in range(MAX_MESSAGES + 1)}
    queue.event_ids_to_events["b"] = cast(Any, None)
    for session in ("open", "open, with many"):
        queue.pending_messages_per_session[session] = MessageQueue()
    gradio_guards.forget_events(app)
    assert events == {"gone, but it runs": {"b"}, "open": {"c"}}


def test_the_lists_of_files_are_emptied():
    with gr.Blocks() as app:
        gr.Image()
    assert len(app.temp_file_sets) >= 2
    for files in app.temp_file_sets:
        files.add("a")
    gradio_guards.forget_files(app)
    assert not any(app.temp_file_sets)
