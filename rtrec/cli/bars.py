"""Progress on stderr, and none where nobody would see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from rtrec.cli.console import console

#: Called with what is being done, how much of it is done and how much there is.
Show = Callable[[str, int, int], None]


@contextmanager
def bar_each() -> Iterator[Show]:
    """Show a bar for each name while the block runs."""
    with _progress() as bars:
        tasks: dict[str, TaskID] = {}

        def show(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total)
            bars.update(tasks[name], completed=done)

        yield show


@contextmanager
def bar_of_steps(first: str) -> Iterator[Show]:
    """Show one bar, which says what was done last, while the block runs."""
    with _progress() as bars:
        task = bars.add_task(first, total=None)
        yield lambda what, done, total: bars.update(task, description=what, completed=done, total=total)


def _progress() -> Progress:
    err = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=err, disable=not err.is_terminal)
