"""`rtrec log`: what a deployment's log holds, also while a run writes it."""

from __future__ import annotations

from typing import Annotated

import typer

from rtrec.cli.console import print_json, print_table
from rtrec.cli.options import MOST_EVENTS, Home, Json

app = typer.Typer(help="The log of a deployment, also while a run writes it.", no_args_is_help=True)


@app.command()
def info(home: Home = None, json: Json = False) -> None:
    """Say how many events the log has, where they came from, and what became of the other rows.

    Example: `rtrec log info --home .rtrec/demo`
    """
    from rtrec.cli.homes import find_deployment
    from rtrec.events.kafka.log import KafkaLog

    deployment = find_deployment(home)
    source = str(deployment.manifest.get("source", ""))
    log = deployment.open_log(mode="read")
    try:
        facts = {
            "home": str(deployment.home),
            "source": source,
            "events": sum(log.ends()),
            "partitions": list(log.ends()),
            "rows_read": log.position(source),
            "counts": log.cleaning_counts(source),
            "dead_letters": log.dead_letter_counts(),
            "batches": len(log.cuts()),
            "controls": len(log.controls()),
        }
        if isinstance(log, KafkaLog):
            facts |= {"topic": log.at, "topic_needed_from": log.needed_from()}
    finally:
        log.close()
    if json:
        print_json(facts)
        return
    print_table(["log", ""], [[name.replace("_", " "), _shown(value)] for name, value in facts.items()])


@app.command("dead-letters")
def dead_letters(
    home: Home = None,
    reason: Annotated[
        str | None, typer.Option(metavar="REASON", help="Only those refused for this reason.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=MOST_EVENTS, help="How many of the last ones.")] = 100,
    json: Json = False,
) -> None:
    """List the rows that could not become events, with where they stood and why.

    Example: `rtrec log dead-letters --home .rtrec/demo --reason 'unparsable time'`
    """
    from rtrec.cli.homes import find_deployment
    from rtrec.errors import InputError, nearest

    log = find_deployment(home).open_log(mode="read")
    try:
        counts = log.dead_letter_counts()
        letters = log.dead_letters(limit=limit, reason=reason)
    finally:
        log.close()
    if reason is not None and reason not in counts:
        known = f"there are {', '.join(counts)}" if counts else "there are no dead letters"
        raise InputError(f"no dead letter was refused for {reason!r}{nearest(reason, counts)}; {known}")
    if json:
        for each in letters:
            print_json(vars(each) | {"time": each.time.isoformat()})
        return
    total = sum(counts.values()) if reason is None else counts[reason]
    rows = [[each.source, f"{each.row:,}", each.column, each.reason, each.payload[:200]] for each in letters]
    title = f"{len(letters):,} of {total:,} dead letters" if total else "No dead letters"
    print_table(["source", "row", "column", "reason", "what it said"], rows, title=title, right=["row"])


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(each)}" for name, each in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return f"{value:,}" if isinstance(value, int) else str(value)
