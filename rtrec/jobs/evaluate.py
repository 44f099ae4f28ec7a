"""The job ``evaluate``: test every model on the log so far, a Dask task each, and write a report.

The log is tested as ``rtrec evaluate`` tests a file: all partitions in order of event time, one event at a
time, by one shard, under the settings that are live at its end. So a run of one shard whose events came in
order, whose settings never changed and that had no table published, finds its own figures in the report.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from dask.distributed import Client, as_completed

from rtrec.clock import utc_now
from rtrec.errors import InputError
from rtrec.evaluation.inputs import span_of
from rtrec.evaluation.model_result import ModelResult
from rtrec.evaluation.prequential import evaluate
from rtrec.evaluation.result import Evaluation
from rtrec.events.numbering import number_events
from rtrec.events.vocabulary import Vocabulary
from rtrec.features.historical.cohorts import Earlier, find_cohorts
from rtrec.jobs.findings import Findings, LogContents, read_log, settings_now
from rtrec.jobs.request import JobRequest, Progress
from rtrec.jobs.workers import client_for, cluster_words
from rtrec.models.historical import usable_features
from rtrec.models.kernel import DISLIKE
from rtrec.models.registry import BUILT_IN, POPULARITIES, make_model
from rtrec.settings import Settings


def report_on_deployment(request: JobRequest, *, clock: Callable[[], datetime] = utc_now) -> Path:
    """Write ``reports/evaluate-<UTC time>.html`` under the deployment's home and return its path.

    Raises
    ------
    DeploymentError
        If there is no deployment.
    InputError
        If a model is unknown, or the log has nothing to test behind its warm part.
    """
    from rtrec.engine.deployment import Deployment
    from rtrec.jobs.report import render
    from rtrec.jobs.report_page import publish_report

    deployment = Deployment(request.home)
    manifest, time = deployment.manifest, clock()
    log = deployment.open_log(mode="read")
    try:
        contents = read_log(
            log,
            source=manifest["source"],
            texts=deployment.texts(),
            categories=deployment.categories(),
        )
        settings = settings_now(log, manifest["settings"])
    finally:
        log.close()
    features = usable_features(deployment.features)
    models = request.models or (*BUILT_IN, *(each for each in POPULARITIES if each not in BUILT_IN))
    with client_for(request, n_tasks=len(models)) as client:
        findings = evaluate_log(
            contents,
            client,
            models=models,
            settings=settings,
            n_warm=manifest["warmup_events"],
            time=time,
            command=_command(request),
            progress=request.progress,
            earlier=None if features is None else features.earlier,
        )
    return publish_report(deployment.reports, "evaluate", time, render(findings))


def evaluate_log(
    contents: LogContents,
    client: Client,
    *,
    models: Sequence[str],
    settings: Settings,
    n_warm: int,
    time: datetime,
    command: str,
    progress: Progress | None = None,
    earlier: Earlier | None = None,
) -> Findings:
    """Test each model in a task of its own and group the users meanwhile.

    Parameters
    ----------
    contents
        From :func:`rtrec.jobs.findings.read_log`.
    client
        Where tasks run; it gets one copy of the events.
    models
        Names from the registry.
    n_warm
        How many events are learned before any is tested.
    earlier
        Cohorts of the published features, whose names and numbers the report then uses.
    """
    n_events = contents.events.num_rows
    if n_events <= n_warm:
        raise InputError(
            f"{contents.name}: nothing to report yet: the log has {n_events:,} events and "
            f"the first {n_warm:,} only warm models up"
        )
    for model in models:
        make_model(model, settings)  # an unknown name is an error now, not on a worker
    events = client.scatter(contents.events, hash=False)
    known = {"texts": contents.texts, "categories": contents.categories}
    futures = {
        client.submit(_test, events, model, settings, n_warm, known, pure=False): model for model in models
    }
    users, items = Vocabulary(), Vocabulary()
    numbered = number_events(contents.events, users, items)
    cohorts = find_cohorts(numbered, earlier=earlier)
    results: dict[str, ModelResult] = {}
    for future in as_completed(futures):
        results[futures[future]] = future.result()
        if progress is not None:
            progress(futures[future], len(results), len(models))
    tested = n_warm + np.flatnonzero(numbered.kind[n_warm:] != DISLIKE)
    about = {"data": contents.name, "events": n_events, "users": len(users), "items": len(items)}
    about |= span_of(contents.events)
    about |= {"warm-up": n_warm, "batch": 1, "repeat": settings.repeat}
    return Findings(
        contents=contents,
        evaluation=Evaluation(
            [results[model] for model in models], settings, about, users, numbered.user_num[tested]
        ),
        cohorts=cohorts,
        tested_cohort=cohorts.of_user[numbered.user_num[tested]].astype(np.int64),
        time=time,
        command=command,
    )


def _test(
    events: pa.Table, model: str, settings: Settings, n_warm: int, known: Mapping[str, Any]
) -> ModelResult:
    # Half an event more, so that the share comes back as n_warm events however it is rounded.
    share = (n_warm + 0.5) / events.num_rows if n_warm else 0.0
    k = settings.list_length
    return evaluate(events, models=[model], settings=settings, warmup=share, k=k, **known)[model]


def _command(request: JobRequest) -> str:
    words = ["rtrec", "jobs", "run", "evaluate", "--home", str(request.home)]
    if request.models:
        words += ["--models", ",".join(request.models)]
    return shlex.join([*words, *cluster_words(request)])
