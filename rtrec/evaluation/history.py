"""Metrics over the life of a stream: rank counts per window of tested events.

Windows count events, not minutes, so that all say their figures with the same precision. Their number is
bounded however long the stream runs: when 2,000 are full, neighbours are merged two by two and the window
doubles. Where a window begins depends only on how many events were tested before it, never on batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from rtrec.evaluation.metrics import RankCounts, Ranks, checked_ranks, mean_gain
from rtrec.types import Floats, Ints

#: Beyond this many windows, neighbours are merged; even, so that every window has one.
MAX_WINDOWS = 2000


class MetricHistory:
    """Rank counts of racing models, window by window; one thread adds and reads.

    Window i holds the tested events ``i * window`` to ``(i + 1) * window - 1``; the last may be open still.

    Examples
    --------
    >>> history = MetricHistory(["default", "popularity"], k=10, window=2)
    >>> ranks = np.array([[1, 0], [0, 0], [3, 1]])
    >>> history.add(ranks, timestamps=np.array([10.0, 20.0, 30.0]), offsets=np.array([5, 6, 7]))
    >>> history.to_xarray()["hr"].sel(model="default").values.tolist()
    [0.5, 1.0]
    """

    def __init__(self, models: Sequence[str], k: int, window: int = 1000) -> None:
        if not models or k < 1 or window < 1:
            raise ValueError(
                f"a history needs a model, a rank and a window; "
                f"got models={list(models)}, k={k}, window={window}"
            )
        self.models = tuple(models)
        self.k = k
        self.window = window
        self.n_tested = 0
        self._counts: Ints = np.zeros((MAX_WINDOWS, len(models), k + 1), np.int64)  # (window, model, rank)
        self._times: Floats = np.zeros(MAX_WINDOWS)  # of the last event of each window, seconds since 1970
        self._offsets: Ints = np.zeros(MAX_WINDOWS, np.int64)  # likewise

    def __repr__(self) -> str:
        return (
            f"MetricHistory({len(self.models)} models, k={self.k}, {self.n_tested:,} events "
            f"in {self.n_windows} windows of {self.window:,})"
        )

    @property
    def n_windows(self) -> int:
        """Return how many windows have an event, the open one included."""
        return -(-self.n_tested // self.window)

    def add(self, ranks: Ranks, timestamps: Floats, offsets: Ints) -> None:
        """Take more tested events, in the order of the stream.

        Parameters
        ----------
        ranks
            Rank of each event's item in each model's list, 0 for a miss, shape ``(event, model)``.
        timestamps
            Event times in seconds since 1970 UTC, shape ``(event,)``.
        offsets
            Places of the events in the log, shape ``(event,)``.

        Raises
        ------
        ValueError
            If the shapes do not fit or a rank is not between 0 and k.
        """
        ranks = checked_ranks(ranks, len(self.models), self.k)
        if not len(ranks) == len(timestamps) == len(offsets):
            raise ValueError(
                f"expected ranks, timestamp and offset of each event; "
                f"got {len(ranks)}, {len(timestamps)} and {len(offsets)}"
            )
        start = 0
        while start < len(ranks):
            if self.n_tested == MAX_WINDOWS * self.window:
                self._merge_neighbours()
            stop = min(len(ranks), start + MAX_WINDOWS * self.window - self.n_tested)
            self._fill(ranks[start:stop], timestamps[start:stop], offsets[start:stop])
            start = stop

    def total(self) -> RankCounts:
        """Return the counts of all events so far."""
        return RankCounts.from_array(self._counts[: self.n_windows].sum(axis=0))

    def beside(self, other: MetricHistory) -> MetricHistory:
        """Return the models of both, where they were tested on the same events.

        Raises
        ------
        ValueError
            If the histories differ in k, window or number of events.
        """
        if (self.k, self.window, self.n_tested) != (other.k, other.window, other.n_tested):
            raise ValueError(f"{self!r} and {other!r} are not of the same events")
        both = MetricHistory([*self.models, *other.models], self.k, self.window)
        both.n_tested = self.n_tested
        both._counts = np.concatenate([self._counts, other._counts], axis=1)
        both._times, both._offsets = self._times.copy(), self._offsets.copy()
        return both

    def to_xarray(self, smooth: int = 1) -> xr.Dataset:
        """Return the metrics as a cube.

        Parameters
        ----------
        smooth
            Each figure is taken over the events of its own and the ``smooth - 1`` windows before it (fewer at
            the beginning).

        Returns
        -------
        xarray.Dataset
            ``hr``, ``ndcg`` and the number of events ``n`` with dimensions ``(window, model)``; coordinates
            ``model`` and, for the last event of each window, ``time`` (event time, UTC) and ``offset``. The
            last window may be open: its ``n`` says so.
        """
        if smooth < 1:
            raise ValueError(f"smooth counts windows, so it is at least 1; got {smooth}")
        size = self.n_windows
        summed = self._counts[:size].cumsum(axis=0)
        counts = summed.copy()
        counts[smooth:] -= summed[:-smooth]
        dims = ("window", "model")
        return xr.Dataset(
            {
                "hr": (dims, mean_gain(counts, "hit_rate"), {"long_name": f"hr@{self.k}"}),
                "ndcg": (dims, mean_gain(counts, "ndcg"), {"long_name": f"ndcg@{self.k}"}),
                "n": (dims, counts.sum(axis=-1), {"long_name": "events tested"}),
            },
            coords={
                "window": np.arange(size),
                "model": list(self.models),
                "time": ("window", _utc(self._times[:size]), {"long_name": "event time (UTC)"}),
                "offset": ("window", self._offsets[:size].copy(), {"long_name": "events in the log"}),
            },
            attrs={"k": self.k, "window": self.window, "smooth": smooth},
        )

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return all of the state as arrays for a snapshot."""
        size = self.n_windows
        return {
            "models": np.array(self.models),
            "counts": self._counts[:size].copy(),
            "times": self._times[:size].copy(),
            "offsets": self._offsets[:size].copy(),
            "window": np.array(self.window, np.int64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> MetricHistory:
        """Build the history that :meth:`to_arrays` wrote down.

        Raises
        ------
        ValueError
            If the arrays do not belong to one history.
        """
        counts, size = arrays["counts"], len(arrays["counts"])
        history = cls(arrays["models"].tolist(), k=counts.shape[-1] - 1, window=int(arrays["window"]))
        tested = counts.sum(axis=-1)
        history.n_tested = int(tested[:, 0].sum())
        full = np.minimum(history.window, history.n_tested - np.arange(size) * history.window)
        if not size == history.n_windows <= MAX_WINDOWS or (tested != full[:, None]).any():
            raise ValueError(f"history arrays: {size} windows do not hold {history.window} events each")
        history._counts[:size] = counts
        history._times[:size] = arrays["times"]
        history._offsets[:size] = arrays["offsets"]
        return history

    def _fill(self, ranks: Ints, timestamps: Floats, offsets: Ints) -> None:
        """Count events for which there is room without merging windows."""
        n_models, n_ranks = len(self.models), self.k + 1
        windows = (self.n_tested + np.arange(len(ranks))) // self.window
        first, last = int(windows[0]), int(windows[-1])
        cells = ((windows - first)[:, None] * n_models + np.arange(n_models)) * n_ranks + ranks
        shape = (last - first + 1, n_models, n_ranks)
        self._counts[first : last + 1] += np.bincount(cells.ravel(), minlength=np.prod(shape)).reshape(shape)
        ends = np.flatnonzero(np.diff(windows, append=last + 1))
        self._times[first : last + 1] = timestamps[ends]
        self._offsets[first : last + 1] = offsets[ends]
        self.n_tested += len(ranks)

    def _merge_neighbours(self) -> None:
        """Make one window of each full pair, keeping the later one's time and offset."""
        half = MAX_WINDOWS // 2
        for column in (self._times, self._offsets):
            column[:half] = column[1::2].copy()
            column[half:] = 0
        self._counts[:half] = self._counts[0::2] + self._counts[1::2]
        self._counts[half:] = 0
        self.window *= 2


def _utc(seconds: Floats) -> npt.NDArray[np.datetime64]:
    """Return seconds since 1970 as UTC without a zone, which is all that NumPy can say; NaN becomes NaT."""
    known = np.isfinite(seconds)
    micros = np.where(known, np.round(np.where(known, seconds, 0.0) * 1e6), 0.0).astype(np.int64)
    return np.where(known, micros.astype("datetime64[us]"), np.datetime64("NaT", "us"))
