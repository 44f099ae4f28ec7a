"""The job ``features``: recompute the historical features from the log, publish them and say what changed.

Tasks read the Parquet history of the log, and what is not compacted yet from the log itself, up to where the
log ended when the job began; a run may go on writing meanwhile. Features are as of a microsecond after the
latest event among those, by event time: a log that is replayed from last year has features of last year.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from datetime import datetime
from html import escape
from pathlib import Path

import numpy as np
import structlog

from rtrec.clock import utc_now
from rtrec.errors import InputError
from rtrec.evaluation.markup import table
from rtrec.features.historical.build import compute_features
from rtrec.features.historical.cohorts import size_drift
from rtrec.features.historical.declared import ITEM_FEATURES, USER_FEATURES
from rtrec.features.historical.features import HistoricalFeatures
from rtrec.features.historical.frame import frame_of_log, moment_after
from rtrec.files import publish_text
from rtrec.jobs.catalogue import JobRequest
from rtrec.jobs.evaluate import dask_client
from rtrec.jobs.findings import settings_now
from rtrec.jobs.report_page import page
from rtrec.models.historical import next_version, usable_features, write_features

_DASH = "\u2013"
_log = structlog.get_logger(__name__)


def recompute_features(request: JobRequest, *, clock: Callable[[], datetime] = utc_now) -> Path:
    """Publish the next version under the deployment's ``features`` folder; return the path of a report on it.

    Raises
    ------
    DeploymentError
        If there is no deployment.
    InputError
        If its log has no events yet.
    """
    from rtrec.engine.deployment import Deployment

    deployment = Deployment(request.home)
    manifest, time = deployment.manifest, clock()
    log = deployment.open_log(mode="read")
    try:
        ends, settings = log.ends(), settings_now(log, manifest["settings"])
        if not any(ends):
            raise InputError("the log has no events yet: start `rtrec run` on this home first")
        frame = frame_of_log(log, ends, settings.kind_weights())
    finally:
        log.close()
    before = usable_features(deployment.features)
    with dask_client(request.scheduler, n_tasks=frame.npartitions):
        features = compute_features(
            frame,
            as_of=moment_after(frame),
            ends=ends,
            version=next_version(deployment.features),
            earlier=None if before is None else before.earlier,
            progress=request.progress,
        )
    drift = None if before is None else size_drift(_sizes(before), _sizes(features))
    about = {"computed": time.isoformat(), "cohort_size_drift": drift}
    path = write_features(deployment.features, features, about)
    report = deployment.reports / f"features-{time:%Y%m%dT%H%M%SZ}.html"
    publish_text(report, render(features, before, path, _command(request)))
    _log.info(
        "historical features recomputed",
        version=features.version,
        where=str(path),
        events=features.n_events,
        items=len(features.items),
        users=len(features.users),
        cohort_size_drift=drift,
    )
    return report


def render(features: HistoricalFeatures, before: HistoricalFeatures | None, path: Path, command: str) -> str:
    """Return a report on a version: what it was computed from, how cohorts moved, and every feature in it."""
    sections = [
        ("data", "Data", _data(features, path)),
        ("cohorts", "Cohorts", _cohorts(features, before)),
        ("items", "Item features", _declared(features, "item")),
        ("users", "User features", _declared(features, "user")),
        ("again", "How this was made", f"<p><code>{escape(command)}</code></p>"),
    ]
    return page(
        title=f"Historical features, version {features.version}",
        subtitle=f"As of {features.time:%Y-%m-%d %H:%M:%S} UTC, from events before that",
        headline=_headline(features, before),
        sections=sections,
    )


def _headline(features: HistoricalFeatures, before: HistoricalFeatures | None) -> str:
    text = (
        f"{len(ITEM_FEATURES)} features of {len(features.items):,} items and {len(USER_FEATURES)} of "
        f"{len(features.users):,} users, from {features.n_events:,} events."
    )
    if before is None:
        return text
    drift = size_drift(_sizes(before), _sizes(features))
    word = "hardly" if drift < 0.1 else "noticeably" if drift < 0.25 else "much"
    return f"{text} The sizes of cohorts have {word} changed (stability index {drift:.3f})."


def _data(features: HistoricalFeatures, path: Path) -> str:
    rows = [
        ["folder", str(path)],
        ["events", f"{features.n_events:,}"],
        ["offsets", ", ".join(f"{end:,}" for end in features.ends) or _DASH],
        ["items", f"{len(features.items):,}"],
        ["users", f"{len(features.users):,}"],
        ["crosses", ", ".join(cross.name for cross in features.crosses)],
    ]
    return table("What it was computed from", ["", ""], rows)


def _cohorts(features: HistoricalFeatures, before: HistoricalFeatures | None) -> str:
    n_users, n_before = sum(_sizes(features)), 0 if before is None else sum(_sizes(before))
    rows = []
    for number, cohort in enumerate(features.cohorts):
        share, was = cohort.n_users / n_users, _DASH
        if before is not None and number < len(before.cohorts):
            was = f"{before.cohorts[number].n_users / n_before:.1%}"
        rows.append([str(number), cohort.name, f"{cohort.n_users:,}", f"{share:.1%}", was, cohort.sentence])
    head = ["number", "cohort", "users", "share", "share before", "what they do"]
    note = "A cohort keeps its number from version to version: new centres are matched with the last ones."
    return table("Groups of users by k-means over what they do", head, rows, [note])


def _declared(features: HistoricalFeatures, side: str) -> str:
    matrix, declared = (features.item, ITEM_FEATURES) if side == "item" else (features.user, USER_FEATURES)
    rows = []
    for number, feature in enumerate(declared):
        column = matrix[:, number]
        known = column[np.isfinite(column)]
        middle = [_DASH] * 3
        if len(known):
            middle = [f"{level:.3g}" for level in np.quantile(known, [0.1, 0.5, 0.9])]
        missing = f"{1.0 - len(known) / len(column):.1%}"
        rows.append([feature.name, feature.source, feature.transform, feature.why, *middle, missing])
    head = ["feature", "from", "transform", "why", "10%", "50%", "90%", "missing"]
    return table(f"{len(declared)} features, transformed", head, rows)


def _sizes(features: HistoricalFeatures) -> list[int]:
    return [cohort.n_users for cohort in features.cohorts]


def _command(request: JobRequest) -> str:
    words = ["rtrec", "jobs", "run", "features", "--home", str(request.home)]
    if request.scheduler is not None:
        words += ["--scheduler", request.scheduler]
    return shlex.join(words)
