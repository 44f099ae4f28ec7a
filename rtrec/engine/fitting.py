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
from typing import TYPE_CHECKING, Any

import dask

from rtrec.declared import HISTORICAL
from rtrec.engine.deployment import Deployment
from rtrec.engine.learned import learned_events
from rtrec.engine.storage import may_pass
from rtrec.errors import InputError, StorageUnavailable
from rtrec.models.beginning import known_items
from rtrec.models.finite import check_finite
from rtrec.models.nearline.base import NearlineModel
from rtrec.models.nearline.interactions import Interactions
from rtrec.models.nearline.publishing import publishable
from rtrec.models.nearline.recipe import Recipe
from rtrec.models.published import Published, n_items_of
from rtrec.models.table_store import StoredVersion, TableStore
from rtrec.settings import Settings

if TYPE_CHECKING:
    from rtrec.features.historical.features import HistoricalFeatures
    from rtrec.models.past import Past

#: What fills the place of the historical features; it has no options.
FEATURES = Recipe("features")


@dataclass(frozen=True)
class FitRequest:
    """What to fit, on what, for which slot.

    Attributes
    ----------
    home
        The deployment; a worker on another machine must see it under the same path.
    slot
        See :data:`rtrec.declared.PLACES`.
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
    """A fit that came to nothing, and why; what may pass (:mod:`rtrec.engine.storage`) is ``passing``."""

    slot: str
    model: str
    why: str
    passing: StorageUnavailable | None = None


def try_to_fit(request: FitRequest) -> Fit | FitFailed:
    """Fit, and hand back what went wrong instead of raising it: on a worker an error looks like a loss."""
    try:
        return fit(request)
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        passing = error if isinstance(error, StorageUnavailable) else StorageUnavailable(why)
        return FitFailed(request.slot, request.recipe.model, why, passing if may_pass(error) else None)


def fit(request: FitRequest) -> Fit:
    """Fit a model and write its table, unless that version is there already.

    The model is written first: killed in between, the next fit finds it and only makes the table from it.

    Raises
    ------
    InputError
        If the model or an option is unknown, or there is nothing to learn.
    SlotTaken
        If another fit for the slot is at work.
    ValueError
        If the model learned something that is not finite; nothing is written then.
    """
    check_recipe(request.slot, request.recipe)
    deployment, store = Deployment(request.home), TableStore(request.home)
    with store.fitting(request.slot):
        found = store.find(request.slot, request.version)
        if found is not None:  # a run was killed before it could publish it
            return Fit(request.slot, request.version, found)
        if request.slot == HISTORICAL:
            return _recomputed(deployment, store, request)
        model = request.recipe.make()
        began = time.perf_counter()
        history, forgotten_at = _history(deployment, request)
        how = _learn(model, history, store, request, forgotten_at)
        value, search = _published(model, request)
        about = about_fit(
            request,
            how=how,
            n_learned=history.n_events,
            n_items=n_items_of(value),
            n_users=history.n_users,
            seconds=time.perf_counter() - began,
        )
        store.write_model(request.slot, request.version, model.to_arrays(), about | search)
        stored = store.write(request.slot, request.version, value, about | search)
    return Fit(request.slot, request.version, stored)


def about_fit(
    request: FitRequest, *, how: str, n_learned: int, n_items: int, n_users: int, seconds: float
) -> dict[str, Any]:
    """Return what a version says of itself: what it was made for, by what, from how much."""
    return {
        "slot": request.slot,
        "model": request.recipe.model,
        "options": dict(request.recipe.options),
        "made_by": request.made_by,
        "how": how,
        "seq": request.seq,
        "n_events": request.n_events,
        "n_learned": n_learned,
        "n_items": n_items,
        "n_users": n_users,
        "seconds": round(seconds, 3),
    }


def check_recipe(slot: str, recipe: Recipe) -> None:
    """Raise if there is no such model or option, or it makes nothing that the slot takes.

    Raises
    ------
    InputError
        Naming the slot, the model or the option that there is not.
    """
    if (slot == HISTORICAL) != (recipe.model == FEATURES.model):
        raise InputError(
            f"slot {slot!r} does not take {recipe.model!r}: slot {HISTORICAL!r} takes {FEATURES.model!r}, "
            "and nothing else does"
        )
    if slot != HISTORICAL:
        recipe.make()
    elif recipe.options:
        raise InputError(f"{recipe.model}: has no options; got {', '.join(recipe.options)}")


def _recomputed(deployment: Deployment, store: TableStore, request: FitRequest) -> Fit:
    """Compute the historical features up to the cut, and write what of them is published."""
    from rtrec.engine.history import frame_up_to, part_to_publish, recompute  # takes a second to import

    began, settings = time.perf_counter(), Settings(**request.settings)
    with closing(deployment.open_log(mode="read")) as log:
        ends = log.cuts()[: request.seq][-1].ends
    if sum(ends) != request.n_events:
        raise ValueError(f"expected {request.n_events:,} events up to cut {request.seq}, got {sum(ends):,}")
    # Its Dask tasks come as one here: a task that waits for others holds its thread.
    with dask.config.set({"scheduler": "synchronous", "dataframe.shuffle.method": "tasks"}):
        frame = frame_up_to(deployment, ends, settings)
        features = recompute(deployment, frame, ends, about={"seq": request.seq}).features
    past = part_to_publish(deployment, features, request.seq, settings)
    return keep_features(store, request, features, past, seconds=time.perf_counter() - began)


def keep_features(
    store: TableStore, request: FitRequest, features: HistoricalFeatures, past: Past, *, seconds: float
) -> Fit:
    """Write what is published of a version of the historical features."""
    about = about_fit(
        request,
        how="computed",
        n_learned=features.n_events,
        n_items=past.n_items,
        n_users=len(features.users),
        seconds=seconds,
    )
    about |= {"features": features.version}
    return Fit(request.slot, request.version, store.write(request.slot, request.version, past, about))


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


def _published(model: NearlineModel, request: FitRequest) -> tuple[Published, dict[str, Any]]:
    """Return what to publish, and how its rows were looked for where there are vectors."""
    table = model.table()
    # A row of NaN says that there is no vector of a user.
    checked = {name: array for name, array in table._asdict().items() if name != "user"}
    check_finite(f"{request.recipe.model}: its table", checked)
    value, nearest = publishable(table, Settings(**request.settings).row_length)
    return value, {} if nearest is None else nearest.about()
