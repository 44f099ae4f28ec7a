"""Prequential evaluation: every event is a test before it is a lesson (Dawid 1984; Vinagre et al. 2014).

The protocol. Events are sorted by time; ties keep their order. The first ``warmup`` share is only learned.
After it each micro-batch of ``batch`` events is answered with the state before it: the k best of all items
known so far, less what the user had (unless ``repeat``), then learned. Hit rate and NDCG are means over all
later events: an unknown item is a miss, an unknown user is still answered. Nothing is sampled.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from rtrec.declared import HISTORICAL
from rtrec.errors import InputError
from rtrec.evaluation.history import MetricHistory
from rtrec.evaluation.inputs import Progress, loaded_events, model_makers, report, span_of
from rtrec.evaluation.metrics import RankCounts
from rtrec.evaluation.model_result import ModelResult
from rtrec.evaluation.past import PastOfLog
from rtrec.evaluation.result import Evaluation
from rtrec.events.loading import LoadedEvents
from rtrec.events.mapping import ColumnMapping
from rtrec.events.numbering import NumberedLog, number_events, within_bounds
from rtrec.events.vocabulary import Vocabulary
from rtrec.features.categories import Categories, ItemCategories
from rtrec.models.base import Compiled, Forgetful, Informed, Recommender, Testable
from rtrec.models.beginning import known_items, published_at_first
from rtrec.models.kernel import DISLIKE, UNTESTED
from rtrec.models.published import CATEGORIES
from rtrec.settings import Settings
from rtrec.types import NumberedEvents

if TYPE_CHECKING:
    import pandas as pd

_WINDOWS = 50
_MOST_EVENTS = 10**12  # what arrays can count is not far above
#: Of the models only this one looks at what is published.
_LOOKS = "default"


def evaluate(
    data: Path | str | pd.DataFrame | pa.Table | LoadedEvents,
    *,
    user: str = "user_id",
    item: str = "item_id",
    time: str = "timestamp",
    kind: str | None = None,
    value: str | None = None,
    models: str | Sequence[str] | Mapping[str, Callable[[], Testable] | None] = ("default", "popularity"),
    settings: Settings | None = None,
    warmup: float = 0.2,
    batch: int = 1,
    k: int = 10,
    limit: int | None = None,
    min_value: float | None = None,
    repeat: bool | None = None,
    mapping: ColumnMapping | None = None,
    texts: Mapping[str, str] | None = None,
    categories: Categories | None = None,
    historical: int | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Test models on every event of a log before they learn it.

    Parameters
    ----------
    data
        A file, a frame, an event table, or what :func:`rtrec.events.loading.load_events` returned.
    user, item, time, kind, value, min_value
        Columns of a file or frame, and the least value an event must have; ``mapping`` says more, where it
        has to be said.
    models
        One name from the registry or several, or a mapping of names to functions that make a model of your
        own; None for one of the registry: ``{"mine": MyModel, "popularity": None}``.
    warmup
        Share of the events that is only learned.
    batch
        Events answered with the same state.
    limit
        Test and learn only so many events after the warm part.
    repeat
        Recommend what the user has had before; None takes it from ``settings``. Holds for all models.
    texts
        Titles and other words of items, by id: ``default`` then also knows which are spoken of alike.
    categories
        The category or categories of each item id, such as ``{"film-1": ["war", "drama"]}``: ``default`` then
        counts what each user takes of them lately.
    historical
        Compute historical features anew after every so many events, from those before, as a run does that
        waits for them: ``default`` then looks at them, if ``use_historical`` is on. The time that takes
        counts as learning.

    Raises
    ------
    InputError
        If the data cannot be used, a model is unknown, or nothing is left to test.
    TypeError
        If ``data`` is no file, frame, table or loaded events.
    ValueError
        If a model of your own answers with another number of ranks than there are events.
    """
    if not 0.0 <= warmup < 1.0:
        raise InputError(f"warmup is a share of the events from 0 to below 1; got {warmup}")
    if batch < 1 or k < 1 or (limit is not None and limit < 1):
        raise InputError(f"batch, k and limit are at least 1; got batch={batch}, k={k}, limit={limit}")
    if max(batch, limit or 1) > _MOST_EVENTS:
        raise InputError(f"batch and limit are at most {_MOST_EVENTS:,}; got batch={batch}, limit={limit}")
    if historical is not None and historical < 1:
        raise InputError(f"historical features come every so many events, at least 1; got {historical}")
    loaded = loaded_events(
        data, user=user, item=item, time=time, kind=kind, value=value, min_value=min_value, mapping=mapping
    )
    chosen = (settings or Settings()).changed(list_length=k)
    if repeat is not None:
        chosen = chosen.changed(repeat=repeat)
    if historical is not None and not chosen.use_historical:
        raise InputError(
            "historical: no model looks at historical features while setting 'use_historical' is off; turn "
            "it on (--set use_historical=true), or leave out historical"
        )
    n_warm = int(loaded.events.num_rows * warmup)
    table = loaded.events if limit is None else loaded.events.slice(0, n_warm + limit)
    if table.num_rows <= n_warm:
        raise InputError(f"{loaded.name}: no event left to test after {n_warm:,} to warm up")
    users, items = Vocabulary(), Vocabulary(known_items(texts, categories))
    n_first_items = len(items)
    # All models see items under the same numbers.
    looked_at = _LOOKS in ([models] if isinstance(models, str) else models)
    published = published_at_first(texts, categories, items) if looked_at else {}
    events = number_events(table, users, items)
    bounded = within_bounds(events, chosen, n_first_items=n_first_items, unit=batch)

    makers = model_makers(models, chosen, published)
    past = None
    if historical is not None:
        past = PastOfLog(table, events, users, items, n_first_items, chosen, every=historical)
    results = [
        _test(
            name,
            make,
            events,
            n_warm,
            chosen,
            batch=batch,
            progress=progress,
            bounded=bounded,
            past=past if name == _LOOKS else None,
        )
        for name, make in makers.items()
    ]
    seen = np.unique(events.item_num)
    about = {"data": loaded.name, "events": table.num_rows, "users": len(users), "items": len(seen)}
    about |= span_of(table)
    in_some = published.get(CATEGORIES)
    if isinstance(in_some, ItemCategories):
        about["items in categories"] = in_some.n_among(seen)
    about |= {"warm-up": n_warm, "batch": batch, "repeat": chosen.repeat}
    if historical is not None:
        about["historical features every"] = historical
    tested = n_warm + np.flatnonzero(events.kind[n_warm:] != DISLIKE)
    return Evaluation(results, chosen, about, users, events.user_num[tested])


