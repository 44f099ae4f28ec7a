"""`rtrec evaluate`: the protocol's options reach it, and its figures come out as table and as JSON."""

from __future__ import annotations

import numpy as np
import pytest

from tests.cli.samples import COLUMNS, json_lines, write_events

WANTED = {
    "model",
    "events",
    "hr@10",
    "ndcg@10",
    "coverage@10",
    "seconds",
    "events_per_s",
    "peak_rss_mb",
}


@pytest.fixture
def events(tmp_path):
    return write_events(tmp_path / "events.csv")


def test_one_json_line_a_model(rtrec, events):
    result = rtrec("evaluate", events, *COLUMNS, "--json")
    assert result.exit_code == 0, result.stderr
    lines = json_lines(result.stdout)
    assert [line["model"] for line in lines] == ["default", "popularity", "popularity-all-time"]
    assert all(line.keys() >= WANTED for line in lines)
    assert [line["events"] for line in lines] == [160, 160, 160]
    assert "hr@10_minus_popularity" in lines[0]


def test_the_table_has_intervals_and_the_difference_to_popularity(rtrec, events):
    result = rtrec("evaluate", events, *COLUMNS)
    assert result.exit_code == 0, result.stderr
    assert "160 events tested" in result.stdout
    for word in ("hr@10", "ndcg@10", "coverage@10", "hr@10 minus popularity", "events/s", "["):
        assert word in result.stdout


def test_first_and_last_time_are_said_and_a_column_that_is_no_time_is_doubted(rtrec, events):
    # The first at 1,700,000,000 s, 199 minutes before the last.
    span = {"first_event": "2023-11-14 22:13:20+00:00", "last_event": "2023-11-15 01:32:20+00:00"}
    [line] = json_lines(rtrec("evaluate", events, *COLUMNS, "--json", "--models", "popularity").stdout)
    assert span.items() <= line.items()
    result = rtrec("evaluate", events, *COLUMNS[:4], "--time", "price", "--models", "popularity")
    assert result.exit_code == 0
    assert "first event 1970-01-01 00:00:01" in " ".join(result.stdout.split())
    assert "column 'price' as the time puts all events in 1970; is it a time?" in result.stderr


def test_a_single_tested_event_has_figures_and_no_interval(rtrec, tmp_path):
    two = write_events(tmp_path / "two.csv", 2, item=["i", "i"])
    result = rtrec("evaluate", two, *COLUMNS, "--warmup", 0.5)
    assert result.exit_code == 0, result.stderr
    assert "1 events tested" in result.stdout
    assert "1.0000 [-, -]" in result.stdout
    assert "+0.0000 [-, -]" in result.stdout


def test_without_popularity_there_is_no_difference_to_it(rtrec, events):
    result = rtrec("evaluate", events, *COLUMNS, "--models", "default")
    assert result.exit_code == 0, result.stderr
    assert "minus" not in result.stdout


def test_a_user_who_had_everything_is_hit_only_with_repeats(rtrec, events):
    # 7 users x 5 items take turns: after 35 of 40 warm events everybody has had everything.
    words = ("evaluate", events, *COLUMNS, "--models", "popularity", "--json")
    assert json_lines(rtrec(*words).stdout)[0]["hr@10"] == 0.0
    assert json_lines(rtrec(*words, "--repeat").stdout)[0]["hr@10"] == 1.0
    assert json_lines(rtrec(*words, "--set", "repeat=true").stdout)[0]["hr@10"] == 1.0
    assert json_lines(rtrec(*words, "--set", "repeat=true", "--no-repeat").stdout)[0]["hr@10"] == 0.0


def test_warmup_limit_and_k(rtrec, events):
    words = ("evaluate", events, *COLUMNS, "--models", "popularity", "--json")
    [line] = json_lines(rtrec(*words, "--warmup", 0.5, "--limit", 30, "--k", 2).stdout)
    assert line["events"] == 30
    assert "hr@2" in line
    [line] = json_lines(rtrec(*words, "--set", "list_length=3").stdout)
    assert "hr@3" in line


def test_all_models(rtrec, events):
    result = rtrec("evaluate", events, *COLUMNS, "--models", "all", "--json", "--batch", 10)
    assert len(json_lines(result.stdout)) == 5


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--models", "popularty"], "unknown model 'popularty'; did you mean 'popularity'?"),
        (["--models", ","], "--models"),
        (["--warmup", "1"], "--warmup 1: expected a share of the events from 0 to below 1"),
        (["--batch", "0"], "'--batch'"),
        (["--set", "ring_length=0"], "setting 'ring_length'"),
        (["--default-kind", "bought"], "kind of event 'bought' is unknown"),
        (["--timezone", "Europe/Londn"], "time zone 'Europe/Londn' is unknown"),
        (["--time-unit", "h"], "time unit 'h' is unknown"),
        (["--min-value", "nan"], "the least value of an event is nan"),
    ],
)
def test_an_option_that_cannot_be_exits_with_2(rtrec, events, words, expected):
    result = rtrec("evaluate", events, *COLUMNS, *words)
    assert result.exit_code == 2
    assert expected in result.stderr


def test_a_least_value_without_a_column_of_values_exits_with_2(rtrec, events):
    result = rtrec("evaluate", events, "--user", "user", "--item", "item", "--time", "at", "--min-value", 2)
    assert result.exit_code == 2
    assert "say which column holds values: --value COLUMN" in result.stderr


@pytest.mark.parametrize("command", ["run", "evaluate"])
def test_help_says_how_ratings_are_named(rtrec, command):
    shown = " ".join(rtrec(command, "--help").stdout.replace("│", " ").split())
    assert "Kind of events that name none: rating in a file of ratings." in shown


