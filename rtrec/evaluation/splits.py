"""Cut a log into what is learned and what is tested, without a leak.

Every split returns places in the events, in order of time; events of the same time keep their order. No event
lies on two sides, and none is lost. What each protects from differs:

- :func:`time_split`: nothing learned is later than anything tested, as in real use
- :func:`temporal_user_split`, :func:`leave_one_out`: so for each user alone; other users' later events are
  learned, so a trend may leak where a user's own future may not (Ji, Sun, Zhang, Li 2023)
- :func:`random_user_split`: no item of a user lies on both sides; the future is learned freely
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rtrec.types import Ints, NumberedEvents


class Split(NamedTuple):
    """Places of the events learned and of those tested, each in order of time."""

    train: Ints
    test: Ints


class ThreeWaySplit(NamedTuple):
    """Places of the events learned, of those that settings are chosen on, and of those tested."""

    train: Ints
    validation: Ints
    test: Ints


Splitter = Callable[[NumberedEvents], Split]


def time_split(events: NumberedEvents, *, test_share: float = 0.2, at: float | None = None) -> Split:
    """Test the last ``test_share`` of all events, or those at or after ``at`` (seconds since 1970 UTC).

    >>> time_split(_example()).test.tolist()  # the last fifth of five events
    [4]
    >>> time_split(_example(), at=30.0).test.tolist()
    [2, 3, 4]
    """
    order = np.argsort(events.timestamp, kind="stable")
    if at is None:
        cut = len(order) - int(_n_tested(np.array([len(order)]), _share(test_share))[0])
    else:
        cut = int(np.searchsorted(events.timestamp[order], at, side="left"))
    return Split(order[:cut], order[cut:])


def random_user_split(events: NumberedEvents, *, test_share: float = 0.25, seed: int = 0) -> Split:
    """Test a random ``test_share`` of each user's items, with all of the user's events on them.

    Items are drawn, not events, so that no pair of user and item lies on both sides.

    >>> [len(part) for part in random_user_split(_example())]  # one of two items, and one of three
    [3, 2]
    """
    n_items = int(events.item_num.max(initial=-1)) + 1
    pair_of_event = events.user_num.astype(np.int64) * n_items + events.item_num
    pairs, of_event = np.unique(pair_of_event, return_inverse=True)
    user = pairs // max(n_items, 1)
    drawn = np.lexsort((np.random.default_rng(seed).random(len(pairs)), user))
    is_tested = np.zeros(len(pairs), bool)
    is_tested[drawn] = _last_of_each(user[drawn], _share(test_share))
    return _cut(events, is_tested[of_event])


def temporal_user_split(events: NumberedEvents, *, test_share: float = 0.2) -> Split:
    """Test the last ``test_share`` of each user's events; a user with too few for a test is only learned.

    >>> temporal_user_split(_example(), test_share=0.5).test.tolist()  # one of two, two of three
    [2, 3, 4]
    """
    order = np.lexsort((events.timestamp, events.user_num))
    is_tested = np.zeros(len(order), bool)
    is_tested[order] = _last_of_each(events.user_num[order], _share(test_share))
    return _cut(events, is_tested)


def leave_one_out(events: NumberedEvents, *, seed: int | None = None) -> Split:
    """Test the last event of each user who has two or more, or with a ``seed`` a random one of them.

    >>> leave_one_out(_example()).test.tolist()
    [3, 4]
    """
    within = events.timestamp if seed is None else np.random.default_rng(seed).random(events.n_events)
    order = np.lexsort((within, events.user_num))
    is_tested = np.zeros(len(order), bool)
    is_tested[order] = _last_of_each(events.user_num[order], None)
    return _cut(events, is_tested)


def train_validation_test(
    events: NumberedEvents, outer: Splitter = temporal_user_split, inner: Splitter | None = None
) -> ThreeWaySplit:
    """Cut off the test part with ``outer``, then a validation part of the rest with ``inner``.

    Settings chosen on the validation part have not seen the test part. Without ``inner`` both cuts are made
    alike; shares of the inner one are of the rest. ``functools.partial`` sets a splitter's options.

    >>> [part.tolist() for part in train_validation_test(_example(), leave_one_out)]
    [[0, 1], [2], [3, 4]]
    """
    rest, test = outer(events)
    train, validation = (inner or outer)(events_at(events, rest))
    return ThreeWaySplit(rest[train], rest[validation], test)


#: Splits by the names that ``split`` arguments take.
SPLITS: dict[str, Splitter] = {
    "time": time_split,
    "random": random_user_split,
    "temporal": temporal_user_split,
    "leave_one_out": leave_one_out,
}


def events_at(events: NumberedEvents, places: Ints) -> NumberedEvents:
    """Return the events at ``places``, in their order, as copies."""
    return NumberedEvents(*[column[places] for column in events])  # type: ignore[arg-type]


def _cut(events: NumberedEvents, is_tested: np.ndarray) -> Split:
    order = np.argsort(events.timestamp, kind="stable")
    return Split(order[~is_tested[order]], order[is_tested[order]])


def _last_of_each(user: np.ndarray, share: float | None) -> np.ndarray:
    """Mark the last ``share`` (None: one) of each user's run; ``user`` is sorted."""
    starts = np.flatnonzero(np.diff(user, prepend=-1))
    sizes = np.diff(starts, append=len(user))
    n_tested = np.minimum(sizes - 1, 1) if share is None else _n_tested(sizes, share)
    from_the_end = np.repeat(starts + sizes, sizes) - np.arange(len(user))  # 1 for the last
    return np.asarray(from_the_end <= np.repeat(n_tested, sizes))


def _n_tested(sizes: Ints, share: float) -> Ints:
    """Round to the nearest number, halves up, and leave one event to learn from."""
    # 0.15 x 10 is a little less than a half above one in floating point, and should count as a half.
    return np.clip(np.floor(sizes * share + 0.5 + 1e-9).astype(np.int64), 0, np.maximum(sizes - 1, 0))


def _share(test_share: float) -> float:
    if not 0.0 < test_share < 1.0:
        raise ValueError(f"test_share lies between 0 and 1, for example 0.2; got {test_share}")
    return test_share


def _example() -> NumberedEvents:
    """Return the five events of the examples above: users 0, 1, 1, 0, 1 at 10, 20, 30, 40, 50 seconds."""
    return NumberedEvents(
        user_num=np.array([0, 1, 1, 0, 1], np.int32),
        item_num=np.array([0, 1, 2, 1, 0], np.int32),
        timestamp=np.array([10.0, 20.0, 30.0, 40.0, 50.0]),
        kind=np.zeros(5, np.uint8),
        value=np.full(5, np.nan, np.float32),
    )
