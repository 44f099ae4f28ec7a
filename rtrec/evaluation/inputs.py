"""What every evaluation takes: a log in any form, and models by name or of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rtrec.errors import InputError
from rtrec.events.loading import LoadedEvents, load_events
from rtrec.events.mapping import ColumnMapping
from rtrec.events.vocabulary import Vocabulary
from rtrec.models.base import Testable
from rtrec.models.registry import Tables, make_model
from rtrec.settings import Settings
from rtrec.types import Columns, Floats, Nums

if TYPE_CHECKING:
    import pandas as pd

#: Called with a model's name, the events done and all there are.
Progress = Callable[[str, int, int], None]
_Model = TypeVar("_Model")


def loaded_events(
    data: Path | str | pd.DataFrame | pa.Table | LoadedEvents,
    *,
    user: str,
    item: str,
    time: str,
    kind: str | None,
    value: str | None,
    min_value: float | None,
    mapping: ColumnMapping | None,
) -> LoadedEvents:
    """Load what is not loaded yet, by ``mapping`` or else by the columns named.

    Raises
    ------
    InputError
        If the data cannot be used.
    TypeError
        If ``data`` is no file, frame, table or loaded events.
    """
    if isinstance(data, LoadedEvents):
        return data
    columns = ColumnMapping(user, item, time, kind=kind, value=value, min_value=min_value)
    return load_events(data, mapping or columns)


def model_makers(
    models: str | Sequence[str] | Mapping[str, Callable[[], _Model] | None],
    settings: Settings,
    published: Tables | None = None,
) -> dict[str, Callable[[], _Model | Testable]]:
    """Return for each model its name and a function that makes a new one.

    Raises
    ------
    InputError
        If there is no model, one of the registry is unknown, or one of your own has no name or no maker.
    """
    makers: dict[str, Callable[[], _Model | Testable]] = {}
    for name in [models] if isinstance(models, str) else models:
        if not isinstance(name, str):
            own_name = getattr(name, "__name__", type(name).__name__)
            raise InputError(
                f"models: expected names of models; got {name!r}; give one of your own a name: "
                f'models={{"mine": {own_name}}}'
            )
        own = models[name] if isinstance(models, Mapping) else None
        if own is not None and not callable(own):
            raise InputError(
                f"model {name!r}: expected a class or function that makes it; got {own!r}; "
                f'pass models={{"{name}": {type(own).__name__}}}'
            )
        if own is None:
            make_model(
                name, settings, published
            )  # an unknown name is an error now, not after the models before it
        makers[name] = partial(make_model, name, settings, published) if own is None else own
    if not makers:
        raise InputError("name at least one model to test")
    return makers


def item_vectors(vectors: Mapping[str, Sequence[float]], items: Vocabulary) -> Floats:
    """Return the vector of each item by its number, ``(item, d)``; NaN for items without one.

    >>> item_vectors({"b": [1.0, 2.0]}, Vocabulary(["a", "b"])).tolist()
    [[nan, nan], [1.0, 2.0]]
    """
    lengths = {len(each) for each in vectors.values()}
    if len(lengths) != 1:
        raise InputError(f"vectors: expected one length for all items; got {sorted(lengths)}")
    matrix = np.full((len(items), lengths.pop()), np.nan)
    numbers = _numbers("vectors", list(vectors), items)
    for number, vector in zip(numbers.tolist(), vectors.values(), strict=True):
        if number >= 0:
            matrix[number] = vector
    return matrix


def item_categories(categories: Mapping[str, str | Sequence[str]], items: Vocabulary) -> Floats:
    """Return 1 where an item is in a category, else 0, ``(item, category)``; categories are in order.

    >>> item_categories({"a": ["war", "drama"], "b": "drama"}, Vocabulary(["a", "b"])).tolist()
    [[1.0, 1.0], [1.0, 0.0]]
    """
    lists = [[each] if isinstance(each, str) else list(each) for each in categories.values()]
    place = {name: column for column, name in enumerate(sorted({name for each in lists for name in each}))}
    matrix = np.zeros((len(items), len(place)))
    for number, each in zip(_numbers("categories", list(categories), items).tolist(), lists, strict=True):
        if number >= 0:
            matrix[number, [place[name] for name in each]] = 1.0
    return matrix


def _numbers(where: str, ids: list[str], items: Vocabulary) -> Nums:
    numbers = items.lookup([str(each) for each in ids])
    if not (numbers >= 0).any():
        raise InputError(f"{where}: none of its {len(ids):,} item ids is in the data; the first: {ids[:1]}")
    return numbers


def span_of(events: pa.Table) -> dict[str, str]:
    """Return the times of the first and the last event, by which a wrong time column shows."""
    ends = pc.min_max(events[Columns.TIMESTAMP])
    named = {"first event": ends["min"], "last event": ends["max"]}
    return {name: moment.as_py().isoformat(" ", "seconds") for name, moment in named.items()}


def report(progress: Progress | None, name: str, done: int, n_events: int) -> None:
    """Tell whoever wants to know how far a model is."""
    if progress is not None:
        progress(name, done, n_events)
