"""Take the journal back to a point behind which nothing happened any more; the events stay.

Cuts and controls behind the point move, in one transaction, to a table of what was rolled back: there anybody
can see what was undone, when, and on whose word; no run ever reads it. What is not moved is the truth again,
and the next cut and control take up its numbers.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rtrec.errors import CorruptionError
from rtrec.events import journal
from rtrec.events.database import seal
from rtrec.events.journal import Head
from rtrec.events.log import Control, Cut

#: Made where it is first needed: a log in which nothing was rolled back has no such table.
_TABLE = """
CREATE TABLE IF NOT EXISTS rolled_back (id INTEGER PRIMARY KEY, body TEXT NOT NULL, seal INTEGER NOT NULL)
"""


@dataclass(frozen=True)
class RolledBack:
    """What one rollback undid.

    Attributes
    ----------
    time, to
        When, and the name of what it went back to.
    seq, n_controls
        The last cut that stayed, and how many controls did.
    cuts, controls
        What did not stay, in order.
    """

    time: datetime
    to: str
    seq: int
    n_controls: int
    cuts: tuple[Cut, ...]
    controls: tuple[Control, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "time": self.time.isoformat(),
            "to": self.to,
            "seq": self.seq,
            "n_controls": self.n_controls,
            "cuts": [[each.seq, list(each.ends), each.controls] for each in self.cuts],
            "controls": [[each.offset, each.time.isoformat(), each.body] for each in self.controls],
        }

    @classmethod
    def from_dict(cls, body: dict[str, Any]) -> RolledBack:
        """Return what :meth:`to_dict` gave."""
        return cls(
            datetime.fromisoformat(body["time"]),
            body["to"],
            body["seq"],
            body["n_controls"],
            tuple(Cut(seq, tuple(ends), controls) for seq, ends, controls in body["cuts"]),
            tuple(
                Control(offset, datetime.fromisoformat(time), content)
                for offset, time, content in body["controls"]
            ),
        )


def rewind(
    connection: sqlite3.Connection, *, seq: int, n_controls: int, to: str, time: datetime, where: str
) -> RolledBack:
    """Undo all cuts behind ``seq`` and all controls from ``n_controls`` on, within a transaction.

    Raises
    ------
    ValueError
        If the log has not come so far.
    """
    head = Head.load(connection, where)
    if not (0 <= seq <= head.cuts and 0 <= n_controls <= head.controls):
        raise ValueError(
            f"log {where}: it has {head.cuts:,} cuts and {head.controls:,} controls; asked to go back to "
            f"{seq:,} and {n_controls:,}"
        )
    undone = RolledBack(
        time,
        to,
        seq,
        n_controls,
        tuple(journal.load_cuts(connection, seq + 1, head.cuts, where)),
        tuple(journal.load_controls(connection, n_controls, head.controls, where)),
    )
    body = json.dumps(undone.to_dict())
    connection.execute(_TABLE)
    connection.execute("INSERT INTO rolled_back (body, seal) VALUES (?, ?)", (body, seal(body)))
    connection.execute("DELETE FROM cuts WHERE id > ?", (seq,))
    connection.execute("DELETE FROM controls WHERE id >= ?", (n_controls,))
    head.cuts, head.controls = seq, n_controls
    head.store(connection)
    return undone


def load_rolled_back(connection: sqlite3.Connection, where: str) -> list[RolledBack]:
    """Return all that was ever rolled back, oldest first.

    Raises
    ------
    CorruptionError
        If one of them is damaged.
    """
    select = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'rolled_back'"
    if not connection.execute(select).fetchone()[0]:
        return []
    found = []
    for number, body, stored in connection.execute("SELECT id, body, seal FROM rolled_back ORDER BY id"):
        if seal(body) != stored:
            raise CorruptionError(
                f"log {where}: what was rolled back the {number}. time does not match its checksum; "
                "restore the file from a copy"
            )
        found.append(RolledBack.from_dict(json.loads(body)))
    return found
