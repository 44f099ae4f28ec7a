"""Notice a damaged write-ahead log before SQLite quietly drops what follows the damage.

When SQLite opens a database it replays the write-ahead log up to the first frame whose checksum is wrong, and
ignores the rest: it takes the frame for the torn end of a transaction that never committed. That is right
after a power failure. It is wrong if a byte went bad in the middle, where commits that were confirmed come
after it. The two can be told apart: with ``synchronous=FULL`` a transaction is synced before the next begins,
so behind a torn one there is nothing.

That leaves the last transaction. Once it is synced SQLite notes in the file of shared memory beside the log
(``-shm``) how many frames are good. That file is never synced, but it outlives a process that is killed: what
it says may be less than is true, and is never more, so a bad frame that it counts was confirmed. Nothing is
promised of damage to the very last transaction where that file is gone or old, as after a failure of the
power, or was made anew by somebody who read the log before the next run: SQLite then takes it for a torn end.
A record of our own would know better, and cost every append a second sync.

The formats are described at https://www.sqlite.org/fileformat2.html#walformat and
https://www.sqlite.org/walformat.html.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rtrec.errors import CorruptionError

#: Our databases are created with this page size, so that it is known even where the header is damaged.
PAGE_SIZE = 4096

_HEADER, _FRAME_HEADER = 32, 24
_FRAME = _FRAME_HEADER + PAGE_SIZE
#: Bytes of what the file of shared memory begins with, twice.
_INDEX = 48
#: Of the words that checksums are made of: that of the machine, not of the (big-endian) format. A log from a
#: big-endian machine is not checked here; it cannot be told from one with a damaged header.
_ORDER = "<u4"

_Words = npt.NDArray[np.uint32]


def check_wal(database: Path) -> None:
    """Check the write-ahead log of a database that is about to be opened.

    Raises
    ------
    CorruptionError
        If a damaged frame was confirmed, or confirmed transactions follow it.
    """
    wal, shm = (database.with_name(database.name + end) for end in ("-wal", "-shm"))
    # Before the log, so that with another process writing it does not count what was not read.
    index = b""
    with suppress(FileNotFoundError):
        index = shm.read_bytes()[: 2 * _INDEX]
    try:
        content = wal.read_bytes()
        while content[:_HEADER] != (again := wal.read_bytes())[:_HEADER]:
            # Another process began the file anew while it was read: old frames behind a new header.
            content = again
    except FileNotFoundError:
        return
    bad = _damaged_frame(content, index)
    if bad is not None:
        place = "its header" if bad < 0 else f"frame {bad} (byte {_HEADER + bad * _FRAME})"
        raise CorruptionError(
            f"log {wal}: {place} is damaged, and confirmed transactions are in it or come after it; "
            f"restore {database.name} and {wal.name} together from a copy, and remove {shm.name}"
        )


def _damaged_frame(content: bytes, index: bytes) -> int | None:
    """Return the first damaged frame (-1: the header) if that cannot be the torn end; None if all is well."""
    n_frames = (len(content) - _HEADER) // _FRAME
    n_confirmed = _n_confirmed(index, content[16:24])
    if n_frames < 1:
        return 0 if n_confirmed else None
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
        return n_frames if n_frames < n_confirmed else None
    bad = int(np.argmin(intact))
    if bad < n_confirmed:
        return bad
    # The transaction with the bad frame ends at the next commit; one that follows began after it was synced.
    later_commits = np.flatnonzero(commits[bad:] & (is_current[bad:] | (np.arange(bad, n_frames) == bad)))
    return bad if later_commits.size and intact[bad + later_commits[0] + 1 :].any() else None


def _n_confirmed(index: bytes, salt: bytes) -> int:
    """Return how many frames of the log with this salt are confirmed; 0 if what should say so does not."""
    if len(index) < 2 * _INDEX or index[:_INDEX] != index[_INDEX:] or index[32:40] != salt:
        return 0
    words = np.frombuffer(index, _ORDER, count=_INDEX // 4).astype(np.uint32)
    is_good = np.array_equal(_checksums(words[:10, np.newaxis], np.zeros((1, 2), np.uint32))[0], words[10:])
    return int(words[4]) if is_good else 0


def _checksums(words: _Words, before: _Words) -> _Words:
    """Return SQLite's checksum of each column of ``words`` (word, frame), after ``before`` (frame, 2)."""
    first, second = before[:, 0].copy(), before[:, 1].copy()
    for even, odd in zip(words[0::2], words[1::2], strict=True):
        first += even + second
        second += odd + first
    return np.stack([first, second], axis=1)
