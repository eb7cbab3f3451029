"""The Space: drop a photo, see it before and after, take the sharp one home.

    python app.py

HSR_MODEL_ID (a Hub id or a folder) and HSR_REVISION choose other weights than the shipped ones.
GRADIO_SERVER_NAME and GRADIO_SERVER_PORT are Gradio's own.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

import gradio as gr
from PIL import Image

from hsr_hub import HSRNet, image_io
from hsr_hub.cli import DEFAULT_MODEL, best_device
from hsr_hub.inference import target_size

MODEL_ID = os.environ.get("HSR_MODEL_ID") or DEFAULT_MODEL
MAX_INPUT_MEGAPIXELS = 4
MAX_UPLOAD = "40mb"
KEEP_SECONDS = 3600
"""How long results stay on the server's disk."""

RESULTS = Path(tempfile.mkdtemp(prefix="hsr-hub-"))
SCALES = [("1x (clean up)", 1), ("2x", 2), ("4x", 4)]

INTRO = """
# Sharper photos, honest to the original
Drop a small photo: it comes back larger and sharper, with the colours it had.
"""

model = HSRNet.from_pretrained(
    MODEL_ID, revision=os.environ.get("HSR_REVISION") or None, map_location=best_device()
)


def read_upload(path: str | None) -> Image.Image:
    """The uploaded picture, or a message that the page can show."""
    if not path:
        raise gr.Error("Drop a photo first.", title="No photo", print_exception=False)
    try:
        picture = image_io.read_image(path)
    except image_io.ImageError as error:
        raise gr.Error(f"{error}.", title="Cannot use this file", print_exception=False) from error
    megapixels = picture.width * picture.height / 1e6
    if megapixels > MAX_INPUT_MEGAPIXELS:
        raise gr.Error(
            f"{picture.width}x{picture.height} is {megapixels:.1f} megapixels; this page takes "
            f"up to {MAX_INPUT_MEGAPIXELS}. Cut it, or use `hsr-hub upscale` on your own machine.",
            title="Too large",
            print_exception=False,
        )
    return picture


def result_path(upload: str, scale: float) -> Path:
    """A fresh place for `NAME-4x.png`; old results are removed on the way."""
    for old in RESULTS.iterdir():
        if time.time() - old.stat().st_mtime > KEEP_SECONDS:
            shutil.rmtree(old, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(dir=RESULTS))
    return folder / f"{Path(upload).stem}-{scale:g}x.png"


def upscale(
    image: str,
    scale: float = 4,
    progress=gr.Progress(),  # noqa: B008
) -> str:
    """Enlarge a photo and make it sharper.

    Args:
        image: The photo: PNG, JPEG, WebP, AVIF, TIFF or BMP, up to 4 megapixels.
        scale: Factor between 0.25 and 8; 1 cleans up at the original size.
        progress: Filled in by Gradio.

    Returns:
        The enlarged photo, a lossless PNG.
    """
    if not isinstance(scale, (int, float)) or not 0.25 <= scale <= 8:
        raise gr.Error(f"scale must be between 0.25 and 8, not {scale!r}.", print_exception=False)
    picture = read_upload(image)
    progress(0, desc="Sharpening")
    result = model.upscale(
        picture,
        scale=scale,
        progress=lambda done, total: progress((done, total), desc="Sharpening"),
    )
    path = result_path(image, scale)
    image_io.save_image(result, path)
    return str(path)


def enlarge(
    image: str | None,
    scale: float,
    progress=gr.Progress(),  # noqa: B008
):
    """What the button does: before and after for the slider, the file, and what was done."""
    picture = read_upload(image)
    assert image is not None
    started = time.perf_counter()
    after = upscale(image, scale, progress)
    seconds = time.perf_counter() - started
    size = target_size(picture.size, scale=scale)
    before = Path(after).with_name("before.png")
    image_io.save_image(picture.resize(size, Image.Resampling.BICUBIC), before)
    note = (
        f"{picture.width}x{picture.height} became **{size[0]}x{size[1]}** in {seconds:.1f} s. "
        "Left: the original enlarged the plain way (bicubic). Right: the result."
    )
    return (str(before), after), gr.DownloadButton(value=after, interactive=True), note


def build() -> gr.Blocks:
    """The page."""
    with gr.Blocks(title="hsr-hub", delete_cache=(600, KEEP_SECONDS)) as demo:
        gr.Markdown(INTRO)
        with gr.Row(equal_height=False):
            with gr.Column(scale=1, min_width=300):
                photo = gr.Image(
                    label="Your photo",
                    type="filepath",
                    image_mode=None,
                    format="png",
                    sources=["upload", "clipboard", "webcam"],
                    height=320,
                    elem_id="photo",
                )
                # The component would open the file before our code is asked, and a broken one would
                # become an error without a word about what is wrong. `image_io` reads it, and says.
                decode_data_url = photo.preprocess
                photo.preprocess = lambda payload: (
                    payload.path if payload and payload.path else decode_data_url(payload)
                )
                scale = gr.Radio(SCALES, value=4, label="Enlarge", elem_id="scale")
                button = gr.Button("Make it sharp", variant="primary", elem_id="go")
            with gr.Column(scale=2, min_width=300):
                slider = gr.ImageSlider(
                    label="Before and after",
                    type="filepath",
                    format="png",  # the default, webp, loses
                    image_mode=None,
                    interactive=False,
                    max_height=640,
                    elem_id="slider",
                )
                note = gr.Markdown(elem_id="note")
                download = gr.DownloadButton(
                    "Download PNG", interactive=False, variant="secondary", elem_id="download"
                )
        button.click(
            enlarge,
            [photo, scale],
            [slider, download, note],
            api_visibility="private",
            concurrency_id="model",
        )

        # The public endpoint: one picture in, one file out. Its components are not shown.
        api_scale = gr.Number(value=4, visible=False)
        api_result = gr.Image(type="filepath", image_mode=None, format="png", visible=False)
        gr.Button(visible=False).click(
            upscale, [photo, api_scale], api_result, api_name="upscale", concurrency_id="model"
        )
    return demo.queue(default_concurrency_limit=1, max_size=20)


demo = build()

if __name__ == "__main__":
    demo.launch(max_file_size=MAX_UPLOAD, theme="soft", show_error=True)
