"""Versions of the historical features on disk."""

from __future__ import annotations

import shutil
from dataclasses import replace

import dask
import numpy as np
import pytest

from rtrec.errors import CorruptionError
from rtrec.events.synthetic import SyntheticConfig, SyntheticStream
from rtrec.features.historical import features as historical
from rtrec.features.historical.build import compute_features
from rtrec.features.historical.frame import frame_of_events, moment_after
from rtrec.models.historical import (
    KEPT_VERSIONS,
    latest_features,
    next_version,
    usable_features,
    write_features,
)
from rtrec.models.snapshot import read_snapshot
from rtrec.settings import Settings


@pytest.fixture(scope="module")
def features():
    events = SyntheticStream(SyntheticConfig(n_users=20, n_items=15, seed=1)).events(200)
    with dask.config.set(scheduler="synchronous"):
        frame = frame_of_events(events, Settings().kind_weights())
        return compute_features(frame, as_of=moment_after(frame), n_buckets=16)


@pytest.mark.parametrize("mmap", [False, True])
def test_the_newest_version_comes_back(tmp_path, features, mmap):
    for version in (9, 10):
        write_features(tmp_path, replace(features, version=version), {"why": "test"})
    found = latest_features(tmp_path, mmap=mmap)
    assert found.version == 10
    for name, array in features.to_arrays().items():
        np.testing.assert_array_equal(found.to_arrays()[name], array)
    assert next_version(tmp_path) == 11


def test_there_is_none_yet(tmp_path):
    assert latest_features(tmp_path / "nothing") is None
    assert next_version(tmp_path / "nothing") == 1


def test_a_damaged_version_is_passed_over_and_its_number_not_used_again(tmp_path, features):
    for version in (1, 2):
        write_features(tmp_path, replace(features, version=version))
    (tmp_path / "version-2" / "user" / "cohort.npy").write_bytes(b"no")
    assert latest_features(tmp_path).version == 1
    assert next_version(tmp_path) == 3


@pytest.mark.parametrize("name", ["version-9 copy", "version-9-copy", "version-09", "version-x", "before"])
def test_a_copy_beside_the_versions_is_none_and_left_alone(tmp_path, features, name):
    other = replace(features, version=9)
    shutil.move(write_features(tmp_path / "elsewhere", other), tmp_path / name)
    for version in range(1, KEPT_VERSIONS + 2):
        write_features(tmp_path, replace(features, version=version))
    assert latest_features(tmp_path).version == KEPT_VERSIONS + 1
    assert next_version(tmp_path) == KEPT_VERSIONS + 2
    kept = {f"version-{version}" for version in range(2, KEPT_VERSIONS + 2)}
    assert {path.name for path in tmp_path.iterdir()} == kept | {name, "elsewhere"}
    assert read_snapshot(tmp_path / name).manifest["version"] == 9  # whole, as it was


def test_old_versions_go(tmp_path, features):
    for version in range(1, KEPT_VERSIONS + 3):
        write_features(tmp_path, replace(features, version=version))
    assert len(list(tmp_path.iterdir())) == KEPT_VERSIONS
    assert not (tmp_path / "version-2").exists()


def test_features_declared_otherwise_are_an_error_or_of_no_use(tmp_path, features, monkeypatch):
    write_features(tmp_path, features)
    fewer = historical.ITEM_FEATURES[1:]
    monkeypatch.setattr(historical, "ITEM_FEATURES", fewer)
    with pytest.raises(CorruptionError, match="recompute them: rtrec jobs run features"):
        latest_features(tmp_path)
    assert usable_features(tmp_path) is None
