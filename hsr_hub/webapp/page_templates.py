"""Texts of the whole page: its foot, the overlay for files, and what other sites show for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from html import escape
from typing import Any

from hsr_hub.hub import ORGANIZATION, REPOSITORY
from hsr_hub.webapp import batch_templates, templates
from hsr_hub.webapp.limits import (
    KEEP_SECONDS,
    MAX_FILES,
    MAX_MEGAPIXELS,
    MAX_RESULT_MEGAPIXELS,
    MAX_UPLOAD_MEGABYTES,
)
from hsr_hub.webapp.templates import FILES
from hsr_hub.webapp.texts import ENGLISH, language, text

NAME = "hsr-hub: sharper photos"
SHORT_NAME = "hsr-hub"
HEADLINE, DESCRIPTION = ENGLISH["headline"], ENGLISH["description"]
"""For other sites, whose visitors have many languages."""

EXAMPLES = ("web", "old", "coffee", "astronaut", "cat")
"""Ends of the keys of the examples' names."""

THEME_COLOR, THEME_COLOR_DARK = "#ffffff", "#0a0f1e"
"""Background of the page, for the frame that a phone or an installed page draws around it."""


def drop_overlay() -> str:
    """Return the overlay for files, which also holds texts for the page's scripts."""
    names = [text("example", name=text(f"example_{name}")) for name in EXAMPLES]
    where = text("drop_where", single=text("tab_single"), batch=text("tab_batch"))
    return f"""
<div class="hsr-drop" data-max-files="{MAX_FILES}" data-examples="{escape(json.dumps(names))}"
 data-too-large="{text("toast_too_large")}" data-language="{language()}"><p role="status">
<strong class="hsr-drop-ready">{text("drop_here")}</strong>
<span class="hsr-drop-ready">{where}</span>
<strong class="hsr-drop-busy">{text("drop_busy")}</strong>
<span class="hsr-drop-busy">{text("drop_busy_text")}</span>
<strong class="hsr-drop-many">{text("drop_many")}</strong>
<span class="hsr-drop-many">{text("drop_many_text", count=MAX_FILES)}</span>
</p></div>
"""


def about(keep_seconds: float = KEEP_SECONDS) -> str:
    """Return the foot of the page: what it takes, how long it keeps it, and links.

    Args:
        keep_seconds: How long files are kept after they were written.
    """
    hour = keep_seconds == 3600
    kept = text("kept_hour") if hour else text("kept_minutes", count=round(keep_seconds / 60))
    limits = text(
        "about",
        megabytes=MAX_UPLOAD_MEGABYTES,
        megapixels=MAX_MEGAPIXELS,
        files=MAX_FILES,
        largest=MAX_RESULT_MEGAPIXELS,
        kept=kept,
    )
    return f"""
<div class="hsr-about">
<p>{limits}</p>
<p><a href="{REPOSITORY}">{text("about_code")}</a> ·
<a href="https://huggingface.co/{ORGANIZATION}">{text("about_models")}</a> ·
<a href="{REPOSITORY}/blob/main/LICENSE">{text("about_license")}</a> ·
<a href="?view=api">{text("about_api")}</a></p>
</div>
"""


MADE: dict[str, Callable[[], str]] = {
    "html_title": templates.title,
    "html_showcase": templates.showcase,
    "html_stale": templates.stale,
    "html_batch_placeholder": batch_templates.placeholder,
    "html_batch_stale": batch_templates.stale,
    "html_batch_viewer": batch_templates.viewer,
    "html_about": about,
    "html_drop_overlay": drop_overlay,
    "files": batch_templates.label,
}
"""Texts of components that are made of several, by their key in the browser."""


def head(origin: str) -> str:
    """Return what browsers, search engines, and other sites show for the page.

    Args:
        origin: Address of the page without its path, such as "https://example.org".
    """
    image = f"{origin}/{FILES}/preview.jpg"
    named = {
        "description": DESCRIPTION,
        "application-name": SHORT_NAME,
        "apple-mobile-web-app-title": SHORT_NAME,
        "twitter:card": "summary_large_image",
        "twitter:title": HEADLINE,
        "twitter:description": DESCRIPTION,
        "twitter:image": image,
    }
    properties = {
        "og:type": "website",
        "og:site_name": SHORT_NAME,
        "og:url": f"{origin}/",
        "og:title": HEADLINE,
        "og:description": DESCRIPTION,
        "og:image": image,
        "og:image:width": "1200",
        "og:image:height": "630",
        "og:image:alt": "A photo that is small and blocky on the left and sharp on the right",
    }
    lines = [f"<title>{escape(NAME)}</title>"]
    lines += [f'<meta name="{key}" content="{escape(text)}">' for key, text in named.items()]
    lines += [
        f'<meta property="{key}" content="{escape(text)}">' for key, text in properties.items()
    ]
    lines += [
        f'<meta name="theme-color" content="{color}" media="(prefers-color-scheme: {scheme})">'
        for scheme, color in (("light", THEME_COLOR), ("dark", THEME_COLOR_DARK))
    ]
    lines += [
        f'<link rel="icon" type="image/svg+xml" href="{FILES}/icon.svg">',
        f'<link rel="apple-touch-icon" href="{FILES}/icon-192.png">',
    ]
    return "\n".join(lines)


def manifest() -> dict[str, Any]:
    """Return the manifest with which browsers install the page as an app."""
    icons = [{"src": f"{FILES}/icon.svg", "sizes": "any", "type": "image/svg+xml"}]
    icons += [
        {
            "src": f"{FILES}/icon-{side}.png",
            "sizes": f"{side}x{side}",
            "type": "image/png",
            "purpose": purpose,
        }
        for side in (192, 512)
        for purpose in ("any", "maskable")
    ]
    return {
        "id": "./",
        "name": NAME,
        "short_name": SHORT_NAME,
        "description": DESCRIPTION,
        "start_url": "./",
        "scope": "./",
        "display": "standalone",
        "background_color": THEME_COLOR,
        "theme_color": THEME_COLOR,
        "icons": icons,
    }
