"""The default recommender beside popularity, the single tables and implicit's item-kNN, in one run.

    python benchmarks/peers.py --from DIR [--dataset NAME]... [--rounds 3] [--refit-every 1000] [--json]

The protocol is that of ``rtrec evaluate``: warm-up 0.2, one event at a time, all items ranked, nothing
recommended that the user had. Every model runs in a process of its own, so that peak RSS (loading the file
included) is its own. The models take turns for ``--rounds`` rounds and the median speed counts: a machine
that is slow for a while is slow for all. Speed is events answered and learned in a second after compilation;
item-kNN's is given with and without its refits.

The peers (item_knn.py) are implicit's item-item models (Sarwar et al. 2001) with 200 neighbours and each of
its four similarities, fitted again every ``--refit-every`` events, looking from the user's last 10 items, and
popularity over all time beside rtrec's own, which forgets. The ratios are to the popularity and to the
item-kNN with the higher hit rate on the data set at hand.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from item_knn import ItemKNN

from rtrec.evaluation.comparison import compare
from rtrec.models.base import Ranks
from rtrec.models.registry import BUILT_IN

#: Names in the table, and the classes of implicit behind them.
SIMILARITIES = {
    "item-kNN cosine": "CosineRecommender",
    "item-kNN TF-IDF": "TFIDFRecommender",
    "item-kNN BM25": "BM25Recommender",
    "item-kNN counts": "ItemItemRecommender",
}
ALL_TIME = "popularity, all time"
POPULARITIES = ("popularity", ALL_TIME)
DATASETS = ("movielens-latest-small", "online-retail")
K = 10


@dataclass(frozen=True)
class Measured:
    """One model on one data set, from a process of its own; ``answering_per_s`` leaves refits out."""

    model: str
    events: int
    hr: float
    ndcg: float
    coverage: float
    events_per_s: float
    answering_per_s: float
    fits: int
    peak_rss_mb: float
    ranks: Ranks


def prepare(name: str, source: Path, data_dir: Path) -> None:
    """Make a data set ready under ``data_dir``."""
    from rtrec.events.datasets import get_dataset
    from rtrec.events.fetching import fetch

    fetch(get_dataset(name), data_dir=data_dir, source=source, accept_licence=_show)


def _show(terms: str) -> bool:
    print(terms, file=sys.stderr)
    return True


def measure(model: str, name: str, data_dir: Path, refit_every: int, limit: int | None) -> Measured:
    """Evaluate one model on one data set in this process."""
    from rtrec.evaluation.prequential import evaluate
    from rtrec.events.datasets import get_dataset, item_texts, load_source
    from rtrec.events.loading import load_events

    dataset = get_dataset(name)
    loaded = load_events(load_source(dataset, data_dir / name))
    peer = ItemKNN(SIMILARITIES.get(model), refit_every)
    models: Any = (model,) if model in BUILT_IN else {model: lambda: peer}
    texts = item_texts(dataset, data_dir / name) if model == "default" else None
    result = evaluate(loaded, models=models, k=K, limit=limit, texts=texts)[model]
    return Measured(
        model=model,
        events=result.events,
        hr=result.hit_rate,
        ndcg=result.ndcg,
        coverage=result.coverage,
        events_per_s=result.events_per_s,
        answering_per_s=result.events / (result.seconds - peer.fit_seconds),
        fits=peer.fits,
        peak_rss_mb=result.peak_rss_mb,
        ranks=result.ranks,
    )


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call ``function`` in a new process and return what it returns.

    Linux hands a parent's peak RSS down to its children, so nothing large is ever loaded in this process.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def race(
    name: str, data_dir: Path, *, rounds: int, refit_every: int, limit: int | None
) -> dict[str, Measured]:
    """Let models take turns on a data set; speeds and peaks are medians over the rounds.

    Ranks are the same in every round, so baselines that are not the best race in the first one only.
    """
    turns: dict[str, list[Measured]] = {model: [] for model in (*BUILT_IN, ALL_TIME, *SIMILARITIES)}
    racing = list(turns)
    for number in range(rounds):
        for model in racing:
            print(f"{name}: round {number + 1} of {rounds}, {model}", file=sys.stderr)
            turns[model].append(apart(measure, model, name, data_dir, refit_every, limit))
        first = {model: each[0] for model, each in turns.items()}
        racing = [*BUILT_IN, best(POPULARITIES, first), best(SIMILARITIES, first)]
        racing = list(dict.fromkeys(racing))
    return {model: _median(each) for model, each in turns.items()}


def best(models: Iterable[str], measured: dict[str, Measured]) -> str:
    """Return the one of ``models`` with the highest hit rate."""
    return max(models, key=lambda model: measured[model].hr)


def _median(turns: list[Measured]) -> Measured:
    first = turns[0]
    if any(not np.array_equal(each.ranks, first.ranks) for each in turns):
        raise RuntimeError(f"{first.model}: the same events got other ranks in another round")
    middle = {
        name: statistics.median(getattr(each, name) for each in turns)
        for name in ("events_per_s", "answering_per_s", "peak_rss_mb")
    }
    return replace(first, **middle)


def as_rows(measured: dict[str, Measured]) -> list[dict[str, Any]]:
    """Return figures and their ratios to the better popularity and the best item-kNN, a row a model."""
    baselines = {
        "popularity": measured[best(POPULARITIES, measured)],
        "item-kNN": measured[best(SIMILARITIES, measured)],
    }
    rows = []
    for each in measured.values():
        row = {name: value for name, value in vars(each).items() if name != "ranks"}
        for baseline, other in baselines.items():
            row[f"to {baseline}"] = {
                name: round(getattr(each, name) / getattr(other, name), 4)
                for name in ("hr", "ndcg", "events_per_s", "answering_per_s", "peak_rss_mb")
            }
        rows.append(row)
    return rows


def as_markdown(name: str, measured: dict[str, Measured]) -> str:
    """Return the table as the README shows it, and what the default gains event by event."""
    popular, knn = best(POPULARITIES, measured), best(SIMILARITIES, measured)
    head = [f"model on {name}", f"hr@{K}", f"ndcg@{K}", "events/s", "peak RSS, MB"]
    for baseline in (popular, knn):
        head += [f"hr@{K} / {baseline}", f"ndcg@{K} / {baseline}"]
    head += [f"events/s / {knn}", f"peak RSS / {knn}"]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for row in as_rows(measured):
        popularity, peer = row["to popularity"], row["to item-kNN"]
        figures = [f"{row['hr']:.4f}", f"{row['ndcg']:.4f}", f"{row['events_per_s']:,.0f}"]
        ratios = [popularity["hr"], popularity["ndcg"], peer["hr"], peer["ndcg"]]
        ratios += [peer["events_per_s"], peer["peak_rss_mb"]]
        lines.append(
            [row["model"], *figures, f"{row['peak_rss_mb']:,.0f}", *(f"{ratio:.2f}" for ratio in ratios)]
        )
    default, peer = measured["default"], measured[knn]
    notes = [
        f"{default.events:,} events tested. {knn} was fitted {peer.fits} times meanwhile; without that time "
        f"it answers {peer.answering_per_s:,.0f} events/s, the default "
        f"{default.events_per_s / peer.answering_per_s:.2f} times as many.",
        *(_gap(default, other) for other in measured.values() if other is not default),
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n\n" + "\n".join(notes)


def _gap(one: Measured, other: Measured) -> str:
    gap = compare(one.ranks, other.ranks, K).difference("hit_rate")
    return (
        f"hr@{K} of {one.model} minus {other.model}: {gap.value:+.4f} "
        f"(95% interval {gap.low:+.4f} to {gap.high:+.4f}, paired by event)"
    )


def about() -> str:
    """Return what was measured with what."""
    from importlib.metadata import version

    packages = ", ".join(f"{name} {version(name)}" for name in ("implicit", "numba", "numpy"))
    return f"Python {platform.python_version()}, {packages}; {os.cpu_count()} cores of {platform.machine()}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--from", dest="source", type=Path, required=True, help="folder with the data sets")
    parser.add_argument(
        "--dataset", action="append", help=f"may be repeated (default: {', '.join(DATASETS)})"
    )
    parser.add_argument("--rounds", type=int, default=3, help="turns of each model; the median speed counts")
    parser.add_argument("--refit-every", type=int, default=1000, help="events between two fits of item-kNN")
    parser.add_argument("--limit", type=int, help="test only so many events")
    parser.add_argument("--json", action="store_true", help="print one JSON line a model")
    options = parser.parse_args()
    if not options.json:
        print(about())
    with tempfile.TemporaryDirectory() as folder:
        for name in options.dataset or DATASETS:
            apart(prepare, name, options.source, Path(folder))
            measured = race(
                name,
                Path(folder),
                rounds=options.rounds,
                refit_every=options.refit_every,
                limit=options.limit,
            )
            if options.json:
                print("\n".join(json.dumps({"dataset": name} | row) for row in as_rows(measured)), flush=True)
            else:
                print(f"\n{as_markdown(name, measured)}", flush=True)


if __name__ == "__main__":
    main()
