"""Snapshots: a state as a folder of arrays and a manifest, complete and checked or not there at all.

One format serves the checkpoint, the version to roll back to, what the API serves from and the fork that a
what-if starts from. The arrays are plain ``.npy`` files, so they can be opened with mmap and by anything that
knows NumPy; nothing is ever unpickled. ``manifest.json`` lists each of them with its checksum, and says which
format it is and which rtrec wrote it. What an older rtrec wrote is brought up to date as it is opened.

The names of the snapshots in a folder say their order; numbers in them count as numbers (``cut-9`` comes
before ``cut-10``). A folder of any other name, such as a copy that somebody made, is none of them and left
alone. One writer at a time, any number of readers.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import structlog

from rtrec import __version__
from rtrec.errors import CorruptionError
from rtrec.failpoints import failpoint
from rtrec.files import UNFINISHED, blake2b, make_folder, new_hash, sync
from rtrec.models.migrations import MIGRATIONS, Content

#: Of what is written; older ones are brought up to it (:mod:`rtrec.models.migrations`).
FORMAT_VERSION = 4

_MANIFEST = "manifest.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_ARRAY_NAME = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Snapshot:
    """A snapshot on disk whose content was checked; ``manifest`` is what its writer said about it.

    ``format_version`` and ``written_by`` are those of the files; the content is that of today.
    """

    path: Path
    manifest: dict[str, Any]
    format_version: int
    written_by: str
    _entries: dict[str, dict[str, Any]] = field(repr=False)
    _mmap: bool = field(repr=False)
    _migrated: dict[str, npt.NDArray[Any]] | None = field(repr=False, default=None)

    @property
    def array_names(self) -> list[str]:
        """Return the names of all arrays, sorted."""
        return sorted(self._entries if self._migrated is None else self._migrated)

    def arrays(self, prefix: str = "") -> dict[str, npt.NDArray[Any]]:
        """Load the arrays whose names begin with ``prefix``, by what follows it.

        ``arrays("items/")`` has ``items/vocabulary/ends`` under ``vocabulary/ends``. Read-only views of the
        files if the snapshot was opened with ``mmap=True``, otherwise arrays that may be changed.

        Raises
        ------
        CorruptionError
            If a file is not what the manifest says.
        """
        names = [name for name in self.array_names if name.startswith(prefix)]
        return {name.removeprefix(prefix): self._load(name) for name in names}

    def _load(self, name: str) -> npt.NDArray[Any]:
        if self._migrated is not None:
            array = self._migrated[name]
            return array if self._mmap else np.array(array)
        return self._read(name, mmap=self._mmap)

    def _read(self, name: str, *, mmap: bool) -> npt.NDArray[Any]:
        file, entry = _file(self.path, name), self._entries[name]
        try:
            array = _read_array(file, mmap=mmap)
        except (OSError, ValueError, EOFError) as error:
            raise CorruptionError(f"snapshot file {file}: cannot be read: {error}") from error
        if [str(array.dtype), list(array.shape)] != [entry["dtype"], entry["shape"]]:
            raise CorruptionError(
                f"snapshot file {file}: expected {entry['dtype']} {entry['shape']}, "
                f"got {array.dtype} {list(array.shape)}"
            )
        return array


def write_snapshot(
    root: Path, name: str, arrays: Mapping[str, npt.NDArray[Any]], manifest: Mapping[str, Any]
) -> Path:
    """Write a snapshot that appears as ``root / name`` complete and durable, or not at all.

    Parameters
    ----------
    root
        The folder of the snapshots; created if missing.
    name
        Of the snapshot. One of that name is replaced: a run that was killed may come by the same point again.
    arrays
        By name, such as ``items/near_item``; the file is then ``items/near_item.npy``.
    manifest
        A JSON object (without NaN) about the snapshot: offsets, settings, metrics.

    Raises
    ------
    TypeError
        If an array holds Python objects, or the manifest something that is not JSON.
    ValueError
        If a name does not serve as a file name, or the manifest holds a NaN.
    OSError
        If the disk does not take it; nothing of it is left then, and an older one of that name is.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"snapshot name {name!r}: use letters, digits and '_', '-', '.', not '.' first")
    for array_name, array in arrays.items():
        if not _ARRAY_NAME.fullmatch(array_name):
            raise ValueError(f"array name {array_name!r}: use letters, digits, '_', '-' and '/' between them")
        if array.dtype.hasobject:
            raise TypeError(
                f"array {array_name!r}: {array.dtype} holds Python objects; store ids with Vocabulary"
            )
    content: dict[str, Any] = {"format_version": FORMAT_VERSION, "written_by": f"rtrec {__version__}"}
    # Through JSON and back, so that what is sealed is what a reader will find.
    content["manifest"] = json.loads(json.dumps(dict(manifest), allow_nan=False))

    make_folder(root)
    beside, target = root / (UNFINISHED + name), root / name
    _discard(beside)
    try:
        beside.mkdir()
        content["arrays"] = {each: _write_array(_file(beside, each), arrays[each]) for each in sorted(arrays)}
        sealed = content | {"checksum": _checksum(content)}
        (beside / _MANIFEST).write_text(json.dumps(sealed, indent=1) + "\n", encoding="utf-8")
        # All written, then all synced: the disk takes many files at once faster than one after the other.
        for folder, _, files in os.walk(beside, topdown=False):
            for file in files:
                sync(Path(folder, file))
            sync(Path(folder))
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)  # on a full disk it would keep its room from others
        raise
    if target.exists():
        # A folder cannot be renamed over another. A crash in between leaves the older snapshots.
        _discard(target)
    with failpoint("snapshot.write"):
        os.replace(beside, target)
        sync(root)
    return target


