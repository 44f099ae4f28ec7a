"""What an older rtrec wrote is brought up to date as it is opened, or refused with who can read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from rtrec.declared import FEATURE_NAMES
from rtrec.errors import CorruptionError
from rtrec.files import new_hash
from rtrec.models import snapshot as snapshots
from rtrec.models.blend import Blend
from rtrec.models.migrations import EMPTY_BOOKS, MIGRATIONS, Content
from rtrec.models.snapshot import FORMAT_VERSION, latest_snapshot, read_snapshot, write_snapshot
from rtrec.settings import Settings
from rtrec.types import NumberedEvents

#: Arrays with a place for each feature on their last axis.
BY_FEATURE = {
    "features",
    "ranker/weight",
    "ranker/squared_gradient",
    "ranker/moment_weight",
    "ranker/moment_squared_gradient",
    "ranker/variance",
    "ranker/crosses/factor",
    "ranker/crosses/squared_gradient",
}


def rewrite(path: Path, **changes: Any) -> None:
    """Let a snapshot's manifest say something else, under a checksum that fits; None takes a line out."""
    file = path / "manifest.json"
    content = {
        name: value for name, value in (json.loads(file.read_text()) | changes).items() if value is not None
    }
    content.pop("checksum")
    digest = new_hash()
    digest.update(json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode())
    file.write_text(json.dumps(content | {"checksum": digest.hexdigest()}, indent=1))


def to_version_2(path: Path) -> None:
    """Make of a state what was written before velocity and acceleration were features."""
    content = json.loads((path / "manifest.json").read_text())
    n_features = len(FEATURE_NAMES) - 2
    for name, entry in content["arrays"].items():
        if name.partition("/")[2] in BY_FEATURE:
            file = path / f"{name}.npy"
            entry |= snapshots._write_array(file, np.delete(np.load(file), [n_features, n_features + 1], -1))
    rewrite(path, format_version=2, arrays=content["arrays"])


def to_version_1(path: Path) -> None:
    """Make of a state what rtrec 0.1 wrote before there was a guard."""
    to_version_2(path)
    content = json.loads((path / "manifest.json").read_text())
    for name in [name for name in content["arrays"] if name.endswith("ranker/strikes")]:
        del content["arrays"][name]
        (path / f"{name}.npy").unlink()
    for name in (*EMPTY_BOOKS, "sampling"):
        content["manifest"].pop(name, None)
    rewrite(path, format_version=1, written_by=None, arrays=content["arrays"], manifest=content["manifest"])


def few_events() -> NumberedEvents:
    return NumberedEvents(
        user_num=np.arange(40, dtype=np.int32) % 5,
        item_num=np.arange(40, dtype=np.int32) % 9,
        timestamp=np.arange(40.0),
        kind=np.zeros(40, np.uint8),
        value=np.full(40, np.nan, np.float32),
    )


@pytest.fixture
def blend() -> Blend:
    blend = Blend(Settings())
    blend.step(few_events())
    return blend


@pytest.fixture
def old(tmp_path: Path, blend: Blend) -> Path:
    arrays = {f"shard0/{name}": array for name, array in blend.to_arrays().items()}
    path = write_snapshot(tmp_path, "7", arrays, {"seq": 7, "quarantine": {}})
    to_version_1(path)
    return path


@pytest.mark.parametrize("mmap", [False, True])
def test_a_state_from_before_the_guard_goes_on_as_if_it_had_been_there(
    old: Path, blend: Blend, mmap: bool
) -> None:
    snapshot = read_snapshot(old, mmap=mmap)
    assert (snapshot.format_version, snapshot.written_by) == (1, "rtrec 0.1")
    assert snapshot.manifest == {
        "seq": 7,
        "quarantine": {"n_events": 0, "frozen_at": None, "cuts": []},
        "first_time": None,
        "intake": {"paused": "", "notices": [], "taken": -1},
        "served": {},
        "table_changes": [],
        "sampling": {"share": 1.0, "stretches": [], "taken": -1},
    }
    assert "shard0/ranker/strikes" in snapshot.array_names
    arrays = snapshot.arrays("shard0/")
    ours = BY_FEATURE | {"ranker/strikes"}
    assert all(array.flags.writeable is not mmap for name, array in arrays.items() if name not in ours)
    goes_on_as(blend, arrays)


def goes_on_as(blend: Blend, arrays: dict[str, np.ndarray]) -> None:
    """Hold a state that was brought up to date against the one it was made of, now and some events later.

    The new features are seen by both from here on.
    """
    again = Blend.from_arrays(arrays, Settings())
    for one in (again, blend):
        one.change(Settings(use_momentum=True, repeat=True))
        one.step(few_events()._replace(timestamp=50.0 + 5000.0 * np.arange(40.0)))
    for name, array in blend.to_arrays().items():
        np.testing.assert_array_equal(array, again.to_arrays()[name], err_msg=name)
    assert blend.ranker.weight[-2:].all()


