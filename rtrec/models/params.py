"""Settings in the form compiled code reads."""

from __future__ import annotations

from typing import NamedTuple

from rtrec.declared import SLOTS
from rtrec.models.tables import HOUR_S
from rtrec.settings import Settings


class Params(NamedTuple):
    """:class:`rtrec.settings.Settings` as plain numbers; the types are fixed, so kernels compile once."""

    half_life_s: tuple[float, float, float]  # in the order of rtrec.models.tables: NOW, SHORT, LONG
    ring_length: int
    ring_decay: float
    transition_reach: int
    trending_candidates: int
    learning_rate: float
    use_trending: bool
    use_momentum: bool
    use_cooccurrence: bool
    use_transitions: bool
    use_trails: bool
    use_value: bool
    use_daypart: bool
    use_category: bool
    use_catalogue: bool
    use_crosses: bool
    use_historical: bool
    use_slot: tuple[bool, ...]  # in the order of rtrec.declared.SLOTS
    use_vectors: bool
    cold_items: bool
    repeat: bool
    kind_weight: tuple[float, ...]
    list_length: int


def to_params(settings: Settings) -> Params:
    """Return what the kernels need of ``settings``."""
    return Params(
        half_life_s=(
            settings.half_life_now_h * HOUR_S,
            settings.half_life_short_h * HOUR_S,
            settings.half_life_long_h * HOUR_S,
        ),
        ring_length=settings.ring_length,
        ring_decay=settings.ring_decay,
        transition_reach=settings.transition_reach,
        trending_candidates=settings.trending_candidates,
        learning_rate=settings.learning_rate,
        use_trending=settings.use_trending,
        use_momentum=settings.use_momentum,
        use_cooccurrence=settings.use_cooccurrence,
        use_transitions=settings.use_transitions,
        use_trails=settings.use_trails,
        use_value=settings.use_value,
        use_daypart=settings.use_daypart,
        use_category=settings.use_category,
        use_catalogue=settings.use_catalogue,
        use_crosses=settings.use_crosses,
        use_historical=settings.use_historical,
        use_slot=tuple(getattr(settings, f"use_{slot}") for slot in SLOTS),
        use_vectors=settings.use_vectors,
        cold_items=settings.cold_items,
        repeat=settings.repeat,
        kind_weight=settings.kind_weights(),
        list_length=settings.list_length,
    )
