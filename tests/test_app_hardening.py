"""Hostile requests over loopback: nothing leaks, nothing hangs, nothing fills up."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hsr_hub.webapp import limits, storage
from tests.space import Space, noise, running
from tests.test_app_api import ask, uploaded
from tests.test_decoder import gif_comments

pytestmark = pytest.mark.slow

MODEL = "hsr-lite-x4"
FILE = storage.UPLOAD_META


@pytest.fixture(scope="module")
def hostile_space() -> Iterator[Space]:
    """A Space with a small disk."""
    with running(fork=True, HSR_MAX_DISK_GB="0.2") as space:
        yield space


def send(
    space: Space,
    path: str,
    body: bytes | None = None,
    method: str | None = None,
    source: str = "127.0.0.1",
    **headers: str,
) -> tuple[int, str]:
    """Return the status and the text of the answer to a request from an address of this machine."""
    host, port = space.address.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30, source_address=(source, 0))
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method or ("GET" if body is None else "POST"), path, body, named)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        connection.close()


def call(space: Space, data: Any, path: str = "/gradio_api/call/upscale", **more: Any) -> str:
    """Start an event and return its id."""
    body = json.dumps({"data": data, **more}).encode()
    status, text = send(space, path, body, Content_Type="application/json")
    assert status == 200, text
    return json.loads(text)["event_id"]


def until(condition: Callable[[], bool], seconds: float = 30) -> bool:
    """Wait for a condition, and return whether it was met."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return condition()


def seconds_of_another_visitor(space: Space, upload: dict[str, Any]) -> float:
    """Return how long a visitor with another address waits for a small image."""
    started, data = time.monotonic(), [upload, 1, None, None, 0, MODEL]
    body = json.dumps({"data": data}).encode()
    path, other = "/gradio_api/call/upscale", "127.0.0.2"
    _, text = send(space, path, body, source=other, Content_Type="application/json")
    _, answer = send(space, f"{path}/{json.loads(text)['event_id']}", source=other)
    assert "event: complete" in answer
    return time.monotonic() - started


def jobs_of(space: Space) -> set[Path]:
    """Return the folders of the jobs."""
    return set(next(space.temporary.glob("hsr-hub-*")).glob(f"{storage.JOBS}/*"))


def was_cancelled(job: Path) -> bool:
    """Return whether a job was cancelled. Its folder is removed when its work has ended."""
    return (job / "cancelled").exists() or not job.exists()


# Routes, bodies, hosts.


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/gradio_api/process_recording"),
        ("GET", "/gradio_api/deep_link?session_hash=a"),
        ("GET", "/monitoring"),
        ("GET", "/monitoring/summary"),
        ("GET", "/gradio_api/proxy=http://127.0.0.1/"),
        ("GET", "/gradio_api/file=http://127.0.0.1/a.png"),
        ("GET", "/gradio_api/file=https://example.com/a.png"),
        ("GET", "/gradio_api/file=/etc/passwd"),
        ("GET", "/gradio_api/mcp/sse"),
        ("POST", "/gradio_api/mcp/messages/"),
        ("GET", "/gradio_api/file/http://127.0.0.1/"),
        ("GET", "/gradio_api/dev/reload"),
        ("POST", "/gradio_api/component_server"),
        ("POST", "/gradio_api/vibe-edit"),
        ("POST", "/login"),
        ("DELETE", "/"),
        ("PUT", "/gradio_api/upload"),
    ],
)
def test_routes_that_the_page_does_not_use_answer_404(hostile_space: Space, method, path):
    status, text = send(hostile_space, path, b"" if method == "POST" else None, method)
    assert (status, json.loads(text)) == (404, {"detail": "there is nothing here"})


