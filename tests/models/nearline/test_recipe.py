"""Fitted models by name and in a line of options."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rtrec.errors import InputError
from rtrec.models.nearline.base import NearlineModel
from rtrec.models.nearline.deep import Training
from rtrec.models.nearline.recipe import NEARLINE, Recipe, make_nearline
from rtrec.models.registry import MODELS


@pytest.mark.parametrize("name", NEARLINE)
def test_every_fitted_model_can_be_made_by_the_name_it_is_tested_under(name: str) -> None:
    assert name in MODELS
    assert isinstance(make_nearline(name), NearlineModel)


def test_options_of_a_line_reach_the_model() -> None:
    recipe = Recipe.parse(" ease : ridge = 2.5, binary=false,neighbours=7")
    assert recipe == Recipe("ease", {"ridge": 2.5, "binary": False, "neighbours": 7})
    model = recipe.make()
    assert (model.ridge, model.binary, model.neighbours) == (2.5, False, 7)
    assert Recipe.parse("item-knn:weighting=tfidf") == Recipe("item-knn", {"weighting": "tfidf"})
    assert make_nearline("ials", unobserved_weight=0.1).unobserved_weight == 0.1


def test_numbers_of_a_line_become_what_the_option_is() -> None:
    model = Recipe.parse("ials:n_factors=1e1,sweeps=3.0,regularization=1,unobserved_weight=null").make()
    assert (model.n_factors, model.sweeps, model.unobserved_weight) == (10, 3, None)
    assert isinstance(model.n_factors, int)
    assert isinstance(model.sweeps, int)


def test_how_a_deep_model_trains_is_an_option_of_its_own() -> None:
    model = make_nearline("two-tower", embedding_size=8, epochs=2, seed=5)
    assert (model.embedding_size, model.training.epochs, model.training.seed) == (8, 2, 5)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("eas", "no fitted model 'eas'; did you mean 'ease'"),
        ("default", "no fitted model 'default'; there are item-knn"),
        ("ease:ridge", "expected option=value after ':'; got 'ridge'"),
        ("ease:epochs=3", "ease: no option 'epochs'; there are ridge, neighbours"),
        ("ease:ridge=many", "ease: ridge: expected a number; got 'many'"),
        ("ease:ridge=", "ease: ridge: expected a number; got ''"),
        ("ease:ridge=NaN", "ease: ridge: expected a number; got nan"),
        ("ease:ridge=Infinity", r"ease: ridge: expected a number below 9.2e\+18; got inf"),
        ("ease:ridge=true", "ease: ridge: expected a number; got True"),
        ("ease:ridge=null", "ease: ridge: expected a number; got None"),
        ("ease:ridge=3,ridge=4", "'ridge' is there a second time; keep one"),
        ("ease:neighbours=1.5", "ease: neighbours: expected a whole number; got 1.5"),
        (f"ease:neighbours={10**400}", r"expected a whole number below 9.2e\+18; got 1000"),
        ("ease:binary=yes", "ease: binary: expected true or false; got 'yes'"),
        ("item-knn:weighting=3", "item-knn: weighting: expected a text; got 3"),
        ("ials:seed=-1", "ials: seed: expected a whole number from 0 on; got -1"),
        ("ials:regularization_power=1000", "regularization_power from 0 to 10"),
        ("two-tower:learning_rate=NaN", "two-tower: learning_rate: expected a number; got nan"),
        ("two-tower:device=toaster", "two-tower: device 'toaster' cannot be used"),
        ("sequence:embedding_size=1e12", "sequence: "),
        ("ials:scheduler=threads", "ials: no option 'scheduler'"),
        ("sequence:epoch=3", "no option 'epoch'; did you mean 'epochs'"),
        ("sequence:epochs=0", "epochs must be at least 1"),
    ],
)
def test_what_cannot_be_made_is_refused_by_name(line: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Recipe.parse(line).make()


def test_a_digest_tells_recipes_apart_and_not_the_order_of_their_options() -> None:
    one, other = Recipe("ease", {"ridge": 3, "neighbours": 5}), Recipe("ease", {"neighbours": 5, "ridge": 3})
    assert one.digest((1.0,)) == other.digest((1.0,))
    assert len({one.digest(), one.digest((1.0,)), Recipe("slim").digest(), Recipe("ease").digest()}) == 4


def test_one_option_of_the_training_leaves_the_others_as_the_model_has_them() -> None:
    plain, seeded = make_nearline("sequence"), make_nearline("sequence", seed=1)
    assert seeded.training == replace(plain.training, seed=1)
    assert seeded.training.epochs != Training().epochs  # or this would show nothing
