"""Texts of the whole page: its foot, the overlay for files, and what other sites show for it."""

from __future__ import annotations

from html import escape
from typing import Any

from hsr_hub.hub import ORGANIZATION, REPOSITORY
from hsr_hub.webapp.limits import (
    KEEP_SECONDS,
    MAX_FILES,
    MAX_MEGAPIXELS,
    MAX_RESULT_MEGAPIXELS,
    MAX_UPLOAD_MEGABYTES,
)

NAME = "hsr-hub: sharper photos"
SHORT_NAME = "hsr-hub"
HEADLINE = "Sharper photos, honest to the original"
DESCRIPTION = "Drop a small photo. It comes back larger and sharper, with the colours it had."
SINGLE_TAB = "One photo"
BATCH_TAB = "Several photos"
DUPLICATE = "Duplicate this Space"

FILES = "assets/hsr-hub"
"""Folder of the page's own files, relative to the page."""

THEME_COLOR, THEME_COLOR_DARK = "#ffffff", "#0a0f1e"
"""Background of the page, for the frame that a phone or an installed page draws around it."""


DROP_OVERLAY = f"""
<div class="hsr-drop" data-max-files="{MAX_FILES}"><p role="status">
<strong class="hsr-drop-ready">Drop it here.</strong>
<span class="hsr-drop-ready">One photo opens in “{SINGLE_TAB}”, several in “{BATCH_TAB}”.</span>
<strong class="hsr-drop-busy">Your photos are being made.</strong>
<span class="hsr-drop-busy">Cancel first, or wait until they are done. One photo can be dropped now.
</span>
<strong class="hsr-drop-many">These are too many files.</strong>
<span class="hsr-drop-many">Take up to {MAX_FILES} at once.</span>
</p></div>
"""


def about(keep_seconds: float = KEEP_SECONDS) -> str:
    """Return the foot of the page: what it takes, how long it keeps it, and links.

    Args:
        keep_seconds: How long files are kept after their last use.
    """
    kept = "an hour" if keep_seconds == 3600 else f"{keep_seconds / 60:.0f} minutes"
    return f"""
<div class="hsr-about">
<p>Up to {MAX_UPLOAD_MEGABYTES} MB and {MAX_MEGAPIXELS} megapixels a photo, {MAX_FILES} photos at
once, {MAX_RESULT_MEGAPIXELS} megapixels a result. Photos and results are deleted {kept} after
their last use. Visitors take turns, and small photos may overtake large ones.</p>
<p><a href="{REPOSITORY}">Code</a> ·
<a href="https://huggingface.co/{ORGANIZATION}">Models</a> ·
<a href="{REPOSITORY}/blob/main/LICENSE">Apache License 2.0</a> ·
<a href="?view=api">Use it from a program</a></p>
</div>
"""


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
