"""Where a topic is: ``kafka://host:9092,other:9092/topic``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rtrec.errors import InputError

#: One slash is enough: a path on a command line loses the other.
_ADDRESS = re.compile(r"kafka:/{1,2}(?P<servers>[^/@\s]+)/(?P<topic>[^/\s]+)")
_SERVER = re.compile(r"([^\s:,\[\]]+|\[[0-9a-fA-F:.]+\]):(?P<port>\d{1,5})")
_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")


@dataclass(frozen=True)
class KafkaAddress:
    """Some brokers, as ``host:port`` with commas between, and a topic.

    >>> KafkaAddress.parse("kafka://localhost:9092/clicks")
    KafkaAddress(servers='localhost:9092', topic='clicks')
    >>> str(KafkaAddress("localhost:9092", "clicks"))
    'kafka://localhost:9092/clicks'
    """

    servers: str
    topic: str

    @classmethod
    def parse(cls, text: str) -> KafkaAddress:
        """Read an address.

        Raises
        ------
        InputError
            If it is none. What stands before an ``@`` is not repeated: it may be a password.
        """
        match = _ADDRESS.fullmatch(text.strip())
        servers, topic = (match["servers"], match["topic"]) if match else ("", "")
        found = [_SERVER.fullmatch(each) for each in servers.split(",")]
        sound = all(each and 0 < int(each["port"]) < 65_536 for each in found)
        if not sound or not _TOPIC.fullmatch(topic) or topic in (".", ".."):
            shown = "..." + text[text.rindex("@") :] if "@" in text else text
            raise InputError(
                f"{shown!r}: expected kafka://host:port/topic, such as kafka://localhost:9092/clicks; users "
                "and passwords go into the file of --kafka-config"
            )
        return cls(servers, topic)

    def __str__(self) -> str:
        return f"kafka://{self.servers}/{self.topic}"


def is_kafka(text: str) -> bool:
    """Say whether a text means a topic, well spelt or not.

    >>> is_kafka("kafka:/localhost:9092/clicks"), is_kafka("kafka.csv")
    (True, False)
    """
    return text.startswith("kafka:/")
