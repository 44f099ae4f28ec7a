"""The default recommender beside implicit, EASE, river and FluRS, in one run.

    python benchmarks/peers.py --from DIR [--dataset NAME]... [--peer NAME]... [--limit N] [--rounds 3]
                               [--refit-every N] [--keep DIR] [--json FILE]

The protocol is that of ``rtrec evaluate``: warm-up 0.2, one event at a time, all items known so far ranked
less what the user had, an item nobody had before is a miss, then the event is learned. Each peer is tried
with several settings (rivals/catalogue.py) and shown with the one that has the highest hit rate on the log,
known only in hindsight: the default has the same settings everywhere.

Every model runs in a process of its own on one thread, so that peak RSS (loading the file included) is its
own. The models take turns for ``--rounds`` rounds and the median speed counts: a machine that is slow for a
while is slow for all. Settings that are neither a peer's best nor near the best peer race in the first round
only. Speed is events answered and learned in a second after compilation, with refits and without them.

Peers that are not installed are left out, with a line that says how to get them. ``--keep DIR`` keeps each
measurement, and a run that was stopped goes on there (quality is the same then, but speeds of different
hours are not side by side); ``--peer`` measures only those whose names begin so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from functools import partial
from pathlib import Path

from rivals.catalogue import FAMILIES, NOT_HERE, missing
from rivals.measure import (
    ONE_THREAD,
    OURS,
    K,
    Kept,
    Measured,
    apart,
    best,
    by_family,
    measure,
    median,
    prepare,
    tell,
)
from rivals.table import NEAR, as_markdown, as_rows, verdict

from rtrec.errors import InputError

__all__ = ["DATASETS", "K", "about", "prepare"]

DATASETS = ("movielens-latest-small", "online-retail")


def about(*packages: str) -> str:
    """Return what was measured with what; without names, with the packages of the peers."""
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for name in packages or ("implicit", "river", "flurs", "numba", "numpy", "scipy"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"no {name}")
    python, machine = platform.python_version(), platform.machine()
    return f"Python {python}, {', '.join(found)}; {os.cpu_count()} cores of {machine}"


def entrants(wanted: list[str] | None) -> list[tuple[str, str]]:
    """Return family and setting of all that race, and say who does not."""
    racing = []
    for family in (*OURS, *FAMILIES):
        if wanted and not any(family.casefold().startswith(name.casefold()) for name in wanted):
            continue
        if family in OURS:
            racing.append((family, ""))
            continue
        reason = apart(missing, family)
        if reason:
            tell(f"{family}: left out: {reason}")
        else:
            racing += [(family, setting) for setting in FAMILIES[family].settings]
    for name, reason in NOT_HERE.items():
        tell(f"{name}: left out: {reason}")
    return racing


def race(
    dataset: str,
    data_dir: Path,
    racing: list[tuple[str, str]],
    *,
    rounds: int,
    refit_every: int | None,
    limit: int | None,
    kept: Kept,
) -> list[Measured]:
    """Let models take turns on a data set; speeds and peaks are medians over the rounds."""
    turns: dict[tuple[str, str], list[Measured]] = {entrant: [] for entrant in racing}
    for turn in range(rounds):
        for place, (family, setting) in enumerate(racing, 1):
            where = f"{dataset}: round {turn + 1} of {rounds}, {place} of {len(racing)}"
            tell(f"{where}: {family} {setting}".rstrip())
            work = partial(apart, measure, family, setting, dataset, data_dir, refit_every, limit)
            key = (dataset, family, setting, f"limit {limit}", f"refit {refit_every}", f"round {turn + 1}")
            try:
                turns[family, setting].append(kept.get(key, work))
            except Exception as error:  # of a package made for other versions: the others go on
                if family in OURS:
                    raise
                tell(f"{where}: {family} {setting} left out: {type(error).__name__}: {error}")
                turns.pop((family, setting))
        if not turns:
            raise SystemExit(f"{dataset}: no model could be measured; the reasons are above")
        measured = [median(each) for each in turns.values()]
        racing = [(each.family, each.setting) for each in _goes_on(measured)]
    return measured


def _goes_on(measured: list[Measured]) -> list[Measured]:
    """Return those whose speed is read off: the best settings, and all near the best peer."""
    found = verdict(measured)
    near = NEAR * found.best.hr if found else float("inf")
    shown = {id(best(settings)) for _, settings in by_family(measured)}
    return [each for each in measured if id(each) in shown or (each.family in FAMILIES and each.hr >= near)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--from", dest="source", type=Path, required=True, help="folder with the data sets")
    parser.add_argument(
        "--dataset", action="append", help=f"may be repeated (default: {', '.join(DATASETS)})"
    )
    parser.add_argument("--peer", action="append", help="only models whose names begin so; may be repeated")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each model; the median speed counts")
    parser.add_argument("--refit-every", type=int, help="events between fits (default: 1,000; EASE 5,000)")
    parser.add_argument("--limit", type=int, help="test only so many events")
    parser.add_argument("--keep", type=Path, help="folder for each measurement, to go on there later")
    parser.add_argument("--json", type=Path, help="write one JSON line a setting to this file")
    options = parser.parse_args()
    for name in ("rounds", "refit_every", "limit"):
        if (value := getattr(options, name)) is not None and value < 1:
            parser.error(f"--{name.replace('_', '-')}: expected at least 1; got {value}")
    os.environ.update(ONE_THREAD)  # for the processes that measure
    racing = entrants(options.peer)
    if not racing:
        parser.error(f"--peer: none of {'; '.join((*OURS, *FAMILIES))} begins so, or none is installed")
    print(about(), flush=True)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for dataset in options.dataset or DATASETS:
            try:
                apart(prepare, dataset, options.source, Path(folder))
            except InputError as error:
                parser.error(str(error))
            measured = race(
                dataset,
                Path(folder),
                racing,
                rounds=options.rounds,
                refit_every=options.refit_every,
                limit=options.limit,
                kept=Kept(options.keep),
            )
            print(f"\n{as_markdown(dataset, measured)}", flush=True)
            rows += [{"dataset": dataset} | row for row in as_rows(measured)]
    if options.json is not None:
        options.json.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
