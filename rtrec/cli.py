"""The command line: evaluate a log, fetch data sets, list models and settings."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from rtrec.errors import InputError, RtrecError
from rtrec.settings import declarations, load_settings, parse_assignments

app = typer.Typer(no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False, help=__doc__)
data = typer.Typer(no_args_is_help=True, help="Published data sets: list them, get one ready.")
app.add_typer(data, name="data")


@app.command()
def evaluate(
    file: Annotated[Path, typer.Argument(help="CSV, Parquet or JSON Lines; text also as .gz.")],
    user: Annotated[str, typer.Option(help="Column of the user.")],
    item: Annotated[str, typer.Option(help="Column of the item.")],
    time: Annotated[str, typer.Option(help="Column of the time.")],
    kind: Annotated[str | None, typer.Option(help="Column of the kind of event.")] = None,
    value: Annotated[str | None, typer.Option(help="Column of a rating, price or quantity.")] = None,
    models: Annotated[str, typer.Option(help="Names, separated by commas: see `rtrec models`.")] = (
        "default,popularity,cooccurrence,transitions"
    ),
    warmup: Annotated[float, typer.Option(help="Share of the events that is only learned.")] = 0.2,
    batch: Annotated[int, typer.Option(help="Events answered with the same state.")] = 1,
    k: Annotated[int, typer.Option(help="Length of the lists.")] = 10,
    limit: Annotated[int | None, typer.Option(help="Events after the warm part.")] = None,
    min_value: Annotated[float | None, typer.Option(help="Leave out events of a lower value.")] = None,
    repeat: Annotated[bool, typer.Option(help="Recommend what the user has had.")] = False,
    assign: Annotated[list[str] | None, typer.Option("--set", help="A setting: ring_length=20.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line a model.")] = False,
) -> None:
    """Test models on every event of a log before they learn it.

    Example: rtrec evaluate ratings.csv --user userId --item movieId --time timestamp
    """
    from rtrec.evaluation.prequential import evaluate as run

    evaluation = run(
        file,
        user=user,
        item=item,
        time=time,
        kind=kind,
        value=value,
        models=[name.strip() for name in models.split(",")],
        settings=load_settings(environ=os.environ, overrides=parse_assignments(assign or [])),
        warmup=warmup,
        batch=batch,
        k=k,
        limit=limit,
        min_value=min_value,
        repeat=repeat,
    )
    columns = [f"hr@{k}", f"ndcg@{k}", f"coverage@{k}", "events", "events_per_s", "peak_rss_mb"]
    typer.echo(evaluation.json_lines() if as_json else evaluation.to_frame()[columns].to_string())


@app.command()
def models() -> None:
    """List the models, one line each."""
    from rtrec.models.registry import MODELS

    for name, entry in MODELS.items():
        typer.echo(f"{name:14} {entry.sentence}")


@app.command()
def settings() -> None:
    """List the settings: name, default, bounds, unit, and what it does."""
    for each in declarations():
        bounds = "" if each.low is None else f" [{each.low:g} to {each.high:g}]"
        typer.echo(f"{each.name:20} {each.default!s:6}{bounds} {each.unit}\n    {each.sentence}")


@data.command("list")
def list_data() -> None:
    """List the data sets that can be fetched."""
    from rtrec.events.datasets import list_datasets

    for dataset in list_datasets():
        typer.echo(f"{dataset.name:24} {dataset.title} ({dataset.publisher})")


@data.command("get")
def get_data(
    name: Annotated[str, typer.Argument(help="See `rtrec data list`.")],
    source: Annotated[Path | None, typer.Option("--from", help="A folder with a local copy.")] = None,
    folder: Annotated[Path, typer.Option("--data-dir", help="Where data sets are kept.")] = Path("data"),
    yes: Annotated[bool, typer.Option("--yes", help="Accept the licence without being asked.")] = False,
) -> None:
    """Fetch a data set and make it ready: rtrec data get online-retail --from ~/downloads."""
    from rtrec.events.datasets import get_dataset
    from rtrec.events.fetching import fetch
    from rtrec.events.progress import download_bar

    def accept(terms: str) -> bool:
        typer.echo(terms, err=True)
        return yes or typer.confirm("Do you accept these terms?", err=True)

    with download_bar(name) as progress:
        place = fetch(
            get_dataset(name), data_dir=folder, source=source, accept_licence=accept, progress=progress
        )
    typer.echo(str(place))


def main() -> None:
    """Run the command line; errors rtrec raises on purpose are one line on stderr."""
    try:
        app()
    except RtrecError as error:
        typer.echo(f"rtrec: {error}", err=True)
        sys.exit(2 if isinstance(error, InputError) else 1)
