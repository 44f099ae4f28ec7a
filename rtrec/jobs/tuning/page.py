"""What is kept of a search: its best settings, its trials, and one HTML file to look at."""

from __future__ import annotations

from html import escape
from pathlib import Path

from bokeh.embed import components

import rtrec
from rtrec.evaluation.markup import table
from rtrec.files import publish_text
from rtrec.jobs.report_page import inline_scripts, page
from rtrec.jobs.tuning.figures import importance_figure, slice_figure, trials_figure
from rtrec.jobs.tuning.result import Tuning, trials_json, trials_table
from rtrec.jobs.tuning.trials import COMPLETE, FAILED, PRUNED
from rtrec.settings import as_text, declarations

_GRID = "display:grid;grid-template-columns:repeat(auto-fit,minmax(20rem,1fr));gap:0.5rem 1rem"


def save(tuning: Tuning, folder: Path) -> None:
    """Write ``best.yaml``, ``trials.json`` and ``tuning.html`` into a folder."""
    publish_text(folder / "best.yaml", tuning.best_yaml())
    publish_text(folder / "trials.json", trials_json(tuning.trials, tuning.data) + "\n")
    publish_text(folder / "tuning.html", render(tuning))


def render(tuning: Tuning) -> str:
    """Return the search as one HTML page that loads nothing from anywhere."""
    figures = {"trials": trials_figure(tuning)}
    figures |= {f"by_{each.name}": slice_figure(tuning, each) for each in tuning.space}
    if tuning.importances:
        figures["importances"] = importance_figure(tuning)
    script, pictures = components(figures)
    slices = "".join(f"<div>{pictures[f'by_{each.name}']}</div>" for each in tuning.space)
    sections = [("trials", "Trials", pictures["trials"] + _counts(tuning))]
    if tuning.comparison is not None:
        sections.append(("held-out", "Events held out", tuning.comparison._repr_html_()))
    sections.append(("best", "Best settings", _best(tuning) + trials_table(tuning)))
    sections.append(("settings", "By setting", f'<div style="{_GRID}">{slices}</div>{_legend()}'))
    if tuning.importances:
        sections.append(("importances", "What mattered", pictures["importances"] + _explained()))
    sections.append(("again", "How this was made", _made(tuning)))
    return page(
        title=f"Tuning on {tuning.data['data']}",
        subtitle=f"{len(tuning.trials):,} trials for the highest {tuning.label}"
        + (", interrupted" if tuning.interrupted else ""),
        headline=tuning.sentence(),
        sections=sections,
        scripts=inline_scripts(),
        after=script,
    )


def _counts(tuning: Tuning) -> str:
    n_of = {state: sum(each.state == state for each in tuning.trials) for state in (COMPLETE, PRUNED, FAILED)}
    replayed = sum(each.n_replayed for each in tuning.trials)
    whole = len(tuning.trials) * max((each.n_replayed for each in tuning.trials), default=0)
    saved = f"; without pruning it would have been {whole:,}" if n_of[PRUNED] else ""
    counted = ", ".join(f"{n:,} {state}" for state, n in n_of.items())
    return (
        f"<p>Each point is a trial: its {escape(tuning.label)} minus that of the settings there were, over "
        "the same events, so that trials which were stopped early can be held beside the others. A cross "
        "is a trial that was in the worse half at a rung, and was stopped there.</p>"
        f"<p>{counted}. {replayed:,} events were replayed{saved}.</p>"
    )


def _best(tuning: Tuning) -> str:
    declared = {each.name: each for each in declarations()}
    rows = [
        [
            each.name,
            f"{getattr(tuning.best, each.name)} {declared[each.name].unit}".strip(),
            f"{getattr(tuning.start, each.name)}",
            str(each),
            declared[each.name].sentence,
        ]
        for each in tuning.space
    ]
    return table("What was tuned", ["setting", "best", "as it was", "tried", "what it does"], rows)


def _legend() -> str:
    return "<p>The dashed line is the best value.</p>"


def _explained() -> str:
    return (
        "<p>How much of the variance between trials each setting explains by itself and with others "
        "(fANOVA), over the events of the lowest rung, which all trials replayed.</p>"
    )


def _made(tuning: Tuning) -> str:
    about = {name: each for name, each in tuning.data.items() if name not in ("space", "settings")}
    rows = [[name, f"{each:,}" if type(each) is int else str(each)] for name, each in about.items()]
    changed = type(tuning.start)().model_dump()
    other = {name: each for name, each in tuning.start.model_dump().items() if each != changed[name]}
    rows.append(
        [
            "settings that are no defaults",
            ", ".join(f"{name} {as_text(each)}" for name, each in other.items()) or "-",
        ]
    )
    rows.append(["rtrec", rtrec.__version__])
    return table("", ["", ""], rows)
