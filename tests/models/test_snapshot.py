"""A snapshot is complete and checked, or it is not there; what is damaged is never loaded."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from rtrec import __version__
from rtrec.errors import CorruptionError
from rtrec.failpoints import arm, disarm
from rtrec.models.snapshot import (
    FORMAT_VERSION,
    latest_snapshot,
    list_snapshots,
    prune_snapshots,
    read_snapshot,
    remove_snapshot,
    write_snapshot,
)

ARRAYS = {
    "items/near_item": np.array([[1, 2], [3, -1]], np.int32),
    "items/near_weight": np.array([[0.5, 0.25], [1.0, 0.0]], np.float32),
    "users/seen": np.zeros((0, 3), np.int64),
    "ranker/weights": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "ranker/steps": np.array(7),
    "tables/own/weight": np.array([0.5]),
}


@pytest.fixture
def written(tmp_path):
    return write_snapshot(tmp_path / "snapshots", "cut-1", ARRAYS, {"offsets": [3, 4], "model": "default"})


@pytest.mark.parametrize("mmap", [False, True])
def test_what_is_written_is_read(written, mmap):
    snapshot = read_snapshot(written, mmap=mmap)

    assert snapshot.manifest == {"offsets": [3, 4], "model": "default"}
    assert (snapshot.format_version, snapshot.written_by) == (FORMAT_VERSION, f"rtrec {__version__}")
    assert snapshot.array_names == sorted(ARRAYS)
    arrays = snapshot.arrays()
    assert arrays.keys() == ARRAYS.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, ARRAYS[name])
        assert array.dtype == ARRAYS[name].dtype
        assert array.flags.writeable is not mmap


def test_arrays_under_a_prefix_come_by_the_rest_of_their_names(written):
    assert sorted(read_snapshot(written).arrays("items/")) == ["near_item", "near_weight"]


def test_the_files_are_plain_npy_and_json(written):
    assert np.load(written / "items" / "near_item.npy").tolist() == [[1, 2], [3, -1]]
    entry = json.loads((written / "manifest.json").read_text())["arrays"]["users/seen"]
    assert (entry["dtype"], entry["shape"]) == ("int64", [0, 3])


def test_a_manifest_comes_back_as_json_has_it(tmp_path):
    path = write_snapshot(tmp_path, "s", {}, {"ends": (1, 2), "by_user": {10: 0.1, 9: 1e-300}})

    assert read_snapshot(path).manifest == {"ends": [1, 2], "by_user": {"10": 0.1, "9": 1e-300}}


def test_a_snapshot_of_the_same_name_is_replaced(written):
    write_snapshot(written.parent, "cut-1", {"b": np.array([2])}, {})

    assert read_snapshot(written).array_names == ["b"]
    assert os.listdir(written.parent) == ["cut-1"]


# ------------------------------------------------------------------------------------------------ damage


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda path: (path / "users" / "seen.npy").unlink(), r"users/seen\.npy: is missing"),
        (lambda path: (path / "items" / "x.npy").write_bytes(b""), r"items/x\.npy: does not belong there"),
        (
            lambda path: os.truncate(path / "items" / "near_item.npy", 140),
            r"near_item\.npy: expected 144 bytes",
        ),
        (lambda path: (path / "manifest.json").unlink(), r"manifest\.json: cannot be read"),
        (lambda path: os.truncate(path / "manifest.json", 60), r"manifest\.json: cannot be read"),
        (lambda path: edit(path, '"default"', '"defaults"'), "does not match its checksum"),
        (lambda path: edit(path, '"default"', "NaN"), "does not match its checksum"),
        (lambda path: edit(path, '"format_version": 4', '"format_version": 5'), r"up to 4, got 5.*rtrec 0\."),
        (lambda path: (path / "manifest.json").write_text("[]"), r"manifest\.json: cannot be read"),
    ],
)
def test_damage_names_the_file(written, harm, message, verify):
    """Fails if files are not counted, their sizes or the manifest's checksum not compared."""
    harm(written)

    with pytest.raises(CorruptionError, match=message):
        read_snapshot(written, verify=verify)