@pytest.mark.parametrize(
    ("path", "status"),
    [("/?page=none", 200), (f"/static/{'a' * 256}", 404), (f"/assets/{'%C3%A4' * 128}", 404)],
)
def test_other_pages_and_long_names_are_no_errors_of_the_server(hostile_space: Space, path, status):
    answer = send(hostile_space, path)
    assert answer[0] == status
    assert status == 200 or json.loads(answer[1]) == {"detail": "there is nothing here"}


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ({"data": []}, 400),
        ({"fn_index": 99_999, "data": []}, 404),
        ({"fn_index": -1, "data": []}, 404),
        ({"fn_index": True, "data": []}, 404),
        ({"fn_index": "0", "data": []}, 404),
        ({"fn_index": 0, "data": [1] * 99}, 422),
        ({"fn_index": 0, "data": "x"}, 422),
        ({"fn_index": 0}, 422),
        ({"fn_index": 0, "data": [{"path": "/etc/passwd", "meta": FILE}]}, 422),
        ({"fn_index": 0, "data": [[{"a": {"path": ["x"], "meta": FILE}}]]}, 422),
        ({"fn_index": 0, "data": [{"path": "https://a", "size": "b", "meta": FILE}]}, 422),
    ],
)
def test_events_of_wrong_types_get_one_sentence(hostile_space: Space, event, status: int):
    body = json.dumps({**event, "session_hash": "a"}).encode()
    for path in ("queue/join", "run/predict"):
        answer = send(hostile_space, f"/gradio_api/{path}", body, Content_Type="application/json")
        assert answer[0] == status and "\n" not in json.loads(answer[1])["detail"], answer


def test_absurd_values_get_one_sentence_and_leave_no_trace(hostile_space: Space):
    config = json.loads(send(hostile_space, "/config")[1])
    defaults = {part["id"]: part["props"].get("value") for part in config["components"]}
    absurd = [1e308, "x" * 1000, {"path": "/etc/passwd"}, [[]], [{}], {"__type__": "update"}]
    absurd += [None, -1, True, "x" * 5000, [[]] * 500]
    clicks = [None, [], {"index": -1}, {"index": 10**9}, {"path": "/etc/passwd", "meta": FILE}]
    before = len(hostile_space.log.read_text())
    statuses, answers = set(), []

    def fire(function: dict[str, Any], values: list[Any], **more: Any) -> None:
        session = f"{len(answers)}"
        event = {"fn_index": function["id"], "data": values, "session_hash": session, **more}
        path = "queue/join" if function["queue"] else "run/predict"
        body = json.dumps(event).encode()
        status, text = send(
            hostile_space, f"/gradio_api/{path}", body, Content_Type="application/json"
        )
        statuses.add(status)
        answers.append(text)
        if function["queue"] and status == 200:
            stream = f"/gradio_api/queue/data?session_hash={session}"
            answers.append(send(hostile_space, stream)[1])

    for function in config["dependencies"]:
        if not function["backend_fn"]:
            continue
        for value in absurd:
            fire(function, [value] * len(function["inputs"]))
        for data in clicks:
            values = [defaults[key] for key in function["inputs"]]
            if not function["queue"]:
                fire(function, values, event_data=data)
        fire(function, [None] * len(function["inputs"]), batched=True)
    assert statuses == {200, 422}
    assert not any("Traceback" in text or "could not be processed" in text for text in answers)
    assert "Traceback" not in hostile_space.log.read_text()[before:]


def test_no_value_is_kept_for_a_session_that_the_page_would_not_send(hostile_space: Space):
    config = json.loads(send(hostile_space, "/config")[1])
    [function] = [
        entry for entry in config["dependencies"] if entry["api_name"] == "show_exact_size"
    ]
    for value in ([[]] * 2_000, "x" * 200_000, {"a": {"b": {"c": 1}}}):
        event = {"fn_index": function["id"], "data": [value], "session_hash": "a"}
        body = json.dumps(event).encode()
        for path in ("run/predict", "queue/join"):
            status, text = send(
                hostile_space, f"/gradio_api/{path}", body, Content_Type="application/json"
            )
            assert status == 422 and "wrong type, or is too large" in text
        for path, more in (("call/upscale", {}), ("run/show_exact_size", {})):
            body = json.dumps({"data": [value], "session_hash": "a", **more}).encode()
            status, text = send(
                hostile_space, f"/gradio_api/{path}", body, Content_Type="application/json"
            )
            assert status == 422, (path, text)
        body = json.dumps({"image": value}).encode()
        answer = send(
            hostile_space, "/gradio_api/call/v2/upscale", body, Content_Type="application/json"
        )
        assert answer[0] == 422


