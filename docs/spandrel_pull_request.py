"""Write the files of a pull request that adds the network to spandrel.

    python -m docs.spandrel_pull_request FOLDER

FOLDER is `libs/spandrel/spandrel` of a checkout of spandrel. The new files are made from
`hsr_hub/network.py` and `hsr_hub/export/spandrel.py`, so that they cannot differ from what our
tests prove; two lines are added to spandrel's registry.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import textwrap
from pathlib import Path

from hsr_hub import network
from hsr_hub.export import spandrel as ours

NAME = "HSRNet"
SOURCE = "# From hsr-hub, https://github.com/hsr-hub/hsr-hub, Apache-2.0.\n"

IMPORTS = """from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from spandrel.util import KeyCondition

from ...__helpers.model_descriptor import Architecture, ImageModelDescriptor
from .__arch.hsrnet import UP_FACTORS, HSRNetwork
"""


def architecture_class() -> str:
    """Return the source of the class inside `architecture`, at the left margin."""
    source = inspect.getsource(ours.architecture)
    node = next(n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.ClassDef))
    lines = source.splitlines()[node.lineno - 1 : node.end_lineno]
    return textwrap.dedent("\n".join(lines)) + "\n"


def package() -> str:
    """Return the source of `architectures/HSRNet/__init__.py`."""
    parts = [inspect.getsource(ours.LastLevel), inspect.getsource(ours.read_config)]
    parts += [architecture_class(), f'__all__ = ["{NAME}Arch", "HSRNetwork"]\n']
    return SOURCE + IMPORTS + "\n\n" + "\n\n".join(parts)


def registry(text: str) -> str:
    """Return spandrel's `main_registry.py` with the architecture.

    Raises:
        ValueError: The file does not look as expected.
    """
    imported, added = "    HAT,\n", "    ArchSupport.from_architecture(HAT.HATArch()),\n"
    if NAME in text or text.count(imported) != 1 or text.count(added) != 1:
        raise ValueError(f"main_registry.py must name HAT twice, and not {NAME}: add it by hand")
    text = text.replace(imported, f"{imported}    {NAME},\n")
    return text.replace(added, f"{added}    ArchSupport.from_architecture({NAME}.{NAME}Arch()),\n")


def write(folder: Path) -> None:
    """Write the files into spandrel's package."""
    path = folder / "__helpers" / "main_registry.py"
    changed = registry(path.read_text(encoding="utf-8"))
    new = folder / "architectures" / NAME
    (new / "__arch").mkdir(parents=True)
    (new / "__init__.py").write_text(package(), encoding="utf-8")
    (new / "__arch" / "__init__.py").write_text("", encoding="utf-8")
    code = SOURCE + inspect.getsource(network)
    (new / "__arch" / "hsrnet.py").write_text(code, encoding="utf-8")
    path.write_text(changed, encoding="utf-8")


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    write(parser.parse_args().folder)


if __name__ == "__main__":
    main()
