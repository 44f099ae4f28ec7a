"""Fit a model on the log and write its table: a task of Dask that touches nothing but files.

It reads the log beside the run that writes it, goes on from what the last fit of the slot learned if that was
made in the same way, and leaves a version in the deployment's tables. To publish it takes a control record
in the log, which is somebody else's work: a table that no record names has no effect.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask

from rtrec.engine.deployment import Deployment
from rtrec.engine.learned import learned_events
from rtrec.errors import InputError
from rtrec.models.beginning import known_items
from rtrec.models.nearline.base import NearlineModel
from rtrec.models.nearline.interactions import Interactions
from rtrec.models.nearline.nearest import find_nearest
from rtrec.models.nearline.recipe import Recipe
from rtrec.models.nearline.tables import NeighbourTable, VectorTable
from rtrec.models.table_store import StoredVersion, TableStore, check_finite
from rtrec.settings import Settings


@dataclass(frozen=True)
class FitRequest:
    """What to fit, on what, for which slot.

    Attributes
    ----------
    home
        The deployment; a worker on another machine must see it under the same path.
    slot
        See :data:`rtrec.declared.SLOTS`.
    recipe
        The model and its options.
    seq, n_events
        The cut up to which history counts, and how many events that is.
    settings
        Give the weights of kinds of events, and the length of rows that vectors become.
    anew
        Forget what the last fit learned.
    """

    home: Path
    slot: str
    recipe: Recipe
    seq: int
    n_events: int
    settings: Mapping[str, Any] = field(repr=False)
    anew: bool = False

    @property
    def made_by(self) -> str:
        """Return what tells this way of fitting from any other: the model, its options, what events count."""
        settings = Settings(**self.settings)
        return self.recipe.digest(settings.kind_weights(), settings.row_length)

    @property
    def version(self) -> str:
        """Return the name of the version this makes."""
        anew = "-anew" if self.anew else ""
        return f"{self.n_events:012d}-{self.recipe.model}-{self.made_by}{anew}"


@dataclass(frozen=True)
class Fit:
    """A version that is there to be published."""

    slot: str
    version: str
    stored: StoredVersion

    def control(self) -> dict[str, Any]:
        """Return the control record that publishes it."""
        about = self.stored.about
        said = {name: about[name] for name in ("model", "made_by", "n_events", "n_items", "seconds")}
        return {
            "control": "publish",
            "slot": self.slot,
            "version": self.version,
            "seal": self.stored.seal,
        } | said


@dataclass(frozen=True)
class FitFailed:
    """A fit that came to nothing, and why."""

    slot: str
    model: str
    why: str


def try_to_fit(request: FitRequest) -> Fit | FitFailed:
    """Fit, and hand back what went wrong instead of raising it: on a worker an error looks like a loss."""
    try:
        return fit(request)
    except Exception as error:
        return FitFailed(request.slot, request.recipe.model, f"{type(error).__name__}: {error}")


def fit(request: FitRequest) -> Fit:
    """Fit a model and write its table, unless that version is there already.

    The model is written first: killed in between, the next fit finds it and only makes the table from it.

    Raises
    ------
    InputError
        If the model or an option is unknown, or there is nothing to learn.
    DeploymentError
        If another fit for the slot is at work.
    ValueError
        If the model learned something that is not finite; nothing is written then.
    """
    deployment, store = Deployment(request.home), TableStore(request.home)
    model = request.recipe.make()
    with store.fitting(request.slot):
        found = store.find(request.slot, request.version)
        if found is not None:  # a run was killed before it could publish it
            return Fit(request.slot, request.version, found)
        began = time.perf_counter()
        history, forgotten_at = _history(deployment, request)
        how = _learn(model, history, store, request, forgotten_at)
        table, search = _rows(model, request)
        seconds = time.perf_counter() - began
        about = {
            "slot": request.slot,
            "model": request.recipe.model,
            "options": dict(request.recipe.options),
            "made_by": request.made_by,
            "how": how,
            "seq": request.seq,
            "n_events": request.n_events,
            "n_learned": history.n_events,
            "n_items": table.n_items,
            "n_users": history.n_users,
            "seconds": round(seconds, 3),
            **search,
        }
        store.write_model(request.slot, request.version, model.to_arrays(), about)
        stored = store.write(request.slot, request.version, table, about)
    return Fit(request.slot, request.version, stored)


def _history(deployment: Deployment, request: FitRequest) -> tuple[Interactions, int]:
    """Return what there is to learn, and how many events there were when somebody was last forgotten."""
    settings = Settings(**request.settings)
    with closing(deployment.open_log(mode="read")) as log:
        known = known_items(deployment.texts(), deployment.categories())
        learned = learned_events(log, request.seq, settings, known)
    if learned.n_read != request.n_events:
        raise ValueError(
            f"expected {request.n_events:,} events up to cut {request.seq}, got {learned.n_read:,}"
        )
    history = Interactions.of(learned.events, settings.kind_weights())
    if not history.n_events:
        raise InputError("there is nothing to learn yet: the log has no event of a positive weight")
    return history, learned.forgotten_at


def _learn(
    model: NearlineModel,
    history: Interactions,
    store: TableStore,
    request: FitRequest,
    forgotten_at: int,
) -> str:
    """Teach the model what it does not know yet; return in a word how that was done."""
    kept = None if request.anew else store.read_model(request.slot, {"made_by": request.made_by})
    # Models of several Dask tasks come as one here: a task that waits for others holds its thread.
    with dask.config.set(scheduler="synchronous"):
        # To a model that was fitted before somebody was forgotten the numbers mean others.
        if kept is None or kept[1]["n_learned"] > history.n_events or kept[1]["n_events"] <= forgotten_at:
            model.fit(history)
            how = "fitted"
        else:
            arrays, about = kept
            model.restore(arrays)
            how = "updated" if about["n_learned"] < history.n_events else "as it was"
            if how == "updated":
                model.update(history, about["n_learned"])
    check_finite(f"{request.recipe.model}: what it learned", model.to_arrays())
    return how


def _rows(model: NearlineModel, request: FitRequest) -> tuple[NeighbourTable, dict[str, Any]]:
    """Return the table as rows, and how they were looked for where it has vectors."""
    table = model.table()
    if isinstance(table, VectorTable):
        items = {"found": table.found, "given": table.given}  # a user's row may say that there is none
        check_finite(f"{request.recipe.model}: its vectors", items)
        nearest = find_nearest(table, Settings(**request.settings).row_length)
        return nearest.rows, nearest.about()
    check_finite(f"{request.recipe.model}: its table", {"weight": table.weight})
    return table, {}
