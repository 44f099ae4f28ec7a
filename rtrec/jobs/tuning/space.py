"""What a search may change: settings with the range in which each is tried, read from their declarations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rtrec.errors import InputError, nearest
from rtrec.settings import Declaration, Settings, declarations

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.distributions import BaseDistribution

#: Tried where nothing else is said: what shapes the tables and the ranker, and no switch.
DEFAULT_SPACE = (
    "ring_length",
    "ring_decay",
    "transition_reach",
    "half_life_now_h",
    "half_life_short_h",
    "half_life_long_h",
    "learning_rate",
)
#: These say what is asked, not how well it is answered: figures before and after would be of different tasks.
_NOT_TUNED = ("repeat", "list_length")
#: A range this wide is searched by orders of magnitude.
_WIDE = 50.0
#: Steps of size zero learn nothing, and a logarithm has no zero: the search begins this far below the top.
_LEAST_OF_TOP = {"learning_rate": 1e-3}


@dataclass(frozen=True)
class Dimension:
    """One setting and the values in which it is tried; a truth value has no ends.

    ``log`` says that it is tried evenly by orders of magnitude.
    """

    name: str
    type: type
    low: float = 0.0
    high: float = 1.0
    log: bool = False

    def distribution(self) -> BaseDistribution:
        """Return it as optuna knows it."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.type is bool:
            return CategoricalDistribution((False, True))
        if self.type is int:
            return IntDistribution(int(self.low), int(self.high), log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)

    def suggest(self, trial: Trial) -> Any:
        """Let a trial propose a value."""
        if self.type is bool:
            return trial.suggest_categorical(self.name, (False, True))
        if self.type is int:
            return trial.suggest_int(self.name, int(self.low), int(self.high), log=self.log)
        # Four digits say all that a replay can tell apart, and can be read and typed.
        value = float(f"{trial.suggest_float(self.name, self.low, self.high, log=self.log):.4g}")
        return min(max(value, self.low), self.high)

    def __str__(self) -> str:
        if self.type is bool:
            return "off or on"
        return f"{self.low:g} to {self.high:g}{', by orders of magnitude' if self.log else ''}"


Space = tuple[Dimension, ...]


def read_space(space: str | Sequence[str] | Mapping[str, tuple[float, float] | None]) -> Space:
    """Return the dimensions that ``space`` names.

    Parameters
    ----------
    space
        Names of settings, one or several (in one text: with commas between); ``name=low:high`` says in which
        range. Or a mapping of names to such ranges, None for the declared one.

    Examples
    --------
    >>> [str(each) for each in read_space("use_trails, half_life_short_h=1:48")]
    ['off or on', '1 to 48']
    >>> str(read_space(["half_life_short_h"])[0])
    '0.05 to 8760, by orders of magnitude'

    Raises
    ------
    InputError
        If a name is no setting (the nearest is named) or none to tune, comes twice, or a range is empty or
        leaves the declared bounds.
    """
    if isinstance(space, Mapping):
        ranges = dict(space)
    else:
        texts = space.split(",") if isinstance(space, str) else space
        pairs = [_read(text) for text in texts if text.strip()]
        ranges = dict(pairs)
        twice = [name for place, (name, _) in enumerate(pairs) if name in dict(pairs[:place])]
        if twice:
            raise InputError(f"space: {twice[0]!r} is there a second time; keep one")
    if not ranges:
        raise InputError(f"space: name at least one setting to try, for example {','.join(DEFAULT_SPACE)}")
    declared = {each.name: each for each in declarations()}
    return tuple(_dimension(name, ends, declared) for name, ends in ranges.items())


def values_of(space: Space, settings: Settings) -> dict[str, Any]:
    """Return the values that ``settings`` have in the dimensions of ``space``."""
    return {each.name: getattr(settings, each.name) for each in space}


def holds(space: Space, settings: Settings) -> bool:
    """Say whether the search could propose these settings."""
    values = values_of(space, settings)
    return all(each.type is bool or each.low <= values[each.name] <= each.high for each in space)


def _read(text: str) -> tuple[str, tuple[float, float] | None]:
    name, equals, ends = (part.strip() for part in text.partition("="))
    if not equals:
        return name, None
    try:
        low, high = (float(end) for end in ends.split(":"))
    except ValueError:
        raise InputError(
            f"space {text.strip()!r}: expected name=low:high, such as ring_length=5:20"
        ) from None
    return name, (low, high)


def _dimension(name: str, ends: tuple[float, float] | None, declared: Mapping[str, Declaration]) -> Dimension:
    if name not in declared:
        raise InputError(f"space: unknown setting {name!r}{nearest(name, declared)}")
    if name in _NOT_TUNED:
        raise InputError(f"space: {name!r} changes what is asked of a list, not how good it is; use --set")
    each = declared[name]
    if each.choices:
        raise InputError(f"space: {name!r} names any of {len(each.choices)} features, no range; use --set")
    if each.type is bool:
        if ends is not None:
            raise InputError(f"space: {name!r} is off or on, so it has no range; say {name}")
        return Dimension(name, bool)
    assert each.low is not None and each.high is not None
    low, high = ends or (max(each.low, _LEAST_OF_TOP.get(name, 0.0) * each.high), each.high)
    if not each.low <= low < high <= each.high:
        raise InputError(
            f"space: {name!r} from {low:g} to {high:g}: expected one within {each.low:g} to {each.high:g}"
        )
    if each.type is int and (low != int(low) or high != int(high)):
        raise InputError(f"space: {name!r} counts, so its range has whole ends; got {low:g} to {high:g}")
    return Dimension(name, each.type, low, high, log=low > 0.0 and high / low >= _WIDE)
