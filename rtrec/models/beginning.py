"""What is published before the first event: what a run or a test knows of items besides their events."""

from __future__ import annotations

from collections.abc import Mapping

from rtrec.events.vocabulary import Vocabulary
from rtrec.features.categories import Categories, numbered_categories
from rtrec.models.published import CATEGORIES, Published


def published_at_first(
    texts: Mapping[str, str] | None, categories: Categories | None, items: Vocabulary
) -> dict[str, Published]:
    """Return what the texts and categories of items give to publish, by slot.

    The items get their numbers now, in the order of :func:`known_items`, so that a run and a test of the same
    log that know the same of its items number them alike.

    Parameters
    ----------
    texts, categories
        By item id; None where nothing is known.
    items
        The vocabulary of the run or test, before its first event.
    """
    items.numbers(known_items(texts, categories))
    published: dict[str, Published] = {}
    if texts:
        from rtrec.models.nearline.texts import table_of_texts  # scikit-learn takes a second to import

        published["content"] = table_of_texts(texts, items)
    if categories:
        published[CATEGORIES] = numbered_categories(categories, items)
    return published


def known_items(texts: Mapping[str, str] | None, categories: Categories | None) -> list[str]:
    """Return the ids of items that are numbered before the first event, in order."""
    return list(dict.fromkeys([*(texts or ()), *map(str, categories or ())]))
