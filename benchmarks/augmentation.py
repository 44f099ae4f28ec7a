"""What augmentation and noise do to the sequence model: each alone, all together, and none, over seeds.

    python benchmarks/augmentation.py --from DIR [--dataset NAME]... [--seeds 5] [--limit N]
                                      [--keep DIR] [--json]

Of the first ``--limit`` events of a log all but the last of each user are learned, with the model's own
defaults for everything else. Then all items are ranked for each user and the last event is looked for (split
``leave_one_out`` of :mod:`rtrec.evaluation.offline`, one relevant item a user). This is done with several
seeds: they decide the first weights, the order of batches, what is drawn as negatives and what is augmented.

A difference is to training without augmentation under the same seed. Two intervals answer two questions:
would other seeds agree, with these users (Student's t over the seeds), and would other users (bootstrap over
users of each one's mean over the seeds)? A default should pass both, on more than one log.

One fit takes about 15 seconds of one core, whatever the log; two logs, six ways and five seeds take 15
minutes. ``--keep DIR`` keeps each fit's figures, and a run that was stopped goes on there.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from peers import DATASETS, K, about, prepare
from scipy import stats

from rtrec.errors import to_install
from rtrec.evaluation.offline import evaluate_offline
from rtrec.evaluation.significance import bootstrap_interval
from rtrec.events.datasets import get_dataset, load_source
from rtrec.events.loading import LoadedEvents, load_events
from rtrec.models.nearline.augmentation import AUGMENTATIONS
from rtrec.models.nearline.base import NearlineModel

#: The ways to augment, by the name of their row; the first is what the others are compared to.
WAYS: dict[str, tuple[str, ...]] = {"none": (), **{name: (name,) for name in AUGMENTATIONS}}
WAYS |= {"all together": AUGMENTATIONS}
LEVEL = 0.95
Row = dict[str, Any]


class Trial(NamedTuple):
    """One fit: where each tested user's item came, and what the fit took."""

    hits: list[float]  # (user,) 1 if it was among the K
    gains: list[float]  # (user,) ndcg
    learn_seconds: float


def sequence_model(augmentation: tuple[str, ...], seed: int) -> NearlineModel:
    """Return the model that is measured."""
    from rtrec.models.nearline.sequence import SequenceModel

    plain = SequenceModel().training
    return SequenceModel(augmentation=augmentation, training=replace(plain, seed=seed, device="cpu"))


def measure(
    loaded: LoadedEvents,
    augmentation: tuple[str, ...],
    seed: int,
    make: Callable[[tuple[str, ...], int], NearlineModel] = sequence_model,
) -> Trial:
    """Teach a model all but the last event of each user, and look for that one in its list."""
    found = evaluate_offline(
        loaded,
        {"model": lambda: make(augmentation, seed)},
        split="leave_one_out",
        k=K,
        cohorts=(),
        n_resamples=1,
    )
    figures = found.per_user("model")
    return Trial(
        figures[f"hr@{K}"].tolist(),
        figures[f"ndcg@{K}"].tolist(),
        float(found.overall["learn_seconds"].sel(model="model")),
    )


