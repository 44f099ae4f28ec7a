"""The Settings page: turn knobs, replay the last events with them, apply, take back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any

import panel_material_ui as pmui

from rtrec.dashboard import style, words
from rtrec.dashboard.markup import Html, empty_state, join, message, tag
from rtrec.dashboard.session import Session
from rtrec.dashboard.state import Reading
from rtrec.dashboard.views import live_markup, whatif
from rtrec.dashboard.views.knobs import Knob
from rtrec.dashboard.views.pieces import STACK, MarkupPane, card, column, heading, row
from rtrec.engine.status import AppliedChange
from rtrec.evaluation.comparison import Comparison
from rtrec.settings import Declaration, Settings, declarations

#: How many of the newest events a preview replays.
REPLAYED = 20_000
#: The newest changes that the page lists.
N_CHANGES = 12
#: Groups in the order of the page, each with the sentence under its name and the settings it starts with.
_GROUPS = {
    "Popularity": ("What is popular now, at three speeds of forgetting", ("half_life_", "trending_")),
    "History": ("How far back a user's own events reach", ("ring_", "transition_reach", "repeat")),
    "Ranker": ("How the blend learns which table to trust", ("learning_", "use_crosses")),
    "Tables and features": ("Which of them have an opinion at all", ("use_", "without")),
    "Weights per kind of event": ("How much one event of each kind counts", ("weight_",)),
}
_OTHER = "More"
_BELOW = {"margin-top": "12px"}


class SettingsView:
    """Every live setting, a replay before anything goes live, and what was applied so far."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._settings = session.reading.status.settings
        self._knobs = {
            each.name: Knob(each, getattr(self._settings, each.name), self._edited)
            for each in declarations()
            if each.live
        }
        self._is_replaying = self._is_writing = False
        self._began_s = 0.0
        self._listed: tuple[AppliedChange, ...] | None = None
        self._edits, self._problem = MarkupPane(), MarkupPane(visible=False, styles=_BELOW)
        self._progress, self._result = MarkupPane(visible=False), column(gap=10, visible=False, styles=_BELOW)
        self._n_replayed = 0
        self._compared_with: Settings | None = None
        self._replay = _button(self._replay_label(), self._start_replay)
        self._apply = _button("Apply", self._start_apply, variant="outlined")
        self._discard = _button("Discard", self._discard_edits, variant="text")
        # Hidden rather than disabled: a Material button that is still being mounted can miss the change.
        self._actions = row(self._replay, self._apply, self._discard, gap=8, styles=_BELOW)
        self._change_list = column(gap=0)
        left = column(
            *(
                card(
                    MarkupPane(heading(name, sentence), styles={"padding": "0 12px 4px"}),
                    column(*(knob.panel for knob in knobs), gap=0),
                    styles={"padding": "14px 7px 10px"},
                )
                for name, sentence, knobs in self._grouped()
            ),
            styles={"flex": "1 1 0", "min-width": "0"},
        )
        right = column(
            card(
                MarkupPane(
                    heading("Try before you apply", "A replay forks the run; the live one is not touched")
                ),
                self._edits,
                self._problem,
                self._actions,
                self._progress,
                self._result,
            ),
            card(
                MarkupPane(heading("Applied changes", "Each is a record in the log, live from its event on")),
                self._change_list,
            ),
            styles={"flex": "0 0 440px", "position": "sticky", "top": "16px", "align-self": "flex-start"},
        )
        self.panel = row(left, right, narrow=STACK, styles=style.PAGE)
        self._edited()
        self._list_changes(())

    def refresh(self, reading: Reading) -> None:
        """Follow the live settings and the list of changes, and show how long a replay takes."""
        if reading.status.settings != self._settings:
            self._settings = reading.status.settings
            for name, knob in self._knobs.items():
                knob.follow(getattr(self._settings, name))
            self._show_edits()
            self._listed = None
            self._drop_old_result()
        if self._replay.label != self._replay_label():
            self._replay.label = self._replay_label()
        changes = tuple(reading.changes)
        if changes != self._listed:
            self._list_changes(changes)
        if self._is_replaying:
            self._show_progress()

    def edits(self) -> dict[str, Any]:
        """Return the settings that differ from the live ones, with the values wanted."""
        return {name: knob.value for name, knob in self._knobs.items() if knob.is_changed}

    def _replay_label(self) -> str:
        if self._session.reading.status.events < REPLAYED:
            return "Replay all events so far"
        return f"Replay the last {words.count(REPLAYED)} events"

    def _drop_old_result(self) -> None:
        """Hide a result that compares with settings which are not the live ones any more."""
        if self._result.visible and self._compared_with != self._settings:
            self._result.visible = False
            self._problem.show(_outdated())

    def _grouped(self) -> list[tuple[str, str, list[Knob]]]:
        left = dict(self._knobs)
        groups = []
        for title, (sentence, prefixes) in _GROUPS.items():
            names = [name for name in left if name.startswith(prefixes)]
            groups.append((title, sentence, [left.pop(name) for name in names]))
        groups.append((_OTHER, "Settings of no other group", list(left.values())))
        return [group for group in groups if group[2]]

    def _edited(self) -> None:
        """Show what is changed now; a result belongs to the settings it was made with, so it goes."""
        self._problem.show(None)
        self._result.visible = False
        self._show_edits()

    def _show_edits(self) -> None:
        edits = self.edits()
        self._actions.visible = bool(edits)
        self._replay.visible = not self._is_replaying
        if not edits:
            self._edits.show(
                empty_state(
                    "Nothing changed yet",
                    "Move a knob on the left. The run goes on as it is until you apply.",
                )
            )
            return
        rows = [
            _edit_row(self._knobs[name].declaration, self._knobs[name].live, value)
            for name, value in edits.items()
        ]
        self._edits.show(tag("div", *rows, style="margin-top:8px"))

    def _discard_edits(self) -> None:
        for knob in self._knobs.values():
            knob.reset()
        self._edited()

    def _start_replay(self) -> None:
        edits, live = self.edits(), self._settings
        self._edited()
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
        self._progress.show(None)
        self._show_edits()
        self._problem.show(said)

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
        comparison = done.result()
        self._result.objects = [
            MarkupPane(whatif.verdict(comparison)),
            MarkupPane(whatif.differences(comparison)),
            whatif.picture(comparison),
            MarkupPane(whatif.averaging(comparison)),
        ]
        self._compared_with = live
        self._result.visible = True

    def _start_apply(self) -> None:
        edits = self.edits()
        self._do("The change was not applied", lambda: self._session.store.run.apply(edits))

    def _start_undo(self, change: AppliedChange) -> None:
        self._do("The change was not undone", lambda: self._session.store.run.undo(change.offset))

    def _do(self, failed: str, action: Callable[[], AppliedChange]) -> None:
        if self._is_writing:
            return  # a second click on the same button
        self._is_writing = True
        self._session.ask(action, partial(self._take_done, failed))

    def _take_done(self, failed: str, done: Future[AppliedChange]) -> None:
        self._is_writing = False
        error = done.exception()
        if error is not None:
            self._problem.show(message("bad", failed, str(error)))
            self._show_edits()
            return
        # In the log means decided: waiting for the next batch is no reason to offer the same change again.
        for name, value in done.result().changes.items():
            if name in self._knobs:
                self._knobs[name].follow(value)
        self._listed = None
        had_result = self._result.visible
        self._edited()
        if had_result:
            self._problem.show(_outdated())

    def _show_progress(self) -> None:
        waited = words.duration(self._session.store.now() - self._began_s)
        self._progress.show(
            tag(
                "div",
                tag("div", f"Replaying {words.events(self._n_replayed)}, {waited} so far", css="muted"),
                tag("div", tag("div"), css="progress", role="progressbar", aria_label="Replay"),
                style="margin-top:12px",
            ),
        )

    def _list_changes(self, changes: tuple[AppliedChange, ...]) -> None:
        self._listed = changes
        if not changes:
            self._change_list.objects = [
                MarkupPane(empty_state("No change so far", "The run uses the settings it was started with."))
            ]
            return
        self._change_list.objects = [self._change_row(each) for each in reversed(changes[-N_CHANGES:])]

    def _change_row(self, change: AppliedChange) -> Any:
        live = {name: knob.live for name, knob in self._knobs.items()}
        in_effect = is_in_effect(change, live)
        text = MarkupPane(
            change_markup(change, in_effect=in_effect),
            styles={"flex": "1 1 0", "min-width": "0"},
            sizing_mode=None,
        )
        if not in_effect:
            return row(text)
        undo = _button("Undo", partial(self._start_undo, change), variant="outlined", size="small")
        return row(text, undo, align="center")


