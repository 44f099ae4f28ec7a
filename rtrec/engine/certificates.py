"""Certificates for a Dask cluster: a CA of its own, one a role, and the configuration that names them.

Dask lets in whoever holds a certificate of the CA it was given, and looks at no name in it. So the CA is made
for one cluster, and its key is needed only to make more certificates. The certificate of a client may only
call: with it nobody can stand in for the scheduler or a worker.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rtrec.clock import utc_now
from rtrec.errors import InputError
from rtrec.files import make_folder, publish_file

ROLES = ("scheduler", "worker", "client")
CA = "ca"
#: The Dask configuration beside them, for ``DASK_CONFIG``.
CONFIGURATION = "dask.yaml"
#: Certificates are renewed with the same CA for so long; a new CA has to reach all machines at once.
_CA_DAYS = 3650
#: Clocks of machines differ: what is made now is good an hour ago.
_BEFORE = timedelta(hours=1)
#: In every certificate, so that a cluster can be tried here first.
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Made:
    """What was made: where, how long it is good, and whether the CA was there already."""

    folder: Path
    expires: datetime
    renewed: bool


def certificate_file(folder: Path, name: str) -> Path:
    """Return where the certificate of a role, or of the CA, is kept."""
    return folder / f"{name}.crt"


def key_file(folder: Path, name: str) -> Path:
    """Return where the private key of a role, or of the CA, is kept."""
    return folder / f"{name}.key"


def make_certificates(
    folder: Path, *, days: int = 365, hosts: Sequence[str] = (), clock: Callable[[], datetime] = utc_now
) -> Made:
    """Make a CA and certificates for scheduler, workers and clients, or renew those of the CA that is there.

    Certificates given out before stay good until they expire. Keys can be read by their owner alone.

    Parameters
    ----------
    folder
        Where all of it is written; it is made if there is none.
    days
        How long the certificates are good.
    hosts
        Names and addresses of the machines, beside this one's own. Dask looks at none of them, browsers and
        proxies do.

    Raises
    ------
    InputError
        If the folder holds something else, its CA has lost its key or has expired, or a host is no name.
    """
    folder = folder.absolute()
    now = clock()
    names = [_general_name(each) for each in dict.fromkeys((*hosts, *_THIS_MACHINE))]
    renewed = certificate_file(folder, CA).exists()
    if renewed:
        ca, ca_key = _load_ca(folder, now)
    else:
        _make_place(folder)
        ca, ca_key = _make_ca(now, max(_CA_DAYS, days))
        _write(folder, CA, ca, ca_key)
    expires = min(now + timedelta(days=days), ca.not_valid_after_utc)
    for role in ROLES:
        key = ec.generate_private_key(ec.SECP256R1())
        _write(folder, role, _sign(role, key, ca, ca_key, (now, expires), names), key)
    content = yaml.safe_dump(dask_configuration(folder), sort_keys=False).encode()
    publish_file(folder / CONFIGURATION, lambda file: _fill(file, content))
    return Made(folder, expires, renewed)


def dask_configuration(folder: Path) -> dict[str, object]:
    """Return the configuration under which Dask uses the certificates, and refuses all that has none."""
    tls: dict[str, object] = {"ca-file": str(certificate_file(folder, CA))}
    for role in ROLES:
        tls[role] = {"cert": str(certificate_file(folder, role)), "key": str(key_file(folder, role))}
    return {"distributed": {"comm": {"require-encryption": True, "tls": tls}}}


def _make_place(folder: Path) -> None:
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(
            f"{folder}: expected an empty folder, or one with ca.crt in it; name another with --out DIR"
        )
    make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    # Keys do not belong into a repository, and this folder may well lie in one.
    publish_file(folder / ".gitignore", lambda file: _fill(file, b"*\n"))


def _make_ca(now: datetime, days: int) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("rtrec cluster CA")
    builder = _builder(name, name, key.public_key(), (now, now + timedelta(days=days)))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(signs_certificates=True), critical=True)
    builder = builder.add_extension(
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
    )
    return builder.sign(key, hashes.SHA256()), key


def _sign(
    role: str,
    key: ec.EllipticCurvePrivateKey,
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    good: tuple[datetime, datetime],
    names: Iterable[x509.GeneralName],
) -> x509.Certificate:
    """Return a certificate; only scheduler and workers, which also call each other, may be called."""
    uses = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if role != "client":
        uses.append(ExtendedKeyUsageOID.SERVER_AUTH)
    public = key.public_key()
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    builder = _builder(_name(f"rtrec {role}"), ca.subject, public, good)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    builder = builder.add_extension(issuer, critical=False)
    return builder.sign(ca_key, hashes.SHA256())


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    good: tuple[datetime, datetime],
) -> x509.CertificateBuilder:
    start, end = good
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - _BEFORE)
        .not_valid_after(end)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        ascii_name = host.encode("idna").decode()
    except UnicodeError:
        ascii_name = ""
    if not ascii_name or not all(sign.isalnum() or sign in "-._" for sign in ascii_name):
        raise InputError(f"--host {host!r}: expected a name or an address, such as node-1 or 10.0.0.1")
    return x509.DNSName(ascii_name)


def _load_ca(folder: Path, now: datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Return the CA that is there, with its key."""
    file, secret = certificate_file(folder, CA), key_file(folder, CA)
    elsewhere = "or make a new CA in another folder with --out DIR, for all machines"
    if not secret.exists():
        raise InputError(f"{secret}: missing; renew certificates where their CA was made, {elsewhere}")
    try:
        ca = x509.load_pem_x509_certificate(file.read_bytes())
        key = serialization.load_pem_private_key(secret.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{file}, {secret}: cannot be read: {error}; restore them from a copy, {elsewhere}"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != ca.public_key():
        raise InputError(f"{secret}: not the key of {file}; restore them from a copy, {elsewhere}")
    if ca.not_valid_after_utc <= now:
        raise InputError(
            f"{file}: expired on {ca.not_valid_after_utc:%Y-%m-%d}; make a new CA in another folder with "
            "--out DIR, for all machines"
        )
    return ca, key


def _write(folder: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    """Write a key, and the certificate behind it: one without its key would be of no use."""
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    publish_file(key_file(folder, name), lambda file: _fill(file, secret), private=True)
    publish_file(certificate_file(folder, name), lambda file: _fill(file, public))


def _fill(file: BinaryIO, content: bytes) -> None:
    file.write(content)