def test_no_flipped_byte_goes_unnoticed(written):
    """Fails if the checksum of an array's file, or that of the manifest, is not compared."""
    for file in sorted(path for path in written.rglob("*") if path.is_file()):
        original = file.read_bytes()
        for place in range(len(original)):
            # 0x04 turns no white space of JSON into another, which would be harmless.
            file.write_bytes(original[:place] + bytes([original[place] ^ 0x04]) + original[place + 1 :])
            with pytest.raises(CorruptionError, match=re.escape(str(file))):
                read_snapshot(written)
        file.write_bytes(original)


@pytest.mark.parametrize("verify", [True, False])
def test_a_file_that_leads_nowhere_is_named(written, verify):
    (written / "users" / "seen.npy").unlink()
    (written / "users" / "seen.npy").symlink_to("gone")

    with pytest.raises(CorruptionError, match=r"users/seen\.npy: cannot be read: .*No such file"):
        read_snapshot(written, verify=verify)


def test_a_later_format_is_refused_whoever_wrote_it(written):
    edit(written, f'"written_by": "rtrec {__version__}",\n', "")
    later = FORMAT_VERSION + 1
    edit(written, f'"format_version": {FORMAT_VERSION}', f'"format_version": {later}')

    with pytest.raises(CorruptionError, match=rf"got {later}; use the rtrec .* \(it does not say which\)"):
        read_snapshot(written)


def test_an_array_cut_off_after_opening_is_named_when_loaded(written):
    snapshot = read_snapshot(written)
    os.truncate(written / "items" / "near_item.npy", 140)

    with pytest.raises(CorruptionError, match=r"items/near_item\.npy: cannot be read: "):
        snapshot.arrays()


def test_an_array_that_changed_after_opening_is_noticed_when_loaded(written):
    snapshot = read_snapshot(written)
    np.save(written / "items" / "near_item.npy", np.zeros((2, 2)))

    with pytest.raises(CorruptionError, match=r"near_item\.npy: expected int32 \[2, 2\], got float64"):
        snapshot.arrays("items/")


# ------------------------------------------------------------------------------------------------ refusals


def test_python_objects_are_refused(tmp_path):
    with pytest.raises(TypeError, match="'ids': object holds Python objects"):
        write_snapshot(tmp_path, "s", {"ids": np.array(["a", None], object)}, {})


def test_a_pickle_in_an_array_file_is_never_loaded(tmp_path):
    path = write_snapshot(tmp_path, "s", {"a": np.zeros(1)}, {})
    np.save(path / "a.npy", np.array([{}], object), allow_pickle=True)

    with pytest.raises(CorruptionError):
        read_snapshot(path).arrays()