def test_a_ranker_from_before_velocity_and_acceleration_begins_to_learn_them(
    tmp_path: Path, blend: Blend
) -> None:
    arrays = {f"shard{n}/{name}": array for n in (0, 1) for name, array in blend.to_arrays().items()}
    path = write_snapshot(tmp_path, "7", arrays, {"seq": 7})
    to_version_2(path)
    assert read_snapshot(path).format_version == 2
    for shard in ("shard0/", "shard1/"):
        found = read_snapshot(path).arrays(shard)
        assert found["features"].tolist()[-3:] == ["taste_last", "velocity", "acceleration"]
        goes_on_as(Blend.from_arrays(blend.to_arrays(), Settings()), found)


def test_what_lies_on_disk_stays_as_it_was_written(old: Path) -> None:
    before = {path: path.read_bytes() for path in old.rglob("*") if path.is_file()}
    read_snapshot(old).arrays()
    assert {path: path.read_bytes() for path in old.rglob("*") if path.is_file()} == before


@pytest.fixture
def old_table(tmp_path: Path) -> Path:
    weights = np.array([[np.nan, 1.0], [2.0, 3.0]], order="F")
    path = write_snapshot(tmp_path, "1", {"table/weight": weights}, {"model": "mine"})
    rewrite(path, format_version=1, written_by=None)
    return path


@pytest.mark.parametrize("mmap", [False, True])
def test_a_table_of_an_older_format_is_as_it_was(old_table: Path, mmap: bool) -> None:
    table = read_snapshot(old_table, mmap=mmap)
    assert (table.format_version, table.written_by) == (1, "rtrec 0.1")
    assert table.manifest == {"model": "mine"}
    assert table.array_names == ["table/weight"]
    [weights] = table.arrays("table/").values()
    np.testing.assert_array_equal(weights, [[np.nan, 1.0], [2.0, 3.0]])
    assert weights.flags.writeable is not mmap
    assert weights.flags.f_contiguous


def test_an_older_table_that_may_be_changed_gives_each_reader_an_array_of_its_own(old_table: Path) -> None:
    table = read_snapshot(old_table)
    table.arrays()["table/weight"][:] = 7.0
    assert table.arrays()["table/weight"][1].tolist() == [2.0, 3.0]


def test_numbers_that_no_guard_kept_out_are_not_brought_along(old: Path, blend: Blend) -> None:
    arrays = {f"shard0/{name}": array for name, array in blend.to_arrays().items()}
    arrays["shard0/ranker/weight"] = np.full_like(blend.ranker.weight, np.nan)
    newer = write_snapshot(old.parent, "8", arrays, {"seq": 8, "quarantine": {}})
    to_version_1(newer)
    with pytest.raises(
        CorruptionError, match=r"8: of format version 1, .* array 'shard0/ranker/weight' is not"
    ):
        read_snapshot(newer)
    with capture_logs():
        found = latest_snapshot(old.parent)
    assert found is not None
    assert found.path == old


def test_every_version_before_this_one_has_a_step() -> None:
    assert sorted(MIGRATIONS) == list(range(1, FORMAT_VERSION))


def test_steps_follow_one_another(old_table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def first(content: Content) -> Content:
        return Content(content.arrays | {"first": np.array([1.0])}, {"steps": [1]})

    def second(content: Content) -> Content:
        return Content(
            content.arrays | {"second": content.arrays["first"] + 1.0},
            {"steps": [*content.manifest["steps"], 2]},
        )

    monkeypatch.setattr(snapshots, "MIGRATIONS", {1: first, 2: second})
    monkeypatch.setattr(snapshots, "FORMAT_VERSION", 3)
    snapshot = read_snapshot(old_table)
    assert snapshot.manifest["steps"] == [1, 2]
    assert snapshot.array_names == ["first", "second", "table/weight"]
    assert snapshot.arrays()["second"].tolist() == [2.0]


def test_a_format_of_the_future_names_who_wrote_it(old_table: Path) -> None:
    rewrite(old_table, format_version=FORMAT_VERSION + 1, written_by="rtrec 9.9")
    expected = rf"version up to {FORMAT_VERSION}, got {FORMAT_VERSION + 1}; use .* wrote it \(rtrec 9\.9\)"
    with pytest.raises(CorruptionError, match=expected):
        read_snapshot(old_table)


def test_a_step_that_fails_names_who_can_read_it(old_table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: Content) -> Content:
        raise KeyError("items")

    monkeypatch.setattr(snapshots, "MIGRATIONS", {1: fails})
    expected = r"of format version 1, .* to version 2: 'items'; the rtrec 0\.1 that wrote it can read it"
    with pytest.raises(CorruptionError, match=expected):
        read_snapshot(old_table)
