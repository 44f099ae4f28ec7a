"""What a client makes of a folder of certificates, and which way to a scheduler is a risk."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dask
import pytest
import structlog
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from dask.distributed import LocalCluster

from rtrec.engine.certificates import make_certificates
from rtrec.engine.live import LiveRun
from rtrec.engine.tls import read_security, risk_of, security_for
from rtrec.errors import InputError
from tests.engine.live_runs import feed, until

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
SCHEDULER = "tls://127.0.0.1:8786"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_certificates(tmp_path / "tls", clock=lambda: NOW).folder


def read(folder: Path, *, after: timedelta = timedelta()) -> None:
    read_security(folder, clock=lambda: NOW + after)


def test_three_files_make_a_client_that_insists_on_encryption(folder: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    for name in ("ca.crt", "client.crt", "client.key"):
        shutil.copy(folder / name, mine / name)
    security = read_security(mine, clock=lambda: NOW)
    assert security.require_encryption is True
    assert security.tls_ca_file == str(mine / "ca.crt")
    args = security.get_connection_args("client")
    assert len(args["ssl_context"].get_ca_certs()) == 1


@pytest.mark.parametrize("name", ["ca.crt", "client.crt", "client.key"])
def test_what_is_missing_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(InputError, match=f"{name} is missing; .*rtrec cluster tls --out {folder}"):
        read(folder)


@pytest.mark.parametrize("name", ["ca.crt", "client.crt", "client.key"])
def test_what_cannot_be_read_is_named(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"\x80\x04nonsense")
    with pytest.raises(InputError, match=f"{folder / name}: expected PEM"):
        read(folder)


def test_a_key_with_a_password_is_refused(folder: Path) -> None:
    key = load_pem_private_key((folder / "client.key").read_bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    (folder / "client.key").write_bytes(locked)
    with pytest.raises(InputError, match=r"client\.key: expected PEM that needs no password"):
        read(folder)


@pytest.mark.parametrize(("name", "mode"), [("client.key", 0o640), ("client.key", 0o604), ("ca.key", 0o666)])
def test_a_key_that_others_can_read_is_refused(folder: Path, name: str, mode: int) -> None:
    (folder / name).chmod(mode)
    with pytest.raises(InputError, match=f"mode {mode:04o}.*`chmod 600 {folder / name}`"):
        read(folder)


def test_what_does_not_belong_together_is_refused(folder: Path, tmp_path: Path) -> None:
    other = make_certificates(tmp_path / "other", clock=lambda: NOW).folder
    shutil.copy(other / "client.key", folder / "client.key")
    with pytest.raises(InputError, match=r"client\.key: not the key of client\.crt"):
        read(folder)
    shutil.copy(other / "client.crt", folder / "client.crt")
    with pytest.raises(InputError, match=r"client\.crt: not of the CA in ca\.crt"):
        read(folder)


@pytest.mark.parametrize(
    ("after", "state"),
    [
        (timedelta(days=365), r"client\.crt: expired on 2027-05-01, and it is 2027-05-01"),
        (timedelta(days=-1), r"ca\.crt: not good before 2026-05-01 11:00 UTC"),
    ],
)
def test_what_is_out_of_date_says_how_to_renew(folder: Path, after: timedelta, state: str) -> None:
    with pytest.raises(InputError, match=f"{state}.*`rtrec cluster tls --out {folder}` renews it"):
        read(folder, after=after)


@pytest.mark.parametrize(("days_left", "said"), [(30, 0), (29, 1), (1, 1)])
def test_a_month_before_the_end_it_is_warned_of(folder: Path, days_left: int, said: int) -> None:
    with structlog.testing.capture_logs() as logs:
        read(folder, after=timedelta(days=365 - days_left))
    assert len(logs) == said
    for each in logs:
        assert (each["log_level"], each["expires"]) == ("warning", "2027-05-01")
        assert each["file"] == str(folder / "client.crt")


def test_scheme_and_certificates_go_together(folder: Path) -> None:
    assert security_for(None, folder) is None
    assert security_for("tcp://10.0.0.1:8786", None) is None
    assert security_for(SCHEDULER, folder, clock=lambda: NOW) is not None
    with pytest.raises(InputError, match="needs certificates; name their folder with --tls DIR"):
        security_for(SCHEDULER, None)
    with pytest.raises(InputError, match="expected tls://host:port beside --tls"):
        security_for("tcp://10.0.0.1:8786", folder)


def test_certificates_in_the_configuration_of_dask_do_as_well(folder: Path) -> None:
    with dask.config.set({"distributed.comm.tls.ca-file": str(folder / "ca.crt")}):
        assert security_for(SCHEDULER, None) is None


@pytest.mark.parametrize("host", ["10.0.0.1", "0.0.0.0", "[2001:db8::1]", "192.0.2.1", "scheduler.invalid"])
@pytest.mark.parametrize("scheme", ["tcp", "ws"])
def test_another_machine_without_encryption_is_a_risk_and_the_mending_command_is_named(
    scheme: str, host: str
) -> None:
    risk = risk_of(f"{scheme}://{host}:8786")
    assert risk.startswith(f"{scheme}://{host}:8786 is another machine, and not encrypted")
    assert "pickles" in risk
    assert "`rtrec cluster tls`" in risk


@pytest.mark.parametrize(
    "scheduler",
    [
        None,
        "tcp://127.0.0.1:8786",
        "tcp://127.8.8.8:8786",
        "tcp://localhost:8786",
        "tcp://[::1]:8786",
        "tls://10.0.0.1:8786",
        "wss://10.0.0.1:8786",
        "inproc://10.0.0.1/1/2",
    ],
)
def test_this_machine_and_what_is_encrypted_are_none(scheduler: str | None) -> None:
    assert risk_of(scheduler) == ""


@pytest.mark.slow
@pytest.mark.cluster
def test_a_run_on_another_machine_says_its_risk_as_long_as_it_lives(tmp_path: Path, monkeypatch) -> None:
    """The cluster is here; that it is elsewhere is played."""
    monkeypatch.setattr("rtrec.engine.tls._is_loopback", lambda host: False)
    with (
        LocalCluster(
            n_workers=1, processes=False, protocol="tcp://", host="127.0.0.1", dashboard_address=None
        ) as cluster,
        structlog.testing.capture_logs() as logs,
        LiveRun.start(tmp_path, feed(), scheduler=cluster.scheduler_address, warmup=10, limit=10) as run,
    ):
        until(lambda: bool(run.status().alarms), within_s=90)
        [notice] = run.status().alarms
        run.result(90)
    assert notice.kind == "cluster"
    assert notice.sentence in [each["event"] for each in logs if each["log_level"] == "warning"]
    assert f"{cluster.scheduler_address} is another machine, and not encrypted" in notice.sentence
