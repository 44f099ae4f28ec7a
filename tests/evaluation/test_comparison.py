"""Two variants on the same events: what is said of them, and shown."""

from __future__ import annotations

import numpy as np
import pytest

from rtrec.evaluation.comparison import compare


def test_each_variant_and_the_difference_a_minus_b():
    both = compare(np.array([1, 2, 0, 1]), np.array([0, 2, 0, 0]), k=10)

    assert both.n_tested == 4
    assert both.totals.hit_rate().tolist() == [3 / 4, 1 / 4]
    assert both.difference("hit_rate").value == 2 / 4
    assert both.difference("ndcg").value == pytest.approx(2 / 4)


def test_sentence_names_the_better_variant_and_its_interval():
    better, worse = np.ones(1000, int), np.array([0, 1] * 500)

    assert compare(better, worse, k=10, names=("ring_length=20", "as it is")).sentence() == (
        # Standard error sqrt(1000 x 0.25 / 999 / 1000) = 0.01582, times 1.96 = 0.0310.
        "hr@10 of ring_length=20 is 0.5000 higher than that of as it is "
        "on the same 1,000 events (95% interval 0.4690 to 0.5310)."
    )
    assert "is 0.5000 lower than" in compare(worse, better, k=10).sentence()


def test_sentence_does_not_decide_what_cannot_be_decided():
    assert "cannot be told apart" in compare(np.array([1, 0]), np.array([0, 1]), k=10).sentence()
    assert "too few events" in compare(np.array([], int), np.array([], int), k=10).sentence()


def test_curves_of_both_lie_on_the_same_windows():
    ranks = np.array([1, 1, 0, 0])
    both = compare(
        ranks,
        ranks[::-1],
        k=10,
        names=("new", "old"),
        timestamps=np.array([0.0, 60.0, 120.0, 180.0]),
        offsets=np.array([7, 8, 9, 10]),
        window=2,
    )

    cube = both.to_xarray()

    assert cube["hr"].sel(model="new").values.tolist() == [1, 0]
    assert cube["hr"].sel(model="old").values.tolist() == [0, 1]
    assert cube["offset"].values.tolist() == [8, 10]
    assert cube["time"].values[-1] == np.datetime64("1970-01-01T00:03")


def test_a_curve_has_some_fifty_points():
    ranks = np.zeros(20_000, int)

    assert compare(ranks, ranks, k=10).to_xarray().sizes["window"] == 50


def test_names_are_escaped_in_the_notebook():
    ranks = np.array([1, 0] * 300)

    html = compare(ranks, ranks, k=10, names=("<script>x</script>", "b & c"))._repr_html_()

    assert "<script>" not in html
    assert "&lt;script&gt;x" in html
    assert "b &amp; c" in html
    assert "<polyline" in html


def test_nothing_compared_is_still_shown():
    nothing = np.array([], int)

    assert "0 events" in compare(nothing, nothing, k=10)._repr_html_()


def test_repr_fits_on_a_line():
    ranks = np.array([1, 0])

    assert len(repr(compare(ranks, ranks, k=10, names=("n" * 500, "m" * 500)))) <= 120
