"""Replay of files: whole, damaged, resumed, sorted."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from rtrec.errors import InputError
from rtrec.events.cleaning import CleanBatch, Cleaner, DeadLetter
from rtrec.events.loading import load_events
from rtrec.events.mapping import ColumnMapping
from rtrec.events.rules import missing, not_positive
from rtrec.events.sources import FileSource

MAPPING = ColumnMapping("user", "item", "time")
HEADER = "user,item,time\n"
CSV = HEADER + "anna,7,30\nben,8,10\ncleo,9,20\n"
USERS = ["anna", "ben", "cleo"]


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def replay(source: FileSource, **options: object) -> CleanBatch:
    """Return all events and dead letters of a source."""
    cleaner = Cleaner(
        source.mapping, source=source.name, clock=lambda: datetime(2024, 5, 1, tzinfo=UTC), **options
    )
    batches = [cleaner.clean(chunk.frame, chunk.first_row) for chunk in source.chunks()]
    events = pa.concat_tables([batch.events for batch in batches])
    return CleanBatch(events, [dead for batch in batches for dead in batch.dead_letters])


def users_and_dead(path: Path, **options: object) -> tuple[list[str], list[DeadLetter]]:
    events, dead_letters = replay(FileSource(path, MAPPING, **options))
    return events["user_id"].to_pylist(), dead_letters


JSON_LINES = "".join(
    json.dumps({"user": user, "item": item, "time": time}) + "\n"
    for user, item, time in [("anna", 7, 30), ("ben", 8, 10), ("cleo", 9, 20)]
)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("log.csv", CSV),
        ("log.csv.gz", CSV),
        ("log.CSV", CSV.replace("\n", "\r\n")),
        ("log.csv", "\ufeff" + CSV),
        ("log.csv", CSV.rstrip("\n")),
        ("log.csv", CSV.replace("\n", "\n\n")),
        ("log.csv", CSV.replace(",", ";")),
        ("log.csv", "time,extra,item,user\n30,x,7,anna\n10,,8,ben\n20,y,9,cleo\n"),
        ("log.csv", HEADER + '"anna",7,30\nben,"8","10"\ncleo,9,20\n'),
        ("log.tsv", CSV.replace(",", "\t")),
        ("log.dat.gz", CSV.replace(",", "\t")),
        ("log.jsonl", JSON_LINES),
        ("log.ndjson", JSON_LINES.replace("\n", "\n\n")),
        ("log.jsonl.gz", JSON_LINES),
    ],
)
def test_text_formats_say_the_same(tmp_path: Path, name: str, content: str):
    events, dead_letters = replay(FileSource(write(tmp_path, name, content), MAPPING))
    assert dead_letters == []
    assert events["user_id"].to_pylist() == USERS
    assert events["item_id"].to_pylist() == ["7", "8", "9"]
    assert events["event_id"].to_pylist() == [f"{name}:1", f"{name}:2", f"{name}:3"]


def test_parquet_says_the_same_with_types(tmp_path: Path):
    times = pd.to_datetime([30, 10, 20], unit="s")
    pq.write_table(pa.table({"user": USERS, "item": [7, None, 9], "time": times}), tmp_path / "log.parquet")
    events, (dead,) = replay(FileSource(tmp_path / "log.parquet", MAPPING))
    assert events["item_id"].to_pylist() == ["7", "9"]
    assert (dead.row, dead.reason) == (2, "missing item")


@pytest.mark.parametrize(
    "kind",
    ["string", "large_string", "string_view", "binary", "large_binary", "binary_view"],
)
def test_texts_of_parquet_read_alike_whatever_their_type(tmp_path: Path, kind: str):
    cells = pa.array([user.encode() if "binary" in kind else user for user in USERS], getattr(pa, kind)())
    table = pa.table({"user": cells, "item": cells, "time": [30, 10, 20]})
    pq.write_table(table, tmp_path / "log.parquet")
    assert users_and_dead(tmp_path / "log.parquet") == (USERS, [])
    assert load_events(table, MAPPING).events["user_id"].to_pylist() == ["ben", "cleo", "anna"]


@pytest.mark.parametrize("name", ["time", "item"])
def test_a_time_zone_of_parquet_that_is_nowhere_is_refused_with_its_column(tmp_path: Path, name: str):
    nowhere = pa.array([1], pa.timestamp("us", "Mars/Zone"))
    table = pa.table({"user": ["anna"], "item": ["7"], "time": [1], "unread": nowhere})
    assert load_events(table.drop_columns("unread"), MAPPING).events.num_rows == 1
    pq.write_table(table, tmp_path / "log.parquet")
    assert users_and_dead(tmp_path / "log.parquet") == (["anna"], [])  # nobody reads that column
    table = table.set_column(table.schema.get_field_index(name), name, nowhere).drop_columns("unread")
    pq.write_table(table, tmp_path / "log.parquet")
    words = f"column '{name}': time zone 'Mars/Zone' is unknown; expected an IANA name"
    with pytest.raises(InputError, match=rf"log\.parquet: {words}"):
        FileSource(tmp_path / "log.parquet", MAPPING)
    with pytest.raises(InputError, match=f"table: {words}"):
        load_events(table, MAPPING)


def test_rows_that_span_lines_are_one_row(tmp_path: Path):
    mapping = ColumnMapping("user", "item", "time", context=("note",))
    content = 'user,item,time,note\nanna,7,1,"two\nlines, and a ""quote"""\nben,8,2,plain\n'
    events, dead_letters = replay(FileSource(write(tmp_path, "log.csv", content), mapping))
    assert dead_letters == []
    assert [json.loads(context)["note"] for context in events["context"].to_pylist()] == [
        'two\nlines, and a "quote"',
        "plain",
    ]


