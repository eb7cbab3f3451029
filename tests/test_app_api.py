"""The endpoint: Gradio's client, an MCP client, and wrong requests."""

from __future__ import annotations

import base64
import io
import json
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from PIL import Image
from playwright.sync_api import Page, expect

from hsr_hub import HSRNet
from hsr_hub.hub import DETAIL, bundled_models
from hsr_hub.images import ImageData, read_image, write_image
from hsr_hub.webapp import storage
from tests.space import Space, chosen, noise, pixels

pytestmark = pytest.mark.slow

BUNDLED = bundled_models()
NAMES = [name for name in BUNDLED if not name.endswith(DETAIL)]
DETAILS = [name + DETAIL for name in NAMES if name + DETAIL in BUNDLED]
OPTIONS = {
    "scale": ("float", 4),
    "width": ("float", None),
    "height": ("float", None),
    "strength": ("float", 0),
    "model": (f"Literal[{', '.join(map(repr, ['auto', *NAMES, *DETAILS]))}]", "auto"),
}


@pytest.fixture(scope="module")
def client(space: Space) -> Client:
    return Client(space.address, verbose=False)


@pytest.fixture(scope="module")
def bundled() -> HSRNet:
    return HSRNet.from_pretrained("hsr-lite-x4")


def test_there_is_one_endpoint_with_types_and_defaults(client: Client):
    described = client.view_api(return_format="dict", print_info=False)
    assert isinstance(described, dict)
    assert list(described["named_endpoints"]) == ["/upscale"]
    endpoint = described["named_endpoints"]["/upscale"]
    image, *options = endpoint["parameters"]
    assert image["parameter_name"] == "image" and not image["parameter_has_default"]
    found = {
        option["parameter_name"]: (option["python_type"]["type"], option["parameter_default"])
        for option in options
    }
    assert all(option["parameter_has_default"] for option in options)
    assert found == OPTIONS
    assert [result["python_type"]["type"] for result in endpoint["returns"]] == ["filepath"]


def test_the_api_view_documents_the_endpoint(page: Page, space: Space):
    page.goto(space.address)
    page.get_by_role("link", name="Use it from a program").click()
    page.get_by_text("Python", exact=True).first.click()
    expect(page.get_by_text("/upscale", exact=True).first).to_be_visible(timeout=20_000)
    described = page.get_by_text("Enlarge a photo and make it sharper").locator("visible=true")
    expect(described).to_have_count(1)
    expect(page.get_by_text("Accepts 6 parameters")).to_be_visible()
    expect(page.get_by_text("factor from 0.25 to 8")).to_be_visible()


def test_the_result_is_a_lossless_png_with_the_model_s_pixels(
    client: Client, bundled: HSRNet, cat: Path
):
    result = client.predict(handle_file(str(cat)), model="hsr-lite-x4", api_name="/upscale")
    assert Path(result).name == "cat-4x-hsr-lite-x4.png"
    with Image.open(result) as image:
        assert image.format == "PNG"
    assert np.array_equal(pixels(result), np.asarray(bundled.upscale(cat)))


@pytest.mark.parametrize(
    ("quality", "options", "weights"),
    [
        (40, {}, "hsr-lite-x4-real"),
        (None, {}, "hsr-lite-x4"),
        (None, {"scale": 1}, "hsr-lite-x4-real"),
        (None, {"model": "auto", "strength": 1}, "hsr-lite-x4-detail"),
        (40, {"strength": 1}, "hsr-lite-x4-detail"),  # the others have no detail model
        (40, {"model": "hsr-lite-x4-detail"}, "hsr-lite-x4-detail"),
        (40, {"model": "hsr-lite-x4"}, "hsr-lite-x4"),
    ],
)
def test_by_default_the_image_decides_on_the_weights(
    client: Client, tmp_path: Path, quality: int | None, options: dict[str, Any], weights: str
):
    path = tmp_path / "image.png"
    if quality:
        path = tmp_path / "image.jpg"
        noise((64, 48)).save(path, quality=quality)
    else:  # hard edges without noise
        Image.new("RGB", (64, 48), "teal").save(path)
        with Image.open(path) as image:
            image.paste("white", (20, 10, 44, 38))
            image.save(path)
    result = client.predict(handle_file(str(path)), api_name="/upscale", **options)
    expected = HSRNet.from_pretrained(weights).upscale(path, scale=options.get("scale"))
    assert np.array_equal(pixels(result), np.asarray(expected))
    assert weights.removesuffix(DETAIL) in Path(result).name


