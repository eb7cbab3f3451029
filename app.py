"""The Space: drop a photo, compare before and after, download the result.

    python app.py

HSR_MODEL_ID (Hub ids, folders or bundled names, separated by commas), HSR_REVISION and
HSR_DETAIL_MODEL_ID choose other weights than the bundled ones; `space.json` next to this file does
so too, where HSR_MODEL_ID is not set. GRADIO_SERVER_NAME and GRADIO_SERVER_PORT are Gradio's own.
HSR_ALLOWED_HOSTS, HSR_MAX_DISK_GB, HSR_KEEP_MINUTES and FORWARDED_ALLOW_IPS are described in
`hsr_hub/webapp/server.py`.

The two tabs are in `hsr_hub/webapp/single_tab.py` and `batch_tab.py`; the first has its parts in
`input_panel.py`, `result_panel.py` and `trials_panel.py`. A request goes one way: a handler parses
it (`upscale_request.py`), `engine.py` waits for the device (`device_queue.py`), computes, saves and
yields its progress, and the handler returns updates of its components.
"""

from __future__ import annotations

import os
import signal
import sys
from html import escape
from pathlib import Path

# isort: off
from hsr_hub.webapp import zerogpu  # noqa: F401  # must be imported before torch initializes CUDA
from hsr_hub.webapp import storage

FOLDER = storage.open_folder()  # must be done before gradio is imported
# isort: on

import gradio as gr
from gradio import themes
from starlette.middleware import Middleware

from hsr_hub.webapp import gradio_guards, page_templates, server, templates, url_guard
from hsr_hub.webapp.batch_tab import BatchTab
from hsr_hub.webapp.connections import Caller
from hsr_hub.webapp.context import AppContext
from hsr_hub.webapp.engine import UpscaleTask
from hsr_hub.webapp.events import GPU_EVENT
from hsr_hub.webapp.jobs import Job, JobCancelledError
from hsr_hub.webapp.limits import (
    MAX_QUEUE,
    MAX_SESSIONS,
    MAX_THREADS,
    MAX_UPLOAD_MEGABYTES,
)
from hsr_hub.webapp.page_files import ICONS, PageFiles
from hsr_hub.webapp.single_tab import SingleTab
from hsr_hub.webapp.texts import in_browser, translations
from hsr_hub.webapp.uploads import DECODER
from hsr_hub.webapp.upscale_request import parse_request

ROOT = Path(__file__).resolve().parent
WEBAPP = ROOT / "hsr_hub" / "webapp"
EXAMPLES = [
    ROOT / "examples" / name
    for name in ("web-photo.jpg", "old-photo.jpg", "coffee.png", "astronaut.png", "cat.png")
]


def build_app(context: AppContext) -> gr.Blocks:
    """Build the page and its endpoint."""
    with gr.Blocks(title=page_templates.NAME) as app:
        gr.HTML(in_browser("html_title"), elem_id="title")
        gr.HTML(templates.notice(context.models.notices), visible=bool(context.models.notices))
        with gr.Tab(in_browser("tab_single"), id="single"):
            single = SingleTab(context, EXAMPLES)
        with gr.Tab(in_browser("tab_batch"), id="batch"):
            batch = BatchTab(context)
        gr.HTML(in_browser("html_about"), elem_id="about")
        if os.environ.get("SPACE_ID"):
            gr.DuplicateButton(in_browser("duplicate"), elem_id="duplicate")
        gr.HTML(in_browser("html_drop_overlay"), elem_id="drop-overlay")
        add_endpoint(context)

        def leave(request: gr.Request) -> None:
            """Stop the work of a visitor who left."""
            single.cancel(request)
            batch.cancel(request)

        app.unload(leave)
        single.connect_page(app)
    return app.queue(max_size=MAX_QUEUE, api_open=False)


