"""Fitted models by name, and how one is asked for in a line: ``ease:ridge=300,neighbours=100``."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from importlib import import_module
from typing import Any

from rtrec.errors import InputError, nearest
from rtrec.files import new_hash
from rtrec.models.nearline.base import NearlineModel

#: By name: the module of this package and the class in it.
NEARLINE: dict[str, str] = {
    "item-knn": "item_knn:ItemKNN",
    "neighbourhood": "neighbourhood:Neighbourhood",
    "ease": "ease:EASE",
    "slim": "slim:SLIM",
    "ials": "ials:IALS",
    "embedding": "embedding:EmbeddingModel",
    "two-tower": "two_tower:TwoTowerModel",
    "sequence": "sequence:SequenceModel",
}
#: Options that are more than one value, so that a line cannot give them. How a deep model trains can be:
#: its numbers are options by their own names.
_TRAINING = "training"
_MAY_BE_NONE = ("float | None", "int | None", "str | None")


@dataclass(frozen=True)
class Recipe:
    """A model and its options, as plain values.

    Examples
    --------
    >>> Recipe.parse("ease:ridge=300,binary=false")
    Recipe(model='ease', options={'ridge': 300, 'binary': False})
    """

    model: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Recipe:
        """Read ``MODEL`` or ``MODEL:OPTION=VALUE,OPTION=VALUE``; values are read as JSON, else as texts.

        Raises
        ------
        InputError
            If it is nothing of the kind; :meth:`make` says whether there is such a model.
        """
        name, _, rest = text.strip().partition(":")
        options: dict[str, Any] = {}
        for part in filter(None, (each.strip() for each in rest.split(","))):
            option, equals, value = part.partition("=")
            if not equals:
                raise InputError(f"model {text!r}: expected option=value after ':'; got {part!r}")
            options[option.strip()] = _value(value.strip())
        return cls(name.strip(), options)

    def make(self) -> NearlineModel:
        """Return a new model: see :func:`make_nearline`."""
        return make_nearline(self.model, **self.options)

    def digest(self, *more: Any) -> str:
        """Return eight digits that tell this recipe, together with ``more`` plain values, from any other."""
        digest = new_hash()
        digest.update(json.dumps([self.model, dict(self.options), more], sort_keys=True).encode())
        return digest.hexdigest()[:8]


def make_nearline(name: str, **options: Any) -> NearlineModel:
    """Return a new model that is fitted on a history.

    Raises
    ------
    InputError
        If there is no such model or option (the nearest is named), a value is refused, or a package is
        missing.
    """
    if name not in NEARLINE:
        raise InputError(
            f"no fitted model {name!r}{nearest(name, NEARLINE)}; there are {', '.join(NEARLINE)}"
        )
    module, made = NEARLINE[name].split(":")
    model: type[NearlineModel] = getattr(import_module(f"rtrec.models.nearline.{module}"), made)
    known, training = _options_of(model)
    for option in options:
        if option not in known and option not in training:
            there = ", ".join([*known, *training])
            raise InputError(
                f"{name}: no option {option!r}{nearest(option, [*known, *training])}; there are {there}"
            )
    chosen = {option: value for option, value in options.items() if option in known}
    trained = {option: value for option, value in options.items() if option in training}
    try:
        if trained:
            # What is not said stays as this model has it, not as training is in general.
            own: Any = model(**chosen)
            chosen[_TRAINING] = replace(own.training, **trained)
        return model(**chosen)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: {error}") from error


def _options_of(model: type[NearlineModel]) -> tuple[list[str], list[str]]:
    """Return the options of a model that are plain values, and those of its training."""
    given = inspect.signature(model).parameters
    plain = [
        name
        for name, each in given.items()
        if isinstance(each.default, bool | int | float | str) or each.annotation in _MAY_BE_NONE
    ]
    if _TRAINING not in given:
        return plain, []
    from rtrec.models.nearline.deep import Training

    return plain, [each.name for each in fields(Training)]


def _value(text: str) -> Any:
    """Read ``3``, ``0.5``, ``true``, or a text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, bool | int | float | str) else text
