"""What the deep models train with: named weights under Adam, tables of rows that grow, chance from a seed.

PyTorch is imported when a model is made, not when its module is. No weight ever sees torch's global
generator, and the state is plain arrays, so training goes on from a snapshot exactly as it would have without
the break (to the bit on a CPU; a GPU adds gradients up in any order).

Adam (Kingma and Ba 2015) moves a weight with gradient g at its own step t by

    m <- 0.9 m + 0.1 g
    v <- 0.999 v + 0.001 g^2
    w <- w - a (m / (1 - 0.9^t)) / (sqrt(v / (1 - 0.999^t)) + 1e-8)

In a table only the rows of a batch move, and each counts its own steps: the cost of a batch does not depend
on how many items there are, and a row that joins late starts as every row did.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from rtrec.errors import CorruptionError, InputError, to_install
from rtrec.models.nearline.base import Arrays
from rtrec.types import Floats

if TYPE_CHECKING:
    from torch import Tensor

FIRST_DECAY, SECOND_DECAY = 0.9, 0.999
SMALLEST_ROOT = 1e-8
_PARTS = ("value", "first", "second", "steps")
_DENSE = "dense"


def import_torch() -> Any:
    """Return the module ``torch``.

    Raises
    ------
    InputError
        If it is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise InputError(f"deep models need PyTorch, which is not installed; {to_install('deep')}") from error
    return torch


def _usable(device: str) -> Any:
    """Return a device by its name, once a number has been there and back."""
    torch = import_torch()
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device {device!r} cannot be used here; expected auto, cpu, or cuda where torch sees a GPU"
        ) from error
    return torch.device(device)


