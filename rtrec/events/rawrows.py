"""How readers mark raw rows for the cleaner: where each stood in its file, and which could not be read."""

from __future__ import annotations

#: Name of a frame's index that carries each row's number in its file.
ROW = "row"

#: Columns by which a reader marks a row it could not read: the reason, and the row as it stood, already cut.
UNREADABLE_REASON = "rtrec: reason"
UNREADABLE_TEXT = "rtrec: text"

#: How much of a row a dead letter keeps.
PAYLOAD_CHARACTERS = 2_000


def cut(payload: str, size: int | None = None) -> str:
    """Return at most 2,000 characters of ``payload``, with its full size (``size``, if cut before) when cut.

    >>> cut("x" * 3000)[1998:]
    'xx... (3,000 characters in all)'
    """
    size = len(payload) if size is None else size
    if size <= PAYLOAD_CHARACTERS:
        return payload
    return f"{payload[:PAYLOAD_CHARACTERS]}... ({size:,} characters in all)"
