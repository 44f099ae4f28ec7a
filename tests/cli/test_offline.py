"""`rtrec evaluate-offline`: options reach the split, figures come out as tables, JSON and files."""

from __future__ import annotations

import pandas as pd
import pytest
import xarray as xr

from tests.cli.samples import COLUMNS, json_lines, write_events


@pytest.fixture
def events(tmp_path):
    """4 users take 8 items in turn; in the test part each takes what is new to them."""
    rows = [(f"u{user}", f"i{(user + turn) % 8}") for turn in range(5) for user in range(4)]
    users, items = zip(*rows, strict=True)
    return write_events(tmp_path / "events.csv", len(rows), user=list(users), item=list(items))


WORDS = ("--models", "item-knn,popularity", "--k", "2,3")


def test_one_json_line_a_model_with_intervals_and_the_paired_difference(rtrec, events):
    result = rtrec("evaluate-offline", events, *COLUMNS, *WORDS, "--json")
    assert result.exit_code == 0, result.stderr
    knn, popularity = json_lines(result.stdout)
    assert (knn["model"], knn["users"], knn["split"]) == ("item-knn", 4, "temporal")
    for name in ("recall@2", "ndcg@3", "ndcg@3_low", "coverage@2", "learn_seconds"):
        assert name in knn
    assert knn["ndcg@3_minus_popularity"] == pytest.approx(knn["ndcg@3"] - popularity["ndcg@3"])
    assert {"ndcg@3_minus_popularity_low", "ndcg@3_minus_popularity_p_sign"} <= knn.keys()
    assert "ndcg@3_minus_popularity" not in popularity


def test_the_table_has_figures_tests_and_cohorts(rtrec, events):
    result = rtrec("evaluate-offline", events, *COLUMNS, *WORDS)
    assert result.exit_code == 0, result.stderr
    for word in ("4 users tested", "ndcg@3 minus popularity", "p (sign)", "ndcg@3 by cohort", "known user"):
        assert word in result.stdout
    result = rtrec("evaluate-offline", events, *COLUMNS, *WORDS, "--cohorts", "none", "--metrics", "map@2")
    assert "by cohort" not in result.stdout
    assert "map@2 minus popularity" in result.stdout
    assert "ndcg" not in result.stdout


def test_another_baseline(rtrec, events):
    result = rtrec("evaluate-offline", events, *COLUMNS, *WORDS, "--baseline", "item-knn", "--json")
    assert "ndcg@3_minus_item-knn" in json_lines(result.stdout)[1]


@pytest.mark.parametrize(
    ("words", "learned"),
    [
        (("--split", "leave_one_out"), 16),  # 5 events of each of 4 users
        (("--split", "time"), 16),  # a fifth of 20
        (("--split", "time", "--test-share", 0.5), 10),
        (("--split", "random"), 16),  # a quarter of 5, rounded
        (("--split", "temporal", "--test-share", 0.4), 12),
    ],
)
def test_splits_are_those_of_the_library(rtrec, events, words, learned):
    result = rtrec("evaluate-offline", events, *COLUMNS, *words, "--models", "popularity")
    assert result.exit_code == 0, result.stderr
    assert f"learned {learned}," in " ".join(result.stdout.split())


def test_categories_of_items_make_lists_calibrated(rtrec, events, tmp_path):
    (tmp_path / "items.csv").write_text("item,kind\n" + "".join(f"i{n},{'ab'[n % 2]}\n" for n in range(5)))
    about = ("--items", tmp_path / "items.csv", "--item-category", "kind")
    words = ("evaluate-offline", events, *COLUMNS, *WORDS, "--json")
    assert "calibration@3" in json_lines(rtrec(*words, *about).stdout)[0]
    assert "calibration@3" not in json_lines(rtrec(*words).stdout)[0]


