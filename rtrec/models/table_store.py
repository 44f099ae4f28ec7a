"""Published tables on disk: a folder a version, never changed once written, and what its model knew.

A version has the format of a snapshot (:mod:`rtrec.models.snapshot`): arrays, and a manifest that says which
model was fitted on how much. Its *seal*, the checksum of that manifest, covers every byte of it; whoever
publishes the version writes the seal down with it, so a folder that was put in its place is noticed.

    tables/<slot>/<version>/    what the kernel reads; old ones go once nothing replays past them
    models/<slot>/<version>/    all that the model learned, so that it can go on; the newest only
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from rtrec.errors import CorruptionError, SlotTaken
from rtrec.failpoints import failpoint
from rtrec.files import blake2b, make_folder
from rtrec.models.nearline.base import Arrays
from rtrec.models.published import Published, from_arrays, misfit_of, to_arrays
from rtrec.models.snapshot import (
    latest_snapshot,
    list_snapshots,
    prune_snapshots,
    read_snapshot,
    remove_snapshot,
    write_snapshot,
)

#: A version that nobody published by then was left by a crash.
_FORGOTTEN_S = 86_400.0
#: What the names of a version's arrays begin with.
_TABLE = "table/"


class StoredVersion(NamedTuple):
    """A version on disk: what its writer said about it, and its seal."""

    about: dict[str, Any]
    seal: str


class TableStore:
    """The tables and models of a deployment; ``home`` is its directory."""

    def __init__(self, home: Path) -> None:
        self.tables = home / "tables"
        self.models = home / "models"

    def path(self, slot: str, version: str) -> Path:
        """Return where a version lies, or would."""
        return self.tables / slot / version

    @contextmanager
    def fitting(self, slot: str) -> Iterator[None]:
        """Hold a slot for one fit; the system lets go of it when the process ends, however it ends.

        Raises
        ------
        SlotTaken
            If another fit holds it.
        """
        make_folder(self.tables / slot)
        with (self.tables / f"{slot}.lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SlotTaken(
                    f"{self.tables / slot}: another fit for this slot is at work; try again when it is done"
                ) from None
            yield

    def find(self, slot: str, version: str) -> StoredVersion | None:
        """Return a version that is there; None if it is not.

        Raises
        ------
        CorruptionError
            If it is damaged.
        """
        path = self.path(slot, version)
        if not path.exists():
            return None
        return StoredVersion(read_snapshot(path).manifest, _seal(path))

    def write(self, slot: str, version: str, table: Published, about: Mapping[str, Any]) -> StoredVersion:
        """Write a version that appears complete and durable, or not at all.

        Raises
        ------
        ValueError
            If it is there already, since what is published never changes, or does not fit together.
        """
        if misfit := misfit_of(table):
            raise ValueError(f"slot {slot!r}: {misfit}")
        if self.path(slot, version).exists():
            raise ValueError(f"{self.path(slot, version)}: is there already, and a version never changes")
        with failpoint("table.write"):
            path = write_snapshot(self.tables / slot, version, to_arrays(table, _TABLE), about)
        return StoredVersion(read_snapshot(path, verify=False).manifest, _seal(path))

    def read(self, slot: str, version: str, seal: str) -> Published:
        """Return the table that was published under this seal, in memory.

        Raises
        ------
        CorruptionError
            If it is missing, damaged, or another.
        """
        path = self.path(slot, version)
        try:
            if not path.is_dir():
                raise CorruptionError("the folder is missing")
            table = from_arrays(read_snapshot(path).arrays(), _TABLE, slot)
            if _seal(path) != seal:
                raise CorruptionError(f"expected the seal {seal}, got {_seal(path)}: it is another one")
        except CorruptionError as error:
            raise CorruptionError(
                f"table {path}: the log publishes it, but {error}; restore the folder from a copy, or start "
                "afresh with --fresh"
            ) from error
        return table

    def write_model(self, slot: str, version: str, arrays: Arrays, about: Mapping[str, Any]) -> None:
        """Keep what a model learned, in place of what was kept before."""
        write_snapshot(self.models / slot, version, arrays, about)
        prune_snapshots(self.models / slot, 1)

    def read_model(self, slot: str, expected: Mapping[str, Any]) -> tuple[Arrays, dict[str, Any]] | None:
        """Return what the last model learned and what was said of it; None unless that says ``expected``."""
        found = latest_snapshot(
            self.models / slot,
            accept=lambda about: all(about.get(name) == value for name, value in expected.items()),
        )
        return None if found is None else (found.arrays(), found.manifest)

    def versions(self, slot: str) -> list[Path]:
        """Return the versions of a slot, good or damaged, oldest first."""
        return list_snapshots(self.tables / slot)

    def prune(self, slot: str, *, published: Collection[str], needed: Collection[str]) -> list[str]:
        """Delete versions that were published and are not ``needed``, and those nobody published in a day."""
        deleted = []
        for path in self.versions(slot):
            forgotten = path.name not in published and time.time() - path.stat().st_mtime > _FORGOTTEN_S
            if path.name not in needed and (path.name in published or forgotten):
                remove_snapshot(path)
                deleted.append(path.name)
        return deleted


def _seal(path: Path) -> str:
    return blake2b(path / "manifest.json")
