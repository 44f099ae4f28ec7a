"""The live run: one object, three doors. Notebook, dashboard and command line hold the same one."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rtrec.engine.allocator import give_memory_back
from rtrec.engine.deployment import Deployment
from rtrec.engine.recommendation import Recommendation
from rtrec.engine.starting import check_options, manifest_of, take_up
from rtrec.engine.status import AppliedChange, Phase, Status
from rtrec.engine.summary import summary_of
from rtrec.errors import DeploymentError, InputError
from rtrec.events.kafka.address import KafkaAddress
from rtrec.events.opening import require_topic
from rtrec.features.categories import Categories, named_categories
from rtrec.settings import FIXED, Settings

if TYPE_CHECKING:
    import xarray as xr
    from dask.distributed import Security

    from rtrec.engine.outbox import ListSink
    from rtrec.engine.overload import OverloadPlan
    from rtrec.engine.refits import RefitPlan
    from rtrec.engine.session import Session
    from rtrec.evaluation.comparison import Comparison
    from rtrec.events.feeds import Feed

_Result = TypeVar("_Result")
_MOST_PLACES = 1000
#: How often :meth:`LiveRun.result` looks whether the run is paused.
_LOOK_S = 0.2


class LiveRun:
    """A run in a thread of its own; every method here may be called from any thread.

    Examples
    --------
    ::

        with LiveRun.start(Path("demo"), SyntheticFeed(SyntheticStream()), limit=5000) as run:
            run.wait()
            run.recommend("user-7")
    """

    def __init__(
        self, deployment: Deployment, held: ExitStack, session: Callable[[LiveRun], Session]
    ) -> None:
        self.deployment = deployment
        self._held = held
        self.error: BaseException | None = None
        self._status = Status(Phase.STARTING, "starting workers")
        self._cube: xr.Dataset | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._session: Session | None = None
        self._make_session = session
        self._begun, self._ready = threading.Event(), threading.Event()
        self._quiet, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._main, name="rtrec-engine", daemon=True)

    @classmethod
    def start(
        cls,
        home: Path | str,
        feed: Feed | None,
        *,
        settings: Settings | None = None,
        shards: int = 1,
        scheduler: str | None = None,
        security: Security | None = None,
        speed: float | None = None,
        limit: int | None = None,
        warmup: float | int = 0.2,
        titles: Mapping[str, str] | None = None,
        texts: Mapping[str, str] | None = None,
        categories: Categories | None = None,
        snapshot_every: int = 20_000,
        keep_snapshots: int = 4,
        batch_events: int = 1000,
        fresh: bool = False,
        processes: bool = True,
        refits: RefitPlan | None = None,
        accept_bad: bool = False,
        overload: OverloadPlan | None = None,
        log: str | None = None,
        sink: ListSink | None = None,
    ) -> LiveRun:
        """Start, or go on with, the deployment in ``home``; the rest happens in a thread.

        Where a share of a file warms up a new deployment, the events of the file are counted first.

        Parameters
        ----------
        home
            The deployment's directory; it is made if there is none.
        feed
            Where events come from; None only looks at what a deployment has.
        settings
            Of a new deployment. One that exists has its own: the log says which.
        shards
            Of a new deployment; for one that exists it must be the same.
        scheduler
            Address of a Dask scheduler; None starts workers on this machine.
        security
            For a scheduler at ``tls://...``: what ``rtrec.engine.tls.read_security`` makes of certificates.
        speed
            Times the recorded pace; None as fast as it goes.
        limit
            Stop after so many events behind the warm part.
        warmup
            Share of a finite feed's events that is only learned (below 1), or a number of events.
        titles
            Titles of items by id, for people; the deployment keeps them for runs that bring none.
        texts
            Of a new deployment: titles and other words by item id, from which it knows which items are alike;
            None takes the titles.
        categories
            Of a new deployment: the category or categories of each item id, such as
            ``{"film-1": ["war", "drama"]}``; the recommender then counts what each user takes of them lately.
        snapshot_every
            Events between two snapshots.
        keep_snapshots
            How many of them are kept, to go back to and to start what-ifs from.
        fresh
            Remove what is there first.
        processes
            Workers in processes of their own; False runs them in threads of this one.
        refits
            Models that are fitted on the log again and again while the run goes on, such as
            ``RefitPlan({"history": Recipe("ease")}, every=20_000)``.
        accept_bad
            Read on however many of the rows cannot be events; otherwise more than 20% of the last 1,000
            pause the run (:attr:`Phase.PAUSED`) until :meth:`resume`.
        overload
            What to do about a source that is faster than learning; None tests a tenth of the events from 10 s
            ahead on, until it is caught up with, and ``OverloadPlan(share=1.0)`` always tests all.
        log
            Of a new deployment: the topic that keeps its events, such as ``kafka://localhost:9092/events``;
            None keeps them in ``home``. One that exists has its own.
        sink
            Takes the new list of each user who had events, such as a
            :class:`rtrec.events.kafka.sink.KafkaSink`; it is in nobody's way, and told of in the status.

        Raises
        ------
        DeploymentError
            If another run is active there, or the deployment was made for other shards or another feed.
        InputError
            If the feed cannot be used, there is none to start afresh with, there is no such model to fit, or
            what to do on overload is out of bounds.
        """
        from rtrec.engine.overload import OverloadPlan
        from rtrec.engine.refits import RefitPlan
        from rtrec.engine.session import Session

        plan = RefitPlan() if refits is None else refits
        plan.check()
        on_overload = OverloadPlan() if overload is None else overload
        on_overload.check()
        at = None if log is None else str(KafkaAddress.parse(log))
        check_options(
            feed,
            speed,
            limit=limit,
            shards=shards,
            snapshot_every=snapshot_every,
            keep_snapshots=keep_snapshots,
            batch_events=batch_events,
        )
        deployment = Deployment(Path(home))
        if feed is None and not fresh:
            _ = deployment.manifest  # says that there is none, before a folder is made for it
        held = ExitStack()
        held.enter_context(deployment.lock())
        try:
            if not fresh:
                deployment.refuse_remains()
            if fresh or (feed is not None and not deployment.exists):
                # All that can be refused is refused before anything is removed.
                manifest = manifest_of(feed, settings=settings or Settings(), shards=shards, warmup=warmup)
                if at is not None:
                    require_topic(at, shards)
                    manifest["log"] = at
                named = named_categories(categories or {})
                deployment.clear()
                deployment.create(manifest, texts=titles if texts is None else texts, categories=named)
            else:
                take_up(deployment, feed, shards=shards, log=at)
            known = deployment.keep_titles(titles)
        except BaseException:
            held.close()
            raise

        def session(run: LiveRun) -> Session:
            return Session(
                run,
                held,
                feed,
                speed=speed,
                limit=limit,
                scheduler=scheduler,
                security=security,
                titles=known,
                snapshot_every=snapshot_every,
                keep_snapshots=keep_snapshots,
                batch_events=batch_events,
                processes=processes,
                refits=plan,
                accept_bad=accept_bad,
                overload=on_overload,
                sink=sink,
            )

        give_memory_back()
        run = cls(deployment, held, session)
        run._thread.start()
        return run

    def __enter__(self) -> LiveRun:
        """Return the run itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the run."""
        self.stop()

    def __repr__(self) -> str:
        status = self.status()
        return f"LiveRun({str(self.deployment.home)!r}, {status.phase}, {status.events:,} events)"[:120]

    def status(self) -> Status:
        """Return how the run is now; never waits."""
        return self._status

    def history(self) -> xr.Dataset:
        """Return the metrics of all racing models over the run: see ``MetricHistory.to_xarray``."""
        if self._cube is None:
            from rtrec.evaluation.history import MetricHistory
            from rtrec.models.kernel import RACERS

            return MetricHistory(RACERS, self._status.k).to_xarray()
        return self._cube

    def recent_users(self, limit: int = 200) -> list[str]:
        """Return the users of the last events, newest first, each once."""
        session = self._session
        return session.recent_users(limit) if session is not None else []

    def find_users(self, text: str, limit: int = 50) -> list[str]:
        """Return users that are known now and have ``text`` in their id, the likeliest first."""
        return self._ask(lambda session: session.find_users(text, limit)).result(timeout=60)

    def recommend(self, user_id: str, k: int = 10) -> Recommendation:
        """Return a user's last items and the ``k`` best now, each with its reasons.

        While shards are started or brought back, the list comes from the last snapshot and says so.

        Raises
        ------
        InputError
            If ``k`` is not between 1 and 1,000.
        """
        if not 1 <= k <= _MOST_PLACES:
            raise InputError(f"a list has 1 to {_MOST_PLACES:,} places; got k={k}")
        asked = self._ask(lambda session: session.answering.recommend(user_id, k), wait_for=self._begun)
        try:
            return asked.result(timeout=60)
        except CancelledError:
            raise self._not_active() from None

    def preview(self, changes: Mapping[str, Any], *, n_events: int = 20_000) -> Future[Comparison]:
        """Replay the last ``n_events`` as settings are and as they would be, and compare the two.

        Raises
        ------
        InputError
            If a setting is unknown, out of bounds, or not live, or there is nothing to replay.
        """
        if n_events < 1:
            raise InputError(f"a replay needs at least one event; got n_events={n_events}")
        checked = self._checked(changes)
        return self._ask(lambda session: session.steering.preview(checked, n_events))

    def apply(self, changes: Mapping[str, Any]) -> AppliedChange:
        """Change settings: a control record in the log, live from the next micro-batch on."""
        checked = self._checked(changes)
        return self._ask(lambda session: session.steering.apply(checked)).result(timeout=60)

    def undo(self, offset: int) -> AppliedChange:
        """Take back the change at ``offset`` of the control log, by another change.

        A setting that a later change has set to something else stays as it is.

        Raises
        ------
        InputError
            If there is no such change, or nothing of it is left.
        """
        return self._ask(lambda session: session.steering.undo(offset)).result(timeout=60)

    def resume(self) -> None:
        """Read on where too many bad rows have paused the source; what they were is told in the status."""
        self._ask(lambda session: session.resume()).result(timeout=60)

    def changes(self) -> list[AppliedChange]:
        """Return the changes of settings so far, oldest first."""
        session = self._session
        return session.steering.changes() if session is not None else []

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the feed is finished and all of it learned, or the run has stopped or failed.

        A run whose source is paused is none of that: :meth:`status` says so.
        """
        return self._quiet.wait(timeout)

    def result(self, timeout: float | None = None) -> dict[str, Any]:
        """Wait for the end and return :meth:`summary`; raise what ended the run, if anything did.

        Raises
        ------
        TimeoutError
            If it takes longer than ``timeout`` seconds.
        DeploymentError
            If too many rows could not be events, so that the source is paused until :meth:`resume`.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.wait(_LOOK_S):
            status = self.status()
            if status.phase is Phase.PAUSED:
                raise DeploymentError(f"{self.deployment.home}: paused: {status.message}")
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"{self!r}: not finished within {timeout:g} s")
        if self.error is not None:
            raise self.error
        return self.summary()

    def stop(self, timeout: float = 60.0) -> None:
        """Stop feeding, learn what was accepted, write a snapshot, end the workers."""
        self._ready.wait(timeout)
        loop, session = self._loop, self._session
        if loop is not None and session is not None and not self._ended.is_set():
            loop.call_soon_threadsafe(session.request_stop)
        if not self._ended.wait(timeout):
            raise DeploymentError(f"{self.deployment.home}: the run did not stop within {timeout:g} s")

    def summary(self) -> dict[str, Any]:
        """Return the figures of the whole life of the deployment, as ``--json`` prints them."""
        return summary_of(self.status())

    def _publish(self, status: Status, cube: xr.Dataset | None = None) -> None:
        """Take the session's newest status; called in the engine's thread."""
        self._status = status
        if cube is not None:
            self._cube = cube
        if status.phase in (Phase.FINISHED, Phase.STOPPED, Phase.FAILED):
            self._quiet.set()

    def _checked(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return the changes as settings have them, in values that a record of the log can hold."""
        for name in changes:
            if name in FIXED:
                raise InputError(f"setting {name!r} is fixed for the life of a deployment")
        changed = self.status().settings.changed(**changes)
        return {name: getattr(changed, name) for name in changes}

    def _ask(
        self,
        question: Callable[[Session], Coroutine[Any, Any, _Result]],
        *,
        wait_for: threading.Event | None = None,
    ) -> Future[_Result]:
        moment = self._ready if wait_for is None else wait_for
        if not moment.wait(60) or self._loop is None or self._session is None or self._ended.is_set():
            raise self._not_active()
        return asyncio.run_coroutine_threadsafe(question(self._session), self._loop)

    def _not_active(self) -> DeploymentError:
        return DeploymentError(f"{self.deployment.home}: the run is not active ({self.status().message})")

    def _main(self) -> None:
        from rtrec.engine.cluster import ctrl_c_kept_from_children

        async def live() -> None:
            self._loop = asyncio.get_running_loop()
            with self._held:  # a log that cannot be opened lets go of the deployment as well
                self._session = self._make_session(self)
                self._begun.set()
                await self._session.run(self._ready)

        try:
            with ctrl_c_kept_from_children():
                asyncio.run(live())
        except BaseException as error:
            self.error = error
            self._publish(
                replace(self._status, phase=Phase.FAILED, message=f"{type(error).__name__}: {error}")
            )
        finally:
            self._ended.set()
            self._begun.set()
            self._ready.set()
            self._quiet.set()
