"""Versions of the historical features on disk, in the format of snapshots: whole and checked, or not there.

A folder a version, ``version-7``; whoever serves maps the newest into memory and goes on with it until there
is a newer one. Folders of other names, such as a copy that somebody made, are no versions and left alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog

from rtrec.errors import CorruptionError
from rtrec.features.historical.features import HistoricalFeatures
from rtrec.models.snapshot import latest_snapshot, list_snapshots, prune_snapshots, write_snapshot

#: How many versions are kept: the one in use, and some to go back to.
KEPT_VERSIONS = 5

_VERSION = re.compile(r"version-[1-9][0-9]*")

log = structlog.get_logger(__name__)


def write_features(root: Path, features: HistoricalFeatures, about: Mapping[str, Any] | None = None) -> Path:
    """Write a version under ``root`` in one step, and delete all but the newest few.

    Parameters
    ----------
    about
        What else its manifest shall say, a JSON object.
    """
    manifest = features.to_manifest() | {"about": dict(about or {})}
    path = write_snapshot(root, f"version-{features.version}", features.to_arrays(), manifest)
    prune_snapshots(root, KEPT_VERSIONS, named=_VERSION)
    return path


def next_version(root: Path) -> int:
    """Return a number above that of every version under ``root``, good or damaged."""
    found = list_snapshots(root, named=_VERSION)
    return 1 + int(found[-1].name.removeprefix("version-")) if found else 1


def latest_features(root: Path, *, mmap: bool = False) -> HistoricalFeatures | None:
    """Return the newest version that is whole, None if there is none; damaged ones are passed over.

    Raises
    ------
    CorruptionError
        If that version was written with other declared features.
    """
    snapshot = latest_snapshot(root, named=_VERSION, mmap=mmap)
    return None if snapshot is None else HistoricalFeatures.from_arrays(snapshot.arrays(), snapshot.manifest)


def usable_features(root: Path) -> HistoricalFeatures | None:
    """Return what :func:`latest_features` does, but None, with a warning, where they were made otherwise."""
    try:
        return latest_features(root)
    except CorruptionError as error:
        log.warning("published features are of no use here", features=str(root), error=str(error))
        return None
