"""What docs/kafka.md shows can be typed: properties, options, the compose file."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from rtrec.cli import app
from rtrec.events.kafka.address import KafkaAddress
from rtrec.events.kafka.properties import read_properties

DOCS = Path(__file__).resolve().parent.parent / "docs"
TEXT = (DOCS / "kafka.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^(rtrec (?:.*\\\n)*.*)", TEXT, re.M)


@pytest.mark.parametrize("number", range(2))
def test_properties_shown_are_properties(tmp_path, number):
    path = tmp_path / "client.properties"
    path.write_text(re.findall(r"^```properties\n(.*?)^```", TEXT, re.M | re.S)[number])

    assert read_properties(path)["security.protocol"] in ("SASL_SSL", "SSL")


def test_commands_shown_have_the_options_they_use(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert len(COMMANDS) == 3
    for command in COMMANDS:
        words = shlex.split(command.replace("\\\n", ""))[1:]
        options = [word for word in words if word.startswith("--")]
        names = [word for word in words[: words.index(options[0])] if not word.startswith("kafka://")]
        shown = CliRunner().invoke(app, [*names, "--help"], prog_name="rtrec").stdout
        assert [option for option in options if option not in shown] == [], command
        for word in (word for word in words if word.startswith("kafka://")):
            KafkaAddress.parse(word)


def test_the_compose_file_has_one_broker_on_this_machine_only():
    [broker] = yaml.safe_load((DOCS / "kafka" / "compose.yaml").read_text(encoding="utf-8"))[
        "services"
    ].values()

    assert re.fullmatch(r"apache/kafka:\d+\.\d+\.\d+", broker["image"])
    assert broker["ports"] == ["127.0.0.1:9092:9092"]
    listeners = {each.split("://")[0] for each in broker["environment"]["KAFKA_LISTENERS"].split(",")}
    protocols = broker["environment"]["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"]
    assert {each.split(":")[0] for each in protocols.split(",")} == listeners
