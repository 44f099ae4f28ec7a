"""Which events are tested while a source is too fast, and what the log and a snapshot keep of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtrec.engine.exchange import cut_up
from rtrec.engine.sampling import SAMPLE, Sampling, _numbers, is_tested, lift, sample
from rtrec.errors import CorruptionError
from rtrec.events.log import Control
from tests.engine.test_exchange import events


def control(offset: int, body: dict, *, at: int) -> Control:
    return Control(offset, datetime(2026, 5, 1, 12, 0, at, tzinfo=UTC), body)


def test_an_events_number_decides_by_the_published_numbers_of_splitmix64() -> None:
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]  # of seed 0
    assert _numbers(np.arange(3)).tolist() == [(each >> 11) * 2.0**-53 for each in published]


@given(
    start=st.integers(0, 10**9),
    cuts=st.lists(st.integers(0, 200), max_size=5),
    smaller=st.floats(0.01, 0.5),
    larger=st.floats(0.5, 0.99),
)
def test_where_a_stream_is_cut_makes_no_difference_and_a_smaller_share_is_part_of_a_larger(
    start: int, cuts: list[int], smaller: float, larger: float
) -> None:
    sampling = Sampling(smaller)
    n_before, pieces = start, []
    for n_events in cuts:
        pieces.append(sampling.asked(n_before, n_events))
        n_before += n_events
    offsets = start + np.arange(sum(cuts))
    whole = is_tested(offsets, smaller)
    np.testing.assert_array_equal(np.concatenate([np.zeros(0, np.bool_), *pieces]), whole)
    assert not (whole & ~is_tested(offsets, larger)).any()


@pytest.mark.parametrize("step", [1, 2, 10, 1000])
def test_a_share_is_met_also_among_events_that_come_round(step: int) -> None:
    n, share = 40_000, 0.1
    found = is_tested(step * np.arange(n), share).sum()
    assert abs(found - share * n) < 5 * np.sqrt(n * share * (1 - share))


def test_all_is_tested_before_and_behind_a_stretch_that_says_when_and_why() -> None:
    begun = Sampling().take(control(3, sample(0.25, "the source is 12 s ahead"), at=4), 8000)
    ended = begun.take(control(5, lift(), at=10), 9000)
    assert (Sampling().asked(0, 10), ended.asked(9000, 10)) == (None, None)
    assert begun.asked(8000, 1000).sum() == is_tested(8000 + np.arange(1000), 0.25).sum()
    [notice] = ended.notices
    assert (notice.kind, notice.offset) == ("sample", 8000)
    assert notice.sentence == (
        "25% of the events 8,000 to 8,999 were tested (12:00:04 to 12:00:10 UTC): the source is 12 s ahead"
    )
    for each in (Sampling(), begun, ended):
        assert Sampling.from_manifest(json.loads(json.dumps(each.to_manifest()))) == each


def test_a_share_that_follows_another_ends_its_stretch_and_the_last_twenty_are_remembered() -> None:
    state = Sampling()
    for n in range(25):
        state = state.take(control(n, sample(0.5, ""), at=n), 100 * n)
    assert [each.end for each in state.stretches] == [*(100 * n for n in range(6, 25)), None]
    assert (state.taken, state.stretches[0].start) == (24, 500)
    no_event_came_in_the_last = state.take(control(25, lift(), at=25), 2400)
    assert no_event_came_in_the_last.stretches == state.stretches[:-1]


@pytest.mark.parametrize("share", [0.0, 1.5, -0.1, "all", None, True])
def test_a_share_that_is_none_is_refused_with_its_record(share: object) -> None:
    with pytest.raises(CorruptionError, match=f"control 7: .* got {share!r}"):
        Sampling().take(control(7, {"control": SAMPLE, "share": share}, at=0), 0)


def test_each_shard_tests_its_part_of_the_common_order() -> None:
    parts = [events([1.0, 5.0, 6.0], [0] * 3, [0] * 3), events([0.0, 4.0], [0] * 2, [0] * 2)]
    asked = np.array([True, False, True, False, False])  # of times 0, 1, 4, 5, 6
    batches, _ = cut_up(7, parts, 0, asked=asked)
    assert [each.asked.tolist() for each in batches] == [[False, False, False], [True, True]]
    assert all(each.asked is None for each in cut_up(7, parts, 0)[0])
