"""Files that survive a crash: written beside, synced, then renamed into place.

After a power failure a file system may keep a rename and lose the bytes behind it, or keep the bytes and lose
the name. So the order is always the same: write, sync the file, rename, sync the folder.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from itertools import chain, count
from pathlib import Path
from typing import BinaryIO

#: Names of unfinished files and folders start with this; readers pass them over.
UNFINISHED = ".unfinished-"


def sync(path: Path) -> None:
    """Wait until the content of a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish_file(path: Path, write: Callable[[BinaryIO], None], *, private: bool = False) -> None:
    """Let ``write`` fill a file that appears at ``path`` complete and durable, or not at all.

    An earlier file of that name is replaced. A private one is at no moment readable by anybody but its owner.
    """
    beside = path.with_name(UNFINISHED + path.name)
    if private:
        beside.unlink(missing_ok=True)  # one that is there would keep its own mode
    try:
        with open(beside, "xb" if private else "wb", opener=_open_private if private else None) as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync(path.parent)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def publish_text(path: Path, text: str) -> None:
    """Write a text file that appears complete or not at all; missing folders are made."""

    def write(file: BinaryIO) -> None:
        file.write(text.encode())

    make_folder(path.parent)
    publish_file(path, write)


def publish_new_text(path: Path, text: str) -> Path:
    """Write a text file as :func:`publish_text` does, but never over another; return where it is.

    Where there is one of that name already it gets a number: ``report_2.html``.
    """
    make_folder(path.parent)
    names = chain([path], (path.with_stem(f"{path.stem}_{number}") for number in count(2)))
    free = next(each for each in names if _is_claimed(each))
    publish_text(free, text)
    return free


def _is_claimed(path: Path) -> bool:
    """Say whether the name was free; from now on it is ours, also before other processes."""
    try:
        path.open("x").close()
    except FileExistsError:
        return False
    return True


def make_folder(path: Path) -> None:
    """Create a folder and its missing parents so that their names are durable as well."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync(path.parent)


def blake2b(path: Path) -> str:
    """Return the BLAKE2b checksum of a file (16 bytes, as hexadecimal digits)."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, new_hash).hexdigest()


def new_hash() -> hashlib.blake2b:
    """Return the hash object behind :func:`blake2b`, for content that is still being written."""
    return hashlib.blake2b(digest_size=16)