def read_snapshot(path: Path, *, mmap: bool = False, verify: bool = True) -> Snapshot:
    """Open a snapshot.

    Parameters
    ----------
    mmap
        Map the files into memory, read-only, instead of reading them.
    verify
        Read every file once and compare its checksum. Without it, the manifest, the list of files and their
        sizes are still checked.

    Raises
    ------
    CorruptionError
        If it is damaged, incomplete or of an unknown format; the message names the file.
    """
    content = _read_manifest(path / _MANIFEST)
    entries = content["arrays"]
    found = {str(each.relative_to(path)) for each in path.rglob("*") if not each.is_dir()}
    expected = {str(_file(path, name).relative_to(path)) for name in entries} | {_MANIFEST}
    for file in sorted(expected ^ found):
        state = "is missing" if file in expected else "does not belong there"
        raise CorruptionError(f"snapshot file {path / file}: {state}, says {_MANIFEST}")
    for name, entry in entries.items():
        _check_file(_file(path, name), entry, verify)
    version, written_by = content["format_version"], content.get("written_by", "rtrec 0.1")
    snapshot = Snapshot(path, content["manifest"], version, written_by, entries, mmap)
    return snapshot if version == FORMAT_VERSION else _up_to_date(snapshot)


def _up_to_date(snapshot: Snapshot) -> Snapshot:
    """Return a snapshot of an older format with the content it would have today."""
    arrays = {name: snapshot._read(name, mmap=True) for name in snapshot.array_names}
    content = Content(arrays, snapshot.manifest)
    for version in range(snapshot.format_version, FORMAT_VERSION):
        try:
            content = MIGRATIONS[version](content)
        except (CorruptionError, KeyError, ValueError) as error:
            raise CorruptionError(
                f"snapshot {snapshot.path}: of format version {version}, and cannot be brought to version "
                f"{version + 1}: {error}; the {snapshot.written_by} that wrote it can read it"
            ) from error
    return replace(snapshot, manifest=content.manifest, _migrated=content.arrays)


def latest_snapshot(
    root: Path,
    *,
    named: re.Pattern[str] = _NAME,
    mmap: bool = False,
    accept: Callable[[Mapping[str, Any]], bool] = lambda _: True,
) -> Snapshot | None:
    """Open the newest snapshot that is good and whose manifest ``accept`` takes; None if there is none.

    Damaged ones are passed over with a warning.
    """
    for path in reversed(list_snapshots(root, named=named)):
        try:
            if accept(read_snapshot(path, verify=False).manifest):
                return read_snapshot(path, mmap=mmap)
        except CorruptionError as error:
            log.warning("snapshot is damaged and was passed over", snapshot=str(path), error=str(error))
    return None


def list_snapshots(root: Path, *, named: re.Pattern[str] = _NAME) -> list[Path]:
    """Return the snapshots in ``root``, good or damaged, oldest first.

    Parameters
    ----------
    named
        What the whole name of a snapshot there looks like; without, like any that can be written.
    """
    if not root.is_dir():
        return []
    return sorted((path for path in root.iterdir() if path.is_dir() and named.fullmatch(path.name)), key=_age)


