"""What is recommended to somebody, and why."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from rtrec.evaluation.markup import table

#: Of what a printed recommendation shows.
_SHOWN_REASONS, _SHOWN_HISTORY, _LONGEST = 2, 3, 40


@dataclass(frozen=True)
class Reason:
    """One exact part of a score: the parts of an item sum to its score relative to the average candidate."""

    feature: str
    sentence: str
    part: float
    because_of: tuple[str, ...] = ()  # titles of the user's items that made it


@dataclass(frozen=True, repr=False)
class RecommendedItem:
    """One place of a list, with its reasons, strongest first.

    What only fills up the list has NaN for a score, and no reasons.
    """

    item_id: str
    title: str
    score: float
    reasons: tuple[Reason, ...]

    def __repr__(self) -> str:
        return f"RecommendedItem({self.item_id[:30]!r}, {self.title[:30]!r}, {self.score:.3f})"


@dataclass(frozen=True, repr=False)
class Recommendation:
    """A user's last items and what is recommended now; printed as a table, in full by :meth:`as_json`.

    ``offset`` says how many events were learned before it, ``from_snapshot`` that it comes from the last
    snapshot, since the shards were being brought back.
    """

    user_id: str
    known: bool
    history: tuple[tuple[str, str], ...]  # (item_id, title), newest first
    items: tuple[RecommendedItem, ...]
    offset: int
    from_snapshot: bool = False

    def __repr__(self) -> str:
        best = [each.item_id[:20] for each in self.items[:3]] + ["..."] * (len(self.items) > 3)
        return f"Recommendation({self.user_id[:20]!r}, {len(self.items)} items: {', '.join(best)})"

    def __str__(self) -> str:
        return "\n".join([self._headline(), *(" ".join(cells) for cells in self._rows())])

    def as_json(self) -> dict[str, Any]:
        """Return all of it as JSON values: every item with every part of its score."""
        return {
            "user": self.user_id,
            "known": self.known,
            "offset": self.offset,
            "from_snapshot": self.from_snapshot,
            "history": [{"item": item, "title": title} for item, title in self.history],
            "items": [
                {
                    "item": each.item_id,
                    "title": each.title,
                    "score": each.score if math.isfinite(each.score) else None,
                    "reasons": [asdict(reason) for reason in each.reasons],
                }
                for each in self.items
            ],
        }

    def _repr_html_(self) -> str:
        return table(self._headline(), ["", "recommended", "score", "mostly because it"], self._rows())

    def _headline(self) -> str:
        user = _cut(self.user_id) if self.known else f"{_cut(self.user_id)} (not known yet)"
        had = ", ".join(_cut(title) for _, title in self.history[:_SHOWN_HISTORY])
        state = f"{self.offset:,} events" + (", from the last snapshot" if self.from_snapshot else "")
        return f"{user} after {state}" + (f"; had last: {had}" if had else "")

    def _rows(self) -> list[list[str]]:
        """Return place, title, score and strongest reasons of each item, as texts."""
        return [
            [
                f"{place:>2}.",
                _cut(each.title) + (f" ({_cut(each.item_id)})" if each.title != each.item_id else ""),
                f"{each.score:+.2f}" if math.isfinite(each.score) else "",
                "; ".join(
                    f"{reason.sentence} {reason.part:+.2f}" for reason in each.reasons[:_SHOWN_REASONS]
                ),
            ]
            for place, each in enumerate(self.items, 1)
        ]


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}\u2026"
