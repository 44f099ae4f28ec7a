"""Prequential figures of groups of users: any evaluation, cut by who was asked.

The events of a cohort were answered in the same stream as all others and learned by the same models, so its
figures say how well those users were served, not how well a model of their own would serve them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from rtrec.errors import InputError
from rtrec.evaluation.metrics import RankCounts
from rtrec.evaluation.model_result import ModelResult
from rtrec.events.vocabulary import Vocabulary
from rtrec.types import Ints, Nums

#: The cohort of users in no group.
NEW = "new"
_METRICS = {"hit_rate": "hr", "ndcg": "ndcg"}


def by_cohort(
    results: Sequence[ModelResult],
    users: Vocabulary | None,
    user_num: Nums | None,
    groups: Mapping[str, str],
) -> xr.Dataset:
    """Return the figures of each group of users.

    Parameters
    ----------
    results
        Of models that were tested on the same events.
    users, user_num
        Whose each tested event was, as an evaluation says it.
    groups
        The group of each user, by user id: cohorts of :mod:`rtrec.features.historical` (``cohort_by_id``), or
        any of your own. Users in none of them are ``"new"``.

    Returns
    -------
    ``value``, and ``low`` and ``high`` of the 95% interval, by ``(cohort, model, metric)``, NaN for a cohort
    without tested events; ``events`` by ``cohort``.

    Raises
    ------
    InputError
        If the evaluation does not know who was asked, or none of the users is in it.
    """
    if users is None or user_num is None:
        raise InputError("this evaluation does not say whose events were tested; evaluate again")
    for each in results:
        if len(each.ranks) != len(user_num):
            raise InputError(
                f"model {each.model!r}: expected ranks of all {len(user_num):,} events tested; "
                f"it left some out and has {len(each.ranks):,}"
            )
    names = [*sorted(set(groups.values()) - {NEW}), NEW]
    number = {name: place for place, name in enumerate(names)}
    ids = users.ids(range(len(users)))
    if groups and not any(user in groups for user in ids):
        raise InputError(
            f"none of the {len(groups):,} users in groups was tested; the first is {next(iter(groups))!r}"
        )
    of_user = np.array([number[groups.get(user, NEW)] for user in ids], np.int64)
    return figures_of(results, of_user[user_num], names)


def figures_of(results: Sequence[ModelResult], cohort: Ints, names: Sequence[str]) -> xr.Dataset:
    """Return figures by cohort, as :func:`by_cohort` does, from the cohort's number of each tested event."""
    k = results[0].k
    shape = (len(names), len(results), len(_METRICS))
    value, low, high = (np.full(shape, np.nan) for _ in range(3))
    for place in range(len(names)):
        members = cohort == place
        if not members.any():
            continue
        counts = RankCounts(len(results), k)
        counts.add(np.column_stack([each.ranks[members] for each in results]))
        for column, metric in enumerate(_METRICS):
            value[place, :, column] = counts.hit_rate() if metric == "hit_rate" else counts.ndcg()
            low[place, :, column], high[place, :, column] = counts.interval(metric)
    axes = ("cohort", "model", "metric")
    return xr.Dataset(
        {
            "value": (axes, value),
            "low": (axes, low),
            "high": (axes, high),
            "events": ("cohort", np.bincount(cohort, minlength=len(names))),
        },
        coords={
            "cohort": list(names),
            "model": [each.model for each in results],
            "metric": [f"{name}@{k}" for name in _METRICS.values()],
        },
    )
