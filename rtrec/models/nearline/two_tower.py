r"""Two towers, one for users and one for items, that meet in a product of vectors.

An item i with features f_i has the vector v_i = e_i + A relu(B f_i), a user with past items j (weighted by
recency w_j) and features g the vector u = \sum w_j h_j / \sum w_j + C g, and a score is u . v_i + b_i. The
user tower is linear on purpose: the published table then gives a user without features exactly the model's
score.

It learns which item came, among the other items of the batch and some drawn uniformly (mixed negative
sampling: Yang et al. 2020), by softmax with the logQ correction (Yi et al. 2019): an item expected to stand
Q_i times among the candidates counts e^{u . v_i + b_i - log Q_i}, so that popular items are not punished for
being sampled often. Candidates that are the item in question again are left out.

Items with features lose their e_i in a share of the training (DropoutNet: Volkovs, Yu, Poutanen 2017), so the
features alone learn to speak; an item without an event is then found by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rtrec.models.nearline.base import Arrays
from rtrec.models.nearline.deep import DeepModel, Training
from rtrec.models.nearline.histories import Histories
from rtrec.models.nearline.interactions import Interactions
from rtrec.models.nearline.replay import Columns
from rtrec.models.nearline.tables import VectorTable
from rtrec.models.nearline.torch_training import Weights, checked, import_torch
from rtrec.types import Floats, Nums, Singles

if TYPE_CHECKING:
    from torch import Tensor

#: Of the items with features, how many are taught without their own vector.
NAMELESS_SHARE = 0.1
_TINY = 1e-9


class TwoTowerModel(DeepModel):
    """Two towers under sampled softmax with logQ correction.

    Parameters
    ----------
    most_history, half_life
        How many of a user's last items make their vector in training, and after how many (in events) one
        counts half; scoring takes the weights it is given.
    n_negatives
        Candidates drawn uniformly, beside the items of the batch.
    item_features, user_features
        ``(item, feature)`` and ``(user, feature)``, finite; those past the last row have none (zeros). See
        :meth:`describe` for more of them later.

    >>> import pytest; torch = pytest.importorskip("torch")
    >>> user, rng = np.arange(800) % 40, np.random.default_rng(0)
    >>> item = rng.integers(0, 10, 800) + 10 * (user % 2)
    >>> groups = Interactions(user.astype(np.int32), item.astype(np.int32),
    ...     np.arange(800.0), np.ones(800), np.full(800, np.nan, np.float32), 40, 20)
    >>> model = TwoTowerModel(embedding_size=8, training=Training(batch_size=32, learning_rate=0.01))
    >>> model.fit(groups)
    >>> best = np.argsort(-model.score(np.array([12, 17], np.int32), np.ones(2)))[:10]
    >>> sorted(best.tolist()) == list(range(10, 20))
    True
    """

    def __init__(
        self,
        *,
        embedding_size: int = 64,
        most_history: int = 30,
        half_life: float = 5.0,
        n_negatives: int = 512,
        item_features: npt.NDArray[np.floating] | None = None,
        user_features: npt.NDArray[np.floating] | None = None,
        training: Training | None = None,
    ) -> None:
        if min(embedding_size, most_history) < 1 or n_negatives < 0 or not half_life > 0.0:
            raise ValueError(
                "two-tower model: embedding_size and most_history must be at least 1, n_negatives at least 0 "
                f"and half_life positive; got {embedding_size}, {most_history}, {n_negatives}, {half_life}"
            )
        self.embedding_size = embedding_size
        self.most_history = most_history
        self.n_negatives = n_negatives
        self._recency = (0.5 ** (np.arange(most_history) / half_life)).astype(np.float32)
        self._features = {"item": _features("item", item_features), "user": _features("user", user_features)}
        super().__init__(
            training
            or Training(epochs=20, update_epochs=10, batch_size=256, most_batches=1200, learning_rate=0.005)
        )

    def describe(
        self,
        *,
        item_features: npt.NDArray[np.floating] | None = None,
        user_features: npt.NDArray[np.floating] | None = None,
    ) -> None:
        """Take new feature tables, as wide as the first ones, and publish anew."""
        for name, given in (("item", item_features), ("user", user_features)):
            if given is not None:
                features = _features(name, given)
                width = self._features[name].shape[1]
                if features.shape[1] != width:
                    raise ValueError(
                        f"{name}_features: expected {width} columns, as in the first table; "
                        f"got {features.shape[1]}; make a new model for other features"
                    )
                self._features[name] = features
        self._publish()

    def table(self) -> VectorTable:
        """Return the item vectors with their bias as a last column, met by a 1 in what an item gives."""
        return self._table

    def score(self, items: Nums, weights: Floats, user_num: int = -1) -> Floats:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`; a user's features count, learned or not."""
        user = self._table.user_vector(items, weights)
        user[-1:] = 1.0  # no history: by bias, which is popularity
        features = self._features["user"]
        if features.shape[1] and 0 <= user_num < len(features):
            user[:-1] += features[user_num].astype(np.float64) @ self._user_side
        scores: Floats = self._table.found.astype(np.float64) @ user
        scores[~self._spoken_for] = np.nan
        return scores

    def score_many(self, histories: Histories) -> Floats:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        users = self._table.user_vectors(histories)
        users[:, -1:] = 1.0
        features = self._features["user"]
        if features.shape[1]:
            told = (histories.user_num >= 0) & (histories.user_num < len(features))
            own = features[histories.user_num[told]].astype(np.float64)
            users[told, :-1] += own @ self._user_side
        scores: Floats = users @ self._table.found.T.astype(np.float64)
        scores[:, ~self._spoken_for] = np.nan
        return scores

    def to_arrays(self) -> Arrays:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        features = {f"features/{name}": table.copy() for name, table in self._features.items()}
        return super().to_arrays() | features

    def restore(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """See :class:`~rtrec.models.nearline.base.NearlineModel`."""
        features = {
            name: np.array(checked(arrays, f"features/{name}", table))
            for name, table in self._features.items()
        }
        before, self._features = self._features, features
        try:
            super().restore(arrays)
        except BaseException:
            self._features = before
            raise

    def _build(self, weights: Weights) -> None:
        size = self.embedding_size
        weights.add_table("item", width=size, scale=0.1 * size**-0.5)
        weights.add_table("bias", width=1, scale=0.0)
        weights.add_table("history", width=size, scale=size**-0.5)
        n_item, n_user = (self._features[name].shape[1] for name in ("item", "user"))
        if n_item:
            weights.add("wide", weights.normal(n_item, 2 * size, scale=n_item**-0.5))
            weights.add("narrow", weights.normal(2 * size, size, scale=0.1 * size**-0.5))
        if n_user:
            weights.add("user", weights.normal(n_user, size, scale=0.1 * n_user**-0.5))

    def _make_room(self) -> None:
        for name in ("item", "bias", "history"):
            self.weights.grow(name, self.n_items)

    def _examples(self, history: Interactions, start: int) -> Columns:
        """Return each event with its user's items before it, newest first, -1 where there are none."""
        order = np.argsort(history.user_num, kind="stable")
        user, item = history.user_num[order], history.item_num[order]
        taken = np.flatnonzero(order >= start)
        taken = taken[np.argsort(order[taken], kind="stable")][-self.training.most_examples :]
        past = np.full((len(taken), self.most_history), -1, np.int32)
        for age in range(self.most_history):
            source = np.maximum(taken - age - 1, 0)
            same = (taken > age) & (user[source] == user[taken])
            past[same, age] = item[source[same]]
        event = order[taken]
        return {
            "user": history.user_num[event],
            "item": history.item_num[event],
            "weight": history.weight[event].astype(np.float32),
            "past": past,
        }

    def _train(self, examples: Columns, epochs: int) -> None:
        counts = np.bincount(examples["item"], minlength=self.n_items)
        self._share = counts / max(counts.sum(), 1)  # exactly an item's chance to fill a place of a batch
        super()._train(examples, epochs)

    def _loss(self, batch: Columns) -> Tensor:
        torch = self.weights.torch
        known = self._known_items()
        item = batch["item"]
        candidate = np.concatenate([item, known[self.weights.places(len(known), self.n_negatives)]])
        expected = (len(item) - 1) * self._share[candidate] + self.n_negatives / len(known)
        vectors, bias = self._item_tower(candidate)
        users = self._user_tower(batch["user"], batch["past"])
        scores = users @ vectors.T + bias
        losses = corrected_softmax(
            scores,
            torch.from_numpy(np.log(expected + _TINY).astype(np.float32)).to(scores.device),
            item,
            candidate,
        )
        counts = torch.from_numpy(batch["weight"]).to(losses.device)
        return (losses * counts).sum() / counts.sum()

    def _item_tower(self, nums: Nums) -> tuple[Tensor, Tensor]:
        """Return the vectors, ``(*nums, d)``, and biases, ``(*nums,)``, of items."""
        torch = self.weights.torch
        vectors, bias = self.weights.rows("item", nums), self.weights.rows("bias", nums)[..., 0]
        features = self._features["item"]
        if features.shape[1]:
            given = features[np.minimum(nums, len(features) - 1)] if len(features) else features[nums[:0]]
            told = (nums < len(features)) & given.any(axis=1) if len(features) else np.zeros(len(nums), bool)
            if torch.is_grad_enabled():
                nameless = told & (self.weights.uniform(len(nums)) < NAMELESS_SHARE)
                vectors = vectors * torch.from_numpy(~nameless[:, None]).to(vectors.device)
            if len(features):
                inputs = torch.from_numpy(given * told[:, None]).to(vectors.device)
                wide = torch.relu(inputs @ self.weights["wide"])
                vectors = vectors + wide @ self.weights["narrow"]
        return vectors, bias

    def _user_tower(self, users: Nums, past: Nums) -> Tensor:
        """Return the vectors of users, ``(user, d)``, from their past items, newest first."""
        torch = self.weights.torch
        recency = np.where(past >= 0, self._recency, np.float32(0.0))
        recency /= np.maximum(recency.sum(axis=1, keepdims=True), np.float32(1e-9))
        had = self.weights.rows("history", np.maximum(past, 0))
        vectors = (had * torch.from_numpy(recency[..., None]).to(had.device)).sum(dim=1)
        features = self._features["user"]
        if features.shape[1]:
            given = np.zeros((len(users), features.shape[1]), np.float32)
            told = users < len(features)
            given[told] = features[users[told]]
            vectors = vectors + torch.from_numpy(given).to(had.device) @ self.weights["user"]
        return vectors

    def _publish(self) -> None:
        nums = np.arange(self.n_items, dtype=np.int32)
        self._spoken_for = self._known.copy()
        n_told = min(len(self._features["item"]), self.n_items)
        self._spoken_for[:n_told] |= self._features["item"][:n_told].any(axis=1)
        with self.weights.torch.no_grad():
            vectors, bias = (each.cpu().numpy().copy() for each in self._item_tower(nums))
            vectors -= np.where(self._known, np.float32(0.0), np.float32(1.0))[:, None] * (
                self.weights["item"].cpu().numpy()
            )
            if self._known.any():  # a cold item is as popular as the middle one, which is hardly
                bias[~self._known] = np.median(bias[self._known])
            given = self.weights["history"].cpu().numpy().copy()
            given[~self._known] = 0.0
            user = self._features["user"].shape[1]
            self._user_side = self.weights["user"].detach().cpu().numpy().copy() if user else np.zeros((0, 0))
        ones = np.ones((self.n_items, 1), np.float32)
        self._table = VectorTable(
            np.hstack([vectors, bias[:, None]]),
            np.hstack([given, ones]),
            np.zeros((0, self.embedding_size + 1), np.float32),
        )


def corrected_softmax(scores: Tensor, log_expected: Tensor, item: Nums, candidate: Nums) -> Tensor:
    """Return the loss of each row, ``(row,)``; candidate r is the item that came in row r.

    ``scores`` is ``(row, candidate)``; ``log_expected``, ``(candidate,)``, the logarithm of how often each is
    expected among the others' candidates.
    """
    torch = import_torch()
    same = torch.from_numpy(item[:, None] == candidate).to(scores.device)
    others = (scores - log_expected).masked_fill(same, -torch.inf)
    own = scores.diagonal()
    return torch.cat([own[:, None], others], dim=1).logsumexp(dim=1) - own


def _features(name: str, given: npt.NDArray[np.floating] | None) -> Singles:
    features = np.zeros((0, 0), np.float32) if given is None else np.array(given, np.float32)
    if features.ndim != 2 or not np.isfinite(features).all():
        raise ValueError(
            f"{name}_features: expected finite numbers of shape ({name}, feature); got {features.shape}; "
            "put 0 where nothing is known"
        )
    return features
