"""What the log has changed so far: settings applied, tables published and withdrawn; and the way back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from rtrec.dashboard import words
from rtrec.dashboard.markup import Html, empty_state, join, tag
from rtrec.dashboard.views import live_markup
from rtrec.dashboard.views.pieces import MarkupPane, button, card, column, heading, row
from rtrec.engine.status import AppliedChange, TableChange

#: The newest of each kind that the list shows: tables that are refitted must not push out what can be undone.
N_CHANGES = 12


class ChangeList:
    """The newest changes, each with the time and the place in the log from which on it is live.

    Parameters
    ----------
    undo
        Called with a change of settings that is to be taken back.
    """

    def __init__(self, undo: Callable[[AppliedChange], None]) -> None:
        self._undo = undo
        self._shown: object = None
        self._list = column(gap=0)
        self.panel = card(
            MarkupPane(
                heading(
                    "Changes so far",
                    "Settings applied, tables published and withdrawn: each is a record in the log",
                )
            ),
            self._list,
        )

    @property
    def rows(self) -> list[Any]:
        """Return the rows of the list, newest first."""
        return list(self._list)

    def show(
        self, changes: Sequence[AppliedChange], tables: Sequence[TableChange], live: Mapping[str, Any]
    ) -> None:
        """Show changes of settings and of tables, where ``live`` are the settings' values now."""
        shown = (tuple(changes), tuple(tables), dict(live))
        if shown == self._shown:
            return
        self._shown = shown
        newest: list[AppliedChange | TableChange] = [*changes[-N_CHANGES:], *tables[-N_CHANGES:]]
        newest.sort(key=lambda each: each.offset, reverse=True)
        self._list.objects = [self._row(each, live) for each in newest] or [
            MarkupPane(empty_state("No change so far", "The run uses the settings it was started with."))
        ]

    def _row(self, change: AppliedChange | TableChange, live: Mapping[str, Any]) -> Any:
        if isinstance(change, TableChange):
            return row(MarkupPane(table_markup(change)))
        in_effect = is_in_effect(change, live)
        text = MarkupPane(
            change_markup(change, in_effect=in_effect),
            styles={"flex": "1 1 0", "min-width": "0"},
            sizing_mode=None,
        )
        if not in_effect:
            return row(text)
        undo = button("Undo", partial(self._undo, change), variant="outlined", size="small")
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
        tag("div", from_to(name, change.previous.get(name), value, live_markup.unit_of(name)), css="wrap")
        for name, value in change.changes.items()
    ]
    replaced = None if in_effect else tag("span", "replaced since", css="badge")
    return tag("div", *lines, tag("div", _place(change), " ", replaced, css="tagline"), style="padding:8px 0")


def table_markup(change: TableChange) -> Html:
    """Return one table that came or went: which, when, and from which event on."""
    said = tag("div", live_markup.table_text(change), css="wrap")
    return tag("div", said, tag("div", _place(change), css="tagline"), style="padding:8px 0")


def from_to(name: str, old: Any, new: Any, unit: str = "") -> Html:
    """Return a setting with the value it had and the one it gets."""
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


def _place(change: AppliedChange | TableChange) -> str:
    since = f"live from event {words.count(change.live_from)}"
    return f"{since} {words.DOT} record {change.offset} {words.DOT} {change.time:%d %b %Y, %H:%M} UTC"
