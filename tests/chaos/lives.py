"""One life of a small deployment, all in this process, and what it comes to."""

from __future__ import annotations

import hashlib
import json
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtrec.clock import utc_now
from rtrec.engine.deployment import SNAPSHOT_NAME, Deployment
from rtrec.engine.live import LiveRun
from rtrec.engine.refits import RefitPlan
from rtrec.engine.versions import roll_back
from rtrec.events.cleaning import Cleaner
from rtrec.events.feeds import SyntheticFeed
from rtrec.events.letters import DeadLetter
from rtrec.events.mapping import ColumnMapping
from rtrec.events.redriving import redrive
from rtrec.events.schema import empty_events
from rtrec.events.synthetic import SyntheticConfig, SyntheticStream
from rtrec.models.nearline.recipe import Recipe
from rtrec.models.snapshot import latest_snapshot, list_snapshots

SUMMARY = "summary.json"


#: Rows that were no events when they came, and their source.
BAD_ROWS = "bad rows"
_MAPPING = ColumnMapping("user", "item", "time")


@dataclass(frozen=True)
class Life:
    """How a life is lived: where, and how much of everything.

    One that ``is_mended`` stops behind ``n_before`` events, for what people do to a deployment at rest:
    :func:`mend`.
    """

    home: Path
    n_warm: int = 200
    n_tested: int = 700
    chunk_rows: int = 50
    snapshot_every: int = 120
    batch_events: int = 60
    refit_every: int = 400
    is_mended: bool = False
    n_before: int = 150


def live(life: Life) -> None:
    """Begin or go on with a deployment, to the end of its stream, and write down what it came to."""
    if life.is_mended:
        if not is_rolled_back(life.home):
            run_until(life, life.n_before)
        mend(life.home)
    run = run_until(life, life.n_tested)
    life.home.with_name(f"{life.home.name}.{SUMMARY}").write_text(json.dumps(run.summary()))


def run_until(life: Life, n_tested: int) -> LiveRun:
    """Run until so many events are tested, and stop."""
    stream = SyntheticStream(SyntheticConfig(n_users=60, n_items=50))
    run = LiveRun.start(
        life.home,
        SyntheticFeed(stream, chunk_rows=life.chunk_rows),
        warmup=life.n_warm,
        limit=n_tested,
        snapshot_every=life.snapshot_every,
        batch_events=life.batch_events,
        titles=stream.item_titles(),
        processes=False,
        refits=RefitPlan({"history": Recipe("item-knn")}, every=life.refit_every, wait=True),
    )
    run.result(100)
    run.stop()
    return run


def is_rolled_back(home: Path) -> bool:
    """Say whether the journal of a deployment, which may not be made yet, was taken back once."""
    deployment = Deployment(home)
    if not deployment.exists:
        return False
    with closing(deployment.open_log(mode="read")) as log:
        return bool(log.rolled_back())


def mend(home: Path) -> None:
    """Take a change of settings back by going back to a snapshot, and try dead letters again: once each.

    Whoever dies on the way calls it again.
    """
    deployment = Deployment(home)
    if not is_rolled_back(home):
        deployment.append_control({"control": "settings", "changes": {"ring_length": 3}})
        [first, *_] = list_snapshots(deployment.snapshots, named=SNAPSHOT_NAME)
        roll_back(deployment, first.name)
    with deployment.log_beside_a_run() as log:
        if log.position(BAD_ROWS) == 0:
            letters = [_letter(row) for row in range(1, 6)]
            nothing = [empty_events()] * log.partitions
            log.append(nothing, source=BAD_ROWS, position=len(letters), dead_letters=letters)
        redrive(log, Cleaner(_MAPPING, source=BAD_ROWS, clock=utc_now), batch=2)


def _letter(row: int) -> DeadLetter:
    cells = {"user": f"user {row % 3}", "item": f"item {row}", "time": f"2025-01-01T00:0{row}:00Z"}
    return DeadLetter(BAD_ROWS, row, "unparsable time", "time", json.dumps(cells), kept="cells")


def figures(home: Path) -> dict[str, Any]:
    """Return what the last life of a deployment came to."""
    found = json.loads(home.with_name(f"{home.name}.{SUMMARY}").read_text())
    names = ("events", "tested", "offset", "hr@10", "ndcg@10", "coverage@10", "models", "counts", "tables")
    return {name: found[name] for name in names}


def fingerprint(home: Path) -> str:
    """Return a hash of the state in the last snapshot: the same for the same bits."""
    snapshot = latest_snapshot(home / "snapshots")
    assert snapshot is not None
    digest = hashlib.blake2b()
    for name, array in sorted(snapshot.arrays().items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
