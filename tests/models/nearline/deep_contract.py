"""What the deep models promise beyond the contract of every fitted one."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from tests.models.nearline.contract import ITEMS, WEIGHTS, NearlineContract, history


@pytest.fixture(autouse=True)
def one_thread():
    """Let torch use one thread, so that tests beside each other do not fight for the cores."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class DeepContract(NearlineContract):
    #: The state of one fit by test class, since a fit is what takes time here.
    states: ClassVar[dict[type, dict]] = {}

    @pytest.fixture
    def fitted(self):
        model = self.make()
        if type(self) not in self.states:
            model.fit(history())
            self.states[type(self)] = model.to_arrays()
        else:
            model.restore(self.states[type(self)])
        return model

    def test_training_resumes_to_the_bit(self):
        whole, model, other = history(), self.make(), self.make()
        model.fit(whole.part(0, 600))
        other.restore(model.to_arrays())
        for start in (600, 900):
            for each in (model, other):
                each.update(whole.part(0, start + 300), start)
        arrays, others = model.to_arrays(), other.to_arrays()
        assert arrays.keys() == others.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, others[name], err_msg=name)

    def test_state_has_moments_steps_and_generator(self, fitted):
        arrays = fitted.to_arrays()
        assert arrays["generator"].dtype == np.uint8
        assert arrays["weights/item/first"].shape == arrays["weights/item/value"].shape
        assert arrays["weights/item/second"].any()
        assert arrays["weights/item/steps"].min() > 0  # each item has its own, and each was in a batch

    def test_an_update_leaves_torchs_own_generator_alone(self):
        torch = pytest.importorskip("torch")
        before = torch.get_rng_state()
        model = self.make()
        model.fit(history(100))
        model.update(history(200), 100)
        assert torch.equal(torch.get_rng_state(), before)

    def test_item_without_an_event_gets_no_opinion(self):
        model, given = self.make(), history(300, n_items=20)
        model.fit(given._replace(n_items=25))
        scores = model.score(ITEMS, WEIGHTS)
        assert np.isnan(scores[20:]).all()
        assert np.isfinite(scores[np.unique(given.item_num)]).all()

    def test_state_of_other_options_is_refused(self, fitted):
        from rtrec.errors import CorruptionError

        arrays = fitted.to_arrays()
        arrays["weights/item/value"] = arrays["weights/item/value"][:, :-1]
        with pytest.raises(CorruptionError, match=r"weights/item/value.*other options"):
            self.make().restore(arrays)

    def test_a_new_taste_is_learned_by_an_update(self):
        """Users of the second half, unseen at the fit, are served after an update alone."""
        whole, model = history(1800), self.make()
        first = whole.user_num % 2 == 0
        order = np.concatenate([np.flatnonzero(first), np.flatnonzero(~first)])
        sorted_by_group = type(whole)(*(each[order] for each in whole[:5]), whole.n_users, whole.n_items)
        model.fit(sorted_by_group.part(0, int(first.sum())))
        model.update(sorted_by_group, int(first.sum()))
        items = np.arange(15, 20, dtype=np.int32)
        scores = model.score(items, np.ones(5))
        scores[items] = -np.inf
        best = np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")[:10]
        assert np.mean(best >= 15) >= self.own_taste


__all__ = ["DeepContract", "one_thread"]