# --- Files that cannot be used at all -----------------------------------------------------------------


def test_missing_file_is_named_with_its_nearest_neighbour(tmp_path: Path):
    write(tmp_path, "ratings.csv", CSV)
    with pytest.raises(InputError, match=r"rating\.csv: no such file; did you mean 'ratings\.csv'\?"):
        FileSource(tmp_path / "rating.csv", MAPPING)
    with pytest.raises(InputError, match="no such file"):
        FileSource(tmp_path / "nowhere" / "log.csv", MAPPING)
    with pytest.raises(InputError, match="expected a file; this is a folder"):
        FileSource(tmp_path, MAPPING)


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl", "log.csv.gz", "log.parquet"])
def test_empty_file_is_said_to_be_empty(tmp_path: Path, name: str):
    with pytest.raises(InputError, match=rf"{name}: the file is empty"):
        FileSource(write(tmp_path, name, ""), MAPPING)


def test_file_without_rows_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="a header and no rows"):
        FileSource(write(tmp_path, "log.csv", HEADER + "\n\n"), MAPPING)
    with pytest.raises(InputError, match="no rows; expected one JSON object a line"):
        FileSource(write(tmp_path, "log.jsonl", "\n \n"), MAPPING)
    pq.write_table(pa.table({"user": [], "item": [], "time": []}), tmp_path / "log.parquet")
    with pytest.raises(InputError, match="no rows"):
        FileSource(tmp_path / "log.parquet", MAPPING)


def test_unknown_format_is_refused_with_the_known_ones(tmp_path: Path):
    with pytest.raises(InputError, match=r"format '\.xlsx' is unknown; expected one of \.csv, .*\.parquet"):
        FileSource(write(tmp_path, "log.xlsx", CSV), MAPPING)


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl", "log.parquet"])
def test_missing_column_is_named_with_those_there_and_the_nearest(tmp_path: Path, name: str):
    if name == "log.parquet":
        pq.write_table(pa.table({"user": USERS, "item": USERS, "time": [1, 2, 3]}), tmp_path / name)
    else:
        write(tmp_path, name, CSV if name == "log.csv" else JSON_LINES)
    with pytest.raises(
        InputError, match=rf"{name}: no column 'iten'; it has 'user', 'item', 'time'; did you mean 'item'\?"
    ):
        FileSource(tmp_path / name, ColumnMapping("user", "iten", "time"))


