"""`rtrec jobs`: work on a deployment's log, once or again and again."""

from __future__ import annotations

from typing import Annotated

import typer

from rtrec.cli.console import print_json, print_table
from rtrec.cli.options import ClusterOptions, Home, Json, expanded

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
@expanded
def run(
    name: Annotated[
        str, typer.Argument(metavar="JOB", help="Its name in `rtrec jobs list`.", show_default=False)
    ],
    cluster: ClusterOptions,
    home: Home = None,
    models: Annotated[
        str | None,
        typer.Option(
            "--models", metavar="NAME,NAME", help="evaluate: which models. (default: those that race live)"
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME[:OPTION=VALUE,...]", help="refit: which model, such as ease:ridge=300."),
    ] = None,
    slot: Annotated[
        str, typer.Option(metavar="SLOT", help="refit: for which table of the blend.")
    ] = "history",
    anew: Annotated[bool, typer.Option("--anew", help="refit: forget what the last fit learned.")] = False,
    publish: Annotated[
        bool,
        typer.Option(
            "--publish", help="features: also let the blend look at them, where use_historical is on."
        ),
    ] = False,
    every: Annotated[
        str | None,
        typer.Option(metavar="INTERVAL", help="Again and again until Ctrl-C: 90s, 30m, 1h, 1d."),
    ] = None,
) -> None:
    """Run a job and print the file, or folder, it wrote.

    Example: `rtrec jobs run evaluate --home .rtrec/demo --every 1h`

    To let the blend look at historical features: `rtrec jobs run features --publish --every 1h`

    To fit a model on all history, also while a run goes on: `rtrec jobs run refit --model ease --every 1h`
    """
    from rtrec.cli.bars import bar_of_steps
    from rtrec.cli.blame import blaming
    from rtrec.cli.cluster import security_of
    from rtrec.cli.homes import find_deployment
    from rtrec.engine.fitting import check_recipe
    from rtrec.engine.refits import check_slot
    from rtrec.jobs.catalogue import get_job
    from rtrec.jobs.request import JobRequest
    from rtrec.jobs.schedule import parse_interval, run_every
    from rtrec.models.nearline.recipe import Recipe
    from rtrec.models.registry import make_model
    from rtrec.settings import Settings

    job = get_job(name)
    security_of(cluster)  # what is wrong there is said now; the job reads it anew each time
    with blaming("--every", every):
        interval = None if every is None else parse_interval(every)
    with blaming("--slot", slot):
        check_slot(slot)
    with blaming("--model", model):
        if model is not None:
            check_recipe(slot, Recipe.parse(model))
    with blaming("--models", models):
        for each in (models or "").split(","):
            if each.strip():
                make_model(each.strip(), Settings())
    chosen = tuple(part.strip() for part in (models or "").split(",") if part.strip())
    if model is not None:
        chosen = (model,)  # its options have commas of their own
    deployment = find_deployment(home)

    def once() -> None:
        with bar_of_steps(name) as progress:
            request = JobRequest(
                deployment.home,
                models=chosen,
                scheduler=cluster.scheduler,
                tls=cluster.tls,
                progress=progress,
                slot=slot,
                anew=anew,
                publish=publish,
            )
            report = job.run(request)
        typer.echo(report)

    if interval is None:
        once()
    else:
        run_every(interval, once)
