"""When a refit is due, and what becomes of one: without a cluster, the log or a model."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rtrec.engine.fitting import Fit, FitFailed, FitRequest
from rtrec.engine.ledger import Ledger
from rtrec.engine.refits import RefitPlan, Refits
from rtrec.engine.storage import MOST_PATIENCE_S, Storage
from rtrec.errors import StorageUnavailable, WorkerLost
from rtrec.events.log import Control
from rtrec.models.nearline.recipe import Recipe
from rtrec.models.table_store import StoredVersion
from rtrec.settings import Settings

NOW = datetime(2026, 11, 24, tzinfo=UTC)
PLAN = RefitPlan({"history": Recipe("ease"), "own": Recipe("ials")}, every=100)


class Bench:
    """Refits whose fits end as a script says; the records they append go into the ledger at once."""

    def __init__(
        self,
        plan: RefitPlan = PLAN,
        *,
        outcome: Callable[[FitRequest], Any] | None = None,
        storage: Storage | None = None,
    ) -> None:
        self.ledger = Ledger(1, Settings(), n_warm=0)
        self.asked: list[tuple[str, int]] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self._outcome = outcome or self.done
        self.append = self.take
        self.refits = Refits(
            plan,
            Path("home"),
            self._run,
            lambda body: lambda: self.append(body),
            storage=storage,
            clock=lambda: NOW,
        )

    @staticmethod
    def done(request: FitRequest) -> Fit:
        about = {"model": request.recipe.model, "made_by": request.made_by, "n_events": request.n_events}
        stored = StoredVersion(about | {"n_items": 3, "seconds": 0.5}, "seal")
        return Fit(request.slot, request.version, stored)

    async def _run(self, _: Any, request: FitRequest) -> Fit | FitFailed:
        self.asked.append((request.slot, request.n_events))
        await self.go_on.wait()
        outcome = self._outcome(request)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def take(self, body: Mapping[str, Any]) -> None:
        self.ledger.change([Control(len(self.ledger.tables), NOW, body)])

    async def reach(self, n_events: int) -> None:
        """Learn so many events in all, with refits where they fall due."""
        while self.refits.due_at is not None and self.refits.due_at <= n_events:
            self.ledger.n_events = max(self.refits.due_at, self.ledger.n_events)
            await self.refits.begin(self.ledger)
        self.ledger.n_events = n_events


def test_every_multiple_is_due_once_for_each_slot() -> None:
    async def story() -> None:
        bench = Bench()
        bench.refits.resume(bench.ledger)
        for n_events in (50, 99, 100, 130, 250, 399):
            await bench.reach(n_events)
            await bench.refits.settled()
        assert bench.asked == [(slot, at) for at in (100, 200, 300) for slot in ("history", "own")]
        assert bench.refits.due_at == 400
        assert {slot: each.n_events for slot, each in bench.ledger.tables.items()} == {
            "history": 300,
            "own": 300,
        }

    asyncio.run(story())


def test_without_a_plan_nothing_is_ever_due() -> None:
    bench = Bench(RefitPlan())
    bench.refits.resume(bench.ledger)
    assert bench.refits.due_at is None


@pytest.mark.parametrize(
    ("fitted", "n_events", "due_at"),
    [
        (None, 0, 100),  # it begins
        (None, 99, 100),
        (None, 100, 100),  # killed in the midst of the first fit
        (None, 130, 130),
        (100, 100, 200),  # killed right after the record
        (100, 199, 200),
        (100, 200, 200),
        (100, 260, 260),
    ],
)
def test_what_a_killed_run_left_undone_is_due_at_once(fitted, n_events: int, due_at: int) -> None:
    plan = RefitPlan({"own": Recipe("ials")}, every=100)
    bench = Bench(plan)
    if fitted is not None:
        request = FitRequest(Path("home"), "own", Recipe("ials"), 1, fitted, Settings().model_dump())
        bench.take(Bench.done(request).control())
    bench.ledger.n_events = n_events
    bench.refits.resume(bench.ledger)
    assert bench.refits.due_at == due_at


def test_a_table_made_otherwise_does_not_count() -> None:
    for recipe, settings in (
        (Recipe("ease"), Settings()),
        (Recipe("ials", {"n_factors": 3}), Settings()),
        (Recipe("ials"), Settings(weight_view=0.5)),
    ):
        bench = Bench(RefitPlan({"own": Recipe("ials")}, every=100))
        request = FitRequest(Path("home"), "own", recipe, 1, 100, settings.model_dump())
        bench.take(Bench.done(request).control())
        bench.ledger.n_events = 150
        bench.refits.resume(bench.ledger)
        assert bench.refits.due_at == 150


def test_what_falls_due_while_a_fit_is_at_work_is_left_out() -> None:
    async def story() -> None:
        bench = Bench(RefitPlan({"own": Recipe("ials")}, every=100))
        bench.refits.resume(bench.ledger)
        bench.go_on.clear()
        await bench.reach(100)
        assert bench.refits.at_work == ("own",)
        await bench.reach(350)
        bench.go_on.set()
        await bench.refits.settled()
        await bench.reach(400)
        await bench.refits.settled()
        assert bench.asked == [("own", 100), ("own", 400)]

    asyncio.run(story())


def test_a_lost_worker_is_asked_again_once() -> None:
    losses = [WorkerLost("gone")]

    def outcome(request: FitRequest) -> Any:
        return losses.pop() if losses else Bench.done(request)

    async def story() -> None:
        bench = Bench(RefitPlan({"own": Recipe("ials")}, every=100, wait=True), outcome=outcome)
        bench.refits.resume(bench.ledger)
        await bench.reach(100)
        assert bench.asked == [("own", 100)] * 2
        assert bench.ledger.tables["own"].n_events == 100
        losses.extend([WorkerLost("gone"), WorkerLost("gone")])
        await bench.reach(200)
        assert bench.ledger.tables["own"].n_events == 100
        [notice] = bench.refits.notices
        assert (notice.offset, notice.time, notice.kind) == (200, NOW, "refit")
        assert notice.sentence == "fitting ials for 'own' failed: WorkerLost: gone"

    asyncio.run(story())


class Sleeps:
    """Time that passes at once, and is written down."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> bool:
        self.seconds.append(seconds)
        return False