def test_missing_column_of_a_rule_is_found_before_the_first_row(tmp_path: Path):
    with pytest.raises(InputError, match="no column 'Quantity'"):
        FileSource(write(tmp_path, "log.csv", CSV), MAPPING, rules=[not_positive("Quantity", "none")])


def test_a_rare_key_of_json_lines_is_found_anywhere(tmp_path: Path):
    content = JSON_LINES * 400 + '{"user": "dora", "item": 1, "time": 40, "price": 2.5}\n'
    source = FileSource(
        write(tmp_path, "log.jsonl", content), ColumnMapping("user", "item", "time", value="price")
    )
    assert replay(source).events["value"].to_pylist()[-2:] == [None, 2.5]


def test_other_encoding_is_refused_with_line_and_byte(tmp_path: Path):
    # Line 3, and the byte after the 15 of the header, the 10 of "anna,7,30\n" and the 1 of "z".
    path = write(tmp_path, "log.csv", (HEADER + "anna,7,30\nzoë,8,10\n").encode("latin-1"))
    with pytest.raises(
        InputError, match=r"log\.csv: line 3, byte 27: not utf-8 text \(0xeb.*--encoding latin-1"
    ):
        FileSource(path, MAPPING)
    assert users_and_dead(path, encoding="latin-1") == (["anna", "zoë"], [])


def test_other_encoding_is_found_wherever_it_starts(tmp_path: Path):
    # Blocks of a mebibyte are decoded one by one; a character may lie across the border.
    body = "anna,7,30\n" * 200_000
    path = write(tmp_path, "log.csv", (HEADER + body).encode() + "zoë,8,10\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"line 200002, byte 2,000,017"):
        FileSource(path, MAPPING)
    long = "ë" * 1_048_576
    assert FileSource(write(tmp_path, "good.csv", f"{HEADER}anna,7,30\nx{long},8,1\n"), MAPPING).n_rows == 2


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_marked_encoding_is_recognised(tmp_path: Path, encoding: str):
    path = write(tmp_path, "log.csv", CSV.encode(encoding))
    with pytest.raises(InputError, match=f"try --encoding {encoding}"):
        FileSource(path, MAPPING)
    assert users_and_dead(path, encoding=encoding) == (USERS, [])


def test_binary_file_and_unknown_encoding_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="byte 3 is zero, and so are many others: this is no utf-8 text"):
        FileSource(write(tmp_path, "log.csv", b"abc\0def"), MAPPING)
    with pytest.raises(InputError, match="encoding 'utf-9' is unknown"):
        FileSource(write(tmp_path, "log.csv", CSV), MAPPING, encoding="utf-9")


def test_truncated_gzip_is_refused(tmp_path: Path):
    path = write(
        tmp_path, "log.csv.gz", HEADER + "".join(f"user{n},{n * 7919 % 1000},{n}\n" for n in range(5000))
    )
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError, match=r"log\.csv\.gz: not a whole gzip file .* fetch it again"):
        FileSource(path, MAPPING)
    path.write_bytes(CSV.encode())
    with pytest.raises(InputError, match="not a whole gzip file"):
        FileSource(path, MAPPING)


def test_truncated_parquet_is_refused(tmp_path: Path):
    path = tmp_path / "log.parquet"
    pq.write_table(pa.table({"user": USERS, "item": USERS, "time": [1, 2, 3]}), path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"log\.parquet: not a whole Parquet file .* fetch it again"):
        FileSource(path, MAPPING)