@pytest.mark.parametrize(
    "path",
    ["queue/data?session_hash={}", "upload_progress?upload_id={}", "upload?upload_id={}"],
)
def test_names_of_sessions_and_uploads_are_short(hostile_space: Space, path: str):
    body = b"" if path.startswith("upload?") else None
    status, text = send(hostile_space, f"/gradio_api/{path.format('x' * 65)}", body)
    assert status == 422 and "at most 64 characters" in text
    assert send(hostile_space, f"/gradio_api/heartbeat/{'x' * 65}")[0] == 404


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"[" * 5000, 400, "not valid JSON"),
        (b"[" * 5001, 413, "more than 5000 parts"),
        (b'{"data": ', 400, "not valid JSON"),
        (b"\xff\xfe", 400, "not valid JSON"),
        (b"[1]", 422, "must be a JSON object"),
        (b'{"data": [], "session_hash": "%s"}' % (b"x" * 65), 422, "at most 64 characters"),
        (b'{"data": [], "session_hash": [1]}', 422, "at most 64 characters"),
        (b" " * (limits.MAX_JSON_BYTES + 1), 413, "too large"),
    ],
)
@pytest.mark.parametrize("path", ["queue/join", "run/predict", "call/upscale", "cancel"])
def test_json_is_checked_before_gradio_parses_it(hostile_space: Space, path, body, status, message):
    found, text = send(hostile_space, f"/gradio_api/{path}", body, Content_Type="application/json")
    assert found == status and message in json.loads(text)["detail"]


def test_clients_cannot_fill_the_log(hostile_space: Space, tmp_path: Path):
    before = hostile_space.log.read_text().count("\n")
    for number in range(3 * limits.LOG_LINES_PER_MINUTE):
        with contextlib.suppress(http.client.HTTPException):  # the answer is cut off
            send(hostile_space, f"/gradio_api/queue/data?session_hash=unknown{number}")
    # The log of uvicorn, and that of the gate, each in up to two minutes.
    lines = hostile_space.log.read_text().count("\n") - before
    assert lines <= 4 * limits.LOG_LINES_PER_MINUTE
    body = b"--edge"
    kind = "multipart/form-data; boundary=" + "a" * 5000
    for _ in range(3 * limits.LOG_LINES_PER_MINUTE):
        assert send(hostile_space, "/gradio_api/upload", body, Content_Type=kind)[0] == 400
    size = hostile_space.log.stat().st_size
    for _ in range(3 * limits.LOG_LINES_PER_MINUTE):  # the library prints 6 KB about each
        message = {"jsonrpc": "2.0", "id": float("nan"), "method": "tools/list"}
        with closing(ask_mcp(hostile_space, message)) as connection:
            assert b" 202 " in connection.recv(16)
    most = 2 * limits.LOG_LINES_PER_MINUTE * 600  # in up to two minutes
    assert hostile_space.log.stat().st_size - size <= most
    before = hostile_space.log.read_text().count("\n")
    frames = [noise((40, 30), seed=number) for number in range(2)]
    for number in range(3):  # the visitor is told that only the first frame is used
        path = tmp_path / f"moving{number}.gif"
        frames[0].save(path, save_all=True, append_images=frames[1:])
        upload = uploaded(hostile_space, path)
        assert "event: complete" in ask(hostile_space, upload, 1, None, None, 0, MODEL)
    assert "moving" not in hostile_space.log.read_text()
    assert hostile_space.log.read_text().count("\n") - before <= 4 * limits.LOG_LINES_PER_MINUTE


def test_a_body_without_a_length_ends_at_its_limit(hostile_space: Space):
    host, port = hostile_space.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        head = "POST /gradio_api/queue/join HTTP/1.1\r\nHost: localhost\r\n"
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        sent = 0
        try:
            for sent in range(1000):  # noqa: B007
                connection.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")
                time.sleep(0.001)
        except OSError:
            pass
    assert sent < 999, "60 MB were accepted"


@pytest.mark.parametrize("name", ["boundary", "Boundary", 'x="boundary=b"; boundary'])
def test_the_number_and_the_sum_of_files_are_limited(hostile_space: Space, name: str):
    part = b"--edge\r\nContent-Disposition: form-data; name=files; filename=a.png\r\n\r\na\r\n"
    kind = {"Content_Type": f"multipart/form-data; {name}=edge"}
    body = part * (limits.MAX_FILES + 1) + b"--edge--\r\n"
    assert send(hostile_space, "/gradio_api/upload", body, **kind)[0] == 413
    body = part * limits.MAX_FILES + b"--edge--\r\n"
    assert send(hostile_space, "/gradio_api/upload", body, **kind)[0] == 200
    # The length alone is enough to refuse.
    kind["Content_Length"] = str(limits.MAX_UPLOAD_BYTES + 1)
    assert send(hostile_space, "/gradio_api/upload", b"", **kind)[0] == 413


