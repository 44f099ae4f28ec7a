"""Progress on stderr, and none where nobody would see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from rtrec.cli.console import console

if TYPE_CHECKING:
    from rtrec.events import fetching

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


@contextmanager
def download_bar(label: str, *, err: Console | None = None) -> Iterator[fetching.Progress]:
    """Show a bar while the block runs; give what it yields to :func:`rtrec.events.fetching.fetch`.

    The bar appears with the first byte, so a data set that is there already shows none.
    """
    with _progress(DownloadColumn(), TransferSpeedColumn(), err=err) as bar:
        task = None

        def show(done: int, total: int | None) -> None:
            nonlocal task
            if task is None:
                task = bar.add_task(label, total=total)
            bar.update(task, completed=done)

        yield show


def _progress(*amounts: ProgressColumn, err: Console | None = None) -> Progress:
    err = err or console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), *(amounts or (MofNCompleteColumn(),)))
    return Progress(*columns, TimeRemainingColumn(), console=err, disable=not err.is_terminal)
