"""`rtrec tune`: search for better settings on a recorded log, and confirm them on its end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rtrec.cli.console import print_json, print_table, say
from rtrec.cli.options import (
    MOST_EVENTS,
    ClusterOptions,
    InputOptions,
    Json,
    SettingsOptions,
    expanded,
    folder,
)

if TYPE_CHECKING:
    from rtrec.jobs.tuning.result import Tuning

_SEARCH = "Search"
_SHOWN_TRIALS = 10


@expanded
def tune(
    given: InputOptions,
    chosen: SettingsOptions,
    cluster: ClusterOptions,
    space: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,NAME=LOW:HIGH",
            rich_help_panel=_SEARCH,
            help="Which settings to try, in which range. (default: what shapes tables and ranker)",
        ),
    ] = None,
    trials: Annotated[
        int, typer.Option(min=2, max=10**6, rich_help_panel=_SEARCH, help="How many settings to try.")
    ] = 40,
    metric: Annotated[
        str, typer.Option(rich_help_panel=_SEARCH, help="What shall be high: ndcg@10, hr@10, also @5, ...")
    ] = "ndcg@10",
    warmup: Annotated[
        float, typer.Option(rich_help_panel=_SEARCH, help="Share of the events that is only learned.")
    ] = 0.2,
    holdout: Annotated[
        float,
        typer.Option(rich_help_panel=_SEARCH, help="Share of the rest that only confirms what was found."),
    ] = 0.25,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_EVENTS,
            rich_help_panel=_SEARCH,
            help="Use only so many events after the warm part.",
        ),
    ] = None,
    pruner: Annotated[
        str,
        typer.Option(
            metavar="halving|none",
            rich_help_panel=_SEARCH,
            help="Stop the worse half of the trials at each rung, or none.",
        ),
    ] = "halving",
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, rich_help_panel=_SEARCH, help="Of what is drawn.")
    ] = 0,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, rich_help_panel=_SEARCH, help="Trials at a time; 1 repeats exactly. (default: all cores)"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            parser=folder("--out"),
            metavar="DIR",
            help="Write best.yaml (for --settings), trials.json and the picture tuning.html there.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the trials in --out; --trials counts them too.")
    ] = False,
    json: Json = False,
) -> None:
    """Search for better settings by replaying a log, and confirm them on events the search never saw.

    Trials are replays on a Dask cluster, judged by events that are answered before they are learned; the
    worse half is stopped early. The best settings and yours are then compared on the last part of the log.
    Ctrl-C ends the search and keeps what was found.

    Example: `rtrec tune --dataset movielens-latest-small --limit 20000 --out tuned`

    Then: `rtrec run --dataset movielens-latest-small --settings tuned/best.yaml`
    """
    from rtrec.cli.about import read_settings
    from rtrec.cli.bars import bar_of_steps
    from rtrec.cli.blame import blaming
    from rtrec.cli.cluster import security_of
    from rtrec.cli.inputs import find_input, tell_rejected
    from rtrec.errors import InputError
    from rtrec.jobs.tuning.search import PRUNERS
    from rtrec.jobs.tuning.space import DEFAULT_SPACE, read_space
    from rtrec.jobs.tuning.tune import read_metric
    from rtrec.jobs.tuning.tune import tune as search

    settings, security = read_settings(chosen), security_of(cluster)
    wanted = DEFAULT_SPACE if space is None else space
    with blaming("--metric", metric):
        read_metric(metric)
    if not 0.0 <= warmup < 1.0:
        raise InputError(f"--warmup {warmup:g}: expected a share from 0 to below 1")
    if not 0.0 < holdout < 1.0:
        raise InputError(f"--holdout {holdout:g}: expected a share between 0 and 1")
    if pruner not in PRUNERS:
        raise InputError(f"--pruner {pruner}: expected one of {', '.join(PRUNERS)}")
    with blaming("--space", wanted):
        read_space(wanted)  # an unknown name is an error now, not after the file was read
    found = find_input(given)
    loaded = found.load()
    tell_rejected(loaded.name, loaded.counts, loaded.dead_letters)
    with bar_of_steps("trials") as progress:
        tuning = search(
            loaded,
            space=wanted,
            settings=settings,
            metric=metric,
            trials=trials,
            warmup=warmup,
            holdout=holdout,
            limit=limit,
            pruner=pruner,
            workers=workers,
            scheduler=cluster.scheduler,
            security=security,
            seed=seed,
            texts=found.texts,
            categories=found.categories,
            out=out,
            resume=resume,
            progress=progress,
        )
    if json:
        print_json(tuning.as_json())
    else:
        _print(tuning)
    if out is not None:
        say(f"Written: {out / 'best.yaml'}, {out / 'trials.json'}, {out / 'tuning.html'}")
    if tuning.interrupted:
        raise typer.Exit(130)


def _print(tuning: Tuning) -> None:
    from rtrec.jobs.tuning.result import row_of
    from rtrec.jobs.tuning.trials import in_order
    from rtrec.settings import as_text

    names = [each.name for each in tuning.space]
    head = ["trial", tuning.label, "gain", "replayed", "", *names]
    listed = in_order(tuning.trials, tuning.trials[0])
    shown = listed[:_SHOWN_TRIALS]
    if tuning.trials[0] not in shown:
        shown = [*shown[:-1], tuning.trials[0]]
    about = tuning.data
    title = (
        f"{len(listed):,} trials on {about['searched on']:,} events of {about['data']}; gain: against trial "
        "0 (the settings there were), over the same events"
    )
    right = [name for name in head if name]
    print_table(head, [row_of(tuning, each) for each in shown], title=title, right=right)
    if tuning.importances:
        shares = [[name, f"{share:.0%}"] for name, share in tuning.importances.items()]
        print_table(["setting", "explains"], shares, title="What mattered between trials", right=["explains"])
    if tuning.changes:
        best = " ".join(f"--set {name}={as_text(value)}" for name, value in tuning.changes.items())
        typer.echo(f"Best: {best}")
    typer.echo(tuning.sentence())
