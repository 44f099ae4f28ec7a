"""Settings, declared once: type, default, bounds, unit and one sentence each.

The command line, the environment, a YAML file, the sliders of the dashboard, the notebook and the docs all
read these declarations. Precedence is flag, then environment (``RTREC_RING_LENGTH=20``), then file, then
default. A setting is *live* when it may change while the stream runs (a change is a control event in the log
and takes effect at its offset); the others shape arrays and are fixed for the life of a deployment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from rtrec.declared import FEATURE_NAMES
from rtrec.errors import InputError, nearest
from rtrec.types import KINDS

ENVIRONMENT_PREFIX = "RTREC_"


def _live(
    default: Any, sentence: str, *, unit: str = "", choices: tuple[str, ...] = (), **bounds: Any
) -> Any:
    extra: dict[str, Any] = {"unit": unit, "live": True, "choices": list(choices)}
    return Field(default, description=sentence, json_schema_extra=extra, **bounds)


def _fixed(default: Any, sentence: str, *, unit: str = "", **bounds: Any) -> Any:
    return Field(default, description=sentence, json_schema_extra={"unit": unit, "live": False}, **bounds)


class Settings(BaseModel):
    """How the recommender learns and answers; immutable, change with :meth:`changed`.

    >>> Settings().changed(ring_length=20).ring_length
    20
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    half_life_now_h: float = _live(
        1.0, "Half-life of the fastest popularity count.", unit="hours", ge=0.05, le=24 * 365
    )
    half_life_short_h: float = _live(
        24.0, "Half-life of the fast popularity count.", unit="hours", ge=0.05, le=24 * 365
    )
    half_life_long_h: float = _live(
        168.0, "Half-life of the slow popularity count.", unit="hours", ge=0.05, le=24 * 3650
    )
    ring_length: int = _live(
        10, "How many of a user's last events the neighbour tables look from.", unit="events", ge=1, le=32
    )
    ring_decay: float = _live(
        0.85, "Weight of each older event in the ring, relative to the next newer one.", ge=0.1, le=1.0
    )
    transition_reach: int = _live(
        5,
        "How many events back a transition is counted (at 1/distance), ring_length at most.",
        unit="events",
        ge=1,
        le=32,
    )
    trending_candidates: int = _live(
        100,
        "How many of the most popular items are candidates at each half-life.",
        unit="items",
        ge=10,
        le=500,
    )
    learning_rate: float = _live(0.05, "Step size of the ranker (AdaGrad).", ge=0.0, le=1.0)
    use_trending: bool = _live(True, "Let the popularity counts have an opinion.")
    use_momentum: bool = _live(False, "Let the velocity and the acceleration of popularity have an opinion.")
    use_cooccurrence: bool = _live(True, "Let the co-occurrence table have an opinion.")
    use_transitions: bool = _live(True, "Let the transition table have an opinion.")
    use_trails: bool = _live(True, "Let the trails (who came the same way) have an opinion.")
    use_value: bool = _live(True, "Let the values of events (prices, ratings) have an opinion.")
    use_daypart: bool = _live(False, "Let the times of day and week that items are taken at have an opinion.")
    use_category: bool = _live(
        True, "Let the categories that a user takes have an opinion, where items have categories."
    )
    use_catalogue: bool = _live(True, "Let the age of items have an opinion.")
    use_crosses: bool = _live(
        True, "Let the ranker see what features say together; without, its score is linear."
    )
    use_content: bool = _live(True, "Let a published table of what items are (content) have an opinion.")
    use_history: bool = _live(True, "Let a published table fitted on all history have an opinion.")
    use_own: bool = _live(True, "Let a published table of your own have an opinion.")
    use_vectors: bool = _live(
        True, "Let published vectors have an opinion on every candidate, not only on the nearest items."
    )
    use_historical: bool = _live(False, "Let published historical features have an opinion.")
    without: tuple[str, ...] = _live(
        (),
        "Features that have no opinion, by name; what their tables bring stays among the candidates.",
        choices=FEATURE_NAMES,
    )
    cold_items: bool = _live(False, "Recommend items of the catalogue that have had no event yet.")
    repeat: bool = _live(False, "Recommend items the user has had before.")
    weight_view: float = _live(1.0, "Weight of a view in every count.", ge=-1.0, le=10.0)
    weight_click: float = _live(1.0, "Weight of a click in every count.", ge=-1.0, le=10.0)
    weight_cart: float = _live(1.0, "Weight of an item put in the cart in every count.", ge=-1.0, le=10.0)
    weight_buy: float = _live(1.0, "Weight of a purchase in every count.", ge=-1.0, le=10.0)
    weight_play: float = _live(1.0, "Weight of a play in every count.", ge=-1.0, le=10.0)
    weight_rating: float = _live(1.0, "Weight of a rating in every count.", ge=-1.0, le=10.0)
    weight_like: float = _live(1.0, "Weight of a like in every count.", ge=-1.0, le=10.0)
    weight_dislike: float = _live(
        -1.0,
        "Weight of a dislike; below zero it lowers what the tables say of the item, and it hides the item.",
        ge=-1.0,
        le=10.0,
    )
    row_length: int = _fixed(
        200, "How many neighbours a table keeps for an item.", unit="items", ge=10, le=1000
    )
    list_length: int = _fixed(
        10, "How many items a recommendation has (the k of hr@k).", unit="items", ge=1, le=100
    )

    most_users: int = _fixed(
        3_000_000,
        "How many users a shard knows at a time; those with the least recent activity are forgotten.",
        unit="users",
        ge=100,
        le=100_000_000,
    )
    most_items: int = _fixed(
        500_000,
        "How many items are known at a time; once they are so many, one is learned from its second event on.",
        unit="items",
        ge=100,
        le=100_000_000,
    )
    most_pairs: int = _fixed(
        1 << 26,
        "How many (user, item) pairs a shard remembers (down to a power of two); the oldest are forgotten.",
        unit="pairs",
        ge=1 << 13,
        le=1 << 31,
    )

    def changed(self, **changes: Any) -> Settings:
        """Return a copy with ``changes`` applied and checked.

        Raises
        ------
        InputError
            If a name is unknown (the nearest known one is named) or a value is out of bounds.
        """
        return make_settings(self.model_dump() | changes)

    @field_validator("without", mode="before")
    @classmethod
    def _read_without(cls, value: Any) -> tuple[str, ...]:
        """Take names in any order, also as one text with commas; the same ones are equal settings."""
        if value is None:  # a YAML key with nothing behind it
            return ()
        if isinstance(value, str):
            value = [name for name in map(str.strip, value.split(",")) if name]
        if not isinstance(value, Iterable):
            raise ValueError("expected names of features, such as near_ring,heat_now")
        names = list(value)
        for name in names:
            if name not in FEATURE_NAMES:
                raise ValueError(f"there is no feature {name!r}{nearest(str(name), FEATURE_NAMES)}")
        return tuple(name for name in FEATURE_NAMES if name in names)

    def kind_weights(self) -> tuple[float, ...]:
        """Return the weight of each kind, in the order of :data:`rtrec.types.KINDS`."""
        return tuple(getattr(self, f"weight_{kind}") for kind in KINDS)


