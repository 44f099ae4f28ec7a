"""What the deep models share: a first fit in epochs, then lessons of new examples and replayed old ones."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from rtrec.models.nearline.base import Arrays, NearlineModel
from rtrec.models.nearline.interactions import Interactions
from rtrec.models.nearline.replay import Columns, Reservoir, joined, n_rows
from rtrec.models.nearline.torch_training import Weights, checked
from rtrec.types import Nums

if TYPE_CHECKING:
    from torch import Tensor

NOTHING = Interactions(
    np.zeros(0, np.int32),
    np.zeros(0, np.int32),
    np.zeros(0),
    np.zeros(0),
    np.zeros(0, np.float32),
    0,
    0,
)


@dataclass(frozen=True)
class Training:
    """How a deep model is trained; each number bounds the time of a fit."""

    #: Passes over the history in a fit.
    epochs: int = 10
    #: Passes over new and replayed examples in an update.
    update_epochs: int = 3
    #: Examples in a step.
    batch_size: int = 64
    #: The most steps of a fit or an update, whatever the passes.
    most_batches: int = 1000
    #: The most examples of a fit or an update: the newest.
    most_examples: int = 200_000
    #: Adam's step size.
    learning_rate: float = 0.002
    #: Old examples that join each new one in an update, on average. They keep what the past taught and cost
    #: freshness: 1 in place of 0.1 loses the two towers 14% of hr@10 on shop orders, 16% on film ratings.
    replay: float = 0.1
    #: How many old examples are kept for that.
    reservoir: int = 20_000
    #: ``"auto"``, ``"cpu"``, ``"cuda"``: see :class:`~rtrec.models.nearline.torch_training.Weights`.
    device: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        counts = ("epochs", "update_epochs", "batch_size", "most_batches", "most_examples", "reservoir")
        for name in counts:
            if getattr(self, name) < 1:
                raise ValueError(f"training: {name} must be at least 1; got {getattr(self, name)}")
        if not (self.learning_rate > 0.0 and self.replay >= 0.0):
            raise ValueError(
                "training: expected a positive learning_rate and a replay of at least 0; "
                f"got {self.learning_rate}, {self.replay}"
            )


class DeepModel(NearlineModel):
    """Weights that learn examples made from events.

    A subclass adds weights in :meth:`_build`, gives them rows in :meth:`_make_room`, turns events into
    columns in :meth:`_examples` and those into a loss in :meth:`_loss`; the rest of the contract but
    ``table`` and ``score`` is here. Raises InputError where PyTorch is not installed.
    """

    weights: Weights
    reservoir: Reservoir
    n_users: int
    _known: np.ndarray[Any, Any]  # (item,) whether it had an event
    _n_learned: int

    def __init__(self, training: Training) -> None:
        self.training = training
        self._forget()

    def fit(self, history: Interactions) -> None:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        self._forget()
        self._learn(history, 0, self.training.epochs)

    def update(self, history: Interactions, start: int) -> None:
        """Learn the events from ``start`` on, together with a sample of old ones."""
        if self._n_learned == 0:
            self.fit(history)
        else:
            self._learn(history, start, self.training.update_epochs)

    def to_arrays(self) -> Arrays:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        counts = np.array([self._n_learned, self.n_users], np.int64)
        arrays = {"counts": counts, "known": self._known.copy()}
        return arrays | self.weights.to_arrays() | self.reservoir.to_arrays()

    def restore(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        counts = checked(arrays, "counts", np.zeros(2, np.int64))
        known = checked(arrays, "known", self._known)
        self.weights.restore(arrays)
        self.reservoir.restore(arrays)
        self._n_learned, self.n_users = int(counts[0]), int(counts[1])
        self._known = np.array(known)
        self._publish()

    @property
    def n_items(self) -> int:
        """Return how many items there is room for; those without an event have learned nothing."""
        return len(self._known)

    @abstractmethod
    def _build(self, weights: Weights) -> None:
        """Add the weights of the network."""

    @abstractmethod
    def _make_room(self) -> None:
        """Grow the tables to ``n_users`` and ``n_items``."""

    @abstractmethod
    def _examples(self, history: Interactions, start: int) -> Columns:
        """Turn the events from ``start`` on into examples, oldest first; no event: columns without rows."""

    @abstractmethod
    def _loss(self, batch: Columns) -> Tensor:
        """Return the mean loss of a batch."""

    @abstractmethod
    def _publish(self) -> None:
        """Compute what ``table`` and ``score`` answer from."""

    def _forget(self) -> None:
        self.weights = Weights(
            learning_rate=self.training.learning_rate, seed=self.training.seed, device=self.training.device
        )
        self._build(self.weights)
        self._n_learned, self.n_users = 0, 0
        self._known = np.zeros(0, np.bool_)
        self.reservoir = Reservoir(self.training.reservoir, self._examples(NOTHING, 0))
        self._publish()

    def _learn(self, history: Interactions, start: int, epochs: int) -> None:
        self._note(history, start)
        new = self._newest_examples(history, start)
        n_new = n_rows(new)
        old = self.reservoir.taken(self.weights.uniform(round(self.training.replay * n_new)))
        self._train(joined(new, old), epochs)
        self.reservoir.offer(new, self.weights.uniform(n_new))
        self._publish()

    def _newest_examples(self, history: Interactions, start: int) -> Columns:
        most = self.training.most_examples
        return {name: column[-most:] for name, column in self._examples(history, start).items()}

    def _note(self, history: Interactions, start: int) -> None:
        """Make room for the users and items of a history, and know those of the events from ``start`` on."""
        self.n_users = max(self.n_users, history.n_users)
        self._known = np.pad(self._known, (0, max(history.n_items - self.n_items, 0)))
        self._known[history.item_num[start:]] = True
        self._n_learned += history.n_events - start
        self._make_room()

    def _train(self, examples: Columns, epochs: int) -> None:
        size = self.training.batch_size
        batches = self.weights.batches(n_rows(examples), size=size, epochs=epochs)
        for places in islice(batches, self.training.most_batches):
            self.weights.step(self._loss({name: column[places] for name, column in examples.items()}))

    def _known_items(self) -> Nums:
        return np.flatnonzero(self._known).astype(np.int32)
