"""`rtrec jobs`: work on a deployment's log, once or again and again."""

from __future__ import annotations

from typing import Annotated

import typer

from rtrec.cli.console import print_json, print_table
from rtrec.cli.options import Home, Json, Scheduler

app = typer.Typer(help="Jobs on the log of a deployment, also while a run writes it.", no_args_is_help=True)


@app.command("list")
def list_all(json: Json = False) -> None:
    """List the jobs, with one line on each.

    Example: `rtrec jobs list`, then `rtrec jobs run evaluate`
    """
    from rtrec.jobs.catalogue import JOBS

    if json:
        for name, job in JOBS.items():
            print_json({"job": name, "sentence": job.sentence})
        return
    print_table(["job", "what it does"], [[name, job.sentence] for name, job in JOBS.items()])


@app.command()
def run(
    name: Annotated[
        str, typer.Argument(metavar="JOB", help="Its name in `rtrec jobs list`.", show_default=False)
    ],
    home: Home = None,
    models: Annotated[
        str | None, typer.Option(metavar="NAME,NAME", help="Which models. (default: those that race live)")
    ] = None,
    scheduler: Scheduler = None,
    every: Annotated[
        str | None,
        typer.Option(metavar="INTERVAL", help="Again and again until Ctrl-C: 90s, 30m, 1h, 1d."),
    ] = None,
) -> None:
    """Run a job and print the file it wrote.

    Example: `rtrec jobs run evaluate --home .rtrec/demo --every 1h`
    """
    from rtrec.cli.bars import bar_of_steps
    from rtrec.cli.homes import find_deployment
    from rtrec.jobs.catalogue import JobRequest, get_job
    from rtrec.jobs.schedule import parse_interval, run_every

    job = get_job(name)
    interval = None if every is None else parse_interval(every)
    chosen = tuple(part.strip() for part in (models or "").split(",") if part.strip())
    deployment = find_deployment(home)

    def once() -> None:
        with bar_of_steps(name) as progress:
            request = JobRequest(deployment.home, models=chosen, scheduler=scheduler, progress=progress)
            report = job.run(request)
        typer.echo(report)

    if interval is None:
        once()
    else:
        run_every(interval, once)