class Declaration(NamedTuple):
    """What is declared about one setting."""

    name: str
    type: Any
    default: Any
    low: float | None
    high: float | None
    unit: str
    live: bool
    choices: tuple[str, ...]  # what it names any number of; empty for a number or a truth value
    sentence: str


def declarations() -> list[Declaration]:
    """Return every setting as declared, in order."""
    declared = []
    for name, field in Settings.model_fields.items():
        extra = field.json_schema_extra
        assert isinstance(extra, dict) and field.annotation is not None
        choices = extra.get("choices")
        bounds = {type(rule).__name__: rule for rule in field.metadata}
        declared.append(
            Declaration(
                name=name,
                type=field.annotation,
                default=field.default,
                low=getattr(bounds.get("Ge"), "ge", None),
                high=getattr(bounds.get("Le"), "le", None),
                unit=str(extra["unit"]),
                live=bool(extra["live"]),
                choices=tuple(str(each) for each in choices) if isinstance(choices, list) else (),
                sentence=field.description or "",
            )
        )
    return declared


#: Settings that shape arrays, and so stay as they are for the life of a deployment.
FIXED: tuple[str, ...] = tuple(each.name for each in declarations() if not each.live)


def make_settings(values: Mapping[str, Any]) -> Settings:
    """Build settings from ``values``, naming the setting, its bounds and the nearest name in any error."""
    unknown = [name for name in values if name not in Settings.model_fields]
    if unknown:
        raise InputError(f"unknown setting {unknown[0]!r}{nearest(unknown[0], Settings.model_fields)}")
    for name, value in values.items():
        if isinstance(value, bool) and Settings.model_fields[name].annotation in (int, float):
            raise InputError(
                f"setting {name!r}: expected a number; got the truth value {value} (YAML reads on, off, yes "
                "and no as truth values)"
            )
    try:
        return Settings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        said = first["msg"].removeprefix("Value error, ")  # pydantic's words before those of a validator
        raise InputError(f"setting {name!r}: {said}; got {first['input']!r}") from error


