"""What a run says of itself while it goes on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from rtrec.cli.watch import _tell_sampling, describe
from rtrec.engine.status import Phase, Status, Stretch
from rtrec.events.lag import SourceLag


def test_a_run_says_how_far_its_source_is_ahead_and_what_is_tested():
    status = Status(
        Phase.RUNNING,
        "",
        events=8_500,
        logged=20_500,
        rate_per_s=900.0,
        waiting_bytes=2_400_000,
        source_lag=SourceLag(behind_s=12.3),
        tested_share=0.1,
    )
    assert describe(status) == ("8,500 events, 900/s, lag 12,000 (2.4 MB), source 12 s ahead, 10% tested")
    calm = replace(status, logged=8_500, waiting_bytes=0, source_lag=SourceLag(n_unread=7), tested_share=1.0)
    assert describe(calm) == "8,500 events, 900/s, lag 0, 7 messages unread"


def test_a_stretch_is_told_when_it_begins_and_when_it_ends_each_once(capsys):
    began, ended = (datetime(2026, 5, 1, 12, 3, second, tzinfo=UTC) for second in (4, 50))
    stretch = Stretch(0.1, "the source was 12 s ahead", 8000, began)
    of_before = Status(Phase.RUNNING, "", stretches=(Stretch(0.2, "", 10, began).until(20, ended),))
    within = replace(of_before, stretches=(*of_before.stretches, stretch))
    behind = replace(of_before, stretches=(*of_before.stretches, stretch.until(9000, ended)))
    told = None
    for status in (Status(Phase.STARTING, ""), of_before, within, within, behind, behind):
        told = _tell_sampling(status, told)
    said = capsys.readouterr().err.splitlines()
    assert [line.split(" (")[0] for line in said] == [
        "10% of the events from 8,000 on are tested, all learned",
        "10% of the events 8,000 to 8,999 were tested",
    ]
