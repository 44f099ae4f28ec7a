"""The search itself: optuna asks and is told, Dask replays, and the worse half of each rung stays behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dask.distributed import Client, Future, as_completed

from rtrec.evaluation.metrics import mean_gain
from rtrec.jobs.tuning.replay import Rung, SearchPart, replay_rung, rung_ends, without_state
from rtrec.jobs.tuning.space import Space, holds, values_of
from rtrec.jobs.tuning.trials import COMPLETE, FAILED, PRUNED, RUNNING, Trial
from rtrec.models.kernel import DISLIKE
from rtrec.settings import Settings

if TYPE_CHECKING:
    import optuna

PRUNERS = ("halving", "none")
#: The lowest of four rungs has an eighth of the tested events.
N_RUNGS = 4
#: So many trials are drawn at random before the sampler has an opinion; of few trials a quarter.
_MOST_RANDOM = 10


@dataclass
class Plan:
    """How to search.

    Attributes
    ----------
    start
        The settings there are; trials change them within ``space``.
    metric, n_trials, seed
        What is to become as high as it can (of :data:`rtrec.evaluation.metrics.METRICS`), in how many trials.
    parallel
        How many trials are under way at once. With one, the same seed makes the same search. With more, the
        sampler proposes from whatever has ended by then, so the proposals (never the figures of given
        settings) may differ from run to run.
    pruner
        ``halving`` or ``none``.
    """

    start: Settings
    space: Space
    metric: str
    n_trials: int
    parallel: int = 1
    pruner: str = "halving"
    seed: int = 0


@dataclass
class _Run:
    """A trial under way: which rung it is on, and what Dask has of it."""

    trial: Trial
    settings: Settings
    asked: optuna.Trial | None
    state: Future | None = None
    rung: int = 0


@dataclass
class Search:
    """A study with its trials; :meth:`run` may be interrupted and keeps what it has.

    Parameters
    ----------
    plan
        How to search.
    part
        The events it may see.
    earlier
        Trials of an interrupted search over the same events, which count as done.
    on_change
        Called at the start, and after each trial that ended.
    """

    plan: Plan
    part: SearchPart
    earlier: Sequence[Trial] = ()
    on_change: Callable[[Search], None] | None = None
    trials: list[Trial] = field(default_factory=list)
    interrupted: bool = False

    def __post_init__(self) -> None:
        self._part: Future | None = None
        self.ends = rung_ends(self.part.n_warm, self.part.events.kind != DISLIKE, N_RUNGS)
        with _quiet():
            self._study = _new_study(self.plan)
        self._by_hand = not holds(self.plan.space, self.plan.start)
        for trial in self.earlier:
            self._remember(trial)

    def run(self, client: Client) -> None:
        """Replay trials until all are done, or Ctrl-C."""
        under_way: dict[Future, _Run] = {}
        ended = as_completed()
        with _quiet():
            try:
                if self.on_change is not None:
                    self.on_change(self)
                while True:
                    while len(under_way) < self.plan.parallel and len(self.trials) < self.plan.n_trials:
                        self._go_up(client, self._next(), under_way, ended)
                    if not under_way:
                        return
                    self._took_rung(client, next(ended), under_way, ended)
            except KeyboardInterrupt:
                self.interrupted = True
                client.cancel([*under_way, *(run.state for run in under_way.values())])

    def _next(self) -> _Run:
        """Return the next trial; the first has the settings there are."""
        plan, number = self.plan, len(self.trials)
        values, asked = values_of(plan.space, plan.start), None
        if number or not self._by_hand:
            if not number:
                self._study.enqueue_trial(values)
            asked = self._study.ask()
            proposed = {each.name: each.suggest(asked) for each in plan.space}
            values = proposed if number else values
        trial = Trial(number, values)
        self.trials.append(trial)
        return _Run(trial, plan.start.changed(**values), asked)

    def _go_up(self, client: Client, run: _Run, under_way: dict[Future, _Run], ended: Any) -> None:
        is_last = run.rung == len(self.ends) - 1
        stop = self.ends[run.rung]
        part = self._shared(client)
        run.state = client.submit(replay_rung, run.state, part, run.settings, stop, is_last, pure=False)
        told = client.submit(without_state, run.state, pure=False)
        under_way[told] = run
        ended.add(told)

    def _took_rung(self, client: Client, told: Future, under_way: dict[Future, _Run], ended: Any) -> None:
        run = under_way.pop(told)
        error = told.exception() if told.status == "error" else None
        if error is not None or told.status != "finished":
            reason = (
                f"{type(error).__name__}: {error}" if error is not None else f"its task was {told.status}"
            )
            self._end(run, FAILED, reason)
            return
        rung: Rung = told.result()
        trial = run.trial
        trial.by_rung.append(float(mean_gain(rung.counts, self.plan.metric)))
        trial.n_replayed += rung.n_replayed
        trial.seconds += rung.seconds
        run.rung += 1
        if run.asked is not None:
            run.asked.report(trial.value, _step(run.rung))
        if run.rung == len(self.ends):
            self._end(run, COMPLETE)
        elif trial.number and run.asked is not None and run.asked.should_prune():
            self._end(run, PRUNED)
        else:
            self._go_up(client, run, under_way, ended)

    def _shared(self, client: Client) -> Future:
        """Return the events as the workers have them; what died with the last worker is sent again."""
        if self._part is None or self._part.status != "finished":
            # In a list: a tuple would be scattered field by field.
            [self._part] = client.scatter([self.part], hash=False, broadcast=True)
        return self._part

    def _end(self, run: _Run, state: str, reason: str = "") -> None:
        import optuna

        run.trial.state, run.trial.reason = state, reason
        run.state = None  # the workers may forget it
        if run.asked is not None:
            states = optuna.trial.TrialState
            if state == COMPLETE:
                self._study.tell(run.asked, run.trial.value)
            else:
                self._study.tell(run.asked, state=states.PRUNED if state == PRUNED else states.FAIL)
        if self.on_change is not None:
            self.on_change(self)

    def _remember(self, trial: Trial) -> None:
        """Take a trial of an earlier search: the sampler and the pruner know it as if it had been here."""
        import optuna

        trial.number = len(self.trials)
        self.trials.append(trial)
        if trial.number == 0 and self._by_hand:
            return
        states = optuna.trial.TrialState
        state = {COMPLETE: states.COMPLETE, PRUNED: states.PRUNED, FAILED: states.FAIL}[trial.state]
        self._study.add_trial(
            optuna.trial.create_trial(
                state=state,
                value=trial.value if state == states.COMPLETE else None,
                params=trial.values,
                distributions={each.name: each.distribution() for each in self.plan.space},
                intermediate_values={_step(rung): value for rung, value in enumerate(trial.by_rung, 1)},
            )
        )

    def n_under(self, state: str) -> int:
        """Return how many trials are in a state."""
        return sum(each.state == state for each in self.trials)

    @property
    def n_ended(self) -> int:
        """Return how many trials have ended, one way or the other."""
        return len(self.trials) - self.n_under(RUNNING)


def importances(search: Search) -> dict[str, float]:
    """Return how much of the variance between trials each setting explains, most first; empty if too few.

    fANOVA (Hutter, Hoos, Leyton-Brown 2014) over the lowest rung, which all trials have reached and on which
    they were tested alike; those that came further would be a selection of good ones.
    """
    import optuna

    reached = [each for each in search.trials if each.by_rung]
    if search._by_hand:
        reached = reached[1:]
    values = [each.by_rung[0] for each in reached]
    if len(reached) < 8 or len(set(values)) < 2 or len(search.plan.space) < 2:
        return {}
    distributions = {each.name: each.distribution() for each in search.plan.space}
    with _quiet():
        study = optuna.create_study(direction="maximize")
        for trial, value in zip(reached, values, strict=True):
            study.add_trial(
                optuna.trial.create_trial(value=value, params=trial.values, distributions=distributions)
            )
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=search.plan.seed)
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(value) for name, value in found.items()}


def _new_study(plan: Plan) -> optuna.Study:
    import optuna

    n_random = max(2, min(_MOST_RANDOM, plan.n_trials // 4))
    # Of two trials or three the better goes on, later the better half. optuna's median pruner would hold a
    # trial's best rung against the others' last: where hits get rarer in a log, it never prunes.
    halving = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)
    return optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=plan.seed, n_startup_trials=n_random),
        pruner=halving if plan.pruner == "halving" else optuna.pruners.NopPruner(),
    )


def _step(rung: int) -> int:
    """Return what optuna counts as the resource of rung 1, 2, 3, ...: each has twice as much."""
    return 1 << (rung - 1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep optuna from talking on stderr; trials are shown by whoever asked for them."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
