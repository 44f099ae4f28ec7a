"""The report of the job ``evaluate``: one HTML file with tables, curves and everything needed to check it.

Names, ids and payloads come from outside: :func:`rtrec.evaluation.markup.table` escapes what is no markup.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from html import escape
from importlib.metadata import version

import numpy as np
import pyarrow.compute as pc
from bokeh.embed import components

import rtrec
from rtrec.evaluation.by_cohort import figures_of
from rtrec.evaluation.markup import difference_cell, interval_cell, table
from rtrec.evaluation.result import Evaluation
from rtrec.jobs.findings import Findings
from rtrec.jobs.report_figures import SMOOTH, cohort_figure, curve_figure
from rtrec.jobs.report_page import inline_scripts, page
from rtrec.models.registry import MODELS
from rtrec.settings import as_text, declarations
from rtrec.types import Columns, Floats

_PACKAGES = ("numpy", "numba", "pyarrow", "dask", "distributed", "dask-ml", "bokeh")
_PAYLOAD_LENGTH = 200
_DASH = "\u2013"


def render(findings: Findings) -> str:
    """Return the report as one HTML page that loads nothing from anywhere."""
    evaluation = findings.evaluation
    k = evaluation.results[0].k
    values, low, high = _by_cohort(findings)
    names = [each.name for each in findings.cohorts.cohorts]
    models = [each.model for each in evaluation.results]
    script, pictures = components(
        {
            "hr": curve_figure(evaluation, "hr"),
            "ndcg": curve_figure(evaluation, "ndcg"),
            "cohorts": cohort_figure(names, models, values, low, high, f"hr@{k}"),
        }
    )
    sections = [
        ("models", "Models", _models(evaluation)),
        ("curves", "Over time", _curves(evaluation, pictures)),
        ("cohorts", "Users", _cohorts(findings, models, values, low, high) + pictures["cohorts"]),
        ("data", "Data", _data(findings)),
        ("dead-letters", "Dead letters", _dead_letters(findings)),
        ("settings", "Settings", _settings(findings)),
        ("again", "How this was made", _made(findings)),
    ]
    return page(
        title=f"Evaluation of {findings.contents.name}",
        subtitle=f"The log so far, read {findings.time:%Y-%m-%d %H:%M:%S} UTC",
        headline=headline(evaluation),
        sections=sections,
        scripts=inline_scripts(),
        after=script,
    )


def headline(evaluation: Evaluation) -> str:
    """Return what was found in two sentences: of the best model, and how far it is above the baseline."""
    best = max(evaluation.results, key=lambda each: each.hit_rate)
    low, high = best.interval("hit_rate")
    text = (
        f"On {best.events:,} events, each answered before it was learned, the best model ({best.model}) had "
        f"the right item in its list of {best.k} in {best.hit_rate:.1%} of cases (95% interval {low:.1%} to "
        f"{high:.1%})."
    )
    baseline, gap = evaluation.baseline, evaluation.gap(best)
    if baseline is None or gap is None:
        return text
    if not gap.is_clear:
        return f"{text} That is not clearly more than {baseline.model} alone ({baseline.hit_rate:.1%})."
    if not baseline.hit_rate:
        return f"{text} {baseline.model.capitalize()} alone had none right."
    return f"{text} That is {_lift(best.hit_rate, baseline.hit_rate)} what {baseline.model} alone reached."


def _models(evaluation: Evaluation) -> str:
    results = evaluation.results
    k = results[0].k
    baseline = evaluation.baseline
    name = "popularity" if baseline is None else baseline.model
    tops = {metric: max(each.interval(metric)[1] for each in results) for metric in ("hit_rate", "ndcg")}
    head = ["model", f"hr@{k}", "", f"ndcg@{k}", "", f"hr@{k} minus {name}", f"coverage@{k}"]
    rows = []
    for each in results:
        row: list[str] = [each.model]
        for metric, value, base in (
            ("hit_rate", each.hit_rate, baseline.hit_rate if baseline else None),
            ("ndcg", each.ndcg, baseline.ndcg if baseline else None),
        ):
            row += [interval_cell(value, *each.interval(metric), tops[metric]), _lift(value, base)]
        gap = evaluation.gap(each)
        row.append(_DASH if gap is None else difference_cell(gap))
        rows.append([*row, f"{each.coverage:.1%}"])
    notes = [f"{each.model}: {MODELS[each.model].sentence}." for each in results if each.model in MODELS]
    notes += [
        "Every event was answered with the state before it, out of all items known so far, and then learned.",
        f"\u00d7: as a multiple of {name}. Brackets: 95% intervals; differences are paired by event.",
        "Coverage: the share of all known items that was recommended to anybody.",
    ]
    return table(f"{results[0].events:,} events tested", head, rows, notes)


def _curves(evaluation: Evaluation, pictures: dict[str, str]) -> str:
    points = min(SMOOTH * evaluation.results[0].windows.window, evaluation.results[0].events)
    first = escape(evaluation.results[0].model)
    return (
        f"{pictures['hr']}{pictures['ndcg']}<p>Each point is the mean of the last {points:,} events tested, "
        f"the band is the 95% interval of {first}. A click on a name in the legend hides its curve.</p>"
    )


def _by_cohort(findings: Findings) -> tuple[Floats, Floats, Floats]:
    """Return the hit rate of each cohort and model and the ends of its interval, each ``(cohort, model)``."""
    found = figures_of(findings.evaluation.results, findings.tested_cohort, findings.cohorts.names)
    hit_rate = found.isel(metric=0)
    return hit_rate["value"].to_numpy(), hit_rate["low"].to_numpy(), hit_rate["high"].to_numpy()


def _cohorts(findings: Findings, models: Sequence[str], values: Floats, low: Floats, high: Floats) -> str:
    n_tested = np.bincount(findings.tested_cohort, minlength=len(values))
    k, top = findings.evaluation.results[0].k, float(np.nanmax(high))
    rows = [
        [
            each.name,
            f"{each.n_users:,}",
            f"{n_tested[place] / n_tested.sum():.1%}",
            *(
                interval_cell(values[place, model], low[place, model], high[place, model], top)
                for model in range(len(models))
            ),
        ]
        for place, each in enumerate(findings.cohorts.cohorts)
    ]
    head = ["users", "number", "of events tested", *(f"hr@{k} of {model}" for model in models)]
    notes = [f"{each.name}: {each.sentence}." for each in findings.cohorts.cohorts]
    notes += [
        "Groups by k-means over a user's events, days with an event, different items and share of events on "
        "items had before, in the whole log; hit rates are of the events that were tested.",
    ]
    return table("Hit rate by how users use the catalogue", head, rows, notes)


def _data(findings: Findings) -> str:
    contents, about = findings.contents, findings.evaluation.data
    times = pc.min_max(contents.events[Columns.TIMESTAMP]).as_py()
    kinds = pc.value_counts(contents.events[Columns.KIND]).to_pylist()
    top = pc.value_counts(contents.events[Columns.ITEM_ID]).to_pylist()
    top.sort(key=lambda each: (-each["counts"], each["values"]))
    share = sum(each["counts"] for each in top[: max(1, len(top) // 100)]) / about["events"]
    rows = [
        ["events", f"{about['events']:,}, of which the first {about['warm-up']:,} were only learned"],
        ["users", f"{about['users']:,}"],
        ["items", f"{about['items']:,}; the busiest 1% have {share:.0%} of the events"],
        ["time of the events", f"{times['min']:%Y-%m-%d %H:%M} to {times['max']:%Y-%m-%d %H:%M} UTC"],
        ["kinds", ", ".join(f"{each['values']} {each['counts']:,}" for each in kinds)],
        ["partitions of the log", ", ".join(f"{end:,}" for end in contents.ends) + " events"],
        ["controls in the log", f"{contents.n_controls:,}"],
        ["rows of the source", ", ".join(f"{name} {n:,}" for name, n in contents.counts.items()) or _DASH],
    ]
    return table(contents.name, ["", ""], rows)


def _dead_letters(findings: Findings) -> str:
    contents = findings.contents
    if not contents.dead_letter_counts:
        return "<p>None: every row of the source became an event or was left out by a rule.</p>"
    reasons = sorted(contents.dead_letter_counts.items(), key=lambda each: (-each[1], each[0]))
    n_rows = sum(contents.dead_letter_counts.values())
    counts = table(
        "1 row could not become an event" if n_rows == 1 else f"{n_rows:,} rows could not become events",
        ["reason", "rows"],
        [[reason, f"{n:,}"] for reason, n in reasons],
    )
    last = table(
        f"The last {len(contents.dead_letters):,}",
        ["source", "row", "reason", "column", "content"],
        [
            [each.source, f"{each.row:,}", each.reason, each.column, _cut(each.payload)]
            for each in contents.dead_letters
        ],
        ["All of them: rtrec log dead-letters"],
    )
    return counts + last


def _settings(findings: Findings) -> str:
    settings = findings.evaluation.settings
    rows = []
    for each in declarations():
        value = getattr(settings, each.name)
        changed = "" if value == each.default else f"default {as_text(each.default) or 'none'}"
        rows.append([each.name, f"{as_text(value) or 'none'} {each.unit}".strip(), changed, each.sentence])
    caption = "Live at the end of the log, and used for all of it here"
    return table(caption, ["setting", "value", "", "what it does"], rows)


def _made(findings: Findings) -> str:
    versions = [f"rtrec {rtrec.__version__}", f"Python {platform.python_version()}"]
    versions += [f"{name} {version(name)}" for name in _PACKAGES]
    seconds = ", ".join(f"{each.model} {each.seconds:,.1f} s" for each in findings.evaluation.results)
    return (
        f"<p><code>{escape(findings.command)}</code></p>"
        f"<p>{escape(', '.join(versions))}; {escape(platform.platform())}</p>"
        f"<p>Testing and learning took {escape(seconds)}, side by side: "
        "good to plan with, not to compare by.</p>"
    )


def _lift(value: float, base: float | None) -> str:
    return f"{value / base:.2f} \u00d7" if base else _DASH


def _cut(payload: str) -> str:
    return payload if len(payload) <= _PAYLOAD_LENGTH else payload[: _PAYLOAD_LENGTH - 1] + "\u2026"
