"""Small pieces of HTML. Ids, titles and messages come from outside, so every text is escaped here.

A :class:`Html` is text that is markup already; anything else given to :func:`tag` is escaped. Views build
pages from these functions only, never by joining strings themselves.
"""

from __future__ import annotations

from html import escape


class Html(str):
    """Text that is markup already, because :func:`tag` or :func:`join` made it."""

    __slots__ = ()


def tag(name: str, *children: str | None, css: str = "", **attributes: str) -> Html:
    """Return an element; children that are not markup themselves are escaped, None is left out.

    >>> tag("b", "<script>", css="title")
    '<b class="title">&lt;script&gt;</b>'
    >>> tag("p", tag("b", "x"), " & y", title='say "hi"')
    '<p title="say &quot;hi&quot;"><b>x</b> &amp; y</p>'
    """
    shown = {"class": css, **{key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}}
    opening = "".join(f' {key}="{escape(value, quote=True)}"' for key, value in shown.items() if value)
    inside = "".join(_safe(child) for child in children if child is not None)
    return Html(f"<{name}{opening}>{inside}</{name}>")


def join(*children: str | None) -> Html:
    """Return several pieces as one, each escaped unless it is markup."""
    return Html("".join(_safe(child) for child in children if child is not None))


def _safe(child: str) -> str:
    return child if isinstance(child, Html) else escape(child, quote=True)


def empty_state(title: str, sentence: str) -> Html:
    """Return what a card shows while there is nothing to show: what is missing and what comes next."""
    return tag(
        "div", tag("div", title, css="empty-title"), tag("div", sentence, css="empty-text"), css="empty"
    )


def message(kind: str, title: str, *sentences: str) -> Html:
    """Return a boxed message; ``kind`` is info, good, warn or bad."""
    role = "alert" if kind == "bad" else "status"
    body = [tag("div", sentence, css="message-text") for sentence in sentences]
    return tag("div", tag("div", title, css="message-title"), *body, css=f"message {kind}", role=role)


def interval_bar(low: float, value: float, high: float, *, start: float, end: float, colour: str) -> Html:
    """Return a whisker from ``low`` to ``high`` with a dot at ``value``, on a scale from start to end.

    All are in the metric's own unit; what lies outside the scale is drawn at its edge.
    """
    left, dot, right = (_percent(each, start, end) for each in (low, value, high))
    return tag(
        "div",
        tag("div", css="whisker", style=f"left:{left:.1f}%;width:{right - left:.1f}%;background:{colour}"),
        tag("div", css="dot", style=f"left:{dot:.1f}%;background:{colour}"),
        css="interval",
        aria_hidden="true",
    )


def difference_bar(low: float, value: float, high: float, *, reach: float, colour: str) -> Html:
    """Return a whisker on a scale from ``-reach`` to ``reach`` with a mark at zero."""
    whisker = interval_bar(low, value, high, start=-reach, end=reach, colour=colour)
    return tag("div", tag("div", css="zero"), whisker, css="difference", aria_hidden="true")


def part_bar(part: float, largest: float) -> Html:
    """Return a bar of ``part`` to the right of the middle, or to its left if negative."""
    width = min(50.0, 50.0 * abs(part) / largest) if largest > 0 else 0.0
    side = "left" if part >= 0 else "right"
    sign = "up" if part >= 0 else "down"
    bar = tag("div", css=f"part-fill {sign}", style=f"{side}:50%;width:{width:.1f}%")
    return tag("div", bar, css="part", aria_hidden="true")


def _percent(value: float, start: float, end: float) -> float:
    share = (value - start) / (end - start) if end > start else 0.5
    return 100.0 * min(1.0, max(0.0, share))