def checked(
    arrays: Mapping[str, np.ndarray[Any, Any]], name: str, like: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """Return the array ``name``, whose type and axes after the first must be those of ``like``.

    Raises
    ------
    CorruptionError
        If it is missing or something else.
    """
    expected = f"{like.dtype} (.., {', '.join(map(str, like.shape[1:]))})"
    if name not in arrays:
        raise CorruptionError(f"state of a model: no array {name!r}; expected {expected}")
    array = arrays[name]
    if array.dtype != like.dtype or array.ndim != like.ndim or array.shape[1:] != like.shape[1:]:
        raise CorruptionError(
            f"state of a model: array {name!r}: expected {expected}, got {array.dtype} {array.shape}; "
            "was it made with other options?"
        )
    return array


class Weights:
    """Named weights, the moments Adam keeps of each, and the generator all chance comes from.

    Two forms: *dense* weights move with every batch; *tables* have a row for each user or item, are looked up
    with :meth:`rows`, and move where they were looked up.

    Parameters
    ----------
    device
        ``"auto"`` is the GPU where torch sees one, else the CPU. The generator stays on the CPU, so that a
        state taken on one device goes on on another.

    >>> import pytest; torch = pytest.importorskip("torch")
    >>> weights = Weights(learning_rate=0.5, seed=0)
    >>> weights.add_table("item", width=2, scale=0.0)
    >>> weights.grow("item", 3)
    >>> weights.step(weights.rows("item", np.array([1, 1])).sum())
    >>> (weights["item"] + 0.0).round(decimals=4).tolist()
    [[0.0, 0.0], [-0.5, -0.5], [0.0, 0.0]]
    """

    def __init__(self, *, learning_rate: float, seed: int, device: str = "auto") -> None:
        self.torch = import_torch()
        if device == "auto":
            device = "cuda" if self.torch.cuda.is_available() else "cpu"
        self.device = _usable(device)
        self.learning_rate = learning_rate
        self._generator = self.torch.Generator().manual_seed(seed)
        # One vector holds all dense weights, each of which is a view of it: one step instead of dozens.
        self._state: dict[str, dict[str, Tensor]] = {_DENSE: self._new(self.torch.zeros(0))}
        self._shape: dict[str, tuple[int, ...]] = {}
        self._dense: dict[str, Tensor] = {}
        self._scale: dict[str, float] = {}
        self._looked_up: list[tuple[str, Tensor, Tensor]] = []

    def add(self, name: str, start: Tensor) -> None:
        """Add a dense weight that starts at these values."""
        self._shape[name] = tuple(start.shape)
        new, old = self._new(start.flatten()), self._state[_DENSE]
        self._state[_DENSE] = {part: self.torch.cat([old[part], new[part]]) for part in _PARTS[:3]}
        self._state[_DENSE]["steps"] = old["steps"]
        self._show_dense()

    def add_table(self, name: str, *, width: int, scale: float) -> None:
        """Add a table without rows; new rows start at normal draws of this scale."""
        self._scale[name] = scale
        self._state[name] = self._new(self.normal(0, width, scale=scale), n_counters=0)

    def grow(self, name: str, n_rows: int) -> None:
        """Give a table ``n_rows`` rows, if it has fewer; what its rows and their moments hold stays."""
        old = self._state[name]
        n_new = n_rows - len(old["value"])
        if n_new > 0:
            drawn = self.normal(n_new, old["value"].shape[1], scale=self._scale[name])
            new = self._new(drawn, n_counters=n_new)
            self._state[name] = {part: self.torch.cat([old[part], new[part]]) for part in _PARTS}

    def __getitem__(self, name: str) -> Tensor:
        return self._dense[name] if name in self._dense else self._state[name]["value"]

    def rows(self, name: str, nums: np.ndarray[Any, Any]) -> Tensor:
        """Look up rows of a table, ``(*nums.shape, width)``; in training they will move."""
        value = self[name]
        places = self.torch.from_numpy(np.ascontiguousarray(nums, np.int64)).to(self.device)
        found = value[places.reshape(-1)]
        if self.torch.is_grad_enabled():
            found.requires_grad_()
            self._looked_up.append((name, places.reshape(-1), found))
        return found.reshape(*nums.shape, value.shape[1])

    def step(self, loss: Tensor) -> None:
        """Move all weights that ``loss`` came from, down its gradient."""
        loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
        with self.torch.no_grad():
            dense = list(self._dense.values())
            if any(each.grad is not None for each in dense):
                found = [self.torch.zeros_like(each) if each.grad is None else each.grad for each in dense]
                self._move(_DENSE, slice(None), self.torch.cat([each.flatten() for each in found]))
                for each in dense:
                    each.grad = None
            for name in self._scale:
                parts = [each for each in self._looked_up if each[0] == name and each[2].grad is not None]
                if parts:
                    places = self.torch.cat([each[1] for each in parts])
                    gradients = self.torch.cat([each[2].grad for each in parts])
                    rows, row_of = self.torch.unique(places, return_inverse=True)
                    summed = self.torch.zeros(len(rows), gradients.shape[1], device=self.device)
                    self._move(name, rows, summed.index_add_(0, row_of, gradients))
        self._looked_up = []

    def uniform(self, *shape: int) -> Floats:
        """Draw numbers from 0 to below 1."""
        drawn = self.torch.rand(shape, generator=self._generator, dtype=self.torch.float64)
        return np.asarray(drawn.numpy())

    def places(self, n: int, *shape: int) -> np.ndarray[Any, Any]:
        """Draw int64 numbers from 0 to ``n - 1``, all alike."""
        return np.asarray(self.torch.randint(n, shape, generator=self._generator).numpy())

    def batches(self, n_examples: int, *, size: int, epochs: int) -> Iterator[np.ndarray[Any, Any]]:
        """Cut each epoch's own shuffle of the examples into batches of places."""
        for _ in range(epochs):
            order = self.torch.randperm(n_examples, generator=self._generator).numpy()
            for start in range(0, n_examples, size):
                yield order[start : start + size]

    def normal(self, *shape: int, scale: float) -> Tensor:
        """Draw normal numbers of mean 0 and this standard deviation."""
        return scale * self.torch.randn(shape, generator=self._generator).to(self.device)

    def dropped(self, values: Tensor, share: float) -> Tensor:
        """Set a random share to zero and scale up the rest (dropout, Srivastava et al. 2014)."""
        if share <= 0.0:
            return values
        kept = self.torch.rand(values.shape, generator=self._generator) >= share
        return values * kept.to(self.device) / (1.0 - share)

    def to_arrays(self) -> Arrays:
        """Return weights, moments, counts of steps and the generator, as copies."""
        arrays = {
            f"weights/{name}/{part}": state[part].detach().cpu().numpy().copy()
            for name, state in self._state.items()
            for part in _PARTS
        }
        return arrays | {"generator": self._generator.get_state().numpy().copy()}

    def restore(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Take what :meth:`to_arrays` of weights with the same names returned.

        Raises
        ------
        CorruptionError
            If an array is missing or has another shape or type.
        """
        restored: dict[str, dict[str, Tensor]] = {}
        for name, state in self._state.items():
            found = {
                part: checked(arrays, f"weights/{name}/{part}", state[part].detach().cpu().numpy())
                for part in _PARTS
            }
            n_rows = len(found["value"]) if name in self._scale else len(state["value"])
            for part, array in found.items():
                n_expected = 1 if part == "steps" and name not in self._scale else n_rows
                if len(array) != n_expected:
                    raise CorruptionError(
                        f"state of a model: array 'weights/{name}/{part}': "
                        f"expected {n_expected} rows, got {len(array)}"
                    )
            restored[name] = {part: self._tensor(array) for part, array in found.items()}
        stored = checked(arrays, "generator", self._generator.get_state().numpy())
        try:
            self._generator.set_state(self.torch.from_numpy(np.array(stored)))
        except RuntimeError as error:
            raise CorruptionError(f"state of a model: array 'generator': {error}") from error
        self._state = restored
        self._show_dense()

    def _show_dense(self) -> None:
        """Show each dense weight as a view of the vector they are kept in."""
        sizes = [math.prod(shape) for shape in self._shape.values()]
        parts = self._state[_DENSE]["value"].split(sizes)
        self._dense = {
            name: part.detach().view(shape).requires_grad_()
            for (name, shape), part in zip(self._shape.items(), parts, strict=True)
        }

    def _tensor(self, array: np.ndarray[Any, Any]) -> Tensor:
        return self.torch.from_numpy(np.array(array)).to(self.device)

    def _new(self, value: Tensor, n_counters: int = 1) -> dict[str, Tensor]:
        """Return a weight that has not taken a step."""
        value = value.to(self.device)
        return {
            "value": value,
            "first": self.torch.zeros_like(value),
            "second": self.torch.zeros_like(value),
            "steps": self.torch.zeros(n_counters, dtype=self.torch.int64, device=self.device),
        }

    def _move(self, name: str, at: Any, gradient: Tensor) -> None:
        state = self._state[name]
        steps = state["steps"][at] + 1
        first = FIRST_DECAY * state["first"][at] + (1.0 - FIRST_DECAY) * gradient
        second = SECOND_DECAY * state["second"][at] + (1.0 - SECOND_DECAY) * gradient * gradient
        state["steps"][at], state["first"][at], state["second"][at] = steps, first, second
        count = steps.reshape(-1, *[1] * (gradient.ndim - 1)).to(gradient.dtype)
        root = (second / (1.0 - SECOND_DECAY**count)).sqrt() + SMALLEST_ROOT
        state["value"][at] -= self.learning_rate * first / (1.0 - FIRST_DECAY**count) / root