def is_in_effect(change: AppliedChange, live: Mapping[str, Any]) -> bool:
    """Say whether undoing ``change`` would do anything: some value of it is still the live one.

    >>> from datetime import UTC, datetime
    >>> when = datetime(2024, 3, 1, tzinfo=UTC)
    >>> change = AppliedChange(0, when, {"ring_length": 20}, {"ring_length": 10}, live_from=7)
    >>> is_in_effect(change, {"ring_length": 20}), is_in_effect(change, {"ring_length": 10})
    (True, False)
    """
    return any(
        live.get(name) == value and value != change.previous.get(name)
        for name, value in change.changes.items()
    )


def change_markup(change: AppliedChange, *, in_effect: bool = True) -> Html:
    """Return one applied change: what it did, when, from which event on, and whether it still holds."""
    lines = [
        tag("div", _from_to(name, change.previous.get(name), value, live_markup.unit_of(name)), css="wrap")
        for name, value in change.changes.items()
    ]
    since = f"live from event {words.count(change.live_from)}"
    place = f"{since} {words.DOT} record {change.offset} {words.DOT} {change.time:%d %b %Y, %H:%M} UTC"
    replaced = None if in_effect else tag("span", "replaced since", css="badge")
    return tag("div", *lines, tag("div", place, " ", replaced, css="tagline"), style="padding:8px 0")


def _outdated() -> Html:
    return message(
        "info",
        "The live settings have changed since the replay",
        "Its result compared with settings that are not live any more; replay again.",
    )


def _edit_row(declared: Declaration, live: Any, value: Any) -> Html:
    return tag("div", _from_to(declared.name, live, value, declared.unit), css="row")


def _from_to(name: str, old: Any, new: Any, unit: str = "") -> Html:
    before = words.MISSING if old is None else words.setting_value(old)
    return join(
        tag("span", words.setting_label(name), css="grow"),
        " ",
        tag(
            "span",
            tag("span", f"{before} {words.ARROW} ", css="muted"),
            tag("span", words.setting_value(new, unit), css="strong"),
            css="number",
        ),
    )


def _button(label: str, action: Callable[[], None], **options: Any) -> pmui.Button:
    look: dict[str, Any] = {"variant": "contained", "margin": 0, "size": "medium", "sizing_mode": None}
    button = pmui.Button(label=label, **(look | options))
    button.on_click(lambda _: action())
    return button
