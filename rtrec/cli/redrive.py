"""`rtrec log redrive`: dead letters are tried again, after something was mended."""

from __future__ import annotations

import json as json_text
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rtrec.cli.console import print_json, say
from rtrec.cli.options import Home, Json
from rtrec.errors import InputError, nearest

if TYPE_CHECKING:
    from rtrec.events.mapping import ColumnMapping
    from rtrec.events.redriving import Redriven

_COLUMNS = "How their rows are to be read (default: as the deployment reads them)"


def _column(flag: str, sentence: str, metavar: str = "COLUMN") -> Any:
    return typer.Option(flag, metavar=metavar, rich_help_panel=_COLUMNS, help=sentence)


def redrive(
    home: Home = None,
    reason: Annotated[
        str | None, typer.Option(metavar="REASON", help="Only those refused for this reason.")
    ] = None,
    ids: Annotated[
        str | None, typer.Option(metavar="A-B", help="Only those with ids from A to B; `--json` shows ids.")
    ] = None,
    edited: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Only the letters in this file, with `payload` as mended there: JSON Lines, as "
            "`rtrec log dead-letters --json` prints them.",
        ),
    ] = None,
    user: Annotated[str | None, _column("--user", "Who.")] = None,
    item: Annotated[str | None, _column("--item", "What.")] = None,
    time: Annotated[str | None, _column("--time", "When.")] = None,
    kind: Annotated[str | None, _column("--kind", "View, click, buy, rating, ...")] = None,
    value: Annotated[str | None, _column("--value", "Rating, price or play time.")] = None,
    time_unit: Annotated[str | None, _column("--time-unit", "Of numeric times.", "s|ms|us|ns")] = None,
    time_format: Annotated[
        str | None, _column("--time-format", "Of times that are not ISO 8601.", "FORMAT")
    ] = None,
    timezone: Annotated[str | None, _column("--timezone", "Of times without an offset.", "ZONE")] = None,
    default_kind: Annotated[
        str | None, _column("--default-kind", "Kind of events that name none.", "KIND")
    ] = None,
    kind_map: Annotated[
        list[str] | None,
        _column(
            "--kind-map", "What a kind is called, such as impression=view; as often as needed.", "NAME=KIND"
        ),
    ] = None,
    encoding: Annotated[
        str, _column("--encoding", "Of rows that were kept as bytes, since they are no UTF-8.", "NAME")
    ] = "utf-8",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")] = False,
    json: Json = False,
) -> None:
    """Try dead letters again: those that are events now are learned, once; others get their new reason.

    It works beside a live run too, which learns them at its next batch. Late events are taken, whatever the
    lateness allowed. How new rows are read does not change.

    Example: `rtrec log redrive --home .rtrec/shop --reason 'unparsable time' --time-format '%d.%m.%Y %H:%M'`
    """
    from rtrec.cli.homes import find_deployment
    from rtrec.clock import utc_now
    from rtrec.events.cleaning import Cleaner
    from rtrec.events.redriving import redrive as try_again

    deployment = find_deployment(home)
    given = {
        "user": user,
        "item": item,
        "time": time,
        "kind": kind,
        "value": value,
        "time_unit": time_unit,
        "time_format": time_format,
        "timezone": timezone,
        "default_kind": default_kind,
    }
    mapping = _mapping(deployment.manifest, {name: each for name, each in given.items() if each is not None})
    cleaner = Cleaner(mapping, source="", clock=utc_now, kind_names=_kind_names(kind_map or []))
    chosen, mended = _ids(ids), None if edited is None else _edited(edited)
    with deployment.log_beside_a_run() as log:
        counts = log.dead_letter_counts()
        if reason is not None and reason not in counts:
            known = f"there are {', '.join(counts)}" if counts else "no dead letter waits"
            raise InputError(f"no dead letter waits for {reason!r}{nearest(reason, counts)}; {known}")
        outcome = try_again(
            log, cleaner, reason=reason, ids=chosen, edited=mended, encoding=encoding, dry_run=dry_run
        )
    if json:
        print_json(
            {
                "redriven": outcome.n_events,
                "left_out": dict(outcome.left_out),
                "still_bad": dict(outcome.still_bad),
                "kept_in_part": outcome.n_cut,
                "dry_run": dry_run,
            }
        )
    else:
        _tell(outcome, dry_run=dry_run)


def _tell(outcome: Redriven, *, dry_run: bool) -> None:
    said = [f"{'would be redriven' if dry_run else 'redriven'}: {outcome.n_events:,}"]
    if outcome.left_out:
        said.append(f"need not become events: {outcome.left_out.total():,} ({_reasons(outcome.left_out)})")
    if outcome.still_bad:
        said.append(f"still bad: {outcome.still_bad.total():,} ({_reasons(outcome.still_bad)})")
    say("; ".join(said))
    if outcome.n_cut:
        say(f"{outcome.n_cut:,} of those cannot be tried: only a part of their row was kept")


def _reasons(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {n:,}" for reason, n in sorted(counts.items(), key=lambda each: -each[1]))


def _mapping(manifest: Mapping[str, Any], given: Mapping[str, Any]) -> ColumnMapping:
    """Return how the deployment reads its rows, with what is ``given`` in its place."""
    from rtrec.events.mapping import ColumnMapping

    columns = manifest.get("feed", {}).get("columns")
    if columns is None:
        missing = [f"--{name}" for name in ("user", "item", "time") if name not in given]
        if missing:
            raise InputError(
                f"the deployment does not say which columns its rows have; say it with {', '.join(missing)}"
            )
        return ColumnMapping(**given)
    return replace(ColumnMapping(**columns | {"context": tuple(columns["context"])}), **given)


def _kind_names(texts: list[str]) -> dict[str, str]:
    from rtrec.types import KINDS

    named = {}
    for text in texts:
        name, equals, kind = (part.strip() for part in text.partition("="))
        if not equals or not name or kind not in KINDS:
            raise InputError(
                f"--kind-map {text!r}: expected NAME=KIND, such as impression=view; the kinds are "
                f"{', '.join(KINDS)}{nearest(kind, KINDS)}"
            )
        named[name] = kind
    return named


def _ids(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    first, _, last = text.partition("-")
    try:
        chosen = int(first), int(last or first)
    except ValueError:
        chosen = (1, 0)
    if not 0 <= chosen[0] <= chosen[1]:
        raise InputError(f"--ids {text!r}: expected two ids, such as 12-40, or one")
    return chosen


def _edited(path: Path) -> dict[int, dict[str, Any]]:
    """Return rows by the id of their letter, from a file of letters whose payload was mended."""
    if not path.is_file():
        raise InputError(f"--edited {path}: no such file")
    rows = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            letter = json_text.loads(line)
            payload = letter["payload"]
            cells = json_text.loads(payload) if isinstance(payload, str) else payload
            rows[int(letter["id"])] = dict(cells)
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"--edited {path}: line {number}: expected a letter with its id, and its row as a JSON "
                f"object under payload; got {line[:80]!r} ({type(error).__name__}: {error})"
            ) from error
    return rows
