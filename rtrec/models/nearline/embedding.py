r"""User and item embeddings under a dense head, trained to hit the value of an event.

With e_u and e_i the vectors of user and item, [ , ] one after the other and m, s the mean and standard
deviation of the values learned from first,

    y_ui = m + s (w . relu(A [e_u, e_i] + a) + c)

is fitted by Adam to the mean squared error, weighted by what an event counts for. Where events come with
ratings y is the rating; elsewhere it is 1 for what a user had and 0 for items drawn at random that they had
not (then m = 0, s = 1).

A first fit splits the history by time: it trains on the oldest part, keeps the epoch with the least error on
the next and reports the error on all three (:class:`SplitLosses`). The two later parts are learned only after
that, like any new events.

The head is no product of vectors, so it can score every item only for a user it knows, as they were at the
last fit. The published table is an approximation for everybody: of each item the M with the most similar
vectors (cosine). Whoever has a history is scored by its rows, which see what the user had since; the head
speaks where none is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rtrec.errors import InputError
from rtrec.models.nearline.base import Arrays
from rtrec.models.nearline.deep import DeepModel, Training
from rtrec.models.nearline.interactions import Interactions
from rtrec.models.nearline.nearest import nearest_rows
from rtrec.models.nearline.replay import Columns, n_rows
from rtrec.models.nearline.tables import NeighbourTable, VectorTable
from rtrec.models.nearline.torch_training import Weights, checked
from rtrec.types import Floats, Nums

if TYPE_CHECKING:
    from torch import Tensor

TARGETS = ("auto", "value", "event")
#: Ratings come in steps; a value with more levels than this is a price or a play time.
MOST_RATING_LEVELS = 20


@dataclass(frozen=True)
class SplitLosses:
    """Mean squared errors of a first fit, in the units of the value; NaN where a part has no event."""

    train: float
    validation: float
    test: float
    #: Which epoch they are of, from 1.
    epoch: int
    #: How many events each part has.
    n_events: tuple[int, int, int]


class EmbeddingModel(DeepModel):
    """Embeddings of users and items under a dense head, by mean squared error.

    Parameters
    ----------
    hidden
        Width of the dense layer.
    target
        ``"value"``: the value of an event (those without one are left out); ``"event"``: 1, or 0 for
        negatives; ``"auto"``: the value if every event trained on first has one and it looks like a rating,
        with at most :data:`MOST_RATING_LEVELS` different ones.
    n_negatives
        Items drawn for each event when there is no value.
    validation_share, test_share
        Of the events of a first fit, the next to newest and the newest.
    patience
        Epochs without a lower validation error after which training stops.
    most_neighbours
        M, the length of a row of the table.

    >>> import pytest; torch = pytest.importorskip("torch")
    >>> rng = np.random.default_rng(0)
    >>> user, item = rng.integers(0, 20, 2000), rng.integers(0, 10, 2000)
    >>> ratings = Interactions(user.astype(np.int32), item.astype(np.int32), np.arange(2000.0), np.ones(2000),
    ...     (1.0 + 4.0 * (user % 2 == item % 2)).astype(np.float32), 20, 10)
    >>> model = EmbeddingModel(embedding_size=8, training=Training(epochs=20))
    >>> model.fit(ratings)
    >>> model.losses.n_events, model.losses.test < 0.5  # 4 is the error of the mean
    ((1600, 200, 200), True)
    """

    _known_users: np.ndarray[Any, Any]  # (user,) whether they had an event
    _losses: Floats  # the fields of SplitLosses
    _table: NeighbourTable | None

    def __init__(
        self,
        *,
        embedding_size: int = 32,
        hidden: int = 32,
        target: str = "auto",
        n_negatives: int = 4,
        validation_share: float = 0.1,
        test_share: float = 0.1,
        patience: int = 3,
        most_neighbours: int = 50,
        training: Training | None = None,
    ) -> None:
        if min(embedding_size, hidden, n_negatives, patience, most_neighbours) < 1:
            raise ValueError(
                "embedding model: embedding_size, hidden, n_negatives, patience and most_neighbours must be "
                f"at least 1; got {embedding_size}, {hidden}, {n_negatives}, {patience}, {most_neighbours}"
            )
        if target not in TARGETS:
            raise ValueError(f"embedding model: target is one of {', '.join(TARGETS)}; got {target!r}")
        if min(validation_share, test_share) < 0.0 or not validation_share + test_share < 1.0:
            raise ValueError(
                "embedding model: validation_share and test_share must be at least 0 and leave something to "
                f"train on; got {validation_share} and {test_share}"
            )
        self.embedding_size, self.hidden = embedding_size, hidden
        self.target, self.n_negatives = target, n_negatives
        self.validation_share, self.test_share = validation_share, test_share
        self.patience, self.most_neighbours = patience, most_neighbours
        super().__init__(training or Training(batch_size=512, learning_rate=0.005))

    @property
    def losses(self) -> SplitLosses | None:
        """Return the errors of the last first fit; None before it."""
        if np.isnan(self._losses[0]):
            return None
        train, validation, test, epoch, *n_events = self._losses.tolist()
        n_train, n_validation, n_test = (int(n) for n in n_events)
        return SplitLosses(train, validation, test, int(epoch), (n_train, n_validation, n_test))

    def fit(self, history: Interactions) -> None:
        """Train, measure on the held-out parts, then learn them too."""
        self._forget()
        n_train, n_validation, n_test = split_by_time(
            history.n_events, self.validation_share, self.test_share
        )
        train = history.part(0, n_train)
        self._choose_target(train)
        self._note(train, 0)
        parts = [
            self._held(history, start, start + n)
            for start, n in ((0, n_train), (n_train, n_validation), (n_train + n_validation, n_test))
        ]
        epoch = self._train_with_patience(train, parts)
        errors = [self._error(part) for part in parts]
        self._losses = np.array([*errors, epoch, n_train, n_validation, n_test], np.float64)
        learned = self._newest_examples(train, 0)
        self.reservoir.offer(learned, self.weights.uniform(n_rows(learned)))
        self._learn(history, n_train, self.training.update_epochs)

    def table(self) -> NeighbourTable:
        """Return for each item those with the most similar vectors, by cosine."""
        if self._table is None:
            vectors = self.weights["item"].detach().cpu().numpy()
            norms = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
            unit = np.where(self._known[:, None], vectors / norms, np.float32(0.0))
            no_users = np.zeros((0, self.embedding_size), np.float32)
            self._table = nearest_rows(VectorTable(unit, unit, no_users), self.most_neighbours)
        return self._table

    def score(self, items: Nums, weights: Floats, user_num: int = -1) -> Floats:
        """Return what the rows of a user's items say; the head's y for one it knows of whom none is given.

        The head knows a user as they were at the last fit, which is worth less than what they just had.
        """
        had = items[items < self.n_items]
        is_known = 0 <= user_num < len(self._known_users) and self._known_users[user_num]
        if is_known and not self._known[had].any():
            with self.weights.torch.no_grad():
                nums = np.arange(self.n_items, dtype=np.int32)
                outputs = self._outputs(np.full(1, user_num, np.int32), nums).cpu().numpy().astype(np.float64)
            scores = self._centre + self._spread * outputs
        else:
            scores = self.table().score(items, weights)
        scores[~self._known] = np.nan
        return scores

    def to_arrays(self) -> Arrays:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        scale = np.array([self._by_value, self._centre, self._spread], np.float64)
        own = {"known_users": self._known_users.copy(), "losses": self._losses.copy(), "scale": scale}
        return super().to_arrays() | own

    def restore(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        known_users = np.array(checked(arrays, "known_users", self._known_users))
        losses = np.array(checked(arrays, "losses", self._losses))
        by_value, centre, spread = checked(arrays, "scale", np.zeros(3)).tolist()
        super().restore(arrays)
        self._known_users, self._losses = known_users, losses
        self._by_value, self._centre, self._spread = bool(by_value), centre, spread

    def _build(self, weights: Weights) -> None:
        size = self.embedding_size
        for name in ("user", "item"):
            weights.add_table(name, width=size, scale=0.05)
            weights.add(f"{name}_side", weights.normal(size, self.hidden, scale=size**-0.5))
        weights.add("hidden_bias", weights.normal(self.hidden, scale=0.1))
        weights.add("out", weights.normal(self.hidden, scale=self.hidden**-0.5))
        weights.add("out_bias", weights.torch.zeros(1))

    def _forget(self) -> None:
        self._known_users = np.zeros(0, np.bool_)
        self._losses = np.full(7, np.nan)
        self._by_value, self._centre, self._spread = False, 0.0, 1.0
        self._had = np.zeros(0, np.int64)
        super()._forget()

    def _choose_target(self, train: Interactions) -> None:
        """Choose between value and event, and the scale of values, from what is trained on alone."""
        values = train.value[np.isfinite(train.value)].astype(np.float64)
        is_rating = bool(
            len(values) == train.n_events > 0
            and len(np.unique(values[:100_000])) <= MOST_RATING_LEVELS
            and values.max() > values.min()
        )
        if self.target == "value" and train.n_events and not len(values):
            raise InputError(
                f"embedding model: target='value' needs events with a value; none of the first "
                f"{train.n_events:,} has one; try target='event'"
            )
        self._by_value = self.target == "value" or (self.target == "auto" and is_rating)
        if self._by_value and len(values):
            self._centre, self._spread = float(values.mean()), float(values.std()) or 1.0

    def _make_room(self) -> None:
        self.weights.grow("user", self.n_users)
        self.weights.grow("item", self.n_items)

    def _note(self, history: Interactions, start: int) -> None:
        super()._note(history, start)
        self._known_users = np.pad(self._known_users, (0, self.n_users - len(self._known_users)))
        self._known_users[history.user_num[start:]] = True
        self._had = np.unique(history.user_num.astype(np.int64) << 32 | history.item_num)

    def _examples(self, history: Interactions, start: int) -> Columns:
        columns = {
            "user": history.user_num[start:],
            "item": history.item_num[start:],
            "weight": history.weight[start:].astype(np.float32),
            "target": np.ones(history.n_events - start, np.float32),
        }
        if self._by_value:
            valued = np.isfinite(history.value[start:])
            columns["target"] = (history.value[start:].astype(np.float32) - self._centre) / self._spread
            columns["target"] = columns["target"].astype(np.float32)
            columns = {name: column[valued] for name, column in columns.items()}
        return columns

    def _loss(self, batch: Columns) -> Tensor:
        batch = batch if self._by_value else self._with_negatives(batch)
        return self._squared(batch)

    def _with_negatives(self, batch: Columns) -> Columns:
        """Add to each event items the user had not, as far as drawn ones are; target 0, the same weight."""
        known = self._known_items()
        user, weight = (np.repeat(batch[name], self.n_negatives) for name in ("user", "weight"))
        item = known[self.weights.places(len(known), len(user))]
        place = np.searchsorted(self._had, pairs := user.astype(np.int64) << 32 | item)
        fresh = self._had[np.minimum(place, len(self._had) - 1)] != pairs
        negatives = {"user": user, "item": item, "weight": weight, "target": np.zeros(len(user), np.float32)}
        return {name: np.concatenate([batch[name], negatives[name][fresh]]) for name in negatives}

    def _squared(self, batch: Columns) -> Tensor:
        """Return the weighted mean squared error, in units of the standard deviation."""
        outputs = self._outputs(batch["user"], batch["item"])
        target, weight = (
            self.weights.torch.from_numpy(batch[name]).to(outputs.device) for name in ("target", "weight")
        )
        return ((outputs - target).square() * weight).sum() / weight.sum()

    def _outputs(self, users: Nums, items: Nums) -> Tensor:
        """Return the head's output, ``(pair,)``; a single user is paired with each item."""
        weights = self.weights
        sides = [
            weights.rows(name, nums) @ weights[f"{name}_side"]
            for name, nums in (("user", users), ("item", items))
        ]
        layer = weights.torch.relu(sides[0] + sides[1] + weights["hidden_bias"])
        return layer @ weights["out"] + weights["out_bias"]

    def _held(self, history: Interactions, start: int, stop: int) -> Columns:
        """Return the examples of a part, with negatives drawn once, so that epochs are compared alike.

        Users and items without an event in the training part are left out: nothing is known of them yet.
        """
        examples = self._examples(history.part(0, stop), start)
        user, item = examples["user"], examples["item"]
        known = (user < self.n_users) & (item < self.n_items)
        known[known] = self._known_users[user[known]] & self._known[item[known]]
        examples = {name: column[known] for name, column in examples.items()}
        return examples if self._by_value or not n_rows(examples) else self._with_negatives(examples)

    def _train_with_patience(self, train: Interactions, parts: list[Columns]) -> int:
        """Train until the validation error has not fallen for some epochs; return the best, which stays."""
        examples = self._newest_examples(train, 0)
        most = max(-(-self.training.most_batches * self.training.batch_size // max(n_rows(examples), 1)), 1)
        best, least, kept = 0, np.inf, self.weights.to_arrays()
        for epoch in range(1, min(self.training.epochs, most) + 1):
            self._train(examples, 1)
            error = self._error(parts[1])
            if error < least or np.isnan(error):
                best, least, kept = epoch, error if not np.isnan(error) else np.inf, self.weights.to_arrays()
            elif epoch - best >= self.patience:
                break
        self.weights.restore(kept)
        return best

    def _error(self, part: Columns) -> float:
        if not n_rows(part):
            return float("nan")
        with self.weights.torch.no_grad():
            return float(self._squared(part)) * self._spread**2

    def _publish(self) -> None:
        self._table = None  # made when asked for


def split_by_time(n_events: int, validation_share: float, test_share: float) -> tuple[int, int, int]:
    """Return how many events are for training (the oldest), validation and test (the newest).

    >>> split_by_time(15, 0.1, 0.2)
    (11, 1, 3)
    """
    n_validation, n_test = int(n_events * validation_share), int(n_events * test_share)
    return n_events - n_validation - n_test, n_validation, n_test
