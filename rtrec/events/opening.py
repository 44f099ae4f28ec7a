"""Open a log by its journal and by what a deployment says of where its events are."""

from __future__ import annotations

from pathlib import Path

from rtrec.events.database import Mode
from rtrec.events.embedded_log import EmbeddedLog
from rtrec.events.kafka.address import KafkaAddress
from rtrec.events.kafka.brokers import Brokers
from rtrec.events.recorded_log import RecordedLog


def open_log(
    path: Path, at: str | None = None, *, partitions: int | None = None, mode: Mode = "write"
) -> RecordedLog:
    """Open the log whose journal is the file ``path``.

    Parameters
    ----------
    path
        The file.
    at
        The topic that has its events, such as ``kafka://localhost:9092/events``; None: they are in the file.
    partitions, mode
        As of :class:`~rtrec.events.journaled_log.JournaledLog`.
    """
    if at is None:
        return EmbeddedLog(path, partitions=partitions, mode=mode)
    from rtrec.events.kafka.log import KafkaLog

    return KafkaLog(path, Brokers(KafkaAddress.parse(at)), partitions=partitions, mode=mode)


def require_topic(at: str, partitions: int) -> None:
    """See to it that the topic of a log can be reached and has enough partitions, before a log is made.

    Raises
    ------
    InputError
        If it is no address, or the properties of the client are not sound.
    DeploymentError
        If it cannot be used.
    """
    from rtrec.events.kafka.topic import EventTopic

    topic = EventTopic(Brokers(KafkaAddress.parse(at)), log_id="")
    try:
        topic.require(partitions)
    finally:
        topic.close()
