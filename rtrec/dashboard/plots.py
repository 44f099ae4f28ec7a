"""Live plots: Bokeh figures over column data sources, and how new rows get into them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import panel as pn
from bokeh.models import (
    BasicTicker,
    ColumnDataSource,
    DataRange1d,
    DatetimeTickFormatter,
    HoverTool,
    Legend,
    LegendItem,
    NoOverlap,
    NumeralTickFormatter,
)
from bokeh.plotting import figure

from rtrec.dashboard import style, words
from rtrec.dashboard.markup import tag
from rtrec.dashboard.state import PulseSample

Columns = Mapping[str, npt.NDArray[np.generic]]

#: The theme sizes letters in em, which would be of the browser's 16 pixels.
LETTERS = {"font-size": "13px"}

#: Whole counts in full: a narrow range of large offsets would read "1m 1m 1m" otherwise.
COUNT_FORMAT = "0,0"

_SHORTEST_PULSE_MS = 60_000


def push(source: ColumnDataSource, columns: Columns) -> None:
    """Bring ``source`` to ``columns`` with as little traffic as the difference allows.

    Rows that were only added are streamed, a changed last row is patched, anything else is sent whole.
    """
    with pn.io.unlocked():  # or rows could reach the browser before the plot that they belong to
        _bring(source, columns)


def _bring(source: ColumnDataSource, columns: Columns) -> None:
    old = source.data
    if set(old) != set(columns):
        source.data = dict(columns)
        return
    n_old, n_new = len(next(iter(old.values()))), len(next(iter(columns.values())))
    same = _common_rows(old, columns, min(n_old, n_new))
    if n_old == 0 or n_new < n_old or same < n_old - 1:
        if n_old or n_new:
            source.data = dict(columns)
        return
    if same == n_old - 1:
        source.patch({name: [(same, values[same])] for name, values in columns.items()})
    if n_new > n_old:
        source.stream({name: values[n_old:] for name, values in columns.items()})


def curve_figure(
    source: ColumnDataSource,
    models: Sequence[str],
    metric: str,
    title: str,
    *,
    x_range: DataRange1d | None = None,
    marks: Sequence[tuple[ColumnDataSource, str]] = (),
    height: int = 292,
) -> figure:
    """Return one metric of all ``models`` over the log.

    ``marks`` are upright lines: columns of :func:`moments`, and how they are dashed.
    """
    plot = figure(
        height=height,
        sizing_mode="stretch_width",
        tools="xpan,xwheel_zoom,box_zoom,reset,save",
        toolbar_location="right",
        x_axis_label="Events in the log",
        y_axis_label=title,
        x_range=x_range or DataRange1d(range_padding=0.01),
        y_range=DataRange1d(start=0, range_padding=0.08),
        output_backend="canvas",
    )
    plot.outline_line_color = None
    plot.toolbar.autohide = True
    plot.toolbar.logo = None
    plot.toolbar.active_drag = None
    plot.xaxis.formatter = NumeralTickFormatter(format=COUNT_FORMAT)
    plot.xaxis.ticker.desired_num_ticks = 5
    plot.xaxis.major_label_policy = NoOverlap(min_distance=10)
    plot.yaxis.formatter = NumeralTickFormatter(format="0.00")
    plot.xgrid.grid_line_color = None
    plot.min_border_top = plot.min_border_right = 6
    if metric == "hr":
        colour = style.model_colour(models[0])
        plot.varea(x="offset", y1="low", y2="high", source=source, fill_color=colour, fill_alpha=0.13)
    for moments_of, dash in marks:
        _add_moments(plot, moments_of, dash)
    lines = {}
    for place, model in reversed(list(enumerate(models))):
        lines[model] = plot.line(
            x="offset",
            y=f"{metric}_{model}",
            source=source,
            line_color=style.model_colour(model, place),
            line_dash=style.MODEL_DASHES.get(model, "solid"),
            line_width=2.6 if place == 0 else 1.8,
            line_join="round",
        )
    items = [LegendItem(label=words.model_name(model), renderers=[lines[model]]) for model in models]
    legend = Legend(
        items=items,
        orientation="horizontal",
        ncols=2,  # four names side by side are too wide for a narrow window
        click_policy="hide",
        padding=0,
        margin=2,
        spacing=14,
        styles=LETTERS,
    )
    plot.add_layout(legend, "above")
    figures = [
        (words.model_name(model), f"@{metric}_{model}{{0.000}}", style.model_colour(model, place))
        for place, model in enumerate(models)
    ]
    plot.add_tools(
        HoverTool(
            renderers=[lines[models[0]]],
            mode="vline",
            tooltips=_tooltip(
                [("Events", "@offset{0,0}", ""), ("Recorded", "@time{%F %H:%M}", ""), *figures]
            ),
            formatters={"@time": "datetime"},
        )
    )
    return plot


def moments(rows: Sequence[tuple[float, str, str]]) -> dict[str, npt.NDArray[np.generic]]:
    """Return the columns of upright lines from (offset, colour, sentence) rows."""
    offsets, colours, sentences = zip(*rows, strict=True) if rows else ((), (), ())
    return {
        "offset": np.array(offsets, dtype=np.float64),
        "colour": np.array(colours, dtype=object),
        "sentence": np.array(sentences, dtype=object),
    }


def pulse_columns(samples: Sequence[PulseSample]) -> dict[str, npt.NDArray[np.generic]]:
    """Return the run's speed over wall time as columns of a source."""
    return {
        "time": np.array([each.time.replace(tzinfo=None) for each in samples], dtype="datetime64[ms]"),
        "rate": np.array([each.rate_per_s for each in samples], dtype=np.float64),
        "lag": np.array([each.lag for each in samples], dtype=np.float64),
        "p50": np.array([each.freshness_p50_ms for each in samples], dtype=np.float64),
        "p95": np.array([each.freshness_p95_ms for each in samples], dtype=np.float64),
    }