def test_what_the_disk_does_not_take_is_fitted_and_published_again(tmp_path: Path) -> None:
    no_space = StorageUnavailable("OSError: [Errno 28] No space left on device")
    full = [FitFailed("own", "ials", str(no_space), no_space)] * 3
    trouble: list[Exception] = [StorageUnavailable("the log is full"), OSError(errno.EIO, "in trouble")]

    async def story() -> None:
        sleeps, told = Sleeps(), []
        disk = Storage(tmp_path, sleep=sleeps, clock=lambda: NOW)

        def outcome(request: FitRequest) -> Any:
            told.append([each.sentence for each in disk.notices])
            return full.pop() if full else Bench.done(request)

        def append(body: Mapping[str, Any]) -> None:
            told.append([each.sentence for each in disk.notices])
            if trouble:
                raise trouble.pop()
            bench.take(body)

        bench = Bench(RefitPlan({"own": Recipe("ials")}, every=100, wait=True), outcome=outcome, storage=disk)
        bench.append = append
        bench.refits.resume(bench.ledger)
        await bench.reach(100)
        assert bench.asked == [("own", 100)] * 4
        assert sleeps.seconds == pytest.approx([0.1, 0.2, 0.4, 0.1, 0.2])
        assert bench.ledger.tables["own"].n_events == 100
        assert bench.refits.notices == []
        assert told[1][0].startswith(
            "Fitting ials for 'own' has to wait: OSError: [Errno 28] No space left on"
        )
        assert told[-1][1].startswith("Publishing ials for 'own' has to wait: ")
        fitting, publishing = (each.sentence for each in disk.notices)
        assert fitting.startswith("Fitting ials for 'own' had to wait for about 1 s, and goes on")
        assert publishing.startswith("Publishing ials for 'own' had to wait for about 0 s, and goes on")

    asyncio.run(story())


def test_a_disk_that_stays_full_ends_the_refit_and_not_the_run(tmp_path: Path) -> None:
    async def story() -> None:
        sleeps = Sleeps()
        bench = Bench(
            RefitPlan({"own": Recipe("ials")}, every=100, wait=True),
            outcome=lambda _: FitFailed("own", "ials", "it is full", StorageUnavailable("it is full")),
            storage=Storage(tmp_path, sleep=sleeps, clock=lambda: NOW),
        )
        bench.refits.resume(bench.ledger)
        await bench.reach(100)
        assert sum(sleeps.seconds) >= MOST_PATIENCE_S
        [notice] = bench.refits.notices
        assert notice.sentence == "fitting ials for 'own' failed: StorageUnavailable: it is full"
        assert bench.ledger.n_events == 100
        assert not bench.refits.holds_the_stream

    asyncio.run(story())


def test_a_fit_that_fails_for_another_reason_is_not_tried_again(tmp_path: Path) -> None:
    async def story() -> None:
        sleeps = Sleeps()
        bench = Bench(
            RefitPlan({"own": Recipe("ials")}, every=100, wait=True),
            outcome=lambda _: FitFailed("own", "ials", "it makes no sense"),
            storage=Storage(tmp_path, sleep=sleeps, clock=lambda: NOW),
        )
        bench.refits.resume(bench.ledger)
        await bench.reach(100)
        assert (bench.asked, sleeps.seconds) == ([("own", 100)], [])
        assert [each.sentence for each in bench.refits.notices] == [
            "fitting ials for 'own' failed: it makes no sense"
        ]

    asyncio.run(story())


@pytest.mark.parametrize("wait", [True, False])
def test_given_up_nothing_is_published_and_a_stream_that_would_wait_is_held(wait: bool) -> None:
    async def story() -> None:
        bench = Bench(RefitPlan({"own": Recipe("ials")}, every=100, wait=wait))
        bench.refits.resume(bench.ledger)
        bench.go_on.clear()
        reaching = asyncio.create_task(bench.reach(100))
        while not bench.refits.at_work:
            await asyncio.sleep(0)
        bench.refits.give_up()
        await reaching
        await bench.refits.stop()
        assert bench.ledger.tables == {}
        assert bench.refits.at_work == ()

    asyncio.run(story())


def test_given_up_between_two_fits_only_a_due_one_holds_the_stream() -> None:
    async def story() -> None:
        bench = Bench(RefitPlan({"own": Recipe("ials")}, every=100, wait=True))
        bench.refits.resume(bench.ledger)
        await bench.reach(150)
        bench.refits.give_up()
        assert not bench.refits.holds_the_stream  # what is accepted is still learned
        await bench.reach(200)
        assert bench.refits.holds_the_stream
        assert bench.asked == [("own", 100)]

    asyncio.run(story())
