"""The Live page's figures and lists as markup; each takes a reading and returns what its card says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rtrec.dashboard import style, words
from rtrec.dashboard.markup import Html, empty_state, interval_bar, join, message, tag
from rtrec.dashboard.state import Reading
from rtrec.dashboard.views.pieces import heading
from rtrec.engine.status import ModelScore, Notice, Phase, Status, TableChange
from rtrec.settings import declarations

#: Lists on the Live page show this many of the newest entries.
LIST_LENGTH = 6


def notice(reading: Reading) -> Html | None:
    """Return what the whole page has to say first: starting, recovering, failed, not readable."""
    status = reading.status
    if reading.problem:
        return message("bad", "The figures below are the last ones known", reading.problem)
    if status.phase is Phase.FAILED:
        advice = (
            "What was accepted is in the log: start the run again to resume." if reading.has_begun else ""
        )
        return message("bad", "The run has failed", *(each for each in (status.message, advice) if each))
    if status.phase in (Phase.STARTING, Phase.RECOVERING):
        title = "Starting" if status.phase is Phase.STARTING else "Recovering"
        said = message(
            "info", f"{title}: {words.duration(reading.phase_s)} so far", words.sentence(status.message)
        )
        return join(said, tag("div", tag("div"), css="progress", role="progressbar", aria_label=title))
    if status.phase is Phase.PAUSED:
        return message(
            "bad",
            "The source is paused: too many of its rows cannot be events",
            words.sentence(status.message),
            "All that was read is in the log, and nothing more is read. Dead letters can be tried again: "
            "rtrec log redrive.",
        )
    if status.phase is Phase.STOPPED:
        return message("info", "The run was stopped", status.message)
    if status.tested_share < 1.0 and status.stretches:
        return message(
            "warn",
            "The source is faster than learning: a share of the events is tested",
            f"{words.sentence(status.stretches[-1].words())}.",
            "All are tested again once the source is caught up with.",
        )
    return None


def quality(reading: Reading) -> Html:
    """Return the blend's hit rate with its lift over popularity."""
    scores = {each.model: each for each in reading.status.scores}
    own, base = scores.get("default"), scores.get("popularity")
    title = f"Hit rate @{reading.status.k}"
    if own is None:
        return join(
            _figure(title, words.MISSING, ""), _note("The first tested event brings the first figure.")
        )
    interval = f"95% interval {words.score(own.hit_rate_low)} to {words.score(own.hit_rate_high)}"
    compared = base and f"{words.lift(own.hit_rate, base.hit_rate)} {_popularity(reading.status)}"
    return join(
        _figure(title, words.score(own.hit_rate), compared or ""),
        _note(interval),
        _note(f"{words.count(reading.status.tested)} events tested, then learned"),
        _note(_known(reading.status)),
        _note(f"From {reading.status.source}") if reading.status.source else None,
    )


def speed(reading: Reading) -> Html:
    """Return events a second, and how many there were."""
    status = reading.status
    rate = words.count(status.rate_per_s) if reading.has_begun else words.MISSING
    return join(_figure("Speed", rate, "events/s"), _note(f"{words.count(status.events)} learned so far"))


def lag(reading: Reading) -> Html:
    """Return how many accepted events wait to be learned, and how far the source is ahead."""
    status = reading.status
    waiting = words.count(status.lag) if reading.has_begun else words.MISSING
    recorded = f"Event time {status.event_time:%d %b %Y, %H:%M} UTC" if status.event_time else "No event yet"
    ahead = status.source_lag.words()
    late = _note(lateness_text(status)) if status.most_late_s else None
    return join(
        _figure("Lag", waiting, "events"),
        _note(words.sentence(ahead)) if ahead else None,
        _note(f"{words.megabytes(status.waiting_bytes)} wait in the log") if status.waiting_bytes else None,
        _note(recorded),
        late,
    )


def lateness_text(status: Status) -> str:
    """Return how late events came, and how many of them came too late to be learned."""
    said = f"Up to {words.duration(status.most_late_s)} out of order"
    if status.watermark is None:
        return said
    return f"{said}, {words.count(status.late)} too late"


