"""Historical features in a test: from the events before and nothing else, for who had a number by then."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import rtrec
from rtrec.errors import InputError
from rtrec.evaluation.past import PastOfLog, holders
from rtrec.events.numbering import NumberedLog, number_events
from rtrec.events.schema import EVENT_SCHEMA
from rtrec.events.synthetic import SyntheticConfig, SyntheticStream
from rtrec.events.vocabulary import Vocabulary
from rtrec.features.historical.declared import RANKED
from rtrec.settings import Settings
from rtrec.types import Forgetting

ON = Settings(use_historical=True)
EVENTS_7D = RANKED.index("events_7d")


@pytest.fixture(scope="module")
def log() -> pd.DataFrame:
    events = SyntheticStream(SyntheticConfig(n_users=80, n_items=60, seed=4)).events(1500)
    return events.to_pandas()[["user_id", "item_id", "timestamp"]]


def ranks(log: pd.DataFrame, **options: object) -> list[int]:
    """Return the ranks of all but the first 300 events, with versions at 400, 800 and 1,200."""
    chosen = {"models": "default", "settings": ON, "warmup": 0.2, "historical": 400} | options
    return rtrec.evaluate(log, **chosen)["default"].ranks.tolist()


def test_they_have_an_opinion_from_the_first_version_on(log: pd.DataFrame) -> None:
    without, found = ranks(log, historical=None), ranks(log)
    assert found[:100] == without[:100]
    assert found[100:] != without[100:]
    assert ranks(log, historical=1500) == without


def test_nothing_of_the_future_gets_in(log: pd.DataFrame) -> None:
    other = log.copy()
    other.loc[1000:, "item_id"] = "something else"
    found, changed = ranks(log), ranks(other)
    assert found[:700] == changed[:700]
    assert found[700:] != changed[700:]


def test_in_batches_a_version_comes_with_the_next_one(log: pd.DataFrame) -> None:
    # Batches begin at 300, 330, ...: 400 events are reached at 420, 800 at 810, 1,200 at 1,200.
    without, found = ranks(log, historical=None, batch=30), ranks(log, batch=30)
    assert found[:120] == without[:120]
    assert found[120:] != without[120:]
    assert found == ranks(log, batch=30, historical=410)[:500] + found[500:]  # 410 and 820: 420 and 840


def test_other_models_do_not_look_at_them(log: pd.DataFrame) -> None:
    options = {"models": ["popularity", "isgd"], "settings": ON, "limit": 300}
    alone, beside = rtrec.evaluate(log, **options), rtrec.evaluate(log, historical=400, **options)
    for model in options["models"]:
        assert alone[model].ranks.tolist() == beside[model].ranks.tolist()
    assert beside.data["historical features every"] == 400


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"historical": 0}, "historical features come every so many events, at least 1; got 0"),
        ({"settings": Settings()}, "while setting 'use_historical' is off; turn it on"),
    ],
)
def test_what_cannot_be_is_said_at_once(log: pd.DataFrame, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ranks(log, **options)


def table(item_ids: str) -> pa.Table:
    n = len(item_ids)
    times = pd.to_datetime(1_700_000_000 + 60 * np.arange(n), unit="s", utc=True)
    columns = {
        "event_id": [str(place) for place in range(n)],
        "user_id": [f"u{place % 2}" for place in range(n)],
    }
    frame = pd.DataFrame(columns | {"item_id": list(item_ids), "timestamp": times, "kind": "view"})
    return pa.Table.from_pandas(frame.assign(value=np.nan, context=None), EVENT_SCHEMA, preserve_index=False)


def test_a_version_counts_the_events_before_it_by_the_numbers_of_then() -> None:
    events, users, items = table("abaacdd"), Vocabulary(), Vocabulary(["known", "a"])
    numbered = number_events(events, users, items)
    past = PastOfLog(events, numbered, users, items, 2, ON, every=4)
    assert [past.is_due(n) for n in (0, 3, 4, 7, 8)] == [False, False, True, True, True]
    # After four events: known none, a three, b one; c and d are not there yet. The last row is for them.
    found = past.at(4, NumberedLog(numbered))
    np.testing.assert_allclose(found.item_value[:, EVENTS_7D], np.log1p([0, 3, 1, 0]), rtol=1e-6)
    assert found.user_cohort.shape == (3,)
    assert [past.is_due(n) for n in (4, 7, 8)] == [False, False, True]


def test_a_version_goes_by_the_numbers_that_are_used_again() -> None:
    events, users, items = table("abaacdd"), Vocabulary(), Vocabulary()
    numbered = number_events(events, users, items)
    # b (1) makes way for c before event 4, so c has its number; then c makes way before event 6.
    nobody, one = np.zeros(0, np.int32), np.array([1], np.int32)
    again = numbered._replace(item_num=np.array([0, 1, 0, 0, 1, -1, 1], np.int32))
    log = NumberedLog(again, tuple(Forgetting(at, nobody, nobody, one) for at in (4, 6)))
    past = PastOfLog(events, numbered, users, items, 0, ON, every=1)
    for n_events, counts in ((4, [3, 1, 0]), (5, [3, 1, 0]), (6, [3, 1, 0]), (7, [3, 2, 0])):
        found = past.at(n_events, log).item_value[:, EVENTS_7D]
        np.testing.assert_allclose(found, np.log1p(counts), rtol=1e-6)


def test_who_has_a_number_is_who_came_by_it_last_and_did_not_lose_it() -> None:
    own, given = np.array([3, 4, 3, 5, 6], np.int32), np.array([3, 2, 3, 0, -1], np.int32)
    freed = [(1, np.array([1], np.int32)), (3, np.array([0, 2], np.int32))]
    # 0 went from the first 0 to 5, 1 and 2 were taken from the first 1 and from 4; 6 has none.
    assert holders(own, given, freed, n_first=3).tolist() == [5, -1, -1, 3]
    nobody = np.zeros(0, np.int32)
    assert holders(nobody, nobody, [], n_first=2).tolist() == [0, 1]
    assert holders(nobody, nobody, []).tolist() == []