@pytest.mark.parametrize(
    ("mode", "asked", "same_as"),
    [
        ("RGB", {"scale": 2}, {"scale": 2}),
        ("RGB", {"scale": 1.7}, {"scale": 1.7}),
        ("RGBA", {"scale": 1}, {"scale": 1}),
        ("L", {"width": 100}, {"size": (100, 75)}),
        ("I;16", {"width": 90, "height": 90}, {"size": (90, 90)}),
        ("LA", {"height": 30}, {"size": (40, 30)}),
    ],
)
def test_options_equal_those_of_upscale(
    client: Client, bundled: HSRNet, tmp_path: Path, mode, asked, same_as
):
    path = tmp_path / "image.png"
    image = noise((64, 48))
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    else:
        image = image.convert(mode)
        if mode in {"LA", "RGBA"}:
            image.putalpha(noise((64, 48), seed=1).convert("L"))
    image.save(path)
    asked["model"] = "hsr-lite-x4"
    result = client.predict(handle_file(str(path)), api_name="/upscale", **asked)
    expected = bundled.upscale(path, **same_as)
    with Image.open(result) as image:
        assert (image.format, image.mode) == ("PNG", expected.mode)
    assert np.array_equal(pixels(result), np.asarray(expected))


def test_sixteen_bits_of_colour_stay(client: Client, bundled: HSRNet, tmp_path: Path):
    colours = np.random.default_rng(0).integers(0, 65536, (24, 32, 3)).astype(np.uint16)
    write_image(ImageData(colours), tmp_path / "deep.png")
    upload = handle_file(str(tmp_path / "deep.png"))
    result = client.predict(upload, model="hsr-lite-x4", api_name="/upscale")
    assert np.array_equal(read_image(result).array, bundled.upscale(colours))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 0}, "scale must be between 0.25 and 8, not 0"),
        ({"scale": 100}, "scale must be between 0.25 and 8, not 100"),
        ({"scale": -1}, "scale must be between 0.25 and 8, not -1"),
        ({"scale": "four"}, "scale must be a number, not 'four'"),
        ({"scale": True}, "scale must be a number, not True"),
        ({"width": 0.2}, "width must be between 1 and 16000, not 0.2"),
        ({"width": 10, "height": -5}, "height must be between 1 and 16000, not -5"),
        ({"width": 16000, "height": 16000}, "would be 256 megapixels"),
        ({"strength": 7}, "strength must be between 0 and 1, not 7"),
        ({"model": "gpt"}, "there is no model 'gpt' here; choose auto or hsr-lite-x4"),
    ],
)
def test_a_wrong_option_gets_one_sentence(client: Client, cat: Path, options, message):
    with pytest.raises(AppError) as caught:
        client.predict(handle_file(str(cat)), api_name="/upscale", **options)
    assert message in str(caught.value)
    assert "Traceback" not in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("text.png", "text.png is not an image"),
        ("empty.jpg", "empty.jpg is empty (0 bytes)"),
        ("cut.jpg", "cut.jpg is damaged or cut off"),
        ("bomb.png", "bomb.png has more than 24 megapixels"),
        ("large.png", "large.png has more than 24 megapixels and was not opened"),
    ],
)
def test_a_wrong_file_gets_one_sentence(client: Client, wrong_files, name, message):
    with pytest.raises(AppError) as caught:
        client.predict(handle_file(str(wrong_files[name])), api_name="/upscale")
    assert message in str(caught.value)
    assert "Traceback" not in str(caught.value) and "\n" not in str(caught.value)


