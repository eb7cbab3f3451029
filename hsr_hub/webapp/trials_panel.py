"""Trials ("try all on this spot"): a small part of the photo with every choice of weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gradio as gr

from hsr_hub.hub import DETAIL
from hsr_hub.webapp import templates
from hsr_hub.webapp.cards import build_cards, cards, clicked_card
from hsr_hub.webapp.connections import Caller
from hsr_hub.webapp.context import AppContext
from hsr_hub.webapp.events import Updates, UpdateStream, html, visitor
from hsr_hub.webapp.form import adapted
from hsr_hub.webapp.input_panel import InputPanel
from hsr_hub.webapp.jobs import JobCancelledError
from hsr_hub.webapp.texts import in_browser, text
from hsr_hub.webapp.trials import Trial, TrialTask, choices, spot_of
from hsr_hub.webapp.uploads import Upload
from hsr_hub.webapp.upscale_request import request_from_form

FIND_SPOT = """(upload, spot, ...form) => [
    upload, document.querySelector("#slider .hsr-viewer")?.dataset.spot ?? "", ...form
]"""
"""Adds the middle of what the viewer shows to the values that are sent."""


class TrialsPanel:
    """A button below the result, and the trials as cards. Build it in the column of the result."""

    def __init__(self, context: AppContext, inputs: InputPanel) -> None:
        self.context, self.models, self.inputs = context, context.models, inputs
        self.try_button = gr.Button(
            in_browser("try_all"),
            size="sm",
            visible=len(choices(self.models)) > 1,
            elem_id="try-button",
        )
        self.trial_cards = build_cards("trials")
        self.tried = gr.State([])
        """The `Trial`s that can be chosen."""
        self.spot = gr.JSON(visible=False)
        """Where to look: FIND_SPOT sends it."""

    def try_all(
        self, request: gr.Request, upload: Upload | None, spot: Any, *form: Any
    ) -> UpdateStream:
        """Make a small part of the photo with every choice."""
        inputs = self.inputs
        if upload is None or not upload.exists:
            box = templates.error_box(text("photo_gone"), text("give_again"))
            yield {inputs.error_box: html(box)}
            return
        try:
            wanted = request_from_form(self.models, *form)
            target = wanted.target(upload.size)
        except ValueError as error:
            yield {inputs.error_box: html(templates.option_error(error))}
            return
        same_size = target == upload.size
        requests = [
            replace(wanted, model=model, strength=strength)
            for model, strength in choices(self.models, same_size)
        ]
        if not requests:
            yield gr.skip()
            return
        job = self.context.jobs.start(visitor(request))
        source, place = (upload.path, upload.name), spot_of(spot)
        task = TrialTask(self.context, job, source, requests, place, Caller.of(request))
        ended: Updates = {
            inputs.progress_bar: html(""),
            inputs.run_button: gr.update(visible=True),
            inputs.cancel_button: gr.update(visible=False),
            self.try_button: gr.update(interactive=True),
        }
        yield {
            inputs.error_box: html(""),
            inputs.progress_bar: html(templates.starting()),
            inputs.run_button: gr.update(visible=False),
            inputs.cancel_button: gr.update(visible=True),
            self.try_button: gr.update(interactive=False),
        }
        try:
            for progress in task:
                if not job.cancelled:
                    yield {inputs.progress_bar: html(templates.progress(progress))}
        except JobCancelledError:
            yield {self.try_button: gr.update(interactive=True)} if job.replaced else ended
            return
        except gr.Error:  # from ZeroGPU: no GPU time left today, for example
            yield ended
            raise
        except (ValueError, OSError, RuntimeError, MemoryError) as error:
            box = templates.error_box(text("error_work"), error)
            yield {**ended, inputs.error_box: html(box)}
            return
        assert task.result is not None
        yield {**ended, self.tried: task.result, self.trial_cards: self._show(task.result)}

    def choose_trial(self, tried: list[Trial], scale: Any, event: gr.EventData) -> Updates:
        """Choose the weights of a trial that was clicked."""
        number = clicked_card(event, len(tried))
        wanted = None if number is None else tried[number].request
        if wanted is None:
            return gr.skip()
        name = wanted.model + DETAIL if wanted.strength else wanted.model
        model = name if name in self.models.labels else wanted.model
        form = self.inputs.form
        return {form.model: model, **adapted(form, self.models, model, scale, wanted.strength)}

    def clear(self) -> Updates:
        """Return updates that remove the trials."""
        return {self.tried: [], self.trial_cards: html("")}

    def _show(self, tried: list[Trial]) -> dict[str, Any]:
        entries = []
        for trial in tried:
            name = text("trial_plain")
            if trial.request is not None:
                name = templates.choice_label(self.models, trial.request)
            entries.append((trial.file, name, trial.request is not None))
        return html(cards(text("trials_title"), entries))
