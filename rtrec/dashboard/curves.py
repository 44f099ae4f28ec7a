"""Prequential curves as plain arrays: from the metric history to the columns of a plot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rtrec.evaluation.metrics import interval
from rtrec.types import Floats

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Curves:
    """Metrics per window of tested events; ``hr``, ``ndcg`` and ``n`` have shape ``(window, model)``."""

    models: tuple[str, ...]
    offset: Floats
    time: npt.NDArray[np.datetime64]
    hr: Floats
    ndcg: Floats
    n: Floats

    @classmethod
    def empty(cls) -> Curves:
        """Return curves without a point."""
        nothing = np.empty((0, 0))
        return cls((), np.empty(0), np.empty(0, "datetime64[ms]"), nothing, nothing, nothing)

    @classmethod
    def from_dataset(cls, history: xr.Dataset) -> Curves:
        """Read the dataset of :meth:`rtrec.evaluation.history.MetricHistory.to_xarray`, not smoothed.

        Raises
        ------
        ValueError
            If the windows overlap: smoothed figures cannot be smoothed again.
        """
        if history.attrs.get("smooth", 1) != 1:
            raise ValueError(f"curves: expected windows side by side; got smooth={history.attrs['smooth']}")
        ordered = history.transpose("window", "model")
        models = tuple(str(each) for each in ordered["model"].values)
        return cls(
            models=models,
            offset=ordered["offset"].values.astype(np.float64),
            time=ordered["time"].values.astype("datetime64[ms]"),
            hr=ordered["hr"].values.astype(np.float64),
            ndcg=ordered["ndcg"].values.astype(np.float64),
            n=ordered["n"].values.astype(np.float64),
        )

    def __len__(self) -> int:
        return len(self.offset)

    @property
    def window(self) -> int:
        """Return how many tested events a full window holds."""
        return int(self.n.max()) if self.n.size else 0

    def settled(self) -> Curves:
        """Return the curves without an open last window that has fewer than half its events."""
        if len(self) < 2 or self.n[-1].max() >= self.window / 2:
            return self
        return Curves(
            self.models, self.offset[:-1], self.time[:-1], self.hr[:-1], self.ndcg[:-1], self.n[:-1]
        )

    def smoothed(self, windows: int) -> Curves:
        """Return each point as the mean over its own and the ``windows - 1`` windows before it.

        The mean weighs windows by their events, so it is the metric of the longer window: the same figures
        as ``MetricHistory.to_xarray(smooth=windows)`` gives, from what a run publishes.
        """
        if windows <= 1 or not len(self):
            return self
        n = _trailing_sum(self.n, windows)
        with np.errstate(invalid="ignore", divide="ignore"):
            hr = _trailing_sum(self.hr * self.n, windows) / n
            ndcg = _trailing_sum(self.ndcg * self.n, windows) / n
        return Curves(self.models, self.offset, self.time, hr, ndcg, n)

    def columns(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return one column a model and metric, named as in ``hr_default``, with ``low`` and ``high``.

        ``low`` and ``high`` are the 95% interval of the first model's hit rate.
        """
        columns: dict[str, npt.NDArray[np.generic]] = {"offset": self.offset, "time": self.time}
        for place, model in enumerate(self.models):
            columns[f"hr_{model}"] = self.hr[:, place]
            columns[f"ndcg_{model}"] = self.ndcg[:, place]
        if self.models:
            hits = np.rint(np.nan_to_num(self.hr[:, 0]) * self.n[:, 0])
            counts = np.column_stack([self.n[:, 0] - hits, hits]).astype(np.int64)  # (window, missed or hit)
            columns["low"], columns["high"] = interval(counts, "hit_rate")
        return columns


def _trailing_sum(values: Floats, windows: int) -> Floats:
    total = np.cumsum(np.nan_to_num(values), axis=0)
    total[windows:] -= total[:-windows].copy()
    return total