def test_columns_are_those_of_an_event_table_by_default(rtrec, tmp_path):
    path = tmp_path / "events.jsonl"
    line = '{{"user_id": "u{0}", "item_id": "i{1}", "timestamp": "2026-01-01T00:{2:02}:00Z"}}\n'
    path.write_text("".join(line.format(row % 3, row % 4, row) for row in range(50)))
    result = rtrec("evaluate", path, "--models", "popularity", "--json")
    assert result.exit_code == 0, result.stderr
    assert json_lines(result.stdout)[0]["events"] == 40


@pytest.mark.slow
def test_movielens_reaches_its_figures_as_a_file_and_by_name(rtrec, shared_datasets):
    words = ("--limit", 20_000, "--models", "popularity", "--json")
    ratings = shared_datasets / "ml-latest-small" / "ratings.csv"
    columns = ("--user", "userId", "--item", "movieId", "--time", "timestamp")
    [by_file] = json_lines(rtrec("evaluate", ratings, *columns, *words).stdout)
    result = rtrec("evaluate", "--dataset", "movielens-latest-small", "--from", shared_datasets, *words)
    [by_name] = json_lines(result.stdout)
    assert by_file["events"] == 20_000
    assert by_file["hr@10"] == by_name["hr@10"]


def test_a_real_process_prints_json_and_nothing_else_on_stdout(rtrec_process, events):
    result = rtrec_process("evaluate", events, *COLUMNS, "--models", "popularity", "--json")
    assert result.returncode == 0, result.stderr
    assert len(json_lines(result.stdout)) == 1
    assert result.stderr == ""


def test_models_list_says_what_there_is(rtrec):
    result = rtrec("evaluate", "--models", "list")
    assert result.exit_code == 0, result.stderr
    for name in ("default", "trails", "ease", "ials", "sequence"):
        assert f" {name} " in result.stdout


def test_a_file_of_items_gives_the_default_something_to_read(rtrec, tmp_path):
    """Each user takes a red thing and then the blue one of the same name, which nobody had before."""
    names = [f"name{number}" for number in range(60)]
    rows = [
        (f"u{number}", f"{colour}-{name}") for number, name in enumerate(names) for colour in ("red", "blue")
    ]
    # First everything is seen once, in another order, so that all items are known.
    seen = [("u-all", f"{colour}-{name}") for colour in ("blue", "red") for name in names]
    users, items = zip(*seen, *rows, strict=True)
    events = write_events(tmp_path / "events.csv", len(users), user=list(users), item=list(items))
    about = "item,title,colour\n" + "".join(
        f"{colour}-{n},{n},{colour}\n" for n in names for colour in ("red", "blue")
    )
    (tmp_path / "items.csv").write_text(about)
    told = ("--items", tmp_path / "items.csv", "--item-text", "title")
    hits = [
        json_lines(rtrec("evaluate", events, *COLUMNS, *more, "--models", "default", "--json").stdout)[0][
            "hr@10"
        ]
        for more in ((), told)
    ]
    assert hits[1] > hits[0] + 0.1


def test_a_file_of_items_says_what_is_of_a_kind(rtrec, tmp_path):
    """Each user takes things of one colour, of which every one is as popular as any other."""
    rng = np.random.default_rng(0)
    things = {f"i{number}": ("red", "blue", "green", "grey")[number % 4] for number in range(200)}
    users, items = [], []
    for number in range(120):
        colour = ("red", "blue", "green", "grey")[number % 4]
        own = rng.permutation([item for item, each in things.items() if each == colour])[:10]
        users += [f"u{number}"] * len(own)
        items += own.tolist()
    order = np.argsort(np.tile(np.arange(10), 120), kind="stable")  # all take turns
    columns = {"user": [users[row] for row in order], "item": [items[row] for row in order]}
    events = write_events(tmp_path / "events.csv", len(order), **columns)
    rows = (f"{item},{colour}|thing\n" for item, colour in things.items())
    (tmp_path / "items.csv").write_text("item,kinds\n" + "".join(rows))
    told = ("--items", tmp_path / "items.csv", "--item-category", "kinds")
    tables = ("use_cooccurrence", "use_transitions", "use_trails")
    off = [word for table in tables for word in ("--set", f"{table}=false")]
    words = (*COLUMNS, "--models", "default", *off)
    hits = [
        json_lines(rtrec("evaluate", events, *words, *more, "--json").stdout)[0]["hr@10"]
        for more in ((), (*told, "--set", "use_category=false"), told)
    ]
    assert hits[2] > 2 * max(hits[:2])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--item-category", "genres"), "--item-category names columns of a file of items; say which"),
        (("--items", "items.csv", "--item-category", "tilte"), "tilte"),
        (("--item-text", "title"), "say which: --items FILE"),
        (("--items", "items.csv"), "say what to read of it: --item-text"),
        (("--items", "items.csv", "--item-text", "tilte"), "tilte"),
        (("--items", "none.csv", "--item-text", "title"), "none.csv"),
    ],
)
def test_a_file_of_items_that_cannot_be_used_says_why(rtrec, events, tmp_path, words, message):
    (tmp_path / "items.csv").write_text("item,title\na,Alpha\n")
    result = rtrec("evaluate", events, *COLUMNS, *words)
    assert result.exit_code == 2
    assert message in result.stderr


def test_historical_features_every_so_many_events(rtrec, events):
    words = ("evaluate", events, *COLUMNS, "--models", "default", "--repeat", "--historical", 60)
    result = rtrec(*words, "--set", "use_historical=true")
    assert result.exit_code == 0, result.stderr
    assert "historical features every 60" in " ".join(result.stdout.split())
    refused = rtrec(*words)
    assert refused.exit_code == 2
    assert "add --set use_historical=true" in refused.stderr
