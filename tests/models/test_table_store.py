"""Published tables on disk: written once, read under their seal, kept as long as somebody needs them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from rtrec.errors import CorruptionError, DeploymentError
from rtrec.models.nearline.tables import NeighbourTable
from rtrec.models.table_store import TableStore

TABLE = NeighbourTable(
    np.array([[1], [0]], np.int32), np.array([[0.5], [0.25]], np.float32), np.array([1, 1], np.int32)
)


@pytest.fixture
def store(tmp_path: Path) -> TableStore:
    return TableStore(tmp_path)


def test_a_version_comes_back_as_it_was_written(store: TableStore) -> None:
    written = store.write("own", "7-ease", TABLE, {"n_events": 7})
    assert store.find("own", "7-ease") == written
    assert written.about == {"n_events": 7}
    for found, expected in zip(store.read("own", "7-ease", written.seal), TABLE, strict=True):
        np.testing.assert_array_equal(found, expected)
        assert found.flags.writeable
    assert store.find("own", "8-ease") is None


def test_a_version_never_changes(store: TableStore) -> None:
    store.write("own", "7", TABLE, {})
    with pytest.raises(ValueError, match="is there already"):
        store.write("own", "7", TABLE, {})


def test_what_no_kernel_could_read_is_not_written(store: TableStore) -> None:
    with pytest.raises(ValueError, match="slot 'own': expected rows of 0 to 1 neighbours; got a size of 2"):
        store.write("own", "7", TABLE._replace(size=np.array([2, 1], np.int32)), {})
    assert store.versions("own") == []


def test_what_is_not_what_was_published_is_refused_by_name(store: TableStore) -> None:
    seal = store.write("own", "7", TABLE, {}).seal
    other = store.write("own", "8", TABLE._replace(weight=2 * TABLE.weight), {}).seal
    with pytest.raises(CorruptionError, match=rf"{store.path('own', '7')}: .* expected the seal {other}"):
        store.read("own", "7", other)
    with pytest.raises(
        CorruptionError, match="own/9: the log publishes it, but the folder is missing; restore"
    ):
        store.read("own", "9", seal)
    (store.path("own", "7") / "table" / "size.npy").unlink()
    with pytest.raises(CorruptionError, match=r"size\.npy: is missing"):
        store.read("own", "7", seal)
    with pytest.raises(CorruptionError, match=r"size\.npy: is missing"):
        store.find("own", "7")


def test_a_model_is_kept_for_the_next_fit_made_in_the_same_way(store: TableStore) -> None:
    store.write_model("own", "7", {"weights": np.arange(3)}, {"made_by": "a", "n_learned": 7})
    store.write_model("own", "9", {"weights": np.arange(4)}, {"made_by": "a", "n_learned": 9})
    arrays, about = store.read_model("own", {"made_by": "a"})
    assert (arrays["weights"].tolist(), about["n_learned"]) == ([0, 1, 2, 3], 9)
    assert store.read_model("own", {"made_by": "b"}) is None
    assert store.read_model("history", {"made_by": "a"}) is None
    assert [path.name for path in (store.models / "own").iterdir()] == ["9"]


def test_one_fit_at_a_time_has_a_slot(store: TableStore) -> None:
    with (
        store.fitting("own"),
        store.fitting("history"),
        pytest.raises(DeploymentError, match="tables/own: another fit for this slot is at work"),
        store.fitting("own"),
    ):
        pass
    with store.fitting("own"):
        pass
    assert store.versions("own") == []


def test_only_what_is_needed_stays_and_what_may_yet_be_published(store: TableStore) -> None:
    for version in ("1", "2", "3", "10", "11", "12"):
        store.write("own", version, TABLE, {})
    long_ago = store.path("own", "11").stat().st_mtime - 2 * 86_400
    os.utime(store.path("own", "11"), (long_ago, long_ago))
    deleted = store.prune("own", published={"1", "2", "3", "10"}, needed={"2", "10"})
    assert deleted == ["1", "3", "11"]  # the last one was left by a crash, two days ago
    assert [path.name for path in store.versions("own")] == ["2", "10", "12"]
