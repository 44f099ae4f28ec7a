"""From event tables to arrays."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from rtrec.errors import InputError
from rtrec.events.numbering import NumberedLog, Numbering, number_events, within_bounds
from rtrec.events.schema import EVENT_SCHEMA
from rtrec.events.vocabulary import Vocabulary
from rtrec.settings import Settings
from rtrec.types import Columns, Forgetting


def events(*kinds: str) -> pa.Table:
    """Return an event of each kind, by two users in turn, half a second apart."""
    n = len(kinds)
    times = [datetime.fromtimestamp(number / 2, UTC) for number in range(n)]
    columns = [[f"e{number}" for number in range(n)], ["anna", "ben"] * (n // 2), ["i"] * n, times, kinds]
    return pa.table([*columns, [2.5] + [None] * (n - 1), [None] * n], schema=EVENT_SCHEMA)


def test_ids_kinds_and_times_become_numbers():
    users, items = Vocabulary(["ben"]), Vocabulary()
    numbered = number_events(events("view", "dislike"), users, items)
    assert numbered.user_num.tolist() == [1, 0]
    assert numbered.item_num.tolist() == [0, 0]
    assert numbered.timestamp.tolist() == [0.0, 0.5]
    assert numbered.kind.tolist() == [0, 7]  # the first and the last of KINDS
    assert numbered.value[0] == 2.5
    assert np.isnan(numbered.value[1])


def test_an_unknown_kind_is_refused_by_name_and_nobody_is_numbered():
    users, items = Vocabulary(), Vocabulary()
    with pytest.raises(ValueError, match=r"unknown kind: \['stare', 'sigh'\]; the kinds are view, click"):
        number_events(events("stare", "view", "sigh", "stare"), users, items)
    assert (len(users), len(items)) == (0, 0)


def test_what_shards_number_together_forgets_nobody_of_the_batch() -> None:
    """In the batch in which items run out one shard's item must not lose its number to the other's."""
    numbering = Numbering(2, Settings(most_items=100))
    old = [f"old {n}" for n in range(90)]
    numbering.number([table(old), table([])], 0)
    first, second = [f"new {n}" for n in range(11)], ["late", "late", "late"]
    parts, forgetting = numbering.number([table(first, start=90), table(second, start=101)], 90)
    assert parts[0].item_num.tolist() == [*range(90, 100), -1]
    assert parts[1].item_num.tolist() == [-1, -1, -1]  # no number is left, and it is too late to free one
    assert forgetting == [(), ()]
    parts, forgetting = numbering.number([table(["late"], start=104), table(old[50:], start=105)], 104)
    assert [each.items.tolist() for each in forgetting[0]] == [[0, 1, 2, 3, 4, 5]]
    assert [each.position for each in forgetting[1]] == [0]
    assert parts[0].item_num.tolist() == [5]
    assert parts[1].item_num.tolist() == list(range(50, 90))


def test_what_was_frozen_stays_while_the_numbering_goes_on() -> None:
    settings = Settings(most_users=100, most_items=100)
    numbering = Numbering(1, settings)

    def meet(first: int) -> None:
        names = [f"x{number}" for number in range(first, first + 80)]
        columns = [names, names, names, [datetime.fromtimestamp(first, UTC)] * 80, ["view"] * 80]
        table = pa.table([*columns, [None] * 80, [None] * 80], schema=EVENT_SCHEMA)
        numbering.number([table], first)

    meet(0)
    frozen, expected = numbering.frozen(), numbering.to_arrays()
    for first in (80, 160, 240):  # users are forgotten, items wait
        meet(first)
    assert numbering.n_forgotten > 0
    for name, array in frozen.to_arrays().items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


def test_an_event_without_an_id_is_refused() -> None:
    numbering = Numbering(1, Settings())
    with pytest.raises(ValueError, match="1 of 2 ids are null; every event needs one"):
        numbering.number([table(["a", None])], 0)
    assert len(numbering.items) == 0


@pytest.mark.parametrize("unit", [1, 7])
def test_within_bounds_a_log_has_the_numbers_of_a_run(unit: int) -> None:
    rng = np.random.default_rng(3)
    items = [f"item {n}" for n in rng.zipf(1.3, 5000) % 400]
    users = [f"user {n}" for n in rng.zipf(1.2, 5000) % 700]
    log = table(items).set_column(0, Columns.USER_ID, pa.array(users))
    settings, first = Settings(most_users=110, most_items=100), [f"item {n}" for n in range(30)]
    [expected], [gone] = Numbering(1, settings, first).number([log], 0, unit=unit)
    numbered = number_events(log, Vocabulary(), Vocabulary(first))
    found = within_bounds(numbered, settings, n_first_items=30, unit=unit)
    for name, column in expected._asdict().items():
        np.testing.assert_array_equal(getattr(found.events, name), column, err_msg=name)
    assert len(gone) > 10
    assert [each.position for each in found.forgetting] == [each.position for each in gone]
    for each, other in zip(found.forgetting, gone, strict=True):
        for side in ("users", "walkers", "items"):
            np.testing.assert_array_equal(getattr(each, side), getattr(other, side))


def test_where_all_have_room_nothing_is_numbered_again() -> None:
    numbered = number_events(table(["a", "b", "a"]), Vocabulary(), Vocabulary())
    assert within_bounds(numbered, Settings()) == (numbered, ())
    with pytest.raises(InputError, match=r"101 items are known before the first event.*'most_items' is 100"):
        within_bounds(numbered, Settings(most_items=100), n_first_items=101)


def test_pieces_are_whole_batches_cut_where_something_happens() -> None:
    numbered = number_events(table(["a"] * 30), Vocabulary(), Vocabulary())
    nobody = np.zeros(0, np.int32)
    log = NumberedLog(numbered, tuple(Forgetting(at, nobody, nobody, nobody) for at in (4, 16)))

    def ends(start: int, stop: int, **options: int) -> list[tuple[int, int, bool]]:
        pieces = list(log.pieces(start, stop, **options))
        return [
            (each.start, each.start + each.events.n_events, each.forgetting is not None) for each in pieces
        ]

    assert ends(0, 30) == [(0, 4, False), (4, 16, True), (16, 30, True)]
    assert ends(16, 20) == [(16, 20, True)]
    # At 10, 20 and 30, and there in the midst of a batch of 4: at 12, 20 and never.
    assert ends(5, 30, every=10) == [
        (5, 10, False), (10, 16, False), (16, 20, True), (20, 30, False),
    ]  # fmt: skip
    assert ends(0, 28, batch=4, every=10) == [
        (0, 4, False), (4, 12, True), (12, 16, False), (16, 20, True), (20, 28, False),
    ]  # fmt: skip
    assert ends(7, 7) == []


def table(item_ids: list[str], *, start: int = 0) -> pa.Table:
    n = len(item_ids)
    return pa.table(
        {
            Columns.USER_ID: pa.array(["u"] * n, pa.string()),
            Columns.ITEM_ID: pa.array(item_ids, pa.string()),
            Columns.TIMESTAMP: pa.array(range(start, start + n), pa.timestamp("us", "UTC")),
            Columns.KIND: pa.array(["view"] * n, pa.string()),
            Columns.VALUE: pa.array([1.0] * n, pa.float32()),
        }
    )
