"""Tune the recommender on a log: search on its first part, confirm on the rest.

The log is put in order of time. The first ``warmup`` share is only learned, the last ``holdout`` share of the
events after it is held out, and what lies between is what trials are judged by. Then the best settings and
those there were are both replayed over the whole log, and compared on the events held out.
"""

from __future__ import annotations

import time as clock
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from dask.distributed import Client, Security

from rtrec.errors import InputError, nearest
from rtrec.evaluation.comparison import SHORT_NAMES, Comparison, compare
from rtrec.evaluation.inputs import Progress, loaded_events
from rtrec.evaluation.metrics import Ranks
from rtrec.evaluation.prequential import evaluate
from rtrec.events.loading import LoadedEvents
from rtrec.events.mapping import ColumnMapping
from rtrec.events.numbering import number_events
from rtrec.events.vocabulary import Vocabulary
from rtrec.features.categories import Categories
from rtrec.files import publish_text
from rtrec.jobs.tuning.replay import SearchPart
from rtrec.jobs.tuning.result import AS_IT_WAS, TUNED, Tuning, trials_json
from rtrec.jobs.tuning.search import PRUNERS, Plan, Search, importances
from rtrec.jobs.tuning.space import DEFAULT_SPACE, Space, read_space
from rtrec.jobs.tuning.trials import PRUNED, Trial, best_of, read_trials
from rtrec.jobs.workers import dask_client
from rtrec.models.beginning import published_at_first
from rtrec.models.kernel import DISLIKE
from rtrec.settings import Settings
from rtrec.types import KINDS, Columns

if TYPE_CHECKING:
    import pandas as pd

#: Texts and categories of items, by id.
_Known: TypeAlias = "tuple[Mapping[str, str] | None, Categories | None]"
#: Fewer events say nothing of settings, whatever the interval says.
_FEWEST = 10
#: What NumPy's older generator takes, from which optuna draws.
_LARGEST_SEED = 2**32 - 1


