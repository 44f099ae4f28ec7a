"""Certificates as `openssl` sees them, and the folder they are in."""

from __future__ import annotations

import shutil
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from rtrec.engine.certificates import ROLES, dask_configuration, make_certificates
from rtrec.errors import InputError

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def read(folder: Path, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / f"{name}.crt").read_bytes())


def uses(folder: Path, name: str) -> set[x509.ObjectIdentifier]:
    return set(read(folder, name).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def shaken(server: Path, server_role: str, client: Path, client_role: str) -> None:
    """Let two sides greet each other in memory; raise what either has against it."""
    sides = {}
    for side, folder, role in (("server", server, server_role), ("client", client, client_role)):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if side == "server" else ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_verify_locations(folder / "ca.crt")
        context.load_cert_chain(folder / f"{role}.crt", folder / f"{role}.key")
        sides[side] = context
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    called = sides["server"].wrap_bio(to_server, to_client, server_side=True)
    calling = sides["client"].wrap_bio(to_client, to_server)
    done: set[ssl.SSLObject] = set()
    while len(done) < 2:
        for each in (calling, called):
            try:
                each.do_handshake()
                done.add(each)
            except ssl.SSLWantReadError:
                pass


def test_keys_are_for_their_owner_alone_and_git_passes_them_over(tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    made = make_certificates(folder, clock=lambda: NOW)
    assert (made.folder, made.expires, made.renewed) == (folder, NOW + timedelta(days=365), False)
    keys = sorted(each.name for each in folder.glob("*.key"))
    assert keys == ["ca.key", *sorted(f"{role}.key" for role in ROLES)]
    assert {stat.S_IMODE((folder / name).stat().st_mode) for name in keys} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert (folder / ".gitignore").read_text() == "*\n"


def test_a_certificate_says_who_for_how_long_and_where(tmp_path: Path) -> None:
    make_certificates(tmp_path / "tls", days=10, hosts=["node-1", "10.0.0.1"], clock=lambda: NOW)
    worker = read(tmp_path / "tls", "worker")
    assert worker.not_valid_before_utc == NOW - timedelta(hours=1)
    assert worker.not_valid_after_utc == NOW + timedelta(days=10)
    names = worker.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["node-1", "localhost"]
    assert list(map(str, names.get_values_for_type(x509.IPAddress))) == ["10.0.0.1", "127.0.0.1", "::1"]


def test_a_client_can_call_but_not_stand_in_for_a_scheduler(tmp_path: Path) -> None:
    folder = make_certificates(tmp_path / "tls").folder
    assert uses(folder, "client") == {ExtendedKeyUsageOID.CLIENT_AUTH}
    for called in ("scheduler", "worker"):
        for calling in ROLES:
            shaken(folder, called, folder, calling)
    with pytest.raises(ssl.SSLError):
        shaken(folder, "client", folder, "worker")


def test_the_certificates_of_another_ca_are_refused_on_both_sides(tmp_path: Path) -> None:
    one, other = (make_certificates(tmp_path / name).folder for name in ("one", "other"))
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(one, "scheduler", other, "client")
    shutil.copy(one / "ca.crt", other / "ca.crt")  # now the client trusts the scheduler, not the other way
    with pytest.raises(ssl.SSLError):
        shaken(one, "scheduler", other, "client")


def test_a_second_time_renews_and_what_was_given_out_stays_good(tmp_path: Path) -> None:
    folder, copy = tmp_path / "tls", tmp_path / "copy"
    make_certificates(folder)
    shutil.copytree(folder, copy)
    again = make_certificates(folder, days=700)
    assert again.renewed
    assert (folder / "ca.crt").read_bytes() == (copy / "ca.crt").read_bytes()
    assert (folder / "client.key").read_bytes() != (copy / "client.key").read_bytes()
    shaken(folder, "scheduler", copy, "client")
    shaken(copy, "scheduler", folder, "client")


def test_no_certificate_outlives_its_ca(tmp_path: Path) -> None:
    make_certificates(tmp_path / "tls", clock=lambda: NOW)
    ends = read(tmp_path / "tls", "ca").not_valid_after_utc
    assert ends == NOW + timedelta(days=3650)
    later = make_certificates(tmp_path / "tls", clock=lambda: ends - timedelta(days=5))
    assert later.expires == ends
    with pytest.raises(InputError, match=r"ca\.crt: expired on 2036-04-28; make a new CA in another folder"):
        make_certificates(tmp_path / "tls", clock=lambda: ends)


def test_a_copy_without_the_key_of_the_ca_cannot_renew(tmp_path: Path) -> None:
    folder = make_certificates(tmp_path / "tls").folder
    (folder / "ca.key").unlink()
    with pytest.raises(InputError, match=r"ca\.key: missing; renew certificates where their CA was made"):
        make_certificates(folder)


@pytest.mark.parametrize("damage", [b"", b"-----BEGIN CERTIFICATE-----\nnonsense\n", b"\x80\x04."])
def test_a_damaged_ca_is_named(tmp_path: Path, damage: bytes) -> None:
    folder = make_certificates(tmp_path / "tls").folder
    (folder / "ca.crt").write_bytes(damage)
    with pytest.raises(InputError, match=r"ca\.crt, .*ca\.key: cannot be read"):
        make_certificates(folder)


def test_the_key_of_another_ca_is_refused(tmp_path: Path) -> None:
    one, other = (make_certificates(tmp_path / name).folder for name in ("one", "other"))
    shutil.copy(one / "ca.key", other / "ca.key")
    with pytest.raises(InputError, match=r"ca\.key: not the key of"):
        make_certificates(other)


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="expected an empty folder"):
        make_certificates(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("host", ["no such name", "a/b", "ü" * 80])
def test_what_is_no_host_is_refused_before_anything_is_written(tmp_path: Path, host: str) -> None:
    with pytest.raises(InputError, match=r"--host .*: expected a name or an address"):
        make_certificates(tmp_path / "tls", hosts=[host])
    assert not (tmp_path / "tls").exists()


def test_the_configuration_lets_nobody_in_without_and_names_files_that_are_there(tmp_path: Path) -> None:
    folder = make_certificates(tmp_path / "my tls").folder
    written = yaml.safe_load((folder / "dask.yaml").read_text())
    assert written == dask_configuration(folder)
    comm = written["distributed"]["comm"]
    assert comm["require-encryption"] is True
    files = [comm["tls"]["ca-file"], *(file for role in ROLES for file in comm["tls"][role].values())]
    assert len(files) == 7
    assert all(Path(file).is_absolute() and Path(file).is_file() for file in files)
