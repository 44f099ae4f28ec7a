"""The Settings page: turn knobs, replay the last events with them, apply, take back."""

from __future__ import annotations

from rtrec.dashboard import style
from rtrec.dashboard.session import Session
from rtrec.dashboard.state import Reading
from rtrec.dashboard.views.changes import ChangeList
from rtrec.dashboard.views.knobs import Knob
from rtrec.dashboard.views.pieces import NO_BUTTON, STACK, MarkupPane, card, column, heading, row
from rtrec.dashboard.views.trial import Trial
from rtrec.settings import declarations

#: Groups in the order of the page, each with the sentence under its name and the settings it starts with.
_GROUPS = {
    "Popularity": ("What is popular now, at three speeds of forgetting", ("half_life_", "trending_")),
    "History": ("How far back a user's own events reach", ("ring_", "transition_reach", "repeat")),
    "Ranker": ("How the blend learns which table to trust", ("learning_", "use_crosses")),
    "Tables and features": ("Which of them have an opinion at all", ("use_", "without")),
    "Weights per kind of event": ("How much one event of each kind counts", ("weight_",)),
}
_OTHER = "More"
#: Beside the knobs, and in reach however far one has scrolled: what does not fit scrolls by itself.
_BESIDE = {
    "flex": "0 0 440px",
    "position": "sticky",
    "top": "16px",
    "max-height": "calc(100vh - 96px)",
    "overflow-y": "auto",
}
#: In a narrow window its cards stand below the knobs, each for itself.
_BELOW_KNOBS = "@media (max-width: 1100px) { :host { display: contents !important; } }"


class SettingsView:
    """Every live setting, a replay before anything goes live, and what has changed so far."""

    def __init__(self, session: Session) -> None:
        self._settings = session.reading.status.settings
        self._knobs = {
            each.name: Knob(each, getattr(self._settings, each.name), self._edited)
            for each in declarations()
            if each.live
        }
        self.trial = Trial(session, self._knobs)
        self.changes = ChangeList(self.trial.undo)
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
            self.trial.card,
            self.trial.result_card,
            self.changes.panel,
            styles=_BESIDE,
            stylesheets=[NO_BUTTON, _BELOW_KNOBS],
        )
        # Stretched to the height of the knobs, the right column would have no way to go along.
        self.panel = row(left, right, align="flex-start", narrow=STACK, styles=style.PAGE)
        self._list_changes(session.reading)

    def refresh(self, reading: Reading) -> None:
        """Follow the live settings and the list of changes, and show how long a replay takes."""
        if reading.status.settings != self._settings:
            self._settings = reading.status.settings
            for name, knob in self._knobs.items():
                knob.follow(getattr(self._settings, name))
            self.trial.follow(self._settings)
        self.trial.tick()
        self._list_changes(reading)

    def _edited(self) -> None:
        self.trial.edited()

    def _list_changes(self, reading: Reading) -> None:
        live = {name: knob.live for name, knob in self._knobs.items()}
        self.changes.show(reading.changes, reading.status.table_changes, live)

    def _grouped(self) -> list[tuple[str, str, list[Knob]]]:
        left = dict(self._knobs)
        groups = []
        for title, (sentence, prefixes) in _GROUPS.items():
            names = [name for name in left if name.startswith(prefixes)]
            groups.append((title, sentence, [left.pop(name) for name in names]))
        groups.append((_OTHER, "Settings of no other group", list(left.values())))
        return [group for group in groups if group[2]]
