"""The event table, and which shard owns a user."""

from __future__ import annotations

import subprocess
import sys
import zlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtrec.events.schema import EVENT_SCHEMA, empty_events, shard_of


def test_empty_events_have_the_schema():
    assert empty_events().schema == EVENT_SCHEMA
    assert empty_events().num_rows == 0


def test_shard_is_crc32_of_the_utf8_bytes():
    users = ["anna", "bén", "", "用户"]
    assert shard_of(users, 7).tolist() == [zlib.crc32(user.encode()) % 7 for user in users]


def test_shard_is_the_same_in_another_process():
    code = "from rtrec.events.schema import shard_of; print(shard_of(['anna', 'ben', 'cleo'], 5).tolist())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == str(shard_of(["anna", "ben", "cleo"], 5).tolist())


@settings(deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8"))), st.integers(1, 9))
def test_shard_does_not_depend_on_container_or_company(users: list[str], n_shards: int):
    alone = [int(shard_of([user], n_shards)[0]) for user in users]
    chunked = pa.chunked_array([pa.array(users[:2], pa.string()), pa.array(users[2:], pa.string())])
    for container in (users, pa.array(users, pa.string()), chunked):
        shards = shard_of(container, n_shards)
        assert shards.tolist() == alone
        assert shards.dtype == np.int64
        assert ((shards >= 0) & (shards < n_shards)).all()


def test_users_spread_over_shards():
    shares = np.bincount(shard_of([f"user-{number}" for number in range(10_000)], 4)) / 10_000
    assert np.abs(shares - 0.25).max() < 0.02


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="n_shards must be at least 1; got 0"):
        shard_of(["anna"], 0)
    with pytest.raises(ValueError, match="1 of 2 are null"):
        shard_of(pa.array(["anna", None]), 2)
