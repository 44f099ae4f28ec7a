"""`rtrec tables`: what has an opinion beside the stream, and since when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rtrec.cli.console import print_json, print_table, say
from rtrec.cli.options import Home, Json

if TYPE_CHECKING:
    from rtrec.engine.deployment import Deployment
    from rtrec.events.log import EventLog

app = typer.Typer(
    help="Tables that models were fitted for: list them, withdraw one, also while a run goes on.",
    no_args_is_help=True,
)


@app.command("list")
def list_all(
    home: Home = None,
    every: Annotated[bool, typer.Option("--all", help="Also those that were replaced.")] = False,
    json: Json = False,
) -> None:
    """List the published tables: which model, fitted on how much, and what is left of it on disk.

    Example: `rtrec tables list --home .rtrec/demo`
    """
    from contextlib import closing

    from rtrec.cli.homes import find_deployment
    from rtrec.engine.publications import publications
    from rtrec.models.table_store import TableStore

    deployment = find_deployment(home)
    store = TableStore(deployment.home)
    with closing(deployment.open_log(mode="read")) as log:
        published, n_events = publications(log), sum(log.ends())
        from_texts = _has_table_of_texts(deployment, log)
    facts: list[dict[str, Any]] = []
    if from_texts:
        facts.append({"slot": "content", "model": "content", "version": "from texts", "state": "live"})
    for each in published:
        if each.state == "live" or every:
            said = each.body
            facts.append(
                {
                    "slot": each.slot,
                    "model": said["model"],
                    "version": said["version"],
                    "state": each.state,
                    "n_events": said["n_events"],
                    "events_since": n_events - said["n_events"],
                    "n_items": said["n_items"],
                    "seconds": said["seconds"],
                    "published": each.time.isoformat(timespec="seconds"),
                    "on_disk": store.path(each.slot, said["version"]).is_dir(),
                }
            )
    if json:
        for fact in facts:
            print_json(fact)
        return
    head = ["slot", "model", "state", "events", "events since", "items", "seconds", "published", "version"]
    names = [name.replace("events since", "events_since") for name in head]
    names = [{"events": "n_events", "items": "n_items"}.get(name, name) for name in names]
    rows = [[_shown(fact.get(name)) for name in names] for fact in facts]
    print_table(head, rows, title="" if facts else "No published table", right=head[3:7])


@app.command()
def withdraw(
    slot: Annotated[str, typer.Argument(metavar="SLOT", help="As `rtrec tables list` shows it.")],
    home: Home = None,
) -> None:
    """Take a table out of the blend, from the next events on; to publish it again, fit it again.

    Example: `rtrec tables withdraw history --home .rtrec/demo`
    """
    from contextlib import closing

    from rtrec.cli.homes import find_deployment
    from rtrec.engine.publications import publications, withdrawal
    from rtrec.engine.refits import check_slot
    from rtrec.errors import InputError

    check_slot(slot)
    deployment = find_deployment(home)
    with closing(deployment.open_log(mode="read")) as log:
        full = {each.slot for each in publications(log) if each.state == "live"}
        if _has_table_of_texts(deployment, log):
            full.add("content")
    if slot not in full:
        there = f"there are tables in {', '.join(sorted(full))}" if full else "there is no published table"
        raise InputError(f"slot {slot!r} is empty already; {there}: see `rtrec tables list`")
    control = deployment.append_control(withdrawal(slot))
    say(f"slot {slot!r} is empty from control {control.offset} on")


def _has_table_of_texts(deployment: Deployment, log: EventLog) -> bool:
    """Say whether the table that titles of items alone give is live: nothing has taken its place since."""
    replaced = any(each.body.get("slot") == "content" for each in log.controls())
    return bool(deployment.texts()) and not replaced


def _shown(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int | float) else str(value)
