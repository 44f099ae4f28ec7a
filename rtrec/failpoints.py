"""Named places in the code at which a test may end the process, or have a step fail.

A failpoint stands around a step that matters for what survives a crash::

    with failpoint("log.append"):
        ...

Nothing happens there until it is armed, in this process by :func:`arm`, or in any that is started with
``RTREC_FAILPOINTS="log.append=kill@3"``: at the third time it comes by, it is killed before the step
(``kill``) or behind it (``kill-after``), or the step fails with an error of the disk (``raise``, and
``raise-after``, where the step was done all the same). Several are separated by commas. Whoever has to know
that it came to that gives :func:`arm` a ``mark``.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from rtrec.errors import nearest
from rtrec.files import publish_text

#: Every failpoint there is, and the step it stands around; in the order in which a new deployment comes by.
FAILPOINTS = {
    "deployment.clear": "a part of what lies in a home is removed, to start afresh",
    "deployment.create": "the manifest of a new deployment is written",
    "log.keep": "the bodies of events are made to last, in the topic if there is one; no row names them yet",
    "log.append": "events are appended, with where they came from",
    "log.cut": "a cut is journaled",
    "driver.apply": "the shards learn a cut",
    "shard.step": "a shard learns its part of a cut",
    "driver.snapshot": "a snapshot is taken of the shards",
    "snapshot.write": "a snapshot is written and gets its name",
    "log.control": "a control is appended",
    "log.rewind": "the journal is taken back to a snapshot; newer ones are gone, what they made is not",
    "log.redrive": "rows name the events that dead letters became, which wait no more",
    "table.write": "a fitted table is stored",
    "table.publish": "a fitted table gets its record in the log",
    "snapshot.prune": "snapshots that are no longer needed are deleted",
    "log.compact": "events move from the log to a history file",
}
VARIABLE = "RTREC_FAILPOINTS"
ACTIONS = ("kill", "kill-after", "raise", "raise-after")

_NOTHING: AbstractContextManager[None] = nullcontext()


@dataclass
class _Armed:
    action: str
    left: int  # times to come by before it acts
    mark: Path | None  # written just before it does


_armed: dict[str, _Armed] = {}


def failpoint(name: str) -> AbstractContextManager[None]:
    """Return what stands around the step ``name``: nothing, unless it is armed."""
    armed = _armed.get(name) if _armed else None
    return _NOTHING if armed is None else _around(armed, name)


def arm(name: str, action: str, *, at: int = 1, mark: Path | None = None) -> None:
    """Let ``action`` happen once, when this process comes by ``name`` for the ``at``-th time from now on.

    Parameters
    ----------
    mark
        A file that is there, and synced, once it acts: it outlives the process, and an error that is caught.

    Raises
    ------
    ValueError
        If there is no such failpoint or action, or ``at`` is below 1.
    """
    if name not in FAILPOINTS:
        raise ValueError(
            f"no failpoint {name!r}{nearest(name, FAILPOINTS)}; there are {', '.join(FAILPOINTS)}"
        )
    if action not in ACTIONS or at < 1:
        raise ValueError(
            f"failpoint {name!r}: expected one of {', '.join(ACTIONS)}, at 1 or later; got {action!r} at {at}"
        )
    _armed[name] = _Armed(action, at, mark)


def disarm() -> None:
    """Let nothing happen anywhere."""
    _armed.clear()


def arm_as_told(text: str) -> None:
    """Arm what a text such as ``log.append=kill@3,snapshot.write=raise`` names.

    Raises
    ------
    ValueError
        As :func:`arm`, or if it is no such text.
    """
    for each in filter(None, text.split(",")):
        name, equals, rest = each.strip().partition("=")
        action, _, at = rest.partition("@")
        if not equals or not (at or "1").isdigit():
            raise ValueError(f"{VARIABLE}: expected NAME=ACTION or NAME=ACTION@N; got {each.strip()!r}")
        arm(name, action, at=int(at or 1))


@contextmanager
def _around(armed: _Armed, name: str) -> Iterator[None]:
    armed.left -= 1
    acts = armed.left == 0
    if acts and armed.action in ("kill", "raise"):
        _act(armed, name)
    yield
    if acts and armed.action in ("kill-after", "raise-after"):
        _act(armed, name)


def _act(armed: _Armed, name: str) -> None:
    if armed.mark is not None:
        publish_text(armed.mark, f"{name} {armed.action}\n")
    if armed.action.startswith("kill"):
        os.kill(os.getpid(), signal.SIGKILL)
    raise OSError(errno.EIO, f"failpoint {name}: {armed.action}")


arm_as_told(os.environ.get(VARIABLE, ""))
