"""Where a deployment begins: no event yet, but perhaps something is known of the items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rtrec.events.vocabulary import Vocabulary
from rtrec.features.categories import Categories
from rtrec.models.beginning import published_at_first
from rtrec.models.blend import Blend
from rtrec.settings import Settings


@dataclass(frozen=True)
class Origin:
    """The state before the first event.

    Attributes
    ----------
    items
        Ids that have a number already, in order.
    arrays
        What each shard starts from; None if that is nothing.
    """

    items: tuple[str, ...] = ()
    arrays: dict[str, np.ndarray] | None = None


def origin_of(settings: Settings, texts: Mapping[str, str], categories: Categories) -> Origin:
    """Return where a deployment begins that has these texts and categories of items."""
    items = Vocabulary()
    published = published_at_first(texts, categories, items)
    if not published:
        return Origin()
    blend = Blend(settings)
    for slot, value in published.items():
        blend.publish(slot, value)
    return Origin(tuple(items.ids(range(len(items)))), blend.to_arrays())
