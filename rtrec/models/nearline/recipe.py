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
#: What may stand for an option of each declared type.
_EXPECTED = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
}
#: No option is as large as this; neither infinity nor NaN is below it.
MOST = 2**63


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
            option = option.strip()
            if not equals:
                raise InputError(f"model {text!r}: expected option=value after ':'; got {part!r}")
            if option in options:
                raise InputError(f"model {text!r}: {option!r} is there a second time; keep one")
            options[option] = _value(value.strip())
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
    declared = known | training
    checked = {option: _checked(name, option, each, declared[option]) for option, each in options.items()}
    chosen = {option: value for option, value in checked.items() if option in known}
    trained = {option: value for option, value in checked.items() if option in training}
    try:
        if trained:
            # What is not said stays as this model has it, not as training is in general.
            own: Any = model(**chosen)
            chosen[_TRAINING] = replace(own.training, **trained)
        return model(**chosen)
    except (TypeError, ValueError, RuntimeError, MemoryError) as error:  # torch lacks memory at run time
        raise InputError(f"{name}: {error}") from error


def _options_of(model: type[NearlineModel]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the options of a model that are plain values, and those of its training, with their types."""
    given = inspect.signature(model).parameters
    plain = {
        name: str(each.annotation)
        for name, each in given.items()
        if str(each.annotation).partition(" | ")[0] in _EXPECTED
    }
    if _TRAINING not in given:
        return plain, {}
    from rtrec.models.nearline.deep import Training

    return plain, {each.name: str(each.type) for each in fields(Training)}


def _checked(model: str, option: str, value: Any, declared: str) -> Any:
    """Return a value in the type an option is declared with; 1e3 is a whole number, true is none."""
    kind = declared.partition(" | ")[0]
    # An integer has any number of digits in Python, and 64 bits in everything models are made of.
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MOST
    if value is None and "None" in declared:
        return None
    if kind == "int" and is_number and value == int(value) and (option != "seed" or value >= 0):
        return int(value)
    if kind == "float" and is_number:
        return float(value)
    if (kind == "bool" and isinstance(value, bool)) or (kind == "str" and isinstance(value, str)):
        return value
    bound = " from 0 on" if option == "seed" else ""
    if isinstance(value, int | float) and abs(value) >= MOST:
        bound += f" below {MOST:.2g}"
    raise InputError(f"{model}: {option}: expected {_EXPECTED[kind]}{bound}; got {value!r}")


def _value(text: str) -> Any:
    """Read ``3``, ``0.5``, ``true``, ``null``, or a text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if value is None or isinstance(value, bool | int | float | str) else text
