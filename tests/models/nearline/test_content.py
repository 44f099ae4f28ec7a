"""Content: cosines worked out by hand, missing modalities, and items nobody had yet."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from rtrec.events.vocabulary import Vocabulary
from rtrec.features.catalogue import Catalogue
from rtrec.features.content import hashed_words, standardised, weighted
from rtrec.models.nearline.content import ContentModel
from rtrec.models.nearline.interactions import Interactions
from rtrec.models.nearline.tables import VectorTable
from tests.models.nearline.contract import NearlineContract, history

IDS = [f"item {num}" for num in range(30)]


def nothing(n_items: int = 0) -> Interactions:
    """Return a history without events."""
    return Interactions(*np.zeros((5, 0)), 0, n_items)


def two_groups() -> Catalogue:
    """Return what agrees with the two groups of the contract's history: items 0 to 14, and 15 to 29."""
    half = np.arange(30) // 15
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "id": IDS,
            "title": [
                f"{('river boat', 'desert camel')[each]} tale{num % 7} story" for num, each in enumerate(half)
            ],
            "genres": [
                f"{('wet|blue', 'dry|yellow')[each]}|shared{num % 4}" for num, each in enumerate(half)
            ],
            "price": half * 50.0 + rng.random(30),
            "year": half * 10.0 + rng.integers(0, 3, 30),
        }
    )
    vectors = np.eye(2)[half] @ rng.normal(size=(2, 4)) + 0.1 * rng.normal(size=(30, 4))
    frame[["image_0", "image_1", "image_2", "image_3"]] = vectors
    return Catalogue.of(
        frame,
        item="id",
        text=["title"],
        categories=["genres"],
        numbers=["price", "year"],
        vectors=["image_"],
    )


CATALOGUE = two_groups()


class ContentContract(NearlineContract):
    """Before any event a content model knows what the catalogue says, so one inherited test is another."""

    def test_empty_history_is_learned(self):
        model = self.make()
        model.fit(nothing())
        assert len(model.score(np.array([3], np.int32), np.ones(1))) == 30


class TestText(ContentContract):
    def make(self) -> ContentModel:
        return ContentModel(CATALOGUE, Vocabulary(IDS))


class TestCategories(ContentContract):
    def make(self) -> ContentModel:
        return ContentModel(CATALOGUE, Vocabulary(IDS), modality="categories")


class TestNumbers(ContentContract):
    def make(self) -> ContentModel:
        return ContentModel(CATALOGUE, Vocabulary(IDS), modality="numbers")


class TestVectors(ContentContract):
    def make(self) -> ContentModel:
        return ContentModel(CATALOGUE, Vocabulary(IDS), modality="vectors")


class TestReducedText(ContentContract):
    def make(self) -> ContentModel:
        return ContentModel(CATALOGUE, Vocabulary(IDS), svd=4)


class TestItemsOfTheHistoryAlone(NearlineContract):
    """Without cold items it is the history that says how many there are, and the contract holds whole."""

    def make(self) -> ContentModel:
        return ContentModel(CATALOGUE, lambda: IDS, cold_items=False)


def texts(*titles: str | None) -> tuple[Catalogue, Vocabulary]:
    ids = [str(row) for row in range(len(titles))]
    frame = pd.DataFrame({"id": ids, "title": titles})
    return Catalogue.of(frame, item="id", text=["title"]), Vocabulary(ids)


def fitted(catalogue: Catalogue, ids: Vocabulary, **options) -> ContentModel:
    model = ContentModel(catalogue, ids, **options)
    model.fit(nothing())
    return model


def dense(model: ContentModel) -> np.ndarray:
    """Return a neighbour table as a matrix."""
    table = model.table()
    matrix = np.zeros((table.n_items, table.n_items))
    for item, size in enumerate(table.size.tolist()):
        matrix[item, table.item[item, :size]] = table.weight[item, :size]
    return matrix


def test_three_texts_by_hand():
    # n = 3 texts. "red" is in all of them, "box" in two, "hat" and "tin" in one each:
    #   idf(red) = 1 + log(4 / 4), idf(box) = 1 + log(4 / 3), idf(hat) = idf(tin) = 1 + log(4 / 2)
    # "hat" comes twice, so its tf is 1 + log 2.
    red, box, rare = 1.0, 1.0 + math.log(4 / 3), 1.0 + math.log(2)
    hat = (1.0 + math.log(2)) * rare
    a = math.sqrt(red**2 + box**2)  # red box
    b = math.sqrt(red**2 + hat**2)  # RED hat hat
    c = math.sqrt(red**2 + box**2 + rare**2)  # red tin box
    model = fitted(*texts("red box", "RED: hat, hat!", "red tin box"))
    ab, ac, bc = red**2 / (a * b), (red**2 + box**2) / (a * c), red**2 / (b * c)
    np.testing.assert_allclose(dense(model), [[0, ab, ac], [ab, 0, bc], [ac, bc, 0]], rtol=1e-6)
    # A user who had the first, and half as much the second:
    scores = model.score(np.array([0, 1], np.int32), np.array([1.0, 0.5]))
    np.testing.assert_allclose(scores, [0.5 * ab, ab, ac + 0.5 * bc], rtol=1e-6)


