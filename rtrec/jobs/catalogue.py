"""The jobs by name, each with one line on what it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rtrec.errors import InputError, nearest

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


class Job(NamedTuple):
    """A job: what to call, and what it does; it returns the file or folder it wrote."""

    run: Callable[[JobRequest], Path]
    sentence: str


def _evaluate(request: JobRequest) -> Path:
    from rtrec.jobs.evaluate import report_on_deployment  # Dask and Bokeh take seconds to import

    return report_on_deployment(request)


def _features(request: JobRequest) -> Path:
    from rtrec.jobs.features import recompute_features

    return recompute_features(request)


def _refit(request: JobRequest) -> Path:
    from rtrec.jobs.refit import refit_and_publish

    return refit_and_publish(request)


JOBS: dict[str, Job] = {
    "evaluate": Job(_evaluate, "test every model on the log so far and write a report, one HTML file"),
    "features": Job(_features, "recompute the historical features from the log and publish the next version"),
    "refit": Job(_refit, "fit a model on the log so far and publish its table, also while a run goes on"),
}


def get_job(name: str) -> Job:
    """Return a job by name.

    Raises
    ------
    InputError
        If there is none of that name; the nearest is named.
    """
    if name not in JOBS:
        raise InputError(f"unknown job {name!r}{nearest(name, JOBS)}; there are {', '.join(JOBS)}")
    return JOBS[name]
