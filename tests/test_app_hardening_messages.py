"""The last message of a run is its result, also when all messages come in one burst."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from hsr_hub import HSRNet
from hsr_hub.webapp.single_tab import SingleTab
from tests.space import noise
from tests.test_app_units import FORM, make_context, make_tab

META = {"_type": "gradio.FileData"}


def test_the_last_message_shows_the_result_and_ends_the_work(tmp_path: Path, model: HSRNet):
    root = tmp_path.resolve()
    tab = make_tab(SingleTab, make_context(root, model), [])
    for number in range(5):
        path = root / f"tiny{number}.png"
        noise((8, 8), seed=number).save(path)
        request = gr.Request(session_hash=f"visitor{number}")
        upload = tab.receive(request, {"path": str(path), "meta": META}, *FORM)[tab.inputs.upload]
        last = list(tab.run(request, upload, *FORM))[-1]
        assert (
            last[tab.result.column]["visible"] is True and "hsr-viewer" in last[tab.result.slider]
        )
        assert last[tab.inputs.progress_bar]["visible"] is False
        assert last[tab.inputs.cancel_button]["visible"] is False
        assert last[tab.result.shown].result.path.exists()