def test_parquet_damaged_inside_is_refused_at_its_row(tmp_path: Path):
    path = tmp_path / "log.parquet"
    table = pa.table(
        {name: [f"{name}{n * 7919 % 10_007}" for n in range(4000)] for name in ("user", "item", "time")}
    )
    pq.write_table(table, path, row_group_size=1000, use_dictionary=False)
    data = bytearray(path.read_bytes())
    start = pq.ParquetFile(path).metadata.row_group(2).column(0).data_page_offset
    data[start : start + 400] = b"\xff" * 400
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"row 2001: the file is damaged from here on"):
        list(FileSource(path, MAPPING, chunk_rows=1000).chunks())


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_refused_with_its_name(tmp_path: Path, encoding: str):
    path = write(tmp_path, "log.csv", CSV.encode(encoding))
    with pytest.raises(InputError, match=rf"is zero, .*; if it is text .*try --encoding {encoding}$"):
        FileSource(path, MAPPING)
    assert users_and_dead(path, encoding=encoding)[0] == USERS


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (gzip.compress(CSV.encode(), mtime=0), r"this is gzip; let its name end in \.gz"),
        (b"PK\x03\x04...", "this is a zip archive, or an Excel file; unpack it"),
        (b"PAR1...", r"this is Parquet; let its name end in \.parquet"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_file_that_is_no_text_is_told_by_its_first_bytes(
    tmp_path: Path, content: bytes, words: str, encoding: str
):
    with pytest.raises(InputError, match=rf"log\.csv: begins as no text does: {words}"):
        FileSource(write(tmp_path, "log.csv", content), MAPPING, encoding=encoding)


@pytest.mark.parametrize(
    "encoding", ["base64", "rot13", "hex", "bz2", "idna", "undefined", "", "u\0", "uft-8"]
)
def test_what_is_no_encoding_of_text_is_refused(tmp_path: Path, encoding: str):
    with pytest.raises(
        InputError, match=r"encoding '.*' is unknown as one of text.*; try utf-8, latin-1, cp1252 or"
    ):
        FileSource(write(tmp_path, "log.csv", CSV), MAPPING, encoding=encoding)


@pytest.mark.parametrize("header", ["", " \n", ",,\n", "\n" + HEADER])
def test_a_header_without_names_is_said_to_name_no_columns(tmp_path: Path, header: str):
    path = write(tmp_path, "blank.csv", f"{header}\n{CSV}")
    with pytest.raises(
        InputError, match=r"blank\.csv: line 1: .* it names no columns: .*no blank lines above"
    ):
        FileSource(path, MAPPING)


def test_lines_may_end_in_carriage_returns_alone(tmp_path: Path):
    large = "x" * 2_000_000
    path = write(tmp_path, "log.csv", f"{HEADER}{large},1,1\n{CSV.removeprefix(HEADER)}".replace("\n", "\r"))
    with capture_logs() as logs:
        source = FileSource(path, MAPPING)
    assert logs == []
    assert source.n_rows == 4
    events, (dead,) = replay(source)
    assert events["user_id"].to_pylist() == USERS
    assert (dead.row, dead.reason) == (1, "oversize field")


def test_json_array_is_refused_with_the_way_out(tmp_path: Path):
    with pytest.raises(InputError, match=r"expected one JSON object a line; got '\['; .*jq -c"):
        FileSource(write(tmp_path, "log.json", '[\n {"user": 1},\n {"user": 2}\n]\n'), MAPPING)


# --- Single bad rows ------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", ["ben,8", "ben,8,10,11", "ben", '"ben"x,8,10', '"ben,8,10'])
def test_a_broken_csv_row_is_a_dead_letter_and_the_others_are_kept(tmp_path: Path, bad: str):
    users, (dead,) = users_and_dead(write(tmp_path, "log.csv", f"{HEADER}anna,7,30\n{bad}\ncleo,9,20\n"))
    assert users == ["anna", "cleo"]
    assert dead == DeadLetter("log.csv", 2, "unparsable row", "", bad, "line")


def test_a_quote_that_is_never_closed_does_not_swallow_the_rows_below(tmp_path: Path):
    body = "".join(f"user{number},7,{number}\n" for number in range(20_000))
    users, (dead,) = users_and_dead(write(tmp_path, "log.csv", f'{HEADER}anna,7,"30\n{body}'))
    assert len(users) == 20_000
    assert (dead.row, dead.payload) == (1, 'anna,7,"30')


@pytest.mark.parametrize("bad", ["{", "[1, 2]", "7", "null", '{"user": "ben"', "[" * 100_000, "1" * 5_000])
def test_a_broken_json_line_is_a_dead_letter_and_the_others_are_kept(tmp_path: Path, bad: str):
    anna, _, cleo = JSON_LINES.splitlines()
    users, (dead,) = users_and_dead(write(tmp_path, "log.jsonl", f"{anna}\n{bad}\n{cleo}\n"))
    assert users == ["anna", "cleo"]
    assert (dead.row, dead.reason) == (2, "unparsable row")
    assert dead.payload[:1000] == bad[:1000]


def test_json_lines_may_lack_keys_and_mix_types(tmp_path: Path):
    content = JSON_LINES + '{"user": 7, "item": "x", "time": "1970-01-01T00:01Z"}\n{"item": 1, "time": 1}\n'
    users, (dead,) = users_and_dead(write(tmp_path, "log.jsonl", content))
    assert users == [*USERS, "7"]
    assert (dead.row, dead.reason, dead.column) == (5, "missing user", "user")


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl"])
def test_a_row_cut_in_half_at_the_end_is_a_dead_letter(tmp_path: Path, name: str):
    content = CSV if name == "log.csv" else JSON_LINES
    with capture_logs() as logs:
        users, (dead,) = users_and_dead(write(tmp_path, name, content[:-5]))
    assert users == USERS[:2]
    assert (dead.row, dead.reason) == (3, "unparsable row")
    assert "may be cut" in logs[0]["event"]


def test_a_character_cut_in_half_at_the_end_is_a_dead_letter(tmp_path: Path):
    path = write(tmp_path, "log.csv", (HEADER + "anna,7,30\n").encode() + "ben,8,ë".encode()[:-1])
    users, (dead,) = users_and_dead(path)
    assert users == ["anna"]
    assert (dead.row, dead.reason, dead.kept) == (2, "unparsable row", "part")


def test_bytes_in_a_cell_are_kept_so_that_nobody_takes_them_for_text(tmp_path: Path):
    """Spell them as Python does, and a redrive makes users of them that there never were."""
    users = pa.array([b"anna", "käse".encode(), b"\xff\xfe", rb"\xff\xfe"])
    table = pa.table({"user": users, "item": [7] * 4, "time": [30, -1e12, 20, -1e12]})
    path = tmp_path / "log.parquet"
    pq.write_table(table, path)
    events, dead = replay(FileSource(path, MAPPING))
    assert events["user_id"].to_pylist() == ["anna"]
    assert [json.loads(each.payload)["user"] for each in dead] == ["käse", "\udcff\udcfe", r"\xff\xfe"]
    assert "\udcff\udcfe".encode("utf-8", "surrogateescape") == b"\xff\xfe"


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl", "log.csv.gz"])
def test_a_field_of_ten_megabytes_is_a_dead_letter_and_not_held_in_memory(tmp_path: Path, name: str):
    large = "x" * 10_000_000
    if name == "log.jsonl":
        content = JSON_LINES + json.dumps({"user": large, "item": 1, "time": 1}) + "\n" + JSON_LINES
    else:
        content = f"{CSV}{large},1,1\n{CSV.removeprefix(HEADER)}"
    source = FileSource(write(tmp_path, name, content), MAPPING)
    tracemalloc.start()
    events, (dead,) = replay(source)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert events["user_id"].to_pylist() == USERS * 2
    assert (dead.row, dead.reason) == (4, "oversize field")
    assert "(10,000,0" in dead.payload
    assert len(dead.payload) < 2_100
    assert peak < 20e6


@pytest.mark.parametrize("size", [70_000, 200_000])
def test_a_field_over_the_limit_is_a_dead_letter_in_every_size(tmp_path: Path, size: int):
    users, (dead,) = users_and_dead(write(tmp_path, "log.csv", f"{CSV}{'x' * size},1,1\n"))
    assert users == USERS
    assert (dead.row, dead.reason) == (4, "oversize field")


@pytest.mark.parametrize(
    "large",
    [
        "x\n" * 100_000,
        'a ""quote"", and more\r\n' * 10_000,
        "x" * 2_000_000 + "\n" + "x\n" * 100_000,
        "x\n" * 100_000 + "longer, " * 300_000,
    ],
    ids=["lines", "quotes", "long line first", "long line last"],
)
@pytest.mark.parametrize("quoted", ['anna,"{}",5', '"{}",7,5', 'anna,7,"{}"'])
def test_an_oversize_field_of_many_lines_is_one_dead_letter(tmp_path: Path, large: str, quoted: str):
    row = quoted.format(large)
    content = f"{CSV}{row}\n{CSV.removeprefix(HEADER)}"
    events, (dead,) = replay(FileSource(write(tmp_path, "log.csv", content), MAPPING))
    assert events["event_id"].to_pylist() == [f"log.csv:{row}" for row in (1, 2, 3, 5, 6, 7)]
    assert (dead.row, dead.reason) == (4, "oversize field")
    assert dead.payload[:50] == row[:50]
    assert f"({len(row) + 1:,} characters in all)" in dead.payload


def test_a_quote_that_is_closed_by_chance_far_below_swallows_no_rows(tmp_path: Path):
    body = "".join(f"user{number},7,{number}\n" for number in range(20_000))
    content = f'{HEADER}anna,7,"30\n{body}"ben",8,10\n{body}cleo,"9",20\n'
    users, (dead,) = users_and_dead(write(tmp_path, "log.csv", content))
    assert len(users) == 40_002
    assert (dead.row, dead.payload) == (1, 'anna,7,"30')


@pytest.mark.parametrize("n_before", [1, 2_000])
@pytest.mark.parametrize("bad", ["b\0en,8,10", "ben,\0,10", '"b\0\nen",8,10'])
def test_a_zero_byte_spoils_its_own_row_wherever_it_stands(tmp_path: Path, n_before: int, bad: str):
    content = HEADER + "anna,7,30\n" * n_before + f"{bad}\ncleo,9,20\n"
    users, (dead,) = users_and_dead(write(tmp_path, "log.csv", content))
    assert users == ["anna"] * n_before + ["cleo"]
    assert dead == DeadLetter("log.csv", n_before + 1, "unparsable row", "", bad, "line")


def test_a_zero_character_that_json_spells_is_no_id(tmp_path: Path):
    users, (dead,) = users_and_dead(write(tmp_path, "log.jsonl", JSON_LINES.replace("ben", r"b\u0000en")))
    assert users == ["anna", "cleo"]
    assert (dead.row, dead.reason, dead.column) == (2, "user is no text", "user")


# --- Order, place, restart --------------------------------------------------------------------------------


def test_sorted_replay_keeps_row_numbers_of_the_file(tmp_path: Path):
    content = CSV + "dora,1,garbage\nemil,2,10\n"
    events, (dead,) = replay(
        FileSource(write(tmp_path, "log.csv", content), MAPPING, sort=True, chunk_rows=2)
    )
    # By time 10, 10, 20, 30; ben stands before emil in the file.
    assert events["user_id"].to_pylist() == ["ben", "emil", "cleo", "anna"]
    assert events["event_id"].to_pylist() == ["log.csv:2", "log.csv:5", "log.csv:3", "log.csv:1"]
    assert (dead.row, dead.reason) == (4, "unparsable time")


def test_sorted_replay_keeps_rows_that_could_not_be_read(tmp_path: Path):
    users, (dead,) = users_and_dead(write(tmp_path, "log.csv", CSV + "half\n"), sort=True)
    assert users == ["ben", "cleo", "anna"]
    assert (dead.row, dead.payload) == (4, "half")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("many")
    frame = pd.DataFrame({"user": range(100), "item": 7, "time": [n * 37 % 100 for n in range(100)]})
    pq.write_table(pa.Table.from_pandas(frame), folder / "log.parquet", row_group_size=13)
    frame.to_csv(folder / "log.csv", index=False)
    frame.to_json(folder / "log.jsonl", orient="records", lines=True)
    return {path.suffix: path for path in folder.iterdir()}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    suffix=st.sampled_from([".csv", ".jsonl", ".parquet"]),
    sort=st.booleans(),
    chunk_rows=st.integers(1, 120),
    start_row=st.integers(0, 110),
)
def test_a_replay_goes_on_at_any_row(
    many: dict[str, Path], suffix: str, sort: bool, chunk_rows: int, start_row: int
):
    source = FileSource(many[suffix], MAPPING, sort=sort, chunk_rows=chunk_rows)
    whole = [int(user) for chunk in source.chunks() for user in chunk.frame["user"]]
    rest = list(source.chunks(start_row))
    assert sorted(whole) == list(range(100))
    assert [int(user) for chunk in rest for user in chunk.frame["user"]] == whole[start_row:]
    assert all(len(chunk.frame) <= chunk_rows for chunk in rest)
    # Row n of the file is user n - 1, wherever the replay has it.
    assert [row - 1 for chunk in rest for row in chunk.frame.index] == whole[start_row:]
    positions = [start_row, *(chunk.position for chunk in rest)]
    assert [chunk.first_row - 1 for chunk in rest] == positions[:-1]


