"""How little is sent when a plot grows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from bokeh.models import ColumnDataSource

from rtrec.dashboard import plots
from rtrec.dashboard.state import PulseSample


@pytest.fixture
def sent(monkeypatch):
    """Return the calls that change a source, in order."""
    calls = []
    stream, patch = ColumnDataSource.stream, ColumnDataSource.patch
    monkeypatch.setattr(
        ColumnDataSource,
        "stream",
        lambda self, rows, **k: (calls.append(("stream", rows)), stream(self, rows, **k)),
    )
    monkeypatch.setattr(
        ColumnDataSource, "patch", lambda self, rows: (calls.append(("patch", rows)), patch(self, rows))
    )
    return calls


def columns(*values):
    return {"x": np.arange(len(values), dtype=float), "y": np.array(values, dtype=float)}


def held(source):
    return list(source.data["y"])


def test_added_rows_are_streamed(sent):
    source = ColumnDataSource(columns(1, 2))
    plots.push(source, columns(1, 2, 3, 4))
    assert [kind for kind, _ in sent] == ["stream"]
    assert list(sent[0][1]["y"]) == [3.0, 4.0]
    assert held(source) == [1, 2, 3, 4]


def test_a_changed_last_row_is_patched(sent):
    source = ColumnDataSource(columns(1, 2))
    plots.push(source, columns(1, 5, 3))
    assert [kind for kind, _ in sent] == ["patch", "stream"]
    assert held(source) == [1, 5, 3]


def test_nothing_is_sent_when_nothing_changed(sent):
    source = ColumnDataSource(columns(1, np.nan))
    before = source.data
    plots.push(source, columns(1, np.nan))
    assert not sent
    assert source.data is before


@pytest.mark.parametrize("new", [columns(9, 9), columns(1), columns(9, 2, 3)])
def test_rewritten_rows_are_sent_whole(sent, new):
    source = ColumnDataSource(columns(1, 2))
    plots.push(source, new)
    assert not sent
    assert held(source) == list(new["y"])


def test_an_empty_source_takes_whole_columns():
    source = ColumnDataSource()
    plots.push(source, columns(1, 2))
    assert held(source) == [1, 2]


def test_moments_of_nothing_have_no_rows():
    assert all(len(values) == 0 for values in plots.moments([]).values())
    assert plots.moments([(3.0, "red", "fell")])["sentence"].tolist() == ["fell"]


def test_pulse_columns_hold_wall_time_and_speed():
    now = datetime(2024, 3, 1, 12, tzinfo=UTC)
    samples = [PulseSample(now + timedelta(seconds=s), 100.0 + s, s, 5.0, 9.0) for s in range(2)]
    made = plots.pulse_columns(samples)
    assert made["rate"].tolist() == [100.0, 101.0]
    assert made["time"][0] == np.datetime64("2024-03-01T12:00:00", "ms")


def test_a_curve_figure_names_both_axes():
    source = ColumnDataSource({name: [] for name in ("offset", "time", "hr_default", "low", "high")})
    plot = plots.curve_figure(source, ["default"], "hr", "Hit rate @10")
    assert plot.xaxis.axis_label == "Events in the log"
    assert plot.yaxis.axis_label == "Hit rate @10"
    assert plot.xaxis.formatter.format == "0,0"


def test_a_small_plot_says_its_unit():
    plot = plots.pulse_figure(ColumnDataSource(plots.pulse_columns([])), ["p50", "p95"], "ms")
    assert plot.yaxis.axis_label == "ms"


def test_the_ticks_of_a_small_plot_are_whole_and_of_whole_seconds():
    plot = plots.pulse_figure(ColumnDataSource(plots.pulse_columns([])), ["lag"], "events")
    assert plot.x_range.min_interval >= 60_000  # shorter spans are told in thousandths of a second
    assert plot.yaxis.ticker.min_interval >= 1
    assert plot.yaxis.formatter.format == "0,0"