def add_endpoint(context: AppContext) -> None:
    """Add `/upscale`, for programs and, through MCP, for their assistants."""

    def upscale(
        caller: gr.Request,
        image: dict | None,
        scale: float | None = 4,
        width: float | None = None,
        height: float | None = None,
        strength: float = 0,
        model: str = context.models.choices[0],
        progress=gr.Progress(),  # noqa: B008
    ) -> str:
        """Enlarge a photo and make it sharper, with the colours and the content it has.

        Args:
            image: The photo (PNG, JPEG, WebP, AVIF, TIFF, BMP or GIF), or its data URL for MCP.
            scale: Factor between 0.25 and 8; 1 cleans up at the original size.
            width: Width of the result in pixels. The scale is then ignored.
            height: Height of the result in pixels. A width or height alone keeps the proportions.
            strength: From 0, faithful, to 1, the most detail; above 0 a detail model is needed.
            model: Name of the weights; where there is "auto", it looks at the photo and chooses.
            progress: Filled in by Gradio.
            caller: Filled in by Gradio.

        Returns:
            The enlarged photo, a lossless PNG: the pixels that `HSRNet.upscale` gives.
        """
        try:
            upload = storage.uploaded(context.folder, image)
            request = parse_request(context.models, scale, width, height, strength, model)
            job = Job(storage.new_folder(context.folder))
            listener = Caller.of(caller)
            task = UpscaleTask(context, job, upload, request, caller=listener)
            for state in task:
                line = f"{state.ahead} before this one" if state.ahead else "Sharpening"
                progress(state.fraction, desc=line)
        except (ValueError, TypeError, MemoryError) as error:  # ImageError among them
            raise gr.Error(f"{error}.", title="Cannot do this", print_exception=False) from error
        except JobCancelledError:  # nobody listens for this
            raise gr.Error("The caller hung up.", print_exception=False) from None
        assert task.result is not None
        if listener is not None and listener.event:  # otherwise Gradio prints it to the log
            for note in task.result.notes:
                gr.Info(escape(note), title="Note")
        return str(task.result.path)

    # The labels are all that the page's API view says about a parameter.
    inputs = [
        gr.Image(label="the photo", image_mode=None, type="filepath", visible=False),
        gr.Number(4, label="factor from 0.25 to 8; 1 cleans up, the size stays", visible=False),
        gr.Number(None, label="width in pixels instead; alone, in proportion", visible=False),
        gr.Number(None, label="height in pixels instead; alone, in proportion", visible=False),
        gr.Number(0, label="0 faithful ... 1 most detail; needs a detail model", visible=False),
        gr.Dropdown(
            context.models.choices,
            label="which weights" + ("; auto: by the photo" if context.models.auto else ""),
            visible=False,
        ),
    ]
    result = gr.Image(label="lossless PNG", type="filepath", format="png", visible=False)
    gr.Button(visible=False).click(
        upscale, inputs, result, api_name="upscale", preprocess=False, **GPU_EVENT
    )


def theme() -> themes.Base:
    """Return Gradio's default theme in our colors, with enough contrast and without web fonts."""
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


def scripts() -> str:
    """Return the page's scripts as one function, as Gradio takes them."""
    files = (WEBAPP / name for name in ("page.js", "drop.js"))
    functions = (file.read_text(encoding="utf-8").strip().rstrip(";") for file in files)
    return "() => {" + "".join(f"\n({function})();" for function in functions) + "\n}"


def main() -> None:
    """Load the models and serve the page."""
    if len(sys.argv) > 1:
        sys.exit("app.py takes no options. Set variables instead: docs/space.md#variables")
    print("hsr-hub: loading the weights ...", flush=True)
    # Python then unwinds, and removes the folder at exit.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    url_guard.guard(lambda size, address: disk.reserve(size, address))
    server.guard()
    DECODER.start()
    context = AppContext.create(FOLDER, os.environ, ROOT / "space.json")
    app = build_app(context)
    disk = storage.Disk(FOLDER, server.disk_budget(os.environ), server.keep_seconds(os.environ))
    gradio_guards.forget(app)  # fails at the start, not in the thread, if Gradio has changed
    disk.start(lambda: gradio_guards.forget(app))
    context.reserve = disk.reserve
    gate = server.middleware(os.environ, context.connections, disk, app)
    files = Middleware(PageFiles, os.environ.get("SPACE_HOST"))
    keep_seconds = server.keep_seconds(os.environ)
    made = {**page_templates.MADE, "html_about": lambda: page_templates.about(keep_seconds)}
    app.launch(
        theme=theme(),
        i18n=translations(made),
        css_paths=[WEBAPP / "page.css", WEBAPP / "batch.css"],
        js=scripts(),
        max_file_size=f"{MAX_UPLOAD_MEGABYTES}mb",
        max_threads=MAX_THREADS,
        state_session_capacity=MAX_SESSIONS,
        mcp_server=True,
        app_kwargs={"middleware": [*gate, files]},
        footer_links=["api"],  # for the link in our foot; the footer itself is hidden
        run_history=False,  # results are removed after an hour
        ssr_mode=False,
        favicon_path=ICONS / "icon-192.png",
        pwa=True,
        quiet=True,  # Gradio would advise to share the page
        prevent_thread_lock=True,
    )
    print(f"hsr-hub: open {app.share_url or app.local_url} in a browser; Ctrl+C stops the page")
    sys.stdout.flush()
    app.block_thread()


if __name__ == "__main__":
    server.run(main)
