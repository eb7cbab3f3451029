"""Texts of the page in the visitor's language.

The catalogs are JSON files in `locales`, which have the same keys. English is the source of the
others and the fallback. Texts of components are translated in the browser, see `in_browser`, and
texts that a handler makes here, see `text`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import gradio as gr
from gradio.context import LocalContext

LOCALES = Path(__file__).with_name("locales")
LANGUAGES = ("en", "de", "zh", "es", "fr")
CATALOGS: dict[str, dict[str, str]] = {
    name: json.loads((LOCALES / f"{name}.json").read_text(encoding="utf-8")) for name in LANGUAGES
}
ENGLISH = CATALOGS["en"]

PREFIX = "hsr_"
"""Of the keys in the browser, where Gradio has texts of its own."""

MAX_TRANSLATED = 1000
"""Characters of a text of the library that is looked up in the catalogs. It can quote a visitor's
file, and finding the placeholders takes more than linear time."""

_chosen: ContextVar[str | None] = ContextVar("chosen", default=None)


def first_language(header: str | None) -> str:
    """Return the language of the page for a header Accept-Language.

    Only the first language counts, as it does for Gradio in the browser. Otherwise the page could
    have two.
    """
    first = re.split("[,;-]", header or "", maxsplit=1)[0].strip().lower()
    return first if first in CATALOGS else "en"


def language() -> str:
    """Return the language of the visitor whose request is being handled."""
    chosen = _chosen.get()
    if chosen is not None:
        return chosen
    request = LocalContext.request.get(None)  # set by Gradio around each step of a handler
    headers = getattr(request, "headers", None)
    return first_language(headers.get("accept-language") if headers else None)


@contextmanager
def spoken(language: str) -> Iterator[None]:
    """Use a language until the end of the block."""
    token = _chosen.set(language)
    try:
        yield
    finally:
        _chosen.reset(token)


def text(key: str, **values: object) -> str:
    """Return a text of the catalogs in the visitor's language.

    Args:
        key: Its key.
        values: For its placeholders.
    """
    return CATALOGS[language()][key].format(**values)


def number(value: float, digits: int = 0) -> str:
    """Return a number with the visitor's decimal point."""
    return f"{value:.{digits}f}".replace(".", text("decimal_point"))


def percent(fraction: float) -> str:
    """Return a fraction as a percentage."""
    return text("percent", count=round(100 * fraction))


def translated(english: str, prefix: str) -> str:
    """Return an English text of the library in the visitor's language, if the catalogs have it.

    Args:
        english: The text.
        prefix: Start of the keys that it can have.
    """
    if len(english) > MAX_TRANSLATED:
        return english
    for key in ENGLISH:
        if key.startswith(prefix) and (found := _pattern(key).fullmatch(english)):
            return text(key, **found.groupdict())
    return english


def _pattern(key: str) -> re.Pattern[str]:
    """Return what finds an English text and the values of its placeholders."""
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+)", re.escape(ENGLISH[key])))


def in_browser(key: str) -> str:
    """Return a mark that Gradio replaces in the browser: for a whole label, info, value or choice.

    Args:
        key: Of a text without placeholders, or of one of the `translations`.
    """
    return str(gr.I18n()(PREFIX + key))


def label_in_browser(english: str) -> str:
    """Return a mark for the name of weights, if the catalogs have it."""
    key = next((k for k, t in ENGLISH.items() if k.startswith("model_") and t == english), None)
    return in_browser(key) if key else english


def translations(made: Mapping[str, Callable[[], str]]) -> gr.I18n:
    """Return all texts that the browser can translate.

    Args:
        made: Further texts by key, such as blocks of HTML, which are made in every language.
    """
    found: dict[str, dict[str, str]] = {}
    for name, catalog in CATALOGS.items():
        with spoken(name):
            texts = {key: text for key, text in catalog.items() if "{" not in text}
            texts |= {key: make() for key, make in made.items()}
        found[name] = {PREFIX + key: text for key, text in texts.items()}
    # Gradio knows Chinese by its regions only.
    return gr.I18n(**found, **{"zh-CN": found["zh"], "zh-TW": found["zh"]})
