"""The Space: drop a photo, see it before and after, take the sharp one home.

    python app.py

HSR_MODEL_ID (Hub ids, folders or shipped names, with commas between), HSR_REVISION and
HSR_DETAIL_MODEL_ID choose other weights than the shipped ones. GRADIO_SERVER_NAME and
GRADIO_SERVER_PORT are Gradio's own.

Here is what the page looks like, and what happens when; how it happens is in `hsr_hub/webapp/`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from inspect import isgeneratorfunction
from pathlib import Path
from typing import Any, NamedTuple

# isort: off
from hsr_hub.webapp import zerogpu  # ZeroGPU must be there before CUDA is touched
from hsr_hub.webapp import storage

FOLDER = storage.open_folder()  # Gradio reads where its files go when it is imported
# isort: on

import gradio as gr
from gradio import themes

from hsr_hub.images import ImageData
from hsr_hub.inference import best_device
from hsr_hub.webapp import engine, models, templates, url_guard
from hsr_hub.webapp.batch_tab import SeveralPhotos
from hsr_hub.webapp.eta import Speed
from hsr_hub.webapp.example_cache import Examples
from hsr_hub.webapp.jobs import Job, Jobs, Turns
from hsr_hub.webapp.requests import EXACT, Order, order
from hsr_hub.webapp.single_tab import FORMATS, OnePhoto
from hsr_hub.webapp.uploads import MAX_UPLOAD_MEGABYTES, passes

ROOT = Path(__file__).resolve().parent
EXAMPLES = [[str(ROOT / "examples" / f"{name}.png")] for name in ("cat", "astronaut", "coffee")]
SCALES = [("1x", 1), ("2x", 2), ("3x", 3), ("4x", 4), ("Exact", EXACT)]
AT_ONCE, WAITING_ROOM = 16, 32
"""Visitors that are told their place in the line, and those behind them; others come back later."""

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
WORK: dict[str, Any] = {"concurrency_limit": AT_ONCE, "concurrency_id": "work"}
"""What waits for the device. The line itself is `Turns`, in which a batch stands anew per photo."""

url_guard.guard()
nets = models.load(os.environ, best_device())


def gpu_seconds(wish: Order, picture: ImageData, _: Path) -> float | None:
    """What ZeroGPU is asked for."""
    expected = shop.seconds(picture.size, passes(picture), wish)
    return expected and expected[0]


@zerogpu.lent(gpu_seconds)
def compute(wish: Order, picture: ImageData, stop_file: Path, **reports: Any) -> ImageData:
    """The picture, enlarged by a network of this process."""
    return engine.compute(nets, wish, picture, stop_file, **reports)


# All cores work on one picture; a GPU has room for a second one while the first is saved.
turns = Turns(1 if best_device() == "cpu" else 2)
shop = engine.Workshop(FOLDER, nets, Speed(), turns, Jobs(FOLDER), compute, not zerogpu.ACTIVE)
if not zerogpu.ACTIVE:  # where the GPU is lent, the first picture tells
    shop.speed.calibrate(nets.get(nets.names[0]), FOLDER)


def upscale(
    image: dict | None,
    scale: float | None = 4,
    width: float | None = None,
    height: float | None = None,
    strength: float = 0,
    model: str = nets.names[0],
    progress=gr.Progress(),  # noqa: B008
) -> str:
    """Enlarge a photo and make it sharper, with the colours and the content it has.

    Args:
        image: The photo: PNG, JPEG, WebP, AVIF, TIFF, BMP or GIF, up to 40 MB and 24 megapixels.
        scale: Factor between 0.25 and 8; 1 cleans up at the original size.
        width: Width of the result in pixels, instead of a scale. Alone it keeps the proportions.
        height: Height of the result in pixels, likewise.
        strength: From 0, faithful, to 1, the most detail; above 0 a detail twin is needed.
        model: Name of the weights.
        progress: Filled in by Gradio.

    Returns:
        The enlarged photo, a lossless PNG: the pixels that `HSRNet.upscale` gives.
    """

    def wish(source: tuple[int, int]) -> Order:
        return order(source, model, strength, scale, width, height)

    def keep(wish: Order, _: ImageData, made: ImageData) -> Path:
        return shop.keep(job, name, wish, made)

    job = Job(storage.new_folder(FOLDER))
    try:
        path, name = storage.uploaded(FOLDER, image)
        wish((1, 1))  # nonsense is refused before it waits in line
        nets.get(model, strength)
        task = engine.Task(shop, path, name, wish, job, keep)
        for _ in task.watch():
            line = f"{task.ahead} before this one" if task.ahead else "Sharpening"
            progress(task.fraction, desc=line)
    except gr.Error:  # ZeroGPU's own: no GPU time left today, say
        raise
    except (ValueError, TypeError, MemoryError) as error:  # ImageError among them
        raise gr.Error(f"{error}.", title="Cannot do this", print_exception=False) from error
    return str(task.outcome)


# -- The page --------------------------------------------------------------------------------------


def theme() -> themes.Base:
    """Gradio's default in our colours, with enough contrast for small print; no font is fetched."""
    base = themes.Default(
        primary_hue="indigo", neutral_hue="slate", font=["system-ui", "sans-serif"]
    )
    return base.set(
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        link_text_color="*primary_600",
    )


