"""A preview's answer, in words and as a picture: the changed settings against the live ones."""

from __future__ import annotations

from typing import Any, NamedTuple

import panel as pn
from bokeh.models import ColumnDataSource, DataRange1d, Legend, LegendItem, NoOverlap, NumeralTickFormatter
from bokeh.plotting import figure

from rtrec.dashboard import style, words
from rtrec.dashboard.curves import Curves
from rtrec.dashboard.markup import Html, difference_bar, join, message, tag
from rtrec.dashboard.plots import COUNT_FORMAT, LETTERS
from rtrec.dashboard.views.pieces import MarkupPane
from rtrec.engine.status import AppliedChange
from rtrec.evaluation.comparison import Comparison
from rtrec.evaluation.metrics import Difference

_METRICS = {"hit_rate": "Hit rate", "ndcg": "NDCG"}
_SMOOTH = 10


class Sides(NamedTuple):
    """What the two sides of a comparison are called."""

    changed: str
    live: str


TRIED = Sides("with your changes", "with the live settings")
APPLIED = Sides("with the change", "with the settings before it")


def report(comparison: Comparison, applied: AppliedChange | None = None) -> list[Any]:
    """Return all that is shown of a replay, of a change that was ``applied`` as of one that may be."""
    sides = TRIED if applied is None else APPLIED
    panes = [
        MarkupPane(verdict(comparison, sides)),
        MarkupPane(differences(comparison, sides)),
        picture(comparison, sides),
        MarkupPane(averaging(comparison)),
    ]
    return panes if applied is None else [MarkupPane(applied_note(applied)), *panes]


def applied_note(change: AppliedChange) -> Html:
    """Return that what was tried is live now, and since when."""
    since = f"Applied: live from event {words.count(change.live_from)}"
    return message(
        "info", since, "This is the replay it was tried with. It stands until settings change again."
    )


def verdict(comparison: Comparison, sides: Sides = TRIED) -> Html:
    """Return what the replay says about the hit rate, as one message."""
    gap = comparison.difference("hit_rate")
    changed, live = comparison.totals.hit_rate()
    figures = (
        f"Hit rate @{comparison.k} is {words.score(float(changed), 4)} {sides.changed} and "
        f"{words.score(float(live), 4)} {sides.live}, "
        f"on the same {words.count(comparison.n_tested)} events."
    )
    if not gap.is_clear:
        return message("info", "No difference that these events can show", figures)
    if gap.value > 0:
        return message("good", f"Better by {words.score(gap.value, 4)}", figures)
    return message("warn", f"Worse by {words.score(abs(gap.value), 4)}", figures)


def differences(comparison: Comparison, sides: Sides = TRIED) -> Html:
    """Return the paired difference of each metric, the largest first, with its interval around zero."""
    found = {metric: comparison.difference(metric) for metric in _METRICS}
    gaps = dict(sorted(found.items(), key=lambda each: -abs(each[1].value)))
    reach = 1.15 * max(max(abs(gap.low), abs(gap.high)) for gap in gaps.values()) or 1.0
    rows = [
        _difference_row(f"{_METRICS[metric]} @{comparison.k}", gap, reach) for metric, gap in gaps.items()
    ]
    note = (
        f"Events answered {sides.changed} minus those {sides.live}, the largest difference first, paired by "
        "event, with 95% intervals. The dashed line is no difference."
    )
    return join(*rows, tag("div", note, css="subtitle", style="margin-top:6px"))


def picture(comparison: Comparison, sides: Sides = TRIED) -> pn.pane.Bokeh:
    """Return both hit rate curves over the replayed events."""
    curves = Curves.from_dataset(comparison.to_xarray()).smoothed(_SMOOTH)
    source = ColumnDataSource({"offset": curves.offset, "changed": curves.hr[:, 0], "live": curves.hr[:, 1]})
    plot = figure(
        height=210,
        sizing_mode="stretch_width",
        tools="",
        toolbar_location=None,
        x_axis_label="Events in the log",
        y_axis_label=f"Hit rate @{comparison.k}",
        y_range=DataRange1d(start=0, range_padding=0.08),
    )
    plot.xaxis.formatter = NumeralTickFormatter(format=COUNT_FORMAT)
    plot.xaxis.ticker.desired_num_ticks = 4
    plot.xaxis.major_label_policy = NoOverlap(min_distance=10)
    plot.yaxis.formatter = NumeralTickFormatter(format="0.00")
    plot.yaxis.ticker.desired_num_ticks = 4
    plot.xgrid.grid_line_color = None
    plot.outline_line_color = None
    live = plot.line(
        x="offset",
        y="live",
        source=source,
        line_color=style.MODEL_COLOURS["popularity"],
        line_width=2,
        line_dash="dashed",
    )
    changed = plot.line(x="offset", y="changed", source=source, line_color=style.BLUE, line_width=2.4)
    items = [
        LegendItem(label=words.sentence(sides.changed), renderers=[changed]),
        LegendItem(label=words.sentence(sides.live), renderers=[live]),
    ]
    plot.add_layout(
        Legend(items=items, orientation="horizontal", padding=0, margin=2, styles=LETTERS), "above"
    )
    return pn.pane.Bokeh(plot)


def averaging(comparison: Comparison) -> Html:
    """Return what a point of :func:`picture` is."""
    span = words.events(min(_SMOOTH * comparison.history.window, comparison.n_tested))
    return tag("div", f"Each point is the mean of up to {span} before it.", css="subtitle")


def _difference_row(name: str, gap: Difference, reach: float) -> Html:
    colour = style.MODEL_COLOURS["popularity"]
    if gap.is_clear:
        colour = style.GREEN if gap.value > 0 else style.AMBER
    interval = f"{words.score(gap.low, 4, signed=True)} to {words.score(gap.high, 4, signed=True)}"
    return tag(
        "div",
        tag(
            "div",
            tag("span", name, css="grow"),
            tag("span", words.score(gap.value, 4, signed=True), css="number strong"),
            tag("span", interval, css="range"),
            css="line",
        ),
        difference_bar(gap.low, gap.value, gap.high, reach=reach, colour=colour),
        style="margin-top:10px",
    )
