"""What a log remembers beside its events: its head, cuts, controls and dead letters, as rows of SQLite.

The *head* is one sealed row that says what a healthy log contains. So a cut or a control that has gone
missing is noticed rather than passed over, and a source's position lives where every append writes anyway.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rtrec.errors import CorruptionError, DeploymentError
from rtrec.events.database import seal
from rtrec.events.log import Control, Cut, Position, Refusal, StoredDeadLetter

if TYPE_CHECKING:
    from rtrec.events.letters import DeadLetter

TABLES = """
CREATE TABLE head (id INTEGER PRIMARY KEY, body TEXT NOT NULL, seal INTEGER NOT NULL);
CREATE TABLE cuts (
    id INTEGER PRIMARY KEY, ends TEXT NOT NULL, controls INTEGER NOT NULL, seal INTEGER NOT NULL
);
CREATE TABLE controls (id INTEGER PRIMARY KEY, time TEXT NOT NULL, body TEXT NOT NULL, seal INTEGER NOT NULL);
CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY, time TEXT NOT NULL, source TEXT NOT NULL, row INTEGER NOT NULL,
    reason TEXT NOT NULL, "column" TEXT NOT NULL, payload TEXT NOT NULL,
    kept TEXT NOT NULL DEFAULT 'part', whole BLOB, detail TEXT NOT NULL DEFAULT '', redriven TEXT
);
CREATE INDEX dead_letters_by_reason ON dead_letters (reason);
"""
#: From format 1 to 2: dead letters may keep their rows whole, which those before did not.
UPGRADE = """
ALTER TABLE dead_letters ADD COLUMN kept TEXT NOT NULL DEFAULT 'part';
ALTER TABLE dead_letters ADD COLUMN whole BLOB;
ALTER TABLE dead_letters ADD COLUMN detail TEXT NOT NULL DEFAULT '';
ALTER TABLE dead_letters ADD COLUMN redriven TEXT
"""
#: A longer row is kept compressed beside its beginning.
_PLAIN_CHARACTERS = 2_000


@dataclass
class Source:
    """How far a source is in the log, and the cleaning counts and watermark that belong to that."""

    position: Position = 0
    counts: dict[str, int] = field(default_factory=dict)
    watermark: dict[str, Any] = field(default_factory=dict)


def lies_before(position: Position, other: Position) -> bool:
    """Say whether a position takes back anything of another; one not given at all is 0.

    >>> lies_before(3, 4), lies_before({"0": 7}, 0), lies_before({"0": 7, "1": 2}, {"0": 6, "1": 3})
    (True, False, True)
    """
    if isinstance(position, int) and isinstance(other, int):
        return position < other
    now = {} if isinstance(position, int) else position
    before = {} if isinstance(other, int) else other
    return any(now.get(part, 0) < offset for part, offset in before.items())


@dataclass
class Head:
    """What the log contains.

    Attributes
    ----------
    ends, history
        For each partition, the offset behind its last event, and behind its last event in the history.
    controls, cuts
        How many of each there are.
    sources
        By name.
    """

    ends: list[int]
    history: list[int]
    controls: int = 0
    cuts: int = 0
    sources: dict[str, Source] = field(default_factory=dict)

    @classmethod
    def load(cls, connection: sqlite3.Connection, where: str) -> Head:
        """Read the head.

        Raises
        ------
        CorruptionError
            If it is missing or does not match its seal; ``where`` is the file it came from.
        """
        (body,) = next(
            iter(_sealed(connection, "SELECT body, seal FROM head WHERE id = 0", (), where)), (None,)
        )
        if body is None:
            raise CorruptionError(f"log {where}: its head is missing; restore the file from a copy")
        values = json.loads(body)
        sources = {name: Source(**source) for name, source in values.pop("sources").items()}
        return cls(**values, sources=sources)

    def store(self, connection: sqlite3.Connection) -> None:
        """Write the head over the one before."""
        body = json.dumps(asdict(self))
        connection.execute("REPLACE INTO head VALUES (0, ?, ?)", (body, seal(body)))


def insert_cut(connection: sqlite3.Connection, cut: Cut) -> None:
    """Write down a cut."""
    row = (cut.seq, json.dumps(cut.ends), cut.controls)
    connection.execute("INSERT INTO cuts VALUES (?, ?, ?, ?)", (*row, seal(*row)))


def load_cuts(connection: sqlite3.Connection, first: int, last: int, where: str) -> list[Cut]:
    """Return the cuts ``first`` to ``last``, all of which must be there."""
    select = "SELECT id, ends, controls, seal FROM cuts WHERE id BETWEEN ? AND ? ORDER BY id"
    rows = _complete(
        _sealed(connection, select, (first, last), where), range(first, last + 1), f"{where}: cut"
    )
    return [Cut(seq, tuple(json.loads(ends)), controls) for seq, ends, controls in rows]


def insert_control(connection: sqlite3.Connection, control: Control) -> None:
    """Write down a control."""
    row = (control.offset, control.time.isoformat(), json.dumps(control.body, allow_nan=False))
    connection.execute("INSERT INTO controls VALUES (?, ?, ?, ?)", (*row, seal(*row)))


def load_controls(connection: sqlite3.Connection, start: int, stop: int, where: str) -> list[Control]:
    """Return the controls ``start`` to ``stop - 1``, all of which must be there."""
    select = "SELECT id, time, body, seal FROM controls WHERE id >= ? AND id < ? ORDER BY id"
    rows = _complete(
        _sealed(connection, select, (start, stop), where), range(start, stop), f"{where}: control"
    )
    return [Control(offset, datetime.fromisoformat(time), json.loads(body)) for offset, time, body in rows]


def insert_dead_letters(
    connection: sqlite3.Connection, letters: Iterable[DeadLetter], time: datetime
) -> None:
    """Write down rows that could not become events."""
    connection.executemany(
        'INSERT INTO dead_letters (time, source, row, reason, "column", payload, kept, whole, detail) '
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (
                time.isoformat(),
                _text(each.source),
                each.row,
                _text(each.reason),
                _text(each.column),
                *_packed(_text(each.payload), each.kept),
                _text(each.detail),
            )
            for each in letters
        ),
    )


def load_dead_letters(
    connection: sqlite3.Connection, limit: int, reason: str | None, ids: Sequence[int] | None, after: int
) -> list[StoredDeadLetter]:
    """Return dead letters that wait; see :meth:`rtrec.events.log.EventLog.dead_letters`."""
    last_first = ids is None and after < 0
    first, last = (after + 1, 2**62) if ids is None else (max(ids[0], after + 1), ids[1])
    rows = connection.execute(
        'SELECT id, time, source, row, reason, "column", payload, kept, whole, detail FROM dead_letters '
        "WHERE redriven IS NULL AND (?1 IS NULL OR reason = ?1) AND id BETWEEN ?2 AND ?3 "
        f"ORDER BY id {'DESC' if last_first else ''} LIMIT ?4",
        (reason, first, last, limit),
    ).fetchall()
    letters = [
        StoredDeadLetter(
            each,
            datetime.fromisoformat(time),
            source,
            row,
            why,
            column,
            _unpacked(payload, whole),
            kept,
            detail,
        )
        for each, time, source, row, why, column, payload, kept, whole, detail in rows
    ]
    return letters[::-1] if last_first else letters


def count_dead_letters(connection: sqlite3.Connection) -> dict[str, int]:
    """Return how many dead letters wait, for each reason."""
    return dict(
        connection.execute(
            "SELECT reason, count(*) FROM dead_letters WHERE redriven IS NULL GROUP BY reason ORDER BY reason"
        )
    )


def settle_dead_letters(
    connection: sqlite3.Connection, settled: Sequence[int], refused: Mapping[int, Refusal], time: datetime
) -> None:
    """Mark dead letters that do not wait any more, and give others their new reason.

    Raises
    ------
    DeploymentError
        If one of them does not wait any more: somebody else has redriven it.
    """
    done = connection.executemany(
        "UPDATE dead_letters SET redriven = ? WHERE id = ? AND redriven IS NULL",
        ((time.isoformat(), each) for each in settled),
    ).rowcount
    done = max(done, 0) + max(
        connection.executemany(
            'UPDATE dead_letters SET reason = ?, "column" = ?, detail = ? WHERE id = ? AND redriven IS NULL',
            ((*map(_text, refusal), each) for each, refusal in refused.items()),
        ).rowcount,
        0,
    )
    if done != len(settled) + len(refused):
        raise DeploymentError(
            f"{len(settled) + len(refused) - done:,} of these dead letters do not wait any more: another "
            "redrive was quicker; start this one again for the rest"
        )


def _unpacked(payload: str, whole: bytes | None) -> str:
    return payload if whole is None else zlib.decompress(whole).decode()


def _packed(payload: str, kept: str) -> tuple[str, str, bytes | None]:
    """Return a payload's beginning, what it is, and all of it compressed if there is more."""
    if len(payload) <= _PLAIN_CHARACTERS or kept == "part":
        return payload, kept, None
    return payload[:_PLAIN_CHARACTERS], kept, zlib.compress(payload.encode())


def _sealed(
    connection: sqlite3.Connection, select: str, values: tuple[Any, ...], where: str
) -> list[tuple[Any, ...]]:
    """Return the selected rows without their last column, the seal, which they must match."""
    rows = connection.execute(select, values).fetchall()
    for *row, stored in rows:
        if seal(*row) != stored:
            raise CorruptionError(
                f"log {where}: the row {str(tuple(row))[:80]} does not match its checksum; "
                "restore the file from a copy"
            )
    return [row[:-1] for row in rows]


def _complete(rows: list[tuple[Any, ...]], expected: range, what: str) -> list[tuple[Any, ...]]:
    """Return ``rows`` if their first columns are the expected numbers."""
    for number, row in zip(expected, [*rows, (None,)], strict=False):
        if row[0] != number:
            raise CorruptionError(f"log {what} {number} is missing; restore the file from a copy")
    return rows


def _text(value: str) -> str:
    # Half a surrogate pair, as undecodable input brings them, cannot be stored as text.
    return value.encode("utf-8", "backslashreplace").decode()
