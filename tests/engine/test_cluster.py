"""Workers of this machine: where they listen."""

from __future__ import annotations

import asyncio

import psutil
import pytest

from rtrec.engine.cluster import Workers

pytestmark = [pytest.mark.slow, pytest.mark.cluster]


def test_scheduler_and_workers_listen_on_loopback_only() -> None:
    async def listening() -> set[str]:
        workers = Workers(2)
        await workers.start()
        try:
            me = psutil.Process()
            return {
                connection.laddr.ip
                for process in (me, *me.children(recursive=True))
                for connection in process.net_connections()
                if connection.status == psutil.CONN_LISTEN
            }
        finally:
            await workers.close()

    assert asyncio.run(listening()) == {"127.0.0.1"}
