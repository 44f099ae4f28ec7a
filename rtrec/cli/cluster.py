"""`rtrec cluster`: certificates for a Dask cluster of other machines, and the way there."""

from __future__ import annotations

import os
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from rtrec.cli.console import print_json
from rtrec.cli.options import ClusterOptions, Json, folder
from rtrec.errors import InputError

if TYPE_CHECKING:
    from dask.distributed import Security

_LOOPBACK = "127.0.0.1"

app = typer.Typer(help="A Dask cluster of other machines.", no_args_is_help=True)


@app.callback()
def cluster() -> None:
    """Keep `tls` a command of its own while it is the only one."""


@app.command()
def tls(
    out: Annotated[
        Path,
        typer.Option("--out", parser=folder("--out"), metavar="DIR", help="Where they are written."),
    ] = Path("tls"),
    days: Annotated[int, typer.Option(min=1, max=3650, help="How long certificates are good.")] = 365,
    host: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,IP,...",
            help="Machines of the cluster, the scheduler's first. (default: this machine alone)",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Make certificates, so that only who has one can reach scheduler and workers.

    Dask's messages are pickles: whoever reaches a cluster can run code on it. This makes a CA, certificates
    for scheduler, workers and clients, and a Dask configuration that lets nobody else in. Where a CA is there
    already, its certificates are renewed, and those given out stay good until they end.

    Example: `rtrec cluster tls --out tls --host 10.0.0.1,10.0.0.2`
    """
    from rtrec.engine.certificates import make_certificates

    hosts = [each.strip() for each in (host or "").split(",") if each.strip()]
    made = make_certificates(out, days=days, hosts=hosts)
    if json:
        print_json({"folder": str(made.folder), "expires": made.expires, "renewed": made.renewed})
        return
    done = "renewed with the CA that was there" if made.renewed else "made, with a CA of their own"
    typer.echo(f"Certificates {done}, good until {made.expires:%Y-%m-%d}: {made.folder}")
    typer.echo(
        "Copy the folder to the same place on every machine, without ca.key: who has that lets anybody in.\n"
    )
    for where, command in cluster_commands(made.folder, hosts[0] if hosts else _LOOPBACK).items():
        typer.echo(f"{where}:\n  {command}")


def cluster_commands(folder: Path, host: str) -> dict[str, str]:
    """Return the commands that start a cluster with the certificates in ``folder``, and use it."""
    config = f"DASK_CONFIG={quote(str(folder / 'dask.yaml'))}"
    at = f"[{host}]" if ":" in host else host
    listen = f" --host {_LOOPBACK}" if host == _LOOPBACK else ""
    # Dask's own pages know no login: they stay on the machine they are on.
    pages = "--dashboard-address 127.0.0.1"
    return {
        "Scheduler": f"{config} dask scheduler --protocol tls --host {host} --port 8786 {pages}:8787",
        "Each worker": f"{config} dask worker tls://{at}:8786{listen} {pages}:0",
        "rtrec": f"rtrec run ... --scheduler tls://{at}:8786 --tls {quote(str(folder))}",
    }


def security_of(cluster: ClusterOptions) -> Security | None:
    """Return what a client of the scheduler shows and asks for; None where the way there needs nothing.

    Raises
    ------
    InputError
        If the certificates cannot be used, or go with no scheduler.
    """
    if cluster.scheduler is None:
        if cluster.tls is not None and "RTREC_TLS" not in os.environ:  # which is there for any command
            raise InputError(
                f"--tls {cluster.tls}: for a scheduler on other machines; name it with --scheduler tls://host:port"
            )
        return None
    from rtrec.engine.tls import security_for

    return security_for(cluster.scheduler, cluster.tls)