def prune_snapshots(root: Path, keep: int, *, named: re.Pattern[str] = _NAME) -> list[Path]:
    """Delete all but the newest ``keep`` good snapshots, and what a killed writer left; return those deleted.

    For the writer, between two writes. What counts as good is what :func:`read_snapshot` opens without
    reading the arrays: a damaged snapshot never takes the place of a good one.
    """
    if keep < 1:
        raise ValueError(f"keep must be at least 1; got {keep}")
    for leftover in list(root.glob(f"{UNFINISHED}*")):
        _discard(leftover)
    n_good, deleted = 0, []
    for path in reversed(list_snapshots(root, named=named)):
        if n_good >= keep:
            _discard(path)
            deleted.append(path)
            continue
        try:
            read_snapshot(path, verify=False)
            n_good += 1
        except CorruptionError as error:
            log.warning("snapshot is damaged and does not count", snapshot=str(path), error=str(error))
    return deleted[::-1]


def remove_snapshot(path: Path) -> None:
    """Delete a snapshot so that no reader ever finds half of it under its name."""
    _discard(path)


class _HashingFile:
    """A file that counts and hashes what goes through it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.hash = new_hash()
        self.size = 0

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        self.size += len(data)
        return self._file.write(data)


def _write_array(path: Path, array: npt.NDArray[Any]) -> dict[str, Any]:
    """Write one file and return its entry in the manifest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        hashing = _HashingFile(file)
        np.lib.format.write_array(hashing, np.asanyarray(array), allow_pickle=False)
    return {
        "dtype": str(array.dtype),
        "shape": list(array.shape),
        "bytes": hashing.size,
        "blake2b": hashing.hash.hexdigest(),
    }


def _read_array(path: Path, *, mmap: bool) -> npt.NDArray[Any]:
    """Read a ``.npy`` file; ``np.load`` would take an archive of arrays as well, whatever its name."""
    if mmap:
        return np.lib.format.open_memmap(path, mode="r")
    with path.open("rb") as file:
        array: npt.NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        return array


def _check_file(file: Path, entry: Mapping[str, Any], verify: bool) -> None:
    try:
        size, checksum = file.stat().st_size, blake2b(file) if verify else entry["blake2b"]
    except OSError as error:
        raise CorruptionError(f"snapshot file {file}: cannot be read: {error}") from error
    if size != entry["bytes"]:
        raise CorruptionError(f"snapshot file {file}: expected {entry['bytes']} bytes, got {size}")
    if checksum != entry["blake2b"]:
        raise CorruptionError(f"snapshot file {file}: expected checksum {entry['blake2b']}, got {checksum}")


def _read_manifest(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_bytes())
        version, checksum = content["format_version"], content.pop("checksum")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptionError(f"snapshot file {file}: cannot be read: {error!r}") from error
    if version not in (*MIGRATIONS, FORMAT_VERSION):
        raise CorruptionError(
            f"snapshot file {file}: expected a format version up to {FORMAT_VERSION}, got {version!r}; "
            f"use the rtrec that wrote it ({content.get('written_by', 'it does not say which')})"
        )
    if checksum != _checksum(content):
        raise CorruptionError(f"snapshot file {file}: its content does not match its checksum")
    return content


def _checksum(content: Mapping[str, Any]) -> str:
    hash_ = new_hash()
    hash_.update(_canonical(content))
    return hash_.hexdigest()


def _canonical(content: Mapping[str, Any]) -> bytes:
    # A NaN is written as such: no writer puts one there, so a reader finds that the checksum is another.
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _file(path: Path, name: str) -> Path:
    return path / f"{name}.npy"


def _age(path: Path) -> list[int | str]:
    """Return a sort key under which numbers in a name count as numbers: every second part is one."""
    return [int(part) if part.isdigit() else part for part in re.split(r"([0-9]+)", path.name)]


def _discard(path: Path) -> None:
    """Delete a folder so that no reader ever finds half of it under its name."""
    if not path.exists():
        return
    # No snapshot's name has an '@', so this is never where one is being written.
    doomed = path.with_name(f"{UNFINISHED}@{path.name}")
    if doomed.exists():
        shutil.rmtree(doomed)
    os.replace(path, doomed)
    shutil.rmtree(doomed)
