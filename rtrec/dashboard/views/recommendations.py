"""The Recommendations page: one user's history beside the live list, and why each item is on it."""

from __future__ import annotations

from concurrent.futures import Future
from datetime import datetime
from functools import partial
from typing import Any

import panel_material_ui as pmui

from rtrec.dashboard import style, words
from rtrec.dashboard.markup import Html, empty_state, join, message, part_bar, tag
from rtrec.dashboard.session import Session
from rtrec.dashboard.state import Reading
from rtrec.dashboard.views.pieces import MarkupPane, card, column, heading, row
from rtrec.engine.status import Reason, Recommendation, RecommendedItem

#: A page asks again at most this often; reading a list faster than that is not possible anyway.
REFRESH_S = 2.0
#: The users to choose from change less often, so that an open list stays still.
_OFFER_S = 10.0
#: How many reasons an item shows, strongest first.
N_REASONS = 3


class RecommendationsView:
    """Pick a user, see what they had, what they get, why, and what learning changed."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._user = ""
        self._shown: Recommendation | None = None
        self._marks: dict[str, Html] = {}
        self._asked_at: datetime | None = None
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
            card(row(self._picker, self._follow, self._state, gap=24, align="center")),
            self._problem,
            row(
                card(self._history, styles={"flex": "0 0 320px"}, sizing_mode=None),
                card(self._list, styles={"flex": "1"}),
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
        self._offer()
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
        return self._asked_at is None or (datetime.now() - self._asked_at).total_seconds() >= REFRESH_S

    def _ask(self) -> None:
        self._asking, self._asked_at = True, datetime.now()
        user, k = self._user, self._session.reading.status.k
        self._session.ask(lambda: self._session.store.run.recommend(user, k), partial(self._take, user))

    def _take(self, user: str, answer: Future[Recommendation]) -> None:
        self._asking = False
        if user != self._user:
            return  # another user was picked meanwhile; their answer is on its way
        error = answer.exception()
        if error is not None:
            self._problem.show(message("bad", f"No recommendations for {user}", str(error)))
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
    title = heading("History", "Newest first")
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
    title = heading("Recommended now", changed)
    if not shown.items:
        return join(
            title, unknown, empty_state("An empty list", "No item is known yet that could be recommended.")
        )
    largest = max((abs(each.part) for item in shown.items for each in item.reasons), default=0.0)
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
    reasons = tag("div", *(_reason(each, largest) for each in item.reasons[:N_REASONS]))
    return tag("div", tag("div", str(place), css="rank"), name, reasons, css="item")


def _reason(reason: Reason, largest: float) -> Html:
    because = None
    if reason.because_of:
        because = tag("span", f": {', '.join(reason.because_of)}", css="muted")
    sentence = tag("div", words.sentence(reason.sentence), because, css="wrap")
    figure = tag("span", f"{reason.part:+.2f}".replace("-", words.MINUS), css="number")
    return tag("div", sentence, part_bar(reason.part, largest), figure, css="reason")
