"""From options to events: the file or data set that a command reads."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple, TypeVar

import typer

from rtrec.cli.bars import download_bar
from rtrec.cli.blame import blaming
from rtrec.cli.console import say
from rtrec.cli.options import InputOptions
from rtrec.errors import InputError
from rtrec.events.datasets import Dataset, get_dataset, item_categories, item_texts, item_titles, load_source
from rtrec.events.feeds import FileFeed
from rtrec.events.fetching import fetch
from rtrec.events.kafka.address import KafkaAddress, is_kafka
from rtrec.events.kafka.brokers import Brokers
from rtrec.events.kafka.feed import KafkaFeed
from rtrec.events.kafka.source import KafkaSource
from rtrec.events.letters import DeadLetter
from rtrec.events.loading import LoadedEvents, load_events
from rtrec.events.mapping import ColumnMapping
from rtrec.events.rules import Rule
from rtrec.events.sources import FileSource
from rtrec.events.verdicts import ACCEPTED
from rtrec.settings import Settings
from rtrec.types import Columns

_SHOWN_DEAD_LETTERS = 5
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Input:
    """A file that is ready to be read, by whatever name the user called it."""

    name: str
    path: Path
    mapping: ColumnMapping
    rules: tuple[Rule, ...] = ()
    encoding: str = "utf-8"
    titles: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    categories: Mapping[str, Sequence[str]] = field(default_factory=dict)
    sorted_by_time: bool = False
    flags: Mapping[str, str] = field(default_factory=dict)  # what was said of the file, by option

    def load(self) -> LoadedEvents:
        """Read and clean all of it."""
        return load_events(self._source(sort=not self.sorted_by_time, chunk_rows=65_536))

    def feed(self, *, sort: bool, longest_wait_s: float, lateness: timedelta | None = None) -> FileFeed:
        """Return it as the feed of a run, a file in order of time unless ``sort`` is false."""
        if is_kafka(str(self.path)):
            address = KafkaAddress.parse(str(self.path))
            source = KafkaSource(Brokers(address, timeout_s=10.0), self.mapping)
            return KafkaFeed(source, lateness=lateness)
        file = self._source(sort=sort and not self.sorted_by_time, chunk_rows=2000)
        return FileFeed(file, longest_wait_s=longest_wait_s, lateness=lateness)

    def _source(self, *, sort: bool, chunk_rows: int) -> FileSource:
        if is_kafka(str(self.path)):
            raise InputError(
                f"{KafkaAddress.parse(str(self.path))}: a topic never ends; `rtrec run` reads it, this "
                "command reads a file"
            )
        try:
            return FileSource(
                self.path,
                self.mapping,
                sort=sort,
                chunk_rows=chunk_rows,
                encoding=self.encoding,
                rules=self.rules,
            )
        except InputError as error:
            message = str(error)
            for flag, given in self.flags.items():
                if f"no column {given!r}" in message or message.startswith(f"encoding {given!r}"):
                    raise InputError(f"{flag} {given}: {message}") from error
            raise


def find_input(options: InputOptions) -> Input:
    """Return what the options name; a data set is fetched if it is not there yet.

    Raises
    ------
    InputError
        If they name nothing, or two things, or what they name cannot be used.
    """
    if (options.file is None) == (options.dataset is None):
        raise InputError(
            "name what to read: either FILE, with --user, --item and --time for its columns, "
            "or --dataset NAME"
        )
    if options.dataset is not None:
        return _dataset(options, options.dataset)
    if options.copy is not None:
        raise InputError("--from says where the copy of a --dataset is; a file is named without it")
    assert options.file is not None
    known = _known(options)
    columns = (
        options.user or Columns.USER_ID,
        options.item or Columns.ITEM_ID,
        options.time or Columns.TIMESTAMP,
    )
    for name in ("time_unit", "time_format", "timezone", "default_kind"):
        given = getattr(options, name)
        if given is not None:
            with blaming(f"--{name.replace('_', '-')}", given):
                ColumnMapping(*columns, **{name: given})
    if options.min_value is not None and options.value is None:
        raise InputError(f"--min-value {options.min_value:g}: say which column holds values: --value COLUMN")
    mapping = ColumnMapping(
        *columns,
        kind=options.kind,
        value=options.value,
        event_id=options.event_id,
        time_unit=options.time_unit,
        time_format=options.time_format,
        timezone=options.timezone or "UTC",
        default_kind=options.default_kind or "view",
        min_value=options.min_value,
    )
    if options.encoding is not None and is_kafka(str(options.file)):
        raise InputError(f"--encoding {options.encoding}: messages are JSON, which is UTF-8; leave it out")
    encoding = options.encoding or "utf-8"
    flags = dict(zip(("--user", "--item", "--time"), columns, strict=True))
    others = {f"--{name}": getattr(options, name) for name in ("kind", "value", "encoding")}
    flags |= {flag: given for flag, given in others.items() if given is not None}
    if options.event_id is not None:
        flags["--event-id"] = options.event_id
    return Input(options.file.name, options.file, mapping, encoding=encoding, flags=flags, **known._asdict())


def model_names(models: str, every: Iterable[str], settings: Settings) -> list[str]:
    """Return the models that ``--models`` names; ``every`` is what it means by ``all``.

    Raises
    ------
    InputError
        If it names none, or one that cannot be made: now, and not after the file was read.
    """
    from rtrec.models.registry import MODELS, make_model

    names = list(every) if models == "all" else [name.strip() for name in models.split(",") if name.strip()]
    if not names:
        raise InputError(
            f"--models {models!r}: name one, or several with commas between: {', '.join(MODELS)}"
        )
    with blaming("--models", models):
        for name in names:
            make_model(name, settings)
    return names


class _Known(NamedTuple):
    """What is known of items, by id."""

    titles: Mapping[str, str]
    texts: Mapping[str, str]
    categories: Mapping[str, Sequence[str]]


def _known(options: InputOptions) -> _Known:
    """Return titles, all there is to read, and categories, from the file of items."""
    if options.items is None:
        for flag, given in (("--item-text", options.item_text), ("--item-category", options.item_category)):
            if given is not None:
                raise InputError(f"{flag} names columns of a file of items; say which: --items FILE")
        return _Known({}, {}, {})
    columns, categories = _columns(options.item_text), _columns(options.item_category)
    if not columns and not categories:
        raise InputError(
            f"--items {options.items}: say what to read of it: --item-text title,genres, or "
            "--item-category genres, or both"
        )
    from rtrec.features.catalogue import Catalogue

    item = options.item or Columns.ITEM_ID
    with blaming("--items", options.items):
        catalogue = Catalogue.read(options.items, item=item, text=columns, categories=categories)

    def by_id(values: Sequence[_Value]) -> dict[str, _Value]:
        return dict(zip(catalogue.ids, values, strict=True))

    return _Known(
        titles=by_id(catalogue.texts(columns[:1])) if columns else {},
        texts=by_id(catalogue.texts(columns)) if columns else {},
        categories=by_id(catalogue.category_names()) if categories else {},
    )


def _columns(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _dataset(options: InputOptions, name: str) -> Input:
    with blaming("--dataset", name):
        dataset = get_dataset(name)
    columns = ("user", "item", "time", "kind", "value", "event_id", "default_kind")
    spelling = ("time_unit", "time_format", "timezone", "encoding", "items", "item_text", "item_category")
    for column in (*columns, *spelling):
        if getattr(options, column) is not None:
            raise InputError(
                f"--{column.replace('_', '-')}: data set {name!r} knows its columns and items; say this only "
                "of a FILE"
            )
    mapping = dataset.mapping
    if options.min_value is not None:
        if mapping.value is None:
            raise InputError(f"--min-value: the events of data set {name!r} have no values; leave it out")
        mapping = replace(mapping, min_value=options.min_value)
    folder = fetch_dataset(dataset, data_dir=options.data_dir, copy=options.copy, yes=options.yes)
    source = load_source(dataset, folder)
    return Input(
        name,
        source.path,
        mapping,
        rules=dataset.rules,
        titles=item_titles(dataset, folder),
        texts=item_texts(dataset, folder),
        categories=item_categories(dataset, folder),
        sorted_by_time=dataset.sorted_by_time,
    )


def fetch_dataset(dataset: Dataset, *, data_dir: Path, copy: Path | None, yes: bool) -> Path:
    """Make a data set ready, with its terms shown first; return its folder.

    Who has a copy has agreed with its publisher already, so the terms are shown and nothing is asked; a
    download asks, and where nobody can answer it takes ``--yes``.
    """

    def accept(terms: str) -> bool:
        say(terms)
        if yes or copy is not None:
            return True
        if not sys.stdin.isatty():
            raise InputError(f"data set {dataset.name}: accept its terms (above) with --yes")
        return typer.confirm("Do you accept these terms?", err=True)

    with download_bar(dataset.archive) as progress:
        return fetch(dataset, data_dir=data_dir, source=copy, accept_licence=accept, progress=progress)


def tell_rejected(name: str, counts: Mapping[str, int], dead_letters: Sequence[DeadLetter]) -> None:
    """Say on stderr what became of the rows, and where the first rows stood that could not become events."""
    rest = {reason: n_rows for reason, n_rows in counts.items() if reason != ACCEPTED}
    if not rest:
        return
    total = sum(counts.values())
    reasons = ", ".join(f"{reason} {n_rows:,}" for reason, n_rows in Counter(rest).most_common())
    say(f"{name}: {counts.get(ACCEPTED, 0):,} of {total:,} rows are events; not: {reasons}")
    for letter in dead_letters[:_SHOWN_DEAD_LETTERS]:
        column = f", column {letter.column!r}" if letter.column else ""
        say(f"  row {letter.row:,}{column}: {letter.reason}: {letter.payload[:120]}", style="yellow")
    if len(dead_letters) > _SHOWN_DEAD_LETTERS:
        say(f"  and {len(dead_letters) - _SHOWN_DEAD_LETTERS:,} more", style="yellow")
