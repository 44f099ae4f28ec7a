"""`rtrec snapshots`: what a run would start from again, and which one that is."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rtrec.cli.console import print_json, print_table, say
from rtrec.cli.options import Home, Json

if TYPE_CHECKING:
    from rtrec.engine.versions import Version

app = typer.Typer(
    help="The snapshots of a deployment: list them, check them, go back to one.", no_args_is_help=True
)
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="As `rtrec snapshots list` shows it; zeros may be left out.")
]


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
    from rtrec.errors import CorruptionError

    found = _report(home, json=json, verify=True)
    damaged = [each for each in found if not each.good]
    if damaged:
        raise CorruptionError(
            f"{len(damaged)} of {len(found)} snapshots are damaged; the first: {damaged[0].state}"
        )


@app.command()
def show(name: Name, home: Home = None, json: Json = False) -> None:
    """Say all about one snapshot: how far it is, how good the models were, and what came behind it.

    Example: `rtrec snapshots show 21 --home .rtrec/demo`
    """
    from rtrec.cli.homes import find_deployment
    from rtrec.engine.versions import describe
    from rtrec.errors import CorruptionError

    version = describe(find_deployment(home), name)
    if json:
        print_json(_facts(version))
    else:
        print_table(["snapshot", version.name], _rows(version))
    if not version.good:
        raise CorruptionError(version.state)


@app.command()
def rollback(
    name: Name,
    home: Home = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Go back to a snapshot: its state and settings are the present again; the next run learns from there.

    The events behind it stay in the log and are learned again; changed settings and published tables behind
    it are undone. The run must be stopped. `rtrec log rolled-back` shows what was ever undone.

    Example: `rtrec snapshots rollback 21 --home .rtrec/demo`
    """
    from rtrec.cli.homes import find_deployment
    from rtrec.engine.versions import describe, roll_back

    deployment = find_deployment(home)
    if not yes:
        behind = describe(deployment, name).about.get("behind")
        if behind:
            say(
                f"behind snapshot {name} there are {behind['events']:,} events, which will be learned again, "
                f"and {behind['controls']:,} controls (settings, tables), which will be void"
            )
        typer.confirm("Go back to it?", abort=True, err=True)
    undone = roll_back(deployment, name)
    if json:
        print_json(undone.to_dict())
        return
    say(
        f"back at snapshot {undone.to}: {len(undone.cuts):,} batches and {len(undone.controls):,} controls "
        f"behind it are undone; `rtrec run ... --home {deployment.home}` catches up"
    )


@app.command()
def prune(
    keep: Annotated[int, typer.Option(min=1, max=1000, help="How many of the newest good ones stay.")],
    home: Home = None,
    json: Json = False,
) -> None:
    """Delete all but the newest snapshots, and move the events before them to the history.

    A run does the same as it goes: `rtrec run ... --keep-snapshots N`.

    Example: `rtrec snapshots prune --keep 2 --home .rtrec/demo`
    """
    from rtrec.cli.homes import find_deployment
    from rtrec.engine import versions

    deleted = versions.prune(find_deployment(home), keep)
    if json:
        print_json({"deleted": deleted})
    else:
        say(f"deleted {', '.join(deleted)}" if deleted else "nothing to delete")


def _report(home: Home, *, json: bool, verify: bool) -> list[Version]:
    from rtrec.cli.homes import find_deployment
    from rtrec.engine.versions import versions

    found = versions(find_deployment(home), verify=verify)
    if json:
        for each in found:
            print_json(_facts(each))
        return found
    rows = [
        [
            each.name,
            f"{each.size_mb:,}",
            _shown(each.about.get("n_events", "")),
            str(each.about.get("format_version", "")),
            each.state,
        ]
        for each in found
    ]
    title = "" if found else "No snapshots"
    head = ["snapshot", "MB", "events", "format", "state"]
    print_table(head, rows, title=title, right=["MB", "events", "format"])
    return found


def _facts(version: Version) -> dict[str, Any]:
    facts = asdict(version)
    about = facts.pop("about")
    return {"snapshot": facts.pop("name"), **facts, "manifest": about}


def _rows(version: Version) -> list[list[str]]:
    """Return what `show` says, a row a fact."""
    about, rows = version.about, [["state", version.state], ["size", f"{version.size_mb:,} MB"]]
    if not version.good:
        return rows
    from rtrec.settings import Settings, as_text

    default = Settings().model_dump()
    changed = {
        name: value
        for name, value in Settings(**about["settings"]).model_dump().items()
        if value != default[name]
    }
    tables = [f"{each['slot']} {each['model']} ({each['version']})" for each in about["tables"]]
    behind = about["behind"]
    return [
        *rows,
        ["format", f"{about['format_version']}, written by {about['written_by']}"],
        ["events", f"{about['n_events']:,}, of which {about['tested']:,} tested"],
        ["place in the log", f"batch {about['seq']:,}, ends {_shown(about['ends'])}"],
        *(
            [model, ", ".join(f"{name} {value:.4f}" for name, value in scores.items())]
            for model, scores in about["models"].items()
        ),
        ["settings", ", ".join(f"{name}={as_text(value)}" for name, value in changed.items()) or "default"],
        ["changes so far", f"{len(about['changes']):,}"],
        ["tables", ", ".join(tables) or "none"],
        ["quarantined", f"{about['quarantine']['n_events']:,} events"],
        ["behind it", ", ".join(f"{value:,} {name}" for name, value in behind.items())],
        ["gone back to", ", ".join(about["rolled_back_to"]) or "never"],
    ]


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return f"{value:,}" if isinstance(value, int) else str(value)
