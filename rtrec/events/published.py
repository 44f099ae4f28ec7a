"""Tables as a publisher hands them out: in a folder or in a zip archive, gzipped or not."""

from __future__ import annotations

import gzip
import hashlib
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Protocol, cast

from rtrec.errors import CorruptionError

_DAMAGE = (zipfile.BadZipFile, gzip.BadGzipFile, EOFError)


class Published(Protocol):
    """Some published tables, by file name."""

    where: Path

    def names(self) -> set[str]:
        """Return the names of the tables, without ``.gz`` and without folders."""
        ...

    def open(self, name: str) -> IO[bytes]:
        """Open a table, unpacked."""
        ...

    def origin(self) -> dict[str, object]:
        """Return what tells this copy from another: paths, sizes, times of change."""
        ...


class PublishedFolder:
    """Tables that lie in a folder, as themselves or gzipped."""

    def __init__(self, folder: Path) -> None:
        self.where = folder
        self._paths = {
            path.name.removesuffix(".gz"): path for path in sorted(folder.iterdir()) if path.is_file()
        }

    def names(self) -> set[str]:
        """Return the names of the files, without ``.gz``."""
        return set(self._paths)

    def open(self, name: str) -> IO[bytes]:
        """Open a table, unpacked."""
        path = self._paths[name]
        return cast(IO[bytes], gzip.open(path)) if path.suffix == ".gz" else path.open("rb")

    def origin(self) -> dict[str, object]:
        """Return path, size and time of change of every file."""
        return {"folder": str(self.where.resolve()), "files": _stamps(self._paths.values())}


class PublishedArchive:
    """Tables in a zip archive, in whatever folder within it; nothing is unpacked to disk.

    Raises
    ------
    CorruptionError
        If the archive cannot be read.
    """

    def __init__(self, archive: Path) -> None:
        self.where = archive
        with damage_named(archive):
            self._zip = zipfile.ZipFile(archive)
        members = (each for each in self._zip.namelist() if not each.endswith("/"))
        self._members = {PurePosixPath(each).name.removesuffix(".gz"): each for each in members}

    def names(self) -> set[str]:
        """Return the names of the members, without ``.gz`` and without folders."""
        return set(self._members)

    def open(self, name: str) -> IO[bytes]:
        """Open a table, unpacked."""
        member = self._zip.open(self._members[name])
        return cast(IO[bytes], gzip.open(member)) if self._members[name].endswith(".gz") else member

    def origin(self) -> dict[str, object]:
        """Return path, size and time of change of the archive."""
        return {"archive": str(self.where.resolve()), "files": _stamps([self.where])}


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn an unreadable archive or a cut stream into a ``CorruptionError`` that names the file."""
    try:
        yield
    except _DAMAGE as error:
        raise CorruptionError(f"{path}: damaged or cut off ({error}); fetch it again") from error


def verify_checksum(path: Path, expected: str) -> None:
    """Compare a file with a checksum such as ``md5:0e33...`` or ``sha256:f538...``.

    Raises
    ------
    CorruptionError
        Naming the file, the checksum expected and the one found.
    """
    found = checksum(path, expected.partition(":")[0])
    if found != expected:
        raise CorruptionError(
            f"{path}: expected checksum {expected}, found {found}; delete it and fetch again"
        )


def checksum(path: Path, algorithm: str = "sha256") -> str:
    """Return ``algorithm:hexdigits`` of a file."""
    with path.open("rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def _stamps(paths: Iterable[Path]) -> dict[str, list[int]]:
    return {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in paths}
