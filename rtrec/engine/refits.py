"""Refits of a live run: when they are due, at work and done, and what became of those that failed.

A refit falls due at every multiple of so many events. It runs as a Dask task beside the stream; when its
version is on disk a control record in the log publishes it, and the next cut takes that record. So when a
fit is done depends on the machine, but from where on it counts is in the log, and every replay has it there.
A plan that *waits* holds the stream instead until the fit is published: then the whole run depends on
nothing but its events, as a test with ``rtrec evaluate`` does.

What the disk does not take, a version or its record, is tried again (:mod:`rtrec.engine.storage`): a fit that
found no room begins anew, from what the last one kept. So does one whose slot is taken, by a job or by a fit
that an earlier run gave up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from rtrec.clock import utc_now
from rtrec.declared import PLACES
from rtrec.engine.fitting import Fit, FitFailed, FitRequest, check_recipe, try_to_fit
from rtrec.engine.ledger import Ledger
from rtrec.engine.status import Notice
from rtrec.engine.storage import Storage
from rtrec.errors import InputError, WorkerLost, nearest
from rtrec.failpoints import failpoint
from rtrec.models.nearline.recipe import Recipe

_log = structlog.get_logger(__name__)
#: Failures that are remembered for the status.
_NOTICES = 20


@dataclass(frozen=True)
class RefitPlan:
    """Which models a run fits again, for which slots, and how often.

    Attributes
    ----------
    recipes
        By slot (:data:`rtrec.declared.PLACES`).
    every
        Events between two refits.
    every_of
        The same for slots that have a pace of their own.
    wait
        Hold the stream until a refit is published.
    """

    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    every: int = 5000
    wait: bool = False
    every_of: Mapping[str, int] = field(default_factory=dict)

    def reached(self, slot: str, n_events: int) -> int:
        """Return the number of events at which a refit of the slot fell due last; 0: at none yet."""
        every = self.every_of.get(slot, self.every)
        return n_events // every * every

    def next_after(self, n_events: int) -> int:
        """Return the number of events at which something falls due next."""
        paces = [self.every_of.get(slot, self.every) for slot in self.recipes]
        return min((n_events // every + 1) * every for every in paces)

    def check(self) -> None:
        """Raise if the plan cannot be carried out.

        Raises
        ------
        InputError
            Naming the slot, the model or the option that there is not.
        """
        for every in (self.every, *self.every_of.values()):
            if not isinstance(every, int) or every < 1:
                raise InputError(f"refits come every so many events, at least 1; got {every!r}")
        for slot, recipe in self.recipes.items():
            check_slot(slot)
            check_recipe(slot, recipe)


def check_slot(slot: str) -> None:
    """Raise if there is no such slot.

    Raises
    ------
    InputError
        Naming the nearest one.
    """
    if slot not in PLACES:
        raise InputError(f"no slot {slot!r}{nearest(slot, PLACES)}; there are {', '.join(PLACES)}")


class Refits:
    """The refits of one run; all methods are called in its event loop.

    Parameters
    ----------
    plan
        What to fit; one without recipes never has anything due.
    home
        The deployment's directory.
    run
        Runs a function of one argument as a bulk task.
    publish
        Returns what appends a control record to the log, once however often it is called.
    storage
        Waits for a disk that takes nothing.

    Attributes
    ----------
    due_at
        At how many events learned something has to begin; None: never.
    holds_the_stream
        Whether nothing more may be learned: a refit that the stream waits for was given up.
    notices
        The last refits that failed.
    """

    def __init__(
        self,
        plan: RefitPlan,
        home: Path,
        run: Callable[[Callable[[FitRequest], Fit | FitFailed], FitRequest], Awaitable[Fit | FitFailed]],
        publish: Callable[[Mapping[str, Any]], Callable[[], None]],
        *,
        storage: Storage | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.due_at: int | None = None
        self.holds_the_stream = False
        self.notices: list[Notice] = []
        self._plan = plan
        self._home = home
        self._run = run
        self._publish = publish
        self._storage = storage or Storage(home)
        self._clock = clock
        self._given_up = False
        self._at_work: dict[str, asyncio.Task[None]] = {}
        self._began_at: dict[str, int] = {}  # by slot, the events of the last refit
        self._one_at_a_time = asyncio.Lock()  # a bulk worker has room for what-if replays beside a fit

    @property
    def at_work(self) -> tuple[str, ...]:
        """Return the slots for which a model is being fitted."""
        return tuple(self._at_work)

    def resume(self, ledger: Ledger) -> None:
        """Take up the plan where the log stands: what a killed run left undone is due at once."""
        if not self._plan.recipes:
            return
        self.due_at = self._plan.next_after(ledger.n_events)
        if any(self._is_due(ledger, slot) for slot in self._plan.recipes):
            self.due_at = ledger.n_events

    async def begin(self, ledger: Ledger) -> None:
        """Begin the refits that are due now; where the plan waits, come back when they are published."""
        if self._given_up:
            self.due_at, self.holds_the_stream = None, self._plan.wait
            return
        self.due_at = self._plan.next_after(ledger.n_events)
        for slot, recipe in self._plan.recipes.items():
            if slot in self._at_work:
                if self._began_at[slot] < self._plan.reached(slot, ledger.n_events):
                    _log.warning(
                        "the last refit is still at work; this one is left out",
                        slot=slot,
                        events=ledger.n_events,
                    )
            elif self._is_due(ledger, slot):
                request = self._request(ledger, slot, recipe)
                self._began_at[slot] = request.n_events
                task = self._at_work[slot] = asyncio.create_task(self._refit(request))
                # Not by the task itself: cancelled before its first step it would never come to it.
                task.add_done_callback(lambda _, slot=slot: self._at_work.pop(slot))  # type: ignore[misc]
        if self._plan.wait:
            await self.settled()

    async def settled(self) -> None:
        """Wait until no refit is at work."""
        while self._at_work:
            await asyncio.wait(list(self._at_work.values()))

    def give_up(self) -> None:
        """Begin nothing more and give up what is at work: a later run finds it due again."""
        self._given_up = True
        self.holds_the_stream = self._plan.wait and bool(self._at_work)
        for task in self._at_work.values():
            task.cancel()

    async def stop(self) -> None:
        """Give up, and wait until that is done."""
        self.give_up()
        await self.settled()

    def _request(self, ledger: Ledger, slot: str, recipe: Recipe) -> FitRequest:
        settings = ledger.settings.model_dump()
        return FitRequest(self._home, slot, recipe, ledger.seq, ledger.n_events, settings)

    def _is_due(self, ledger: Ledger, slot: str) -> bool:
        """Say whether a refit fell due for which the slot has no table yet, made as the plan says."""
        reached, table = self._plan.reached(slot, ledger.n_events), ledger.tables.get(slot)
        made_by = self._request(ledger, slot, self._plan.recipes[slot]).made_by
        has = table is not None and table.made_by == made_by and table.n_events >= reached
        return reached > 0 and not has

    async def _refit(self, request: FitRequest) -> None:
        try:
            what = f"{request.recipe.model} for {request.slot!r}"
            async with self._one_at_a_time:
                fit = partial(self._fit, request)
                outcome = await self._storage.keep_asking(f"Fitting {what}", fit)
            if isinstance(outcome, Fit):
                append = partial(_append, self._publish(outcome.control()))
                await self._storage.keep_trying(f"Publishing {what}", append)
                _log.info(
                    "a table is published",
                    slot=request.slot,
                    version=outcome.version,
                    seconds=outcome.stored.about["seconds"],
                )
            else:
                self._tell(request, outcome.why)
        except Exception as error:  # the run goes on with the table it has
            self._tell(request, f"{type(error).__name__}: {error}")

    async def _fit(self, request: FitRequest) -> Fit | FitFailed:
        try:
            outcome = await self._run(try_to_fit, request)
        except WorkerLost as error:
            _log.warning("a worker was lost in the midst of a fit; fitting again", error=str(error))
            outcome = await self._run(try_to_fit, request)
        if isinstance(outcome, FitFailed) and outcome.passing is not None:
            raise outcome.passing
        return outcome

    def _tell(self, request: FitRequest, why: str) -> None:
        _log.error("a refit failed; nothing is published", slot=request.slot, why=why)
        sentence = f"fitting {request.recipe.model} for {request.slot!r} failed: {why}"
        notice = Notice(request.n_events, self._clock(), "refit", sentence)
        self.notices = [*self.notices, notice][-_NOTICES:]


def _append(publish: Callable[[], None]) -> None:
    with failpoint("table.publish"):
        publish()