def freshness(reading: Reading) -> Html:
    """Return how long an accepted event takes to show in recommendations."""
    status = reading.status
    return join(
        _figure("Freshness", words.milliseconds(status.freshness_p50_ms), "median"),
        _note(f"95% within {words.milliseconds(status.freshness_p95_ms)}"),
    )


def model_table(reading: Reading) -> Html:
    """Return every racing model with intervals, best known range and lift over popularity."""
    status = reading.status
    title = heading("Models", "Over all tested events so far, full ranking, with 95% intervals")
    if not status.scores:
        return join(
            title, empty_state("No model has answered yet", "All four start with the first tested event.")
        )
    base = next((each for each in status.scores if each.model == "popularity"), None)
    top_hr = max(each.hit_rate_high for each in status.scores)
    top_ndcg = max(each.ndcg_high for each in status.scores)
    k = status.k
    names = ["Model", f"Hit rate @{k}", "", f"NDCG @{k}", "", "Coverage", "Lift"]
    head = tag(
        "tr",
        *(
            tag("th", name, css="right" if name in ("Coverage", "Lift") else "", scope="col")
            for name in names
        ),
    )
    rows = [
        _model_row(place, each, base, top_hr=top_hr, top_ndcg=top_ndcg)
        for place, each in enumerate(status.scores)
    ]
    note = tag(
        "div",
        f"Lift is hit rate as a multiple of that of {_popularity(status)}, where an event counts half after "
        "that time. Coverage is the share of items that were in some list.",
        css="subtitle",
        style="margin-top:6px",
    )
    table = tag("table", tag("thead", head), tag("tbody", *rows))
    return join(title, tag("div", table, css="scroll"), note)


def alarm_list(reading: Reading) -> Html:
    """Return alarms as sentences: the newest, which may still be acted on, then the largest changes."""
    alarms = sorted(reading.status.alarms, key=lambda each: -each.offset)
    alarms[1:] = sorted(alarms[1:], key=lambda each: -abs(each.size))
    title = heading(
        "Alarms",
        "Falls and rises of hits (ADWIN), failed fits, pauses and more. The newest, then the largest first",
    )
    if not alarms:
        calm = "Quality has not dropped so far." if reading.has_begun else "It begins with the first event."
        return join(title, empty_state("No alarm", calm))
    rows = [_alarm_row(each) for each in alarms[:LIST_LENGTH]]
    return join(title, tag("div", *rows), _more(len(alarms)))


def moments_legend() -> Html:
    """Return what the upright lines of the curves mean."""
    marks = (
        (style.RED, "solid", "Fall of the hit rate"),
        (style.GREEN, "solid", "Rise of the hit rate"),
        (style.AMBER, "solid", "Fit that failed, or a share tested"),
        (style.BLUE, "dashed", "Settings applied"),
        (style.PURPLE, "dotted", "Table published or withdrawn"),
    )
    return tag(
        "div",
        *(
            tag("span", tag("span", css="upright", style=f"border-left:2px {dash} {colour}"), name)
            for colour, dash, name in marks
        ),
        css="legend",
    )


def refused_list(reading: Reading) -> Html:
    """Return how many rows were refused or left out, by reason."""
    status = reading.status
    reasons = sorted(
        ((reason, n) for reason, n in status.counts.items() if reason != "accepted" and n),
        key=lambda each: (-each[1], each[0]),
    )
    accepted = status.counts.get("accepted", status.logged)
    subtitle = f"{words.count(status.dead_letters)} dead letters, {words.count(accepted)} rows accepted"
    title = heading("Rows not learned", subtitle)
    if not reasons:
        return join(
            title, empty_state("Nothing was refused", "Rows that cannot be events appear here by reason.")
        )
    largest = reasons[0][1]
    rows = [_reason_row(reason, n, largest) for reason, n in reasons[:LIST_LENGTH]]
    return join(title, tag("div", *rows), _more(len(reasons)))


def changes_text(changes: Mapping[str, Any]) -> str:
    """Return changed settings as one line of text."""
    return ", ".join(
        f"{words.setting_label(name)} {words.setting_value(value, unit_of(name))}"
        for name, value in changes.items()
    )


