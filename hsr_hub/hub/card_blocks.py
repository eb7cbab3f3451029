"""The blocks of a model card: the parts between markers, which a newer card replaces."""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

BLOCK_FORMAT = (
    "<!-- hsr-hub:{name} is written by the program; edit outside of it -->\n"
    "{text}\n"
    "<!-- /hsr-hub:{name} -->"
)
MARKER = re.compile(
    r"(?P<heading>^#{1,6} [^\n]*\n{1,2})?"
    r"(?P<marker><!-- (?P<slash>/?)hsr-hub:(?P<name>\w+)\b[^<>\n]*-->)",
    re.MULTILINE,
)
"""A marker with the heading directly before it."""

SECTIONS = {"metrics": "## Metrics", "training": "## Training"}
"""Headings of the blocks that have a section of their own, which is left out if it has no text."""

OLD_MARKER = re.compile(r"(?:^## Figures\n\n)?(<!-- /?hsr-hub:)figures\b", re.MULTILINE)
"""Earlier versions called the metrics "figures", in the heading too."""

OLD_PLACEHOLDERS = {
    "Not measured yet: `hsr-hub evaluate --model DIR --data TESTSET` prints them.",
    "Not recorded.",
}
"""Texts of earlier versions for blocks that had nothing to say."""


def block_text(name: str, text: str) -> str:
    """Return a block with its markers."""
    return BLOCK_FORMAT.format(name=name, text=text)


def section_text(name: str, text: str, heading: str = "") -> str:
    """Return a block with its heading.

    Args:
        name: The block.
        text: Its text.
        heading: The heading that the card has there already. People may have changed it.
    """
    own = SECTIONS.get(name)
    if own and text and not heading:
        heading = f"{own}\n\n"
    if own and not text and heading.strip() == own:
        heading = ""
    return heading + block_text(name, text)


class Block(NamedTuple):
    """A part of a card between our markers."""

    name: str
    text: str
    heading: str
    """The heading directly before the block; empty if there is none."""
    start: int
    """Index of the first character of the heading and the opening marker in the card."""
    end: int
    """Index after the closing marker."""


def blocks(text: str) -> list[Block]:
    """Return the blocks of a card in order. They do not overlap.

    A block ends at the first closing marker of its name. An opening marker without one is text.
    The time is linear in the length of the card.
    """
    markers = list(MARKER.finditer(text))
    closing: dict[str, deque[re.Match[str]]] = defaultdict(deque)
    for marker in markers:
        if marker["slash"]:
            closing[marker["name"]].append(marker)
    found: list[Block] = []
    end = 0
    for opening in markers:
        if opening["slash"] or opening.start() < end:
            continue
        candidates = closing[opening["name"]]
        while candidates and candidates[0].start() < opening.end():
            candidates.popleft()
        if candidates:
            inner = text[opening.end() : candidates[0].start("marker")]
            inner = inner.removeprefix("\n").removesuffix("\n")
            if inner in OLD_PLACEHOLDERS:
                inner = ""
            end = candidates[0].end()
            heading = opening["heading"] or ""
            found.append(Block(opening["name"], inner, heading, opening.start(), end))
    return found


def replace_blocks(text: str, found: Sequence[Block], replace: Callable[[Block], str]) -> str:
    """Return a card's text with the blocks that were found in it replaced."""
    parts, end = [], 0
    for block in found:
        parts += [text[end : block.start], replace(block)]
        end = block.end
    return "".join([*parts, text[end:]])


def normalize(text: str) -> str:
    """Return a card's text with the line ends and the block names of today."""

    def rename(match: re.Match[str]) -> str:
        heading = "## Metrics\n\n" if match[0].startswith("#") else ""
        return f"{heading}{match[1]}metrics"

    return OLD_MARKER.sub(rename, text.replace("\r\n", "\n"))