def as_text(value: Any) -> str:
    """Return a setting's value as one types it behind ``--set name=``.

    >>> as_text(("near_ring", "count")), as_text(20)
    ('near_ring,count', '20')
    """
    return ",".join(value) if isinstance(value, (tuple, list)) else f"{value}"


def load_settings(
    file: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """Read settings from defaults, then a YAML ``file``, then the environment, then ``overrides``.

    A variable that is nearly named as a setting is warned about.

    Raises
    ------
    InputError
        If the file cannot be read or is no mapping, or a value is refused.
    """
    values: dict[str, Any] = {}
    if file is not None:
        values |= _read_yaml(file)
    _warn_of_misspelt(environ or {})
    for name in Settings.model_fields:
        text = (environ or {}).get(ENVIRONMENT_PREFIX + name.upper())
        if text is not None:
            values[name] = text
    return make_settings(values | dict(overrides or {}))


def parse_assignments(texts: list[str]) -> dict[str, str]:
    """Split ``name=value`` texts of the command line; pydantic converts the values.

    >>> parse_assignments(["ring_length=20"])
    {'ring_length': '20'}
    """
    for text in texts:
        if "=" not in text:
            raise InputError(f"--set {text!r}: expected name=value, for example ring_length=20")
    return {name.strip(): value.strip() for name, value in (text.split("=", 1) for text in texts)}


def _warn_of_misspelt(environ: Mapping[str, str]) -> None:
    """Warn of variables that change nothing and were meant to; ``RTREC_HOME`` is no such variable."""
    # Compared without the prefix, which would make all of them look alike.
    known = [name.upper() for name in Settings.model_fields]
    for variable in sorted(environ):
        bare = variable.removeprefix(ENVIRONMENT_PREFIX)
        if bare == variable or bare in known:
            continue
        close = get_close_matches(bare.upper(), known, n=1, cutoff=0.75)
        if close:
            import structlog

            structlog.get_logger(__name__).warning(
                "a variable that names no setting is ignored",
                variable=variable,
                did_you_mean=ENVIRONMENT_PREFIX + close[0],
            )


def _read_yaml(file: Path) -> dict[str, Any]:
    import yaml

    class OneOfEach(yaml.SafeLoader):
        """YAML in which no key comes twice; PyYAML takes the last one and says nothing."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            names = [self.construct_object(key, deep=True) for key, _ in node.value]
            for place, name in enumerate(names):
                if name in names[:place]:
                    line = node.value[place][0].start_mark.line + 1
                    raise InputError(
                        f"settings file {file}: line {line}: {name!r} is there a second time; keep one"
                    )
            return super().construct_mapping(node, deep=deep)

    try:
        values = OneOfEach(file.read_text(encoding="utf-8")).get_single_data()
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"settings file {file}: cannot be read: {error}") from error
    if values is None:
        return {}
    if isinstance(values, dict) and not all(isinstance(name, str) for name in values):
        odd = next(name for name in values if not isinstance(name, str))
        raise InputError(
            f"settings file {file}: expected names of settings; got {odd!r} (YAML reads on, off, yes and no "
            "as truth values: put them in quotes)"
        )
    if not isinstance(values, dict):
        raise InputError(f"settings file {file}: expected 'name: value' lines, got {type(values).__name__}")
    return values
