"""The pictures of a report, as Bokeh figures that read well on a light and on a dark page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from bokeh.models import ColumnDataSource, FactorRange, HoverTool, Legend, LegendItem, NumeralTickFormatter
from bokeh.plotting import figure
from bokeh.transform import dodge

from rtrec.evaluation.metrics import interval
from rtrec.evaluation.result import Evaluation
from rtrec.types import Floats

#: Okabe and Ito's palette (2008), told apart with any colour vision; dashes tell the lines apart in grey.
#: The dashboard draws models the same way, and a test holds both to it: neither may import the other.
COLOURS = {
    "default": "#0072b2",
    "popularity": "#6b7480",
    "cooccurrence": "#009e73",
    "transitions": "#d55e00",
    "trails": "#cc79a7",
}
SPARE = ("#e69f00", "#56b4e9", "#a05195")
DASHES = {"popularity": "dashed", "cooccurrence": "dotdash", "transitions": "dotted", "trails": "dashdot"}
#: Grey enough to be read on white and on near-black.
INK = "#7d8894"
#: A point of a curve is taken over so many windows.
SMOOTH = 5


def curve_figure(evaluation: Evaluation, metric: str) -> figure:
    """Return ``hr`` or ``ndcg`` of all models over the events tested, with the first one's interval."""
    models = [each.model for each in evaluation.results]
    cubes = [each.windows.to_xarray(SMOOTH) for each in evaluation.results]
    columns = {f"of_{place}": cube[metric].values[:, 0] for place, cube in enumerate(cubes)}
    n_tested = np.minimum(
        np.arange(1, len(cubes[0]["window"]) + 1) * evaluation.results[0].windows.window,
        evaluation.results[0].events,
    )
    columns |= {"tested": n_tested, "time": cubes[0]["time"].values}
    if metric == "hr":
        counted = cubes[0]["n"].values[:, 0]
        hits = np.rint(columns["of_0"] * counted).astype(np.int64)
        columns["low"], columns["high"] = interval(np.column_stack([counted - hits, hits]), "hit_rate")
    source = ColumnDataSource(columns)
    plot = empty_figure(f"{metric}@{evaluation.results[0].k}")
    plot.xaxis.axis_label = "events tested"
    plot.xaxis.formatter = NumeralTickFormatter(format="0.[0]a")
    plot.y_range.start = 0
    if metric == "hr":
        plot.varea("tested", "low", "high", source=source, color=_colour(models[0], 0), alpha=0.15)
    lines = [
        plot.line(
            "tested",
            f"of_{place}",
            source=source,
            color=_colour(model, place),
            line_dash=DASHES.get(model, "solid"),
            line_width=2.6 if place == 0 else 1.8,
        )
        for place, model in enumerate(models)
    ]
    tips = [("events tested", "@tested{0,0}"), ("event time", "@time{%F %H:%M}")]
    tips += [(model, f"@of_{place}{{0.0000}}") for place, model in enumerate(models)]
    hover = HoverTool(renderers=lines[:1], mode="vline", tooltips=tips, formatters={"@time": "datetime"})
    plot.add_tools(hover)
    _add_legend(plot, models, lines)
    return plot


def cohort_figure(
    cohorts: Sequence[str], models: Sequence[str], values: Floats, low: Floats, high: Floats, metric: str
) -> figure:
    """Return bars of a metric with its interval; ``values``, ``low``, ``high``: ``(cohort, model)``."""
    plot = empty_figure(metric, x_range=FactorRange(*cohorts))
    plot.y_range.start = 0
    plot.xgrid.grid_line_color = None
    step = 0.8 / len(models)
    bars, whiskers = [], []
    for place, model in enumerate(models):
        source = ColumnDataSource(
            {"cohort": list(cohorts), "value": values[:, place], "low": low[:, place], "high": high[:, place]}
        )
        where = dodge("cohort", (place - (len(models) - 1) / 2) * step, range=plot.x_range)
        colour = _colour(model, place)
        bars.append(plot.vbar(where, top="value", width=step * 0.85, source=source, color=colour, alpha=0.75))
        whiskers.append(plot.segment(where, "low", where, "high", source=source, color=INK, line_width=1.5))
        tips = [("cohort", "@cohort"), (model, "@value{0.0000} (@low{0.0000} to @high{0.0000})")]
        plot.add_tools(HoverTool(renderers=[bars[-1]], tooltips=tips))
    _add_legend(plot, models, bars, whiskers)
    return plot


def empty_figure(title: str, **options: object) -> figure:
    """Return a figure without anything in it, in the look of all pages; ``title`` stands at its y axis."""
    plot = figure(
        height=300,
        sizing_mode="stretch_width",
        tools="xpan,box_zoom,reset,save",
        active_drag=None,
        background_fill_alpha=0,
        border_fill_alpha=0,
        y_axis_label=title,
        **options,
    )
    plot.toolbar.logo = None
    plot.toolbar.autohide = True
    plot.outline_line_color = None
    for axis in (*plot.xaxis, *plot.yaxis):
        axis.axis_label_text_color = axis.major_label_text_color = INK
        axis.axis_line_color = axis.major_tick_line_color = INK
        axis.minor_tick_line_color = None
    plot.grid.grid_line_color = INK
    plot.grid.grid_line_alpha = 0.25
    return plot


def _add_legend(plot: figure, models: Sequence[str], *glyphs: Sequence[object]) -> None:
    items = [
        LegendItem(label=model, renderers=list(drawn)) for model, *drawn in zip(models, *glyphs, strict=True)
    ]
    look = {"background_fill_alpha": 0, "border_line_color": None, "label_text_color": INK}
    plot.add_layout(Legend(items=items, orientation="horizontal", click_policy="hide", **look), "above")


def _colour(model: str, place: int) -> str:
    return COLOURS.get(model, SPARE[place % len(SPARE)])
