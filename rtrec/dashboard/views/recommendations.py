"""The Recommendations page: one user's history beside the live list, and why each item is on it."""

from __future__ import annotations

from concurrent.futures import Future
from functools import partial
from typing import Any

import panel_material_ui as pmui

from rtrec.dashboard import style, words
from rtrec.dashboard.markup import Html, empty_state, join, message, tag
from rtrec.dashboard.session import Session
from rtrec.dashboard.state import Reading
from rtrec.dashboard.views.pieces import STACK, WRAP, FoldingPane, MarkupPane, card, column, heading, row
from rtrec.dashboard.views.recommendations_markup import (
    N_FOUND,
    changes_between,
    found_note,
    history_list,
    recommended_list,
)
from rtrec.engine.recommendation import Recommendation

#: A page asks again at most this often; reading a list faster than that is not possible anyway.
REFRESH_S = 2.0
#: The users to choose from change less often, so that an open list stays still.
_OFFER_S = 10.0
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
        self._sought = ""
        self._found: list[str] = []
        self._is_searching = False
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
        self._picker.param.watch(self._search, "value_input")
        self._picker.param.watch(self._pick, "value")
        self._follow = pmui.Switch(label="Keep up with learning", value=True, margin=0)
        self._state = MarkupPane(styles={"margin-left": "auto"}, sizing_mode=None)
        self._found_note = MarkupPane(styles={"margin-top": "6px"})
        self._problem = MarkupPane()
        self._history, self._list = MarkupPane(), FoldingPane()
        self.panel = column(
            card(
                row(self._picker, self._follow, self._state, gap=24, align="center", narrow=WRAP),
                self._found_note,
            ),
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
        self._found_note.show(None)
        self._offer()
        self._draw()
        self._ask()

    def _typed(self) -> str:
        typed = str(self._picker.value_input or "").strip()
        return "" if typed == self._user else typed

    def _search(self, *_: Any) -> None:
        """Look for what is typed among all users that the run knows, one search at a time."""
        self._offer()
        typed = self._typed()
        if not typed:
            self._found_note.show(None)
        elif not self._is_searching:
            self._is_searching = True
            self._session.ask(
                lambda: self._session.store.run.find_users(typed, N_FOUND + 1),
                partial(self._take_found, typed),
            )

    def _take_found(self, typed: str, answer: Future[list[str]]) -> None:
        self._is_searching = False
        if answer.exception() is not None:  # nobody was looked for, so nothing is said of who is there
            return
        self._sought, self._found = typed, answer.result()
        if typed != self._typed():
            self._search()
            return
        self._found_note.show(found_note(typed, len(self._found)))
        self._offer()

    def _offer(self) -> None:
        """Offer users found or seen last, and what is picked or typed: nothing else stays in the picker.

        What is typed comes behind those found, or it would look like one of them.
        """
        typed = self._typed()
        found = self._found[:N_FOUND] if typed and typed == self._sought else []
        own = [each for each in (self._user, typed) if each]
        options = list(dict.fromkeys([*found, *self._users, *own]))
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
        try:
            if user == self._user:  # else another one was picked meanwhile, whose answer is on its way
                self._show_answer(user, answer)
        finally:
            self._asking = False

    def _show_answer(self, user: str, answer: Future[Recommendation]) -> None:
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
