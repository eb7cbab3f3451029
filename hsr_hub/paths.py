"""Where test sets, training photos and metric weights outside the repository are looked for."""

from __future__ import annotations

import os
from pathlib import Path


def data_root() -> Path:
    """The folder named by HSR_DATA, by default `../shared/data` beside the repository.

    It may be missing: whoever needs it says so, or makes small data of its own.
    """
    default = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
    return Path(os.environ.get("HSR_DATA") or default).resolve()