def test_a_form_field_without_a_file_is_small(hostile_space: Space):
    body = b"--edge\r\nContent-Disposition: form-data; name=files\r\n\r\n" + bytes(1 << 20)
    kind = {"Content_Type": "multipart/form-data; boundary=edge"}
    answer = send(hostile_space, "/gradio_api/upload", body + b"\r\n--edge--\r\n", **kind)
    assert answer[0] == 413 and "maximum allowed size" in answer[1]


def test_a_part_of_a_file_can_be_asked_for(hostile_space: Space, cat: Path):
    path = f"/gradio_api/file={uploaded(hostile_space, cat)['path']}"
    assert send(hostile_space, path, Range="bytes=0-3")[0] == 206
    for several in ("bytes=0-3,5-9", "bytes=" + "0-," * 9999 + "0-", "bytes=x", "bytes=-"):
        assert send(hostile_space, path, Range=several)[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:7860", ""])
def test_another_host_name_is_refused(hostile_space: Space, host: str):
    assert send(hostile_space, "/", Host=host)[0] == 400


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "LOCALHOST", "[::1]:7860"])
def test_names_of_this_machine_are_accepted(hostile_space: Space, host: str):
    assert send(hostile_space, "/config", Host=host)[0] == 200


def test_forwarded_headers_are_not_believed(hostile_space: Space):
    answer = send(
        hostile_space,
        "/config",
        X_Forwarded_Host="evil.example",
        X_Forwarded_Proto="https",
        X_Gradio_Server="http://evil.example",
        Forwarded="host=evil.example",
    )
    assert answer[0] == 200 and "evil.example" not in answer[1] and "https://1" not in answer[1]


# Visitors who hang up, and the queue.


@pytest.mark.parametrize("path", ["run/upscale", "api/upscale"])
def test_no_call_passes_the_queue(hostile_space: Space, cat: Path, path: str):
    data = [uploaded(hostile_space, cat), 1, None, None, 0, MODEL]
    body = json.dumps({"data": data}).encode()
    status, text = send(hostile_space, f"/gradio_api/{path}", body, Content_Type="application/json")
    assert status == 404 and "queue" in text


def test_a_caller_who_is_gone_is_not_computed_for(hostile_space: Space, tmp_path: Path):
    noise((2200, 1700)).save(tmp_path / "large.jpg")
    data = [uploaded(hostile_space, tmp_path / "large.jpg"), 4, None, None, 0, MODEL]
    before = jobs_of(hostile_space)
    event = call(hostile_space, data, session_hash="abc")
    address = f"{hostile_space.address}/gradio_api/call/upscale/{event}"
    with urllib.request.urlopen(address, timeout=30):  # somebody listens
        assert until(lambda: len(jobs_of(hostile_space) - before) == 1)
        [heard] = jobs_of(hostile_space) - before
        for session in ({}, {"session_hash": "def"}):  # nobody ever does
            call(hostile_space, data, **session)
        assert until(lambda: len(jobs_of(hostile_space) - before) == 3)
        unheard = jobs_of(hostile_space) - before - {heard}
        seconds = limits.HANG_UP_SECONDS + 3
        assert until(lambda: all(was_cancelled(job) for job in unheard), seconds)
        assert not (heard / "cancelled").exists()
    assert until(lambda: was_cancelled(heard), seconds)
    # The device is free again after the tile that was being computed.
    noise((40, 30)).save(tmp_path / "small.png")
    small = uploaded(hostile_space, tmp_path / "small.png")
    assert "event: complete" in ask(hostile_space, small, 1, None, None, 0, MODEL)


