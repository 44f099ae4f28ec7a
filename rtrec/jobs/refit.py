"""The job ``refit``: fit a model on the log so far and publish its table, beside a run or between two.

The fit is the one a run would make by itself (:mod:`rtrec.engine.fitting`), on a Dask cluster of this job's
own. Only the record that publishes it meets the run: an active one takes it at its next cut, a later one when
it starts, and every replay at the same place.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from rtrec.engine.deployment import Deployment
from rtrec.engine.fitting import FitFailed, FitRequest, check_recipe, try_to_fit
from rtrec.engine.refits import check_slot
from rtrec.errors import DeploymentError, InputError
from rtrec.jobs.findings import settings_now
from rtrec.jobs.request import JobRequest
from rtrec.jobs.workers import client_for
from rtrec.models.nearline.recipe import NEARLINE, Recipe
from rtrec.models.table_store import TableStore


def refit_and_publish(request: JobRequest) -> Path:
    """Fit the one model that is asked for, publish its table, and return the version's folder.

    Nothing is published where the table that is live is the same already.

    Raises
    ------
    DeploymentError
        If there is no deployment, or the fit came to nothing.
    InputError
        If not one model is named, there is no such model or slot, or nothing has been learned yet.
    """
    if len(request.models) != 1:
        raise InputError(f"refit: name one model to fit with --model; there are {', '.join(NEARLINE)}")
    recipe = Recipe.parse(request.models[0])
    check_slot(request.slot)
    check_recipe(request.slot, recipe)  # what is wrong with it is said now, not by a worker
    deployment = Deployment(request.home)
    manifest = deployment.manifest
    with closing(deployment.open_log(mode="read")) as log:
        cuts, controls = log.cuts(), log.controls()
        settings = settings_now(log, manifest["settings"])
    if not cuts or not sum(cuts[-1].ends):
        raise InputError(
            f"{request.home}: no event has been learned yet: start `rtrec run` on this home first"
        )
    order = FitRequest(
        home=deployment.home.resolve(),
        slot=request.slot,
        recipe=recipe,
        seq=cuts[-1].seq,
        n_events=sum(cuts[-1].ends),
        settings=settings.model_dump(),
        anew=request.anew,
    )
    with client_for(request, n_tasks=1) as client:
        outcome = client.submit(try_to_fit, order, pure=False).result()
    if isinstance(outcome, FitFailed):
        raise DeploymentError(f"fitting {outcome.model} for {outcome.slot!r} failed: {outcome.why}")
    last = [each.body for each in controls if each.body.get("slot") == request.slot]
    if not last or last[-1].get("version") != outcome.version:
        deployment.append_control(outcome.control())
    if request.progress is not None:
        request.progress(f"{recipe.model} on {order.n_events:,} events", 1, 1)
    return TableStore(deployment.home).path(request.slot, outcome.version)
