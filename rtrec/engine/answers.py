"""From an answer in numbers to a recommendation in names."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from math import isnan
from typing import Any

from rtrec.engine.ledger import Ledger
from rtrec.engine.recommendation import Reason, Recommendation, RecommendedItem
from rtrec.events.roster import Roster
from rtrec.models.explain import Answer


def named(
    answer: Answer,
    user_id: str,
    *,
    known: bool,
    items: Roster[str],
    titles: Mapping[str, str],
    offset: int,
    from_snapshot: bool = False,
) -> Recommendation:
    """Return an answer with the ids and titles of its items; an item without a title is called by its id."""

    def title(item: int) -> str:
        return titles.get(items.id_of(item), items.id_of(item))

    return Recommendation(
        user_id=user_id,
        known=known,
        history=tuple((items.id_of(item), title(item)) for item in answer.history),
        items=tuple(
            RecommendedItem(
                items.id_of(place.item_num),
                title(place.item_num),
                place.score,
                tuple(
                    Reason(part.feature, part.sentence, part.value, tuple(map(title, part.because_of)))
                    for part in place.parts
                ),
            )
            for place in answer.places
        ),
        offset=offset,
        from_snapshot=from_snapshot,
    )


def as_message(answer: Answer, user_id: str, ledger: Ledger) -> dict[str, Any]:
    """Return a list as what a sink writes: a JSON object, of which user and offset tell one from another.

    ``offset`` is how many events were learned before it, and ``time`` the latest event time among them; an
    item that only filled up the list has no score.
    """
    return {
        "user_id": user_id,
        "offset": ledger.n_events,
        "time": datetime.fromtimestamp(ledger.last_time, UTC).isoformat() if ledger.n_events else None,
        "model": "default",
        "version": f"{ledger.seq:012d}",
        "items": [
            {
                "item_id": ledger.items.id_of(place.item_num),
                "score": None if isnan(place.score) else place.score,
            }
            for place in answer.places
        ],
    }
