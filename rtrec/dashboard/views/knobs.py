"""One control for each declared setting: a switch, a list to choose from, or a slider with a field."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import panel_material_ui as pmui

from rtrec.dashboard import words
from rtrec.dashboard.markup import Html, tag
from rtrec.dashboard.views.pieces import MarkupPane, row
from rtrec.settings import Declaration

#: Bounds further apart than this get a slider of round steps (1, 2, 5, 10, ...) instead of an even one.
_WIDE = 1000.0
_ROW = """
:host(.changed) {
  background: color-mix(in srgb, var(--mui-palette-primary-main) 7%, transparent);
  box-shadow: inset 3px 0 0 var(--mui-palette-primary-main);
}
"""
#: In a narrow window the text has a line of its own above the control.
_NARROW = """
@media (max-width: 700px) {
  :host { flex-wrap: wrap !important; row-gap: 4px !important; }
  :host > .knob-text { flex: 1 1 100% !important; }
}
"""
#: The row's text names the control for the eye; screen readers still get the label.
_QUIET = """
.MuiFormLabel-root, .MuiInputLabel-root, .MuiFormControlLabel-label {
  position: absolute !important; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
}
.MuiInputAdornment-root, legend { display: none !important; }
.MuiOutlinedInput-notchedOutline { top: 0 !important; }
"""
_FIGURES = """
input { text-align: right; font-variant-numeric: tabular-nums; padding: 7px 10px !important; }
"""


class Knob:
    """A setting's control; ``value`` is what the reader wants, ``live`` what the run uses.

    Parameters
    ----------
    declaration
        The setting: its type, bounds, unit and sentence decide what the control looks like.
    live
        The value the run uses now.
    on_change
        Called after each change by the reader.
    """

    def __init__(self, declaration: Declaration, live: Any, on_change: Callable[[], None]) -> None:
        self.declaration = declaration
        self.live = live
        self.value = live
        self._on_change = on_change
        self._refused = ""
        self._is_drawing = False
        self._steps = _steps(declaration)
        self._text = MarkupPane(
            sizing_mode=None, css_classes=["knob-text"], styles={"flex": "1 1 0", "min-width": "0"}
        )
        self._unit = MarkupPane(sizing_mode=None, styles={"flex": "0 0 112px"})
        self._controls = self._make_controls()
        self.panel = row(
            self._text,
            *self._controls,
            self._unit,
            gap=16,
            align="center",
            narrow=_NARROW,
            stylesheets=[_ROW],
            styles={"padding": "7px 12px", "border-radius": "6px"},
        )
        self._text.show(
            tag(
                "div",
                tag("div", words.setting_name(declaration.name), css="strong"),
                tag("div", declaration.sentence, css="tagline"),
            )
        )
        self._draw()

    @property
    def is_changed(self) -> bool:
        """Say whether the reader wants another value than the live one."""
        return bool(self.value != self.live)

    def follow(self, live: Any) -> None:
        """Take over a new live value; an unchanged knob moves along, a changed one keeps its value."""
        if live == self.live:
            return
        moves_along = not self.is_changed
        self.live = live
        self.set(live if moves_along else self.value)

    def reset(self) -> None:
        """Go back to the live value."""
        self.set(self.live)

    def set(self, value: Any) -> None:
        """Show ``value``, without telling anybody."""
        self.value, self._refused = value, ""
        self._draw()

    def _make_controls(self) -> list[Any]:
        if self.declaration.choices:
            return self._make_list()
        return self._make_switch() if self.declaration.type is bool else self._make_slider()

    def _make_list(self) -> list[Any]:
        chosen = pmui.MultiChoice(
            value=list(self.live),
            options=words.feature_choices(),
            label=words.setting_name(self.declaration.name),
            placeholder="None",
            searchable=True,
            width=300,
            margin=0,
            visual_size="small",
            sizing_mode=None,
            stylesheets=[_QUIET],
        )
        # In the order declared, whatever the order they were chosen in.
        choices = self.declaration.choices
        chosen.param.watch(
            lambda event: self._take(tuple(each for each in choices if each in event.new)), "value"
        )
        return [chosen]

    def _make_switch(self) -> list[Any]:
        name = words.setting_name(self.declaration.name)
        switch = pmui.Switch(value=bool(self.live), label=name, margin=0, stylesheets=[_QUIET])
        switch.param.watch(lambda event: self._take(bool(event.new)), "value")
        return [switch]

    def _make_slider(self) -> list[Any]:
        declared = self.declaration
        whole = declared.type is int
        name = words.setting_name(declared.name)
        look = {"label": name, "margin": 0, "size": "small", "sizing_mode": None}
        look["stylesheets"] = [_QUIET, _FIGURES]
        if self._steps:
            slider = pmui.IntSlider(
                value=self._position(self.live),
                start=0,
                end=len(self._steps) - 1,
                width=200,
                tooltips=False,
                **look,
            )
        else:
            kind = pmui.IntSlider if whole else pmui.FloatSlider
            slider = kind(
                value=self.live,
                start=declared.low,
                end=declared.high,
                step=_step(declared),
                width=200,
                tooltips=False,
                **look,
            )
        # A box for text: Material's boxes for numbers hear Enter only once until they are left.
        field = pmui.TextInput(value=words.plain_number(self.live), width=84, **look)
        slider.param.watch(self._slide, "value")
        field.param.watch(self._type, "value")
        return [slider, field]

    def _slide(self, event: Any) -> None:
        value = self._steps[event.new] if self._steps else event.new
        self._take(value if self.declaration.type is int else round(float(value), 6))

    def _type(self, event: Any) -> None:
        declared = self.declaration
        if self._is_drawing:
            return
        text = str(event.new or "").strip()
        value = parsed_number(text, whole=declared.type is int) if text else self.value
        if value is None:
            self._refuse("a whole number" if declared.type is int else "a number")
        elif not _is_within(declared, value):
            self._refuse(f"from {_bound(declared.low)} to {_bound(declared.high)}")
        elif value == self.value:  # emptied, or back from a refused value
            self.set(value)
        else:
            self._take(value)

    def _refuse(self, wanted: str) -> None:
        self._refused = wanted
        self._draw()

    def _take(self, value: Any) -> None:
        if self._is_drawing or value == self.value:
            return
        self.set(value)
        self._on_change()

    def _position(self, value: float) -> Any:
        if not self._steps:
            return value
        return min(range(len(self._steps)), key=lambda place: abs(self._steps[place] - value))

    def _draw(self) -> None:
        self._is_drawing = True
        try:
            if self.declaration.choices:
                self._controls[0].value = list(self.value)
            elif self.declaration.type is bool:
                self._controls[0].value = bool(self.value)
            else:
                slider, field = self._controls
                slider.value = self._position(self.value)
                field.error_state = bool(self._refused)
                if not self._refused:
                    text = words.plain_number(self.value)
                    field.param.update(value=text, value_input=text)
        finally:
            self._is_drawing = False
        self.panel.css_classes = ["changed"] if self.is_changed else []
        self._unit.show(self._beside())

    def _beside(self) -> Html:
        declared = self.declaration
        if self._refused:
            return tag("div", self._refused, css="refused", role="alert")
        unit = declared.unit
        if declared.choices:
            unit = f"{len(self.value)} of {len(declared.choices)}"
        elif declared.type is bool:
            unit = words.setting_value(self.value)
        elif unit == "hours" and self.value >= 48:
            unit = f"hours ({words.duration(self.value * 3600)})"
        was = f"live: {words.setting_value(self.live)}" if self.is_changed else None
        return tag("div", tag("div", unit, css="muted"), tag("div", was, css="live") if was else None)


def steps_between(low: float, high: float, *also: float) -> list[float]:
    """Return 1, 2 and 5 times each power of ten from ``low`` to ``high``, and ``also`` these.

    >>> steps_between(0.05, 10.0, 3.0)
    [0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0]
    """
    steps = {low, high, *also}
    steps |= {float(f"{digit}e{power}") for power in range(-6, 10) for digit in (1, 2, 5)}
    return sorted(step for step in steps if low <= step <= high)


def parsed_number(text: str, *, whole: bool = False) -> float | None:
    """Return the number that a text says, or None.

    >>> parsed_number("7", whole=True), parsed_number("7.5", whole=True), parsed_number("nan")
    (7, None, None)
    """
    try:
        number = float(text)
    except ValueError:
        return None
    if not math.isfinite(number) or (whole and number != int(number)):
        return None
    return int(number) if whole else number


def _steps(declared: Declaration) -> list[float]:
    low, high = declared.low, declared.high
    if declared.type is bool or low is None or high is None or low <= 0 or high / low <= _WIDE:
        return []
    return steps_between(low, high, float(declared.default))


def _step(declared: Declaration) -> float:
    if declared.type is int:
        return 1
    return 0.01 if declared.high is not None and declared.high <= 1 else 0.1


def _is_within(declared: Declaration, value: float) -> bool:
    above = declared.low is None or value >= declared.low
    return above and (declared.high is None or value <= declared.high)


def _bound(value: float | None) -> str:
    return words.MISSING if value is None else words.setting_value(value)