class Bomb:
    """Unpickled, it leaves a file behind."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("mmap", [False, True])
def test_a_pickle_that_comes_in_after_the_checksums_were_compared_is_not_loaded_either(tmp_path, mmap):
    path = write_snapshot(tmp_path, "s", {"a": np.zeros(1)}, {})
    snapshot = read_snapshot(path, mmap=mmap)
    np.save(path / "a.npy", np.array([Bomb(tmp_path / "mark")], object), allow_pickle=True)

    with pytest.raises(CorruptionError, match=r"a\.npy: cannot be read: "):
        snapshot.arrays()
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "/abs", ".hidden", "a b"])
def test_names_that_are_no_plain_file_names_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="name"):
        write_snapshot(tmp_path, name, {}, {})
    with pytest.raises(ValueError, match="array name"):
        write_snapshot(tmp_path, "s", {name: np.zeros(1)}, {})
    assert list(tmp_path.iterdir()) == []


def test_nan_in_a_manifest_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_snapshot(tmp_path, "s", {}, {"hr@10": float("nan")})


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_what_the_disk_does_not_take_leaves_the_older_one_and_takes_no_room(written, monkeypatch, code):
    def fails(path):
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr("rtrec.models.snapshot.sync", fails)
    with pytest.raises(OSError, match=os.strerror(code)):
        write_snapshot(written.parent, "cut-1", {"b": np.array([2])}, {})
    assert os.listdir(written.parent) == ["cut-1"]
    assert read_snapshot(written).array_names == sorted(ARRAYS)


def test_an_error_of_the_disk_is_told_even_if_nothing_can_be_cleared_away(tmp_path, monkeypatch):
    def fails(path):
        shutil.rmtree(tmp_path / "s" / ".unfinished-cut-1", ignore_errors=True)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    (tmp_path / "s").mkdir()
    monkeypatch.setattr("rtrec.models.snapshot.sync", fails)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        write_snapshot(tmp_path / "s", "cut-1", ARRAYS, {})


def test_a_snapshot_whose_naming_fails_is_not_there(tmp_path):
    arm("snapshot.write", "raise")
    try:
        with pytest.raises(OSError, match=r"failpoint snapshot\.write"):
            write_snapshot(tmp_path, "cut-1", ARRAYS, {})
    finally:
        disarm()
    assert list_snapshots(tmp_path) == []
    assert prune_snapshots(tmp_path, keep=1) == []
    assert os.listdir(tmp_path) == []


def test_every_file_and_folder_is_synced_before_the_name_and_the_name_behind_it(tmp_path, monkeypatch):
    """Fails if a file is not synced, or only once the snapshot has its name."""
    synced = []
    monkeypatch.setattr("rtrec.models.snapshot.sync", lambda path: synced.append((path, target.exists())))
    target = tmp_path / "cut-1"
    write_snapshot(tmp_path, "cut-1", ARRAYS, {})

    beside = tmp_path / ".unfinished-cut-1"
    expected = {beside / path.relative_to(target) for path in target.rglob("*")} | {beside}
    assert {path for path, has_name in synced if not has_name} == expected
    assert synced[-1] == (tmp_path, True)


# ------------------------------------------------------------------------------------------------ many


def test_snapshots_are_listed_in_the_order_of_their_numbers(tmp_path):
    for name in ("cut-10", "cut-9", "cut-100", "10", "9", "cut-9-b", "cut-9-a"):
        write_snapshot(tmp_path, name, {}, {})

    names = [path.name for path in list_snapshots(tmp_path)]
    assert names == ["9", "10", "cut-9", "cut-9-a", "cut-9-b", "cut-10", "cut-100"]
    assert list_snapshots(tmp_path / "nowhere") == []


def test_a_snapshot_that_is_removed_is_gone_with_what_an_earlier_removal_left(tmp_path):
    for name in ("cut-1", "cut-2"):
        write_snapshot(tmp_path, name, {"a": np.zeros(1)}, {})
    left = tmp_path / ".unfinished-@cut-1"
    left.mkdir()
    (left / "a.npy").write_bytes(b"half")

    remove_snapshot(tmp_path / "cut-1")
    assert os.listdir(tmp_path) == ["cut-2"]
    remove_snapshot(tmp_path / "cut-1")  # it is gone already
    assert os.listdir(tmp_path) == ["cut-2"]


@pytest.mark.parametrize("mmap", [False, True])
def test_the_latest_snapshot_may_be_asked_for_by_its_manifest(tmp_path, mmap):
    for number in (1, 2, 3):
        write_snapshot(tmp_path, f"cut-{number}", {"a": np.array([number])}, {"number": number})
    spoil(tmp_path / "cut-3" / "a.npy")  # not asked for, so not read

    with capture_logs() as logs:
        snapshot = latest_snapshot(tmp_path, mmap=mmap, accept=lambda manifest: manifest["number"] < 3)

    assert snapshot is not None
    assert snapshot.path.name == "cut-2"
    assert snapshot.arrays()["a"].flags.writeable is not mmap
    assert logs == []


def test_a_folder_of_another_name_is_none_of_them(tmp_path):
    write_snapshot(tmp_path, "cut-1", {}, {"number": 1})
    shutil.copytree(tmp_path / "cut-1", tmp_path / "cut-2 copy")
    shutil.copytree(tmp_path / "cut-1", tmp_path / "cut-3-copy")
    exact = re.compile("cut-[0-9]+")

    assert [path.name for path in list_snapshots(tmp_path)] == ["cut-1", "cut-3-copy"]
    assert [path.name for path in list_snapshots(tmp_path, named=exact)] == ["cut-1"]
    assert latest_snapshot(tmp_path, named=exact).path.name == "cut-1"
    assert prune_snapshots(tmp_path, keep=1, named=exact) == []
    assert len(list(tmp_path.iterdir())) == 3


def test_the_latest_good_snapshot_is_taken_and_the_damaged_one_named(tmp_path):
    for number in (1, 2, 3):
        write_snapshot(tmp_path, f"cut-{number}", {"a": np.array([number])}, {"number": number})
    damaged = tmp_path / "cut-3" / "a.npy"
    spoil(damaged)

    with capture_logs() as logs:
        snapshot = latest_snapshot(tmp_path)

    assert snapshot is not None
    assert snapshot.manifest == {"number": 2}
    assert snapshot.arrays()["a"].flags.writeable
    assert_warned(logs, damaged, "damaged and was passed over")


def test_there_is_no_latest_snapshot_where_none_is_good(tmp_path):
    assert latest_snapshot(tmp_path / "nowhere") is None
    (tmp_path / "cut-1").mkdir()
    assert latest_snapshot(tmp_path) is None


def test_pruning_keeps_the_newest_good_ones(tmp_path):
    for number in range(1, 6):
        write_snapshot(tmp_path, f"cut-{number}", {"a": np.zeros(2)}, {})
    (tmp_path / "cut-5" / "a.npy").unlink()
    (tmp_path / ".unfinished-cut-6").mkdir()
    (tmp_path / ".unfinished-cut-6" / "a.npy").write_bytes(b"half")

    with capture_logs() as logs:
        deleted = prune_snapshots(tmp_path, keep=2)

    assert_warned(logs, tmp_path / "cut-5" / "a.npy", "damaged and does not count")
    assert [path.name for path in deleted] == ["cut-1", "cut-2"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut-3", "cut-4", "cut-5"]
    with pytest.raises(ValueError, match="at least 1"):
        prune_snapshots(tmp_path, keep=0)


def test_pruning_one_by_one_keeps_the_last_and_does_not_read_its_arrays(tmp_path):
    for number in (1, 2):
        write_snapshot(tmp_path, f"cut-{number}", {"a": np.zeros(2)}, {})
    spoil(tmp_path / "cut-2" / "a.npy")

    assert prune_snapshots(tmp_path, keep=1) == [tmp_path / "cut-1"]
    assert os.listdir(tmp_path) == ["cut-2"]


WRITER = """
import os, signal, sys
from pathlib import Path
import numpy as np
import rtrec.models.snapshot as snapshot

