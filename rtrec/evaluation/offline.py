"""Offline evaluation: learn one part of a log, rank all items for every user of the other.

The protocol. A split (:mod:`rtrec.evaluation.splits`) cuts the log into a train and a test part. A model
learns the train part once, and is then asked for every user of the test part, at the time of the last event
learned. What a user took in the test part is relevant, once each, dislikes left out; with ``repeat`` off no
list may hold what the user had in the train part, so that is not relevant either. An item first seen in the
test part cannot be in a list (but see ``cold_items``) and is a miss; a user first seen there is still
answered. Nothing is sampled.

Texts of items (``texts``) are known before the first event is learned: they say what an item is, not who
takes it or when, as in a stream (:mod:`rtrec.evaluation.prequential`). So they leak nothing of the test part;
an item that has a text and no event in the train part still cannot be in a list.
"""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import xarray as xr

from rtrec.errors import InputError, nearest
from rtrec.evaluation.figures import Catalogue, Tested, list_figures, metric_names
from rtrec.evaluation.full_ranking import Lessons, learn, rank
from rtrec.evaluation.inputs import (
    Progress,
    item_categories,
    item_vectors,
    loaded_events,
    model_makers,
    report,
    span_of,
)
from rtrec.evaluation.offline_result import OfflineEvaluation
from rtrec.evaluation.significance import N_RESAMPLES
from rtrec.evaluation.slices import COHORTS, Groups, PairsTested, find_cohorts
from rtrec.evaluation.splits import SPLITS, Split, Splitter, events_at
from rtrec.events.loading import LoadedEvents
from rtrec.events.mapping import ColumnMapping
from rtrec.events.numbering import number_events
from rtrec.events.vocabulary import Vocabulary
from rtrec.models.base import Compiled, Testable
from rtrec.models.nearline.base import NearlineModel
from rtrec.models.nearline.refitted import Refitted
from rtrec.models.nearline.texts import table_of_texts
from rtrec.settings import Settings
from rtrec.types import NumberedEvents

if TYPE_CHECKING:
    import pandas as pd


