"""Properties that secure the way to the brokers do so."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtrec.errors import DeploymentError
from rtrec.events.kafka.address import KafkaAddress
from rtrec.events.kafka.brokers import Brokers
from rtrec.events.kafka.properties import Properties
from tests.needs import missing


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Return a certificate for localhost, with its key beside it."""
    if shutil.which("openssl") is None:
        missing("makes a certificate with openssl, which is not here (Debian: apt install openssl)")
    path = tmp_path / "broker.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", path.with_suffix(".key"), "-out", path]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    return path


@pytest.fixture
def behind_tls(kafka_cluster, certificate: Path) -> Iterator[KafkaAddress]:
    """Return the address of a topic whose broker can be reached by TLS only."""
    address = kafka_cluster.new_topic()
    host, port = address.servers.split(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    loop, ports, ready = asyncio.new_event_loop(), [], threading.Event()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
        finally:
            writer.close()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner = await asyncio.open_connection(host, int(port))
        await asyncio.gather(pass_on(reader, inner[1]), pass_on(inner[0], writer), return_exceptions=True)

    async def serve() -> None:
        server = await asyncio.start_server(take, "127.0.0.1", 0, ssl=context)
        ports.append(server.sockets[0].getsockname()[1])
        ready.set()

    async def end() -> None:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        loop.stop()

    loop.create_task(serve())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    assert ready.wait(10)
    yield KafkaAddress(f"localhost:{ports[0]}", address.topic)
    asyncio.run_coroutine_threadsafe(end(), loop)
    thread.join(10)
    loop.close()


def ask(address: KafkaAddress, **properties: str) -> list[int]:
    given = {name.replace("_", "."): value for name, value in properties.items()}
    brokers = Brokers(address, Properties(given), timeout_s=5.0 if "ssl_ca_location" in properties else 1.0)
    consumer = brokers.consumer()
    try:
        return brokers.partitions(consumer)
    finally:
        consumer.close()


def test_a_broker_with_a_certificate_that_is_trusted_answers(behind_tls, certificate):
    assert ask(behind_tls, security_protocol="SSL", ssl_ca_location=str(certificate)) == [0, 1, 2, 3]


def test_a_broker_nobody_vouches_for_is_not_believed(behind_tls):
    with pytest.raises(DeploymentError, match="certificate verify failed"):
        ask(behind_tls, security_protocol="SSL")


def test_without_tls_there_is_no_way_in(behind_tls):
    with pytest.raises(DeploymentError, match="looking for the topic"):
        ask(behind_tls)
