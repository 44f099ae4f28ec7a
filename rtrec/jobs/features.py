"""The job ``features``: recompute the historical features from the log, publish them and say what changed.

Tasks read the Parquet history of the log, and what is not compacted yet from the log itself, up to where the
log ended when the job began; a run may go on writing meanwhile. Features are as of a microsecond after the
latest event among those, by event time: a log that is replayed from last year has features of last year.

Asked to, it also publishes them as a table is published: what kernels read of them lies beside the tables,
and a control record in the log says that it counts from there on.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from html import escape
from pathlib import Path
from time import perf_counter

import numpy as np
import structlog

from rtrec.clock import utc_now
from rtrec.declared import HISTORICAL
from rtrec.engine.deployment import Deployment
from rtrec.engine.fitting import FEATURES, Fit, FitRequest, keep_features
from rtrec.engine.history import frame_up_to, part_to_publish, recompute
from rtrec.errors import InputError
from rtrec.evaluation.markup import table
from rtrec.features.historical.cohorts import size_drift
from rtrec.features.historical.declared import ITEM_FEATURES, USER_FEATURES
from rtrec.features.historical.features import HistoricalFeatures
from rtrec.jobs.findings import settings_now
from rtrec.jobs.report_page import page, publish_report
from rtrec.jobs.request import JobRequest
from rtrec.jobs.workers import client_for, cluster_words
from rtrec.models.table_store import TableStore
from rtrec.settings import Settings

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
    deployment, store = Deployment(request.home), TableStore(request.home)
    manifest, time, began = deployment.manifest, clock(), perf_counter()
    with closing(deployment.open_log(mode="read")) as log:
        ends, cuts = log.ends(), log.cuts()
        settings = settings_now(log, manifest["settings"])
    if not any(ends):
        raise InputError("the log has no events yet: start `rtrec run` on this home first")
    if request.publish:  # what no run has learned yet has no number that the blend could know it by
        ends = cuts[-1].ends if cuts else ()
        if not any(ends):
            raise InputError(
                f"{request.home}: no event has been learned yet: start `rtrec run` on this home first"
            )
    frame = frame_up_to(deployment, ends, settings)
    with store.fitting(HISTORICAL):  # versions count up, so one is made at a time
        with client_for(request, n_tasks=frame.npartitions):
            made = recompute(
                deployment, frame, ends, about={"computed": time.isoformat()}, progress=request.progress
            )
        if request.publish:
            order = FitRequest(
                home=deployment.home,
                slot=HISTORICAL,
                recipe=FEATURES,
                seq=cuts[-1].seq,
                n_events=sum(ends),
                settings=settings.model_dump(),
            )
            _publish(deployment, store, order, settings, made.features, began)
    features = made.features
    html = render(features, made.before, made.path, _command(request))
    report = publish_report(deployment.reports, "features", time, html)
    _log.info(
        "historical features recomputed",
        version=features.version,
        where=str(made.path),
        events=features.n_events,
        items=len(features.items),
        users=len(features.users),
        cohort_size_drift=made.cohort_size_drift,
    )
    return report


def _publish(
    deployment: Deployment,
    store: TableStore,
    order: FitRequest,
    settings: Settings,
    features: HistoricalFeatures,
    began: float,
) -> None:
    """Publish what kernels read of the features, unless that of the same cut is live already."""
    found = store.find(order.slot, order.version)
    if found is None:
        past = part_to_publish(deployment, features, order.seq, settings)
        made = keep_features(store, order, features, past, seconds=perf_counter() - began)
    else:
        made = Fit(order.slot, order.version, found)
    with closing(deployment.open_log(mode="read")) as log:
        last = [each.body for each in log.controls() if each.body.get("slot") == order.slot]
    if not last or last[-1].get("version") != order.version:
        deployment.append_control(made.control())


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
    if request.publish:
        words.append("--publish")
    return shlex.join([*words, *cluster_words(request)])