class Form(NamedTuple):
    """What can be chosen for a picture; both tabs have one."""

    scale: gr.Radio
    width: gr.Number
    height: gr.Number
    strength: gr.Slider
    model: gr.Dropdown


def form() -> Form:
    """Lay out what can be chosen. What leaves no choice is not shown."""
    scale = gr.Radio(
        SCALES, value=4, label="Enlarge", info="1x cleans up and keeps the size.",
        elem_classes="segments",
    )  # fmt: skip
    with gr.Row(visible=False) as exact:
        width = gr.Number(None, label="Width in pixels", placeholder="auto", min_width=120)
        height = gr.Number(None, label="Height in pixels", placeholder="auto", min_width=120)
    strength = gr.Slider(
        0, 1, 0, step=0.05, label="Strength", visible=nets.names[0] in nets.detail,
        info="0: faithful to the photo. 1: the most detail, part of it invented.",
    )  # fmt: skip
    names = nets.names
    model = gr.Dropdown(names, label="Model", info=templates.models(names), visible=len(names) > 1)
    shown = scale.change(
        lambda chosen: gr.update(visible=chosen == EXACT), scale, exact, queue=False, **QUIET
    )
    # Gradio fills an empty number with a nought when it comes to be seen.
    emptied = "(width, height) => [width || null, height || null]"
    shown.then(None, [width, height], [width, height], js=emptied, **QUIET)
    model.change(
        lambda name: gr.update(visible=name in nets.detail, value=0),
        model,
        strength,
        queue=False,
        **QUIET,
    )
    return Form(scale, width, height, strength, model)


def on(
    trigger: Callable, handler: Callable, inputs: Any, places: dict[str, Any], **options: Any
) -> Any:
    """Call a handler of `hsr_hub.webapp` on an event, and carry its changes out on the page.

    Files come as Gradio got them (`preprocess`): it would open hostile ones before we can.
    """

    def carry_out(changes: dict[str, dict]) -> dict:
        return {places[name]: gr.update(**change) for name, change in changes.items()} or gr.skip()

    def call(request: gr.Request, *arguments: Any) -> dict:
        return carry_out(handler(str(request.session_hash), *arguments))

    def stream(request: gr.Request, *arguments: Any) -> Iterator[dict]:
        for changes in handler(str(request.session_hash), *arguments):
            yield carry_out(changes)
        yield gr.skip()

    function = stream if isgeneratorfunction(handler) else call
    return trigger(
        function, inputs, list(places.values()), preprocess=False, **(QUIET | options)
    )  # fmt: skip


