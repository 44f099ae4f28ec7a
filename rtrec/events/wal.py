"""Notice a damaged write-ahead log before SQLite quietly drops what follows the damage.

When SQLite opens a database it replays the write-ahead log up to the first frame whose checksum is wrong, and
ignores the rest: it takes the frame for the torn end of a transaction that never committed. That is right
after a power failure. It is wrong if a byte went bad in the middle, where commits that were confirmed come
after it. The two can be told apart: with ``synchronous=FULL`` a transaction is synced before the next begins,
so behind a torn one there is nothing.

The format is described at https://www.sqlite.org/fileformat2.html#walformat.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from rtrec.errors import CorruptionError

#: Our databases are created with this page size, so that it is known even where the header is damaged.
PAGE_SIZE = 4096

_HEADER, _FRAME_HEADER = 32, 24
_FRAME = _FRAME_HEADER + PAGE_SIZE
#: Of the words that checksums are made of: that of the machine, not of the (big-endian) format. A log from a
#: big-endian machine is not checked here; it cannot be told from one with a damaged header.
_ORDER = "<u4"

_Words = npt.NDArray[np.uint32]


def check_wal(database: Path) -> None:
    """Check the write-ahead log of a database that is about to be opened.

    Raises
    ------
    CorruptionError
        If confirmed transactions follow a damaged frame.
    """
    wal = database.with_name(database.name + "-wal")
    try:
        content = wal.read_bytes()
        while content[:_HEADER] != (again := wal.read_bytes())[:_HEADER]:
            # Another process began the file anew while it was read: old frames behind a new header.
            content = again
    except FileNotFoundError:
        return
    bad = _damaged_frame(content)
    if bad is not None:
        place = "its header" if bad < 0 else f"frame {bad} (byte {_HEADER + bad * _FRAME})"
        raise CorruptionError(
            f"log {wal}: {place} is damaged and confirmed transactions come after it; "
            f"restore {database.name} and {wal.name} together from a copy"
        )


def _damaged_frame(content: bytes) -> int | None:
    """Return the first damaged frame (-1: the header) if that cannot be the torn end; None if all is well."""
    n_frames = (len(content) - _HEADER) // _FRAME
    if n_frames < 1:
        return None
    header = np.frombuffer(content, ">u4", count=8)
    frames = np.frombuffer(content, np.uint8, count=n_frames * _FRAME, offset=_HEADER).reshape(
        n_frames, _FRAME
    )
    fields = np.ascontiguousarray(frames[:, :_FRAME_HEADER]).view(">u4").astype(np.uint32)
    commits, salts, stored = fields[:, 1] > 0, fields[:, 2:4], fields[:, 4:6]

    # Each checksum goes on from the one before it, so every frame can be checked against what is stored.
    start = np.frombuffer(content, _ORDER, count=6).astype(np.uint32)[:, np.newaxis]
    header_is_good = np.array_equal(_checksums(start, np.zeros((1, 2), np.uint32))[0], header[6:8])
    before = np.vstack([header[np.newaxis, 6:8].astype(np.uint32), stored[:-1]])
    words = np.hstack([frames[:, :8], frames[:, _FRAME_HEADER:]]).view(_ORDER).astype(np.uint32)
    current = header[4:6] if header_is_good else salts[0]
    is_current = (salts == current).all(axis=1)
    intact = is_current & (_checksums(words.T, before) == stored).all(axis=1)

    if not header_is_good:
        return -1 if (commits & intact).any() else None
    if intact.all():
        return None
    bad = int(np.argmin(intact))
    # The transaction with the bad frame ends at the next commit; one that follows began after it was synced.
    later_commits = np.flatnonzero(commits[bad:] & (is_current[bad:] | (np.arange(bad, n_frames) == bad)))
    return bad if later_commits.size and intact[bad + later_commits[0] + 1 :].any() else None


def _checksums(words: _Words, before: _Words) -> _Words:
    """Return SQLite's checksum of each column of ``words`` (word, frame), after ``before`` (frame, 2)."""
    first, second = before[:, 0].copy(), before[:, 1].copy()
    for even, odd in zip(words[0::2], words[1::2], strict=True):
        first += even + second
        second += odd + first
    return np.stack([first, second], axis=1)
