"""Ids get dense numbers in order of first appearance, and keep them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtrec.events.vocabulary import Vocabulary

ID_LISTS = st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=6), max_size=30)


def test_numbers_are_given_in_order_of_first_appearance():
    items = Vocabulary()

    assert items.numbers(["b", "a", "b", "c"]).tolist() == [0, 1, 0, 2]
    assert items.numbers(["d", "a"]).tolist() == [3, 1]
    assert items.ids([0, 1, 2, 3]) == ["b", "a", "c", "d"]
    assert len(items) == 4
    assert "d" in items
    assert "e" not in items


def test_numbers_are_int32_even_for_no_ids():
    assert Vocabulary().numbers([]).dtype == np.int32
    assert Vocabulary().lookup(pa.array([], pa.string())).dtype == np.int32


def test_lookup_marks_the_unknown_and_adds_nothing():
    items = Vocabulary(["a"])

    assert items.lookup(["z", "a"]).tolist() == [-1, 0]
    assert len(items) == 1


@given(known=ID_LISTS, ids=ID_LISTS, cut=st.integers(0, 30))
def test_arrow_columns_give_the_same_numbers_as_lists(known, ids, cut):
    plain, arrow, chunked, dictionary = (Vocabulary(known) for _ in range(4))
    pieces = pa.chunked_array([pa.array(ids[:cut], pa.string()), pa.array(ids[cut:], pa.string())])

    expected = plain.numbers(ids).tolist()

    assert arrow.numbers(pa.array(ids, pa.string())).tolist() == expected
    assert chunked.numbers(pieces).tolist() == expected
    assert dictionary.numbers(pa.array(ids, pa.string()).dictionary_encode()).tolist() == expected
    assert arrow.lookup(pieces).tolist() == expected
    assert arrow.ids(range(len(arrow))) == plain.ids(range(len(plain)))


def test_a_dictionary_from_outside_is_numbered_by_its_events():
    column = pa.DictionaryArray.from_arrays(pa.array([2, 0]), pa.array(["x", "never seen", "y"]))

    items = Vocabulary()

    assert items.numbers(column).tolist() == [0, 1]
    assert items.ids([0, 1]) == ["y", "x"]
    assert len(items) == 2


@given(ids=ID_LISTS)
def test_arrays_and_back_keep_every_number(ids):
    items = Vocabulary(ids)

    arrays = items.to_arrays()
    again = Vocabulary.from_arrays(arrays)

    assert arrays["bytes"].dtype == np.uint8
    assert arrays["ends"].dtype == np.int64
    assert again.ids(range(len(again))) == items.ids(range(len(items)))
    assert again.lookup(ids).tolist() == items.lookup(ids).tolist()


def test_arrays_hold_utf8_one_id_after_the_other():
    arrays = Vocabulary(["é", "ab"]).to_arrays()

    assert arrays["bytes"].tobytes() == b"\xc3\xa9ab"
    assert arrays["ends"].tolist() == [2, 4]


@pytest.mark.parametrize("ends", [[2, 3], [3, 2, 4], [2, 4, 4, 4]])
def test_arrays_that_describe_no_vocabulary_are_refused(ends):
    arrays = {"bytes": np.frombuffer(b"abcd", np.uint8), "ends": np.array(ends)}

    with pytest.raises(ValueError, match="vocabulary arrays"):
        Vocabulary.from_arrays(arrays)


def test_an_id_that_is_no_string_is_refused():
    with pytest.raises(TypeError, match=r"got 17 \(int\)"):
        Vocabulary().numbers([17])


def test_a_null_id_is_refused():
    with pytest.raises(ValueError, match="1 of 2 ids are null"):
        Vocabulary().numbers(pa.array(["a", None]))


@pytest.mark.parametrize("num", [-1, 2])
def test_a_number_without_an_id_is_an_index_error(num):
    with pytest.raises(IndexError, match=f"number {num}: none of the 2 ids has it"):
        Vocabulary(["a", "b"]).id_of(num)
