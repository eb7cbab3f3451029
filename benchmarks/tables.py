"""Read the results of benchmarks, and write Markdown tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.common import RESULTS

Row = dict[str, Any]


def read(name: str) -> dict[str, Any]:
    """Return the results of a benchmark."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def table(head: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def footer(results: dict[str, Any]) -> str:
    """Return the line below a table: machine, versions, date."""
    c = results["environment"]
    versions = ", ".join(f"{name} {version}" for name, version in c["versions"].items())
    return f"*{machine(c)}; Python {c['python']}, {versions}; {c['date']}*"


def machine(environment: dict[str, Any]) -> str:
    """Return processor, cores, memory and GPU."""
    gpu = f", {environment['gpu']}" if environment["gpu"] else ""
    cores, memory = environment["cores"], environment["memory_gib"]
    return f"{environment['cpu']}, {cores} cores, {memory} GiB{gpu}"


def method_name(row: Row) -> str:
    """Return the method with its strength, if it has one."""
    return f"{row['method']}, strength {row['strength']:g}" if row["strength"] else row["method"]


def column(values: Sequence[float | None], spec: str, *, lower: bool = False) -> list[str]:
    """Return the cells of a column, with the best value in bold and "-" for a missing one.

    Args:
        values: One per row.
        spec: Format of a value.
        lower: Whether the lowest value is the best, not the highest.
    """
    cells = ["-" if value is None else f"{value:{spec}}" for value in values]
    measured = [value for value in values if value is not None]
    best = f"{(min if lower else max)(measured):{spec}}" if measured else None
    return [f"**{cell}**" if cell == best else cell for cell in cells]


def columns_table(head: Sequence[str], names: Sequence[str], columns: Sequence[list[str]]) -> str:
    """Return a table of a row per name and the given columns."""
    return table(head, zip(names, *columns, strict=True))


def label_of(name: str) -> str:
    """Return the name of a method for a table, ours in code."""
    method, comma, strength = name.partition(",")
    return f"`{method}`{comma}{strength}" if method.startswith("hsr-") else name