def evaluate_offline(
    data: Path | str | pd.DataFrame | pa.Table | LoadedEvents,
    models: str | Sequence[str] | Mapping[str, Callable[[], Testable | NearlineModel] | None] = (
        "default",
        "popularity",
    ),
    *,
    split: str | Splitter | Split = "temporal",
    k: int | Sequence[int] = (5, 10, 20),
    cohorts: str | Sequence[str] | Mapping[str, Groups | None] = COHORTS,
    windows: int = 1,
    graded: bool = False,
    cold_items: bool = False,
    repeat: bool | None = None,
    half_life: float | Mapping[str, float] = float("inf"),
    texts: Mapping[str, str] | None = None,
    vectors: Mapping[str, Sequence[float]] | None = None,
    categories: Mapping[str, str | Sequence[str]] | None = None,
    head_share: float = 0.5,
    user: str = "user_id",
    item: str = "item_id",
    time: str = "timestamp",
    kind: str | None = None,
    value: str | None = None,
    min_value: float | None = None,
    mapping: ColumnMapping | None = None,
    settings: Settings | None = None,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
    progress: Progress | None = None,
) -> OfflineEvaluation:
    """Train models on one part of a log and measure their full rankings on the other.

    Parameters
    ----------
    data
        A file, a frame, an event table, or what :func:`rtrec.events.loading.load_events` returned.
    models
        One name from the registry or several, or a mapping of names to functions that make a model of your
        own, streaming or fitted; None for one of the registry.
    split
        ``"time"``, ``"random"``, ``"temporal"`` (each by user) or ``"leave_one_out"`` as they are by default;
        a function of :mod:`rtrec.evaluation.splits` with its options set by ``functools.partial``; or the
        places of the events themselves.
    k
        Lengths of lists.
    cohorts
        ``"user"`` (new, known), ``"item"`` (head, tail), ``"activity"`` (how users use the catalogue, found
        by k-means in the train part), and a mapping of names to groups of your own:
        labels by user id, an array by user number, or a function of the train part that returns one (which
        cannot look ahead).
    windows
        Windows of the test part's times, each with equally many tested pairs.
    graded
        Also weigh what users took by the value that came with it, for example a rating.
    cold_items
        Models may also list items that have no event in the train part yet, if they score them: those that
        know items by their content can, and with ``texts`` the default. As the setting of that name.
    repeat
        Recommend what the user has had before; None takes it from ``settings``.
    half_life
        For fitted models, in events of the user: how far back in a history counts half, one for all or by
        model.
    texts
        Titles and other words of items, by id, all known before the first event: ``default`` then also knows
        which are spoken of alike. Their items are numbered first, in this order, so that a
        :class:`~rtrec.models.nearline.content.ContentModel` of your own takes ``Vocabulary(list(texts))``.
    vectors
        A vector for each item id, for diversity; without, items are alike by the users they share.
    categories
        The category or categories of each item id, for calibration.
    head_share
        The head of the catalogue holds this share of the events learned.
    user, item, time, kind, value, min_value
        Columns of a file or frame, and the least value an event must have; ``mapping`` says more, where it
        has to be said.
    n_resamples, seed
        Draws of users behind the intervals; the same seed gives the same intervals.

    Examples
    --------
    >>> import rtrec
    >>> events = rtrec.SyntheticStream().events(2000)
    >>> evaluation = evaluate_offline(events, ["popularity"], split="time", k=10)
    >>> evaluation.dataset["value"].dims
    ('model', 'metric', 'cohort', 'time')
    >>> 0.0 < evaluation.value("popularity", "recall@10") < 1.0
    True

    Raises
    ------
    InputError
        If the data cannot be used, a name is unknown, or nothing is left to learn or to test.
    """
    ks = tuple(sorted({k} if isinstance(k, int) else set(k)))
    if not ks or ks[0] < 1 or windows < 1 or n_resamples < 1:
        raise InputError(
            f"k, windows and n_resamples are at least 1; got k={k}, windows={windows}, "
            f"n_resamples={n_resamples}"
        )
    if seed < 0:
        raise InputError(f"seed is a whole number from 0 on; got {seed}")
    loaded = loaded_events(
        data, user=user, item=item, time=time, kind=kind, value=value, min_value=min_value, mapping=mapping
    )
    chosen = settings or Settings()
    if repeat is not None:
        chosen = chosen.changed(repeat=repeat)
    if cold_items:
        chosen = chosen.changed(cold_items=True)
    users, items = Vocabulary(), Vocabulary()
    published = {"content": table_of_texts(texts, items)} if texts else {}
    makers = model_makers(models, chosen, published)
    half_lives = _half_lives(half_life, list(makers))
    events = number_events(loaded.events, users, items)
    parts = _split(split, events)
    if not len(parts.train) or not len(parts.test):
        raise InputError(
            f"{loaded.name}: nothing to learn or nothing to test: {len(parts.train):,} and "
            f"{len(parts.test):,} of {events.n_events:,} events; take another split, or a longer log"
        )
    learned = events_at(events, parts.train)
    lessons = Lessons.of(learned, chosen, n_items=len(items) if chosen.cold_items else 0)
    pairs = PairsTested.of(events_at(events, parts.test), learned, graded=graded, repeat=chosen.repeat)
    if len(pairs.row) < windows:
        raise InputError(
            f"{loaded.name}: expected a pair of user and item to test in each of {windows:,} windows; got "
            f"{len(pairs.row):,} from {len(parts.test):,} events, for dislikes count for none, nor does what "
            f"a user had before unless lists may repeat it; take another split, repeat, or fewer windows"
        )
    found = find_cohorts(cohorts, pairs, lessons.events, users, head_share=head_share)
    catalogue = Catalogue.of(
        lessons,
        pairs.users,
        len(items),
        None if vectors is None else item_vectors(vectors, items),
        None if categories is None else item_categories(categories, items),
    )

    lists, of_lists, seconds = {}, {}, {}
    for name, make in makers.items():
        model = make()
        if isinstance(model, Refitted):  # one fit on the whole train part is all there is to do
            model = model.model
        if isinstance(model, Compiled):
            model.compile()
        report(progress, name, 0, 2)
        began = clock.perf_counter()
        learn(name, model, lessons, chosen)
        taught = clock.perf_counter()
        report(progress, name, 1, 2)
        longest = min(ks[-1], len(items))  # no list is longer than that, however long it may be
        lists[name] = rank(model, pairs.users, lessons, longest, half_life=half_lives[name])
        seconds[name] = (taught - began, clock.perf_counter() - taught)
        of_lists[name] = list_figures(lists[name], catalogue, ks)
        report(progress, name, 2, 2)
    names = metric_names(ks, graded=graded, categories=categories is not None)
    tested = Tested(pairs, found, catalogue, lists, of_lists, ks, names, n_resamples, seed)
    about = {"data": loaded.name, "events": events.n_events, "users": len(users)}
    about["items"] = len(np.unique(events.item_num))
    about |= span_of(loaded.events)
    about |= {"split": _name_of(split), "learned": len(parts.train), "tested": len(pairs.row)}
    return _result(tested, windows, seconds, users, about | {"repeat": chosen.repeat})


