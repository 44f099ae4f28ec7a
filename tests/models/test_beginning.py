"""What is published before the first event, and which numbers the items get by it."""

from __future__ import annotations

from rtrec.events.vocabulary import Vocabulary
from rtrec.models.beginning import known_items, published_at_first


def test_items_are_numbered_as_they_are_known():
    texts, categories = {"b": "a red box", "a": "a red tin"}, {"c": "red", "a": ["red", "tin"]}
    for told in ((texts, categories), (None, categories), (texts, None), (None, None), ({}, {})):
        items = Vocabulary()
        published_at_first(*told, items)
        assert items.ids(range(len(items))) == known_items(*told)
    assert known_items(texts, categories) == ["b", "a", "c"]


def test_each_thing_has_its_slot():
    published = published_at_first({"b": "a red box"}, {"c": "red"}, Vocabulary())
    assert list(published) == ["content", "categories"]
    assert published["categories"].number.tolist() == [[-1], [0]]
    assert published_at_first(None, {}, Vocabulary()) == {}
