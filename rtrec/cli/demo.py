"""`rtrec demo`: the dashboard on a synthetic stream, which drifts after some minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtrec.cli.options import Json
from rtrec.cli.run import Fresh, Host, Open, Port, RunHome, Shards

if TYPE_CHECKING:
    from rtrec.engine.live import LiveRun
    from rtrec.events.feeds import Feed

#: Events that are fed at once, so that there is something to see.
WARM_HISTORY = 20_000
#: After them so many come in a second; the first minutes go by, then the tastes turn.
EVENTS_PER_S = 300
DRIFT_AT = 75_000


def demo(
    home: RunHome = None,
    shards: Shards = 1,
    fresh: Fresh = False,
    host: Host = "127.0.0.1",
    port: Port = 5006,
    open_browser: Open = False,
    json: Json = False,
) -> None:
    """See it move: a synthetic stream of events, a live recommender, and the dashboard.

    Nothing has to be there and nothing is fetched. About three minutes in, all tastes change at once: watch
    the recommender notice and recover. Ctrl-C stops it, and the next start goes on.

    Example: `rtrec demo --fresh`, then open the address it prints.
    """
    from rtrec.cli.homes import HOMES
    from rtrec.cli.watch import Page, conduct

    page = Page(host, port, open_browser=open_browser, or_next_free=True)

    def start() -> LiveRun:
        from rtrec.engine.live import LiveRun

        feed, titles, speed = make_stream()
        return LiveRun.start(
            home or HOMES / "demo",
            feed,
            shards=shards,
            speed=speed,
            warmup=WARM_HISTORY // 4,
            titles=titles,
            fresh=fresh,
        )

    conduct(start, page=page, n_rows=None, json=json)


def make_stream() -> tuple[Feed, dict[str, str], float]:
    """Return the demo's feed, the titles of its items, and how many times recorded speed it runs."""
    from datetime import UTC, datetime

    from rtrec.events.feeds import SyntheticFeed
    from rtrec.events.headstart import HeadStart
    from rtrec.events.synthetic import SyntheticConfig, SyntheticStream

    # Time in the stream must not overtake the wall clock, or the replay would lose its pace: begin years ago.
    config = SyntheticConfig(
        drift_at=DRIFT_AT, events_per_day=20_000.0, daily_swing=0.5, start=datetime(2020, 1, 1, tzinfo=UTC)
    )
    stream = SyntheticStream(config)
    titles = stream.item_titles(1_000_000)  # items are born for ever; these are those of the first hour
    speed = EVENTS_PER_S * 86_400 / config.events_per_day
    return HeadStart(SyntheticFeed(stream, chunk_rows=1000), WARM_HISTORY), titles, speed
