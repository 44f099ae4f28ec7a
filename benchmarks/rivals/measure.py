"""Test one model on one data set, in a process of its own and on one thread."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from rtrec.models.base import Ranks
from rtrec.models.registry import BUILT_IN

K = 10
#: rtrec's own: those of the registry, and the default that is not told any titles, as no peer is.
WITHOUT_TEXTS = "default without texts"
OURS = ("default", WITHOUT_TEXTS, *BUILT_IN[1:])
#: Libraries read these once, when they are loaded; a process started with them has one thread.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_TELL_S = 10.0


@dataclass(frozen=True)
class Measured:
    """One setting of one model on one data set; ``answering_per_s`` leaves refits out."""

    family: str
    setting: str
    events: int
    hr: float
    ndcg: float
    coverage: float
    seconds: float
    fit_seconds: float
    fits: int
    peak_rss_mb: float
    ranks: Ranks = field(repr=False)

    @property
    def name(self) -> str:
        """Return what to call it in a line of text."""
        return f"{self.family} ({self.setting})" if self.setting else self.family

    @property
    def events_per_s(self) -> float:
        """Return the events answered and learned in a second, refits included."""
        return self.events / self.seconds

    @property
    def answering_per_s(self) -> float:
        """Return the events answered and learned in a second of the time between refits."""
        return self.events / (self.seconds - self.fit_seconds)

    def figures(self) -> dict[str, Any]:
        """Return everything but the ranks, as JSON knows it."""
        values = {name: value for name, value in asdict(self).items() if name != "ranks"}
        return values | {"events_per_s": self.events_per_s, "answering_per_s": self.answering_per_s}


def prepare(name: str, source: Path, data_dir: Path) -> None:
    """Make a data set ready under ``data_dir``."""
    from rtrec.events.datasets import get_dataset
    from rtrec.events.fetching import fetch

    fetch(get_dataset(name), data_dir=data_dir, source=source, accept_licence=_show)


def _show(terms: str) -> bool:
    tell(terms)
    return True


def tell(line: str) -> None:
    """Say on stderr what is going on: stdout is for the table."""
    print(line, file=sys.stderr, flush=True)


def measure(
    family: str, setting: str, dataset: str, data_dir: Path, refit_every: int | None, limit: int | None
) -> Measured:
    """Evaluate one model on one data set in this process."""
    from rivals.catalogue import FAMILIES, make
    from rtrec.evaluation.prequential import evaluate
    from rtrec.events.datasets import get_dataset, item_texts, load_source
    from rtrec.events.loading import load_events

    known = get_dataset(dataset)
    loaded = load_events(load_source(known, data_dir / dataset))
    peer = make(family, setting, refit_every) if family in FAMILIES else None
    if peer is not None:
        peer.watch = _heartbeat(f"  {dataset}: {family} {setting}")
    registered = "default" if family == WITHOUT_TEXTS else family
    models: Any = (registered,) if peer is None else {registered: lambda: peer}
    texts = item_texts(known, data_dir / dataset) if family == "default" else None
    result = evaluate(loaded, models=models, k=K, limit=limit, texts=texts)[registered]
    return Measured(
        family=family,
        setting=setting,
        events=result.events,
        hr=result.hit_rate,
        ndcg=result.ndcg,
        coverage=result.coverage,
        seconds=result.seconds,
        fit_seconds=peer.fit_seconds if peer else 0.0,
        fits=peer.fits if peer else 0,
        peak_rss_mb=result.peak_rss_mb,
        ranks=result.ranks.astype(np.int16),
    )


def _heartbeat(name: str) -> Callable[[Any], None]:
    started = told = time.monotonic()

    def watch(peer: Any) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= _TELL_S:
            told = now
            tell(f"{name}: {peer.n_learned:,} events, {peer.fits} refits, {now - started:.0f} s")

    return watch


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call ``function`` in a new process and return what it returns.

    Linux hands a parent's peak RSS down to its children, so nothing large is ever loaded in this process.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


class Kept:
    """Measurements on disk, one file each, so that a run that was stopped goes on where it was.

    None: nothing is kept.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def get(self, key: tuple[Any, ...], make: Callable[[], Measured]) -> Measured:
        """Return what is kept under ``key``; measure and keep it if nothing is."""
        if self.folder is None:
            return make()
        path = self.folder / f"{'_'.join(map(_plain, key))}.npz"
        if path.is_file():
            with np.load(path, allow_pickle=False) as kept:
                return Measured(**json.loads(str(kept["figures"])), ranks=kept["ranks"])
        made = make()
        values = {name: value for name, value in asdict(made).items() if name != "ranks"}
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part.npz")
        np.savez_compressed(unfinished, figures=json.dumps(values), ranks=made.ranks)
        unfinished.replace(path)
        return made


def _plain(part: Any) -> str:
    return "".join(letter if letter.isalnum() or letter in ".-" else "-" for letter in str(part))


def median(turns: list[Measured]) -> Measured:
    """Return the first turn with the median times and peak of all: ranks must be the same in each.

    Raises
    ------
    RuntimeError
        If they are not: then chance has a part in it, and no figure stands for the model.
    """
    one = turns[0]
    if any(not np.array_equal(each.ranks, one.ranks) for each in turns):
        raise RuntimeError(f"{one.name}: the same events got other ranks in another round")
    turns = sorted(turns, key=lambda each: each.seconds)
    middle = turns[len(turns) // 2]  # seconds and seconds of refits belong to one and the same turn
    peak = statistics.median(each.peak_rss_mb for each in turns)
    return replace(middle, peak_rss_mb=peak)


def best(measured: list[Measured]) -> Measured:
    """Return the one with the highest hit rate; the first of several."""
    return max(measured, key=lambda each: each.hr)


def by_family(measured: list[Measured]) -> Iterator[tuple[str, list[Measured]]]:
    """Iterate over the families in order, each with its settings."""
    for family in dict.fromkeys(each.family for each in measured):
        yield family, [each for each in measured if each.family == family]
