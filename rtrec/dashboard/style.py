"""Colours and themes, in one place; ``dashboard.css`` beside this file has the rest of the look."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

#: Okabe and Ito's palette (2008), told apart with any colour vision; dashes tell the lines apart in grey.
MODEL_COLOURS = {
    "default": "#0072b2",
    "popularity": "#6b7480",
    "cooccurrence": "#009e73",
    "transitions": "#d55e00",
    "trails": "#cc79a7",
}
MODEL_DASHES = {
    "popularity": "dashed",
    "cooccurrence": "dotdash",
    "transitions": "dotted",
    "trails": "dashdot",
}
SPARE_COLOURS = ("#e69f00", "#56b4e9", "#a05195")
BLUE, GREEN, AMBER, RED, PURPLE = "#0072b2", "#00825f", "#b26a00", "#c62828", "#8e4ec6"

THEME: dict[str, Any] = {
    "light": {
        "palette": {
            "primary": {"main": "#0a5ea8", "contrastText": "#ffffff"},
            "background": {"default": "#f4f6f8", "paper": "#ffffff"},
            "text": {"primary": "#17212b", "secondary": "#5a6672"},
            "divider": "#e1e6eb",
        },
        "typography": {"fontSize": 13, "button": {"textTransform": "none", "fontWeight": 500}},
        "shape": {"borderRadius": 8},
    },
    "dark": {
        "palette": {
            "primary": {"main": "#5fb0f0", "dark": "#8cc6f5", "contrastText": "#0f1720"},
            "background": {"default": "#0f141a", "paper": "#171e26"},
            "text": {"primary": "#e8edf2", "secondary": "#a0acb8"},
            "divider": "#2a343f",
        },
        "typography": {"fontSize": 13, "button": {"textTransform": "none", "fontWeight": 500}},
        "shape": {"borderRadius": 8},
    },
}

#: A quiet bar of the page's own colour instead of a block of the primary colour.
PAGE_SX: dict[str, Any] = {
    ".MuiAppBar-root": {
        "bgcolor": "primary.contrastText",
        "color": "primary.main",
        "backgroundColor": "var(--mui-palette-background-paper)",
        "backgroundImage": "none",
        "boxShadow": "none",
        "borderBottom": "1px solid var(--mui-palette-divider)",
    },
    # Panel is busy with every live update, so its bar would never rest.
    ".MuiAppBar-root > .MuiLinearProgress-root": {"display": "none"},
    "main .MuiToolbar-root": {"margin": 0},
    "main": {"backgroundColor": "var(--mui-palette-background-default)"},
}

#: As high as what is in it, or the room below would be lost where a page is longer than the window.
PAGE = {"padding": "16px 20px 24px", "min-height": "max-content"}

CARD = {
    "border": "1px solid var(--mui-palette-divider)",
    "border-radius": "10px",
    "background": "var(--mui-palette-background-paper)",
    "padding": "14px 18px 12px",
}

SHEET = (files("rtrec.dashboard") / "dashboard.css").read_text(encoding="utf-8")


def model_colour(model: str, place: int = 0) -> str:
    """Return the colour of a racing model; a model of the user's own gets a spare one."""
    return MODEL_COLOURS.get(model, SPARE_COLOURS[place % len(SPARE_COLOURS)])
