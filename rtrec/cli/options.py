"""Options that several commands share, declared once.

A group of options is a dataclass; :func:`expanded` lets a command take it as one argument while the command
line shows its fields as options of their own.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from rtrec.errors import InputError

Command = TypeVar("Command", bound=Callable[..., None])

DATA_DIR = Path("data")

_ADDRESS = re.compile(r"(tcp|tls|wss?|ucx)://([^\s:/\[\]]+|\[[0-9a-fA-F:.]+\]):(?P<port>\d{1,5})")
_DATA = "Events"
_COLUMNS = "Columns of a file"
_TUNING = "Recommender"

#: More events than any file has; arrays and databases count further, but not for ever.
MOST_EVENTS = 10**12


def folder(flag: str) -> Callable[[str | Path], Path]:
    """Return what reads the directory that ``flag`` names; it may be yet to be made."""

    def read(given: str | Path) -> Path:
        text = str(given)  # a default comes as it is
        if not text.strip():
            raise InputError(f"{flag} {text!r}: expected a directory; name one, such as {flag} here")
        for path in (Path(text), *Path(text).parents):
            if path.exists() and not path.is_dir():
                raise InputError(f"{flag} {text}: expected a directory; {path} is a file; name another place")
        return Path(text)

    return read


def read_scheduler(text: str) -> str:
    """Read the address of a Dask scheduler."""
    address = _ADDRESS.fullmatch(text.strip())
    if address is None or not 0 < int(address["port"]) < 65_536:
        raise InputError(
            f"--scheduler {text!r}: expected tcp://host:port or tls://host:port, as dask scheduler prints it "
            "at its start"
        )
    return text.strip()


Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line, instead of a table.")]
Repeat = Annotated[
    bool | None,
    typer.Option(
        "--repeat/--no-repeat",
        rich_help_panel="Protocol",
        help="Recommend what the user has had before.",
    ),
]
Home = Annotated[
    Path | None,
    typer.Option(
        "--home",
        envvar="RTREC_HOME",
        show_envvar=True,
        parser=folder("--home"),
        metavar="DIR",
        help="The deployment's directory (default: the only one under .rtrec).",
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        parser=read_scheduler,
        metavar="TLS://...",
        help="A Dask scheduler; without it a cluster on this machine.",
    ),
]
Tls = Annotated[
    Path | None,
    typer.Option(
        "--tls",
        envvar="RTREC_TLS",
        parser=folder("--tls"),
        metavar="DIR",
        help="Certificates for --scheduler tls://...; `rtrec cluster tls` makes them.",
    ),
]
Copy = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="DIR",
        rich_help_panel=_DATA,
        help="Take the data set from a copy: its folder, the folder above, or the published zip.",
    ),
]
Yes = Annotated[
    bool,
    typer.Option(
        "--yes", "-y", rich_help_panel=_DATA, help="Accept the data set's terms without being asked."
    ),
]
DataDir = Annotated[
    Path,
    typer.Option(
        "--data-dir",
        parser=folder("--data-dir"),
        metavar="DIR",
        rich_help_panel=_DATA,
        help="Where data sets are kept.",
    ),
]


def _column(flag: str, sentence: str, metavar: str = "COLUMN") -> Any:
    return typer.Option(flag, metavar=metavar, rich_help_panel=_COLUMNS, help=sentence)


@dataclass(frozen=True)
class InputOptions:
    """Which events a command reads: a file with its columns, or a data set by name."""

    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="CSV, Parquet or JSON Lines, chosen by its suffix; text also as .gz. For `rtrec run` also a "
            "topic of Kafka: kafka://host:9092/topic.",
            show_default=False,
        ),
    ] = None
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            metavar="NAME",
            rich_help_panel=_DATA,
            help="A data set instead of a file: see `rtrec data list`.",
        ),
    ] = None
    copy: Copy = None
    yes: Yes = False
    data_dir: DataDir = DATA_DIR
    user: Annotated[str | None, _column("--user", "Who. (default: user_id)")] = None
    item: Annotated[str | None, _column("--item", "What. (default: item_id)")] = None
    time: Annotated[str | None, _column("--time", "When. (default: timestamp)")] = None
    kind: Annotated[str | None, _column("--kind", "View, click, buy, rating, ...")] = None
    value: Annotated[str | None, _column("--value", "Rating, price or play time.")] = None
    event_id: Annotated[str | None, _column("--event-id", "By which repeated events are recognised.")] = None
    default_kind: Annotated[
        str | None,
        _column(
            "--default-kind",
            "Kind of events that name none: `rating` in a file of ratings. (default: view)",
            "KIND",
        ),
    ] = None
    time_unit: Annotated[
        str | None,
        _column("--time-unit", "Of numeric times. (default: guessed from their size)", "s|ms|us|ns"),
    ] = None
    time_format: Annotated[
        str | None,
        _column("--time-format", "Of times that are not ISO 8601, such as %d/%m/%Y %H:%M.", "FORMAT"),
    ] = None
    timezone: Annotated[
        str | None, _column("--timezone", "Of times without an offset. (default: UTC)", "ZONE")
    ] = None
    encoding: Annotated[str | None, _column("--encoding", "Of a text file. (default: utf-8)", "NAME")] = None
    min_value: Annotated[
        float | None,
        typer.Option(
            "--min-value", rich_help_panel=_DATA, help="Leave out events whose value is below this."
        ),
    ] = None
    items: Annotated[
        Path | None,
        typer.Option(
            "--items",
            metavar="FILE",
            rich_help_panel=_DATA,
            help="What is known of items: a file with the column --item, and texts or categories.",
            show_default=False,
        ),
    ] = None
    item_text: Annotated[
        str | None,
        typer.Option(
            "--item-text",
            metavar="COLUMN,COLUMN",
            rich_help_panel=_DATA,
            help="Columns of --items that say what an item is; the first is its title.",
        ),
    ] = None
    item_category: Annotated[
        str | None,
        typer.Option(
            "--item-category",
            metavar="COLUMN,COLUMN",
            rich_help_panel=_DATA,
            help="Columns of --items with the categories of an item, several with | between.",
        ),
    ] = None


@dataclass(frozen=True)
class ClusterOptions:
    """Where tasks run."""

    scheduler: Scheduler = None
    tls: Tls = None


@dataclass(frozen=True)
class SettingsOptions:
    """How the recommender is set; see `rtrec settings`."""

    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            rich_help_panel=_TUNING,
            help="Change a setting, as often as needed: `rtrec settings` lists them.",
        ),
    ] = None
    settings_file: Annotated[
        Path | None,
        typer.Option(
            "--settings", metavar="FILE", rich_help_panel=_TUNING, help="YAML file with `name: value` lines."
        ),
    ] = None


def expanded(command: Command) -> Command:
    """Let ``command`` be called with the fields of its dataclass arguments, one by one."""
    hints = get_type_hints(command, include_extras=True)
    groups = {name: hint for name, hint in hints.items() if hasattr(hint, "__dataclass_fields__")}
    parameters = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name in groups:
            parameters += _parameters(groups[name])
        else:
            parameters.append(parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(command)
    def call(**given: Any) -> None:
        made = {
            name: group(**{each.name: given.pop(each.name) for each in fields(group)})
            for name, group in groups.items()
        }
        command(**made, **given)

    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {each.name: each.annotation for each in parameters}
    return call  # type: ignore[return-value]


def _parameters(group: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            each.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if each.default is MISSING else each.default,
            annotation=hints[each.name],
        )
        for each in fields(group)
    ]
