"""Fetch a data set: from its publisher, or from a copy that is already here.

Whichever way it comes, its licence is shown first and the checksum of an archive compared, and what is left
under ``data/`` is the same: the events, the titles, the licence as accepted, and where it all came from.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO

from rtrec.errors import CorruptionError, InputError
from rtrec.events.datasets import Dataset
from rtrec.events.preparing import TITLES
from rtrec.events.published import Published, PublishedArchive, PublishedFolder, checksum, verify_checksum
from rtrec.files import publish_file, publish_text

#: Called with bytes done and bytes in all (None if the server does not say).
Progress = Callable[[int, int | None], None]

_LICENCE, _ORIGIN, _CHECKSUM = "licence.txt", "origin.json", "checksum.txt"
_BLOCK_BYTES = 1 << 18
_TIMEOUT_S = 30.0


def fetch(
    dataset: Dataset,
    *,
    data_dir: Path = Path("data"),
    source: Path | None = None,
    accept_licence: Callable[[str], bool],
    progress: Progress | None = None,
) -> Path:
    """Make a data set ready under ``data_dir`` and return its folder; quick if it is there already.

    Parameters
    ----------
    dataset
        From :func:`rtrec.events.datasets.get_dataset`.
    data_dir
        Where data sets are kept, a folder each.
    source
        A copy that is already here: the data set's own folder, the folder above it, or the published zip.
        None downloads it from the publisher.
    accept_licence
        Is shown the terms before anything is fetched, and says whether they are accepted. Not asked again
        while the terms stay the same.
    progress
        Is told how far a download is.

    Raises
    ------
    InputError
        If the terms are not accepted, ``source`` has no such data set, or the publisher cannot be reached.
    CorruptionError
        If a file is damaged or does not match its checksum.
    """
    folder = Path(data_dir) / dataset.name
    if source is not None and not Path(source).exists():
        raise InputError(f"--from {source}: no such file or folder")
    _agree(dataset, folder, accept_licence)
    if source is None and is_ready(dataset, folder):
        return folder
    published = _download(dataset, folder, progress) if source is None else _find(dataset, Path(source))
    origin = json.dumps(published.origin(), indent=1, sort_keys=True)
    if not (is_ready(dataset, folder) and (folder / _ORIGIN).read_text(encoding="utf-8") == origin):
        # The origin goes first and comes last: without it the folder does not count as ready.
        (folder / _ORIGIN).unlink(missing_ok=True)
        dataset.prepare(published, folder)
        publish_text(folder / _ORIGIN, origin)
    return folder


def is_ready(dataset: Dataset, folder: Path) -> bool:
    """Say whether ``folder`` has all that :func:`fetch` leaves there."""
    return all((folder / name).is_file() for name in (_ORIGIN, TITLES, dataset.events_file))


def _agree(dataset: Dataset, folder: Path, accept_licence: Callable[[str], bool]) -> None:
    terms = dataset.terms()
    accepted = folder / _LICENCE
    if accepted.is_file() and accepted.read_text(encoding="utf-8") == terms:
        return
    if not accept_licence(terms):
        raise InputError(f"data set {dataset.name}: its terms were not accepted, so nothing was fetched")
    publish_text(accepted, terms)


def _find(dataset: Dataset, source: Path) -> Published:
    """Return the first copy in, or right under, ``source`` that has all tables."""
    places = [source, *(source / name for name in (dataset.name, *dataset.folders))]
    for place in places:
        for candidate in (place, place / dataset.archive):
            if candidate.is_file() and candidate.suffix == ".zip":
                if dataset.checksum:
                    verify_checksum(candidate, dataset.checksum)
                published: Published = PublishedArchive(candidate)
            elif candidate.is_dir():
                published = PublishedFolder(candidate)
            else:
                continue
            if not _lacking(dataset, published):
                return published
    wanted = ", ".join(" or ".join(names) for names in dataset.tables)
    raise InputError(
        f"--from {source}: no {dataset.title} there; expected {wanted} (or {dataset.archive}) in "
        f"{' or '.join(str(place) for place in places)}"
    )


def _lacking(dataset: Dataset, published: Published) -> list[str]:
    names = published.names()
    return [" or ".join(each) for each in dataset.tables if not names.intersection(each)]


def _download(dataset: Dataset, folder: Path, progress: Progress | None) -> Published:
    archive, noted = folder / dataset.archive, folder / _CHECKSUM
    expected = dataset.checksum or (noted.read_text(encoding="utf-8").strip() if noted.is_file() else None)
    if not archive.is_file():
        _retrieve(dataset, archive, progress)
    if expected is None:
        # The publisher names none: what came first is what later downloads are compared with.
        publish_text(noted, checksum(archive))
    else:
        try:
            verify_checksum(archive, expected)
        except CorruptionError as error:
            archive.unlink()
            if dataset.checksum:
                raise
            raise CorruptionError(
                f"{error}; if the publisher has replaced it since the first download, delete {noted}"
            ) from error
    published = PublishedArchive(archive)
    lacking = _lacking(dataset, published)
    if lacking:
        raise CorruptionError(
            f"{archive}: expected {', '.join(lacking)} in it; it has {sorted(published.names())}"
        )
    return published


def _retrieve(dataset: Dataset, target: Path, progress: Progress | None) -> None:
    def write(out: BinaryIO) -> None:
        request = urllib.request.Request(dataset.address, headers={"User-Agent": "rtrec-workbench"})
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
            size = answer.headers.get("Content-Length")
            total, done = int(size) if size else None, 0
            while block := answer.read(_BLOCK_BYTES):
                out.write(block)
                done += len(block)
                if progress:
                    progress(done, total)
            if total is not None and done < total:
                raise HTTPException(f"connection closed after {done} of {total} bytes")

    if not dataset.address.startswith(("https://", "http://")):
        raise ValueError(f"data set {dataset.name}: address must be http or https; got {dataset.address}")
    try:
        publish_file(target, write)
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        raise InputError(
            f"data set {dataset.name}: cannot download {dataset.address}: {error}; "
            f"with a copy from elsewhere: rtrec data get {dataset.name} --from FOLDER"
        ) from error
