"""Groups of users who use the catalogue alike, found with dask-ml; a model may serve them unlike.

A cohort stays what it is from version to version: k-means goes on from the centres found before, unless a
fresh start finds clearly better ones, and centres are matched with those before so that the sum of the
distances is least (the assignment problem: Kuhn 1955). Otherwise cohort 3 of today would be anybody, and
whatever was learned or drawn of cohort 3 would be of somebody else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from rtrec.types import Floats, NumberedEvents, Nums

N_COHORTS = 4
#: The cohort of a user without history.
NEW = -1
#: A fresh start must take away this share of the squared distances, or k-means goes on from where it was: on
#: users without plain groups two starts may well differ by a tenth.
CLEARLY_BETTER = 0.25
#: K-means runs to a fixed point, so that going on from there moves nobody.
_TOLERANCE = 1e-9
_NO_SPREAD = 1e-9
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
    """All groups; found for the first time, the one with the fewest events comes first.

    Attributes
    ----------
    cohorts
        By number. One that nobody belongs to any more keeps its number, with no users.
    of_user
        The cohort of each user, ``(user,)``.
    centres
        Mean of (log events, log days, log items, repeats) of each cohort, ``(cohort, feature)``.
    """

    cohorts: tuple[Cohort, ...]
    of_user: Nums
    centres: Floats = field(default_factory=lambda: np.zeros((0, 4)), compare=False, repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the cohorts by number."""
        return tuple(each.name for each in self.cohorts)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Return how many users each cohort has, by number."""
        return tuple(each.n_users for each in self.cohorts)

    def labels(self) -> list[str]:
        """Return the name of each user's cohort; evaluation takes them as groups of users."""
        return [self.names[number] for number in self.of_user.tolist()]


@dataclass(frozen=True)
class Earlier:
    """Cohorts of an earlier version, as far as the next one needs them: names and centres by number."""

    names: tuple[str, ...]
    centres: Floats

    @classmethod
    def of(cls, cohorts: Cohorts) -> Earlier:
        """Return what the version after these needs to know."""
        return cls(cohorts.names, cohorts.centres)


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


def find_cohorts(
    events: NumberedEvents, *, n_cohorts: int = N_COHORTS, seed: int = 0, earlier: Earlier | None = None
) -> Cohorts:
    """Group the users of some events; see :func:`group_users`."""
    return group_users(user_features(events), n_cohorts=n_cohorts, seed=seed, earlier=earlier)


def group_users(
    features: Floats, *, n_cohorts: int = N_COHORTS, seed: int = 0, earlier: Earlier | None = None
) -> Cohorts:
    """Group users by k-means over their standardised features (counts as logarithms).

    Users who are all alike are one cohort.

    Parameters
    ----------
    features
        Events, days, different items and share of repeats of each user, ``(user, 4)``.
    earlier
        Cohorts found before, whose numbers and names are kept.
    """
    table = np.column_stack([np.log1p(features[:, :3]), features[:, 3]])
    found = min(n_cohorts, len(np.unique(features, axis=0)))
    before = None if earlier is None or len(earlier.names) != found else earlier.centres
    labels = np.zeros(len(table), np.int64) if found <= 1 else _k_means(table, found, seed, before)
    labels = np.unique(labels, return_inverse=True)[1]
    n_found = int(labels.max(initial=0)) + 1
    medians = [tuple(np.median(features[labels == label], axis=0)) for label in range(n_found)]
    order = sorted(range(n_found), key=medians.__getitem__)
    labels = np.argsort(order)[labels]  # the one with the fewest events first
    centres = np.array([table[labels == label].mean(axis=0) for label in range(n_found)])
    names: tuple[str, ...] = tuple(_name(place, n_found) for place in range(n_found))
    if earlier is not None and len(earlier.names):
        number = _matched(centres, earlier.centres, table.std(axis=0))
        labels = number[labels]
        n_all = max(len(earlier.names), int(number.max()) + 1)
        more = range(len(earlier.names), n_all)
        names = earlier.names + tuple(f"group {place + 1} of {n_all}" for place in more)
        kept = np.zeros((n_all, centres.shape[1]))
        kept[: len(earlier.names)] = earlier.centres
        kept[number] = centres
        centres = kept
    cohorts = tuple(_described(name, features[labels == place]) for place, name in enumerate(names))
    return Cohorts(cohorts, labels.astype(np.int32), centres)


