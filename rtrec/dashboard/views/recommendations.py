"""The Recommendations page: one user's history beside the live list, and why each item is on it."""

from __future__ import annotations

import math
from concurrent.futures import Future
from functools import partial
from typing import Any

import panel_material_ui as pmui

from rtrec.dashboard import style, words
from rtrec.dashboard.markup import Html, empty_state, join, message, part_bar, tag
from rtrec.dashboard.session import Session
from rtrec.dashboard.state import Reading
from rtrec.dashboard.views.pieces import STACK, WRAP, MarkupPane, card, column, heading, row
from rtrec.engine.recommendation import Recommendation, RecommendedItem

#: A page asks again at most this often; reading a list faster than that is not possible anyway.
REFRESH_S = 2.0
#: The users to choose from change less often, so that an open list stays still.
_OFFER_S = 10.0
#: How many reasons an item shows, strongest first.
N_REASONS = 3
_ASKED = "The engine is asked for this user."
_FAILED = "The engine did not answer for this user; the message above says why."


class RecommendationsView:
    """Pick a user, see what they had, what they get, why, and what learning changed."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._user = ""
        self._shown: Recommendation | None = None
        self._marks: dict[str, Html] = {}
        self._asked_at: float | None = None
        self._asking = False
        self._users: list[str] = []
        self._offer_due_s = 0.0
        self._picker = pmui.AutocompleteInput(
            label="User",
            placeholder="Type or choose a user id",
            restrict=False,
            case_sensitive=False,
            min_characters=0,
            search_strategy="includes",
            size="small",
            width=320,
            margin=0,
        )
        self._picker.param.watch(self._offer, "value_input")
        self._picker.param.watch(self._pick, "value")
        self._follow = pmui.Switch(label="Keep up with learning", value=True, margin=0)
        self._state = MarkupPane(styles={"margin-left": "auto"}, sizing_mode=None)
        self._problem = MarkupPane(visible=False)
        self._history, self._list = MarkupPane(), MarkupPane()
        self.panel = column(
            card(row(self._picker, self._follow, self._state, gap=24, align="center", narrow=WRAP)),
            self._problem,
            row(
                card(self._history, styles={"flex": "0 0 320px"}, sizing_mode=None),
                card(self._list, styles={"flex": "1", "min-width": "0"}),
                narrow=STACK,
            ),
            styles=style.PAGE,
        )
        self._draw()

    def refresh(self, reading: Reading) -> None:
        """Offer the users seen last, and ask again if learning moved on."""
        users = list(reading.users)
        if users and (not self._users or self._session.store.now() >= self._offer_due_s):
            self._offer_due_s = self._session.store.now() + _OFFER_S
            self._users = users
            self._offer()
        if not self._user and users and reading.has_begun:
            self._picker.value = users[0]
        moved = self._shown is None or reading.status.events > self._shown.offset
        if self._follow.value and self._user and moved and self._is_due():
            self._ask()

    def _pick(self, *_: Any) -> None:
        user = str(self._picker.value or "").strip()
        if not user or user == self._user:
            return
        self._user, self._shown, self._marks = user, None, {}
        self._problem.show(None)
        self._offer()
        self._draw()
        self._ask()

    def _offer(self, *_: Any) -> None:
        """Offer the users seen last, and what is picked or typed: no other value stays in the picker."""
        typed = str(self._picker.value_input or "").strip()
        own = [each for each in (self._user, typed) if each and each not in self._users]
        options = list(dict.fromkeys([*own, *self._users]))
        if options != self._picker.options:
            self._picker.options = options

    def _is_due(self) -> bool:
        if self._asking:
            return False
        return self._asked_at is None or self._session.store.now() - self._asked_at >= REFRESH_S

    def _ask(self) -> None:
        self._asking, self._asked_at = True, self._session.store.now()
        user, k = self._user, self._session.reading.status.k
        self._session.ask(lambda: self._session.store.run.recommend(user, k), partial(self._take, user))

    def _take(self, user: str, answer: Future[Recommendation]) -> None:
        self._asking = False
        if user != self._user:
            return  # another user was picked meanwhile; their answer is on its way
        error = answer.exception()
        if error is not None:
            self._problem.show(message("bad", f"No recommendations for {user}", str(error)))
            if self._shown is None:
                self._state.show(None)
                self._history.show(join(heading(f"History of {user}"), empty_state("Not known", _FAILED)))
                self._list.show(join(heading(f"Recommended to {user} now"), empty_state("No list", _FAILED)))
            return
        self._problem.show(None)
        new = answer.result()
        marks = changes_between(self._shown, new)
        if marks or self._shown is None:
            self._marks = marks
        self._shown = new
        self._draw()

    def _draw(self) -> None:
        shown = self._shown
        if shown is None and self._user:
            self._state.show(None)
            self._history.show(join(heading(f"History of {self._user}"), empty_state("One moment", _ASKED)))
            self._list.show(
                join(heading(f"Recommended to {self._user} now"), empty_state("One moment", _ASKED))
            )
            return
        if shown is None:
            self._history.show(join(heading("History"), empty_state("No user yet", "Pick one above.")))
            self._list.show(
                join(
                    heading("Recommended now"),
                    empty_state(
                        "Nothing to show yet",
                        "The list is here as soon as the engine runs and a user is chosen.",
                    ),
                )
            )
            return
        self._state.show(
            tag("span", f"As of event {words.count(shown.offset)}", css="tagline number", role="status")
        )
        self._history.show(history_list(shown))
        self._list.show(recommended_list(shown, self._marks))


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
            "No event of this user so far, so the list is what is most popular now. "
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
    parts = [part for item in shown.items for *_, part in _parts(item)]
    largest = max((abs(part) for part in parts), default=0.0)
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
    rows = [_reason(sentence, because_of, part, largest) for sentence, because_of, part in _parts(item)]
    total = tag(
        "div",
        tag("div", "Score", css="strong"),
        tag("span", words.score(round(item.score, 2), 2, signed=True), css="number strong"),
        css="reason total",
    )
    return tag("div", *rows, total)


def _parts(item: RecommendedItem) -> list[tuple[str, tuple[str, ...], float]]:
    """Return the strongest parts and the rest, as (sentence, titles behind it, part).

    All are rounded as they are shown, and the rest is what then lacks to the score: a reader can add them up.
    """
    if math.isnan(item.score):
        return []
    rows = [(each.sentence, each.because_of, round(each.part, 2)) for each in item.reasons[:N_REASONS]]
    rest = round(round(item.score, 2) - sum(part for *_, part in rows), 2)
    if len(item.reasons) > N_REASONS:
        rows.append(("All else", (), rest))
    elif rest:
        rows.append(("Rounding", (), rest))
    return rows


def _reason(sentence: str, because_of: tuple[str, ...], part: float, largest: float) -> Html:
    because = tag("span", f": {', '.join(because_of)}", css="muted") if because_of else None
    text = tag("div", words.sentence(sentence), because, css="words")
    figure = tag("span", words.score(part, 2, signed=True), css="number")
    return tag("div", text, part_bar(part, largest), figure, css="reason")
