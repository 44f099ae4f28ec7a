"""Which tested pairs of user and item belong to which cohort and which window of time.

A cohort holds users (new or known ones, or any groups given) or items (the head or the tail of the
catalogue). A figure of a user cohort is over its users; a figure of an item cohort takes only its items as
relevant, while the lists stay whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rtrec.errors import InputError, nearest
from rtrec.evaluation.ranking_metrics import Bools, Relevant
from rtrec.events.vocabulary import Vocabulary
from rtrec.models.kernel import DISLIKE
from rtrec.types import Floats, Ints, NumberedEvents, Nums

#: Cohorts that are looked at if nothing is said.
COHORTS = ("user", "item")
#: Those that ``cohorts`` arguments know by name; the last one takes dask-ml, which takes seconds to import.
KNOWN = (*COHORTS, "activity")
#: Who belongs to which group: by user id, by number, or to be found from the train part.
Groups = Mapping[Any, Any] | npt.ArrayLike | Callable[[NumberedEvents], npt.ArrayLike]
ALL = "all"


class PairsTested(NamedTuple):
    """What each tested user took in the test part, each item once, in order of time; ``(pair,)``."""

    row: Ints  # row of the user among the tested users
    item: Nums
    grade: Floats
    timestamp: Floats  # of the first event on the item
    users: Nums  # (row,) number of each tested user

    @classmethod
    def of(cls, test: NumberedEvents, train: NumberedEvents, *, graded: bool, repeat: bool) -> PairsTested:
        """Return what can be found of a test part in order of time; dislikes are left out.

        Raises
        ------
        InputError
            If pairs shall be graded and an event has no value to grade it by.
        """
        width = int(max(test.item_num.max(), train.item_num.max())) + 1
        key = test.user_num.astype(np.int64) * width + test.item_num
        taken = test.kind != DISLIKE
        if not repeat:
            taken &= ~np.isin(key, train.user_num.astype(np.int64) * width + train.item_num)
        _, first, pair = np.unique(key[taken], return_index=True, return_inverse=True)
        grade = np.ones(len(first))
        if graded:
            value = test.value[taken].astype(np.float64)
            if not (value > 0.0).all():
                raise InputError(
                    f"graded=True: expected a value above 0 with every event tested; "
                    f"{(~(value > 0.0)).sum():,} of {len(value):,} have none; name its column: value=..."
                )
            grade = np.zeros(len(first))
            np.maximum.at(grade, pair, value)
        in_time = np.argsort(first)
        at = np.flatnonzero(taken)[first[in_time]]
        users, row = np.unique(test.user_num[at], return_inverse=True)
        return cls(row, test.item_num[at], grade[in_time], test.timestamp[at], users)

    def relevant(self, members: Bools) -> tuple[Ints, Relevant]:
        """Return the rows of users with a pair among ``members``, and their relevant items by new rows."""
        rows, user = np.unique(self.row[members], return_inverse=True)
        return rows, Relevant.of(user, self.item[members], self.grade[members], len(rows))

    def windows(self, n_windows: int) -> Ints:
        """Return the window of each pair: windows hold equally many pairs, so all are equally precise."""
        return np.arange(len(self.row)) * n_windows // max(len(self.row), 1)


class Cohort(NamedTuple):
    """A named part of the pairs; ``of_items`` says whether items or users make it."""

    name: str
    members: Bools  # (pair,)
    of_items: bool = False


def find_cohorts(
    cohorts: str | Sequence[str] | Mapping[str, Groups | None],
    pairs: PairsTested,
    train: NumberedEvents,
    users: Vocabulary,
    *,
    head_share: float = 0.5,
) -> list[Cohort]:
    """Return all pairs, and the cohorts asked for; see :func:`~rtrec.evaluation.offline.evaluate_offline`.

    Raises
    ------
    InputError
        If a name is unknown or groups do not fit the users.
    """
    found = [Cohort(ALL, np.ones(len(pairs.row), bool))]
    for name in [cohorts] if isinstance(cohorts, str) else cohorts:
        groups = cohorts[name] if isinstance(cohorts, Mapping) else None
        if groups is not None:
            found += _groups(name, _labels(name, groups, train, users)[pairs.users], pairs)
        elif name == "user":
            is_known = np.isin(pairs.users, train.user_num)[pairs.row]
            found += [Cohort("new user", ~is_known), Cohort("known user", is_known)]
        elif name == "item":
            is_head = np.isin(pairs.item, head_items(train.item_num, head_share))
            found += [Cohort("head item", is_head, True), Cohort("tail item", ~is_head, True)]
        elif name == "activity":
            found += _groups(name, _labels(name, activity, train, users)[pairs.users], pairs)
        else:
            raise InputError(
                f"unknown cohort {name!r}{nearest(name, KNOWN)}; there are {', '.join(KNOWN)}; "
                f'give groups of your own as cohorts={{"{name}": labels by user id}}'
            )
    names = [each.name for each in found]
    twice = [each for each in names if names.count(each) > 1]
    if twice:
        raise InputError(f"cohorts: {twice[0]!r} would stand for two; give one of them another name")
    return found


def activity(train: NumberedEvents) -> npt.NDArray[np.object_]:
    """Return the k-means cohort of each user of a train part, by name; see :mod:`rtrec.features.historical`.

    They are found in what was learned, so no test event decides whose figure it enters. A user who has no
    event there is in none of them (None), which by a split of one's own may be one between others.
    """
    from rtrec.features.historical.cohorts import find_cohorts as find_by_activity

    users, row = np.unique(train.user_num, return_inverse=True)
    labels = np.full(int(users.max()) + 1, None, object)
    labels[users] = find_by_activity(train._replace(user_num=row.astype(np.int32))).labels()
    return labels


def head_items(item_num: Nums, share: float) -> Nums:
    """Return the fewest items that hold ``share`` of the events, the most used first.

    >>> head_items(np.array([0, 2, 2, 2, 1, 1]), 0.5).tolist()  # 3 of 6 events
    [2]
    """
    if not 0.0 < share < 1.0:
        raise InputError(f"head_share lies between 0 and 1, for example 0.5; got {share}")
    counts = np.bincount(item_num)
    order = np.lexsort((np.arange(len(counts)), -counts))
    n_head = int(np.searchsorted(np.cumsum(counts[order]), share * len(item_num) - 1e-9)) + 1
    return order[:n_head].astype(np.int32)


def _labels(name: str, groups: Groups, train: NumberedEvents, users: Vocabulary) -> npt.NDArray[np.object_]:
    """Return the label of each user as text, None for users in no group, ``(user,)``."""
    of_user = np.full(len(users), None, object)
    if hasattr(groups, "items"):  # a mapping, or a series with user ids as its index
        by_id = {str(each): str(label) for each, label in groups.items()}
        ids = list(by_id)
        numbers = users.lookup(ids)
        if ids and (numbers < 0).all():
            raise InputError(
                f"cohort {name!r}: none of its {len(ids):,} user ids is in the data; the first is {ids[0]!r}"
            )
        for number, each in zip(numbers.tolist(), ids, strict=True):
            if number >= 0:
                of_user[number] = by_id[each]
        return of_user
    labels = np.asarray(groups(train) if callable(groups) else groups)
    # Groups found in the train part say nothing of users who first come in the test part.
    if labels.ndim != 1 or len(labels) > len(users) or (len(labels) < len(users) and not callable(groups)):
        raise InputError(
            f"cohort {name!r}: expected a label for each of {len(users):,} users, in order of their first "
            f"event; got shape {labels.shape}"
        )
    of_user[: len(labels)] = [None if each is None else str(each) for each in labels.tolist()]
    return of_user


def _groups(name: str, label_of_row: npt.NDArray[np.object_], pairs: PairsTested) -> list[Cohort]:
    labels = sorted({each for each in label_of_row if each is not None}, key=_by_number_or_name)
    return [Cohort(f"{name} {each}", (label_of_row == each)[pairs.row]) for each in labels]


def _by_number_or_name(label: str) -> tuple[bool, int, str]:
    number = label.isdecimal()
    return (not number, int(label) if number else 0, label)