def _result(
    tested: Tested,
    n_windows: int,
    seconds: Mapping[str, tuple[float, float]],
    users: Vocabulary,
    about: dict[str, Any],
) -> OfflineEvaluation:
    learn_seconds, answer_seconds = zip(*seconds.values(), strict=True)

    def with_seconds(cube: xr.Dataset) -> xr.Dataset:
        timed = cube.assign(
            learn_seconds=("model", list(learn_seconds)), answer_seconds=("model", list(answer_seconds))
        )
        return timed.assign_attrs(about | {"level": 0.95, "n_resamples": tested.n_resamples})

    overall = with_seconds(tested.to_xarray(1))
    dataset = overall if n_windows == 1 else with_seconds(tested.to_xarray(n_windows))
    return OfflineEvaluation(dataset, overall.isel(time=0, drop=True), tested, users, about)


def _split(split: str | Splitter | Split, events: NumberedEvents) -> Split:
    if isinstance(split, str):
        if split not in SPLITS:
            raise InputError(
                f"unknown split {split!r}{nearest(split, SPLITS)}; there are {', '.join(SPLITS)}"
            )
        return SPLITS[split](events)
    train, test = (np.asarray(part) for part in (split(events) if callable(split) else split))
    for part in (train, test):
        if part.ndim != 1 or (len(part) and part.dtype.kind not in "iu"):
            raise InputError(
                f"split: expected whole numbers, the places of events; got {part.dtype} of shape {part.shape}"
            )
        if len(part) and not 0 <= part.min() <= part.max() < events.n_events:
            raise InputError(
                f"split: expected places 0 to {events.n_events - 1:,}; got {part.min()} to {part.max()}"
            )
    if len(np.unique(np.concatenate([train, test]))) < len(train) + len(test):
        raise InputError("split: an event is learned and tested, or comes twice; each belongs to one part")
    return Split(np.sort(train).astype(np.int64), np.sort(test).astype(np.int64))


def _half_lives(half_life: float | Mapping[str, float], names: list[str]) -> dict[str, float]:
    by_name = dict(half_life) if isinstance(half_life, Mapping) else dict.fromkeys(names, half_life)
    for name, each in by_name.items():
        if name not in names:
            raise InputError(
                f"half_life: no model {name!r}{nearest(name, names)}; there are {', '.join(names)}"
            )
        if not each > 0.0:
            raise InputError(f"half_life of {name!r}: expected a number of events above 0; got {each}")
    return {name: by_name.get(name, float("inf")) for name in names}


def _name_of(split: str | Splitter | Split) -> str:
    """Return what to call a split: its name, and the options a partial sets."""
    if isinstance(split, str):
        return split
    options = getattr(split, "keywords", {})
    inner = getattr(split, "func", split)
    name = getattr(inner, "__name__", "given") if callable(inner) else "given"
    return f"{name}({', '.join(f'{key}={value}' for key, value in options.items())})" if options else name
