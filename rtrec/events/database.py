"""One SQLite file, opened so that a commit is on the disk and damage has a name.

Write-ahead logging lets others read while one writes, and makes a commit one sync. Every error of SQLite
comes out as one of ours: the file is damaged, or it cannot be used now.
"""

from __future__ import annotations

import sqlite3
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from rtrec.errors import CorruptionError, DeploymentError, StorageUnavailable
from rtrec.events.wal import PAGE_SIZE, check_wal
from rtrec.files import make_folder, sync

#: Written into the file's header ("RTRC"), so that another program's database is not taken for ours.
_APPLICATION = 0x52545243

#: How long to wait for another process that is writing.
_BUSY_TIMEOUT_S = 30.0

Mode = Literal["write", "read", "join"]

#: What may pass: a transaction that meets it is undone, and may be tried again.
_MAY_PASS = {
    sqlite3.SQLITE_BUSY: "another process is writing to it; stop that one first",
    sqlite3.SQLITE_LOCKED: "another connection is writing to it; try again",
    sqlite3.SQLITE_FULL: "the disk is full; nothing that was confirmed is lost, make room",
    sqlite3.SQLITE_IOERR: "reading or writing failed; check the disk, and whether it is full",
}
_UNUSABLE_NOW = {
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check that folder and file may be read and written",
    sqlite3.SQLITE_READONLY: "it may not be written; check its permissions",
    sqlite3.SQLITE_PERM: "it may not be used; check its permissions",
    sqlite3.SQLITE_NOMEM: "memory ran out",
}