def _test(
    name: str,
    make: Callable[[], Testable],
    events: NumberedEvents,
    n_warm: int,
    settings: Settings,
    *,
    batch: int,
    progress: Progress | None,
    bounded: NumberedLog,
    past: PastOfLog | None = None,
) -> ModelResult:
    model, k = make(), settings.list_length
    if isinstance(model, Recommender):
        model.repeat = settings.repeat
    began = time.perf_counter()
    if isinstance(model, Compiled):
        model.compile()
    compile_seconds = time.perf_counter() - began
    log = bounded if isinstance(model, Forgetful) else NumberedLog(events)
    n_events, seconds = events.n_events, 0.0
    every = None if past is None else past.every
    ranks = np.full(n_events - n_warm, UNTESTED, np.int16)
    parts = [log.pieces(*ends, batch=batch, every=every) for ends in ((0, n_warm), (n_warm, n_events))]
    for piece in chain(*parts):
        if piece.start == n_warm:
            model.start_testing()
            seconds = 0.0
        began = time.perf_counter()
        if past is not None and past.is_due(piece.start) and isinstance(model, Informed):
            model.publish(HISTORICAL, past.at(piece.start, log))
        if piece.forgetting is not None and isinstance(model, Forgetful):
            model.forget(piece.forgetting)
        answered = model.test_then_learn(piece.events, k=k, batch=batch)
        seconds += time.perf_counter() - began
        n_answered = piece.events.n_events
        if piece.start >= n_warm:
            if np.shape(answered) != (n_answered,):
                raise ValueError(
                    f"model {name!r}: expected {n_answered:,} ranks of test_then_learn, one an event; got an "
                    f"array of shape {np.shape(answered)}"
                )
            ranks[piece.start - n_warm :][:n_answered] = answered
        report(progress, name, piece.start + n_answered, n_events)
    tested = np.flatnonzero(ranks != UNTESTED)
    counts = RankCounts(1, k)
    counts.add(ranks[tested, None])
    windows = MetricHistory([name], k, max(1, -(-len(tested) // _WINDOWS)))
    windows.add(ranks[tested, None], events.timestamp[n_warm + tested], n_warm + tested)
    return ModelResult(
        model=name,
        events=len(tested),
        k=k,
        rank_counts=counts,
        coverage=model.coverage(),
        seconds=seconds,
        events_per_s=(n_events - n_warm) / seconds,
        compile_seconds=compile_seconds,
        peak_rss_mb=peak_rss_mb(),
        ranks=ranks[tested],
        windows=windows,
    )


def peak_rss_mb() -> float:
    """Return the largest resident memory of this process so far, in MB."""
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / (1 << 20) if sys.platform == "darwin" else largest / 1024