@pytest.mark.parametrize("suffix", [".nc", ".csv", ".parquet"])
def test_all_figures_go_to_a_file(rtrec, events, tmp_path, suffix):
    path = tmp_path / "made" / f"figures{suffix}"
    result = rtrec("evaluate-offline", events, *COLUMNS, *WORDS, "--json", "--windows", 2, "--out", path)
    assert result.exit_code == 0, result.stderr
    ndcg = json_lines(result.stdout)[0]["ndcg@3"]
    if suffix == ".nc":
        with xr.open_dataset(path, engine="scipy") as cube:
            assert cube["value"].sizes == {"model": 2, "metric": 10 * 2, "cohort": 5, "time": 2}
            assert cube.attrs["repeat"] == "false"
            values = cube["value"].sel(model="item-knn", metric="ndcg@3", cohort="all").values
    else:
        frame = pd.read_csv(path) if suffix == ".csv" else pd.read_parquet(path)
        chosen = frame[(frame.model == "item-knn") & (frame.metric == "ndcg@3") & (frame.cohort == "all")]
        values = chosen["value"].to_numpy()
    assert len(values) == 2
    assert values.mean() == pytest.approx(ndcg)  # two windows of two users each


def test_a_place_that_cannot_be_written_loses_no_figure(rtrec, events, tmp_path):
    (tmp_path / "figures.csv").mkdir()
    result = rtrec("evaluate-offline", events, *COLUMNS, *WORDS, "--json", "--out", tmp_path / "figures.csv")
    assert result.exit_code == 1
    assert [line["model"] for line in json_lines(result.stdout)] == ["item-knn", "popularity"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--models", "popularty"), "did you mean 'popularity'?"),
        (("--models", ","), "--models"),
        (("--split", "temporl"), "--split temporl: unknown; did you mean 'temporal'?"),
        (("--split", "leave_one_out", "--test-share", 0.2), "leave_one_out tests one event"),
        (("--test-share", 1.0), "--test-share 1: expected a share between 0 and 1"),
        (("--k", "ten"), "--k 'ten'"),
        (("--k", "5,0"), "--k '5,0': expected lengths of lists, each at least 1"),
        (("--seed", -1), "'--seed'"),
        (("--metrics", "ndgc@10"), "no metric 'ndgc@10'; did you mean 'ndcg@10'?"),
        (("--cohorts", "users"), "unknown cohort 'users'"),
        (
            ("--baseline", "eas", "--models", "ease"),
            "--baseline eas: expected a model of --models; did you mean 'ease'?",
        ),
        (("--out", "figures.xlsx"), "expected a name that ends with .nc, .csv, .parquet"),
    ],
)
def test_an_option_that_cannot_be_exits_with_2(rtrec, events, words, message):
    result = rtrec("evaluate-offline", events, *COLUMNS, *words)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_file_of_items_gives_the_default_something_to_read(rtrec, tmp_path):
    """Who takes a red thing takes the blue one of that name: the last 20 of 240 events are to be found."""
    names = [f"name{number}" for number in range(60)]
    rows = [("all", f"{colour}-{name}") for colour in ("blue", "red") for name in names]
    rows += [(f"u-{name}", f"{colour}-{name}") for name in names[:40] for colour in ("red", "blue")]
    rows += [(f"u-{name}", f"{colour}-{name}") for colour in ("red", "blue") for name in names[40:]]
    users, items = zip(*rows, strict=True)
    events = write_events(tmp_path / "events.csv", len(rows), user=list(users), item=list(items))
    path = tmp_path / "items.csv"
    path.write_text("item,title\n" + "".join(f"{c}-{n},{n}\n" for c in ("red", "blue") for n in names))
    words = ("--models", "default", "--split", "time", "--test-share", 20 / 240, "--k", 1, "--json")

    without, told = (
        json_lines(rtrec("evaluate-offline", events, *COLUMNS, *words, *more).stdout)[0]["recall@1"]
        for more in ((), ("--items", path, "--item-text", "title"))
    )

    assert told > 0.8 > 0.2 > without


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--item-text", "title"), "say which: --items FILE"),
        (
            ("--items", "items.csv", "--item-text", "tilte"),
            "no column 'tilte'; it has 'item', 'title'; did you mean 'title'",
        ),
    ],
)
def test_a_file_of_items_that_cannot_be_used_says_why(rtrec, events, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "items.csv").write_text("item,title\ni1,Alpha\n")
    result = rtrec("evaluate-offline", events, *COLUMNS, *WORDS, *words)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
