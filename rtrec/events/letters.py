"""Dead letters: rows that cannot be events, kept so that they can be looked at, mended and sent again."""

from __future__ import annotations

from dataclasses import dataclass

from rtrec.events.payloads import Kept
from rtrec.types import KINDS

#: The reason of an event that came later than its source allows. The row is sound, so it is not counted as
#: bad; it can be taken all the same by ``rtrec log redrive --reason late``.
LATE = "late"


@dataclass(frozen=True)
class DeadLetter:
    """A row that cannot be an event.

    Attributes
    ----------
    source, row
        Where it stood: the 1-based data row (a header and blank lines are not counted).
    reason, column
        Why it is none, and the column at fault (empty if it is the row as a whole).
    payload
        The raw row as JSON text, or as it stood if it could not be read: in base64 if that is no text. A row
        of more than 65,536 characters (bytes, if it is no text) is cut to 2,000, with its full size said.
    kept
        What ``payload`` is; with a ``part`` the row cannot be tried again.
    detail
        What else there is to say: how late it was, what our code complained of.
    """

    source: str
    row: int
    reason: str
    column: str
    payload: str
    kept: Kept = "part"
    detail: str = ""


def advice(reason: str) -> str:
    """Return what to do about rows that are refused for a reason, as the end of a sentence; or nothing."""
    if reason in ("unparsable time", "far future", "absurd past"):
        return "; say how times are written (time unit, or a strptime format)"
    if reason == "unknown kind":
        return f"; the kinds are {', '.join(KINDS)}"
    return ""