def test_words_agree_with_scikit_learn():
    from sklearn.feature_extraction.text import TfidfVectorizer

    titles = ["The Red Box", "a red, red hat", "Amélie in a tin box", "amelie"]
    ours = weighted(hashed_words(titles))
    theirs = TfidfVectorizer(sublinear_tf=True, strip_accents="unicode").fit_transform(titles)
    np.testing.assert_allclose((ours @ ours.T).toarray(), (theirs @ theirs.T).toarray(), rtol=1e-12)


def test_categories_by_hand():
    frame = pd.DataFrame({"id": list("abc"), "genres": ["x|y", "x", "y"]})
    catalogue = Catalogue.of(frame, item="id", categories=["genres"])
    # x and y are in two of three items each, so they weigh alike: cos(a, b) = cos(a, c) = 1 / sqrt 2.
    model = fitted(catalogue, Vocabulary("abc"), modality="categories")
    half = math.sqrt(0.5)
    np.testing.assert_allclose(dense(model), [[0, half, half], [half, 0, 0], [half, 0, 0]], rtol=1e-6)


def test_vectors_by_hand():
    frame = pd.DataFrame({"id": list("abcd"), "v": [[3.0, 0.0], [3.0, 4.0], [-1.0, 0.0], None]})
    catalogue = Catalogue.of(frame, item="id", vectors=["v"])
    model = fitted(catalogue, Vocabulary("abcd"), modality="vectors")
    # cos(a, b) = 9 / (3 x 5); c points away from both, and d has none.
    expected = np.zeros((4, 4))
    expected[0, 1] = expected[1, 0] = 0.6
    np.testing.assert_allclose(dense(model), expected, rtol=1e-6)


def test_numbers_by_hand():
    # Ranks among three: 1, 2 and 3, so (rank - 2) / 3 is -1/3, 0, 1/3, times sqrt 12.
    step = math.sqrt(12.0) / 3
    np.testing.assert_allclose(standardised(np.array([[5.0], [7.0], [900.0]])).ravel(), [-step, 0, step])
    frame = pd.DataFrame({"id": list("abcd"), "price": [5, 7, 900, None], "year": [None, 1.0, 1.0, 2.0]})
    catalogue = Catalogue.of(frame, item="id", numbers=["price", "year"])
    model = fitted(catalogue, Vocabulary("abcd"), modality="numbers", least=0.0)
    # The years' ranks are 1.5, 1.5 and 3 among three: b and d are 1.5 / 3 x sqrt 12 apart.
    year = 1.5 / 3 * math.sqrt(12.0)
    expected = np.zeros((4, 4))
    expected[0, 1] = math.exp(-(step**2) / 2)  # by price alone
    expected[0, 2] = math.exp(-((2 * step) ** 2) / 2)
    expected[1, 2] = math.exp(-(step**2 + 0) / 2 / 2)  # the mean of price and year
    expected[1, 3] = expected[2, 3] = math.exp(-(year**2) / 2)
    np.testing.assert_allclose(dense(model), expected + expected.T, rtol=1e-6)


def test_item_without_text_or_unknown_to_the_catalogue_has_no_row():
    catalogue, ids = texts("red box", None, "red hat")
    ids.numbers(["not in the catalogue"])
    model = fitted(catalogue, ids)
    assert model.table().size.tolist() == [1, 0, 1, 0]
    assert model.score(np.array([1, 3], np.int32), np.ones(2)).tolist() == [0, 0, 0, 0]


def test_catalogue_without_a_word_is_empty_rows():
    model = fitted(*texts("?", None))
    assert model.table().size.tolist() == [0, 0]


@pytest.mark.parametrize("options", [{}, {"svd": 4}])
def test_cold_item_is_recommended(options):
    # Items 0 to 28 had events; the catalogue knows item 29, which never had one.
    given = history()
    warm = given.item_num != 29
    seen = Interactions(*(column[warm] for column in given[:5]), given.n_users, 29)
    model = ContentModel(CATALOGUE, Vocabulary(IDS), **options)
    model.fit(seen)
    scores = model.score(np.array([22, 15], np.int32), np.ones(2))
    # All three are a "desert camel tale1 story": nothing is closer.
    scores[[22, 15]] = 0.0
    assert scores.argmax() == 29


def test_cold_item_waits_where_only_the_history_counts():
    model = ContentModel(CATALOGUE, lambda: IDS, cold_items=False)
    model.fit(nothing(n_items=20))
    assert model.table().n_items == 20
    assert model.table().item.max() < 20


def test_numbers_come_from_the_vocabulary():
    catalogue, _ = texts("red box", "blue hat", "red tin")
    backwards = Vocabulary(["2", "1", "0"])
    assert dense(fitted(catalogue, backwards))[0].nonzero()[0].tolist() == [2]


