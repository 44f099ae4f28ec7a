"""Read text files that may be damaged, without surprises: checked before the first row, bounded in memory.

The whole file is decoded once before it is used. That costs a second per gigabyte, and a file that cannot be
read is refused with its line and byte at once, not after an hour of replay.
"""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple, cast

from rtrec.errors import InputError

#: A longer line is never held in memory; its row becomes a dead letter.
MAX_LINE_CHARACTERS = 1 << 20
_BLOCK_BYTES = 1 << 20
_MARKS = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


class TextFacts(NamedTuple):
    """What one pass over a text file found."""

    n_lines: int
    ends_in_line_end: bool
    ends_in_half_character: bool


class LongLine(Exception):
    """A line of ``size`` characters, of which ``beginning`` was kept."""

    def __init__(self, beginning: str, size: int) -> None:
        super().__init__(f"a line of {size:,} characters")
        self.beginning = beginning
        self.size = size


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
        if len(line) < MAX_LINE_CHARACTERS or line.endswith("\n"):
            return line
        size = len(line)
        while part := self._file.readline(MAX_LINE_CHARACTERS):
            size += len(part)
            if part.endswith("\n"):
                break
        return LongLine(line[:2_000], size)


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
    try:
        decoder = codecs.getincrementaldecoder(_with_mark(encoding))()
    except LookupError as error:
        raise InputError(f"encoding {encoding!r} is unknown; try utf-8, latin-1, cp1252 or utf-16") from error
    n_bytes = n_lines = 0
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
                n_bytes += len(block)
                n_lines += block.count(b"\n")
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
    except UnicodeDecodeError:
        return TextFacts(n_lines, False, True)
    # Zero bytes follow the line end in UTF-16.
    return TextFacts(n_lines, last.rstrip(b"\0").endswith(b"\n"), False)


def _with_mark(encoding: str) -> str:
    """Return the encoding that skips the byte order mark Excel puts before UTF-8."""
    return "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding


def _refuse_other_kinds(path: Path, block: bytes, encoding: str) -> None:
    if not encoding.lower().startswith("utf-8") and not encoding.lower().startswith("utf8"):
        return
    for mark, other in _MARKS.items():
        if block.startswith(mark):
            raise InputError(
                f"{path}: begins with the mark of {other} text, not {encoding}; try --encoding {other}"
            )
    if b"\0" in block[:4096]:
        raise InputError(
            f"{path}: byte {block.index(0):,} is zero, so this is no {encoding} text; "
            f"if it is text without a mark, try --encoding utf-16-le"
        )