def test_a_caller_of_mcp_who_is_gone_is_not_computed_for(hostile_space: Space, tmp_path: Path):
    noise((2200, 1700)).save(tmp_path / "large.jpg")
    image = base64.b64encode((tmp_path / "large.jpg").read_bytes()).decode()
    arguments = {"image": f"data:image/jpeg;base64,{image}", "model": MODEL}
    call = {"name": "upscale", "arguments": arguments}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    before = jobs_of(hostile_space)
    with closing(ask_mcp(hostile_space, message)):
        assert until(lambda: len(jobs_of(hostile_space) - before) == 1)
        [job] = jobs_of(hostile_space) - before
        time.sleep(limits.HANG_UP_SECONDS + 1)
        assert not (job / "cancelled").exists(), "the caller listens"
    assert until(lambda: was_cancelled(job), limits.HANG_UP_SECONDS + 3)


def test_calls_of_mcp_are_limited_in_number_and_size(hostile_space: Space):
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"x": ""}}
    size = len(json.dumps(message))
    message["params"] = {"x": "x" * (limits.MAX_MCP_BYTES - size)}
    with closing(ask_mcp(hostile_space, message)) as fits:
        assert b" 200 " in fits.recv(16)
    message["params"] = {"x": "x" * (limits.MAX_MCP_BYTES - size + 1)}
    with closing(ask_mcp(hostile_space, message)) as too_large:
        assert b" 413 " in too_large.recv(16)
    before = hostile_space.log.read_text().count("Traceback")
    for values in ([[]] * 5000, [1] * 5001, {str(number): 0 for number in range(5002)}):
        message["params"] = {"x": values}
        with closing(ask_mcp(hostile_space, message)) as many:
            assert b" 413 " in many.recv(16)
    message["params"] = {"x": "NEST"}
    with closing(ask_mcp(hostile_space, message, nest=4000)) as deep:
        assert b" 400 " in deep.recv(16)
    assert hostile_space.log.read_text().count("Traceback") == before
    message["params"] = {"x": "x" * 5000}
    half = [ask_mcp(hostile_space, message, cut=True) for _ in range(12)]
    time.sleep(1)
    for connection in half:
        connection.setblocking(False)
    refused = 0
    for connection in half:
        with contextlib.suppress(BlockingIOError):
            refused += b" 429 " in connection.recv(16)
        connection.close()
    assert refused == len(half) - limits.MAX_MCP_CALLS_PER_ADDRESS


def ask_mcp(
    space: Space, message: dict[str, Any], cut: bool = False, nest: int = 0
) -> socket.socket:
    """Send a message to the MCP server, or half of it, and return the connection.

    Args:
        space: Where.
        message: Its "NEST" is replaced by nested lists.
        cut: Whether only a part of it is sent.
        nest: How many lists.
    """
    host, port = space.address.removeprefix("http://").split(":")
    body = json.dumps(message).encode()
    body = body.replace(b'"NEST"', b"[" * nest + b"]" * nest)
    sent = body[:1000] if cut else body
    head = (
        "POST /gradio_api/mcp/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Accept: application/json, text/event-stream\r\n"
        f"Content-Length: {len(sent) + 1 if cut else len(body)}\r\n\r\n"
    )
    connection = socket.create_connection((host, int(port)), timeout=60)
    with contextlib.suppress(ConnectionError):  # refused before all was sent
        connection.sendall(head.encode() + sent)
    return connection


def test_nobody_can_pretend_to_be_a_caller_of_mcp(hostile_space: Space):
    body = json.dumps({"data": [], "fn_index": 0, "session_hash": "a"}).encode()
    answer = send(hostile_space, "/gradio_api/queue/join", body, X_Hsr_Mcp_Call="a" * 32)
    assert answer == (410, '{"detail": "the caller has hung up"}')


def test_one_address_may_have_few_images_in_the_queue(hostile_space: Space, tmp_path: Path):
    noise((1200, 900)).save(tmp_path / "large.jpg")
    data = [uploaded(hostile_space, tmp_path / "large.jpg"), 4, None, None, 0, MODEL]
    events = [call(hostile_space, data) for _ in range(limits.MAX_WAITING_PER_ADDRESS + 4)]
    # Those above the limit are answered at once.
    answers = [send(hostile_space, f"/gradio_api/call/upscale/{event}")[1] for event in events[-3:]]
    assert all(
        f"{limits.MAX_WAITING_PER_ADDRESS} images of yours wait already" in a for a in answers
    )
    noise((40, 30)).save(tmp_path / "small.png")
    small = uploaded(hostile_space, tmp_path / "small.png")
    # Another address has its turn at once, while the large images wait.
    seconds = seconds_of_another_visitor(hostile_space, small)
    assert seconds < 30