def test_weak_neighbours_are_left_out_and_rows_are_cut():
    catalogue, ids = texts("red box", "red hat", "red box tin", "red box tin lid")
    whole = dense(fitted(catalogue, ids, least=0.0))
    level = np.sort(whole[0])[-2]
    np.testing.assert_array_equal(dense(fitted(catalogue, ids, least=level))[0] > 0, whole[0] > level)
    cut = fitted(catalogue, ids, neighbours=1).table()
    assert cut.item.shape == (4, 1)
    assert cut.item[0, 0] == whole[0].argmax()


def test_update_does_nothing_until_there_is_something_new():
    catalogue, ids = texts("red box", "red hat")
    model = fitted(catalogue, ids)
    before = model.table()
    model.update(nothing(), 0)
    assert model.table() is before
    model.catalogue = catalogue.extended(texts("red box", "red hat", "red tin")[0])
    ids.numbers(["2"])
    model.update(nothing(), 0)
    assert model.table().size.tolist() == [2, 2, 2]


def test_reduced_vectors_keep_the_cosines_if_nothing_is_cut():
    catalogue, ids = texts("red box", "red hat", "blue hat", None)
    exact = dense(fitted(catalogue, ids, least=0.0))
    table = fitted(catalogue, ids, svd=3).table()
    assert isinstance(table, VectorTable)
    cosines = table.found @ table.found.T
    np.testing.assert_allclose(cosines - np.diag(np.diag(cosines)), exact, atol=1e-6)
    assert not table.found[3].any()


@pytest.mark.parametrize("dask", [False, True])
@pytest.mark.parametrize("words", [("heat", "heat", None), ("big heat", "big heat", None)])
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_items_that_are_all_alike_are_reduced_to_the_same_direction(words, dask):
    frame = pd.DataFrame({"id": ["a", "b", "c"], "title": words})
    model = fitted(
        Catalogue.of(frame, item="id", text=["title"]), Vocabulary(["a", "b", "c"]), svd=8, dask=dask
    )

    found = model.table().found
    assert abs(found[0] @ found[1]) == pytest.approx(1.0)
    assert not found[2].any()


def test_reduced_item_without_text_gets_no_opinion():
    catalogue, ids = texts("red box", "red hat", None)
    scores = fitted(catalogue, ids, svd=2).score(np.array([0], np.int32), np.ones(1))
    assert np.isnan(scores).tolist() == [False, False, True]


def test_dask_finds_the_directions_that_scikit_learn_finds():
    one, other = (
        fitted(CATALOGUE, Vocabulary(IDS), svd=3, dask=dask).table().found for dask in (False, True)
    )
    # Each direction may point either way, so cosines are compared.
    np.testing.assert_allclose(one @ one.T, other @ other.T, atol=1e-3)


def test_a_sentence_model_reads_texts_that_are_there():
    asked = []

    def encoder(texts: list[str]) -> np.ndarray:
        asked.extend(texts)
        return np.array([[len(text), 1.0] for text in texts])

    catalogue, ids = texts("ab", None, "abcd")
    model = fitted(catalogue, ids, encoder=encoder)
    assert asked == ["ab", "abcd"]
    cosine = (2 * 4 + 1) / math.sqrt((4 + 1) * (16 + 1))
    np.testing.assert_allclose(dense(model)[0], [0, 0, cosine], rtol=1e-6)


def test_a_sentence_model_is_not_asked_where_nothing_is_written():
    catalogue, ids = texts(None, None)
    assert not dense(fitted(catalogue, ids, encoder=lambda texts: np.array(texts))).any()


def test_a_sentence_model_that_skips_texts_is_refused():
    with pytest.raises(ValueError, match="encoder: expected a vector for each of 2 texts"):
        fitted(*texts("ab", "cd"), encoder=lambda texts: np.zeros((1, 3)))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"modality": "txt"}, "modality 'txt' is unknown; did you mean 'text'"),
        ({"modality": "numbers", "svd": 2}, "numbers have no directions"),
        ({"modality": "vectors", "encoder": len}, "an encoder reads texts; got modality 'vectors'"),
        ({"neighbours": 0}, "neighbours and svd of at least 1"),
        ({"names": ["titel"]}, "text: no 'titel'; did you mean 'title'"),
    ],
)
def test_wrong_options_are_refused(options, match):
    with pytest.raises(ValueError, match=match):
        ContentModel(CATALOGUE, Vocabulary(IDS), **options)


def test_missing_modality_is_refused():
    catalogue, ids = texts("red box")
    with pytest.raises(ValueError, match="this catalogue has no vectors; name columns of it"):
        ContentModel(catalogue, ids, modality="vectors")


def test_of_several_vectors_one_is_named():
    frame = pd.DataFrame({"id": list("ab"), "text_0": [1.0, 1.0], "image_0": [1.0, -1.0]})
    catalogue = Catalogue.of(frame, item="id", vectors=["text_", "image_"])
    with pytest.raises(ValueError, match="name one of text_, image_"):
        ContentModel(catalogue, Vocabulary("ab"), modality="vectors")
    model = fitted(catalogue, Vocabulary("ab"), modality="vectors", names=["text_"])
    assert model.table().size.tolist() == [1, 1]