with gr.Blocks(title="hsr-hub: sharper photos", delete_cache=(600, storage.KEEP_SECONDS)) as demo:
    gr.HTML(templates.TITLE, elem_id="title")
    gr.HTML(templates.notice(nets.notices), visible=bool(nets.notices))

    with gr.Tab("One photo", id="one"), gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=320):
            photo = gr.Image(
                label="Your photo",
                image_mode=None,
                format="png",
                sources=["upload", "clipboard", "webcam"],
                height=300,
                elem_id="photo",
                alt_text="Your photo",
                placeholder="Drop a photo here, paste one,\nor click to choose",
                buttons=[],
            )
            problem = gr.HTML(visible=False, elem_id="problem")
            facts = gr.HTML(visible=False, elem_id="facts")
            one_form = form()
            go = gr.Button("Make it sharp", variant="primary", interactive=False, elem_id="go")
            stop = gr.Button("Cancel", variant="stop", visible=False, elem_id="stop")
        with gr.Column(scale=7, min_width=320):
            waiting = gr.HTML(templates.WAITING, elem_id="waiting")
            meter = gr.HTML(visible=False, elem_id="meter")
            stage = gr.HTML(visible=False, elem_id="stage")
            slider = gr.ImageSlider(
                label="Before and after",
                show_label=False,
                type="filepath",
                format="png",  # the default, webp, loses
                image_mode=None,
                interactive=False,
                buttons=["fullscreen"],
                max_height=540,
                visible=False,
                elem_id="slider",
            )
            with gr.Column(visible=False, elem_id="after") as after:
                note = gr.HTML(elem_id="note")
                with gr.Row(equal_height=True):
                    kind = gr.Radio(
                        list(FORMATS), value="PNG", label="Format", show_label=False,
                        elem_id="kind", elem_classes="segments",
                    )  # fmt: skip
                    download = gr.DownloadButton("Download", variant="primary", elem_id="download")
            gr.Examples(
                EXAMPLES,
                photo,
                label="No photo at hand? Try one of these",
                elem_id="examples",
                api_visibility="private",
            )
        picture, ticket, result = gr.State(), gr.State(), gr.State()

    with gr.Tab("Several photos", id="several"), gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=320):
            files = gr.File(label="Your photos", file_count="multiple", height=220, elem_id="files")
            several_problem = gr.HTML(visible=False, elem_id="several-problem")
            several_form = form()
            several_go = gr.Button(
                "Make them sharp", variant="primary", interactive=False, elem_id="several-go"
            )
            several_stop = gr.Button(
                "Cancel", variant="stop", visible=False, elem_id="several-stop"
            )
        with gr.Column(scale=7, min_width=320):
            several_waiting = gr.HTML(templates.SEVERAL_WAITING, elem_id="several-waiting")
            several_note = gr.HTML(visible=False, elem_id="several-note")
            archive = gr.DownloadButton(
                "Download all (ZIP)", variant="primary", visible=False, elem_id="archive"
            )
            gallery = gr.Gallery(
                label="Results", columns=3, fit_columns=False, height="auto", interactive=False,
                object_fit="contain", visible=False, buttons=["fullscreen"], elem_id="gallery",
            )  # fmt: skip
        several_ticket = gr.State()

    # What happens when.
    one = OnePhoto(shop, Examples(Path(example) for [example] in EXAMPLES))
    places = {
        "photo": photo, "picture": picture, "problem": problem, "facts": facts, "go": go,
        "stop": stop, "waiting": waiting, "stage": stage, "meter": meter, "slider": slider,
        "after": after, "note": note, "kind": kind, "download": download, "result": result,
        "ticket": ticket, "scale": one_form.scale,
    }  # fmt: skip
    on(photo.change, one.receive, [photo, *one_form], places, concurrency_limit=2)
    photo.clear(lambda: gr.update(visible=False), None, problem, queue=False, **QUIET)
    # As one event: the answers to changes in quick succession must not overtake each other.
    changed = partial(gr.on, [control.change for control in one_form])
    on(changed, one.describe, [picture, *one_form], places, queue=False, trigger_mode="always_last")
    pressed = on(go.click, one.prepare, [picture, *one_form], places, queue=False)
    made = on(pressed.success, one.sharpen, ticket, places, trigger_mode="multiple", **WORK)
    on(made.failure, one.cancel, None, places, queue=False)  # no room to wait, no GPU left, a bug
    on(stop.click, one.cancel, None, places, queue=False)
    on(kind.input, one.convert, [result, kind], places, concurrency_limit=2)

    several = SeveralPhotos(shop)
    places = {
        "problem": several_problem, "go": several_go, "stop": several_stop,
        "waiting": several_waiting, "note": several_note, "archive": archive, "gallery": gallery,
        "ticket": several_ticket,
    }  # fmt: skip
    on(files.change, several.receive, files, places, queue=False)
    pressed = on(several_go.click, several.prepare, [files, *several_form], places, queue=False)
    made = on(
        pressed.success, several.sharpen, several_ticket, places, trigger_mode="multiple", **WORK
    )
    on(made.failure, several.cancel, None, places, queue=False)
    on(several_stop.click, several.cancel, None, places, queue=False)

    def leave(request: gr.Request) -> None:
        """Nobody looks any more: stop."""
        one.cancel(str(request.session_hash))
        several.cancel(str(request.session_hash))

    demo.unload(leave)

    # The public endpoint, for programs and (through MCP) for their assistants: not shown here. The
    # page's API view says of each parameter no more than its label.
    api_inputs = [
        gr.Image(label="the photo", image_mode=None, type="filepath", visible=False),
        gr.Number(4, label="factor from 0.25 to 8; 1 cleans up, the size stays", visible=False),
        gr.Number(None, label="width in pixels instead; alone, in proportion", visible=False),
        gr.Number(None, label="height in pixels instead; alone, in proportion", visible=False),
        gr.Number(0, label="0 faithful ... 1 most detail; needs a detail twin", visible=False),
        gr.Dropdown(nets.names, label="which weights", visible=False),
    ]
    api_result = gr.Image(label="lossless PNG", type="filepath", format="png", visible=False)
    gr.Button(visible=False).click(
        upscale, api_inputs, api_result, api_name="upscale", preprocess=False, **WORK
    )

demo.queue(max_size=WAITING_ROOM)

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so our files are removed
    demo.launch(
        theme=theme(),
        css_paths=ROOT / "hsr_hub" / "webapp" / "page.css",
        js=(ROOT / "hsr_hub" / "webapp" / "page.js").read_text(),
        max_file_size=f"{MAX_UPLOAD_MEGABYTES}mb",
        mcp_server=True,
        footer_links=["api", "gradio", "settings"],
        run_history=False,  # results are gone after an hour
        ssr_mode=False,
    )
