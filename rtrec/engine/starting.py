"""What a run is started with: looked at before anything is made or removed."""

from __future__ import annotations

import math
from contextlib import closing
from typing import TYPE_CHECKING, Any

from rtrec.engine.deployment import Deployment
from rtrec.errors import DeploymentError, InputError
from rtrec.events.journaled_log import JournaledLog
from rtrec.settings import Settings

if TYPE_CHECKING:
    from rtrec.events.feeds import Feed


def check_options(feed: Feed | None, speed: float | None, **counts: int | None) -> None:
    """Raise if an option of a run is nothing it can be; ``counts`` are whole numbers from 1 on.

    Raises
    ------
    InputError
        Naming the option.
    TypeError
        If the feed is none.
    """
    if feed is not None and not callable(getattr(feed, "start", None)):
        raise TypeError(
            f"feed: expected a FileFeed, a SyntheticFeed or another rtrec.events.feeds.Feed; got {feed!r}"
        )
    for name, value in counts.items():
        if value is not None and (not isinstance(value, int) or value < 1):
            raise InputError(f"{name} is a whole number from 1 on; got {value!r}")
    if speed is not None and not 0 < speed < math.inf:
        raise InputError(f"speed is above zero, or None for as fast as possible; got {speed!r}")


def manifest_of(feed: Feed | None, *, settings: Settings, shards: int, warmup: float | int) -> dict[str, Any]:
    """Return what a new deployment for ``feed`` fixes for its life.

    Raises
    ------
    InputError
        If there is no feed, it cannot be used, or ``warmup`` is neither a share nor a number.
    """
    if feed is None:
        raise InputError("to start afresh, say what to read: a fresh deployment has nothing to look at")
    if not warmup >= 0 or not math.isfinite(warmup):
        raise InputError(f"warmup is a share from 0 to below 1, or a number of events; got {warmup}")
    n_warm = int(warmup)
    if warmup < 1:
        n_events = feed.n_events() if warmup > 0 else 0
        n_warm = int((n_events or 0) * warmup)
    return {
        "shards": shards,
        "source": feed.name,
        "feed": feed.identity(),
        "warmup_events": n_warm,
        "settings": settings.model_dump(),
    }


def take_up(deployment: Deployment, feed: Feed | None, *, shards: int, log: str | None = None) -> None:
    """Have the deployment go on with ``feed``.

    Raises
    ------
    DeploymentError
        If it is not there, or was made for other shards or another feed.
    """
    manifest = deployment.manifest
    if log is not None and log != manifest.get("log"):
        raise DeploymentError(
            f"{deployment.home}: made with its events in {manifest.get('log', 'its own folder')}, asked for "
            f"{log}; their place is fixed: leave --log out, or start afresh with --fresh"
        )
    if feed is None:
        return
    if manifest["shards"] != shards:
        raise DeploymentError(
            f"{deployment.home}: made with {manifest['shards']} shards, asked for {shards}; "
            f"their number is fixed: --shards {manifest['shards']}, or start afresh with --fresh"
        )
    if manifest["source"] != feed.name:
        raise DeploymentError(
            f"{deployment.home}: made for source {manifest['source']!r}, got {feed.name!r}; "
            "give another --home, or start afresh with --fresh"
        )
    with closing(JournaledLog(deployment.log_path, mode="read")) as journal:
        position = journal.position(feed.name)
    difference = feed.difference(deployment.last_feed(), position)
    if difference is not None:
        raise DeploymentError(
            f"{deployment.home}: cannot go on with this {feed.name!r}: {difference}; "
            "give another --home, or start afresh with --fresh"
        )
    deployment.keep_feed(feed.identity())
