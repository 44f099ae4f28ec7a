"""Categories of items as numbers: which are kept, in which order, and what cannot be one."""

from __future__ import annotations

import numpy as np
import pytest

from rtrec.errors import InputError
from rtrec.events.vocabulary import Vocabulary
from rtrec.features import categories
from rtrec.features.categories import named_categories, no_categories, numbered_categories


def test_names_are_numbered_in_order_and_the_rarest_comes_first():
    items = Vocabulary(["z"])
    given = {"b": ["war", "drama"], "a": "drama", "c": [" drama ", "drama", ""], "d": [], "e": ("art", "war")}
    found = numbered_categories(given, items)
    assert items.ids(range(6)) == ["z", "b", "a", "c", "d", "e"]
    # art 0 has one item, drama 1 three, war 2 two.
    assert found.number.tolist() == [[-1, -1], [2, 1], [1, -1], [1, -1], [-1, -1], [0, 2]]
    assert found.n_categories == 3
    assert found.n_among(np.array([-1, 0, 1, 2, 4, 99])) == 2


def test_the_order_in_which_they_come_changes_no_number():
    one, other = {"a": ["x", "y"], "b": ["y"]}, {"a": ["y", "x"], "b": "y"}
    assert numbered_categories(one, Vocabulary()).number.tolist() == [[0, 1], [1, -1]]
    assert numbered_categories(other, Vocabulary()).number.tolist() == [[0, 1], [1, -1]]


def test_of_many_categories_of_an_item_the_rarest_are_kept():
    common = [f"c{number}" for number in range(8)]
    given = {"a": [*common, "own", "also"], **dict.fromkeys("bcd", common)}
    found = numbered_categories(given, Vocabulary()).number
    assert found.shape == (4, categories.CATEGORIES_AN_ITEM)
    # also 0 and own 9 come first, then c0 to c5, which are 1 to 6; c6 and c7 are over.
    assert found[0].tolist() == [0, 9, 1, 2, 3, 4, 5, 6]
    assert found[1].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


def test_of_many_categories_in_all_those_with_most_items_are_kept(monkeypatch):
    monkeypatch.setattr(categories, "MOST_CATEGORIES", 2)
    given = {"a": ["rare", "often"], "b": ["often", "second"], "c": ["second", "third"]}
    found = numbered_categories(given, Vocabulary())
    assert found.number.tolist() == [[0, -1], [0, 1], [1, -1]]


@pytest.mark.parametrize("given", [{}, {"a": []}, {"a": " "}])
def test_without_a_category_there_is_nothing_to_count(given):
    assert numbered_categories(given, Vocabulary()).n_categories == no_categories().n_categories == 0


@pytest.mark.parametrize("odd", [None, 3, float("nan"), ["war", None]])
def test_what_is_no_name_is_refused(odd):
    with pytest.raises(InputError, match="categories of item 'a': expected a name or several"):
        numbered_categories({"a": odd}, Vocabulary())


def test_ids_are_texts_as_those_of_events_are():
    assert named_categories({17: "war"}) == {"17": ["war"]}
