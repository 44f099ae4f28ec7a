"""The jobs by name, each with one line on what it does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rtrec.errors import InputError, nearest
from rtrec.jobs.request import JobRequest


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