def over_seeds(differences: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean and the ends of its 95% interval by Student's t, for two seeds or more.

    >>> [round(each, 3) for each in over_seeds([1.0, 3.0])]  # 2 +- 12.706 x sqrt(2 / 2)
    [2.0, -10.706, 14.706]
    """
    values = np.asarray(differences, np.float64)
    mean = float(values.mean())
    half = float(stats.t.ppf((1.0 + LEVEL) / 2.0, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5)
    return mean, mean - half, mean + half


def summary(way: str, trials: Sequence[Trial], without: Sequence[Trial]) -> Row:
    """Return the figures of a way and its differences to none; trials stand in the same order of seeds."""
    row: Row = {"augmentation": way, "seeds": len(trials), "users": len(trials[0].hits)}
    for name, column in ((f"hr@{K}", "hits"), (f"ndcg@{K}", "gains")):
        mine, theirs = (
            np.array([getattr(trial, column) for trial in each], np.float64) for each in (trials, without)
        )  # (seed, user)
        row[name] = float(mine.mean())
        gaps = mine - theirs
        value, low, high = over_seeds(gaps.mean(axis=1).tolist())
        user_low, user_high = (float(end[0]) for end in bootstrap_interval(gaps.mean(axis=0)[:, None]))
        row |= {f"{name}_difference": value, f"{name}_low": low, f"{name}_high": high}
        row |= {f"{name}_users_low": user_low, f"{name}_users_high": user_high}
    return row | {"learn_seconds": float(np.mean([trial.learn_seconds for trial in trials]))}


def kept(path: Path | None, make: Callable[[], Trial]) -> Trial:
    """Return the trial kept in a file; measure and keep it if there is none."""
    if path is not None and path.is_file():
        return Trial(**json.loads(path.read_text(encoding="utf-8")))
    made = make()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        unfinished.write_text(json.dumps(made._asdict()), encoding="utf-8")
        unfinished.replace(path)
    return made


def race(loaded: LoadedEvents, name: str, n_seeds: int, limit: int, keep: Path | None) -> list[Row]:
    """Return a row for each way to augment; seeds take turns, so that a stopped run has all ways of some."""
    loaded = replace(loaded, events=loaded.events.slice(0, limit))
    trials: dict[str, list[Trial]] = {way: [] for way in WAYS}
    for seed in range(n_seeds):
        for way, augmentation in WAYS.items():
            print(f"{name}: seed {seed + 1} of {n_seeds}, {way}", file=sys.stderr)
            path = keep and keep / f"{name}_{limit}_{way.replace(' ', '-')}_{seed}.json"
            trials[way].append(
                kept(path, lambda augmentation=augmentation, seed=seed: measure(loaded, augmentation, seed))
            )
    return [{"dataset": name} | summary(way, trials[way], trials["none"]) for way in WAYS]


def as_markdown(rows: list[Row]) -> str:
    """Return the table as the README shows it."""
    names = (f"hr@{K}", f"ndcg@{K}")
    head = ["log", "augmentation", *names, *(f"{name} difference (95% over seeds)" for name in names)]
    head += [f"{names[1]}, 95% over users", "seconds to learn"]
    lines = [head, ["---", "---", *["---:"] * (len(head) - 2)]]
    for row in rows:
        line = [row["dataset"], row["augmentation"], *(f"{row[name]:.4f}" for name in names)]
        if row["augmentation"] == "none":
            line += [""] * 3
        else:
            line += [f"{row[f'{name}_difference']:+.4f} ({_ends(row, name)})" for name in names]
            line += [_ends(row, f"{names[1]}_users")]
        lines.append([*line, f"{row['learn_seconds']:.1f}"])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _ends(row: Row, name: str) -> str:
    return f"{row[f'{name}_low']:+.4f} to {row[f'{name}_high']:+.4f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--from", dest="source", type=Path, required=True, help="folder with the data sets")
    parser.add_argument(
        "--dataset", action="append", help=f"may be repeated (default: {', '.join(DATASETS)})"
    )
    parser.add_argument("--seeds", type=int, default=5, help="fits of each kind")
    parser.add_argument("--limit", type=int, default=100_000, help="take only so many events of a log")
    parser.add_argument("--keep", type=Path, help="folder for each fit's figures, to go on there later")
    parser.add_argument("--json", action="store_true", help="print one JSON line a row")
    options = parser.parse_args()
    for name, least in (("seeds", 2), ("limit", 1)):
        if (value := getattr(options, name)) < least:
            parser.error(f"--{name}: expected at least {least}; got {value}")
    if find_spec("torch") is None:
        parser.error(f"the sequence model needs PyTorch, which is not installed; {to_install('deep')}")
    import torch

    torch.set_num_threads(1)  # the seconds are those of one core, and sums are added up in one order
    if not options.json:
        print(about("torch", "numpy"), flush=True)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in options.dataset or DATASETS:
            prepare(name, options.source, Path(folder))
            loaded = load_events(load_source(get_dataset(name), Path(folder) / name))
            found = race(loaded, name, options.seeds, options.limit, options.keep)
            if options.json:
                print("\n".join(map(json.dumps, found)), flush=True)
            rows += found
    if not options.json:
        print(f"\n{as_markdown(rows)}")


if __name__ == "__main__":
    main()
