"""How the command line speaks: tables and JSON on stdout, everything else on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

#: Tables in a pipe or a file are this wide at most; on a terminal they follow its width.
_PIPE_WIDTH = 160


def console(*, stderr: bool = False) -> Console:
    """Return a console on stdout or stderr; plain text in a pipe, no colours where NO_COLOR is set."""
    from rich.console import Console

    is_terminal = (sys.stderr if stderr else sys.stdout).isatty()
    width = None if is_terminal or "COLUMNS" in os.environ else _PIPE_WIDTH
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def say(text: str, *, style: str = "") -> None:
    """Print a line about what is going on to stderr, in one piece however long it is."""
    console(stderr=True).print(printable(text), style=style, soft_wrap=True)


def complain(text: str) -> None:
    """Print an error to stderr."""
    from rich.text import Text

    line = Text.assemble(("Error: ", "bold red"), printable(text))
    console(stderr=True).print(line, soft_wrap=True)


def print_table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "", right: Sequence[str] = ()
) -> None:
    """Print a table to stdout; ``right`` names the columns that are set to the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for name in head:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    console().print(table)


def print_json(values: Mapping[str, Any]) -> None:
    """Print one JSON object on a line of its own to stdout."""
    print(json.dumps(values, ensure_ascii=False, allow_nan=False, default=str), flush=True)  # noqa: T201


def printable(text: str) -> str:
    r"""Return ``text`` with control characters spelt out: what a file says must not steer a terminal.

    >>> printable("\x1b[2J")
    '\\x1b[2J'
    """
    return "".join(
        sign if sign.isprintable() or sign == "\n" else sign.encode("unicode_escape").decode()
        for sign in text
    )
