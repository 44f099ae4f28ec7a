"""The data sets rtrec knows by name: who publishes them, on which terms, and how their columns read.

``rtrec data list`` shows them and ``rtrec data get NAME`` fetches one (:mod:`rtrec.events.fetching`). None
comes with rtrec: each belongs to its publisher.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.compute as pc

from rtrec.errors import InputError, nearest
from rtrec.events.mapping import ColumnMapping
from rtrec.events.parsing import RawColumn
from rtrec.events.preparing import (
    Prepare,
    prepare_lastfm,
    prepare_movielens_1m,
    prepare_movielens_100k,
    prepare_movielens_csv,
    prepare_online_retail,
    read_titles,
)
from rtrec.events.rules import Rule, missing, not_positive
from rtrec.events.sources import FileSource


@dataclass(frozen=True)
class Dataset:
    """One published data set.

    Attributes
    ----------
    name, title, publisher
        What rtrec calls it, what it is called, and whose it is.
    address, archive, checksum
        Where the published archive is, its file name, and ``md5:...`` or ``sha256:...`` of it; None if the
        publisher replaces the file now and then.
    tables
        Files that must be there, each with its alternatives.
    folders
        What its folder is usually called, beside ``name``.
    licence, licence_url, citation
        The terms in short, where they are in full, and what to cite.
    prepare, events_file, mapping, sorted_by_time, rules
        How the published tables become events: see :mod:`rtrec.events.preparing`.
    """

    name: str
    title: str
    publisher: str
    address: str
    archive: str
    checksum: str | None
    tables: tuple[tuple[str, ...], ...]
    folders: tuple[str, ...]
    licence: str
    licence_url: str
    citation: str
    prepare: Prepare
    events_file: str
    mapping: ColumnMapping
    sorted_by_time: bool = False
    rules: tuple[Rule, ...] = ()

    def terms(self) -> str:
        """Return what a user is shown before the data set is fetched."""
        return (
            f"{self.title}, published by {self.publisher}\n\n{self.licence}\n"
            f"In full: {self.licence_url}\n\nCite: {self.citation}\n"
        )


def list_datasets() -> list[Dataset]:
    """Return all data sets, smallest first.

    >>> [dataset.name for dataset in list_datasets()][0]
    'movielens-latest-small'
    """
    return list(_DATASETS)


def get_dataset(name: str) -> Dataset:
    """Return a data set by name.

    Raises
    ------
    InputError
        If there is none of that name; the nearest is named.
    """
    by_name = {dataset.name: dataset for dataset in _DATASETS}
    if name not in by_name:
        raise InputError(f"unknown data set {name!r}{nearest(name, by_name)}; there are {', '.join(by_name)}")
    return by_name[name]


def load_source(dataset: Dataset, folder: Path, *, chunk_rows: int = 2000) -> FileSource:
    """Return the events of a data set that :func:`rtrec.events.fetching.fetch` made ready in ``folder``."""
    return FileSource(
        Path(folder) / dataset.events_file,
        dataset.mapping,
        chunk_rows=chunk_rows,
        sort=not dataset.sorted_by_time,
        rules=dataset.rules,
    )


def item_titles(dataset: Dataset, folder: Path) -> dict[str, str]:
    """Return titles by item id; an item the publisher does not name has none.

    Raises
    ------
    InputError
        If ``folder`` is not ready.
    """
    try:
        return {item: title for item, (title, _) in read_titles(Path(folder)).items()}
    except FileNotFoundError as error:
        raise InputError(f"{folder}: not ready; first: rtrec data get {dataset.name}") from error


def item_texts(dataset: Dataset, folder: Path) -> dict[str, str]:
    """Return title and genres by item id, in one text: what items are compared by.

    Raises
    ------
    InputError
        If ``folder`` is not ready.
    """
    item_titles(dataset, folder)  # says that it is not
    return {item: f"{title} {genres}".strip() for item, (title, genres) in read_titles(Path(folder)).items()}


def item_categories(dataset: Dataset, folder: Path) -> dict[str, list[str]]:
    """Return the genres of each item by its id; nothing where the publisher names none.

    Raises
    ------
    InputError
        If ``folder`` is not ready.
    """
    item_titles(dataset, folder)  # says that it is not
    named = {item: genres.split() for item, (_, genres) in read_titles(Path(folder)).items()}
    return {item: genres for item, genres in named.items() if genres}


def _before(frame: pd.DataFrame, *, column: str, first: str) -> Any:
    return pc.fill_null(pc.less(RawColumn(frame[column]).text, first), False)


_GROUPLENS = "GroupLens Research, University of Minnesota"
_HARPER = (
    "F. Maxwell Harper and Joseph A. Konstan. 2015. The MovieLens Datasets: History and Context. "
    "ACM Transactions on Interactive Intelligent Systems 5(4), 19. https://doi.org/10.1145/2827872"
)
_RESEARCH_ONLY = (
    "For research. No endorsement by the publisher may be implied; publications must acknowledge the "
    "data set; no commercial use without permission. "
)
_RATINGS = ColumnMapping(
    user="userId", item="movieId", time="timestamp", value="rating", time_unit="s", default_kind="rating"
)


def _movielens(release: str, **rest: Any) -> Dataset:
    return Dataset(
        publisher=_GROUPLENS,
        address=f"https://files.grouplens.org/datasets/movielens/ml-{release}.zip",
        archive=f"ml-{release}.zip",
        folders=(f"ml-{release}",),
        citation=_HARPER,
        events_file="ratings.csv",
        mapping=_RATINGS,
        name=f"movielens-{release}",
        **rest,
    )


_DATASETS = (
    _movielens(
        "latest-small",
        title="MovieLens latest-small (100,000 ratings of films)",
        checksum=None,  # a development set: the publisher replaces it from time to time
        tables=(("ratings.csv",), ("movies.csv",)),
        licence=_RESEARCH_ONLY + "May be passed on under these same conditions.",
        licence_url="https://files.grouplens.org/datasets/movielens/ml-latest-small-README.html",
        prepare=prepare_movielens_csv,
    ),
    _movielens(
        "100k",
        title="MovieLens 100K (100,000 ratings of films, 1998)",
        checksum="md5:0e33842e24a9c977be4e0107933c0723",
        tables=(("u.data",), ("u.item",)),
        licence=_RESEARCH_ONLY + "Not to be passed on without permission.",
        licence_url="https://files.grouplens.org/datasets/movielens/ml-100k-README.txt",
        prepare=prepare_movielens_100k,
    ),
    Dataset(
        name="lastfm-2k",
        title="Last.fm 2K (tags that 1,892 listeners gave to artists, by the month)",
        publisher="HetRec 2011 workshop (Universidad Autonoma de Madrid), with data from Last.fm",
        address="https://files.grouplens.org/datasets/hetrec2011/hetrec2011-lastfm-2k.zip",
        archive="hetrec2011-lastfm-2k.zip",
        checksum="sha256:6738f48195667ff03caaab4d32ca9a3133d8cc026b7c3cdaf6ce1010e913c59c",
        tables=(("user_taggedartists.dat",), ("artists.dat",)),
        folders=("hetrec2011-lastfm-2k",),
        licence=(
            "For non-commercial use; for commercial use contact Last.fm. "
            "Publications must cite both the source and the paper."
        ),
        licence_url="https://files.grouplens.org/datasets/hetrec2011/hetrec2011-lastfm-readme.txt",
        citation=(
            "Last.fm, http://www.last.fm; Ivan Cantador, Peter Brusilovsky and Tsvi Kuflik. 2011. "
            "2nd Workshop on Information Heterogeneity and Fusion in Recommender Systems. RecSys 2011."
        ),
        prepare=prepare_lastfm,
        events_file="tagged_artists.csv",
        mapping=ColumnMapping(
            user="userID", item="artistID", time="date", context=("tagIDs",), default_kind="like"
        ),
        # Five tags, four events, are dated 1956 to 1979; Last.fm began in 2002.
        rules=(Rule("impossible year", ("date",), partial(_before, column="date", first="2002")),),
    ),
    Dataset(
        name="online-retail",
        title="Online Retail (400,000 purchases from a UK gift wholesaler, 2010-2011)",
        publisher="UCI Machine Learning Repository; donor Daqing Chen, London South Bank University",
        address="https://archive.ics.uci.edu/static/public/352/online+retail.zip",
        archive="online+retail.zip",
        checksum="sha256:f5385cbb54bbebf7196389109c6b0621faab0c304e3702548165e71c84aede8b",
        tables=(("online_retail.parquet", "Online Retail.xlsx"),),
        folders=("online_retail",),
        licence="Creative Commons Attribution 4.0: share and adapt, also commercially, if you give credit.",
        licence_url="https://archive.ics.uci.edu/dataset/352/online+retail",
        citation=(
            "Daqing Chen, Sai Liang Sain and Kun Guo. 2012. Data mining for the online retail industry. "
            "Journal of Database Marketing and Customer Strategy Management 19(3). https://doi.org/10.1057/dbm.2012.17"
        ),
        prepare=prepare_online_retail,
        events_file="online_retail.parquet",
        # The value is the price of one piece: it says what sort of article it is. The quantity says more of
        # the customer (many are wholesalers) and stays in the context; so does the invoice, the basket.
        mapping=ColumnMapping(
            user="CustomerID",
            item="StockCode",
            time="InvoiceDate",
            value="UnitPrice",
            context=("InvoiceNo", "Quantity", "Country"),
            timezone="Europe/London",
            default_kind="buy",
        ),
        sorted_by_time=True,
        rules=(
            missing("CustomerID", "no customer"),
            not_positive("Quantity", "quantity not positive"),
            not_positive("UnitPrice", "price not positive"),
        ),
    ),
    _movielens(
        "1m",
        title="MovieLens 1M (1 million ratings of films, 2000-2003)",
        checksum="md5:c4d9eecfca2ab87c1945afe126590906",
        tables=(("ratings.dat",), ("movies.dat",)),
        licence=_RESEARCH_ONLY + "Not to be passed on without permission.",
        licence_url="https://files.grouplens.org/datasets/movielens/ml-1m-README.txt",
        prepare=prepare_movielens_1m,
    ),
    _movielens(
        "25m",
        title="MovieLens 25M (25 million ratings of films, 1995-2019)",
        checksum="md5:6b51fb2759a8657d3bfcbfc42b592ada",
        tables=(("ratings.csv",), ("movies.csv",)),
        licence=_RESEARCH_ONLY + "May be passed on under these same conditions.",
        licence_url="https://files.grouplens.org/datasets/movielens/ml-25m-README.html",
        prepare=prepare_movielens_csv,
    ),
)
