"""Who may be asked to run our code: the way to a Dask scheduler, encrypted, or said to be a risk.

Dask's messages are pickles: whoever reaches a scheduler or a worker can run code there, and whoever answers
in its place can run code here. To the loopback of this machine only its own users come; anywhere else the
certificates of :mod:`rtrec.engine.certificates` keep strangers out, on both sides.
"""

from __future__ import annotations

import ipaddress
import socket
import stat
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import dask
import structlog
from dask.distributed import Security
from dask.utils import parse_timedelta
from distributed.comm import connect

from rtrec.clock import utc_now
from rtrec.errors import ClusterUnreachable, InputError

_ENCRYPTED = ("tls", "wss")
#: Within this process, or on it alone.
_NO_NETWORK = ("inproc",)
#: So long before it ends, a certificate is spoken of.
_SOON = timedelta(days=30)
#: Who has not answered by then is taken not to be there.
_PATIENCE_S = 10.0
_log = structlog.get_logger(__name__)


def security_for(
    scheduler: str | None, folder: Path | None, *, clock: Callable[[], datetime] = utc_now
) -> Security | None:
    """Return what a client of ``scheduler`` shows and asks for, from a folder of certificates.

    Without a folder that is None: Dask then goes by its own configuration.

    Raises
    ------
    InputError
        If scheme and certificates do not go together, or :func:`read_security` refuses the folder.
    """
    if scheduler is None:
        return None
    encrypted = urlsplit(scheduler).scheme in _ENCRYPTED
    if folder is None:
        if encrypted and not dask.config.get("distributed.comm.tls.ca-file"):
            raise InputError(
                f"--scheduler {scheduler}: needs certificates; name their folder with --tls DIR, or set "
                "distributed.comm.tls in Dask's configuration"
            )
        return None
    if not encrypted:
        raise InputError(
            f"--scheduler {scheduler}: expected tls://host:port beside --tls {folder}; start the scheduler "
            "with --protocol tls, or leave --tls (RTREC_TLS) out"
        )
    return read_security(folder, clock=clock)


def read_security(folder: Path, *, clock: Callable[[], datetime] = utc_now) -> Security:
    """Return Dask's ``Security`` of a client, from ``ca.crt``, ``client.crt`` and ``client.key`` of a folder.

    A certificate that ends within a month is warned of.

    Raises
    ------
    InputError
        If one of them is missing, cannot be read, has expired or does not belong to the others, or others can
        read a key there.
    """
    from rtrec.engine.certificates import CA, certificate_file, key_file

    ca, certificate, key = (
        certificate_file(folder, CA),
        certificate_file(folder, "client"),
        key_file(folder, "client"),
    )
    for file in (ca, certificate, key):
        if not file.is_file():
            raise InputError(
                f"--tls {folder}: {file.name} is missing; copy it from where certificates were made, or "
                f"make some with `rtrec cluster tls --out {folder}`"
            )
    for secret in sorted(folder.glob("*.key")):
        _refuse_open(secret)
    _check_pair(folder, ca, certificate, key, clock())
    return Security(
        require_encryption=True,
        tls_ca_file=str(ca.absolute()),
        tls_client_cert=str(certificate.absolute()),
        tls_client_key=str(key.absolute()),
    )


def risk_of(scheduler: str | None) -> str:
    """Say what one risks with a scheduler on another machine that is not encrypted; else an empty string.

    >>> risk_of("tcp://127.0.0.1:8786"), risk_of("tls://10.0.0.1:8786")
    ('', '')
    """
    if scheduler is None:
        return ""
    address = urlsplit(scheduler)
    if address.scheme in (*_ENCRYPTED, *_NO_NETWORK) or _is_loopback(address.hostname or ""):
        return ""
    return (
        f"{scheduler} is another machine, and not encrypted: Dask's messages are pickles, so whoever reaches "
        "it can run code there and here; make certificates with `rtrec cluster tls`, then give "
        "tls://host:port and --tls DIR"
    )


async def greet(scheduler: str, security: Security | None) -> None:
    """Connect to a scheduler as a client would, and let go of it again.

    A ``Client`` that fails as it is made cannot be closed, and may later stop the loop of another one, or
    wait for ever; so what may fail is tried before.

    Raises
    ------
    ClusterUnreachable
        If nobody answers there, or one side refuses the other.
    """
    try:
        arguments = (security or Security()).get_connection_args("client")
        patience_s = parse_timedelta(dask.config.get("distributed.comm.timeouts.connect"))
        comm = await connect(scheduler, timeout=min(patience_s, _PATIENCE_S), **arguments)
    except (OSError, RuntimeError, TypeError) as error:
        advice = "is it running there? One that was started with certificates is tls://..., with --tls DIR"
        if urlsplit(scheduler).scheme in _ENCRYPTED:
            advice = "is it running there, with certificates of the same CA? See `rtrec cluster tls --help`"
        why = str(error) or type(error).__name__
        raise ClusterUnreachable(f"scheduler {scheduler} cannot be reached: {why}; {advice}") from error
    await comm.close()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        pass
    try:
        found = {each[4][0] for each in socket.getaddrinfo(host, None)}
    except OSError:  # nor will it be reached
        return False
    return all(ipaddress.ip_address(str(each).partition("%")[0]).is_loopback for each in found)


def _refuse_open(secret: Path) -> None:
    mode = stat.S_IMODE(secret.stat().st_mode)
    if mode & 0o077:
        raise InputError(
            f"{secret}: a private key that others can read or change (mode {mode:04o}); if nobody has, "
            f"`chmod 600 {secret}`, else make new certificates"
        )


def _check_pair(folder: Path, ca_file: Path, certificate_file: Path, key_file: Path, now: datetime) -> None:
    """Raise if one of the three cannot be read, is out of date, or does not belong to the others."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    file = ca_file
    try:
        ca = x509.load_pem_x509_certificate(ca_file.read_bytes())
        file = certificate_file
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        file = key_file
        key = load_pem_private_key(key_file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{file}: expected PEM that needs no password; {error}; restore it from a copy, or make new ones "
            "with `rtrec cluster tls`"
        ) from error
    try:
        certificate.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise InputError(
            f"{certificate_file}: not of the CA in {ca_file.name}; take all of one folder"
        ) from error
    if key.public_key() != certificate.public_key():
        raise InputError(f"{key_file}: not the key of {certificate_file.name}; take all of one folder")
    renew = f"`rtrec cluster tls --out {folder}` renews it where ca.key is"
    for file, each in ((ca_file, ca), (certificate_file, certificate)):
        first, last = each.not_valid_before_utc, each.not_valid_after_utc
        if not first <= now < last:
            state = (
                f"expired on {last:%Y-%m-%d}"
                if now >= last
                else f"not good before {first:%Y-%m-%d %H:%M} UTC"
            )
            raise InputError(f"{file}: {state}, and it is {now:%Y-%m-%d}; {renew}")
        if last - now < _SOON:
            _log.warning("a certificate ends soon", file=str(file), expires=f"{last:%Y-%m-%d}", renew=renew)