root, step = Path(sys.argv[1]), int(sys.argv[2])
calls = 0

def counted(function):
    def call(*arguments, **options):
        global calls
        if calls == step:
            os.kill(os.getpid(), signal.SIGKILL)
        calls += 1
        return function(*arguments, **options)
    return call

snapshot.sync = counted(snapshot.sync)
snapshot.os.replace = counted(os.replace)
snapshot._write_array = counted(snapshot._write_array)
arrays = {"a": np.arange(1000), "b/c": np.ones(1000)}
snapshot.write_snapshot(root, "cut-2", arrays, {"number": 2})
"""


def test_a_writer_killed_at_any_step_leaves_all_or_nothing(tmp_path):
    """Each step (array written, file synced, renamed) is once the last: what is found is whole."""
    arrays = {"a": np.arange(1000), "b/c": np.ones(1000)}
    found = []
    for step in range(20):
        root = tmp_path / str(step)
        write_snapshot(root, "cut-1", arrays, {"number": 1})
        process = subprocess.run([sys.executable, "-c", WRITER, str(root), str(step)], check=False)
        snapshot = latest_snapshot(root)
        assert snapshot is not None
        for name, array in snapshot.arrays().items():
            np.testing.assert_array_equal(array, arrays[name])
        found.append(snapshot.manifest["number"])
        prune_snapshots(root, keep=2)
        assert not list(root.glob(".*"))
        shutil.rmtree(root)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
    assert process.returncode == 0, "the writer never got to its end"
    # Both arrays, three files and two folders synced, renamed; only the last sync comes after the rename.
    assert found == [1] * 8 + [2] * 2


def edit(path: Path, old: str, new: str) -> None:
    manifest = path / "manifest.json"
    text = manifest.read_text()
    assert old in text
    manifest.write_text(text.replace(old, new))


def spoil(file: Path) -> None:
    """Change the last byte of a file."""
    file.write_bytes(file.read_bytes()[:-1] + b"\xff")


def assert_warned(logs: list[dict[str, object]], file: Path, event: str) -> None:
    """Assert that there was one warning, about the snapshot that this file is of."""
    [log] = logs
    assert log["log_level"] == "warning"
    assert event in str(log["event"])
    assert log["snapshot"] == str(file.parent)
    assert str(file) in str(log["error"])
