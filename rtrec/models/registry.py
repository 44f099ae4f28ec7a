"""The models by name, each with one line on what it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rtrec.errors import InputError, nearest
from rtrec.models.base import Testable
from rtrec.settings import Settings


class Entry(NamedTuple):
    """A model that can be made from settings."""

    make: Callable[[str, Settings], Testable]
    sentence: str


def _built_in(name: str, settings: Settings) -> Testable:
    from rtrec.models.single import BuiltIn  # numba takes a second to import

    return BuiltIn(name, settings)


MODELS: dict[str, Entry] = {
    "default": Entry(_built_in, "all tables, blended by a ranker that learns after every answer"),
    "popularity": Entry(_built_in, "the items most used lately (long half-life), the same for everybody"),
    "cooccurrence": Entry(
        _built_in, "items used together with the user's last ones, filled up by popularity"
    ),
    "transitions": Entry(
        _built_in, "items that came next after the user's last ones, filled up by popularity"
    ),
    "trails": Entry(_built_in, "items taken next by those who came the same way, filled up by popularity"),
}


def make_model(name: str, settings: Settings) -> Testable:
    """Return a new model.

    Raises
    ------
    InputError
        If there is none of that name; the nearest is named.
    """
    if name not in MODELS:
        raise InputError(f"unknown model {name!r}{nearest(name, MODELS)}; there are {', '.join(MODELS)}")
    return MODELS[name].make(name, settings)