def table_text(change: TableChange) -> str:
    """Return what was published or withdrawn as one line of text.

    >>> from datetime import UTC, datetime
    >>> when = datetime(2024, 3, 1, tzinfo=UTC)
    >>> table_text(TableChange(0, when, "history", False, "ease", 3900, 4000))
    'Table published for history: ease, fitted on 3,900 events'
    >>> table_text(TableChange(1, when, "content", True, "", 0, 4000))
    'Table withdrawn from content'
    """
    verb = "withdrawn from" if change.withdrawn else "published for"
    fitted = f": {change.model}, fitted on {words.events(change.n_events)}" if change.model else ""
    return f"Table {verb} {change.slot}{fitted}"


def unit_of(name: str) -> str:
    """Return the unit of a setting; nothing for one that is not declared any more."""
    return next((each.unit for each in declarations() if each.name == name), "")


def _figure(title: str, value: str, unit: str) -> Html:
    return join(
        tag("div", title, css="subtitle"),
        tag(
            "div",
            tag("span", value, css="figure-value"),
            tag("span", unit, css="figure-unit") if unit else None,
            css="figure",
        ),
    )


def _popularity(status: Status) -> str:
    """Return which popularity races: one of all time may be the stronger."""
    return f"popularity of {words.duration(3600.0 * status.settings.half_life_long_h)}"


def _known(status: Status) -> str:
    known = f"{words.count(status.users)} users, {words.count(status.items)} items"
    return f"{known}, {words.count(status.forgotten)} forgotten" if status.forgotten else known


def _note(sentence: str) -> Html:
    return tag("div", sentence, css="figure-note", title=sentence)


def _model_row(
    place: int, score: ModelScore, base: ModelScore | None, *, top_hr: float, top_ndcg: float
) -> Html:
    colour = style.model_colour(score.model, place)
    swatch = tag("span", css="swatch", style=f"border-top-color:{colour}")
    lift = words.lift(score.hit_rate, base.hit_rate) if base else words.MISSING
    strong = "strong" if place == 0 else ""
    hr = interval_bar(
        score.hit_rate_low, score.hit_rate, score.hit_rate_high, start=0, end=top_hr, colour=colour
    )
    ndcg = interval_bar(score.ndcg_low, score.ndcg, score.ndcg_high, start=0, end=top_ndcg, colour=colour)
    return tag(
        "tr",
        tag("td", swatch, words.model_name(score.model), css=strong),
        tag("td", _with_range(score.hit_rate, score.hit_rate_low, score.hit_rate_high, strong)),
        tag("td", hr),
        tag("td", _with_range(score.ndcg, score.ndcg_low, score.ndcg_high, strong)),
        tag("td", ndcg),
        tag("td", words.share(score.coverage), css="right"),
        tag("td", lift, css=f"right {strong}"),
    )


def _with_range(value: float, low: float, high: float, css: str) -> Html:
    return join(
        tag("span", words.score(value), css=f"number {css}"),
        tag("span", f"{words.score(low)} to {words.score(high)}", css="range"),
    )


_BADGES = {
    "improvement": "rise",
    "refit": "fit failed",
    "pause": "paused",
    "sample": "sampled",
    "quarantine": "quarantine",
    "frozen": "frozen",
    "storage": "disk",
    "cluster": "not encrypted",
}


def _alarm_row(alarm: Notice) -> Html:
    rose = _is_rise(alarm)
    return tag(
        "div",
        tag("span", _BADGES.get(alarm.kind, "fall"), css="badge new" if rose else "badge bad"),
        tag("span", alarm.sentence, css="grow wrap"),
        tag("span", f"at {words.count(alarm.offset)}", css="tagline number"),
        css="row",
    )


def _is_rise(alarm: Notice) -> bool:
    return alarm.kind == "improvement"


def _reason_row(reason: str, n: int, largest: int) -> Html:
    bar = tag("div", css="part-fill up", style=f"left:0;width:{100 * n / largest:.1f}%")
    return tag(
        "div",
        tag("span", reason, css="grow ellipsis", title=reason),
        tag("div", bar, css="part", style="width:120px"),
        tag("span", words.count(n), css="number", style="min-width:56px;text-align:right"),
        css="row",
    )


def _more(n: int) -> Html | None:
    return tag("div", f"and {words.count(n - LIST_LENGTH)} more", css="tagline") if n > LIST_LENGTH else None
