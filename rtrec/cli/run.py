"""`rtrec run`: a recommender that lives on an event log."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rtrec.cli.options import (
    MOST_EVENTS,
    ClusterOptions,
    InputOptions,
    Json,
    SettingsOptions,
    expanded,
    folder,
)
from rtrec.cli.values import parse_lateness, parse_overload, parse_speed, parse_warmup
from rtrec.errors import InputError
from rtrec.events.kafka.address import KafkaAddress
from rtrec.events.kafka.properties import ENVIRONMENT, read_properties

if TYPE_CHECKING:
    from rtrec.engine.live import LiveRun
    from rtrec.engine.status import Status
    from rtrec.events.log import Position
    from rtrec.settings import Settings

_PACE = "Replay"
_RUN = "Run"
_PAGE = "Dashboard"
_REFITS = "Fitted models"
_KAFKA = "Kafka"
_OVERLOAD = "Overload"

RunHome = Annotated[
    Path | None,
    typer.Option(
        "--home",
        envvar="RTREC_HOME",
        parser=folder("--home"),
        metavar="DIR",
        rich_help_panel=_RUN,
        help="Where log, snapshots and reports are kept. (default: .rtrec/ and the name of the data)",
    ),
]
Shards = Annotated[
    int,
    typer.Option(
        min=1, max=64, rich_help_panel=_RUN, help="Worker processes that share the users; fixed once made."
    ),
]
Fresh = Annotated[
    bool, typer.Option("--fresh", rich_help_panel=_RUN, help="Forget what is there and start anew.")
]
Host = Annotated[
    str, typer.Option(rich_help_panel=_PAGE, help="Address of the dashboard; this machine only, so far.")
]
Port = Annotated[
    int,
    typer.Option(min=0, max=65535, rich_help_panel=_PAGE, help="Port of the dashboard; 0 takes a free one."),
]
Open = Annotated[bool, typer.Option("--open", rich_help_panel=_PAGE, help="Open the dashboard in a browser.")]


@expanded
def run(
    given: InputOptions,
    chosen: SettingsOptions,
    cluster: ClusterOptions,
    home: RunHome = None,
    shards: Shards = 1,
    fresh: Fresh = False,
    snapshot_every: Annotated[
        int,
        typer.Option(min=1, max=MOST_EVENTS, rich_help_panel=_RUN, help="Events between two snapshots."),
    ] = 20_000,
    keep_snapshots: Annotated[
        int,
        typer.Option(
            min=1,
            max=1000,
            rich_help_panel=_RUN,
            help="Snapshots to keep: one can go back to them, and what-ifs start from them.",
        ),
    ] = 4,
    nearline: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SLOT=MODEL",
            rich_help_panel=_REFITS,
            help="Fit a model on all history beside the stream, such as history=ease or "
            "history=ials:n_factors=32; as often as needed, for the slots content, history, own.",
        ),
    ] = None,
    refit_every: Annotated[
        int,
        typer.Option(min=1, max=MOST_EVENTS, rich_help_panel=_REFITS, help="Events between two refits."),
    ] = 5000,
    historical: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_EVENTS,
            metavar="EVERY",
            rich_help_panel=_REFITS,
            help="Recompute historical features every so many events; the blend looks at them with "
            "--set use_historical=true.",
        ),
    ] = None,
    refit_wait: Annotated[
        bool,
        typer.Option(
            "--refit-wait",
            rich_help_panel=_REFITS,
            help="Hold the stream until a refit is published: the same events then give the same figures.",
        ),
    ] = False,
    speed: Annotated[
        str,
        typer.Option(
            metavar="max|60x", rich_help_panel=_PACE, help="As fast as it goes, or times recorded speed."
        ),
    ] = "max",
    longest_wait: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            rich_help_panel=_PACE,
            help="At a --speed, wait no longer than this for the next event, however long nothing was "
            "recorded; inf keeps every pause.",
        ),
    ] = 2.0,
    warmup: Annotated[
        str,
        typer.Option(
            metavar="SHARE|N",
            rich_help_panel=_PACE,
            help="Share, or number, of events that are only learned.",
        ),
    ] = "0.2",
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_EVENTS,
            rich_help_panel=_PACE,
            help="Stop after so many events behind the warm part.",
        ),
    ] = None,
    sort: Annotated[
        bool,
        typer.Option(
            "--sort/--no-sort",
            rich_help_panel=_PACE,
            help="Replay a file in order of time, or as it stands (any size).",
        ),
    ] = True,
    lateness: Annotated[
        str | None,
        typer.Option(
            metavar="7d|12h|off",
            rich_help_panel=_PACE,
            help="How much older than the newest event before it one may be; later ones become dead letters, "
            "which `rtrec log redrive --reason late` can take. (default: as before; off in a new deployment)",
        ),
    ] = None,
    accept_bad: Annotated[
        bool,
        typer.Option(
            "--accept-bad",
            rich_help_panel=_RUN,
            help="Read on where more than 20% of the last 1,000 rows cannot be events, instead of pausing.",
        ),
    ] = False,
    sampling: Annotated[
        str,
        typer.Option(
            metavar="SHARE|off",
            rich_help_panel=_OVERLOAD,
            help="Share of the events that is tested while a source (at a --speed, or a topic) is ahead of "
            "learning; all are learned. off tests all of them, whatever comes.",
        ),
    ] = "0.1",
    overload_after: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            rich_help_panel=_OVERLOAD,
            help="How far ahead of learning a source has to be for that, for 5 s; it ends once the source is "
            "caught up with for as long.",
        ),
    ] = 10.0,
    log: Annotated[
        str | None,
        typer.Option(
            metavar="kafka://HOST:PORT/TOPIC",
            rich_help_panel=_KAFKA,
            help="Keep the events of a new deployment in this topic, not in its directory; fixed once made.",
        ),
    ] = None,
    sink: Annotated[
        str | None,
        typer.Option(
            metavar="kafka://HOST:PORT/TOPIC",
            rich_help_panel=_KAFKA,
            help="Write the new list of each user who had events to this topic.",
        ),
    ] = None,
    kafka_config: Annotated[
        Path | None,
        typer.Option(
            "--kafka-config",
            envvar=ENVIRONMENT,
            show_envvar=True,
            metavar="FILE",
            rich_help_panel=_KAFKA,
            help="Properties of the client (librdkafka's), such as users and certificates: YAML, or lines of "
            "name=value.",
        ),
    ] = None,
    headless: Annotated[
        bool, typer.Option("--headless", rich_help_panel=_PAGE, help="No dashboard: stop at the end.")
    ] = False,
    host: Host = "127.0.0.1",
    port: Port = 5006,
    open_browser: Open = False,
    json: Json = False,
) -> None:
    """Feed a live recommender: every event is logged, answered, scored, and then learned.

    Killed at any moment and started again, it goes on where it was. Ctrl-C stops it cleanly, a second one at
    once.

    Example: `rtrec run clicks.jsonl --user visitor --item sku --time at --headless --json`

    With a dashboard: `rtrec run --dataset movielens-latest-small --speed 1000000x --warmup 1000`

    With a model of all history: `rtrec run clicks.csv --nearline history=ease --refit-every 20000`

    With what all of history says of items and users: `rtrec run clicks.csv --historical 50000 --set
    use_historical=true`

    With events from a topic: `rtrec run kafka://localhost:9092/clicks --user visitor --item sku --time at`;
    `--sampling 0.05` tests one in twenty while it comes faster than it is learned, `--sampling off` all

    To look at what is there: `rtrec run --home .rtrec/clicks.jsonl`
    """
    from rtrec.cli.about import read_settings
    from rtrec.cli.cluster import security_of
    from rtrec.cli.console import say
    from rtrec.cli.homes import HOMES, find_deployment
    from rtrec.cli.inputs import find_input
    from rtrec.cli.refits import outcomes, read_plan
    from rtrec.cli.watch import Page, conduct

    use_properties(kafka_config)
    plan = read_plan(nearline or [], historical, every=refit_every, wait=refit_wait)
    if not longest_wait > 0:
        raise InputError(f"--longest-wait {longest_wait:g}: expected seconds above zero, or inf")
    settings, pace, warm = read_settings(chosen), parse_speed(speed), parse_warmup(warmup)
    allowed = None if lateness is None else parse_lateness(lateness)
    overload = parse_overload(sampling, overload_after)
    security = security_of(cluster)
    page = None if headless else Page(host, port, open_browser=open_browser)
    if given.file is None and given.dataset is None and home is not None and not fresh:
        find_deployment(home)
        feed, titles, texts, categories, n_rows = None, {}, {}, {}, None
    else:
        read = find_input(given)
        feed = read.feed(sort=sort, longest_wait_s=longest_wait, lateness=allowed)
        titles, texts = dict(read.titles), dict(read.texts)
        categories = dict(read.categories)
        home, n_rows = home or HOMES / read.name, feed.source.n_rows if limit is None else None
    if not fresh:
        _tell_what_is_fixed(home, settings)
    before = None if fresh or feed is None or limit is not None else _rows_read(home, feed.name)

    def tell_nothing_new() -> None:
        if feed is not None and before and _rows_read(home, feed.name) == before:
            say(f"nothing new in {feed.name}; --fresh starts over")

    def start() -> LiveRun:
        from rtrec.engine.live import LiveRun
        from rtrec.events.kafka.brokers import Brokers
        from rtrec.events.kafka.sink import KafkaSink

        return LiveRun.start(
            home,
            feed,
            settings=settings,
            shards=shards,
            scheduler=cluster.scheduler,
            security=security,
            speed=pace,
            limit=limit,
            warmup=warm,
            titles=titles,
            texts=texts,
            categories=categories,
            snapshot_every=snapshot_every,
            keep_snapshots=keep_snapshots,
            fresh=fresh,
            refits=plan,
            accept_bad=accept_bad,
            overload=overload,
            log=log,
            sink=None if sink is None else KafkaSink(Brokers(KafkaAddress.parse(sink), timeout_s=10.0)),
        )

    def tell_refits(status: Status) -> None:
        for sentence in outcomes(plan, status):
            say(sentence)

    conduct(start, page=page, n_rows=n_rows, json=json, at_end=tell_nothing_new, at_stop=tell_refits)


def use_properties(path: Path | None) -> None:
    """Let all clients of Kafka have the properties of a file, those in worker processes too.

    Raises
    ------
    InputError
        If it cannot be read: now, and not when the first client is made.
    """
    if path is not None:
        read_properties(path)
        os.environ[ENVIRONMENT] = str(path.resolve())


def _rows_read(home: Path, source: str) -> Position:
    """Return how far a deployment's log is in a source; 0 where there is none."""
    from rtrec.engine.deployment import Deployment

    deployment = Deployment(home)
    if not deployment.exists:
        return 0
    log = deployment.open_log(mode="read")
    try:
        return log.position(source)
    finally:
        log.close()


def _tell_what_is_fixed(home: Path, wanted: Settings) -> None:
    """Say so where a deployment that exists goes on with other settings than ``wanted``."""
    from rtrec.cli.console import say
    from rtrec.engine.deployment import Deployment

    deployment = Deployment(home)
    if not deployment.exists:
        return
    from rtrec.settings import as_text

    made_with = deployment.manifest["settings"]
    asked = wanted.model_dump(mode="json", exclude_unset=True)
    ignored = [
        f"{name}={as_text(value)}" for name, value in asked.items() if made_with.get(name, value) != value
    ]
    if ignored:
        say(
            f"{home} goes on with its own settings, not with {', '.join(ignored)}: "
            "change them in the dashboard, or start anew with --fresh",
            style="yellow",
        )
