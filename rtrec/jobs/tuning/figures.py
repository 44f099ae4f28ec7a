"""The pictures of a search, as Bokeh figures that read well on a light and on a dark page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool, Legend, LegendItem, Span
from bokeh.plotting import figure

from rtrec.jobs.report_figures import INK, empty_figure
from rtrec.jobs.tuning.result import Tuning
from rtrec.jobs.tuning.space import Dimension
from rtrec.jobs.tuning.trials import COMPLETE, PRUNED, Trial

_BLUE, _ORANGE = "#0072b2", "#d55e00"  # Okabe and Ito (2008)
_SPREAD = 0.12


def trials_figure(tuning: Tuning) -> figure:
    """Return every trial's gain on the settings there were, in the order of trials, and the best so far."""
    plot = _gains(tuning, "trial", tuning.trials, [float(each.number) for each in tuning.trials])
    complete = [each for each in tuning.trials if each.state == COMPLETE]
    if complete:
        best = np.maximum.accumulate([each.gain(tuning.trials[0]) for each in complete])
        numbers = [*(each.number for each in complete), len(tuning.trials) - 1]
        line = plot.step(numbers, [*best, best[-1]], mode="after", color=_BLUE, line_width=2)
        plot.legend[0].items.append(LegendItem(label="best so far", renderers=[line]))
    return plot


def slice_figure(tuning: Tuning, dimension: Dimension) -> figure:
    """Return every trial's gain by its value of one setting."""
    values = [each.values[dimension.name] for each in tuning.trials]
    if dimension.type is bool:
        # Side by side, a little apart: the number of the trial says how far, so that a page repeats.
        apart = [_SPREAD * ((each.number % 5) / 2.0 - 1.0) for each in tuning.trials]
        across = [float(value) + shift for value, shift in zip(values, apart, strict=True)]
    else:
        across = [float(value) for value in values]
    plot = _gains(tuning, dimension.name, tuning.trials, across, log=dimension.log, height=230)
    if dimension.type is bool:
        plot.xaxis.ticker = [0, 1]
        plot.xaxis.major_label_overrides = {0: "off", 1: "on"}
    plot.add_layout(
        Span(
            location=float(getattr(tuning.best, dimension.name)),
            dimension="height",
            line_color=_BLUE,
            line_dash="dashed",
        )
    )
    return plot


def importance_figure(tuning: Tuning) -> figure:
    """Return bars of how much of the variance between trials each setting explains."""
    names = list(tuning.importances)[::-1]
    plot = empty_figure("", y_range=names)
    plot.height = 60 + 32 * len(names)
    plot.x_range.start = 0
    plot.xaxis.axis_label = "share of the variance between trials"
    plot.ygrid.grid_line_color = None
    shares = [tuning.importances[name] for name in names]
    source = ColumnDataSource({"name": names, "share": shares})
    bars = plot.hbar("name", right="share", height=0.6, source=source, color=_BLUE, alpha=0.75)
    plot.add_tools(HoverTool(renderers=[bars], tooltips=[("@name", "@share{0.0%}")]))
    return plot


def _gains(
    tuning: Tuning,
    label: str,
    trials: Sequence[Trial],
    across: Sequence[float],
    *,
    log: bool = False,
    height: int = 300,
) -> figure:
    plot = empty_figure(f"gain in {tuning.label}", x_axis_type="log" if log else "linear")
    plot.height = height
    plot.xaxis.axis_label = label
    plot.add_layout(Span(location=0, dimension="width", line_color=INK, line_width=1))
    tips = [("trial", "@number"), (tuning.label, "@value{0.0000}"), ("gain", "@gain{+0.0000}")]
    tips += [("state", "@state"), *((each.name, f"@{each.name}") for each in tuning.space)]
    items = []
    for state, marker, colour, filled in (
        (COMPLETE, "circle", _BLUE, 0.75),
        (PRUNED, "x", _ORANGE, 0.0),
    ):
        chosen = [
            place
            for place, each in enumerate(trials)
            if each.state == state and np.isfinite(_gain(tuning, each))
        ]
        if not chosen:
            continue
        columns: dict[str, list[object]] = {
            "across": [across[place] for place in chosen],
            "gain": [_gain(tuning, trials[place]) for place in chosen],
            "number": [trials[place].number for place in chosen],
            "value": [trials[place].value for place in chosen],
            "state": [trials[place].state for place in chosen],
        }
        columns |= {
            each.name: [f"{trials[place].values[each.name]}" for place in chosen] for each in tuning.space
        }
        marks = plot.scatter(
            "across",
            "gain",
            source=ColumnDataSource(columns),
            marker=marker,
            size=9,
            line_color=colour,
            line_width=1.5,
            fill_color=colour,
            fill_alpha=filled,
        )
        plot.add_tools(HoverTool(renderers=[marks], tooltips=tips))
        items.append(LegendItem(label=state, renderers=[marks]))
    look = {"background_fill_alpha": 0, "border_line_color": None, "label_text_color": INK}
    plot.add_layout(Legend(items=items, orientation="horizontal", click_policy="hide", **look), "above")
    return plot


def _gain(tuning: Tuning, trial: Trial) -> float:
    return trial.gain(tuning.trials[0])