def test_an_address_that_is_not_public_is_not_fetched(client: Client, space: Space):
    with pytest.raises(AppError, match=r"could not be fetched: .*Send the file") as caught:
        client.predict(handle_file(f"{space.address}/x.png"), api_name="/upscale")
    assert "Traceback" not in str(caught.value) and "\n" not in str(caught.value)


def ask(space: Space, *data: Any) -> str:
    """Return the endpoint's answer to values that no client would send."""
    request = urllib.request.Request(
        f"{space.address}/gradio_api/call/upscale",
        json.dumps({"data": list(data)}).encode(),  # NaN is sent as it is
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        event = json.load(answer)["event_id"]
    address = f"{space.address}/gradio_api/call/upscale/{event}"
    with urllib.request.urlopen(address, timeout=60) as answer:
        return answer.read().decode()


def uploaded(space: Space, path: Path) -> dict[str, Any]:
    """Upload a file and return it as Gradio's own client sends it."""
    body = b"--edge\r\nContent-Disposition: form-data; name=files; "
    body += f"filename={path.name}\r\n\r\n".encode() + path.read_bytes() + b"\r\n--edge--\r\n"
    request = urllib.request.Request(
        f"{space.address}/gradio_api/upload",
        body,
        {"Content-Type": "multipart/form-data; boundary=edge"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return {"path": json.load(answer)[0], "meta": {"_type": "gradio.FileData"}}


def test_nan_is_refused_as_a_scale(space: Space, cat: Path):
    answer = ask(space, uploaded(space, cat), float("nan"), None, None, 0, "hsr-lite-x4")
    assert "event: error" in answer
    assert "scale must be between 0.25 and 8, not nan" in answer


def test_a_missing_image_is_named(space: Space):
    answer = ask(space, None, 4, None, None, 0, "hsr-lite-x4")
    assert "there is no image" in answer


def test_wrong_requests_leave_no_folder(space: Space, cat: Path):
    jobs = next(space.temporary.glob("hsr-hub-*")) / storage.JOBS
    before = set(jobs.glob("*"))
    for values in ((None, 4), (uploaded(space, cat), "four")):
        assert "event: error" in ask(space, *values, None, None, 0, "hsr-lite-x4")
    with pytest.raises(urllib.error.HTTPError, match="422"):
        ask(space, uploaded(space, cat), [], None, None, 0, "hsr-lite-x4")
    assert set(jobs.glob("*")) == before


def test_the_endpoint_is_an_mcp_tool(space: Space, cat: Path):
    async def use() -> tuple[list, Any, Any]:
        url = f"{space.address}/gradio_api/mcp/"
        async with (
            streamable_http_client(url) as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = (await session.list_tools()).tools
            image_url = "data:image/png;base64," + base64.b64encode(cat.read_bytes()).decode()
            good = await session.call_tool("upscale", {"image": image_url, "scale": 2})
            text = "data:image/png;base64," + base64.b64encode(b"not an image").decode()
            bad = await session.call_tool("upscale", {"image": text})
            return tools, good, bad

    with ThreadPoolExecutor(1) as thread:  # Playwright occupies this thread's event loop
        tools, good, bad = thread.submit(anyio.run, use).result()
    [tool] = tools
    assert tool.name == "upscale"
    assert "Enlarge a photo and make it sharper" in tool.description
    described = tool.inputSchema["properties"]
    assert list(described) == ["image", *OPTIONS]
    # Gradio takes the first line of a parameter's text only.
    texts = [described[name]["description"] for name in described]
    assert all(text.endswith(".") for text in texts), texts
    assert tool.inputSchema["required"] == ["image"]

    _, model = chosen(cat, scale=2)
    [image] = [part for part in good.content if part.type == "image"]
    assert not good.isError and image.mimeType == "image/png"
    with Image.open(io.BytesIO(base64.b64decode(image.data))) as result:
        assert np.array_equal(np.asarray(result), np.asarray(model.upscale(cat, scale=2)))
    assert bad.isError
    assert "is not an image" in bad.content[0].text
    assert "Traceback" not in bad.content[0].text
