"""What each table and group of features of the default recommender is worth, and what it costs.

    python benchmarks/ablation.py --from DIR [--dataset NAME]... [--variant PART]... [--limit N] [--json]

The protocol is that of ``rtrec evaluate``. The first row is the default as it is; each row after it has one
thing less, or a nearline model more, fitted again every ``--refit-every`` events. Vector models come twice:
as the rows of their nearest items alone, and with the products of their vectors. The difference to the
default is paired event by event. Speed is events a second, refits included; all variants run in turn in this
one process, so the ratio of two of them is what counts.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from peers import DATASETS, K, about, prepare

from rtrec.evaluation.comparison import compare
from rtrec.evaluation.prequential import evaluate
from rtrec.events.datasets import get_dataset, item_categories, item_texts, load_source
from rtrec.events.loading import LoadedEvents, load_events
from rtrec.events.vocabulary import Vocabulary
from rtrec.models.beginning import published_at_first
from rtrec.models.nearline.base import NearlineModel
from rtrec.models.nearline.ease import EASE
from rtrec.models.nearline.ials import IALS
from rtrec.models.nearline.item_knn import ItemKNN
from rtrec.models.nearline.recipe import make_nearline
from rtrec.models.single import BuiltIn
from rtrec.settings import Settings


class Variant(NamedTuple):
    """The default with changed settings, or with a model in the slot for all history."""

    name: str
    changes: dict[str, Any]
    history: Callable[[], NearlineModel] | None = None


TWO_TOWER = partial(make_nearline, "two-tower")  # torch is imported when it is made
VARIANTS = (
    Variant("default", {}),
    Variant("without co-occurrence", {"use_cooccurrence": False}),
    Variant("without transitions", {"use_transitions": False}),
    Variant("without trails", {"use_trails": False}),
    Variant("without popularity", {"use_trending": False}),
    Variant("with velocity and acceleration", {"use_momentum": True}),
    Variant("with velocity", {"use_momentum": True, "without": ("acceleration",)}),
    Variant("with acceleration", {"use_momentum": True, "without": ("velocity",)}),
    Variant("without content", {"use_content": False}),
    Variant("without values", {"use_value": False}),
    Variant("without categories", {"use_category": False}),
    Variant("with dayparts", {"use_daypart": True}),
    Variant("without ages", {"use_catalogue": False}),
    Variant("without crosses (linear)", {"use_crosses": False}),
    Variant("with item-kNN of all history", {}, ItemKNN),
    Variant("with EASE of all history", {}, EASE),
    Variant("with iALS of all history, rows alone", {"use_vectors": False}, IALS),
    Variant("with iALS of all history", {}, IALS),
    Variant("with two towers of all history, rows alone", {"use_vectors": False}, TWO_TOWER),
    Variant("with two towers of all history", {}, TWO_TOWER),
)


def measure(
    variant: Variant,
    loaded: LoadedEvents,
    texts: dict[str, str],
    categories: dict[str, list[str]],
    *,
    refit_every: int,
    limit: int | None,
) -> Any:
    """Evaluate one variant."""
    settings = Settings(**variant.changes)

    def make() -> BuiltIn:
        # The evaluation numbers the items that are known first, as this does.
        published = published_at_first(texts, categories, Vocabulary())
        nearline = {"history": variant.history()} if variant.history is not None else {}
        return BuiltIn("default", settings, published=published, nearline=nearline, refit_every=refit_every)

    known = {"texts": texts, "categories": categories}
    return evaluate(loaded, models={variant.name: make}, settings=settings, k=K, limit=limit, **known)[
        variant.name
    ]


def ablate(
    name: str, folder: Path, variants: Sequence[Variant], *, refit_every: int, limit: int | None
) -> list[dict[str, Any]]:
    """Return a row of figures for each variant on a data set; the first is the default."""
    dataset = get_dataset(name)
    loaded, home = load_events(load_source(dataset, folder / name)), folder / name
    known = item_texts(dataset, home), item_categories(dataset, home)
    rows, whole = [], None
    for variant in variants:
        print(f"{name}: {variant.name}", file=sys.stderr)
        began = time.perf_counter()
        result = measure(variant, loaded, *known, refit_every=refit_every, limit=limit)
        whole = whole or result
        gaps = compare(result.ranks, whole.ranks, K)
        gap = gaps.difference("hit_rate")
        rows.append(
            {
                "dataset": name,
                "variant": variant.name,
                f"hr@{K}": round(result.hit_rate, 4),
                f"ndcg@{K}": round(result.ndcg, 4),
                "hr_difference": round(gap.value, 4),
                "hr_low": round(gap.low, 4),
                "hr_high": round(gap.high, 4),
                "events_per_s": round(result.events_per_s),
                "speed_ratio": round(result.events_per_s / whole.events_per_s, 3),
                "seconds": round(time.perf_counter() - began, 1),
            }
        )
    return rows


def as_markdown(rows: list[dict[str, Any]]) -> str:
    """Return the table as the README shows it."""
    head = [
        f"on {rows[0]['dataset']}",
        f"hr@{K}",
        f"ndcg@{K}",
        "hr difference (95%)",
        "events/s",
        "to default",
    ]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for row in rows:
        gap = f"{row['hr_difference']:+.4f} ({row['hr_low']:+.4f} to {row['hr_high']:+.4f})"
        figures = [f"{row[f'hr@{K}']:.4f}", f"{row[f'ndcg@{K}']:.4f}", "" if row is rows[0] else gap]
        lines.append([row["variant"], *figures, f"{row['events_per_s']:,}", f"{row['speed_ratio']:.2f}"])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--from", dest="source", type=Path, required=True, help="folder with the data sets")
    parser.add_argument(
        "--dataset", action="append", help=f"may be repeated (default: {', '.join(DATASETS)})"
    )
    parser.add_argument(
        "--variant", action="append", help="only those with this in their name, and the default"
    )
    parser.add_argument("--refit-every", type=int, default=5000, help="events between two nearline fits")
    parser.add_argument("--limit", type=int, help="test only so many events")
    parser.add_argument("--json", action="store_true", help="print one JSON line a variant")
    options = parser.parse_args()
    wanted = [each for each in VARIANTS[1:] if any(part in each.name for part in options.variant or [""])]
    variants = [VARIANTS[0], *wanted]
    if not options.json:
        print(about())
    with tempfile.TemporaryDirectory() as folder:
        for name in options.dataset or DATASETS:
            prepare(name, options.source, Path(folder))
            rows = ablate(name, Path(folder), variants, refit_every=options.refit_every, limit=options.limit)
            print("\n".join(map(json.dumps, rows)) if options.json else f"\n{as_markdown(rows)}", flush=True)


if __name__ == "__main__":
    main()
