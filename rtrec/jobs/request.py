"""What a job is started with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

#: Called with what was just done, how many steps are done and how many there are.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class JobRequest:
    """What a job is started with.

    Attributes
    ----------
    home
        The deployment it works for. A run may go on there meanwhile: jobs read the log, and at most leave a
        control record in it.
    models
        Names from the registry; empty for all. The job ``refit`` takes one, with options.
    scheduler
        Address of a Dask scheduler; None starts a cluster on this machine for the time of the job.
    tls
        The folder with certificates for a scheduler at ``tls://...``.
    progress
        Is told after each step.
    slot
        Which place a table is published for.
    anew
        Fit from nothing, whatever the last fit learned.
    publish
        The job ``features``: also let the blend look at them.
    """

    home: Path
    models: tuple[str, ...] = ()
    scheduler: str | None = None
    tls: Path | None = None
    progress: Progress | None = None
    slot: str = "history"
    anew: bool = False
    publish: bool = False
