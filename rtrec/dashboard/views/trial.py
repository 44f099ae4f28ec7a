"""Try before you apply: what the reader has changed, a replay of the last events with it, and its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any

from rtrec.dashboard import words
from rtrec.dashboard.markup import Html, empty_state, message, tag
from rtrec.dashboard.session import Session
from rtrec.dashboard.views import whatif
from rtrec.dashboard.views.changes import from_to
from rtrec.dashboard.views.knobs import Knob
from rtrec.dashboard.views.pieces import MarkupPane, button, card, column, heading, row
from rtrec.engine.status import AppliedChange
from rtrec.evaluation.comparison import Comparison
from rtrec.settings import Settings

#: How many of the newest events a preview replays.
REPLAYED = 20_000
_BELOW = {"margin-top": "12px"}
#: In a narrow window the card stays in reach at the lower edge, while there is something to do in it.
_IN_REACH = """
@media (max-width: 1100px) {
  :host(.wanted) { position: sticky !important; bottom: 0; z-index: 10; order: 1;
    box-shadow: 0 -6px 18px rgb(0 0 0 / 0.16); }
}
"""
#: Many edits must not push the buttons out of the window.
_FEW_LINES = """
:host { max-height: 26vh; overflow-y: auto; }
@media (max-width: 1100px) { :host { max-height: 14vh; } }
"""


class Trial:
    """The edits of the knobs, what can be done with them, and what a replay said.

    A result stands until the live settings are others than those it compared with; applying what it tried
    makes it the record of that change.

    Parameters
    ----------
    session
        The page's.
    knobs
        All knobs by setting.
    """

    def __init__(self, session: Session, knobs: Mapping[str, Knob]) -> None:
        self._session = session
        self._knobs = knobs
        self._settings = session.reading.status.settings
        self._is_replaying = self._is_writing = self._is_applied = False
        self._began_s, self._n_replayed = 0.0, 0
        self._comparison: Comparison | None = None
        self._holds_for: tuple[Settings, ...] = ()  # live settings under which the result says something
        self.edits_shown = MarkupPane(stylesheets=[_FEW_LINES])
        self.problem = MarkupPane(styles=_BELOW)
        self.progress = MarkupPane()
        self.replay = button(self._replay_label(), self._start_replay)
        self.apply = button("Apply", self._start_apply, variant="outlined")
        self.discard = button("Discard", self.give_up, variant="text")
        # Hidden rather than disabled: a Material button that is still being mounted can miss the change.
        self.actions = row(self.replay, self.apply, self.discard, gap=8, styles=_BELOW)
        self.result = column(gap=10)
        self.card = card(
            MarkupPane(
                heading("Try before you apply", "A replay forks the run; the live one is not touched")
            ),
            self.edits_shown,
            self.problem,
            self.actions,
            self.progress,
            stylesheets=[_IN_REACH],
        )
        self.result_card = card(self.result, visible=False)
        self.edited()

    def edits(self) -> dict[str, Any]:
        """Return the settings that differ from the live ones, with the values wanted."""
        return {name: knob.value for name, knob in self._knobs.items() if knob.is_changed}

    def edited(self) -> None:
        """Show what is changed now; the result of a trial goes, that of an applied change stays."""
        self.problem.show(None)
        if not self._is_applied:
            self._drop_result()
        self._show_edits()

    def follow(self, settings: Settings) -> None:
        """Take over the live settings, which the knobs have followed already."""
        self._settings = settings
        self._show_edits()
        if self._comparison is not None and settings not in self._holds_for:
            self._drop_result()
            self.problem.show(_outdated())
        elif self._is_applied:
            self._holds_for = (settings,)

    def tick(self) -> None:
        """Show how long a replay takes, and how much one would replay."""
        if self.replay.label != self._replay_label():
            self.replay.label = self._replay_label()
        if self._is_replaying:
            self._show_progress()

    def give_up(self) -> None:
        """Go back to the live settings."""
        for knob in self._knobs.values():
            knob.reset()
        self.edited()

    def undo(self, change: AppliedChange) -> None:
        """Take an applied change back."""
        failed = "The change was not undone"
        self._do(failed, lambda: self._session.store.run.undo(change.offset), is_undo=True)

    def _replay_label(self) -> str:
        if self._session.reading.status.events < REPLAYED:
            return "Replay all events so far"
        return f"Replay the last {words.count(REPLAYED)} events"

    def _show_edits(self) -> None:
        edits = self.edits()
        self.actions.visible = bool(edits)
        self.replay.visible = not self._is_replaying
        self.card.css_classes = ["wanted"] if edits or self._is_replaying else []
        if not edits:
            self.edits_shown.show(
                empty_state("Nothing changed yet", "Move a knob. The run goes on as it is until you apply.")
            )
            return
        rows = []
        for name, value in edits.items():
            knob = self._knobs[name]
            rows.append(tag("div", from_to(name, knob.live, value, knob.declaration.unit), css="row"))
        self.edits_shown.show(tag("div", *rows, style="margin-top:8px"))

    def _start_replay(self) -> None:
        edits, live = self.edits(), self._settings
        self._drop_result()
        self.problem.show(None)
        self._is_replaying, self._began_s = True, self._session.store.now()
        self._n_replayed = min(REPLAYED, self._session.reading.status.events)
        self._session.ask(
            lambda: self._session.store.run.preview(edits, n_events=REPLAYED),
            partial(self._await_replay, edits, live),
        )
        self._show_edits()
        self._show_progress()

    def _await_replay(self, edits: dict[str, Any], live: Settings, begun: Future[Future[Comparison]]) -> None:
        error = begun.exception()
        if error is not None:
            self._end_replay(message("bad", "The replay did not start", str(error)))
            return
        self._session.when_done(begun.result(), partial(self._take_replay, edits, live))

    def _end_replay(self, said: Html | None) -> None:
        self._is_replaying = False
        self.progress.show(None)
        self._show_edits()
        self.problem.show(said)

    def _take_replay(self, edits: dict[str, Any], live: Settings, done: Future[Comparison]) -> None:
        error = done.exception()
        if error is not None:
            self._end_replay(message("bad", "The replay did not finish", str(error)))
            return
        if live != self._settings:
            self._end_replay(_outdated())
            return
        if edits != self.edits():
            said = message("info", "Settings changed during the replay", "Replay again to compare these.")
            self._end_replay(said)
            return
        self._end_replay(None)
        self._comparison, self._holds_for = done.result(), (live,)
        self._show_result(whatif.report(self._comparison))

    def _start_apply(self) -> None:
        edits = self.edits()
        if self._comparison is not None and not self._is_applied:
            # The run may say that it has them before it answers.
            self._holds_for = (self._settings, self._settings.changed(**edits))
        self._do("The change was not applied", lambda: self._session.store.run.apply(edits))

    def _do(self, failed: str, action: Callable[[], AppliedChange], *, is_undo: bool = False) -> None:
        if self._is_writing:
            return  # a second click on the same button
        self._is_writing = True
        self._session.ask(action, partial(self._take_done, failed, is_undo))

    def _take_done(self, failed: str, is_undo: bool, done: Future[AppliedChange]) -> None:
        self._is_writing = False
        error = done.exception()
        if error is not None:
            self._holds_for = self._holds_for[:1]
            self.problem.show(message("bad", failed, str(error)))
            self._show_edits()
            return
        change = done.result()
        # In the log means decided: waiting for the next batch is no reason to offer the same change again.
        for name, value in change.changes.items():
            if name in self._knobs:
                self._knobs[name].follow(value)
        self.problem.show(None)
        self._show_edits()
        if self._comparison is None:
            return
        now = self._settings.changed(**change.changes)
        if is_undo or now not in self._holds_for:
            self._drop_result()
            self.problem.show(_outdated())
        elif not self._is_applied:
            self._is_applied, self._holds_for = True, (self._settings, now)
            self._show_result(whatif.report(self._comparison, applied=change))

    def _show_result(self, panes: list[Any]) -> None:
        self.result.objects = panes
        self.result_card.visible = True

    def _drop_result(self) -> None:
        self._comparison, self._is_applied = None, False
        self.result_card.visible = False
        self.result.objects = []

    def _show_progress(self) -> None:
        waited = words.duration(self._session.store.now() - self._began_s)
        self.progress.show(
            tag(
                "div",
                tag("div", f"Replaying {words.events(self._n_replayed)}, {waited} so far", css="muted"),
                tag("div", tag("div"), css="progress", role="progressbar", aria_label="Replay"),
                style="margin-top:12px",
            ),
        )


def _outdated() -> Html:
    return message(
        "info",
        "The live settings have changed since the replay",
        "Its result compared with settings that are not live any more; replay again.",
    )
