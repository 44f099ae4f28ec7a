"""The Live page: how fast, how good, what was noticed, what was refused."""

from __future__ import annotations

from concurrent.futures import Future
from datetime import datetime
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui
from bokeh.models import ColumnDataSource, DataRange1d

from rtrec.dashboard import plots, style, words
from rtrec.dashboard.curves import Curves
from rtrec.dashboard.markup import Html, empty_state, message
from rtrec.dashboard.session import Session
from rtrec.dashboard.state import Reading
from rtrec.dashboard.store import PULSE_SAMPLES
from rtrec.dashboard.views import live_markup
from rtrec.dashboard.views.pieces import STACK, WRAP, MarkupPane, card, column, heading, row
from rtrec.engine.status import Phase

#: How many windows a point of the curves is the mean of, by the name of the choice.
SMOOTHING = {"Each window": 1, "5 windows": 5, "20 windows": 20}
#: What the small plots show: columns of the pulse and their unit, card by card.
_PULSES = ((["rate"], "events/s"), (["lag"], "events"), (["p50", "p95"], "ms"))
_CHOICE = ".MuiToggleButton-root { white-space: nowrap; padding: 4px 12px; flex: 1; }"


class LiveView:
    """What the run does right now and has done so far."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._drawn: Curves | None = None
        self._notice = MarkupPane()
        self._resume = pmui.Button(
            label="Read on", color="primary", margin=0, width=120, sizing_mode=None, visible=False
        )
        self._resume.on_click(self._read_on)
        self._quality, self._speed, self._lag, self._freshness = (MarkupPane() for _ in range(4))
        self._pulse_cards = [card(each) for each in (self._speed, self._lag, self._freshness)]
        self._pulse = ColumnDataSource(plots.pulse_columns([]))
        self._sampled: datetime | None = None
        self._points = ColumnDataSource()
        self._drawn_for: tuple[tuple[str, ...], int] | None = None
        self._alarms = ColumnDataSource(plots.moments([]))
        self._changes = ColumnDataSource(plots.moments([]))
        self._tables = ColumnDataSource(plots.moments([]))
        self._models, self._alarm_list, self._refused = MarkupPane(), MarkupPane(), MarkupPane()
        self._smoothing = pmui.RadioButtonGroup(
            options=list(SMOOTHING),
            value="5 windows",
            size="small",
            margin=0,
            width=290,
            sizing_mode=None,
            stylesheets=[_CHOICE],
        )
        self._smoothing.param.watch(self._redraw, "value")
        self._curves_title = MarkupPane(sizing_mode=None, styles={"flex": "1 1 260px"})
        self._moments = MarkupPane()
        self._curves_empty = MarkupPane()
        self._curves = row(gap=24, visible=False, narrow=STACK)
        self.panel = column(
            self._notice,
            self._resume,
            row(card(self._quality), *self._pulse_cards, narrow=WRAP),
            card(
                row(self._curves_title, self._smoothing, align="center", narrow=WRAP),
                self._curves_empty,
                self._curves,
                self._moments,
            ),
            row(
                card(self._models, styles={"flex": "3", "min-width": "0"}),
                column(
                    card(self._alarm_list),
                    card(self._refused, styles={"flex": "1 1 auto"}),
                    styles={"flex": "2", "min-width": "0"},
                ),
                narrow=STACK,
            ),
            styles=style.PAGE,
        )

    def refresh(self, reading: Reading) -> None:
        """Show ``reading``."""
        self._notice.show(live_markup.notice(reading))
        self._resume.visible = reading.status.phase is Phase.PAUSED
        self._quality.show(live_markup.quality(reading))
        self._speed.show(live_markup.speed(reading))
        self._lag.show(live_markup.lag(reading))
        self._freshness.show(live_markup.freshness(reading))
        self._draw_pulse(reading)
        if reading.curves is not self._drawn:
            self._draw(reading.curves)
        plots.push(self._alarms, plots.moments(_alarm_rows(reading)))
        plots.push(self._changes, plots.moments(_change_rows(reading)))
        plots.push(self._tables, plots.moments(_table_rows(reading)))
        self._models.show(live_markup.model_table(reading))
        self._alarm_list.show(live_markup.alarm_list(reading))
        self._refused.show(live_markup.refused_list(reading))

    def _read_on(self, *_: Any) -> None:
        self._session.ask(lambda: self._session.store.run.resume(), self._heard)

    def _heard(self, answer: Future[None]) -> None:
        error = answer.exception()
        if error is not None:
            self._notice.show(message("bad", "The source is not read on", str(error)))

    def _redraw(self, *_: Any) -> None:
        self._draw(self._session.reading.curves)

    def _draw(self, curves: Curves) -> None:
        self._drawn = curves
        windows = SMOOTHING[self._smoothing.value]
        self._curves_title.show(_curves_heading(curves, windows))
        self._moments.show(live_markup.moments_legend() if len(curves) else None)
        self._curves.visible = len(curves) > 0
        self._curves_empty.show(
            None
            if len(curves)
            else empty_state(
                "No curve yet",
                "The first point appears with the first event that is answered and scored.",
            ),
        )
        if not len(curves):
            return
        plots.push(self._points, curves.smoothed(windows).columns())
        k = self._session.reading.status.k
        if (curves.models, k) != self._drawn_for:
            self._drawn_for = (curves.models, k)
            self._curves.objects = self._curve_panes(curves.models, k)

    def _curve_panes(self, models: tuple[str, ...], k: int) -> list[pn.pane.Bokeh]:
        shared = DataRange1d(range_padding=0.01)
        return [
            pn.pane.Bokeh(
                plots.curve_figure(
                    self._points,
                    models,
                    metric,
                    f"{title} @{k}",
                    x_range=shared,
                    marks=[(self._alarms, "solid"), (self._changes, "dashed"), (self._tables, "dotted")],
                )
            )
            for metric, title in (("hr", "Hit rate"), ("ndcg", "NDCG"))
        ]

    def _draw_pulse(self, reading: Reading) -> None:
        fresh = [each for each in reading.pulse if self._sampled is None or each.time > self._sampled]
        if not fresh:
            return
        self._sampled = fresh[-1].time
        columns = plots.pulse_columns(fresh)
        with pn.io.unlocked():
            self._pulse.stream(columns, rollover=PULSE_SAMPLES)
        for place, (names, unit) in zip(self._pulse_cards, _PULSES, strict=True):
            # A figure that has nothing to show cannot tell its ranges, and one point is no line.
            if len(place) == 1 and self._shows_a_line(names[0]):
                place.append(pn.pane.Bokeh(plots.pulse_figure(self._pulse, names, unit)))

    def _shows_a_line(self, name: str) -> bool:
        return int(np.isfinite(self._pulse.data[name]).sum()) > 1


def _curves_heading(curves: Curves, windows: int) -> Html:
    if not len(curves):
        return heading("Quality over the log")
    span = words.events(min(curves.window * windows, curves.n[:, 0].sum()))
    return heading(
        "Quality over the log",
        f"Every event tested is answered before it is learned. Each point is the mean of up to {span}; "
        "the band is the 95% interval of the blend.",
    )


def _alarm_rows(reading: Reading) -> list[tuple[float, str, str]]:
    colours = {"improvement": style.GREEN, "refit": style.AMBER, "sample": style.AMBER}
    return [(each.offset, colours.get(each.kind, style.RED), each.sentence) for each in reading.status.alarms]


def _change_rows(reading: Reading) -> list[tuple[float, str, str]]:
    return [
        (each.live_from, style.BLUE, f"Settings applied: {live_markup.changes_text(each.changes)}")
        for each in reading.changes
    ]


def _table_rows(reading: Reading) -> list[tuple[float, str, str]]:
    return [
        (each.live_from, style.PURPLE, live_markup.table_text(each)) for each in reading.status.table_changes
    ]
