"""Versions and workflows: nothing old with advisories, nothing that can change by itself."""

from __future__ import annotations

import re

import pytest
import yaml
from packaging.requirements import Requirement

from tests.util import ROOT

BOUNDS = {
    # Above the versions with published advisories, and below the next major, as we use their
    # private parts.
    "pillow": ("12.2.0", "13.0"),
    "gradio": ("6.6.0", "7.0"),
    "uvicorn": ("0.30.6", "1.0"),  # it knew no networks of proxies
    "h11": ("0.15.0", None),
    "huggingface-hub": (None, "3.0"),
    "jinja2": ("3.1.5", None),
    "numpy": ("1.22.4", None),
    "pi-heif": ("1.2.1", None),
    "psutil": ("5.6.5", None),
    "pyvips-binary": ("8.17.1", None),
    "tqdm": ("4.66.2", None),
    "safehttpx": (None, "0.2"),
    "python-multipart": ("0.0.25", None),
}
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("name", BOUNDS)
def test_versions_are_bounded(name: str):
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    texts = [line for line in lines if re.match(rf"{name}\b", line)]
    texts += re.findall(rf'"({name}\b[^"]*)"', (ROOT / "pyproject.toml").read_text())
    assert len(texts) == 2
    for text in texts:
        allowed = Requirement(text).specifier
        assert not any(version and version in allowed for version in BOUNDS[name]), text


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_and_rights_are_least(path):
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] in ({}, {"contents": "read"})
    for name, job in workflow["jobs"].items():
        for step in job["steps"]:
            assert "uses" not in step or re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step["uses"])
        if job.get("permissions", {}).get("contents") == "write":
            commands = " ".join(step.get("run", "") for step in job["steps"])
            assert name == "release" and "pip" not in commands and "build" not in commands
