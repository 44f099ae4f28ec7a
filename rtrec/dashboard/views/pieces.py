"""What all pages are built of: cards, panes of markup, and places to put messages."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import panel as pn
import panel_material_ui as pmui
import param
from panel.models import HTML

from rtrec.dashboard import style
from rtrec.dashboard.markup import Html, join, tag

#: Panel's columns hold a button to scroll down, which would get a gap of its own.
NO_BUTTON = ".scroll-button { display: none; }"

#: The class of a pane that has nothing to show.
_GONE = "gone"

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

    A pane without markup takes no room. It is not made invisible for that, but given a class: where Panel's
    model becomes visible before the browser has drawn it, it throws, and all that came with it is lost.
    """

    def __init__(self, markup: Html | None = None, **options: Any) -> None:
        self._markup = markup or ""
        self._classes = ["markup", *options.pop("css_classes", ())]
        layout: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": 0} | options
        layout["stylesheets"] = [style.SHEET, *options.get("stylesheets", ())]
        layout["css_classes"] = self._classes_now()
        model = HTML(text=escape(self._markup), disable_math=True, run_scripts=False, **layout)
        super().__init__(model, **layout)

    @property
    def markup(self) -> str:
        """Return what is shown now."""
        return self._markup

    @property
    def is_shown(self) -> bool:
        """Say whether there is anything to see."""
        return _GONE not in self.css_classes

    def show(self, markup: Html | None) -> None:
        """Show ``markup``, or nothing; equal markup costs nothing."""
        if self._markup == (markup or ""):
            return
        self._markup = markup or ""
        with pn.io.unlocked():  # or it could reach the browser before the page that it belongs to
            self.object.text = escape(self._markup)  # the browser's side takes one layer off again
        self.css_classes = self._classes_now()

    def _classes_now(self) -> list[str]:
        return self._classes if self._markup else [*self._classes, _GONE]


class FoldingPane(pn.custom.JSComponent):
    """A place for markup with parts that unfold: what a reader opened stays open when the text changes.

    Each ``details`` element is known by its ``data-key``. The markup is escaped as that of a
    :class:`MarkupPane`, which would fold all of it with every update.
    """

    markup = param.String(default="")

    _esm = """
export function render({ model }) {
  const box = document.createElement("div")
  const known = () => [...box.querySelectorAll("details")]
  const show = () => {
    const open = new Set(known().filter((each) => each.open).map((each) => each.dataset.key))
    const held = box.getRootNode().activeElement?.closest?.("details")?.dataset.key
    box.innerHTML = model.markup
    for (const each of known()) {
      each.open = open.has(each.dataset.key)
      if (held !== undefined && each.dataset.key === held) each.querySelector("summary").focus()
    }
  }
  model.on("markup", show)
  show()
  return box
}
"""

    def __init__(self, **options: Any) -> None:
        layout: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": 0, "stylesheets": [style.SHEET]}
        super().__init__(**(layout | options))

    def show(self, markup: Html) -> None:
        """Show ``markup``; equal markup costs nothing."""
        self.markup = str(markup)


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
    return _box(pn.Column, objects, {"gap": f"{gap}px"}, {"stylesheets": [NO_BUTTON]} | options)


def button(label: str, action: Callable[[], None], **options: Any) -> pmui.Button:
    """Return a button that calls ``action``."""
    look: dict[str, Any] = {"variant": "contained", "margin": 0, "size": "medium", "sizing_mode": None}
    made = pmui.Button(label=label, **(look | options))
    made.on_click(lambda _: action())
    return made


def _box(kind: type[Any], objects: tuple[Any, ...], styles: dict[str, str], options: dict[str, Any]) -> Any:
    # Panel's own rows and columns: its FlexBox and the Material containers cost ten times as much to build.
    styles = styles | options.pop("styles", {})
    defaults: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": 0}
    return kind(*objects, styles=styles, **(defaults | options))
