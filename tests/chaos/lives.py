"""One life of a small deployment, all in this process, and what it comes to."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtrec.engine.live import LiveRun
from rtrec.engine.refits import RefitPlan
from rtrec.events.feeds import SyntheticFeed
from rtrec.events.synthetic import SyntheticConfig, SyntheticStream
from rtrec.models.nearline.recipe import Recipe
from rtrec.models.snapshot import latest_snapshot

SUMMARY = "summary.json"


@dataclass(frozen=True)
class Life:
    """How a life is lived: where, and how much of everything."""

    home: Path
    n_warm: int = 200
    n_tested: int = 700
    chunk_rows: int = 50
    snapshot_every: int = 120
    batch_events: int = 60
    refit_every: int = 400


def live(life: Life) -> None:
    """Begin or go on with a deployment, to the end of its stream, and write down what it came to."""
    stream = SyntheticStream(SyntheticConfig(n_users=60, n_items=50))
    run = LiveRun.start(
        life.home,
        SyntheticFeed(stream, chunk_rows=life.chunk_rows),
        warmup=life.n_warm,
        limit=life.n_tested,
        snapshot_every=life.snapshot_every,
        batch_events=life.batch_events,
        titles=stream.item_titles(),
        processes=False,
        refits=RefitPlan({"history": Recipe("item-knn")}, every=life.refit_every, wait=True),
    )
    run.result(100)
    run.stop()
    life.home.with_name(f"{life.home.name}.{SUMMARY}").write_text(json.dumps(run.summary()))


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
