"""Groups of users who use the catalogue alike, found with dask-ml; a model may serve them unlike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtrec.types import Floats, NumberedEvents, Nums

N_COHORTS = 4
_DAY_S = 86_400.0
_CHUNK_USERS = 100_000
#: From the fewest events of a typical user to the most, by how many cohorts there are.
_NAMES = {
    1: ("all users",),
    2: ("light", "heavy"),
    3: ("light", "regular", "heavy"),
    4: ("light", "occasional", "regular", "heavy"),
}


@dataclass(frozen=True)
class Cohort:
    """One group: its name, what its typical (median) user does, and how many they are."""

    name: str
    sentence: str
    n_users: int


@dataclass(frozen=True)
class Cohorts:
    """All groups, the one with the fewest events first; ``of_user`` has each user's, shape ``(user,)``."""

    cohorts: tuple[Cohort, ...]
    of_user: Nums


def user_features(events: NumberedEvents) -> Floats:
    """Count events, days with an event (UTC), different items, and the share of events on an item had before.

    Returns
    -------
    Array of shape ``(user, 4)``.
    """
    n_users = int(events.user_num.max()) + 1
    user = events.user_num.astype(np.int64)
    days = np.floor(events.timestamp / _DAY_S).astype(np.int64)
    n_events = np.bincount(user, minlength=n_users).astype(np.float64)
    n_days = _distinct(user, days - days.min(), n_users)
    n_items = _distinct(user, events.item_num.astype(np.int64), n_users)
    repeats = 1.0 - n_items / np.maximum(n_events, 1.0)
    return np.column_stack([n_events, n_days, n_items, repeats])


def find_cohorts(events: NumberedEvents, *, n_cohorts: int = N_COHORTS, seed: int = 0) -> Cohorts:
    """Group users by k-means over their standardised features (counts as logarithms).

    Users who are all alike are one cohort.
    """
    import dask
    import dask.array as da
    from dask_ml.cluster import KMeans
    from dask_ml.preprocessing import StandardScaler

    features = user_features(events)
    found = min(n_cohorts, len(np.unique(features, axis=0)))
    if found == 1:
        return _described(features, np.zeros(len(features), np.int64))
    table = np.column_stack([np.log1p(features[:, :3]), features[:, 3]])
    # The table is small and lies here; on a cluster every worker would first import what this takes. Where
    # users are few, the choice of first centres divides nothing by nothing once every user is one.
    with dask.config.set(scheduler="synchronous"), np.errstate(invalid="ignore"):
        scaled = StandardScaler().fit_transform(da.from_array(table, chunks=(_CHUNK_USERS, table.shape[1])))
        labels = KMeans(n_clusters=found, random_state=seed).fit(scaled).labels_.compute()
    return _described(features, np.asarray(labels, np.int64))


def _distinct(user: np.ndarray, other: np.ndarray, n_users: int) -> Floats:
    """Return how many different ``other`` each user has."""
    pairs = np.unique(user * (other.max() + 1) + other)
    return np.bincount(pairs // (other.max() + 1), minlength=n_users).astype(np.float64)


def _described(features: Floats, labels: np.ndarray) -> Cohorts:
    """Order the groups by their typical number of events and say what each is like."""
    medians = {label: np.median(features[labels == label], axis=0) for label in np.unique(labels).tolist()}
    ordered = sorted(medians, key=lambda label: tuple(medians[label]))
    cohorts, of_user = [], np.zeros(len(labels), np.int32)
    for place, label in enumerate(ordered):
        members = labels == label
        of_user[members] = place
        events, days, items, repeats = medians[label]
        sentence = (
            f"typically {_plural(events, 'event')} on {_plural(days, 'day')}, "
            f"{_plural(items, 'different item')}, {repeats:.0%} on items had before"
        )
        cohorts.append(Cohort(_name(place, len(ordered)), sentence, int(members.sum())))
    return Cohorts(tuple(cohorts), of_user)


def _name(place: int, n_cohorts: int) -> str:
    return _NAMES[n_cohorts][place] if n_cohorts in _NAMES else f"group {place + 1} of {n_cohorts}"


def _plural(number: float, word: str) -> str:
    return f"{number:,.0f} {word}{'' if round(number) == 1 else 's'}"
