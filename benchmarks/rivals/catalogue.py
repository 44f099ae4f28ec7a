"""Which peers there are, with which settings each is tried, and who is not here and why.

Nobody knows the best setting of a model on a log beforehand. Each peer gets several, and the table shows the
one with the highest hit rate on that log in hindsight, which rtrec's default is not given.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

from rivals.als import ALS
from rivals.base import Peer
from rivals.ease import TextbookEASE
from rivals.flurs_mf import FluRS
from rivals.item_knn import ItemKNN
from rivals.popular import AllTime
from rivals.river_mf import RiverMF

LAST = 10
HOW_TO_INSTALL = "pip install -c constraints.txt -e '.[peers]'"


class Family(NamedTuple):
    """One peer: the package it needs (None: only NumPy and SciPy), and its settings by name."""

    package: str | None
    settings: dict[str, Callable[[], Peer]]
    is_baseline: bool = False


_SIMILARITIES = {
    "cosine": "CosineRecommender",
    "BM25": "BM25Recommender",
    "TF-IDF": "TFIDFRecommender",
    "counts": "ItemItemRecommender",
}


def _knn(last: int | None) -> dict[str, Callable[[], Peer]]:
    return {label: partial(ItemKNN, name, last=last) for label, name in _SIMILARITIES.items()}


def _als(*settings: tuple[int, float, float], last: int | None) -> dict[str, Callable[[], Peer]]:
    return {
        f"{factors} factors, L2 {penalty:g}, alpha {alpha:g}": partial(
            ALS, factors, penalty, alpha, last=last
        )
        for factors, penalty, alpha in settings
    }


def _ease(*ridges: float, last: int | None) -> dict[str, Callable[[], Peer]]:
    return {f"ridge {ridge:g}": partial(TextbookEASE, ridge, last=last) for ridge in ridges}


FAMILIES: dict[str, Family] = {
    "popularity, all time": Family(None, {"": AllTime}, is_baseline=True),
    f"item-kNN, last {LAST}": Family("implicit", _knn(LAST)),
    "item-kNN, whole history": Family("implicit", _knn(None)),
    f"ALS, last {LAST}": Family(
        "implicit", _als((64, 0.01, 1.0), (64, 10.0, 10.0), (128, 1.0, 10.0), (128, 10.0, 40.0), last=LAST)
    ),
    "ALS, whole history": Family(
        "implicit", _als((64, 0.01, 1.0), (32, 0.1, 10.0), (64, 10.0, 10.0), (128, 10.0, 40.0), last=None)
    ),
    f"EASE, last {LAST}": Family(None, _ease(10.0, 50.0, 200.0, 1000.0, last=LAST)),
    "EASE, whole history": Family(None, _ease(50.0, 200.0, 1000.0, last=None)),
    "river": Family(
        "river",
        {
            "BiasedMF, ratings": partial(RiverMF, "BiasedMF", negatives=0, factors=10, rate=0.025),
            "BiasedMF, 1 drawn": partial(RiverMF, "BiasedMF", negatives=1, factors=10, rate=0.05),
            "FunkMF, 1 drawn": partial(RiverMF, "FunkMF", negatives=1, factors=20, rate=0.1),
            "FunkMF, 4 drawn": partial(RiverMF, "FunkMF", negatives=4, factors=20, rate=0.1),
        },
    ),
    "FluRS": Family(
        "flurs",
        {
            "MF as it comes": partial(FluRS, "MFRecommender", factors=40, rate=0.003, penalty=0.01),
            "MF, rate 0.05": partial(FluRS, "MFRecommender", factors=40, rate=0.05, penalty=0.01),
            # Its BPR adds the penalty where others take it off; without one it is what the paper says.
            "BPR, rate 0.05": partial(FluRS, "BPRMFRecommender", factors=40, rate=0.05, penalty=0.0),
        },
    ),
}

#: Models that one looks for in such a table, and why they are not in it.
NOT_HERE = {
    "LightFM": "its last release (2023) does not build: pip gives up in its setup.py",
    "SLIM": "no package that is kept; EASE is the same model in closed form, and rtrec's own is "
    "`rtrec evaluate --models slim`",
}


def make(family: str, setting: str, refit_every: int | None) -> Peer:
    """Return a new peer; ``refit_every`` None: as the family does by itself."""
    maker = FAMILIES[family].settings[setting]
    peer = maker()
    if refit_every is not None and peer.refit_every is not None:
        peer.refit_every = refit_every
    return peer


def missing(family: str) -> str | None:
    """Return why a family cannot be measured here, in one line; None: it can."""
    package = FAMILIES[family].package
    if package is None:
        return None
    try:
        version(package)
    except PackageNotFoundError:
        return f"{package} is not installed; {HOW_TO_INSTALL}"
    try:
        import_module(package)
    except Exception as error:  # whatever a package does that was made for other versions
        return f"{package} {version(package)} breaks at import: {type(error).__name__}: {error}"
    return None
