"""Properties of clients: from a file, passed through, and never shown."""

from __future__ import annotations

import pytest

from rtrec.errors import DeploymentError, InputError
from rtrec.events.kafka.address import KafkaAddress
from rtrec.events.kafka.brokers import Brokers
from rtrec.events.kafka.properties import ENVIRONMENT, Properties, read_properties

SECRET = "hunter2-and-more"


@pytest.fixture(autouse=True)
def no_file_from_outside(monkeypatch):
    monkeypatch.delenv(ENVIRONMENT, raising=False)


@pytest.fixture
def write(tmp_path):
    def write(name: str, text: str):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_lines_and_yaml_say_the_same(write, monkeypatch):
    lines = write("client.properties", f"# who\nsasl.password = {SECRET}=x\n\nsocket.keepalive.enable=true\n")
    yaml = write("client.yaml", f"sasl.password: {SECRET}=x\nsocket.keepalive.enable: true\n")

    expected = {"sasl.password": f"{SECRET}=x", "socket.keepalive.enable": "true"}
    assert dict(read_properties(lines)) == dict(read_properties(yaml)) == expected
    assert dict(read_properties()) == {}
    monkeypatch.setenv(ENVIRONMENT, str(lines))
    assert dict(read_properties()) == expected
    assert dict(read_properties(write("empty.yaml", ""))) == {}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.properties", f"security.protocol=SSL\n{SECRET}\n", "line 2: expected name=value"),
        ("c.properties", f"={SECRET}\n", "line 1: expected name=value"),
        ("c.yaml", f"sasl.password: '{SECRET}\n", r"c\.yaml: line \d: no YAML"),
        ("c.yaml", f"- {SECRET}\n", r"c\.yaml: expected lines such as security\.protocol: SASL_SSL"),
        ("c.yaml", f"sasl.password: [{SECRET}]\n", r"sasl\.password: expected lines such as"),
        (
            "c.properties",
            f"sasl.password={SECRET}\nacks=1\n",
            r"acks is set by rtrec \(an event counts once all",
        ),
        ("c.properties", "group.id=mine\n", r"group\.id is set by rtrec \(no group is joined\)"),
    ],
)
def test_what_cannot_be_read_is_named_without_its_content(write, name, text, message):
    with pytest.raises(InputError, match=message) as raised:
        read_properties(write(name, text))
    assert SECRET not in everything_said(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.properties: cannot be read: No such file"):
        read_properties(tmp_path / "nowhere.properties")


def everything_said(error: BaseException | None) -> str:
    """Return what a traceback would print: the error, and those it came from."""
    said = ""
    while error is not None:
        said += repr(error) + str(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return said


def test_nothing_prints_a_secret(tmp_path):
    properties = Properties({"sasl.password": SECRET, "security.protocol": "SSL"})
    brokers = Brokers(KafkaAddress("127.0.0.1:1", "clicks"), properties)

    for shown in (repr(properties), str(properties), repr(brokers), f"{brokers!s}"):
        assert SECRET not in shown
    assert "sasl.password" in repr(properties)
    error = brokers.unusable("reading", f"authentication failed for {SECRET}")
    assert "failed for (hidden)" in str(error)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sasl.pasword": SECRET}, 'No such configuration property: "sasl.pasword"'),
        ({"security.protocol": "SSL", "ssl.key.password": SECRET, "ssl.key.location": "/nowhere.key"}, "ssl"),
        ({"sasl.mechanism": "PLAIN", "security.protocol": "sasl_plaintext", "sasl.password": SECRET}, "sasl"),
    ],
)
def test_properties_reach_the_client_and_its_refusal_has_no_secret(given, message):
    brokers = Brokers(KafkaAddress("127.0.0.1:1", "clicks"), Properties(given), timeout_s=0.3)

    with pytest.raises((InputError, DeploymentError), match=message) as raised:
        brokers.partitions(brokers.consumer())
    assert SECRET not in everything_said(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "localhost:9092/clicks",
        "kafka://localhost/clicks",
        "kafka://localhost:9092",
        "kafka://localhost:99999/clicks",
        "kafka://localhost:9092/a/b",
        "kafka://localhost:9092/..",
        "kafka://localhost:9092/cl icks",
        f"kafka://anna:{SECRET}@localhost:9092/clicks",
    ],
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(InputError, match="expected kafka://host:port/topic") as raised:
        KafkaAddress.parse(text)
    assert SECRET not in str(raised.value)


def test_several_brokers_and_addresses_of_any_kind_are_read():
    assert KafkaAddress.parse("kafka://a:1,[::1]:9092/t") == KafkaAddress("a:1,[::1]:9092", "t")
