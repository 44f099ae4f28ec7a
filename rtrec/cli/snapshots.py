"""`rtrec snapshots`: what a run would start from again."""

from __future__ import annotations

from typing import Any

import typer

from rtrec.cli.console import print_json, print_table
from rtrec.cli.options import Home, Json

app = typer.Typer(help="The snapshots of a deployment: list them, check them.", no_args_is_help=True)


@app.command("list")
def list_all(home: Home = None, json: Json = False) -> None:
    """List the snapshots, oldest first.

    Example: `rtrec snapshots list --home .rtrec/demo`
    """
    _report(home, json=json, verify=False)


@app.command()
def verify(home: Home = None, json: Json = False) -> None:
    """Read every file of every snapshot and compare its checksum; exit with 1 if one is damaged.

    Example: `rtrec snapshots verify --home .rtrec/demo`
    """
    _report(home, json=json, verify=True)


def _report(home: Home, *, json: bool, verify: bool) -> None:
    from rtrec.cli.homes import find_deployment
    from rtrec.engine.deployment import SNAPSHOT_NAME
    from rtrec.errors import CorruptionError
    from rtrec.models.snapshot import list_snapshots, read_snapshot

    facts: list[dict[str, Any]] = []
    damaged = []
    for path in list_snapshots(find_deployment(home).snapshots, named=SNAPSHOT_NAME):
        size_mb = sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 1e6
        try:
            manifest, state = read_snapshot(path, verify=verify).manifest, "good" if verify else "complete"
        except CorruptionError as error:
            manifest, state = {}, str(error)
            damaged.append(error)
        facts.append(
            {"snapshot": path.name, "state": state, "size_mb": round(size_mb, 1), "manifest": manifest}
        )
    if json:
        for each in facts:
            print_json(each)
    else:
        rows = [
            [each["snapshot"], f"{each['size_mb']:,}", each["manifest"].get("n_events", ""), each["state"]]
            for each in facts
        ]
        title = "" if facts else "No snapshots"
        print_table(
            ["snapshot", "MB", "events", "state"],
            [[*map(str, row)] for row in rows],
            title=title,
            right=["MB", "events"],
        )
    if damaged and verify:
        raise CorruptionError(
            f"{len(damaged)} of {len(facts)} snapshots are damaged; the first: {damaged[0]}"
        )
