"""Bad input through `rtrec evaluate` and `rtrec run`.

Unusable files exit with 2, single bad rows become dead letters and the run goes on. Messages name the file,
and the row and column where there is one.
"""

from __future__ import annotations

import gzip
import json

import pandas as pd
import pytest

from tests.cli.samples import COLUMNS, json_lines, write_events

N = 60
TEN_MB = "x" * 10_000_000


def missing(folder):
    write_events(folder / "evenst.csv")
    return folder / "events.csv"


def empty(folder):
    (folder / "events.csv").touch()
    return folder / "events.csv"


def header_only(folder):
    return write_events(folder / "events.csv", 0)


def empty_parquet(folder):
    (folder / "events.parquet").touch()
    return folder / "events.parquet"


def truncated_gzip(folder):
    whole = gzip.compress(write_events(folder / "whole.csv", 5000).read_bytes())
    (folder / "events.csv.gz").write_bytes(whole[: len(whole) // 2])
    return folder / "events.csv.gz"


def truncated_parquet(folder):
    path = folder / "events.parquet"
    pd.read_csv(write_events(folder / "whole.csv")).to_parquet(path)
    path.write_bytes(path.read_bytes()[:-100])
    return path


def other_encoding(folder):
    path = write_events(folder / "events.csv", N, item=[*["i"] * 40, "café", *["i"] * (N - 41)])
    path.write_bytes(path.read_text(encoding="utf-8").encode("latin-1"))
    return path


def other_column(folder):
    path = write_events(folder / "events.csv")
    path.write_text(path.read_text().replace("user,item", "User_,item", 1))
    return path


def other_format(folder):
    return write_events(folder / "events.csv").rename(folder / "events.xls")


def unparsable_times(folder):
    return write_events(folder / "events.csv", N, at=["yesterday"] * N)


def far_future(folder):
    return write_events(folder / "events.csv", N, at=["2999-01-01T00:00:00Z"] * N)


def no_ids(folder):
    return write_events(folder / "events.csv", N, user=["NaN"] * N)


def negative_quantities(folder):
    return write_events(folder / "events.csv", N, price=[-1] * N)


def huge_fields(folder):
    return write_events(folder / "events.csv", 2, item=[TEN_MB] * 2)


UNUSABLE = {
    missing: ["events.csv: no such file; did you mean 'evenst.csv'?"],
    empty: ["events.csv: the file is empty"],
    header_only: ["events.csv: a header and no rows"],
    empty_parquet: ["events.parquet: the file is empty"],
    truncated_gzip: ["events.csv.gz:"],
    truncated_parquet: ["events.parquet: not a whole Parquet file"],
    other_encoding: ["events.csv:", "line 42", "--encoding"],
    other_column: ["events.csv: no column 'user'; it has 'User_', 'item'", "did you mean 'User_'?"],
    other_format: ["events.xls: format '.xls' is unknown"],
    unparsable_times: ["events.csv: none of 60 rows", "row 1, column 'at', unparsable time", "yesterday"],
    far_future: ["events.csv: none of 60 rows", "row 1, column 'at', far future", "2999"],
    no_ids: ["events.csv: none of 60 rows", "row 1, column 'user', missing user"],
    negative_quantities: ["events.csv: none of 60 rows", "row 1, column 'price', negative quantity"],
    huge_fields: ["events.csv: none of 2 rows", "row 1", "oversize field"],
}


@pytest.mark.parametrize("command", [["evaluate"], ["run", "--headless"]], ids=lambda words: words[0])
@pytest.mark.parametrize("make", UNUSABLE, ids=lambda make: make.__name__)
def test_an_unusable_file_exits_with_2_and_says_where_and_what(rtrec, tmp_path, command, make):
    result = rtrec(*command, make(tmp_path), *COLUMNS, "--json")
    assert result.exit_code == 2
    assert result.stdout == ""
    message = result.stderr.splitlines()[-1]
    assert message.startswith("Error: ")
    assert len(message) < 3000
    for words in UNUSABLE[make]:
        assert words in message
    assert "Traceback" not in result.stderr
    assert not (tmp_path / ".rtrec").exists() or not list((tmp_path / ".rtrec").rglob("deployment.json"))


def test_a_real_process_exits_with_2(rtrec_process, tmp_path):
    result = rtrec_process("run", other_column(tmp_path), *COLUMNS, "--headless")
    assert result.returncode == 2
    assert "did you mean 'User_'?" in result.stderr
    assert "Traceback" not in result.stderr


#: Row by row, from row 11 on: what is wrong with it, and the reason and column it is refused for.
BAD_ROWS = [
    ({"at": "yesterday"}, "unparsable time", "at"),
    ({"at": "2999-01-01T00:00:00Z"}, "far future", "at"),
    ({"user": "NaN"}, "missing user", "user"),
    ({"item": ""}, "missing item", "item"),
    ({"price": "-3"}, "negative quantity", "price"),
    ({"price": "cheap"}, "not a number", "price"),
    ({"item": "x" * 70_000}, "oversize field", "item"),
    ({"item": TEN_MB}, "oversize field", ""),  # not even split into its columns
]
#: One more is left out, and is no dead letter: it came before.
REPEATED_ROW = {"id": "e1"}
BY_ID = (*COLUMNS, "--event-id", "id")


@pytest.fixture
def some_bad(tmp_path):
    """Return a file of 200 rows: 8 bad ones and one that repeats in the middle, and half a row at its end."""
    columns = {
        "user": [f"u{row % 7}" for row in range(200)],
        "item": [f"i{row % 5}" for row in range(200)],
        "at": [1_700_000_000 + 60 * row for row in range(200)],
        "price": ["1"] * 200,
        "id": [f"e{row}" for row in range(200)],
    }
    for place, cells in enumerate([*(cells for cells, _, _ in BAD_ROWS), REPEATED_ROW], 10):
        for name, cell in cells.items():
            columns[name][place] = cell
    path = write_events(tmp_path / "events.csv", 200, **columns)
    with path.open("a") as file:
        file.write("u1,i")
    return path


def test_evaluate_goes_on_past_bad_rows_and_says_where_they_are(rtrec, some_bad):
    result = rtrec("evaluate", some_bad, *BY_ID, "--models", "popularity", "--warmup", 0, "--json")
    assert result.exit_code == 0, result.stderr
    assert json_lines(result.stdout)[0]["events"] == 191
    assert "events.csv: 191 of 201 rows are events" in result.stderr
    assert "row 11, column 'at': unparsable time:" in result.stderr
    assert "and 4 more" in result.stderr
    assert len(result.stderr) < 5000


def test_a_run_goes_on_past_bad_rows_and_keeps_them_with_their_reasons(rtrec, some_bad, in_threads):
    result = rtrec("run", some_bad, *BY_ID, "--home", "home", "--headless", "--json")
    assert result.exit_code == 0, result.stderr
    summary = json.loads(result.stdout.splitlines()[-1])
    assert (summary["events"], summary["dead_letters"]) == (191, 9)
    assert "9 rows could not become events; see them: rtrec log dead-letters --home home" in result.stderr

    letters = json_lines(rtrec("log", "dead-letters", "--home", "home", "--json").stdout)
    found = {(each["row"], each["reason"], each["column"]) for each in letters}
    assert found >= {(row, reason, column) for row, (_, reason, column) in enumerate(BAD_ROWS, 11)}
    assert {each["source"] for each in letters} == {"events.csv"}
    assert next(each["reason"] for each in letters if each["row"] == 201) == "unparsable row"
    assert max(len(each["payload"]) for each in letters) < 2100

    only = json_lines(
        rtrec("log", "dead-letters", "--home", "home", "--reason", "far future", "--json").stdout
    )
    assert [each["row"] for each in only] == [12]
    info = json_lines(rtrec("log", "info", "--home", "home", "--json").stdout)[0]
    assert (info["events"], info["rows_read"]) == (191, 201)
    assert info["dead_letters"]["oversize field"] == 2
    assert info["counts"]["duplicate id"] == 1


@pytest.mark.parametrize("command", [["evaluate"], ["run", "--headless"]], ids=lambda words: words[0])
def test_another_encoding_can_be_named(rtrec, tmp_path, command, in_threads):
    result = rtrec(*command, other_encoding(tmp_path), *COLUMNS, "--encoding", "latin-1", "--json")
    assert result.exit_code == 0, result.stderr
