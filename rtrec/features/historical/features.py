"""One version of the historical features: a value that is computed, stored and read, and never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from rtrec.errors import CorruptionError, nearest
from rtrec.events.vocabulary import Vocabulary
from rtrec.features.historical.cohorts import Cohort, Earlier
from rtrec.features.historical.declared import ITEM_FEATURES, USER_FEATURES, names
from rtrec.features.historical.encoding import CategoryCodes, Cross, QuantileScale
from rtrec.types import Floats, Nums, Singles

#: The fields that are arrays, by the name they are stored under; axes are named at the fields.
_ARRAYS = {
    "item/features": "item",
    "item/codes": "item_code",
    "user/features": "user",
    "user/codes": "user_code",
    "user/cohort": "user_cohort",
    "cohort/lift": "cohort_lift",
    "cohort/centres": "cohort_centres",
    "cross/lift": "cross_lift",
}
_AXES = {"item/features": 2, "item/codes": 2, "user/features": 2, "user/codes": 2, "user/cohort": 1}
_AXES |= {"cohort/lift": 2, "cohort/centres": 2, "cross/lift": 2}
FORMAT = 1


@dataclass(frozen=True, repr=False, eq=False)
class HistoricalFeatures:
    """What history says of users, items and their cohorts as of one moment.

    Attributes
    ----------
    version
        Counts up; a later one replaces this.
    as_of
        Seconds since 1970 UTC: all events before it are in, none at or behind it.
    ends
        For each partition of the log, the offset behind the last event read.
    n_events
        How many events it was computed from.
    items, users
        Which row is whose, by external id.
    item, user
        Features as declared in :mod:`rtrec.features.historical.declared`, transformed, float32 of shape
        ``(item, feature)`` and ``(user, feature)``; NaN where a user or an item never came with a value.
    cohorts
        Groups of users by number.
    user_cohort
        The cohort of each user, int32 ``(user,)``.
    cohort_centres
        ``(cohort, feature)``, by which the next version recognises them.
    cohort_lift
        How much more than others a cohort takes of an item: the logarithm of (what it took + s) over (its
        share of all that was taken + s), float32 ``(cohort, item)``.
    item_codes, user_codes
        Which code a category has.
    item_code, user_code
        Codes of shape ``(item, category)`` and ``(user, category)``.
    crosses, cross_lift
        Pairs of categories, and the same logarithm for each bucket, float32 ``(cross, bucket)``.
    item_scale, user_scale
        By what numbers were turned into quantiles, for columns that are.
    """

    version: int
    as_of: float
    ends: tuple[int, ...]
    n_events: int
    items: Vocabulary
    users: Vocabulary
    item: Singles
    user: Singles
    cohorts: tuple[Cohort, ...]
    user_cohort: Nums
    cohort_centres: Floats
    cohort_lift: Singles
    item_codes: CategoryCodes
    item_code: Nums
    user_codes: CategoryCodes
    user_code: Nums
    crosses: tuple[Cross, ...]
    cross_lift: Singles
    item_scale: QuantileScale
    user_scale: QuantileScale

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            for array in value if isinstance(value, QuantileScale) else (value,):
                if isinstance(array, np.ndarray):
                    array.flags.writeable = False

    def __repr__(self) -> str:
        return (
            f"HistoricalFeatures(version {self.version} as of {self.time:%Y-%m-%d %H:%M:%S} UTC: "
            f"{len(self.items):,} items, {len(self.users):,} users, {self.n_events:,} events)"
        )

    @property
    def time(self) -> datetime:
        """Return the moment as a time, UTC."""
        return datetime.fromtimestamp(self.as_of, UTC)

    @property
    def earlier(self) -> Earlier:
        """Return what the next version needs to keep the numbers of cohorts."""
        return Earlier(tuple(each.name for each in self.cohorts), self.cohort_centres)

    def column(self, side: str, name: str) -> Singles:
        """Return one feature of all items or users.

        Raises
        ------
        ValueError
            If there is none of that name; the nearest is named.
        """
        known = names(ITEM_FEATURES if side == "item" else USER_FEATURES)
        if name not in known:
            raise ValueError(f"no {side} feature {name!r}{nearest(name, known)}")
        array: Singles = (self.item if side == "item" else self.user)[:, known.index(name)]
        return array

    def cohort_by_id(self) -> dict[str, str]:
        """Return the cohort's name by user id; evaluation takes it as groups of users."""
        ids = self.users.ids(range(len(self.users)))
        return {
            user: self.cohorts[cohort].name
            for user, cohort in zip(ids, self.user_cohort.tolist(), strict=True)
        }

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return everything that is long as arrays by name, to be stored as ``.npy`` files."""
        arrays: dict[str, npt.NDArray[Any]] = {
            name: getattr(self, attribute) for name, attribute in _ARRAYS.items()
        }
        for side, ids in (("item", self.items), ("user", self.users)):
            arrays |= {f"{side}/vocabulary/{name}": array for name, array in ids.to_arrays().items()}
        for side, scale in (("item", self.item_scale), ("user", self.user_scale)):
            arrays |= {f"{side}/scale/{name}": array for name, array in scale._asdict().items()}
        return arrays

    def to_manifest(self) -> dict[str, Any]:
        """Return everything that is short as a JSON object, the declared features among it."""
        return {
            "features": FORMAT,
            "version": self.version,
            "as_of": self.as_of,
            "ends": list(self.ends),
            "n_events": self.n_events,
            "item_features": [list(feature) for feature in ITEM_FEATURES],
            "user_features": [list(feature) for feature in USER_FEATURES],
            "cohorts": [[each.name, each.sentence, each.n_users] for each in self.cohorts],
            "item_categories": dict(zip(*self.item_codes, strict=True)),
            "user_categories": dict(zip(*self.user_codes, strict=True)),
            "crosses": [list(cross) for cross in self.crosses],
        }

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, npt.NDArray[Any]], manifest: Mapping[str, Any]
    ) -> HistoricalFeatures:
        """Return the features behind :meth:`to_arrays` and :meth:`to_manifest`.

        Raises
        ------
        CorruptionError
            If something is missing or does not fit together, or other features were declared when it was
            written.
        """
        if manifest.get("features") != FORMAT:
            raise CorruptionError(
                f"historical features: expected format {FORMAT}, got {manifest.get('features')!r}: "
                "made by another version of rtrec; recompute them: rtrec jobs run features"
            )
        for side, declared in (("item", ITEM_FEATURES), ("user", USER_FEATURES)):
            written = tuple(each[0] for each in manifest[f"{side}_features"])
            if written != names(declared):
                raise CorruptionError(
                    f"historical features: expected the {side} features {', '.join(names(declared))}; got "
                    f"{', '.join(written)}; recompute them: rtrec jobs run features"
                )
        for name, n_axes in _AXES.items():
            if name not in arrays or arrays[name].ndim != n_axes:
                found = f"shape {arrays[name].shape}" if name in arrays else "none"
                raise CorruptionError(f"historical features: {name!r}: expected {n_axes} axes; got {found}")
        sides = {side: _part(arrays, f"{side}/") for side in ("item", "user")}
        ids = {side: Vocabulary.from_arrays(_part(part, "vocabulary/")) for side, part in sides.items()}
        expected = {
            "item/features": (len(ids["item"]), len(ITEM_FEATURES)),
            "user/features": (len(ids["user"]), len(USER_FEATURES)),
            "user/cohort": (len(ids["user"]),),
            "cohort/lift": (len(manifest["cohorts"]), len(ids["item"])),
        }
        for name, shape in expected.items():
            if arrays[name].shape != shape:
                raise CorruptionError(
                    f"historical features: {name!r}: expected shape {shape}; got {arrays[name].shape}"
                )
        codes = {
            side: CategoryCodes(
                tuple(manifest[f"{side}_categories"]),
                tuple(tuple(known) for known in manifest[f"{side}_categories"].values()),
            )
            for side in ("item", "user")
        }
        scales = {side: QuantileScale(**_part(part, "scale/")) for side, part in sides.items()}
        return cls(
            version=int(manifest["version"]),
            as_of=float(manifest["as_of"]),
            ends=tuple(manifest["ends"]),
            n_events=int(manifest["n_events"]),
            items=ids["item"],
            users=ids["user"],
            cohorts=tuple(Cohort(*each) for each in manifest["cohorts"]),
            item_codes=codes["item"],
            user_codes=codes["user"],
            crosses=tuple(Cross(*each) for each in manifest["crosses"]),
            item_scale=scales["item"],
            user_scale=scales["user"],
            **{attribute: arrays[name] for name, attribute in _ARRAYS.items()},
        )


def _part(arrays: Mapping[str, npt.NDArray[Any]], prefix: str) -> dict[str, npt.NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
