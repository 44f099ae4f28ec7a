"""Prequential curves as plain arrays: from the metric history to the columns of a plot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rtrec.types import Floats

if TYPE_CHECKING:
    import xarray as xr

#: Half width of a 95% interval in standard errors.
_Z95 = 1.959963984540054


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
        """Read the dataset of :meth:`rtrec.evaluation.history.MetricHistory.to_xarray`."""
        ordered = history.transpose("window", "model")
        models = tuple(str(each) for each in ordered["model"].values)
        shape = (ordered.sizes["window"], len(models))
        return cls(
            models=models,
            offset=ordered["offset"].values.astype(np.float64),
            time=ordered["time"].values.astype("datetime64[ms]"),
            hr=ordered["hr"].values.astype(np.float64),
            ndcg=ordered["ndcg"].values.astype(np.float64),
            n=np.array(np.broadcast_to(_by_window(ordered), shape), dtype=np.float64),
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

        The mean weighs windows by their events, so it is the metric of the longer window.
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

        ``low`` and ``high`` are the 95% Wilson interval of the first model's hit rate.
        """
        columns: dict[str, npt.NDArray[np.generic]] = {"offset": self.offset, "time": self.time}
        for place, model in enumerate(self.models):
            columns[f"hr_{model}"] = self.hr[:, place]
            columns[f"ndcg_{model}"] = self.ndcg[:, place]
        if self.models:
            columns["low"], columns["high"] = wilson(self.hr[:, 0], self.n[:, 0])
        return columns


def wilson(rate: Floats, n: Floats) -> tuple[Floats, Floats]:
    """Return the 95% Wilson interval of a share ``rate`` seen in ``n`` trials (Wilson 1927)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        middle = (rate + _Z95**2 / (2 * n)) / (1 + _Z95**2 / n)
        half = _Z95 / (1 + _Z95**2 / n) * np.sqrt(rate * (1 - rate) / n + _Z95**2 / (4 * n**2))
    return middle - half, middle + half


def _by_window(history: xr.Dataset) -> Floats:
    n = history["n"].values
    return n if n.ndim == 2 else n[:, np.newaxis]


def _trailing_sum(values: Floats, windows: int) -> Floats:
    total = np.cumsum(np.nan_to_num(values), axis=0)
    total[windows:] -= total[:-windows].copy()
    return total
