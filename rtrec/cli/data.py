"""`rtrec data`: the data sets rtrec knows by name."""

from __future__ import annotations

from typing import Annotated

import typer

from rtrec.cli.console import print_json, print_table
from rtrec.cli.options import DATA_DIR, Copy, DataDir, Json, Yes

app = typer.Typer(help="Data sets by name: list them, fetch them.", no_args_is_help=True)


@app.command("list")
def list_all(data_dir: DataDir = DATA_DIR, json: Json = False) -> None:
    """List the data sets, whose they are, and which are here already.

    Example: `rtrec data list`, then `rtrec data get movielens-latest-small`
    """
    from rtrec.events.datasets import list_datasets
    from rtrec.events.fetching import is_ready

    if json:
        for each in list_datasets():
            here = is_ready(each, data_dir / each.name)
            about = {"name": each.name, "title": each.title, "publisher": each.publisher}
            about |= {"address": each.address, "licence": each.licence, "licence_url": each.licence_url}
            print_json(about | {"citation": each.citation, "here": here})
        return
    rows = [
        [each.name, each.title, each.publisher, "yes" if is_ready(each, data_dir / each.name) else "no"]
        for each in list_datasets()
    ]
    print_table(["name", "what it is", "publisher", "here"], rows)


@app.command()
def get(
    name: Annotated[str, typer.Argument(help="Its name in `rtrec data list`.", show_default=False)],
    copy: Copy = None,
    yes: Yes = False,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Fetch a data set, from its publisher or from a copy, and print its folder.

    Its terms are shown first.

    Example, with a copy that is here already: `rtrec data get online-retail --from ~/Downloads`
    """
    from rtrec.cli.inputs import fetch_dataset
    from rtrec.events.datasets import get_dataset

    typer.echo(fetch_dataset(get_dataset(name), data_dir=data_dir, copy=copy, yes=yes))