def size_drift(before: Sequence[int], now: Sequence[int]) -> float:
    """Return how far the shares of cohorts moved: the population stability index, less what chance gives.

    ``sum of (q - p) * ln(q / p)`` over the shares p before and q now, of which two samples of n and m users
    from the same shares have about ``(cohorts - 1) * (1 / n + 1 / m)``. From 0.1 on a change is worth a look,
    from 0.25 on it is large (customary).

    >>> size_drift([50, 50], [50, 50])
    0.0
    """
    n_cohorts = max(len(before), len(now))
    p, q = (np.array([*sizes, *[0] * (n_cohorts - len(sizes))], np.float64) + 0.5 for sizes in (before, now))
    chance = (n_cohorts - 1) * (1.0 / p.sum() + 1.0 / q.sum())
    p, q = p / p.sum(), q / q.sum()
    return max(float(((q - p) * np.log(q / p)).sum()) - chance, 0.0)


def _k_means(
    table: Floats, n_cohorts: int, seed: int, earlier: Floats | None = None
) -> npt.NDArray[np.int64]:
    """Return the number of each row's group, ``(user,)``; it goes on from ``earlier`` centres if it may."""
    import dask
    import dask.array as da
    from dask_ml.cluster import KMeans
    from dask_ml.preprocessing import StandardScaler

    # What is the same of all users, but for rounding, would be scaled to noise.
    varies = table.std(axis=0) > _NO_SPREAD
    table = table[:, varies]
    # The table is small and lies here; on a cluster every worker would first import what this takes. Where
    # users are few, the choice of first centres divides nothing by nothing once every user is one. The
    # initialisation is k-means|| (Bahmani et al. 2012), dask-ml's own; its k-means++ fails on scikit-learn.
    with dask.config.set(scheduler="synchronous"), np.errstate(invalid="ignore"):
        scaler = StandardScaler()
        scaled = scaler.fit_transform(da.from_array(table, chunks=(_CHUNK_USERS, table.shape[1])))
        fitted = KMeans(n_clusters=n_cohorts, init="k-means||", random_state=seed, tol=_TOLERANCE).fit(scaled)
        if earlier is not None:
            # A copy, for dask-ml scales what is no Dask array in place.
            centres = np.asarray(scaler.transform(earlier[:, varies].copy()), np.float64)
            gone_on = KMeans(n_clusters=n_cohorts, init=centres, tol=_TOLERANCE).fit(scaled)
            if fitted.inertia_ > (1.0 - CLEARLY_BETTER) * gone_on.inertia_:
                fitted = gone_on
        return np.asarray(fitted.labels_.compute(), np.int64)


def _matched(centres: Floats, earlier: Floats, spread: Floats) -> npt.NDArray[np.int64]:
    """Return the number of each group: that of the earlier one it is matched with, or a new one."""
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    scale = np.where(spread > _NO_SPREAD, spread, 1.0)
    group, before = linear_sum_assignment(cdist(centres / scale, earlier / scale))
    number = np.full(len(centres), -1, np.int64)
    number[group] = before
    new = number < 0
    number[new] = len(earlier) + np.arange(np.count_nonzero(new))
    return number


def _distinct(user: np.ndarray, other: np.ndarray, n_users: int) -> Floats:
    """Return how many different ``other`` each user has."""
    pairs = np.unique(user * (other.max() + 1) + other)
    return np.bincount(pairs // (other.max() + 1), minlength=n_users).astype(np.float64)


def _described(name: str, features: Floats) -> Cohort:
    """Say what the typical user of a group is like, from the features of its users."""
    if not len(features):
        return Cohort(name, "nobody now", 0)
    events, days, items, repeats = np.median(features, axis=0)
    sentence = (
        f"typically {_plural(events, 'event')} on {_plural(days, 'day')}, "
        f"{_plural(items, 'different item')}, {repeats:.0%} on items had before"
    )
    return Cohort(name, sentence, len(features))


def _name(place: int, n_cohorts: int) -> str:
    return _NAMES[n_cohorts][place] if n_cohorts in _NAMES else f"group {place + 1} of {n_cohorts}"


def _plural(number: float, word: str) -> str:
    return f"{number:,.0f} {word}{'' if round(number) == 1 else 's'}"
