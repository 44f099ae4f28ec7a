r"""What a dead letter keeps of its row: all of it up to a size, and a mark that says what it is.

A row that is text is kept as text. Bytes that are no text are kept as base64, since no text gives them back:
spelt as ``\xff``, they would look like a row that says so.
"""

from __future__ import annotations

import base64
from typing import Literal, NamedTuple

#: What a payload is of its row: all ``cells`` as JSON, the ``line`` as it stood, its ``bytes`` as base64, or
#: ``part`` of it.
Kept = Literal["cells", "line", "bytes", "part"]

#: A row up to this size is kept whole in its dead letter: as large as a single field may be. Of bytes that
#: are no text it is the number of bytes.
KEPT_CHARACTERS = 65_536
#: What is left of a row that is cut.
PAYLOAD_CHARACTERS = 2_000


class Payload(NamedTuple):
    """What is kept of a row, and what that is of it."""

    text: str
    kept: Kept


def cut(text: str, size: int | None = None, *, unit: str = "characters") -> str:
    """Return at most 2,000 characters of ``text``, with its full size (``size``, if cut before) when cut.

    >>> cut("x" * 3000)[1998:]
    'xx... (3,000 characters in all)'
    """
    size = len(text) if size is None else size
    if size <= PAYLOAD_CHARACTERS:
        return text
    return f"{text[:PAYLOAD_CHARACTERS]}... ({size:,} {unit} in all)"


def keep_text(text: str, size: int | None = None, *, as_kept: Kept = "line") -> Payload:
    """Return what to keep of a row that is text; ``size`` is that of the whole row, if ``text`` is not."""
    size = len(text) if size is None else size
    return Payload(text, as_kept) if size <= KEPT_CHARACTERS else Payload(cut(text, size), "part")


def keep_bytes(raw: bytes) -> Payload:
    r"""Return what to keep of a row that came as bytes: text, if they are UTF-8.

    >>> keep_bytes(rb"\xff"), keep_bytes(b"\xff")
    (Payload(text='\\xff', kept='line'), Payload(text='/w==', kept='bytes'))
    """
    try:
        return keep_text(raw.decode())
    except UnicodeDecodeError:
        pass
    if len(raw) <= KEPT_CHARACTERS:
        return Payload(base64.b64encode(raw).decode(), "bytes")
    return Payload(cut(str(raw[:PAYLOAD_CHARACTERS]), len(raw), unit="bytes"), "part")


def bytes_of(text: str) -> bytes:
    """Return the bytes of a payload that is kept as such."""
    return base64.b64decode(text, validate=True)


def readable(text: str, kept: Kept) -> str:
    r"""Return a payload as a person can read it; bytes are spelt as Python does.

    >>> readable("/w==", "bytes"), readable("/w==", "line")
    ("b'\\xff'", '/w==')
    """
    return str(bytes_of(text)) if kept == "bytes" else text
