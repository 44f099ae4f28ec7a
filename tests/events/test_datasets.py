from __future__ import annotations

import dataclasses
import gzip
import hashlib
import http.server
import io
import shutil
import threading
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from rtrec.cli.bars import download_bar
from rtrec.errors import CorruptionError, InputError
from rtrec.events.cleaning import Cleaner
from rtrec.events.datasets import get_dataset, item_categories, item_titles, list_datasets, load_source
from rtrec.events.fetching import fetch
from rtrec.events.preparing import RETAIL_COLUMNS
from rtrec.files import publish_file

RATINGS = "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n2,10,4.0,835355493\n"
MOVIES = 'movieId,title,genres\n10,GoldenEye (1995),Action\n31,"Cable Guy, The (1996)",Comedy\n'


def yes(terms: str) -> bool:
    return True


def never_asked(terms: str) -> bool:
    raise AssertionError(f"asked again about terms accepted before: {terms}")


def write_zip(path: Path, tables: dict[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in tables.items():
            archive.writestr(name, content)
    return path


def clean_events(dataset, folder):
    """Return the event table of a whole data set, and the counts of its cleaner."""
    source = load_source(dataset, folder, chunk_rows=50_000)
    cleaner = Cleaner(
        dataset.mapping,
        source=source.name,
        clock=lambda: datetime(2026, 1, 1, tzinfo=UTC),
        rules=dataset.rules,
    )
    tables = [cleaner.clean(chunk.frame, chunk.first_row).events for chunk in source.chunks()]
    return pd.concat([each.to_pandas() for each in tables], ignore_index=True), cleaner.counts


@pytest.fixture
def movielens(tmp_path) -> Path:
    folder = tmp_path / "copies" / "ml-latest-small"
    folder.mkdir(parents=True)
    (folder / "ratings.csv").write_text(RATINGS)
    (folder / "movies.csv").write_text(MOVIES)
    return folder


@pytest.fixture
def serve(tmp_path):
    """Return a function that serves a folder on loopback and gives its address; requests are in `.asked`."""
    servers = []

    def start(folder: Path) -> str:
        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args, **kwargs):
                super().__init__(*args, directory=str(folder), **kwargs)

            def log_message(self, *args):
                start.asked.append(self.path)

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"

    start.asked = []
    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_the_six_data_sets_are_known_with_their_terms():
    films = [f"movielens-{release}" for release in ("100k", "1m", "25m", "latest-small")]
    assert sorted(dataset.name for dataset in list_datasets()) == ["lastfm-2k", *films, "online-retail"]
    for dataset in list_datasets():
        assert dataset.address.startswith("https://")
        assert dataset.address.endswith(dataset.archive)
        assert dataset.licence in dataset.terms()
        assert dataset.citation in dataset.terms()


def test_an_unknown_name_comes_with_the_nearest():
    with pytest.raises(InputError, match="unknown data set 'movielens-1M0'; did you mean 'movielens-1m'"):
        get_dataset("movielens-1M0")


@pytest.mark.parametrize("place", ["ml-latest-small", "."])
def test_a_copy_is_taken_from_its_folder_or_the_one_above(movielens, tmp_path, place):
    dataset = get_dataset("movielens-latest-small")
    folder = fetch(dataset, data_dir=tmp_path / "data", source=movielens.parent / place, accept_licence=yes)
    assert folder == tmp_path / "data" / "movielens-latest-small"
    assert (folder / "ratings.csv").read_text() == RATINGS
    assert item_titles(dataset, folder) == {"10": "GoldenEye (1995)", "31": "Cable Guy, The (1996)"}


def test_events_come_in_order_of_time_with_rating_and_utc(movielens, tmp_path):
    dataset = get_dataset("movielens-latest-small")
    folder = fetch(dataset, data_dir=tmp_path / "data", source=movielens, accept_licence=yes)
    events, counts = clean_events(dataset, folder)
    assert counts == {"accepted": 2}
    assert events["user_id"].tolist() == ["2", "1"]
    assert events["timestamp"].tolist() == [
        datetime.fromtimestamp(835355493, UTC),
        datetime.fromtimestamp(1260759144, UTC),
    ]
    assert events["value"].tolist() == [4.0, 2.5]
    assert set(events["kind"]) == {"rating"}


def test_a_zip_in_the_folder_or_named_itself_will_do(tmp_path):
    dataset = get_dataset("movielens-latest-small")
    tables = {"ml-latest-small/ratings.csv": RATINGS, "ml-latest-small/movies.csv": MOVIES}
    archive = write_zip(tmp_path / "ml-latest-small.zip", tables)
    for data, source in [("one", archive), ("two", tmp_path)]:
        folder = fetch(dataset, data_dir=tmp_path / data, source=source, accept_licence=yes)
        assert (folder / "ratings.csv").read_text() == RATINGS


def test_terms_are_shown_first_and_nothing_happens_without_consent(movielens, tmp_path):
    shown = []
    dataset = get_dataset("movielens-latest-small")
    with pytest.raises(InputError, match="terms were not accepted, so nothing was fetched"):
        fetch(
            dataset,
            data_dir=tmp_path / "data",
            source=movielens,
            accept_licence=lambda terms: bool(shown.append(terms)),
        )
    assert shown == [dataset.terms()]
    assert not (tmp_path / "data").exists()


def test_consent_is_kept_and_a_ready_folder_is_left_alone(movielens, tmp_path):
    dataset = get_dataset("movielens-latest-small")
    folder = fetch(dataset, data_dir=tmp_path / "data", source=movielens, accept_licence=yes)
    before = (folder / "ratings.csv").stat().st_ino
    again = fetch(dataset, data_dir=tmp_path / "data", source=movielens, accept_licence=never_asked)
    without_source = fetch(dataset, data_dir=tmp_path / "data", accept_licence=never_asked)
    assert again == without_source == folder
    assert (folder / "ratings.csv").stat().st_ino == before


def test_a_changed_copy_is_taken_again(movielens, tmp_path):
    dataset = get_dataset("movielens-latest-small")
    fetch(dataset, data_dir=tmp_path / "data", source=movielens, accept_licence=yes)
    (movielens / "ratings.csv").write_text(RATINGS + "3,31,5.0,1260759200\n")
    folder = fetch(dataset, data_dir=tmp_path / "data", source=movielens, accept_licence=yes)
    assert (folder / "ratings.csv").read_text().endswith("3,31,5.0,1260759200\n")


def test_a_copy_half_made_does_not_count_as_ready(movielens, tmp_path):
    dataset = get_dataset("movielens-latest-small")
    folder = fetch(dataset, data_dir=tmp_path / "data", source=movielens, accept_licence=yes)
    (movielens / "movies.csv").write_bytes(b"movieId,title,genres\n10,\xff\xfe,Action\n")
    with pytest.raises(InputError, match=r"movies.csv: .*utf-8"):
        fetch(dataset, data_dir=tmp_path / "data", source=movielens, accept_licence=yes)
    assert not (folder / "origin.json").exists()


def test_a_folder_without_the_tables_says_what_was_expected_where(tmp_path):
    (tmp_path / "ratings.csv").write_text(RATINGS)
    with pytest.raises(
        InputError, match=r"no MovieLens latest-small .* expected ratings.csv, movies.csv \(or ml-"
    ):
        fetch(get_dataset("movielens-latest-small"), data_dir=tmp_path, source=tmp_path, accept_licence=yes)
    with pytest.raises(InputError, match=r"--from .*nowhere: no such file or folder"):
        fetch(
            get_dataset("online-retail"), data_dir=tmp_path, source=tmp_path / "nowhere", accept_licence=yes
        )


def test_movielens_100k_gets_a_header_and_titles_from_latin_1(tmp_path):
    dataset = dataclasses.replace(get_dataset("movielens-100k"), checksum=None)
    film = "|Misérables, Les (1995)|01-Jan-1995||http://x"
    write_zip(
        tmp_path / "ml-100k.zip",
        {
            "ml-100k/u.data": "196\t1\t3\t881250949\n186\t2\t4\t891717742\n",
            "ml-100k/u.item": (
                f"1{film}{'|0' * 19}\n2{film.replace('Misérables', 'Autres')}{'|0' * 17}|1|1\n"
            ).encode("latin-1"),
        },
    )
    folder = fetch(dataset, data_dir=tmp_path / "data", source=tmp_path, accept_licence=yes)
    assert (folder / "ratings.csv").read_text() == (
        "userId,movieId,rating,timestamp\n196,1,3,881250949\n186,2,4,891717742\n"
    )
    assert item_titles(dataset, folder) == {"1": "Misérables, Les (1995)", "2": "Autres, Les (1995)"}
    assert item_categories(dataset, folder) == {"2": ["War", "Western"]}  # the first has none
    assert clean_events(dataset, folder)[1] == {"accepted": 2}


def test_movielens_1m_loses_its_double_colons(tmp_path):
    (tmp_path / "ml-1m").mkdir()
    (tmp_path / "ml-1m" / "ratings.dat").write_text("1::1193::5::978300760\n")
    (tmp_path / "ml-1m" / "movies.dat").write_text(
        "1193::One Flew Over the Cuckoo's Nest (1975)::Sci-Fi|Drama\n"
    )
    dataset = get_dataset("movielens-1m")
    folder = fetch(dataset, data_dir=tmp_path / "data", source=tmp_path, accept_licence=yes)
    assert (folder / "ratings.csv").read_text().splitlines()[1] == "1,1193,5,978300760"
    assert item_titles(dataset, folder) == {"1193": "One Flew Over the Cuckoo's Nest (1975)"}
    assert item_categories(dataset, folder) == {"1193": ["Sci-Fi", "Drama"]}


def test_a_line_with_fields_missing_is_named(tmp_path):
    (tmp_path / "ratings.dat").write_text("1::1193::5::978300760\n1::661\n")
    (tmp_path / "movies.dat").write_text("1193::Nest (1975)::Drama\n")
    with pytest.raises(InputError, match=r"ratings.dat, line 2: expected 4 fields between '::'; got 2"):
        fetch(get_dataset("movielens-1m"), data_dir=tmp_path / "data", source=tmp_path, accept_licence=yes)


def test_lastfm_has_one_event_for_all_tags_given_to_an_artist_on_a_date(tmp_path):
    rows = ["userID artistID tagID day month year", "2 52 13 1 4 2009", "2 52 15 1 4 2009", "2 9 3 1 1 1956"]
    tagged = "".join(f"{row}\n" for row in rows).replace(" ", "\t")
    with gzip.open(tmp_path / "user_taggedartists.dat.gz", "wt") as file:
        file.write(tagged)
    with gzip.open(tmp_path / "artists.dat.gz", "wt", encoding="utf-8") as file:
        file.write('id\tname\turl\tpictureURL\n52\tMorcheeba "live" é\thttp://x\thttp://y\n')
    dataset = get_dataset("lastfm-2k")
    folder = fetch(dataset, data_dir=tmp_path / "data", source=tmp_path, accept_licence=yes)
    events, counts = clean_events(dataset, folder)
    assert counts == {"accepted": 1, "impossible year": 1}
    assert events.loc[0, ["user_id", "item_id", "kind"]].tolist() == ["2", "52", "like"]
    assert events.loc[0, "timestamp"] == datetime(2009, 4, 1, tzinfo=UTC)
    assert events.loc[0, "context"] == '{"tagIDs": "13 15"}'
    assert item_titles(dataset, folder) == {"52": 'Morcheeba "live" é'}


def retail_rows() -> pd.DataFrame:
    when = pd.Timestamp("2011-07-01 08:26:00")
    rows = [
        ("536365", "85123A", "WHITE HEART", 6, when, 2.55, 17850, "United Kingdom"),
        ("536365", 71053, "WHITE LANTERN", 6, when, 3.39, None, "United Kingdom"),
        ("C36379", "85123A", "WHITE HEART ", -1, when, 2.55, 17850, "United Kingdom"),
        (536370, "85123A", "a heart", 1, when, 0.0, 12583, "France"),
        (536371, 71053, None, 2, when, 3.39, 12583, "France"),
    ]
    return pd.DataFrame(rows, columns=list(RETAIL_COLUMNS))


@pytest.mark.parametrize("form", ["parquet", "xlsx"])
def test_online_retail_keeps_sales_to_known_customers_whichever_form_it_comes_in(tmp_path, form):
    rows = retail_rows()
    copy = tmp_path / "copy"
    copy.mkdir()
    if form == "parquet":
        typed = rows.astype({"InvoiceNo": "str", "StockCode": "str", "CustomerID": "Int64"})
        typed.to_parquet(copy / "online_retail.parquet", index=False)
    else:
        write_workbook(copy / "Online Retail.xlsx", rows)
    dataset = get_dataset("online-retail")
    folder = fetch(dataset, data_dir=tmp_path / "data", source=copy, accept_licence=yes)
    events, counts = clean_events(dataset, folder)
    assert counts == {"accepted": 2, "no customer": 1, "quantity not positive": 1, "price not positive": 1}
    assert events["user_id"].tolist() == ["17850", "12583"]
    assert events["item_id"].tolist() == ["85123A", "71053"]
    # Half past eight of a July morning in London is half past seven UTC.
    assert events["timestamp"].tolist() == [datetime(2011, 7, 1, 7, 26, tzinfo=UTC)] * 2
    assert events["value"].tolist() == pytest.approx([2.55, 3.39])
    assert events.loc[1, "context"] == '{"InvoiceNo": "536371", "Quantity": 2, "Country": "France"}'
    assert item_titles(dataset, folder) == {"85123A": "WHITE HEART", "71053": "WHITE LANTERN"}
    assert item_categories(dataset, folder) == {}


def write_workbook(path: Path, rows: pd.DataFrame) -> None:
    """Write the least that counts as a workbook, with numbers and texts as a spreadsheet keeps them."""

    def cell(value: object) -> str:
        if value is None or pd.isna(value):
            return "<c/>"
        if isinstance(value, pd.Timestamp):
            days = (value - pd.Timestamp("1899-12-30")) / pd.Timedelta(days=1)
            return f'<c s="1"><v>{days!r}</v></c>'
        if isinstance(value, (int, float)):
            return f"<c><v>{value}</v></c>"
        return f'<c t="inlineStr"><is><t xml:space="preserve">{value}</t></is></c>'

    lines = [list(rows.columns), *rows.itertuples(index=False)]
    body = "".join(f"<row>{''.join(cell(value) for value in line)}</row>" for line in lines)
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    rels = "http://schemas.openxmlformats.org/package/2006/relationships"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    types = "http://schemas.openxmlformats.org/package/2006/content-types"
    sheet_type = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    write_zip(
        path,
        {
            "[Content_Types].xml": f'<Types xmlns="{types}">'
            '<Default Extension="rels" '
            'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Override PartName="/xl/workbook.xml" ContentType="{sheet_type}.sheet.main+xml"/>'
            f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{sheet_type}.worksheet+xml"/>'
            f'<Override PartName="/xl/styles.xml" ContentType="{sheet_type}.styles+xml"/></Types>',
            "_rels/.rels": f'<Relationships xmlns="{rels}"><Relationship Id="rId1" '
            f'Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
            "xl/workbook.xml": f'<workbook {main} xmlns:r="{office}"><sheets>'
            '<sheet name="Online Retail" sheetId="1" r:id="rId1"/></sheets></workbook>',
            "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{rels}">'
            f'<Relationship Id="rId1" Type="{office}/worksheet" Target="worksheets/sheet1.xml"/>'
            f'<Relationship Id="rId2" Type="{office}/styles" Target="styles.xml"/></Relationships>',
            "xl/styles.xml": f'<styleSheet {main}><cellXfs count="2"><xf numFmtId="0"/>'
            '<xf numFmtId="22" applyNumberFormat="1"/></cellXfs></styleSheet>',
            "xl/worksheets/sheet1.xml": f"<worksheet {main}><sheetData>{body}</sheetData></worksheet>",
        },
    )


def published_zip(folder: Path) -> tuple[Path, str]:
    folder.mkdir()
    archive = write_zip(
        folder / "ml-latest-small.zip", {"ml/ratings.csv": RATINGS * 500, "ml/movies.csv": MOVIES}
    )
    return archive, f"sha256:{hashlib.sha256(archive.read_bytes()).hexdigest()}"


def test_a_download_is_checked_shown_and_done_once(tmp_path, serve):
    archive, digest = published_zip(tmp_path / "site")
    dataset = dataclasses.replace(
        get_dataset("movielens-latest-small"),
        address=f"{serve(archive.parent)}/{archive.name}",
        checksum=digest,
    )
    told = []
    folder = fetch(
        dataset,
        data_dir=tmp_path / "data",
        accept_licence=yes,
        progress=lambda done, total: told.append((done, total)),
    )
    size = archive.stat().st_size
    assert told[-1] == (size, size)
    assert (folder / archive.name).read_bytes() == archive.read_bytes()
    assert (folder / "ratings.csv").read_text() == RATINGS * 500
    assert fetch(dataset, data_dir=tmp_path / "data", accept_licence=never_asked) == folder
    assert len(serve.asked) == 1


def test_a_download_with_another_checksum_is_thrown_away(tmp_path, serve):
    archive, _ = published_zip(tmp_path / "site")
    dataset = dataclasses.replace(
        get_dataset("movielens-latest-small"),
        address=f"{serve(archive.parent)}/{archive.name}",
        checksum="md5:0",
    )
    with pytest.raises(CorruptionError, match=r"ml-latest-small.zip: expected checksum md5:0, found md5:"):
        fetch(dataset, data_dir=tmp_path / "data", accept_licence=yes)
    assert not (tmp_path / "data" / dataset.name / archive.name).exists()


def test_a_checksum_nobody_published_is_noted_and_compared_the_next_time(tmp_path, serve):
    archive, digest = published_zip(tmp_path / "site")
    dataset = dataclasses.replace(
        get_dataset("movielens-latest-small"), address=f"{serve(archive.parent)}/{archive.name}"
    )
    assert dataset.checksum is None
    folder = fetch(dataset, data_dir=tmp_path / "data", accept_licence=yes)
    assert (folder / "checksum.txt").read_text() == digest
    for name in ("origin.json", archive.name):
        (folder / name).unlink()
    write_zip(archive, {"ml/ratings.csv": RATINGS, "ml/movies.csv": MOVIES})
    with pytest.raises(CorruptionError, match=rf"expected checksum {digest}.*delete \S*checksum\.txt$"):
        fetch(dataset, data_dir=tmp_path / "data", accept_licence=yes)
    (folder / "checksum.txt").unlink()
    fetch(dataset, data_dir=tmp_path / "data", accept_licence=never_asked)
    assert (folder / "ratings.csv").read_text() == RATINGS


def test_a_publisher_who_cannot_be_reached_leads_to_the_other_way(tmp_path, serve):
    dataset = dataclasses.replace(get_dataset("online-retail"), address=f"{serve(tmp_path)}/gone.zip")
    with pytest.raises(
        InputError, match=r"cannot download .*gone.zip: .*404.*rtrec data get online-retail --from"
    ):
        fetch(dataset, data_dir=tmp_path / "data", accept_licence=yes)
    assert [path.name for path in (tmp_path / "data" / "online-retail").iterdir()] == ["licence.txt"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_file_whose_writing_breaks_off_leaves_nothing_behind(tmp_path, error):
    def write(file):
        file.write(b"half")
        raise error

    (tmp_path / "old.csv").write_text("whole")
    for name in ("new.csv", "old.csv"):
        with pytest.raises(error):
            publish_file(tmp_path / name, write)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"old.csv": "whole"}


def test_a_damaged_archive_is_named(tmp_path):
    archive, _ = published_zip(tmp_path / "site")
    archive.write_bytes(archive.read_bytes()[:200])
    with pytest.raises(CorruptionError, match=r"ml-latest-small.zip: damaged or cut off"):
        fetch(
            get_dataset("movielens-latest-small"),
            data_dir=tmp_path / "data",
            source=archive,
            accept_licence=yes,
        )


def test_the_bar_shows_in_a_terminal_and_nowhere_else():
    for is_terminal in (True, False):
        out = io.StringIO()
        with download_bar("ml-1m.zip", err=Console(file=out, force_terminal=is_terminal, width=100)) as show:
            show(512, 1024)
        assert ("ml-1m.zip" in out.getvalue()) == is_terminal


def test_titles_of_a_folder_not_ready_say_how_to_fetch(tmp_path):
    with pytest.raises(InputError, match="not ready; first: rtrec data get lastfm-2k"):
        item_titles(get_dataset("lastfm-2k"), tmp_path)


@pytest.mark.parametrize(
    ("name", "accepted", "left_out", "n_users", "n_items", "n_titles"),
    [
        ("movielens-latest-small", 100_004, 0, 671, 9066, 9125),
        ("online-retail", 397_884, 541_909 - 397_884, 4338, 3665, None),
        # 85,015 distinct (user, artist, date) of 186,479 tags, four of them before there was a Last.fm.
        ("lastfm-2k", 85_011, 4, 1892, 12_523, 17_632),
    ],
)
def test_real_data_has_the_published_counts(
    shared_datasets, tmp_path, name, accepted, left_out, n_users, n_items, n_titles
):
    dataset = get_dataset(name)
    folder = fetch(dataset, data_dir=tmp_path, source=shared_datasets, accept_licence=yes)
    events, counts = clean_events(dataset, folder)
    assert counts.pop("accepted") == accepted
    assert sum(counts.values()) == left_out
    assert events["user_id"].nunique() == pytest.approx(n_users, abs=2 if name == "lastfm-2k" else 0)
    assert events["item_id"].nunique() == pytest.approx(n_items, abs=5 if name == "lastfm-2k" else 0)
    assert events["timestamp"].is_monotonic_increasing
    titles = item_titles(dataset, folder)
    assert n_titles is None or len(titles) == n_titles
    assert events["item_id"].isin(titles.keys()).mean() > 0.95
    shutil.rmtree(folder)
