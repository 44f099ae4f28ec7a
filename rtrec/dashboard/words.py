"""Figures as people read them: one place decides digits, units and dashes."""

from __future__ import annotations

import math
from typing import Any

from rtrec.declared import FEATURES

MISSING = "\u2013"
TIMES = "\u00d7"
MINUS = "\u2212"
ARROW = "\u2192"
DOT = "\u00b7"

#: Names of the racing models as a reader meets them; an unknown one shows as it is called.
MODEL_NAMES = {
    "default": "rtrec blend",
    "popularity": "Popularity",
    "cooccurrence": "Co-occurrence",
    "transitions": "Transitions",
    "trails": "Trails",
}


def model_name(model: str) -> str:
    """Return the reader's name of a racing model."""
    return MODEL_NAMES.get(model, model)


def count(number: float) -> str:
    """Return a whole number with thousands separated, or a dash for NaN.

    >>> count(1234567), count(float("nan")) == MISSING
    ('1,234,567', True)
    """
    return MISSING if math.isnan(number) else f"{number:,.0f}"


def events(number: float) -> str:
    """Return a number of events with the word.

    >>> events(1), events(2000)
    ('1 event', '2,000 events')
    """
    return f"{count(number)} {'event' if number == 1 else 'events'}"


def sentence(text: str) -> str:
    """Return a text with a capital first letter.

    >>> sentence("goes with the last item")
    'Goes with the last item'
    """
    return text[:1].upper() + text[1:]


def score(number: float, digits: int = 3, *, signed: bool = False) -> str:
    """Return a metric with few digits, or a dash for NaN; a true minus sign where it is negative.

    >>> score(0.10449), score(0.00251, 4, signed=True)
    ('0.104', '+0.0025')
    """
    if math.isnan(number):
        return MISSING
    return f"{number:{'+' if signed else ''}.{digits}f}".replace("-", MINUS)


def lift(value: float, base: float) -> str:
    """Return ``value`` as a multiple of ``base``.

    >>> lift(0.15, 0.1) == "1.50" + TIMES, lift(0.1, 0.0) == MISSING
    (True, True)
    """
    if not base > 0 or math.isnan(value):
        return MISSING
    return f"{value / base:.2f}{TIMES}"


def share(number: float) -> str:
    """Return a share in whole percent, or a dash for NaN.

    >>> share(0.624)
    '62%'
    """
    return MISSING if math.isnan(number) else f"{number:.0%}"


def milliseconds(number: float) -> str:
    """Return a delay in the unit that keeps it short.

    >>> milliseconds(12.4), milliseconds(3400.0)
    ('12 ms', '3.4 s')
    """
    if math.isnan(number):
        return MISSING
    if number >= 1000:
        return f"{number / 1000:.1f} s"
    return f"{number:.0f} ms" if number >= 10 else f"{number:.1f} ms"


def megabytes(n_bytes: int) -> str:
    """Return a number of bytes in megabytes.

    >>> megabytes(1_240_000)
    '1.2 MB'
    """
    return f"{n_bytes / 1e6:.1f} MB"


def duration(seconds: float) -> str:
    """Return a length of time in its largest unit.

    >>> duration(4.2), duration(125), duration(3 * 3600), duration(7 * 86400)
    ('4 s', '2 min', '3 h', '7 days')
    >>> duration(float("nan")) == MISSING
    True
    """
    if math.isnan(seconds):
        return MISSING
    for unit, size, digits in ((" days", 86400, 1), (" h", 3600, 1), (" min", 60, 0)):
        if seconds >= 2 * size:
            return f"{_short(round(seconds / size, digits))}{unit}"
    return f"{seconds:.0f} s"


def setting_name(name: str) -> str:
    """Return a setting's name as a label.

    >>> setting_name("half_life_short_h"), setting_name("use_trending"), setting_name("weight_buy")
    ('Half-life, short', 'Popularity counts', 'Buy')
    """
    known = {
        "half_life_now_h": "Half-life, of the hour",
        "half_life_short_h": "Half-life, short",
        "half_life_long_h": "Half-life, long",
        "use_trending": "Popularity counts",
        "use_momentum": "Velocity of popularity",
        "use_cooccurrence": "Co-occurrence table",
        "use_transitions": "Transition table",
        "use_trails": "Trails",
        "use_value": "Values",
        "use_daypart": "Times of day",
        "use_category": "Categories",
        "use_catalogue": "Ages of items",
        "use_crosses": "Crosses",
        "use_content": "Content table",
        "use_history": "History table",
        "use_own": "Table of your own",
        "use_vectors": "Published vectors",
        "use_historical": "Historical features",
        "without": "Features left out",
        "cold_items": "Items without an event",
        "repeat": "Repeat items",
    }
    plain = name.removeprefix("weight_").replace("_", " ")
    return known.get(name, sentence(plain))


def feature_choices() -> dict[str, str]:
    """Return the features by what a list of them shows: several say the same, so the name comes first.

    >>> next(iter(feature_choices().items()))
    ('near_ring: goes with the items this user had last', 'near_ring')
    """
    return {f"{each.name}: {each.sentence}": each.name for each in FEATURES}


def setting_label(name: str) -> str:
    """Return a setting's name as it reads outside of its group.

    >>> setting_label("weight_buy"), setting_label("ring_length")
    ('Weight of buy', 'Ring length')
    """
    kind = name.removeprefix("weight_")
    return setting_name(name) if kind == name else f"Weight of {kind.replace('_', ' ')}"


def setting_value(value: Any, unit: str = "") -> str:
    """Return a setting's value with its unit.

    >>> setting_value(True), setting_value(24.0, "hours"), setting_value(0.05)
    ('on', '24 hours', '0.05')
    >>> setting_value(("near_ring", "count")), setting_value(())
    ('near_ring, count', 'none')
    """
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    text = _short(value).replace("-", MINUS)
    return f"{text} {unit}".rstrip()


def plain_number(number: float) -> str:
    """Return a number as one types it.

    >>> plain_number(8760.0), plain_number(-0.5)
    ('8760', '-0.5')
    """
    return f"{number:.10g}"


def _short(value: float) -> str:
    return f"{value:.6g}"
