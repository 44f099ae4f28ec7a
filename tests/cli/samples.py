"""Files for the command line to read, and how to read what it prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_events(path: Path, n_events: int = 200, **columns: list[Any]) -> Path:
    """Write a CSV of sound events: 7 users, 5 items, one a minute; ``columns`` replace or add some."""
    table: dict[str, list[Any]] = {
        "user": [f"u{row % 7}" for row in range(n_events)],
        "item": [f"i{row % 5}" for row in range(n_events)],
        "at": [1_700_000_000 + 60 * row for row in range(n_events)],
        "price": [1 + row % 3 for row in range(n_events)],
    }
    table |= columns
    lines = [",".join(table), *(",".join(map(str, row)) for row in zip(*table.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def json_lines(output: str) -> list[dict[str, Any]]:
    """Return the JSON objects of an output, one a line."""
    return [json.loads(line) for line in output.splitlines()]


#: How the columns of :func:`write_events` are named on the command line.
COLUMNS = ("--user", "user", "--item", "item", "--time", "at", "--value", "price")
