"""Addresses of the project, for cards and the documentation."""

from __future__ import annotations

REPOSITORY = "https://github.com/hsr-hub/hsr-hub"
"""The source code. pyproject.toml and CITATION.cff repeat it, and a test compares them."""

ORGANIZATION = "hsr-hub"
"""Account on the Hugging Face Hub that publishes the bundled models."""

DEMO = f"https://huggingface.co/spaces/{ORGANIZATION}/hsr-hub"
PATENT = "https://patents.google.com/patent/CN111369440B"
