"""What is typed behind an option of a run, as the value that it means."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING

from rtrec.cli.options import MOST_EVENTS
from rtrec.errors import InputError

if TYPE_CHECKING:
    from rtrec.engine.overload import OverloadPlan

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_speed(text: str) -> float | None:
    """Read ``max`` (None), ``60x`` or ``60``.

    >>> parse_speed("60x")
    60.0

    Raises
    ------
    InputError
        If it is nothing of the kind.
    """
    if text.strip().lower() == "max":
        return None
    try:
        speed = float(text.strip().lower().removesuffix("x"))
    except ValueError:
        speed = math.nan
    if not 0 < speed < math.inf:
        raise InputError(f"--speed {text!r}: expected max, or times recorded speed such as 60x")
    return speed


def parse_warmup(text: str) -> float | int:
    """Read a share below 1 or a number of events.

    >>> parse_warmup("0.2"), parse_warmup("20000")
    (0.2, 20000)

    Raises
    ------
    InputError
        If it is neither.
    """
    try:
        warmup = float(text)
    except ValueError:
        warmup = math.nan
    if 0 <= warmup < 1:
        return warmup
    if not 1 <= warmup <= MOST_EVENTS or not warmup.is_integer():
        raise InputError(f"--warmup {text!r}: expected a share from 0 to below 1, or a number of events")
    return int(warmup)


def parse_lateness(text: str) -> timedelta:
    """Read ``off`` (any lateness), or a number with a unit: ``90s``, ``30m``, ``12h``, ``7d``.

    >>> parse_lateness("12h")
    datetime.timedelta(seconds=43200)

    Raises
    ------
    InputError
        If it is nothing of the kind.
    """
    from rtrec.events.watermark import ANY_LATENESS

    if text.strip().lower() == "off":
        return ANY_LATENESS
    number, unit = text.strip()[:-1], text.strip()[-1:].lower()
    try:
        lateness = timedelta(**{_UNITS[unit]: float(number)})
    except (KeyError, ValueError, OverflowError):
        lateness = timedelta(-1)
    if lateness < timedelta(0):
        raise InputError(
            f"--lateness {text!r}: expected a number with a unit, such as 90s, 30m, 12h or 7d, or off"
        )
    return lateness


def parse_overload(sampling: str, after_s: float) -> OverloadPlan:
    """Read ``off`` (test all, whatever comes) or a share such as ``0.1``, and from when on it holds.

    >>> parse_overload("0.05", 30.0).share, parse_overload("off", 10.0).share
    (0.05, 1.0)

    Raises
    ------
    InputError
        If it is neither, or out of bounds.
    """
    from rtrec.cli.blame import blaming
    from rtrec.engine.overload import OverloadPlan

    try:
        share = 1.0 if sampling.strip().lower() == "off" else float(sampling)
    except ValueError:
        share = math.nan
    if not 0.0 < share <= 1.0:
        raise InputError(f"--sampling {sampling!r}: expected off, or a share above 0 such as 0.1")
    plan = OverloadPlan(share=share, above_s=after_s)
    with blaming("--overload-after", f"{after_s:g}"):
        plan.check()
    return plan