def pulse_figure(source: ColumnDataSource, names: Sequence[str], unit: str) -> figure:
    """Return a small plot of the last minutes in ``unit``; the second of two ``names`` is drawn lighter."""
    plot = figure(
        height=88,
        y_axis_label=unit,
        sizing_mode="stretch_width",
        tools="",
        toolbar_location=None,
        x_axis_type="datetime",
        # A few seconds would be told in thousandths, which nobody reads: there is room for a minute.
        x_range=DataRange1d(range_padding=0.02, min_interval=_SHORTEST_PULSE_MS),
        y_range=DataRange1d(start=0, range_padding=0.1, min_interval=2.0),
    )
    plot.xaxis.formatter = DatetimeTickFormatter(
        seconds="%H:%M:%S", minsec="%H:%M:%S", minutes="%H:%M", hourmin="%H:%M", hours="%H:%M"
    )
    plot.xaxis.ticker.desired_num_ticks = 3
    plot.xaxis.major_label_policy = NoOverlap(min_distance=10)
    plot.yaxis.ticker = BasicTicker(desired_num_ticks=2, min_interval=1.0)
    plot.yaxis.major_label_policy = NoOverlap(min_distance=4)
    plot.yaxis.formatter = NumeralTickFormatter(format=COUNT_FORMAT)
    plot.yaxis.axis_label_standoff = 2
    plot.xgrid.grid_line_color = None
    plot.outline_line_color = None
    plot.min_border_left = 56
    plot.min_border_top = plot.min_border_right = 4
    line = None
    for place, name in enumerate(names):
        line = plot.line(
            x="time",
            y=name,
            source=source,
            line_color=style.BLUE,
            line_width=1.8,
            line_alpha=1.0 if place == 0 else 0.45,
        )
    rows = [("At", "@time{%H:%M:%S}", ""), *((name, f"@{name}{{0,0.[0]}} {unit}", "") for name in names)]
    plot.add_tools(
        HoverTool(renderers=[line], mode="vline", tooltips=_tooltip(rows), formatters={"@time": "datetime"})
    )
    return plot


def _add_moments(plot: figure, source: ColumnDataSource, dash: str) -> None:
    spans = plot.vspan(x="offset", source=source, line_color="colour", line_width=1.6, line_dash=dash)
    tooltips = _tooltip([("At event", "@offset{0,0}", ""), ("", "@sentence", "")])
    plot.add_tools(HoverTool(renderers=[spans], tooltips=tooltips))


def _tooltip(rows: Sequence[tuple[str, str, str]]) -> str:
    """Return a small table of (label, field, colour); Bokeh escapes what it puts into the fields."""
    lines = [
        tag(
            "div",
            tag("span", label, style=f"color:{colour or '#5a6672'};font-weight:500") if label else None,
            tag("span", field, style="font-variant-numeric:tabular-nums;max-width:260px"),
            style="display:flex;justify-content:space-between;gap:14px",
        )
        for label, field, colour in rows
    ]
    return tag("div", *lines, style="font:12px/1.5 Roboto,sans-serif;color:#17212b;padding:2px 4px")


def _common_rows(old: Any, new: Columns, n_rows: int) -> int:
    """Return how many leading rows are equal in every column, NaN counting as equal to NaN."""
    same = n_rows
    for name, values in new.items():
        before, after = np.asarray(old[name])[:same], np.asarray(values)[:same]
        equal = before == after
        if after.dtype.kind == "f":
            equal |= np.isnan(before.astype(np.float64)) & np.isnan(after)
        unequal = np.flatnonzero(~equal)
        if len(unequal):
            same = int(unequal[0])
    return same
