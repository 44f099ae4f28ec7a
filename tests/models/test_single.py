"""The kernel's models one by one, under the contract of every model."""

from __future__ import annotations

from rtrec.models.base import Model
from rtrec.models.nearline.item_knn import ItemKNN
from rtrec.models.registry import make_model
from rtrec.models.single import BuiltIn
from rtrec.settings import Settings
from tests.models.contract import ModelContract


class BuiltInContract(ModelContract):
    name: str

    def make_model(self) -> Model:
        return make_model(self.name, Settings())


class TestDefault(BuiltInContract):
    name = "default"


class TestPopularity(BuiltInContract):
    name = "popularity"


class TestPopularityOfAllTime(BuiltInContract):
    name = "popularity-all-time"


class TestCooccurrence(BuiltInContract):
    name = "cooccurrence"


class TestTransitions(BuiltInContract):
    name = "transitions"


class TestTrails(BuiltInContract):
    name = "trails"


class TestDefaultWithAFittedModelBeside(ModelContract):
    def make_model(self) -> Model:
        return BuiltIn("default", Settings(), nearline={"history": ItemKNN(neighbours=5)}, refit_every=700)
