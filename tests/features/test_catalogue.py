"""Catalogues: every modality as it was given, or missing; ids as the log spells them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from rtrec.errors import InputError
from rtrec.features.catalogue import Catalogue

FILMS = pd.DataFrame(
    {
        "film": [10, 20, 30, 40],
        "title": ["Heat", "  Jumanji ", None, "Sabrina"],
        "plot": ["a heist", None, None, "an heiress"],
        "genres": ["Crime|Action", "Adventure", None, " Comedy | Comedy |"],
        "year": ["1995", "1995", "unknown", None],
        "image_0": [1.0, 0.5, None, 0.0],
        "image_1": [0.0, 0.5, 1.0, 2.0],
    }
)


def films(frame: pd.DataFrame | pa.Table = FILMS) -> Catalogue:
    return Catalogue.of(
        frame,
        item="film",
        text=["title", "plot"],
        categories=["genres"],
        numbers=["year"],
        vectors=["image_"],
    )


@pytest.mark.parametrize("frame", [FILMS, pa.Table.from_pandas(FILMS)], ids=["pandas", "arrow"])
def test_every_modality_is_read_and_may_be_missing(frame):
    catalogue = films(frame)
    assert catalogue.ids == ["10", "20", "30", "40"]
    assert catalogue.texts() == ["Heat a heist", "Jumanji", "", "Sabrina an heiress"]
    assert catalogue.texts(["title"]) == ["Heat", "Jumanji", "", "Sabrina"]
    matrix, names = catalogue.categories()
    assert names == ["genres=Action", "genres=Crime", "genres=Adventure", "genres=Comedy"]
    np.testing.assert_array_equal(matrix.toarray(), [[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]])
    assert catalogue.category_names() == [names[:2], names[2:3], [], names[3:]]
    np.testing.assert_array_equal(catalogue.numbers(), [[1995], [1995], [np.nan], [np.nan]])
    # The third film lacks one of the two numbers of its picture.
    np.testing.assert_array_equal(catalogue.vectors(), [[1, 0], [0.5, 0.5], [np.nan, np.nan], [0, 2]])
    assert catalogue.vectors().dtype == np.float32


def test_the_frame_is_not_changed():
    before = FILMS.copy(deep=True)
    films()
    pd.testing.assert_frame_equal(FILMS, before)


def test_ids_are_spelt_as_events_spell_them():
    for ids in ([1.0, 2.0], ["1", " 2 "], [1, 2]):
        catalogue = Catalogue.of(pd.DataFrame({"id": ids, "t": ["a", "b"]}), item="id", text=["t"])
        np.testing.assert_array_equal(catalogue.rows(["2", "1", "3"]), [1, 0, -1])


def test_of_a_repeated_item_the_last_row_holds_whole():
    frame = pd.DataFrame({"id": ["a", "b", "a"], "t": ["old", "other", None], "x": [1.0, 2.0, 3.0]})
    catalogue = Catalogue.of(frame, item="id", text=["t"], numbers=["x"])
    assert catalogue.ids == ["a", "b"]
    assert catalogue.texts() == ["", "other"]  # not the old title under the new price
    np.testing.assert_array_equal(catalogue.numbers(), [[3.0], [2.0]])
    assert dict(catalogue.counts) == {"rows": 3, "unreadable": 0, "no id": 0, "repeated": 1}


def test_rows_without_an_id_are_counted():
    catalogue = Catalogue.of(pd.DataFrame({"id": ["a", None, ""], "t": list("xyz")}), item="id", text=["t"])
    assert catalogue.ids == ["a"]
    assert catalogue.counts["no id"] == 2


def test_a_column_is_text_and_categories_at_once():
    frame = pd.DataFrame({"id": ["a"], "genres": ["Crime|Drama"]})
    catalogue = Catalogue.of(frame, item="id", text=["genres"], categories=["genres"])
    assert catalogue.texts() == ["Crime|Drama"]
    assert catalogue.categories()[1] == ["genres=Crime", "genres=Drama"]


def test_same_category_in_two_columns_is_two():
    frame = pd.DataFrame({"id": ["a"], "brand": ["Orange"], "colour": ["Orange"]})
    matrix, names = Catalogue.of(frame, item="id", categories=["brand", "colour"]).categories()
    assert names == ["brand=Orange", "colour=Orange"]
    assert matrix.shape == (1, 2)


def test_lists_are_categories_and_vectors(tmp_path):
    file = tmp_path / "items.jsonl"
    rows = [{"id": 1, "tags": ["x|y", "z"], "vector": [1, 2]}, {"id": 2}, {"id": 3, "vector": [3, None]}]
    file.write_text("\n".join(json.dumps(row) for row in rows) + "\n{broken\n")
    catalogue = Catalogue.read(file, item="id", categories=["tags"], vectors=["vector"])
    assert catalogue.categories()[1] == ["tags=x|y", "tags=z"]
    np.testing.assert_array_equal(catalogue.vectors(), [[1, 2], [np.nan, np.nan], [np.nan, np.nan]])
    assert catalogue.counts["unreadable"] == 1


def test_lists_of_a_parquet_file_are_read(tmp_path):
    frame = pd.DataFrame({"id": [1, 2], "tags": [["x", "y"], None], "vector": [None, [1.0, 2.0]]})
    frame.to_parquet(tmp_path / "items.parquet")
    catalogue = Catalogue.read(tmp_path / "items.parquet", item="id", categories="tags", vectors="vector")
    assert catalogue.categories()[0].toarray().tolist() == [[1, 1], [0, 0]]
    np.testing.assert_array_equal(catalogue.vectors(), [[np.nan, np.nan], [1, 2]])


def test_csv_and_parquet_read_the_same(tmp_path):
    FILMS.to_csv(tmp_path / "films.csv", index=False)
    FILMS.to_csv(tmp_path / "films.tsv.gz", index=False, sep="\t")
    FILMS.to_parquet(tmp_path / "films.parquet")
    expected = films()
    for name in ("films.csv", "films.tsv.gz", "films.parquet"):
        read = Catalogue.read(
            tmp_path / name,
            item="film",
            text=["title", "plot"],
            categories=["genres"],
            numbers=["year"],
            vectors=["image_"],
        )
        assert read.ids == expected.ids
        assert read.texts() == expected.texts()
        np.testing.assert_array_equal(read.numbers(), expected.numbers())
        np.testing.assert_array_equal(read.vectors(), expected.vectors())
        assert read.categories()[1] == expected.categories()[1]


def test_two_vectors_are_told_apart():
    frame = pd.DataFrame({"id": ["a"], "text_0": [1.0], "image_0": [2.0], "image_1": [3.0]})
    catalogue = Catalogue.of(frame, item="id", vectors=["text_", ["image_1", "image_0"]])
    assert catalogue.names("vectors") == ("text_", "image_1")
    np.testing.assert_array_equal(catalogue.vectors("image_1"), [[3.0, 2.0]])
    with pytest.raises(ValueError, match="several vectors: text_, image_1; name one"):
        catalogue.vectors()


def test_extended_keeps_rows_and_takes_the_newer():
    old = Catalogue.of(pd.DataFrame({"id": ["a", "b"], "t": ["1", "2"]}), item="id", text=["t"])
    more = Catalogue.of(
        pd.DataFrame(
            {"id": ["c", "a"], "t": ["3", "4"], "x": [9.0, None], "v0": [1.0, 2.0], "v1": [0.0, 1.0]}
        ),
        item="id",
        text=["t"],
        numbers=["x"],
        vectors=["v"],
    )
    both = old.extended(more)
    assert both.ids == ["a", "b", "c"]
    assert both.texts() == ["4", "2", "3"]
    np.testing.assert_array_equal(both.numbers(), [[np.nan], [np.nan], [9.0]])
    np.testing.assert_array_equal(both.vectors(), [[2, 1], [np.nan, np.nan], [1, 0]])
    assert both.counts["repeated"] == 1
    assert old.texts() == ["1", "2"]


def test_extended_refuses_a_vector_of_another_length():
    one, other = (
        Catalogue.of(pd.DataFrame({"id": ["a"], "v": [vector]}), item="id", vectors=["v"])
        for vector in ([1.0, 2.0], [1.0, 2.0, 3.0])
    )
    with pytest.raises(InputError, match=r"vectors 'v': expected 2 numbers.*got 3"):
        one.extended(other)


@pytest.mark.parametrize(
    ("columns", "match"),
    [
        ({"text": ["titel"]}, "frame: no column 'titel'.*did you mean 'title'"),
        ({"vectors": ["imag3_"]}, "frame: no column 'imag3_'.*did you mean 'image_"),
        ({"numbers": ["title"]}, "frame: column 'title': expected numbers; got none, but 'Heat'"),
        ({"vectors": ["plot"]}, "frame: column 'plot': expected numbers"),
        ({}, "item 'film' and no other column; name some for text, categories, numbers, vectors"),
        ({"categories": ["genres"], "separator": ""}, "separator of categories: expected at least one"),
    ],
)
def test_wrong_columns_are_named(columns, match):
    with pytest.raises(InputError, match=match):
        Catalogue.of(FILMS, item="film", **columns)


def test_errors_name_the_file(tmp_path):
    file = tmp_path / "films.csv"
    FILMS.to_csv(file, index=False)
    with pytest.raises(InputError, match=r"films\.csv: no column 'filmId'.*did you mean 'film'"):
        Catalogue.read(file, item="filmId", text=["title"])
    with pytest.raises(InputError, match=r"no such file.*did you mean 'films\.csv'"):
        Catalogue.read(tmp_path / "film.csv", item="film", text=["title"])
    with pytest.raises(InputError, match=r"films\.csv: column 'title': expected numbers"):
        Catalogue.read(file, item="film", numbers=["title"])


def test_a_vector_of_another_length_names_the_item():
    frame = pd.DataFrame({"id": ["a", "b"], "v": [[1.0, 2.0], [1.0]]})
    with pytest.raises(InputError, match=r"column 'v': item 'b': expected 2 numbers.*got 1"):
        Catalogue.of(frame, item="id", vectors=["v"])


def test_no_id_at_all_is_an_error():
    with pytest.raises(InputError, match="no row has an id in column 'id'"):
        Catalogue.of(pd.DataFrame({"id": [None, ""], "t": ["x", "y"]}), item="id", text=["t"])


def test_what_is_not_there_is_an_error():
    catalogue = Catalogue.of(FILMS, item="film", text=["title"])
    with pytest.raises(ValueError, match=r"no numbers; name columns of it: Catalogue.of\(..., numbers="):
        catalogue.numbers()
    with pytest.raises(ValueError, match="text: no 'titel'; did you mean 'title'"):
        catalogue.texts(["titel"])
    with pytest.raises(ValueError, match="modality 'texts' is unknown; did you mean 'text'"):
        catalogue.names("texts")


def test_films_of_movielens(shared_datasets: Path):
    catalogue = Catalogue.read(
        shared_datasets / "ml-latest-small" / "movies.csv",
        item="movieId",
        text=["title", "genres"],
        categories=["genres"],
    )
    row = int(catalogue.rows(["1"])[0])
    assert catalogue.texts(["title"])[row] == "Toy Story (1995)"
    matrix, names = catalogue.categories()
    expected = {f"genres={each}" for each in ("Adventure", "Animation", "Children", "Comedy", "Fantasy")}
    assert {names[each] for each in matrix[[row]].indices} == expected


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        ([[], []], "frame: column 'v': expected lists of numbers; the first of them is empty"),
        ([[1.0, 2.0], [[3.0], [4.0]]], r"column 'v': item 'b': expected a list of numbers; got \[\[3.0\]"),
    ],
)
def test_lists_that_are_no_vectors_are_refused(lists, words):
    frame = pd.DataFrame({"id": ["a", "b"], "v": lists})
    with pytest.raises(InputError, match=words):
        Catalogue.of(frame, item="id", vectors=["v"])


def test_a_number_beyond_float32_is_missing():
    frame = pd.DataFrame({"id": ["a", "b"], "v": [[1e300, 1.0], [2.0, 1.0]]})
    catalogue = Catalogue.of(frame, item="id", vectors=["v"])
    np.testing.assert_array_equal(catalogue.vectors(), [[np.nan, np.nan], [2, 1]])


def test_nan_in_a_list_is_no_category():
    frame = pd.DataFrame({"id": ["a"], "tags": [["x", float("nan"), None]]})
    assert Catalogue.of(frame, item="id", categories=["tags"]).categories()[1] == ["tags=x"]
