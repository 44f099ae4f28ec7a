"""Where a deployment begins: no event yet, but perhaps something is known of the items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rtrec.events.vocabulary import Vocabulary
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


def origin_of(settings: Settings, texts: Mapping[str, str]) -> Origin:
    """Return where a deployment begins that has these texts of items: they make its content table."""
    if not texts:
        return Origin()
    from rtrec.models.nearline.texts import table_of_texts  # scikit-learn takes a second to import

    items = Vocabulary()
    blend = Blend(settings)
    blend.publish("content", table_of_texts(texts, items))
    return Origin(tuple(items.ids(range(len(items)))), blend.to_arrays())
