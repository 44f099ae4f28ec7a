"""`rtrec log`: what a deployment's log holds, also while a run writes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from rtrec.cli.console import print_json, print_table, say
from rtrec.cli.options import MOST_EVENTS, Home, Json
from rtrec.cli.redrive import redrive

if TYPE_CHECKING:
    from rtrec.events.log import Control, EventLog, StoredDeadLetter

app = typer.Typer(help="The log of a deployment, also while a run writes it.", no_args_is_help=True)
app.command()(redrive)


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
            **lateness_facts(log, source),
            "dead_letters": log.dead_letter_counts(),
            "batches": len(log.cuts()),
            "controls": len(log.controls()),
            "rolled_back": len(log.rolled_back()),
            "paused": paused_by(log.controls()),
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
    """List the rows that could not become events and wait, with where they stood and why.

    `rtrec log redrive` tries them again. With `--json`, `kept` says what `payload` is: all `cells`, the
    `line` as it stood, its `bytes` in base64 where it is no UTF-8, or only a `part`.

    Example: `rtrec log dead-letters --home .rtrec/demo --reason 'unparsable time'`
    """
    from rtrec.cli.homes import find_deployment
    from rtrec.errors import InputError, nearest
    from rtrec.events.payloads import readable

    log = find_deployment(home).open_log(mode="read")
    try:
        counts = log.dead_letter_counts()
        letters = log.dead_letters(limit=limit, reason=reason)
    finally:
        log.close()
    if reason is not None and reason not in counts:
        known = f"there are {', '.join(counts)}" if counts else "there are no dead letters"
        raise InputError(
            f"--reason {reason}: no dead letter was refused for it{nearest(reason, counts)}; {known}"
        )
    if json:
        for each in letters:
            print_json(vars(each) | {"time": each.time.isoformat()})
        return
    total = sum(counts.values()) if reason is None else counts[reason]
    rows = [
        [each.source, f"{each.row:,}", each.column, _why(each), readable(each.payload, each.kept)[:200]]
        for each in letters
    ]
    title = f"{len(letters):,} of {total:,} dead letters" if total else "No dead letters"
    print_table(["source", "row", "column", "reason", "what it said"], rows, title=title, right=["row"])


@app.command()
def quarantined(home: Home = None, json: Json = False) -> None:
    """List the events that the guard kept from the ranker, as of the newest snapshot, and why.

    Example: `rtrec log quarantined --home .rtrec/demo`
    """
    from contextlib import closing

    from rtrec.cli.homes import find_deployment
    from rtrec.engine.deployment import SNAPSHOT_NAME
    from rtrec.engine.quarantine import Quarantine, events_of
    from rtrec.models.snapshot import latest_snapshot

    deployment = find_deployment(home)
    snapshot = latest_snapshot(deployment.snapshots, named=SNAPSHOT_NAME, mmap=True)
    book = Quarantine() if snapshot is None else Quarantine.from_manifest(snapshot.manifest["quarantine"])
    with closing(deployment.open_log(mode="read")) as log:
        found = [fact for each in book.cuts for fact in events_of(log, each)]
    if json:
        for fact in found:
            print_json(fact)
        return
    rows = [[_shown(value) for value in fact.values()] for fact in found]
    head = ["batch", "partition", "offset", "user", "item", "time", "kind", "value", "why"]
    of = f"of {book.n_events:,} " if book.n_events > len(found) else ""
    title = f"{len(found):,} {of}events in quarantine" if found else "No event is in quarantine"
    print_table(head, rows, title=title, right=["batch", "partition", "offset", "value"])
    if book.frozen:
        say("the ranker is frozen: it learns nothing until a setting is changed, or `rtrec log thaw`")


@app.command()
def thaw(home: Home = None) -> None:
    """Let a ranker learn again that is frozen since too much had to be quarantined.

    Example: `rtrec log thaw --home .rtrec/demo`
    """
    from rtrec.cli.homes import find_deployment
    from rtrec.engine.quarantine import THAW

    control = find_deployment(home).append_control({"control": THAW})
    say(f"the ranker learns again, from control {control.offset} on")


@app.command("rolled-back")
def rolled_back(home: Home = None, json: Json = False) -> None:
    """List what was undone by `rtrec snapshots rollback`: when, back to where, and which controls are void.

    Example: `rtrec log rolled-back --home .rtrec/demo`
    """
    from contextlib import closing

    from rtrec.cli.homes import find_deployment

    with closing(find_deployment(home).open_log(mode="read")) as log:
        found = log.rolled_back()
    if json:
        for each in found:
            print_json(each.to_dict())
        return
    rows = [
        [
            each.time.isoformat(timespec="seconds"),
            each.to,
            f"{len(each.cuts):,}",
            "; ".join(str(control.body) for control in each.controls) or "none",
        ]
        for each in found
    ]
    title = "" if found else "Nothing was ever rolled back"
    print_table(["when", "back to", "batches", "controls"], rows, title=title, right=["batches"])


@app.command("resume")
def resume_source(home: Home = None) -> None:
    """Read on where too many bad rows have paused the source, now or when a run starts next.

    Example: `rtrec log resume --home .rtrec/shop`
    """
    from rtrec.cli.homes import find_deployment
    from rtrec.engine.intake import resume

    deployment = find_deployment(home)
    log = deployment.open_log(mode="read")
    try:
        paused = paused_by(log.controls())
    finally:
        log.close()
    if not paused:
        say(f"{deployment.home}: nothing is paused")
        return
    deployment.append_control(resume())
    say(f"{deployment.home}: the source is read on; it was paused: {paused}")


def lateness_facts(log: EventLog, source: str) -> dict[str, object]:
    """Return what there is to say of how late a source's events come."""
    from rtrec.events.letters import LATE
    from rtrec.events.watermark import Watermark

    watermark = Watermark.resumed(log.watermark(source))
    return {
        "late": log.cleaning_counts(source).get(LATE, 0),
        "lateness_allowed": "any" if watermark.is_open else str(watermark.lateness),
        "most_late_s": watermark.most_behind / 1e6,
        "watermark": None if watermark.moment is None else watermark.moment.isoformat(),
    }


def paused_by(controls: Sequence[Control]) -> str:
    """Return why a source is paused, as the controls of its log say; empty if it is not."""
    from rtrec.engine.intake import PAUSE, RESUME

    said = [each.body for each in controls if each.body.get("control") in (PAUSE, RESUME)]
    return str(said[-1]["sentence"]) if said and said[-1]["control"] == PAUSE else ""


def _why(letter: StoredDeadLetter) -> str:
    return f"{letter.reason}: {letter.detail}" if letter.detail else letter.reason


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(each)}" for name, each in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return f"{value:,}" if isinstance(value, int | float) else str(value or "none")
