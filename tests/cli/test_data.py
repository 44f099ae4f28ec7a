"""Data sets are listed, shown with their terms, and taken from a copy."""

from __future__ import annotations

import pytest

from rtrec.events.datasets import list_datasets
from tests.cli.samples import json_lines

RATINGS = "userId,movieId,rating,timestamp\n" + "".join(
    f"{row % 5},{row % 3},4.0,{1_500_000_000 + row}\n" for row in range(50)
)


@pytest.fixture
def copy(tmp_path):
    """Return a folder with a tiny MovieLens latest-small in the publisher's shape."""
    folder = tmp_path / "downloads" / "ml-latest-small"
    folder.mkdir(parents=True)
    (folder / "ratings.csv").write_text(RATINGS)
    (folder / "movies.csv").write_text("movieId,title,genres\n0,Zero (1999),Drama\n1,One (2000),Drama\n")
    return folder.parent


def test_list_names_all_data_sets(rtrec):
    lines = json_lines(rtrec("data", "list", "--json").stdout)
    assert [line["name"] for line in lines] == [each.name for each in list_datasets()]
    assert not any(line["here"] for line in lines)
    assert all(each.name in rtrec("data", "list").stdout for each in list_datasets())


def test_a_copy_is_taken_after_its_terms_were_shown(rtrec, copy):
    result = rtrec("data", "get", "movielens-latest-small", "--from", copy)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "data/movielens-latest-small\n"
    assert "GroupLens" in result.stderr
    lines = json_lines(rtrec("data", "list", "--json").stdout)
    assert [line["name"] for line in lines if line["here"]] == ["movielens-latest-small"]


def test_terms_are_not_shown_again_while_they_stay_the_same(rtrec, copy):
    rtrec("data", "get", "movielens-latest-small", "--from", copy)
    assert "GroupLens" not in rtrec("data", "get", "movielens-latest-small").stderr


def test_a_download_that_nobody_can_agree_to_exits_with_2(rtrec):
    result = rtrec("data", "get", "movielens-latest-small")
    assert result.exit_code == 2
    assert "GroupLens" in result.stderr
    assert "accept its terms (above) with --yes" in result.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["movielens-1mm"], "unknown data set 'movielens-1mm'; did you mean 'movielens-1m'?"),
        (["online-retail", "--from", "nowhere"], "--from nowhere: no such file or folder"),
        (["online-retail", "--from", "."], "--from .: no Online Retail"),
    ],
)
def test_what_cannot_be_got_exits_with_2(rtrec, words, expected):
    result = rtrec("data", "get", *words)
    assert result.exit_code == 2
    assert expected in result.stderr


def test_evaluate_takes_a_data_set(rtrec, copy):
    result = rtrec(
        "evaluate", "--dataset", "movielens-latest-small", "--from", copy, "--models", "popularity", "--json"
    )
    assert result.exit_code == 0, result.stderr
    assert json_lines(result.stdout)[0]["events"] == 40  # 50 less a warm-up of 0.2


def test_min_value_leaves_out_ratings_of_a_data_set(rtrec, copy):
    words = ("evaluate", "--dataset", "movielens-latest-small", "--from", copy, "--min-value", 4.5)
    result = rtrec(*words)
    assert result.exit_code == 2
    assert "none of 50 rows is an event (below minimum value 50)" in result.stderr


def test_columns_of_a_data_set_are_not_named(rtrec):
    result = rtrec("evaluate", "--dataset", "movielens-latest-small", "--user", "userId")
    assert result.exit_code == 2
    assert "--user: data set 'movielens-latest-small' knows its columns" in result.stderr


@pytest.mark.parametrize("words", [[], ["x.csv", "--dataset", "online-retail"]])
def test_a_file_or_a_data_set_has_to_be_named(rtrec, words):
    result = rtrec("evaluate", *words)
    assert result.exit_code == 2
    assert "either FILE" in result.stderr


def test_from_goes_with_a_data_set(rtrec):
    assert "--from says where the copy of a --dataset is" in rtrec("evaluate", "x.csv", "--from", ".").stderr
