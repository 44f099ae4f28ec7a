"""What all pages are built of: cards, panes of markup, and places to put messages."""

from __future__ import annotations

from html import escape
from typing import Any

import panel as pn
from panel.models import HTML

from rtrec.dashboard import style
from rtrec.dashboard.markup import Html, join, tag

#: Panel's columns hold a button to scroll down, which would get a gap of its own.
_NO_BUTTON = ".scroll-button { display: none; }"

#: What a row does in a narrow window: its objects go below each other, or into as many lines as they need.
STACK = """
@media (max-width: 1100px) {
  :host { flex-direction: column !important; align-items: stretch !important; }
  :host > div { flex: 0 0 auto !important; width: auto !important; position: static !important; }
}
"""
WRAP = """
@media (max-width: 1100px) { :host { flex-wrap: wrap !important; } :host > div { min-width: 190px; } }
"""


class MarkupPane(pn.pane.Bokeh):
    """A place for our own markup; everything in it was escaped by :mod:`rtrec.dashboard.markup`.

    Panel's own HTML pane sends its style sheets again with every update and takes 5 ms for it, and Bokeh's
    ``Div`` lays out the whole page again in the browser. Of Panel's model alone only the text is sent, and
    only the text is drawn.
    """

    def __init__(self, markup: Html | None = None, **options: Any) -> None:
        self._markup = markup or ""
        layout: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": 0} | options
        model = HTML(
            text=escape(self._markup),
            disable_math=True,
            run_scripts=False,
            stylesheets=[style.SHEET],
            **layout,
        )
        super().__init__(model, **layout)

    @property
    def markup(self) -> str:
        """Return what is shown now."""
        return self._markup

    def show(self, markup: Html | None) -> None:
        """Show ``markup``, or hide the pane when there is none; equal markup costs nothing."""
        with pn.io.unlocked():  # or it could reach the browser before the page that it belongs to
            if self._markup != (markup or ""):
                self._markup = markup or ""
                self.object.text = escape(self._markup)  # the browser's side takes one layer off again
            # Panel takes what equals its default from the model: one made hidden would stay so for ever.
            if self.object.visible != bool(markup):
                self.object.visible = bool(markup)
        self.param.update(visible=bool(markup))


def card(*objects: Any, **options: Any) -> pn.Column:
    """Return a card with a thin border."""
    return _box(pn.Column, objects, style.CARD, options)


def heading(title: str, subtitle: str = "") -> Html:
    """Return a card's title with a quiet sentence under it."""
    return join(
        tag("div", title, css="title", role="heading", aria_level="2"),
        tag("div", subtitle, css="subtitle") if subtitle else None,
    )


def row(*objects: Any, gap: int = 16, align: str = "stretch", narrow: str = "", **options: Any) -> pn.Row:
    """Return objects side by side with a gap between them, equally high unless ``align`` says otherwise.

    ``narrow`` is :data:`STACK` or :data:`WRAP`, or a style sheet of the caller's own.
    """
    if narrow:
        options["stylesheets"] = [*options.get("stylesheets", ()), narrow]
    for each in objects:  # Panel aligns each child itself, to the top
        each.styles = each.styles | {"align-self": align} | ({"height": "auto"} if align == "stretch" else {})
    return _box(pn.Row, objects, {"gap": f"{gap}px", "align-items": align}, options)


def column(*objects: Any, gap: int = 16, **options: Any) -> pn.Column:
    """Return objects one below the other with a gap between them."""
    return _box(pn.Column, objects, {"gap": f"{gap}px"}, {"stylesheets": [_NO_BUTTON]} | options)


def _box(kind: type[Any], objects: tuple[Any, ...], styles: dict[str, str], options: dict[str, Any]) -> Any:
    # Panel's own rows and columns: its FlexBox and the Material containers cost ten times as much to build.
    styles = styles | options.pop("styles", {})
    defaults: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": 0}
    return kind(*objects, styles=styles, **(defaults | options))
