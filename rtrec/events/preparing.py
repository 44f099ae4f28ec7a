"""From the tables of each publisher to the two files rtrec reads: events, and what items are called.

What can be read as it was published stays byte for byte as it was; the rest gets a header, a delimiter or a
date, and keeps its rows in order.
"""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from rtrec.errors import InputError
from rtrec.events.mapping import require_columns
from rtrec.events.published import Published, damage_named
from rtrec.files import publish_file

#: What items are called in a prepared folder, and what they are: ``item_id,title,genres``.
TITLES = "titles.csv"

RETAIL_COLUMNS = (
    "InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country",
)  # fmt: skip

#: The order of the flags in MovieLens 100K's ``u.item``.
_GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama",
    "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip

Prepare = Callable[[Published, Path], None]


def prepare_movielens_csv(published: Published, folder: Path) -> None:
    """Take ``ratings.csv`` as it is, and titles from ``movies.csv`` (latest-small, 25M)."""
    _copy(published, "ratings.csv", folder / "ratings.csv")
    with _text(published, "movies.csv", "utf-8") as lines:
        films = csv.DictReader(lines)
        require_columns(
            ("movieId", "title", "genres"), films.fieldnames or (), where=f"{published.where}: movies.csv"
        )
        _write_titles(folder, ((film["movieId"], film["title"], _genres(film["genres"])) for film in films))


def prepare_movielens_100k(published: Published, folder: Path) -> None:
    """Give ``u.data`` (tabs, no header) the header of later releases; titles from ``u.item``."""
    _write_ratings(published, "u.data", "\t", folder)
    films = _split(published, "u.item", "|", n_fields=5 + len(_GENRES_100K))
    _write_titles(folder, ((film[0], film[1], _flagged_genres(film[5:])) for film in films))


def prepare_movielens_1m(published: Published, folder: Path) -> None:
    """Give ``ratings.dat`` (``::``, no header) the form of later releases; titles from ``movies.dat``."""
    _write_ratings(published, "ratings.dat", "::", folder)
    films = _split(published, "movies.dat", "::", n_fields=3)
    _write_titles(folder, ((film[0], film[1], _genres(film[2])) for film in films))


def prepare_online_retail(published: Published, folder: Path) -> None:
    """Keep the Parquet table, or make it from the workbook; the commonest description is the title."""
    import pandas as pd

    target = folder / "online_retail.parquet"
    if "online_retail.parquet" in published.names():
        _copy(published, "online_retail.parquet", target)
    else:
        with damage_named(published.where), published.open("Online Retail.xlsx") as file:
            # calamine reads the half million rows in seconds where openpyxl takes a minute.
            workbook = pd.read_excel(io.BytesIO(file.read()), engine="calamine")
        require_columns(
            RETAIL_COLUMNS, list(workbook.columns), where=f"{published.where}: Online Retail.xlsx"
        )
        workbook["CustomerID"] = workbook["CustomerID"].astype("Int64")
        for column in ("InvoiceNo", "StockCode", "Description"):  # numbers and texts in one column
            workbook[column] = workbook[column].astype("string")
        publish_file(target, lambda out: workbook.to_parquet(out, index=False))
    named = pd.read_parquet(target, columns=["StockCode", "Description"]).dropna()
    named["Description"] = named["Description"].str.strip()
    # Sorted by text first, so that among equally common descriptions the same one is always taken.
    counts = named.value_counts().reset_index().sort_values(["count", "Description"], ascending=[False, True])
    titles = counts.drop_duplicates("StockCode").sort_values("StockCode")
    _write_titles(folder, zip(titles["StockCode"], titles["Description"], strict=True))


def prepare_lastfm(published: Published, folder: Path) -> None:
    """Join day, month and year to a date, and all tags a user gave an artist on it to one event."""
    events: dict[tuple[str, str, str], list[str]] = {}
    for user, artist, tag, day, month, year in _split(
        published, "user_taggedartists.dat", "\t", n_fields=6, header=True
    ):
        events.setdefault((user, artist, f"{year}-{int(month):02d}-{int(day):02d}"), []).append(tag)

    rows = ([*event, " ".join(tags)] for event, tags in events.items())
    _write_csv(folder / "tagged_artists.csv", ["userID", "artistID", "date", "tagIDs"], rows)
    artists = _split(published, "artists.dat", "\t", n_fields=4, header=True, encoding="utf-8")
    _write_titles(folder, (fields[:2] for fields in artists))


def read_titles(folder: Path) -> dict[str, tuple[str, str]]:
    """Return title and genres (with spaces between) of the items of a prepared folder, by id."""
    with (folder / TITLES).open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        return {row["item_id"]: (row["title"], row.get("genres") or "") for row in rows}


def _genres(published: str) -> str:
    return "" if published == "(no genres listed)" else published.replace("|", " ")


def _flagged_genres(flags: Sequence[str]) -> str:
    return " ".join(name for name, flag in zip(_GENRES_100K, flags, strict=True) if flag == "1")


def _write_ratings(published: Published, name: str, delimiter: str, folder: Path) -> None:
    rows = _split(published, name, delimiter, n_fields=4)
    _write_csv(folder / "ratings.csv", ["userId", "movieId", "rating", "timestamp"], rows)


def _write_titles(folder: Path, titles: Iterable[Sequence[str]]) -> None:
    """Write id and title of each item, and the genres where the publisher names some."""
    rows = ([*fields, ""][:3] for fields in titles)
    _write_csv(folder / TITLES, ["item_id", "title", "genres"], rows)


def _write_csv(target: Path, header: Sequence[str], rows: Iterable[Iterable[str]]) -> None:
    def write(out: BinaryIO) -> None:
        text = io.TextIOWrapper(out, "utf-8", newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
        text.flush()
        text.detach()

    publish_file(target, write)


def _split(
    published: Published,
    name: str,
    delimiter: str,
    *,
    n_fields: int,
    header: bool = False,
    encoding: str = "latin-1",
) -> Iterator[list[str]]:
    """Yield the fields of each line; quotes mean nothing in these tables."""
    with _text(published, name, encoding) as lines:
        for number, line in enumerate(lines, 1):
            if header and number == 1:
                continue
            fields = line.rstrip("\r\n").split(delimiter)
            if len(fields) != n_fields:
                raise InputError(
                    f"{published.where}: {name}, line {number}: expected {n_fields} fields between "
                    f"{delimiter!r}; got {len(fields)}; is it the published file?"
                )
            yield fields


@contextmanager
def _text(published: Published, name: str, encoding: str) -> Iterator[io.TextIOWrapper]:
    try:
        with damage_named(published.where), published.open(name) as file:
            yield io.TextIOWrapper(file, encoding, newline="")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{published.where}: {name}: expected {encoding} text; {error}; is it the published file?"
        ) from error


def _copy(published: Published, name: str, target: Path) -> None:
    def write(out: BinaryIO) -> None:
        with published.open(name) as file:
            shutil.copyfileobj(file, out, 1 << 20)

    with damage_named(published.where):
        publish_file(target, write)
