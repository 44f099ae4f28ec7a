"""The bar on top of every page: is it live, how fast, how far behind, how old."""

from __future__ import annotations

from collections.abc import Sequence

import panel_material_ui as pmui

from rtrec.dashboard import words
from rtrec.dashboard.markup import Html, tag
from rtrec.dashboard.state import STALE_AFTER_S, Level, Reading
from rtrec.dashboard.views.pieces import MarkupPane
from rtrec.engine.status import Phase, Status

_PHASES = {
    Phase.STARTING: "Starting",
    Phase.RECOVERING: "Recovering",
    Phase.RUNNING: "Live",
    Phase.PAUSED: "Paused",
    Phase.FINISHED: "Finished",
    Phase.STOPPED: "Stopped",
    Phase.FAILED: "Failed",
}

_MENU_SX = {
    "minHeight": "64px",
    "& .MuiTab-root": {"minHeight": "64px", "fontSize": "14px"},
    "@media (max-width: 700px)": {
        "& .MuiTab-root": {"minWidth": 0, "padding": "12px 6px", "fontSize": "13px"}
    },
}
_ONLY_NARROW = "@media (min-width: 1001px) { :host { display: none !important; } }"


class Header:
    """The name, the menu of pages and the state of the run.

    Parameters
    ----------
    pages
        Names of the pages, in the order of the menu.
    reading
        What is shown first.
    """

    def __init__(self, pages: Sequence[str], reading: Reading) -> None:
        self.menu = pmui.TabMenu(items=list(pages), active=0, margin=0, sx=_MENU_SX)
        self._facts = MarkupPane(header_markup(reading), align="center")
        self.strip = MarkupPane(strip_markup(reading), stylesheets=[_ONLY_NARROW])
        self.objects = [
            MarkupPane(
                tag("div", "rt", tag("span", "rec"), css="brand"),
                sizing_mode=None,
                margin=(0, 28, 0, 0),
                align="center",
            ),
            self.menu,
            self._facts,
        ]

    def refresh(self, reading: Reading) -> None:
        """Show ``reading``."""
        self._facts.show(header_markup(reading))
        self.strip.show(strip_markup(reading))


def header_markup(reading: Reading) -> Html:
    """Return the header of one reading."""
    state = tag("span", state_text(reading), css=f"state {reading.level}", role="status")
    return tag("div", *_facts(reading), state, css="facts")


def strip_markup(reading: Reading) -> Html:
    """Return the facts once more: the bar of a narrow window has room for the state alone."""
    return tag("div", *_facts(reading), css="strip")


def _facts(reading: Reading) -> list[Html]:
    status = reading.status
    begun = reading.has_begun
    facts = [
        ("Events/s", words.count(status.rate_per_s) if begun else words.MISSING, ""),
        ("Lag", words.events(status.lag) if begun else words.MISSING, ""),
        ("Freshness p95", words.milliseconds(status.freshness_p95_ms), ""),
        ("Data age", words.duration(reading.data_age_s), reading.data_level.value),
        ("Last snapshot", _snapshot(status), ""),
        ("Lists", f"k = {status.k}", ""),
    ]
    if status.tables or status.fitting:
        facts.insert(-1, ("Fitted", tables_text(status), ""))
    return [_fact(*fact) for fact in facts]


def tables_text(status: Status) -> str:
    """Return which models' tables are live and on how many events they were fitted, and what is at work."""
    said = [f"{each.model} at {words.count(each.n_events)}" for each in status.tables]
    if status.fitting:
        said.append("fitting\N{HORIZONTAL ELLIPSIS}")
    return ", ".join(said)


def state_text(reading: Reading) -> str:
    """Return the state in a word or three: the phase, unless a running engine has gone quiet."""
    if reading.problem:
        return "Not readable"
    if reading.status.phase is Phase.RUNNING and reading.silent_s > STALE_AFTER_S:
        return f"No word for {words.duration(reading.silent_s)}"
    if reading.level is Level.QUIET:
        return f"Quiet for {words.duration(reading.age_s)}"
    if reading.level is Level.STALE:
        return f"Stale for {words.duration(reading.age_s)}"
    if reading.level is Level.STUCK and reading.status.phase is Phase.RUNNING:
        return f"Stuck for {words.duration(reading.age_s)}"
    return _PHASES[reading.status.phase]


def _fact(label: str, value: str, css: str) -> Html:
    return tag(
        "div",
        tag("div", label, css="fact-label"),
        tag("div", value, css="fact-value", title=value),
        css=f"fact {css}",
    )


def _snapshot(status: Status) -> str:
    return f"at {words.count(status.snapshot_events)}" if status.snapshot else words.MISSING
