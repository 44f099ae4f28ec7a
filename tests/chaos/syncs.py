"""Leave syncs out, so that what looks for lost writes has something to find."""

from __future__ import annotations

import os
from typing import Any

from rtrec.events.database import Database


def leave_out_those_of_files() -> None:
    """Let no file of ours be waited for; SQLite still waits for its own."""
    os.fsync = lambda _: None  # type: ignore[assignment]


def leave_out_those_of_the_log() -> None:
    """Let SQLite wait for nothing."""
    opened = Database.__init__

    def hasty(self: Database, *arguments: Any, **options: Any) -> None:
        opened(self, *arguments, **options)
        self._writer.execute("PRAGMA synchronous = OFF")

    Database.__init__ = hasty  # type: ignore[method-assign]


#: What can be left out.
WITHOUT = {"files": leave_out_those_of_files, "log": leave_out_those_of_the_log}
