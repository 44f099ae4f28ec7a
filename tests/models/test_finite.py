"""What is written down is made of numbers, but for the places where none says that nothing is known."""

from __future__ import annotations

import numpy as np
import pytest

from rtrec.errors import NotFinite
from rtrec.models.blend import Blend
from rtrec.models.finite import check_finite, of_a_state
from rtrec.settings import Settings


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_named(bad: float) -> None:
    check_finite("model", {"a": np.zeros(3), "b": np.arange(3)})
    array = np.array([[0.0, 1.0], [bad, 2.0]], np.float32)
    message = rf"model: 1 of 4 numbers in 'b' are not finite; the first is {bad} at \[1, 0\]"
    with pytest.raises(NotFinite, match=message):
        check_finite("model", {"a": np.zeros(3), "b": array})


def test_of_a_state_all_that_answers_are_made_from_is_looked_at() -> None:
    blend = Blend(Settings())
    blend.make_room(3, 4)
    arrays = {
        name if name.startswith("items/") else f"shard0/{name}": each
        for name, each in blend.to_arrays().items()
    }
    arrays["vocabulary/items/heat"] = np.array([-np.inf])  # of items known before the first event
    check_finite("empty", of_a_state(arrays))
    for name in ("items/total", "items/heat", "shard0/ranker/weight", "shard0/users/pace"):
        spoilt = np.array(arrays[name])
        spoilt.flat[0] = np.nan
        with pytest.raises(NotFinite, match=name):
            check_finite("spoilt", of_a_state(arrays | {name: spoilt}))
