"""One small family of errors: where, what was expected, what came, what to do.

Bad *arguments* are ``TypeError`` or ``ValueError``. The classes here are for what a caller would want to
catch: input that cannot be used, a deployment in the wrong state, a file that is damaged.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class RtrecError(Exception):
    """Base of every error rtrec raises on purpose; the CLI prints it without a traceback."""


class InputError(RtrecError):
    """A file, a column or an option cannot be used at all (the CLI exits with 2)."""


class DeploymentError(RtrecError):
    """The deployment directory is missing, locked by another run, or made for something else."""


class DeploymentInUse(DeploymentError):
    """Another run holds the deployment."""


class CorruptionError(RtrecError):
    """A stored file does not match its checksum or its format; the message names the file."""


class StorageUnavailable(DeploymentError):
    """What was to be stored was not, in no part, and may be another time.

    Where no subclass says otherwise, the disk is full, or in trouble.
    """


class BrokersUnavailable(StorageUnavailable):
    """The brokers of a topic do not answer, or cannot store now, and may another time."""


class SlotTaken(StorageUnavailable):
    """Another fit for a slot is at work, and will be done."""


class NotFinite(RtrecError, ValueError):
    """Numbers that are NaN or infinite where they must not be; the message names array and place."""


class ShardError(RtrecError):
    """A shard refused a batch, or could not be brought back."""


class WorkerLost(ShardError):
    """A worker did not answer: it, or the way to it, is gone."""


class ClusterUnreachable(WorkerLost):
    """No scheduler answers at the address given; it may come back."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the closest known name, or an empty string.

    >>> nearest("movieid", ["userId", "movieId"])
    "; did you mean 'movieId'?"
    >>> nearest("zzz", ["userId", "movieId"])
    ''
    """
    by_folded = {each.casefold(): each for each in known}
    close = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return f"; did you mean {by_folded[close[0]]!r}?" if close else ""


def to_install(extra: str) -> str:
    """Return how to install what some models need besides; rtrec comes as a folder and is on no index.

    >>> to_install("deep")
    "in the folder of rtrec: pip install -c constraints.txt -e '.[deep]'"
    """
    return f"in the folder of rtrec: pip install -c constraints.txt -e '.[{extra}]'"