class Database:
    """A SQLite file with one connection that writes and one that reads, each behind a lock.

    Parameters
    ----------
    path
        The file; created, with its folders, where it may be written.
    version
        Of our tables; a file that says another one is refused, unless it can be upgraded.
    mode
        ``"read"`` never writes and may be used while another process writes. ``"join"`` writes beside a
        process that has opened the file with ``"write"``: what that one checks and mends first, it leaves.
    upgrades
        By version, the script that makes a file of that version one of the next. It is run on whatever file
        needs it, in any mode, so that what an earlier rtrec wrote can be looked at too.

    Attributes
    ----------
    is_new : bool
        Whether the file had no tables yet: it was just created, or its creator was killed.
    """

    def __init__(
        self, path: Path, *, version: int, mode: Mode, upgrades: Mapping[int, str] = MappingProxyType({})
    ) -> None:
        self.path = path
        self._version = version
        self._mode = mode
        if mode == "write":
            make_folder(path.parent)
            check_wal(path)
        elif not path.is_file():
            raise DeploymentError(f"log {path}: no such file; start a run there first")
        self._write_lock, self._read_lock = threading.RLock(), threading.RLock()
        self._connections: list[sqlite3.Connection] = []
        try:
            with self._named_errors():
                access = {"write": "rwc", "join": "rw", "read": "ro"}[mode]
                self._upgrade(upgrades)
                self.is_new = self._check_signature(self._connect(access))
                self._writer = self._connections[0]
                if mode == "write":
                    self._writer.execute(f"PRAGMA page_size = {PAGE_SIZE}")
                    self._writer.execute("PRAGMA journal_mode = WAL")
                if mode != "read":
                    self._writer.execute("PRAGMA synchronous = FULL")
                    # On macOS a plain fsync stops at the drive's own memory.
                    self._writer.execute("PRAGMA fullfsync = ON")
                if mode == "write":
                    # What a torn transaction left behind the good end would look like lost ones next time.
                    self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                    sync(path.parent)
                    self._check_trees()
                self._reader = self._connections[0] if mode == "read" else self._connect("ro")
        except BaseException:
            self.close()
            raise

    @contextmanager
    def creating(self, tables: str) -> Iterator[sqlite3.Connection]:
        """Create the tables of a script and sign the file, in one transaction with what the block writes."""
        with self.writing() as connection:
            for statement in tables.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {self._version}")
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give a connection that sees one state of the file until the block ends."""
        with self._read_lock, self._named_errors(), _transaction(self._reader, "BEGIN"):
            yield self._reader

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Give a connection whose changes are all durable once the block ends, or all undone if it raises."""
        if self._mode == "read":
            raise DeploymentError(
                f"log {self.path}: opened with mode='read'; open it with mode='write' to write"
            )
        # IMMEDIATE, because a transaction that begins by reading cannot be sure to get the lock later.
        with self._write_lock, self._named_errors(), _transaction(self._writer, "BEGIN IMMEDIATE"):
            yield self._writer

    def close(self) -> None:
        """Close the file; the last one to do so leaves everything in the one main file."""
        with self._write_lock, self._read_lock:
            # The writer was opened first and goes last: a reader would leave the write-ahead log behind.
            for connection in reversed(self._connections):
                connection.close()

    def _connect(self, access: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={access}",
            uri=True,
            timeout=_BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )
        self._connections.append(connection)
        return connection

    def _upgrade(self, upgrades: Mapping[int, str]) -> None:
        """Bring a file of an earlier version of ours to this one, in one transaction for each step."""
        if not self.path.is_file():
            return
        for version, script in sorted(upgrades.items()):
            connection = self._connect("ro")
            if not _is_ours(connection, version):
                self._drop(connection)
                continue
            self._drop(connection)
            connection = self._connect("rw")
            with _transaction(connection, "BEGIN IMMEDIATE"):
                if _is_ours(connection, version):  # else another process was quicker
                    for statement in script.split(";"):
                        connection.execute(statement)
                    connection.execute(f"PRAGMA user_version = {version + 1}")
            self._drop(connection)

    def _drop(self, connection: sqlite3.Connection) -> None:
        self._connections.remove(connection)
        connection.close()

    def _check_signature(self, connection: sqlite3.Connection) -> bool:
        """Refuse another program's file, or another version of ours; return whether it has no tables yet."""
        application, version, n_tables = (
            connection.execute(query).fetchone()[0]
            for query in (
                "PRAGMA application_id",
                "PRAGMA user_version",
                "SELECT count(*) FROM sqlite_master",
            )
        )
        if application == version == n_tables == 0:
            return True
        if application != _APPLICATION:
            raise DeploymentError(f"log {self.path}: this SQLite file is no rtrec log; choose another folder")
        if version != self._version:
            raise DeploymentError(
                f"log {self.path}: expected format version {self._version}, got {version}; "
                "use the rtrec that wrote it"
            )
        return False

    def _check_trees(self) -> None:
        """Refuse a file whose trees of pages are damaged; what rows say is sealed by whoever writes them.

        A lookup that takes a wrong turn in one finds nothing where there is something. It takes half a
        millisecond for a megabyte.
        """
        [(found,)] = self._writer.execute("PRAGMA integrity_check(1)").fetchall()
        if found != "ok":
            raise CorruptionError(f"log {self.path}: damaged: {found}; restore it from a copy")

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.ProgrammingError as error:
            raise ValueError(f"log {self.path}: {error}") from error
        except UnicodeDecodeError as error:  # of a name in the file, where SQLite tells of it
            raise CorruptionError(f"log {self.path}: damaged: {error}; restore it from a copy") from error
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in _MAY_PASS:
                raise StorageUnavailable(f"log {self.path}: {_MAY_PASS[code]} ({error})") from error
            advice = _UNUSABLE_NOW.get(code)
            if advice is not None:
                raise DeploymentError(f"log {self.path}: {advice} ({error})") from error
            # Our statements are fixed, so what SQLite cannot make sense of is the file.
            raise CorruptionError(f"log {self.path}: damaged: {error}; restore it from a copy") from error


def is_made(path: Path) -> bool:
    """Say whether a file holds a database: not where there is none, or its maker came to no commit."""
    if not path.is_file():
        return False
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_TIMEOUT_S)
    try:
        return bool(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    except sqlite3.Error:
        return True  # something is there; what it is will be said by whoever opens it
    finally:
        connection.close()


def _is_ours(connection: sqlite3.Connection, version: int) -> bool:
    found = [
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    ]
    return found == [_APPLICATION, version]


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    if connection.in_transaction:
        raise RuntimeError("a block that reads or writes was entered twice by one thread")
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    finally:
        # After some errors (a full disk) SQLite has rolled back by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def seal(*values: Any) -> int:
    """Return a CRC-32 over the values of a row, to be stored beside them."""
    checksum = 0
    for value in values:
        checksum = zlib.crc32(value if isinstance(value, bytes) else repr(value).encode(), checksum)
    return checksum
