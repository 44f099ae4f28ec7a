"""What a status says of all that is learned: from the ledger alone, so alike in every replay."""

from __future__ import annotations

from collections.abc import Mapping

from rtrec.clock import moment
from rtrec.engine.gauges import model_scores
from rtrec.engine.ledger import Ledger
from rtrec.engine.status import Notice, Phase, Status


def status_of(ledger: Ledger, phase: Phase, message: str, *, coverage: Mapping[str, float]) -> Status:
    """Return a status with all that a ledger knows; ``coverage`` is that of the racing models."""
    return Status(
        phase=phase,
        message=message,
        events=ledger.n_events,
        tested=ledger.history.n_tested,
        first_time=moment(ledger.first_time),
        event_time=moment(ledger.last_time),
        users=ledger.n_users,
        items=ledger.n_items,
        forgotten=ledger.numbering.n_forgotten,
        scores=model_scores(ledger.history.total(), coverage),
        k=ledger.settings.list_length,
        settings=ledger.settings,
        alarms=_alarms_of(ledger),
        quarantined=ledger.quarantine.n_events,
        frozen=ledger.quarantine.frozen,
        tested_share=ledger.sampling.share,
        stretches=ledger.sampling.stretches,
        tables=tuple(ledger.tables.values()),
        table_changes=ledger.table_changes,
    )


def _alarms_of(ledger: Ledger) -> tuple[Notice, ...]:
    return (
        *(
            Notice(each.offset, each.time, each.kind, each.sentence, each.after - each.before)
            for each in ledger.drift.alarms
        ),
        *ledger.quarantine.notices,
        *ledger.intake.notices,
        *ledger.sampling.notices,
    )
