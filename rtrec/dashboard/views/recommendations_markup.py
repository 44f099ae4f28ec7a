"""The Recommendations page's lists as markup: what a user had, what they get, and the parts of its scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from rtrec.dashboard import words
from rtrec.dashboard.markup import Html, empty_state, join, message, part_bar, tag
from rtrec.dashboard.views.pieces import heading
from rtrec.engine.recommendation import Recommendation, RecommendedItem

#: How many users a search offers.
N_FOUND = 50
#: How many reasons an item shows, strongest first; the others unfold.
N_REASONS = 3


def found_note(typed: str, n_found: int) -> Html:
    """Return in a sentence how many users have what is typed in their id."""
    quoted = f"\u201c{typed}\u201d"
    if not n_found:
        said = f"The run knows no user with {quoted} in the id; with Enter it is asked for as a stranger."
    elif n_found > N_FOUND:
        said = f"More than {N_FOUND} users have {quoted} in the id; type more of it."
    else:
        said = f"{n_found} {'user has' if n_found == 1 else 'users have'} {quoted} in the id."
    return tag("div", said, css="tagline", role="status")


def changes_between(old: Recommendation | None, new: Recommendation) -> dict[str, Html]:
    """Return a badge for each item of ``new`` that is new or moved since ``old``; none if nothing changed.

    >>> changes_between(None, Recommendation("u", True, (), (), 0))
    {}
    """
    if old is None:
        return {}
    before = {item.item_id: place for place, item in enumerate(old.items)}
    marks = {}
    for place, item in enumerate(new.items):
        was = before.get(item.item_id)
        if was is None:
            marks[item.item_id] = tag("span", "new", css="badge new")
        elif was != place:
            risen = was > place
            text = f"{'up' if risen else 'down'} {abs(was - place)}"
            marks[item.item_id] = tag("span", text, css="badge up" if risen else "badge")
    return marks


def history_list(shown: Recommendation) -> Html:
    """Return a user's last items, newest first."""
    title = heading(f"History of {shown.user_id}", "Newest first")
    if not shown.history:
        return join(title, empty_state("No event yet", f"{shown.user_id} has not been seen in the stream."))
    rows = [
        tag(
            "div",
            tag(
                "div",
                tag("div", text or item_id, css="wrap"),
                tag("div", item_id, css="tagline wrap") if text and text != item_id else None,
                css="grow",
            ),
            css="row",
        )
        for item_id, text in shown.history
    ]
    return join(title, tag("div", *rows, style="margin-top:6px"))


def recommended_list(shown: Recommendation, marks: dict[str, Html]) -> Html:
    """Return the live list with reasons and badges."""
    unknown = None
    if not shown.known:
        unknown = message(
            "info",
            f"{shown.user_id} is unknown",
            "The run knows no event of this user, so the list is what is most popular now. "
            "It becomes personal with their first event.",
        )
    changed = "Nothing has changed since this user was opened"
    if marks:
        n_new = sum(">new<" in each for each in marks.values())
        changed = f"Last change: {n_new} new, {len(marks) - n_new} moved"
    title = join(
        heading(f"Recommended to {shown.user_id} now", changed),
        tag(
            "div",
            "The parts of a score add up to it; it is relative to the average candidate",
            css="subtitle",
        ),
    )
    if not shown.items:
        return join(
            title, unknown, empty_state("An empty list", "No item is known yet that could be recommended.")
        )
    largest = max((abs(each.value) for item in shown.items for each in _parts(item)), default=0.0)
    items = [
        _item(place, item, marks.get(item.item_id), largest) for place, item in enumerate(shown.items, 1)
    ]
    gap = tag("div", unknown, style="margin-top:10px") if unknown else None
    return join(title, gap, tag("div", *items, style="margin-top:4px"))


def _item(place: int, item: RecommendedItem, mark: Html | None, largest: float) -> Html:
    text = item.title or item.item_id
    name = tag(
        "div",
        tag("span", text, css="item-title"),
        " " if mark else None,
        mark,
        tag("div", item.item_id, css="tagline wrap") if text != item.item_id else None,
    )
    return tag("div", tag("div", str(place), css="rank"), name, _reasons(item, largest), css="item")


def _reasons(item: RecommendedItem, largest: float) -> Html:
    if math.isnan(item.score):
        return tag(
            "div", "Fills up the list because it is popular; the ranker has not scored it", css="muted"
        )
    parts = _parts(item)
    shown, rest = parts[:N_REASONS], parts[N_REASONS:]
    rows = [_reason(each, largest) for each in shown]
    if len(item.reasons) > N_REASONS:
        rows.append(_all_else(item, rest, largest))
    else:
        rows += [_reason(each, largest) for each in rest]
    total = tag(
        "div",
        tag("div", "Score", css="strong"),
        tag("span", words.score(round(item.score, 2), 2, signed=True), css="number strong"),
        css="reason total",
    )
    return tag("div", *rows, total)


class _Part(NamedTuple):
    """A part of a score as it is shown: what it is, the titles behind it, and how much."""

    sentence: str
    because_of: tuple[str, ...]
    value: float


def _parts(item: RecommendedItem) -> list[_Part]:
    """Return all parts of a score, strongest first.

    All are rounded as they are shown, and what then lacks to the score is one too: a reader can add them up.
    """
    if math.isnan(item.score):
        return []
    parts = [_Part(each.sentence, each.because_of, round(each.part, 2)) for each in item.reasons]
    lacks = round(round(item.score, 2) - sum(each.value for each in parts), 2)
    return [*parts, _Part("Rounding", (), lacks)] if lacks else parts


def _all_else(item: RecommendedItem, rest: Sequence[_Part], largest: float) -> Html:
    """Return the sum of all but the strongest parts, which unfolds into them."""
    said = f"All else, {len(item.reasons) - N_REASONS} more"
    total = _Part(said, (), round(sum(each.value for each in rest), 2))
    unfolded = tag("div", *(_reason(each, largest) for each in rest), css="rest")
    return tag("details", tag("summary", _reason(total, largest)), unfolded, data_key=item.item_id)


def _reason(shown: _Part, largest: float) -> Html:
    sentence, because_of, part = shown
    because = tag("span", f": {', '.join(because_of)}", css="muted") if because_of else None
    text = tag("div", words.sentence(sentence), because, css="words")
    figure = tag("span", words.score(part, 2, signed=True), css="number")
    return tag("div", text, part_bar(part, largest), figure, css="reason")
