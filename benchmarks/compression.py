"""What smaller tables cost: pruned rows, vectors in fewer bytes, an index in place of all products.

    python benchmarks/compression.py --from DIR [--dataset NAME]... [--limit N] [--items N] [--json]

Rows: the default recommender with rows of M neighbours, tested as ``rtrec evaluate`` does on the first
``--limit`` events after the warm part (the smallest M it takes is 10), and tables of item-kNN and EASE with
rows cut to M, offline: the first 80% of the log learned, all items ranked for each user of the rest, by the
table alone and the whole history. Vectors: the tables of iALS and two-tower (where torch is installed) on the
same split, as they are and compressed. Search: nearest rows of
clustered and of random vectors, all by the index, a sample exactly.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from ablation import Variant
from ablation import measure as measure_default
from peers import DATASETS, K, about, prepare

from rtrec.errors import to_install
from rtrec.evaluation.offline import evaluate_offline
from rtrec.events.datasets import get_dataset, item_texts, load_source
from rtrec.events.loading import LoadedEvents, load_events
from rtrec.models.nearline.base import NearlineModel
from rtrec.models.nearline.compressed import PRECISIONS, compress
from rtrec.models.nearline.ease import EASE
from rtrec.models.nearline.ials import IALS
from rtrec.models.nearline.interactions import Interactions
from rtrec.models.nearline.item_knn import ItemKNN
from rtrec.models.nearline.nearest import Search, find_nearest
from rtrec.models.nearline.tables import VectorTable, pruned

ROW_LENGTHS = (10, 20, 50, 100, 200)
Row = dict[str, Any]


class Taught(NearlineModel):
    """A table by itself, made from a model that is fitted once, whoever asks."""

    def __init__(self, model: NearlineModel, change: Callable[[Any], Any]) -> None:
        self.model, self.change = model, change
        self.bytes = 0

    def fit(self, history: Interactions) -> None:
        """Fit the model unless it was; keep its table, changed."""
        if not self.model.table().n_items:
            self.model.fit(history)
        self.changed = self.change(self.model.table())
        self.bytes = size_of(self.changed)

    def table(self) -> Any:
        """Return the changed table; that of :class:`NearlineModel` scores by it."""
        return self.changed

    def score(self, items: Any, weights: Any, user_num: int = -1) -> Any:
        """Score by the table alone."""
        return self.changed.score(items, weights)

    def score_many(self, histories: Any) -> Any:
        """Score by the table alone."""
        return self.changed.score_many(histories)

    def to_arrays(self) -> dict[str, Any]:
        """Nothing is kept of a measurement."""
        return {}

    def restore(self, arrays: Mapping[str, Any]) -> None:
        """Nothing was kept."""


def size_of(table: Any) -> int:
    """Return the bytes of what answers a request: rows, or what items are found by and give."""
    if isinstance(table, VectorTable):
        return table.found.nbytes + (0 if table.given is table.found else table.given.nbytes)
    if hasattr(table, "has_user"):
        return table.found.nbytes + (0 if table.given is table.found else table.given.nbytes)
    return sum(array.nbytes for array in table)


def offline(loaded: LoadedEvents, variants: Mapping[str, Taught]) -> dict[str, float]:
    """Return NDCG by variant, of a list of K after the first 80% of the log."""
    makers = {name: (lambda variant=variant: variant) for name, variant in variants.items()}
    found = evaluate_offline(loaded, makers, k=K, cohorts=(), n_resamples=1)
    return {name: found.value(name, f"ndcg@{K}") for name in variants}


def rows_of_default(
    loaded: LoadedEvents, texts: dict[str, str], name: str, limit: int | None
) -> Iterator[Row]:
    """Test the default recommender with rows of each length."""
    for m in ROW_LENGTHS:
        print(f"{name}: default, rows of {m}", file=sys.stderr)
        variant = Variant(f"M = {m}", {"row_length": m})
        result = measure_default(variant, loaded, texts, refit_every=5000, limit=limit)
        yield {
            "part": "rows, prequential", "dataset": name, "model": "default", "M": m,
            f"hr@{K}": result.hit_rate, f"ndcg@{K}": result.ndcg, "events_per_s": result.events_per_s,
        }  # fmt: skip


def rows_of_tables(loaded: LoadedEvents, name: str) -> Iterator[Row]:
    """Rank by the tables of item-kNN and EASE with rows cut to each length, and by float16 weights."""
    longest = max(ROW_LENGTHS)
    for model_name, model in (("item-kNN", ItemKNN(neighbours=longest)), ("EASE", EASE(neighbours=longest))):
        print(f"{name}: {model_name}", file=sys.stderr)
        variants = {
            f"{m}{' float16' if half else ''}": Taught(
                model, lambda table, m=m, half=half: pruned(table, m, half=half)
            )
            for m in ROW_LENGTHS
            for half in ((False, True) if m == longest else (False,))
        }
        ndcg = offline(loaded, variants)
        whole = str(longest)
        for m, variant in variants.items():
            yield {
                "part": "rows, offline", "dataset": name, "model": model_name, "M": m, f"ndcg@{K}": ndcg[m],
                "change": ndcg[m] / ndcg[whole] - 1.0, "memory": variant.bytes / variants[whole].bytes,
            }  # fmt: skip


def vectors(loaded: LoadedEvents, name: str) -> Iterator[Row]:
    """Rank by vector tables as they are and compressed."""
    models: dict[str, NearlineModel] = {"iALS": IALS()}
    if find_spec("torch") is not None:
        from rtrec.models.nearline.two_tower import TwoTowerModel

        models["two-tower"] = TwoTowerModel()
    for model_name, model in models.items():
        print(f"{name}: {model_name}", file=sys.stderr)
        changes: dict[str, Callable[[Any], Any]] = {"float32": lambda table: table}
        changes |= {
            precision: (lambda table, precision=precision: compress(table, precision))
            for precision in PRECISIONS
        }
        variants = {precision: Taught(model, change) for precision, change in changes.items()}
        ndcg = offline(loaded, variants)
        for precision, variant in variants.items():
            yield {
                "part": "vectors", "dataset": name, "model": model_name, "stored as": precision,
                f"ndcg@{K}": ndcg[precision], "change": ndcg[precision] / ndcg["float32"] - 1.0,
                "memory": variant.bytes / variants["float32"].bytes,
            }  # fmt: skip


def search(n_items: int, m: int = 50, d: int = 64) -> Iterator[Row]:
    """Find nearest rows of made-up vectors by the index; exact ones are timed on a part of the items."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(n_items, d)).astype(np.float32)
    centre = 2.0 * rng.normal(size=(n_items // 100, d)).astype(np.float32)
    shapes = {"in clusters of 100": centre[rng.integers(0, len(centre), n_items)] + noise, "random": noise}
    for shape, found in shapes.items():
        print(f"search: {n_items:,} vectors, {shape}", file=sys.stderr)
        table = VectorTable(found, found, found[:0])
        nearest = find_nearest(table, m, Search(approximate_above=0))
        part = VectorTable(found[: n_items // 10], found[: n_items // 10], found[:0])
        began = time.perf_counter()
        find_nearest(part, m, Search(approximate_above=n_items))
        exact = 100 * (
            time.perf_counter() - began
        )  # all items are ten times the rows, each ten times as long
        yield {
            "part": "search", "vectors": shape, "items": n_items, "M": m, "recall": nearest.recall,
            "seconds": nearest.seconds, "exact, reckoned": exact,
        }  # fmt: skip


def as_markdown(rows: list[Row]) -> str:
    """Return the rows of one part as a table; the part itself and the data set make its first column."""
    names = [name for name in rows[0] if name not in ("part", "dataset")]
    title = " ".join(filter(None, (rows[0]["part"], rows[0].get("dataset"))))
    lines = [[title, *names[1:]] if names[0] == "model" else names]
    lines.append(["---", *["---:"] * (len(lines[0]) - 1)])
    lines += [[_figure(name, row[name]) for name in names] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _figure(name: str, value: Any) -> str:
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    if name in ("change", "memory"):
        return f"{value:+.2%}" if name == "change" else f"{value:.1%}"
    if name in ("seconds", "exact, reckoned"):
        return f"{value:,.1f} s"
    return f"{value:,.0f}" if name == "events_per_s" else f"{value:.4f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--from", dest="source", type=Path, required=True, help="folder with the data sets")
    parser.add_argument(
        "--dataset", action="append", help=f"may be repeated (default: {', '.join(DATASETS)})"
    )
    parser.add_argument("--limit", type=int, default=20_000, help="events tested for each row length")
    parser.add_argument("--items", type=int, default=150_000, help="made-up vectors to search")
    parser.add_argument("--part", choices=("rows", "vectors", "search"), help="measure this alone")
    parser.add_argument("--json", action="store_true", help="print one JSON line a figure")
    options = parser.parse_args()
    if not options.json:
        print(about())

    def show(rows: Iterator[Row]) -> None:
        found = list(rows)
        if found:
            print(
                "\n".join(map(json.dumps, found)) if options.json else f"\n{as_markdown(found)}", flush=True
            )

    with tempfile.TemporaryDirectory() as folder:
        for name in (options.dataset or DATASETS) if options.part != "search" else ():
            prepare(name, options.source, Path(folder))
            dataset, home = get_dataset(name), Path(folder) / name
            loaded, texts = load_events(load_source(dataset, home)), item_texts(dataset, home)
            if options.part in (None, "rows"):
                show(rows_of_default(loaded, texts, name, options.limit))
                show(rows_of_tables(loaded, name))
            if options.part in (None, "vectors"):
                show(vectors(loaded, name))
    if options.part in (None, "search"):
        if find_spec("usearch") is None:
            print(f"search left out: usearch is not installed; {to_install('ann')}", file=sys.stderr)
        else:
            show(search(options.items))


if __name__ == "__main__":
    main()