def test_a_slow_file_does_not_keep_the_device(hostile_space: Space, tmp_path: Path):
    noise((40, 30)).save(tmp_path / "small.png")
    gif_comments(tmp_path / "slow.gif", 3_000_000)
    slow = [uploaded(hostile_space, tmp_path / "slow.gif"), 1, None, None, 0, MODEL]
    call(hostile_space, slow)
    small = uploaded(hostile_space, tmp_path / "small.png")
    assert seconds_of_another_visitor(hostile_space, small) < 10


def test_the_address_with_the_most_sessions_loses_the_oldest_one(hostile_space: Space, cat: Path):
    config = json.loads(send(hostile_space, "/config")[1])
    ids = {part["props"].get("elem_id"): part["id"] for part in config["components"]}
    values = {part["id"]: part["props"].get("value") for part in config["components"]}
    handlers = {tuple(t): d for d in config["dependencies"] for t in d["targets"]}
    receive = handlers[ids["photo"], "change"]
    describe = next(
        entry
        for entry in config["dependencies"]
        if not entry["queue"] and ids["image-info"] in entry["outputs"]
    )

    victim = "127.0.0.2"

    def fire(
        handler: dict[str, Any],
        session: str,
        path: str,
        first: Any = None,
        source: str = "127.0.0.1",
    ) -> str:
        data = [first, *(values[key] for key in handler["inputs"][1:])]
        event = {"data": data, "fn_index": handler["id"], "session_hash": session}
        body = json.dumps(event).encode()
        status, text = send(
            hostile_space, path, body, source=source, Content_Type="application/json"
        )
        assert status == 200, text
        return text

    def knows(session: str, source: str = "127.0.0.1") -> bool:
        return "×" in fire(describe, session, "/gradio_api/run/predict", source=source)

    for session, source in (("first", "127.0.0.1"), ("victim", victim)):
        file = uploaded(hostile_space, cat)
        fire(receive, session, "/gradio_api/queue/join", file, source)
        stream = f"/gradio_api/queue/data?session_hash={session}"
        assert "process_completed" in send(hostile_space, stream, source=source)[1]
        assert knows(session, source)
    for number in range(limits.MAX_SESSIONS):
        assert not knows(f"other{number}")
    assert not knows("first")
    assert knows("victim", victim), "one address ended the visit of another"


# The disk.


def test_a_full_disk_refuses_uploads_and_recovers(hostile_space: Space, tmp_path: Path):
    kind = {"Content_Type": "multipart/form-data; boundary=edge"}
    head = b"--edge\r\nContent-Disposition: form-data; name=%s; filename=a.png\r\n\r\n"
    statuses = []
    for number in range(7):  # 39 MB each, under a field's name that Gradio ignores
        content = number.to_bytes(4, "big") * (39 << 18)
        body = head % b"other" + content + b"\r\n--edge--\r\n"
        try:
            statuses.append(send(hostile_space, "/gradio_api/upload", body, **kind)[0])
        except OSError:  # refused before all was sent
            statuses.append(507)
    assert statuses[0] == 200 and statuses[-1] == 507
    [root] = hostile_space.temporary.glob("hsr-hub-*")
    assert sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) < 0.25 * 2**30


def test_the_folder_of_a_killed_process_is_removed_at_the_next_start(tmp_path: Path):
    def start() -> tuple[subprocess.Popen[str], Path]:
        code = (
            "from hsr_hub.webapp import storage; print(storage.open_folder(), flush=True); input()"
        )
        environment = {**os.environ, "GRADIO_TEMP_DIR": str(tmp_path)}
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert process.stdout is not None
        return process, Path(process.stdout.readline().strip())

    foreign = tmp_path / "hsr-hub-results"  # looks like one, but has no lock
    foreign.mkdir()
    running_one, kept = start()
    killed, abandoned = start()
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert abandoned.is_dir()
    last, own = start()
    assert not abandoned.exists() and kept.is_dir() and own.is_dir() and foreign.is_dir()
    for process in (running_one, last):
        process.communicate("\n")
    assert list(tmp_path.iterdir()) == [foreign]
