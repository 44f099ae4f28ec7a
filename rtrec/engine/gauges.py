"""What a run looks like from outside: rate, freshness, who was seen last, and the figures of its models."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from rtrec.engine.status import ModelScore
from rtrec.evaluation.metrics import RankCounts
from rtrec.models.kernel import RACERS

#: The rate is taken over so many seconds; freshness over so many accepted chunks.
_RATE_S, _N_FRESH = 5.0, 512
_SHORTEST_S = 0.2
_RECENT_USERS = 1000


class Gauges:
    """Running measures of one run; one thread writes, any may ask for the recent users."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._accepted: deque[tuple[int, float]] = deque()
        self._freshness_ms: deque[float] = deque(maxlen=_N_FRESH)
        self._learned: deque[tuple[float, int]] = deque()
        self._users: dict[str, None] = {}

    def accept(self, n_logged: int) -> None:
        """Note that the log now holds ``n_logged`` events."""
        self._accepted.append((n_logged, self._clock()))

    def see(self, users: Iterable[str]) -> None:
        """Note that these users had events, newest last."""
        for user in users:
            self._users.pop(user, None)
            self._users[user] = None
        while len(self._users) > _RECENT_USERS:
            self._users.pop(next(iter(self._users)))

    def learn(self, n_events: int) -> None:
        """Note that ``n_events`` of the log are learned."""
        now = self._clock()
        while self._accepted and self._accepted[0][0] <= n_events:
            self._freshness_ms.append(1000.0 * (now - self._accepted.popleft()[1]))
        self._learned.append((now, n_events))

    def rate_per_s(self) -> float:
        """Return events learned a second over the last seconds."""
        now = self._clock()
        while len(self._learned) > 1 and now - self._learned[0][0] > _RATE_S:
            self._learned.popleft()
        if not self._learned:
            return 0.0
        (then, before), (_, after) = self._learned[0], self._learned[-1]
        return (after - before) / max(now - then, _SHORTEST_S)

    def freshness_ms(self) -> tuple[float, float]:
        """Return the median and 95th percentile of the time from accepted to learned; NaN before any."""
        if not self._freshness_ms:
            return float("nan"), float("nan")
        p50, p95 = np.percentile(self._freshness_ms, [50, 95])
        return float(p50), float(p95)

    def recent_users(self, limit: int) -> list[str]:
        """Return the users of the last events, newest first, each once."""
        return list(reversed(list(self._users)))[:limit]


def model_scores(total: RankCounts, coverage: Mapping[str, float]) -> tuple[ModelScore, ...]:
    """Return the figures of all racers with 95% intervals; none before anything was tested."""
    if not total.n_tested:
        return ()
    hit_rate, ndcg = total.hit_rate().tolist(), total.ndcg().tolist()
    (hr_low, hr_high), (ndcg_low, ndcg_high) = (total.interval(each) for each in ("hit_rate", "ndcg"))
    return tuple(
        ModelScore(
            model=racer,
            hit_rate=hit_rate[i],
            hit_rate_low=float(hr_low[i]),
            hit_rate_high=float(hr_high[i]),
            ndcg=ndcg[i],
            ndcg_low=float(ndcg_low[i]),
            ndcg_high=float(ndcg_high[i]),
            coverage=coverage.get(racer, float("nan")),
        )
        for i, racer in enumerate(RACERS)
    )
