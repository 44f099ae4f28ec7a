"""Read text files that may be damaged, without surprises: checked before the first row, bounded in memory.

The whole file is decoded once before it is used. That costs a second per gigabyte, and a file that cannot be
read is refused with its line and byte at once, not after an hour of replay.
"""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple, cast

from rtrec.errors import InputError, nearest

#: A longer line is never held in memory; its row becomes a dead letter.
MAX_LINE_CHARACTERS = 1 << 20
#: Lines of one row, or of what looks like one, are kept up to here.
MAX_ROW_CHARACTERS = 1 << 24
_LINE_ENDS = ("\n", "\r")
_NO_STRUCTURE = re.compile(r'[^",;|\t\r\n]+')
_BLOCK_BYTES = 1 << 20
_HEAD_BYTES = 4_096
_KINDS = {
    b"\x1f\x8b": "gzip; let its name end in .gz",
    b"PK\x03\x04": "a zip archive, or an Excel file; unpack it, or save it as CSV",
    b"PAR1": "Parquet; let its name end in .parquet",
}
_ENCODINGS = ("utf-8", "latin-1", "cp1252", "utf-16")
_MARKS = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


class TextFacts(NamedTuple):
    """What one pass over a text file found."""

    n_lines: int
    ends_in_line_end: bool
    ends_in_half_character: bool


class LongLine(Exception):
    """A line of ``size`` characters, of which ``beginning`` was kept.

    ``skeleton`` is the line with an ``x`` for every text without quotes and delimiters, or empty if that is
    long as well.
    """

    def __init__(self, beginning: str, size: int, skeleton: str) -> None:
        super().__init__(f"a line of {size:,} characters")
        self.beginning = beginning
        self.size = size
        self.skeleton = skeleton


class Lines(Iterator[str]):
    """Lines of an open file; those taken since the last :meth:`start_row` can be given back.

    A line over :data:`MAX_LINE_CHARACTERS` raises :class:`LongLine`, once, and reading goes on after it.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._again: deque[str | LongLine] = deque()
        self.taken: list[str | LongLine] = []

    def __next__(self) -> str:
        """Return the next line, its line end included."""
        line = self._again.popleft() if self._again else self._read()
        if line == "":
            raise StopIteration
        self.taken.append(line)
        if isinstance(line, LongLine):
            raise line
        return line

    def start_row(self) -> None:
        """Forget the lines taken so far."""
        self.taken.clear()

    def give_back(self, lines: Iterable[str | LongLine]) -> None:
        """Put lines back in front, to be read again."""
        self._again.extendleft(reversed(list(lines)))

    def _read(self) -> str | LongLine:
        line = self._file.readline(MAX_LINE_CHARACTERS)
        if len(line) < MAX_LINE_CHARACTERS or line.endswith(_LINE_ENDS):
            return line
        size, skeleton = len(line), _NO_STRUCTURE.sub("x", line)
        while part := self._file.readline(MAX_LINE_CHARACTERS):
            size += len(part)
            if len(skeleton) < MAX_LINE_CHARACTERS:
                skeleton += _NO_STRUCTURE.sub("x", part)
            if part.endswith(_LINE_ENDS):
                break
        return LongLine(line[:2_000], size, skeleton if len(skeleton) < MAX_LINE_CHARACTERS else "")


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading, unpacking ``.gz``."""
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.open(path, "rb"))
    return path.open("rb")


def open_lines(path: Path, encoding: str) -> io.TextIOWrapper:
    """Open a checked text file; a character cut in half at its very end reads as U+FFFD."""
    return io.TextIOWrapper(open_bytes(path), _with_mark(encoding), errors="replace", newline="")


def check_text(path: Path, encoding: str) -> TextFacts:
    """Read a text file once, from end to end.

    Raises
    ------
    InputError
        If the file is empty, cannot be unpacked, or is not text in this encoding; with line and byte.
    """
    decoder = text_decoder(encoding)
    n_bytes = n_lines = n_returns = 0
    last = b""
    try:
        with open_bytes(path) as file:
            while block := file.read(_BLOCK_BYTES):
                if n_bytes == 0:
                    _refuse_other_kinds(path, block, encoding)
                waiting = len(decoder.getstate()[0])
                try:
                    decoder.decode(block)
                except UnicodeDecodeError as error:
                    place = error.start - waiting
                    line = n_lines + block[: max(place, 0)].count(b"\n") + 1
                    raise InputError(
                        f"{path}: line {line}, byte {n_bytes + place:,}: not {encoding} text "
                        f"(0x{error.object[error.start]:02x}, {error.reason}); if the file is in another "
                        f"encoding, name it: --encoding latin-1 (or cp1252)"
                    ) from error
                except UnicodeError as error:  # of codecs that do not say where
                    raise InputError(
                        f"{path}: behind byte {n_bytes:,}: not {encoding} text ({error}); if the file is in "
                        "another encoding, name it: --encoding latin-1 (or cp1252)"
                    ) from error
                n_bytes += len(block)
                n_lines += block.count(b"\n")
                n_returns += block.count(b"\r")
                last = block[-4:]
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"{path}: not a whole gzip file ({error}); it holds {n_bytes:,} readable bytes; fetch it again"
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if n_bytes == 0:
        raise InputError(f"{path}: the file is empty; expected rows of events")
    try:
        decoder.decode(b"", True)
    except UnicodeError:
        return TextFacts(n_lines or n_returns, False, True)
    # Zero bytes follow the line end in UTF-16; a lone carriage return ends lines where nothing else does.
    return TextFacts(n_lines or n_returns, last.rstrip(b"\0").endswith((b"\n", b"\r")), False)


def text_decoder(encoding: str) -> codecs.IncrementalDecoder:
    """Return what decodes a text encoding, strictly.

    Raises
    ------
    InputError
        If there is none of this name.
    """
    try:
        name = _with_mark(encoding)
        # Not so base64 and rot13, which turn bytes into bytes and text into text.
        io.TextIOWrapper(io.BytesIO(), name)
        codecs.getincrementaldecoder(name)("replace").decode("a,b\n".encode(name))
        return codecs.getincrementaldecoder(name)()
    except (LookupError, ValueError) as error:
        raise InputError(
            f"encoding {encoding!r} is unknown as one of text{nearest(encoding, _ENCODINGS)}; "
            f"try {', '.join(_ENCODINGS[:-1])} or {_ENCODINGS[-1]}"
        ) from error


def _with_mark(encoding: str) -> str:
    """Return the encoding that skips the byte order mark Excel puts before UTF-8."""
    return "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding


def _refuse_other_kinds(path: Path, block: bytes, encoding: str) -> None:
    for beginning, kind in _KINDS.items():
        if block.startswith(beginning):
            raise InputError(f"{path}: begins as no text does: this is {kind}")
    if not encoding.lower().startswith("utf-8") and not encoding.lower().startswith("utf8"):
        return
    for mark, other in _MARKS.items():
        if block.startswith(mark):
            raise InputError(
                f"{path}: begins with the mark of {other} text, not {encoding}; try --encoding {other}"
            )
    # A zero byte here and there spoils its row; every second one is how UTF-16 spells Latin letters.
    head = block[:_HEAD_BYTES]
    even, odd = head[::2].count(0), head[1::2].count(0)
    if 4 * max(even, odd) > len(head) // 2:
        other = "utf-16-be" if even > odd else "utf-16-le"
        raise InputError(
            f"{path}: byte {block.index(0):,} is zero, and so are many others: this is no {encoding} text; "
            f"if it is text without a mark, try --encoding {other}"
        )
