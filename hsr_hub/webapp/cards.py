"""Images with captions that can be clicked: the results of a visit, and trials."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path
from urllib.parse import quote

import gradio as gr

SCRIPT = Path(__file__).with_name("page.cards.js").read_text(encoding="utf-8")


def build_cards(elem_id: str) -> gr.HTML:
    """Lay out the cards, which are hidden at first. A click is a `select` event."""
    return gr.HTML(visible=False, elem_id=elem_id, elem_classes="hsr-cards", js_on_load=SCRIPT)


def cards(title: str, entries: Iterable[tuple[Path, str, bool]], pressed: int | None = None) -> str:
    """Return the HTML of cards, which `page.cards.js` loads and makes clickable.

    Args:
        title: Headline.
        entries: File, caption, and whether it can be clicked, of each.
        pressed: Number of the one that is shown now.
    """
    items = ""
    for index, (file, caption, clickable) in enumerate(entries):
        image = f'<img alt="" data-file="{escape(quote(str(file)))}">'
        content = f"{image}<span>{escape(caption)}</span>"
        if clickable:
            state = "true" if index == pressed else "false"
            content = (
                f'<button type="button" data-index="{index}" aria-pressed="{state}">'
                f"{content}</button>"
            )
        else:
            content = f"<div>{content}</div>"
        items += f"<li>{content}</li>"
    return f"<h3>{escape(title)}</h3><ul>{items}</ul>" if items else ""


def clicked_card(event: gr.EventData | None, count: int) -> int | None:
    """Return the number of the card that was clicked, if there is one. A browser can send anything.

    Args:
        event: The `select` event. Gradio gives None in place of one without data.
        count: How many cards there are.
    """
    data = getattr(event, "_data", None)
    number = data.get("index") if isinstance(data, dict) else None
    known = isinstance(number, int) and not isinstance(number, bool) and 0 <= number < count
    return number if known else None
