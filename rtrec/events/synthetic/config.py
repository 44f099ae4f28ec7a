"""What the make-believe world is like."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from rtrec.types import KINDS


@dataclass(frozen=True)
class SyntheticConfig:
    """How many, how often, and with which seed.

    Attributes
    ----------
    n_users, n_items
        Users who come by, at any time, and items there are at the start.
    n_groups
        Taste groups. Each item is in one, each user likes two.
    popularity_exponent
        Within a group the item of rank r is chosen in proportion to ``r ** -popularity_exponent``.
    follow_share
        Share of a sitting's later events that go on to one of the four followers of the item before.
    explore_share
        Share of events outside the sitting's group.
    events_per_sitting
        Mean length of a sitting (geometric).
    new_user_rate, new_item_rate
        New ones per event: at row r there have been ``int(rate * r)``.
    trend_share
        Share of the items that burst on an average day.
    repeat_share
        Share of events on an item the user has had before; all other events are on unseen ones.
    drift_at
        Row (counted from 0) before which all items are permuted; None for never.
    start, events_per_day, daily_swing
        Time of the first event, the mean rate, and how far it swings from morning to evening (0 to 1).
    kinds
        Kinds of event and their shares; a ``buy`` carries its price as value, a ``rating`` one to five stars.
    seed
        Of all chance: one seed, one stream.
    """

    n_users: int = 2000
    n_items: int = 1000
    n_groups: int = 8
    popularity_exponent: float = 1.0
    follow_share: float = 0.4
    explore_share: float = 0.1
    events_per_sitting: float = 6.0
    new_user_rate: float = 0.02
    new_item_rate: float = 0.002
    trend_share: float = 0.02
    repeat_share: float = 0.0
    drift_at: int | None = None
    start: datetime = datetime(2025, 1, 1, tzinfo=UTC)
    events_per_day: float = 5000.0
    daily_swing: float = 0.5
    kinds: tuple[tuple[str, float], ...] = (("view", 0.7), ("click", 0.2), ("buy", 0.1))
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what no world can be made of."""
        for name, least in (("n_users", 1), ("n_groups", 1), ("events_per_sitting", 1.0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}; got {getattr(self, name)}")
        if self.n_items < self.n_groups:
            raise ValueError(f"n_items must be at least n_groups ({self.n_groups}); got {self.n_items}")
        for name in ("follow_share", "explore_share", "trend_share", "repeat_share", "daily_swing"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must be between 0 and 1; got {getattr(self, name)}")
        if self.follow_share + self.explore_share > 1.0:
            raise ValueError(
                "follow_share and explore_share must not pass 1 together; "
                f"got {self.follow_share} and {self.explore_share}"
            )
        for name in ("new_user_rate", "new_item_rate"):
            if getattr(self, name) < 0.0:
                raise ValueError(f"{name} must not be negative; got {getattr(self, name)}")
        if self.events_per_day <= 0.0:
            raise ValueError(f"events_per_day must be above 0; got {self.events_per_day}")
        if self.start.tzinfo is None:
            raise ValueError(f"start must be timezone-aware; got naive {self.start}; say tzinfo=UTC")
        if not self.kinds or min(share for _, share in self.kinds) <= 0.0:
            raise ValueError(f"kinds must have shares above 0; got {self.kinds}")
        unknown = [kind for kind, _ in self.kinds if kind not in KINDS]
        if unknown:
            raise ValueError(f"unknown kind {unknown[0]!r}; the kinds are {', '.join(KINDS)}")

    def n_items_at(self, row: int) -> int:
        """Return how many items there are when the event of ``row`` happens."""
        return self.n_items + int(self.new_item_rate * row)

    def n_users_at(self, row: int) -> int:
        """Return how many users there have been when the event of ``row`` happens, old ones included."""
        return self.n_users + int(self.new_user_rate * row)
