"""From an answer in numbers to a recommendation in names."""

from __future__ import annotations

from collections.abc import Mapping

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
