"""The models by name, each with one line on what it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from rtrec.errors import InputError, nearest
from rtrec.models.base import Model
from rtrec.settings import Settings

if TYPE_CHECKING:
    from rtrec.models.published import Published

#: Published tables by slot (:data:`rtrec.declared.SLOTS`).
Tables = Mapping[str, "Published"]


class Entry(NamedTuple):
    """A model that can be made from settings."""

    make: Callable[[str, Settings, Tables], Model]
    sentence: str


def _built_in(name: str, settings: Settings, published: Tables) -> Model:
    from rtrec.models.single import BuiltIn  # numba takes a second to import

    return BuiltIn(name, settings, published=published if name == "default" else None)


def _all_time(name: str, settings: Settings, published: Tables) -> Model:
    """Make popularity that forgets nothing: a half-life beyond all bounds, so this copy is not checked."""
    return _built_in("popularity", settings.model_copy(update={"half_life_long_h": 1e12}), published)


def _fitted(name: str, settings: Settings, published: Tables) -> Model:
    """Make a model that is fitted again every 5,000 events."""
    from rtrec.models.nearline.recipe import make_nearline
    from rtrec.models.nearline.refitted import Refitted

    tested: Model = Refitted(make_nearline(name), kind_weights=settings.kind_weights())
    return tested


def _streaming(home: str) -> Callable[[str, Settings, Tables], Model]:
    def make(name: str, settings: Settings, published: Tables) -> Model:
        module, model = home.split(":")
        of_module = getattr(import_module(f"rtrec.models.streaming.{module}"), model)
        streaming: Model = of_module(kind_weights=settings.kind_weights())
        return streaming

    return make


MODELS: dict[str, Entry] = {
    "default": Entry(_built_in, "all tables, blended by a ranker that learns after every answer"),
    "popularity": Entry(_built_in, "the items most used lately (long half-life), the same for everybody"),
    "popularity-all-time": Entry(_all_time, "the items most used ever, the same for everybody"),
    "cooccurrence": Entry(
        _built_in, "items used together with the user's last ones, filled up by popularity"
    ),
    "transitions": Entry(
        _built_in, "items that came next after the user's last ones, filled up by popularity"
    ),
    "trails": Entry(_built_in, "items taken next by those who came the same way, filled up by popularity"),
    "isgd": Entry(_streaming("isgd:ISGD"), "matrix factorisation, one gradient step an event"),
    "bpr": Entry(_streaming("bpr:BPR"), "matrix factorisation that learns to rank what was taken higher"),
    "item-knn": Entry(_fitted, "items whose users are alike (cosine, shrunk), refitted"),
    "neighbourhood": Entry(_fitted, "items alike, favouring the popular ones, refitted"),
    "ease": Entry(_fitted, "linear item-to-item weights in closed form, updated and refitted"),
    "slim": Entry(_fitted, "EASE pruned to its strongest weights and solved again, refitted"),
    "ials": Entry(_fitted, "matrix factorisation by alternating least squares, users folded in, refitted"),
    "embedding": Entry(_fitted, "user and item embeddings under a dense head, in torch"),
    "two-tower": Entry(_fitted, "a tower for users and one for items, sampled softmax, in torch"),
    "sequence": Entry(_fitted, "causal self-attention over the user's sequence, in torch"),
}
#: Those that know nothing of who asks; every other one is measured against the best of them.
POPULARITIES = ("popularity", "popularity-all-time")
#: Those that race on the same tables in a live run.
BUILT_IN = ("default", "popularity", "cooccurrence", "transitions", "trails")


def make_model(name: str, settings: Settings, published: Tables | None = None) -> Model:
    """Return a new model; only ``default`` looks at tables that are ``published``.

    Raises
    ------
    InputError
        If there is none of that name (the nearest is named), or it needs a package that is not installed.
    """
    if name not in MODELS:
        raise InputError(f"unknown model {name!r}{nearest(name, MODELS)}; there are {', '.join(MODELS)}")
    return MODELS[name].make(name, settings, published or {})
