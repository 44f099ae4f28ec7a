"""HTML for notebooks: tables, interval bars and small curves that show in light and dark themes alike.

Everything is drawn in ``currentColor``, so a theme colours it, and needs no script and no style sheet. Names
come from outside, so text is escaped here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from rtrec.evaluation.metrics import Difference
from rtrec.types import Floats

_BAR = "position:absolute;top:0.3em;height:0.5em;background:currentColor;border-radius:2px;"
_CURVE_WIDTH, _CURVE_HEIGHT = 480, 90
#: The first curve is solid, the second faint and dashed: told apart without colours.
_STROKES = ('stroke-width="1.8"', 'stroke-width="1.4" stroke-dasharray="4 3" opacity="0.65"')


class Markup(str):
    """Text that is HTML already; any other string is escaped where it is shown."""

    __slots__ = ()


def table(
    caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()
) -> Markup:
    """Return a table with its caption above and notes below.

    >>> "<b>" in table("t", ["model"], [["<b>"]])
    False
    """
    style = "text-align:left;padding:0.2em 1em 0.2em 0;white-space:nowrap"
    top = "".join(f'<th scope="col" style="{style}">{_safe(each)}</th>' for each in head)
    body = "".join(
        "<tr>" + "".join(f'<td style="{style}">{_safe(cell)}</td>' for cell in row) + "</tr>" for row in rows
    )
    below = "".join(f'<div style="opacity:0.75;font-size:90%">{_safe(each)}</div>' for each in notes)
    return Markup(
        f'<div style="overflow-x:auto"><table style="border-collapse:collapse;color:inherit">'
        f'<caption style="text-align:left;caption-side:top;font-weight:600">{_safe(caption)}</caption>'
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>{below}</div>"
    )


def interval_cell(value: float, low: float, high: float, top: float) -> Markup:
    """Return a figure with its interval, and a bar of it on a scale from 0 to ``top``."""
    figures = f'<span title="95% interval {low:.4f} to {high:.4f}">{value:.4f}</span>'
    if not (np.isfinite([value, low, high]).all() and top > 0):
        return Markup(figures)
    left, right = (100.0 * min(max(each / top, 0.0), 1.0) for each in (low, high))
    length = 100.0 * min(max(value / top, 0.0), 1.0)
    return Markup(
        f"{figures} <small>[{low:.4f}, {high:.4f}]</small>"
        f'<div aria-hidden="true" style="position:relative;height:1.1em;width:12em">'
        f'<div style="{_BAR}left:0;width:{length:.1f}%;opacity:0.35"></div>'
        f'<div style="{_BAR}left:{left:.1f}%;width:{right - left:.1f}%;opacity:0.8"></div></div>'
    )


def difference_cell(difference: Difference) -> Markup:
    """Return a signed difference with its interval."""
    value, low, high = difference
    return Markup(f"{value:+.4f} <small>[{low:+.4f}, {high:+.4f}]</small>")


def curves(title: str, names: Sequence[str], values: Floats) -> Markup:
    """Return a picture of two curves, ``values`` of shape ``(x, curve)``; empty without two points."""
    top = float(np.nanmax(values)) if np.isfinite(values).any() else 0.0
    if len(values) < 2 or top <= 0.0:
        return Markup("")
    across = np.linspace(1.0, _CURVE_WIDTH - 1.0, len(values))
    up = _CURVE_HEIGHT - 3.0 - values / top * (_CURVE_HEIGHT - 6.0)
    lines = []
    for curve, stroke in zip(up.T, _STROKES, strict=False):
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, curve, strict=True) if np.isfinite(y))
        lines.append(f'<polyline fill="none" stroke="currentColor" {stroke} points="{points}"/>')
    legend = " · ".join(f"{each} ({look})" for each, look in zip(names, ("solid", "dashed"), strict=False))
    return Markup(
        f'<svg role="img" viewBox="0 0 {_CURVE_WIDTH} {_CURVE_HEIGHT}" style="width:100%;max-width:40em">'
        f"<title>{_safe(title)}</title>{''.join(lines)}</svg>"
        f'<div style="font-size:90%">{_safe(title)}, 0 to {top:.3f}: {_safe(legend)}</div>'
    )


def _safe(text: str) -> str:
    return text if isinstance(text, Markup) else escape(text, quote=True)
