"""Properties of Kafka clients, from a file: who we are, and how the way to the brokers is secured.

They are those of librdkafka (``security.protocol``, ``sasl.username``, ``ssl.ca.location``, ...) and are
passed through. A value that may be a secret is never shown: not in a message, a log or a ``repr``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from rtrec.errors import InputError

#: The environment variable that names the file, for this process and those it starts.
ENVIRONMENT = "RTREC_KAFKA_CONFIG"

#: What a promise of ours rests on.
_OURS = {
    "acks": "an event counts once all replicas have it",
    "request.required.acks": "an event counts once all replicas have it",
    "auto.offset.reset": "a gap must be noticed",
    "enable.auto.commit": "offsets are in our journal",
    "enable.auto.offset.store": "offsets are in our journal",
    "enable.idempotence": "an event is written once",
    "enable.partition.eof": "a gap must be noticed",
    "group.id": "no group is joined",
}
_SECRET = re.compile(r"password|secret|key|pem|jaas|oauth|token|username|certificate", re.IGNORECASE)
_HIDDEN = "(hidden)"


class Properties(Mapping[str, str]):
    """What the file says, by name; shown without its values."""

    def __init__(self, values: Mapping[str, str], *, where: str = "properties") -> None:
        for name in values:
            if name in _OURS:
                raise InputError(f"{where}: {name} is set by rtrec ({_OURS[name]}); take it out")
        self._values = dict(values)

    def __getitem__(self, name: str) -> str:
        """Return a value."""
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        """Yield the names."""
        return iter(self._values)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._values)

    def __repr__(self) -> str:
        return f"Properties({', '.join(sorted(self._values))})"

    def hidden(self, text: str) -> str:
        """Return a text without the secrets that are among the values."""
        secrets = {value for name, value in self._values.items() if value and _SECRET.search(name)}
        for secret in sorted(secrets, key=len, reverse=True):
            text = text.replace(secret, _HIDDEN)
        return text


def read_properties(path: Path | None = None) -> Properties:
    """Read a file of properties: YAML if its name says so, else lines of ``name=value``.

    Parameters
    ----------
    path
        The file; None takes the one that ``RTREC_KAFKA_CONFIG`` names, and no properties if it names none.

    Raises
    ------
    InputError
        If it cannot be read, or sets what is ours to set. The message has lines and names, but no values.
    """
    if path is None:
        named = os.environ.get(ENVIRONMENT, "")
        if not named.strip():
            return Properties({})
        path = Path(named)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InputError(
            f"Kafka properties {path}: cannot be read: {reason}; see --kafka-config, {ENVIRONMENT}"
        ) from None
    values = _from_yaml(text, path) if path.suffix in (".yaml", ".yml") else _from_lines(text, path)
    return Properties(values, where=f"Kafka properties {path}")


def _from_lines(text: str, path: Path) -> dict[str, str]:
    values = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith(("#", "!")):
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.strip():
            raise InputError(
                f"Kafka properties {path}: line {number}: expected name=value, such as "
                "security.protocol=SASL_SSL"
            )
        values[name.strip()] = value.strip()
    return values


def _from_yaml(text: str, path: Path) -> dict[str, str]:
    import yaml

    expected = "expected lines such as security.protocol: SASL_SSL"
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}: " if mark is not None else ""
        # Their message would show the line, and what is secret in it.
        raise InputError(f"Kafka properties {path}: {place}no YAML; {expected}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"Kafka properties {path}: {expected}")
    for name, value in values.items():
        if not isinstance(name, str) or isinstance(value, dict | list) or value is None:
            raise InputError(f"Kafka properties {path}: {name}: {expected}")
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()
    }