def test_unreadable_rows_count_as_rows_when_a_replay_goes_on(tmp_path: Path):
    source = FileSource(
        write(tmp_path, "log.csv", f"{HEADER}half\n{CSV.removeprefix(HEADER)}"), MAPPING, chunk_rows=2
    )
    first, second = source.chunks()
    assert (first.position, second.position) == (2, 4)
    (rest,) = source.chunks(2)
    pd.testing.assert_frame_equal(rest.frame, second.frame)


def test_number_of_rows_is_known_beforehand(many: dict[str, Path]):
    assert {suffix: FileSource(path, MAPPING).n_rows for suffix, path in many.items()} == dict.fromkeys(
        many, 100
    )


def test_a_chunk_needs_room(many: dict[str, Path]):
    with pytest.raises(ValueError, match="chunk_rows=0"):
        FileSource(many[".csv"], MAPPING, chunk_rows=0)


@pytest.mark.parametrize("sort", [False, True])
def test_movielens_file_is_accepted_whole(shared_datasets: Path, sort: bool):
    mapping = ColumnMapping("userId", "movieId", "timestamp", value="rating", default_kind="rating")
    source = FileSource(shared_datasets / "ml-latest-small" / "ratings.csv", mapping, sort=sort)
    events, dead_letters = replay(source)
    assert events.num_rows == source.n_rows == 100_004
    assert dead_letters == []
    times = events["timestamp"].to_numpy()
    assert (times[1:] >= times[:-1]).all() == sort


def test_online_retail_file_gives_its_known_number_of_events(shared_datasets: Path):
    rules = [
        missing("CustomerID", "no customer"),
        not_positive("Quantity", "quantity not positive"),
        not_positive("UnitPrice", "price not positive"),
    ]
    mapping = ColumnMapping(
        "CustomerID",
        "StockCode",
        "InvoiceDate",
        value="UnitPrice",
        default_kind="buy",
        timezone="Europe/London",
    )
    source = FileSource(shared_datasets / "online-retail" / "online_retail.parquet", mapping, rules=rules)
    events, dead_letters = replay(source, rules=rules)
    assert events.num_rows == 397_884
    assert dead_letters == []
    assert len(events["user_id"].unique()) == 4_338
    assert len(events["item_id"].unique()) == 3_665
