"""What a ledger remembers of the controls in the log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rtrec.engine.ledger import MAX_TABLE_CHANGES, Ledger
from rtrec.events.log import Control
from rtrec.models.snapshot import read_snapshot, write_snapshot
from rtrec.settings import Settings

BEGIN = datetime(2024, 3, 1, tzinfo=UTC)


def ledger_after(*bodies: dict[str, Any]) -> Ledger:
    """Return the ledger of a run that took one control after every hundredth event."""
    ledger = Ledger(1, Settings(), n_warm=0)
    ledger.first_time = ledger.last_time = BEGIN.timestamp()
    for offset, body in enumerate(bodies):
        ledger.n_events += 100
        ledger.change([Control(offset, BEGIN + timedelta(minutes=offset), body)])
    return ledger


def publish(model: str, n_events: int = 50) -> dict[str, Any]:
    said = {"version": "v", "seal": "s", "made_by": "m", "n_items": 7, "seconds": 1.0}
    return {"control": "publish", "slot": "history", "model": model, "n_events": n_events, **said}


WITHDRAW = {"control": "withdraw", "slot": "history"}


def test_tables_that_came_and_went_are_remembered_with_time_and_place() -> None:
    ledger = ledger_after(
        publish("ease"), {"control": "settings", "changes": {"ring_length": 5}}, WITHDRAW, WITHDRAW
    )
    assert not ledger.tables
    said = [(each.offset, each.withdrawn, each.model, each.live_from) for each in ledger.table_changes]
    assert said == [(0, False, "ease", 100), (2, True, "ease", 300), (3, True, "", 400)]
    assert ledger.table_changes[1].time == BEGIN + timedelta(minutes=2)
    assert [each.n_events for each in ledger.table_changes] == [50, 50, 0]


def test_a_run_that_is_opened_again_remembers_them(tmp_path: Path) -> None:
    before = ledger_after(publish("ease"), publish("ials", 150), WITHDRAW)
    write_snapshot(tmp_path, "000000000001", before.to_arrays(), before.to_manifest())
    after = Ledger.from_snapshot(read_snapshot(tmp_path / "000000000001"))
    assert after.table_changes == before.table_changes
    assert [each.model for each in after.table_changes] == ["ease", "ials", "ials"]


def test_only_the_newest_are_remembered() -> None:
    ledger = ledger_after(*(publish("ease", n) for n in range(MAX_TABLE_CHANGES + 5)))
    assert len(ledger.table_changes) == MAX_TABLE_CHANGES
    assert ledger.table_changes[-1].n_events == MAX_TABLE_CHANGES + 4
