"""The figures of a run as `--json` prints them: plain values by name."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from rtrec.engine.status import Status


def summary_of(status: Status) -> dict[str, Any]:
    """Return the figures of the whole life of a deployment."""
    scores = {each.model: each for each in status.scores}
    default, k = scores.get("default"), status.k

    def figure(value: float | None) -> float | None:
        return None if value is None or value != value else value

    return {
        "model": "default",
        "events": status.events,
        "tested": status.tested,
        "tested_share": status.tested_share,
        "sampled": [
            {
                "share": each.share,
                "start": each.start,
                "end": each.end,
                "began": _written(each.began),
                "ended": _written(each.ended),
                "reason": each.reason,
            }
            for each in status.stretches
        ],
        "offset": status.logged,
        "lag": status.lag,
        "waiting_bytes": status.waiting_bytes,
        "source_lag": status.source_lag._asdict(),
        "first_event": _written(status.first_time),
        "last_event": _written(status.event_time),
        f"hr@{k}": figure(default.hit_rate if default else None),
        f"ndcg@{k}": figure(default.ndcg if default else None),
        f"coverage@{k}": figure(default.coverage if default else None),
        "seconds": round(status.seconds, 3),
        "events_per_s": round(status.run_events / status.seconds, 1) if status.seconds else None,
        "users": status.users,
        "items": status.items,
        "forgotten": status.forgotten,
        "dead_letters": status.dead_letters,
        "quarantined": status.quarantined,
        "counts": status.counts,
        "shards": status.shards,
        "recoveries": status.recoveries,
        "recovery_s": figure(status.recovery_s),
        "phase": str(status.phase),
        "delivery": None if status.delivery is None else asdict(status.delivery),
        "tables": {
            each.slot: {"version": each.version, "n_events": each.n_events, "live_from": each.live_from}
            for each in status.tables
        },
        "served": {
            slot: {"published": each.n_published, "events": each.n_events}
            for slot, each in status.served.items()
        },
        "models": {
            model: {
                f"hr@{k}": figure(each.hit_rate),
                f"ndcg@{k}": figure(each.ndcg),
                f"coverage@{k}": figure(each.coverage),
            }
            for model, each in scores.items()
        },
    }


def _written(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat(" ", "seconds")
