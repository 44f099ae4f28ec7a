"""Every model of the registry is under the contract of every model."""

from __future__ import annotations

import pytest

from rtrec.models.registry import MODELS, make_model
from rtrec.settings import Settings
from tests.models import test_single
from tests.models.contract import ModelContract
from tests.models.nearline import (
    test_ease,
    test_embedding,
    test_ials,
    test_item_knn,
    test_neighbourhood,
    test_sequence,
    test_slim,
    test_two_tower,
)
from tests.models.streaming import test_bpr, test_isgd

CONTRACTS: dict[str, type[ModelContract]] = {
    "default": test_single.TestDefault,
    "popularity": test_single.TestPopularity,
    "popularity-all-time": test_single.TestPopularityOfAllTime,
    "cooccurrence": test_single.TestCooccurrence,
    "transitions": test_single.TestTransitions,
    "trails": test_single.TestTrails,
    "isgd": test_isgd.TestISGDContract,
    "bpr": test_bpr.TestBPRContract,
    "item-knn": test_item_knn.TestItemKNN,
    "neighbourhood": test_neighbourhood.TestNeighbourhood,
    "ease": test_ease.TestEASE,
    "slim": test_slim.TestSLIM,
    "ials": test_ials.TestIALS,
    "embedding": test_embedding.TestEmbedding,
    "two-tower": test_two_tower.TestTwoTower,
    "sequence": test_sequence.TestSequence,
}


def kind_of(model: object) -> tuple[object, ...]:
    """Return what tells one model of the zoo from another: classes, and the name of one of the kernel's."""
    return type(model), type(getattr(model, "model", None)), getattr(model, "name", None)


def test_every_model_of_the_zoo_has_its_contract():
    assert list(CONTRACTS) == list(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_the_contract_is_that_of_the_model(name):
    assert kind_of(CONTRACTS[name]().make_model()) == kind_of(make_model(name, Settings()))