def tune(
    data: Path | str | pd.DataFrame | pa.Table | LoadedEvents,
    *,
    user: str = "user_id",
    item: str = "item_id",
    time: str = "timestamp",
    kind: str | None = None,
    value: str | None = None,
    space: str | Sequence[str] | Mapping[str, tuple[float, float] | None] = DEFAULT_SPACE,
    settings: Settings | None = None,
    metric: str = "ndcg@10",
    trials: int = 40,
    warmup: float = 0.2,
    holdout: float = 0.25,
    limit: int | None = None,
    pruner: str = "halving",
    workers: int | None = None,
    scheduler: str | None = None,
    security: Security | None = None,
    seed: int = 0,
    min_value: float | None = None,
    mapping: ColumnMapping | None = None,
    texts: Mapping[str, str] | None = None,
    categories: Categories | None = None,
    out: Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Tuning:
    """Search for better settings, and say whether they hold on events that the search never saw.

    Parameters
    ----------
    data
        A file, a frame, an event table, or what :func:`rtrec.events.loading.load_events` returned.
    user, item, time, kind, value, min_value
        Columns of a file or frame, and the least value an event must have; ``mapping`` says more, where it
        has to be said.
    space
        What to try; see :func:`rtrec.jobs.tuning.space.read_space`.
    settings
        The settings there are: the first trial, what the best is compared with, and what all other settings
        stay at.
    metric
        ``ndcg@k`` or ``hr@k``, with the length of the lists.
    trials
        How many settings to try.
    warmup
        Share of the events that is only learned.
    holdout
        Share of the events after the warm part that only confirms.
    limit
        Use only so many events after the warm part.
    pruner
        ``halving`` stops the worse half at each rung, ``none`` lets every trial see all search events.
    workers
        How many trials at a time; without, one for each core here or each thread of the scheduler's workers.
        With one, the same ``seed`` makes the same search; with more, the figures of given settings are the
        same, but which are proposed depends on what has ended by then.
    scheduler
        A Dask scheduler; without it, processes of this machine.
    security
        For a scheduler at ``tls://...``: what ``rtrec.engine.tls.read_security`` makes of certificates.
    texts
        Titles and other words of items, by id: the recommender then also knows which are spoken of alike.
    categories
        The category or categories of each item id.
    out
        A folder for ``best.yaml``, ``trials.json`` (written anew after each trial) and ``tuning.html``.
    resume
        Go on with the trials in ``out``, which have to be of the same search; ``trials`` counts them too.

    Notes
    -----
    Ctrl-C ends the search and returns what was found so far, not confirmed. Before the first trial has ended,
    that is nothing, and the interrupt is passed on.

    Raises
    ------
    InputError
        If the data, a name or a range cannot be used, or nothing is left to search or to confirm on.
    """
    hr_or_ndcg, k = read_metric(metric)
    dimensions = read_space(space)
    _check(trials, warmup, holdout, limit, workers, pruner, seed, out, resume)
    start = (settings or Settings()).changed(list_length=k)
    loaded = loaded_events(
        data, user=user, item=item, time=time, kind=kind, value=value, min_value=min_value, mapping=mapping
    )
    n_warm = int(loaded.events.num_rows * warmup)
    table = loaded.events if limit is None else loaded.events.slice(0, n_warm + limit)
    n_held_out = round((table.num_rows - n_warm) * holdout)
    n_search = table.num_rows - n_held_out
    n_judges, n_confirming = (
        _n_tested(table.slice(first, end - first))
        for first, end in ((n_warm, n_search), (n_search, table.num_rows))
    )
    if min(n_judges, n_confirming) < _FEWEST:
        raise InputError(
            f"{loaded.name}: expected at least {_FEWEST} events to search and to confirm on (dislikes "
            f"are only learned); got {n_judges:,} and {n_confirming:,} after {n_warm:,} to warm up; take a "
            "longer log, or another warmup, holdout or limit"
        )
    known = texts, categories
    about = _about(loaded.name, table, start, dimensions, metric, n_warm, n_search, known, pruner)
    earlier = _earlier(out, about) if resume and out is not None else []
    part = _search_part(table.slice(0, n_search), n_warm, known)
    began = clock.perf_counter()

    def told(search: Search) -> None:
        if out is not None:
            publish_text(out / "trials.json", trials_json(search.trials, about) + "\n")
        if progress is not None:
            progress(_so_far(search, metric), search.n_ended, trials)

    with dask_client(scheduler, n_tasks=min(workers or trials, trials), security=security) as client:
        parallel = workers or max(1, sum(client.nthreads().values()))
        plan = Plan(start, dimensions, hr_or_ndcg, trials, parallel, pruner, seed)
        search = Search(plan, part, earlier, told)
        search.run(client)
        if search.interrupted and not search.n_ended:
            raise KeyboardInterrupt
        best_trial = best_of(search.trials)
        best = start if best_trial is None else start.changed(**best_trial.values)
        comparison, interrupted = None, search.interrupted
        if not interrupted and best != start:
            if progress is not None:
                progress("confirming on the events held out", search.n_ended, trials)
            try:
                comparison = _confirm(client, table, n_warm, n_search, (best, start), known)
            except KeyboardInterrupt:
                interrupted = True
    tuning = Tuning(
        start=start,
        best=best,
        space=dimensions,
        metric=hr_or_ndcg,
        trials=tuple(search.trials),
        comparison=comparison,
        importances=importances(search),
        data=about | {"workers": parallel, "seed": seed, "seconds": round(clock.perf_counter() - began, 1)},
        interrupted=interrupted,
    )
    if out is not None:
        from rtrec.jobs.tuning.page import save  # Bokeh takes a second to import

        save(tuning, out)
    return tuning


def _n_tested(events: pa.Table) -> int:
    """Return how many events are tested: all but dislikes."""
    kinds = events[Columns.KIND].cast(pa.string())
    return events.num_rows - int(pc.sum(pc.equal(kinds, KINDS[DISLIKE])).as_py() or 0)


def _search_part(table: pa.Table, n_warm: int, known: _Known) -> SearchPart:
    items = Vocabulary()
    published, n_first_items = published_at_first(*known, items), len(items)
    return SearchPart(number_events(table, Vocabulary(), items), n_warm, published, n_first_items)


def _confirm(
    client: Client,
    table: pa.Table,
    n_warm: int,
    n_search: int,
    both: tuple[Settings, Settings],
    known: _Known,
) -> Comparison:
    """Replay the whole log under both settings, and compare them on the events from ``n_search`` on."""
    whole = client.scatter(table, hash=False, broadcast=True)
    futures = [client.submit(_ranks, whole, n_warm, each, known, pure=False) for each in both]
    tuned, as_it_was = client.gather(futures)
    held_out = number_events(table.slice(n_search), Vocabulary(), Vocabulary())
    tested = np.flatnonzero(held_out.kind != DISLIKE)
    n_tested = len(tested)
    return compare(
        tuned[len(tuned) - n_tested :],
        as_it_was[len(as_it_was) - n_tested :],
        both[0].list_length,
        names=(TUNED, AS_IT_WAS),
        timestamps=held_out.timestamp[tested],
        offsets=n_search + tested,
    )


def _ranks(events: pa.Table, n_warm: int, settings: Settings, known: _Known) -> Ranks:
    # Half an event more, so that the share comes back as n_warm events however it is rounded.
    share = (n_warm + 0.5) / events.num_rows if n_warm else 0.0
    k, (texts, categories) = settings.list_length, known
    [result] = evaluate(
        events,
        models=["default"],
        settings=settings,
        warmup=share,
        k=k,
        texts=texts,
        categories=categories,
    ).results
    return result.ranks


def read_metric(text: str) -> tuple[str, int]:
    """Read ``ndcg@10``.

    >>> read_metric("hr@20")
    ('hit_rate', 20)

    Raises
    ------
    InputError
        If it is no metric with a length of the list.
    """
    name, _, length = text.strip().partition("@")
    by_short = {short: metric for metric, short in SHORT_NAMES.items()}
    if name not in by_short or not length.isdecimal() or int(length) < 1:
        known = ", ".join(f"{short}@10" for short in by_short)
        raise InputError(
            f"metric {text!r}{nearest(text, [f'{each}@10' for each in by_short])}; expected one "
            f"of {known}, with any length of the list"
        )
    return by_short[name], int(length)


def _check(
    trials: int,
    warmup: float,
    holdout: float,
    limit: int | None,
    workers: int | None,
    pruner: str,
    seed: int,
    out: Path | None,
    resume: bool,
) -> None:
    if not 0.0 <= warmup < 1.0 or not 0.0 < holdout < 1.0:
        raise InputError(
            f"warmup is a share from 0 to below 1, holdout one between 0 and 1; got {warmup} and {holdout}"
        )
    if trials < 2 or (limit is not None and limit < 1) or (workers is not None and workers < 1):
        raise InputError(
            f"trials are at least 2 (the first has the settings there are), limit and workers at least 1; "
            f"got trials={trials}, limit={limit}, workers={workers}"
        )
    if pruner not in PRUNERS:
        raise InputError(f"pruner {pruner!r}: expected one of {', '.join(PRUNERS)}")
    if not 0 <= seed <= _LARGEST_SEED:
        raise InputError(f"seed is a whole number from 0 to {_LARGEST_SEED:,}; got {seed}")
    if resume and out is None:
        raise InputError("resume goes on with the trials of a folder; say which: out=... (--out DIR)")


def _about(
    name: str,
    table: pa.Table,
    start: Settings,
    space: Space,
    metric: str,
    n_warm: int,
    n_search: int,
    known: _Known,
    pruner: str,
) -> dict[str, Any]:
    """Return what makes a search this one, in JSON values; trials of another cannot be gone on with."""
    first, last = (table[Columns.TIMESTAMP][place].as_py().isoformat() for place in (0, -1))
    return {
        "data": name,
        "events": table.num_rows,
        "first": first,
        "last": last,
        "warm-up": n_warm,
        "searched on": n_search - n_warm,
        "held out": table.num_rows - n_search,
        "items with texts": len(known[0] or {}),
        "items with categories": len(known[1] or {}),
        "metric": metric,
        "pruner": pruner,
        "space": {each.name: str(each) for each in space},
        "settings": start.model_dump(mode="json"),  # compared with what was stored
    }


def _earlier(out: Path, about: Mapping[str, Any]) -> list[Trial]:
    path = out / "trials.json"
    if not path.exists():
        return []
    try:
        before, trials = read_trials(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read as the trials of a search: {error}; restore the file from a copy, or "
            "leave out --resume and search from the start"
        ) from error
    other = [name for name, each in about.items() if before.get(name) != each]
    if other:
        raise InputError(
            f"{path}: trials of another search: {other[0]} was {before.get(other[0])}, now it is "
            f"{about[other[0]]}; take another folder, or leave out resume"
        )
    return trials if trials and trials[0].number == 0 else []


def _so_far(search: Search, metric: str) -> str:
    best = best_of(search.trials)
    found = "" if best is None else f", best {metric} {best.value:.4f} ({best.gain(search.trials[0]):+.4f})"
    return f"trials, {search.n_under(PRUNED)} pruned{found}"
