"""A progress bar for downloads, on stderr, and none where nobody would see it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from rtrec.events import fetching


@contextmanager
def download_bar(label: str, *, console: Console | None = None) -> Iterator[fetching.Progress]:
    """Show a bar while the block runs; give what it yields to :func:`rtrec.events.fetching.fetch`.

    The bar appears with the first byte, so a data set that is there already shows none.
    """
    console = console or Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as bar:
        task = None

        def show(done: int, total: int | None) -> None:
            nonlocal task
            if task is None:
                task = bar.add_task(label, total=total)
            bar.update(task, completed=done)

        yield show
