"""`rtrec evaluate`: models against each other on a recorded log, every event tested before it is learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from rtrec.cli.console import print_table
from rtrec.cli.options import MOST_EVENTS, InputOptions, Json, Repeat, SettingsOptions, expanded

if TYPE_CHECKING:
    from rtrec.evaluation.result import Evaluation

_PROTOCOL = "Protocol"


@expanded
def evaluate(
    given: InputOptions,
    chosen: SettingsOptions,
    models: Annotated[
        str,
        typer.Option(
            metavar="NAME,NAME",
            rich_help_panel=_PROTOCOL,
            help="Which models; `all` that race live; `list` says what there is.",
        ),
    ] = "default,popularity,popularity-all-time",
    warmup: Annotated[
        float, typer.Option(rich_help_panel=_PROTOCOL, help="Share of the events that is only learned.")
    ] = 0.2,
    batch: Annotated[
        int,
        typer.Option(
            min=1, max=MOST_EVENTS, rich_help_panel=_PROTOCOL, help="Events answered with the same state."
        ),
    ] = 1,
    k: Annotated[
        int | None,
        typer.Option(
            "--k", min=1, max=100, rich_help_panel=_PROTOCOL, help="Length of the lists. (default: 10)"
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_EVENTS,
            rich_help_panel=_PROTOCOL,
            help="Test and learn only so many events after the warm part.",
        ),
    ] = None,
    repeat: Repeat = None,
    historical: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_EVENTS,
            metavar="EVERY",
            rich_help_panel=_PROTOCOL,
            help="Recompute historical features every so many events, from those before; `default` looks at "
            "them with --set use_historical=true.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Test models on every event of a log before they learn it.

    Events are put in order of time. After the warm part each is answered with the k best of all items known
    so far, and only then learned; nothing is sampled.

    Example: `rtrec evaluate ratings.csv --user userId --item movieId --time timestamp --models all`

    Or: `rtrec evaluate --dataset movielens-latest-small --json`

    With what all of history says of items and users: `rtrec evaluate clicks.csv --historical 50000 --set
    use_historical=true`
    """
    from rtrec.cli.about import read_settings
    from rtrec.cli.bars import bar_each
    from rtrec.cli.inputs import find_input, model_names, tell_rejected
    from rtrec.errors import InputError
    from rtrec.evaluation.prequential import evaluate as test
    from rtrec.models.registry import BUILT_IN

    if models == "list":
        from rtrec.cli.about import models as list_models

        return list_models(json)
    settings = read_settings(chosen)
    if not 0.0 <= warmup < 1.0:
        raise InputError(f"--warmup {warmup:g}: expected a share of the events from 0 to below 1")
    if historical is not None and not settings.use_historical:
        raise InputError(
            f"--historical {historical}: no model looks at historical features while setting "
            "'use_historical' is off; add --set use_historical=true"
        )
    names = model_names(models, BUILT_IN, settings)
    found = find_input(given)
    loaded = found.load()
    tell_rejected(loaded.name, loaded.counts, loaded.dead_letters)
    with bar_each() as progress:
        evaluation = test(
            loaded,
            models=names,
            settings=settings,
            warmup=warmup,
            batch=batch,
            k=settings.list_length if k is None else k,
            limit=limit,
            repeat=repeat,
            texts=found.texts,
            categories=found.categories,
            historical=historical,
            progress=progress,
        )
    if json:
        typer.echo(evaluation.json_lines())
    else:
        _print(evaluation)


def _print(evaluation: Evaluation) -> None:
    k = evaluation.results[0].k
    lines = evaluation.as_json()
    baseline = "" if evaluation.baseline is None else evaluation.baseline.model
    gaps = f"hr@{k}_minus_{baseline}"
    head = ["model", f"hr@{k}", f"ndcg@{k}", f"coverage@{k}", "events/s", "peak MB"]
    with_gaps = any(gaps in line for line in lines)
    if with_gaps:
        head.insert(3, f"hr@{k} minus {baseline}")
    rows = []
    for line in lines:
        row = [line["model"], *(_with_interval(line, f"{name}@{k}") for name in ("hr", "ndcg"))]
        if with_gaps:
            row.append(_with_interval(line, gaps, sign="+") if gaps in line else "")
        row += [
            _figure(line[f"coverage@{k}"], ".3f"),
            _figure(line["events_per_s"], ",.0f"),
            _figure(line["peak_rss_mb"], ",.0f"),
        ]
        rows.append(row)
    about = ", ".join(
        f"{name} {value:,}" if isinstance(value, int) and not isinstance(value, bool) else f"{name} {value}"
        for name, value in evaluation.data.items()
    )
    title = f"{evaluation.results[0].events:,} events tested; {about}"
    print_table(head, rows, title=title, right=head[-3:])


def _with_interval(line: Mapping[str, float | None], name: str, sign: str = "") -> str:
    figure, low, high = (_figure(line[each], f"{sign}.4f") for each in (name, f"{name}_low", f"{name}_high"))
    return f"{figure} [{low}, {high}]"


def _figure(value: float | None, form: str) -> str:
    # A single event has no spread, so an interval may have no ends.
    return "-" if value is None else format(value, form)
