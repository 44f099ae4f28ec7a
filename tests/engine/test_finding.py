"""Users by a part of their id."""

from __future__ import annotations

from rtrec.engine.finding import matching_ids


def test_the_id_itself_comes_first_then_what_begins_with_it_then_what_has_it_within() -> None:
    ids = ["xu7", "u70", None, "u7", "u71", "U7", "other"]
    assert matching_ids(ids, "u7", 10) == ["u7", "U7", "u70", "u71", "xu7"]


def test_a_search_is_bounded_and_the_likeliest_stay() -> None:
    ids = [f"a-user-{number}" for number in range(1000)] + ["user-1", "user-12"]
    assert matching_ids(ids, "user-1", 4) == ["user-1", "user-12", "a-user-1", "a-user-10"]
    assert matching_ids(ids, "user-1", 1) == ["user-1"]


def test_nothing_is_found_where_nothing_is() -> None:
    assert matching_ids(["a", "b"], "c", 10) == []
    assert matching_ids([], "", 10) == []
