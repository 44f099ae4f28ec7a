"""Categories of items as numbers: what a user's events are counted by.

An item is in none, one or several: the genres of a film, the path of a product, the tags of a song, the
country of a destination.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rtrec.errors import InputError
from rtrec.events.vocabulary import Vocabulary
from rtrec.types import Nums

#: Of an item in more than these only the rarest count, over all items: what few are in says most of it.
CATEGORIES_AN_ITEM = 8
#: Of more categories than these in all only those with the most items count.
MOST_CATEGORIES = 10_000
NO_CATEGORY = -1

#: The category or categories of each item id.
Categories = Mapping[str, str | Sequence[str]]


class ItemCategories(NamedTuple):
    """The categories of items as numbers."""

    number: Nums  # (item, place) the rarest first, -1 past the last of an item
    n_items: Nums  # (category,) how many items were in each when they got their numbers

    @property
    def n_categories(self) -> int:
        """Return how many categories have a number, be there still an item in them or not."""
        return len(self.n_items)

    def n_among(self, items: Nums) -> int:
        """Return how many of these items are in a category."""
        known = items[(items >= 0) & (items < len(self.number))]
        return int((self.number[known] != NO_CATEGORY).any(axis=1).sum())


def no_categories() -> ItemCategories:
    """Return the categories of no item."""
    return of_rows(np.full((0, 0), NO_CATEGORY, np.int32))


def of_rows(number: Nums) -> ItemCategories:
    """Return the categories that a row of numbers an item makes, ``(item, place)``, -1 past the last."""
    return ItemCategories(number, np.bincount(number[number != NO_CATEGORY]).astype(np.int32))


def numbered_categories(categories: Categories, items: Vocabulary) -> ItemCategories:
    """Give every item that is spoken of a number, and its categories too.

    Categories are numbered in the order of their names and the items in that of ``categories``, so a run and
    a test of the same log with the same categories number both alike.

    Parameters
    ----------
    categories
        By item id; an item that is not there has none.
    items
        The vocabulary of the run or test, before its first event.

    Returns
    -------
    As many places an item as that in most categories takes, at most :data:`CATEGORIES_AN_ITEM`.

    Raises
    ------
    InputError
        If something else than names is given.

    Examples
    --------
    >>> items = Vocabulary()
    >>> numbered_categories({"a": ["war", "drama"], "b": "drama", "c": []}, items).number.tolist()
    [[1, 0], [0, -1], [-1, -1]]
    """
    by_item = named_categories(categories)
    n_items = Counter(name for names in by_item.values() for name in names)
    kept = sorted(sorted(n_items, key=lambda name: (-n_items[name], name))[:MOST_CATEGORIES])
    number_of = {name: number for number, name in enumerate(kept)}
    rows = [
        sorted((number_of[name] for name in names if name in number_of), key=lambda c: (n_items[kept[c]], c))
        for names in by_item.values()
    ]
    width = min(max(map(len, rows), default=0), CATEGORIES_AN_ITEM)
    places = items.numbers(list(by_item))
    numbers = np.full((len(items), width), NO_CATEGORY, np.int32)
    for place, row in zip(places.tolist(), rows, strict=True):
        numbers[place, : len(row[:width])] = row[:width]
    return of_rows(numbers)


def named_categories(categories: Categories) -> dict[str, list[str]]:
    """Return the names of each item's categories, each once and in order; white space around is none of it.

    Raises
    ------
    InputError
        If something else than names is given.
    """
    return {str(item): _names(item, given) for item, given in categories.items()}


def _names(item: str, given: str | Sequence[str]) -> list[str]:
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, Iterable) or not all(isinstance(name, str) for name in names):
        raise InputError(
            f"categories of item {item!r}: expected a name or several, such as 'drama' or ['war', 'drama']; "
            f"got {given!r}; leave out an item that has none"
        )
    return sorted({name.strip() for name in names} - {""})
