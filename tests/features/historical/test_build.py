"""One version of the features: by hand, as of a moment, whatever the partitions, and back from its arrays."""

from __future__ import annotations

from dataclasses import replace

import dask
import numpy as np
import pandas as pd
import pytest

from rtrec.errors import CorruptionError, InputError
from rtrec.events.synthetic import SyntheticConfig, SyntheticStream
from rtrec.features.catalogue import Catalogue
from rtrec.features.historical.build import LIFT_SMOOTHING, compute_features
from rtrec.features.historical.declared import ITEM_FEATURES, TRANSFORMS, USER_FEATURES
from rtrec.features.historical.encoding import Cross, bucket_of
from rtrec.features.historical.features import HistoricalFeatures
from rtrec.features.historical.frame import frame_of_events, moment_after
from rtrec.features.historical.inputs import KERNEL_FEATURES, VALUE_COLUMN, kernel_inputs
from rtrec.settings import Settings
from rtrec.types import Columns
from tests.features.historical.conftest import seconds, table_of

WEIGHTS = Settings(weight_buy=3.0).kind_weights()


def computed(events, *, as_of=None, n_partitions=1, **options):
    with dask.config.set(scheduler="synchronous"):
        frame = frame_of_events(events, WEIGHTS, n_partitions=n_partitions)
        return compute_features(frame, as_of=moment_after(frame) if as_of is None else as_of, **options)


@pytest.fixture(scope="module")
def stream():
    return SyntheticStream(SyntheticConfig(n_users=100, n_items=60, seed=5, events_per_day=40.0)).events(1500)


@pytest.fixture(scope="module")
def features(stream) -> HistoricalFeatures:
    return computed(stream)


#: Two heavy users who buy dear things, six light ones who look at cheap ones; item "new" has no value.
ROWS = [
    *((f"h{user}", f"dear{item}", 80 + item, "buy", 100.0 + item) for user in range(2) for item in range(10)),
    *((f"l{user}", f"cheap{item}", 90 + item, "view", 1.0 + item) for user in range(6) for item in range(2)),
    ("l0", "new", 99.0, "view", None),
]


@pytest.fixture(scope="module")
def by_hand() -> HistoricalFeatures:
    goods = pd.DataFrame({"id": ["dear0", "cheap0", "unsold"], "sort": ["watch|gold", "pen", "pen"]})
    catalogue = Catalogue.of(goods, item="id", categories=["sort"])
    return computed(table_of(ROWS), as_of=seconds(100), n_cohorts=2, catalogue=catalogue)


def test_every_feature_is_declared_with_all_that_is_asked_for():
    for feature in (*ITEM_FEATURES, *USER_FEATURES):
        assert feature.name
        assert feature.source
        assert feature.why
        assert feature.transform in (*TRANSFORMS, "quantile")
        assert np.isfinite(feature.missing)
    for declared in (ITEM_FEATURES, USER_FEATURES):
        assert len({feature.name for feature in declared}) == len(declared)


def test_columns_by_hand(by_hand):
    dear, cheap, new = (by_hand.items.lookup([item])[0] for item in ("dear9", "cheap0", "new"))
    log1p = np.log1p
    # dear9 is bought twice on day 89, 11 days before; cheap0 viewed by six on day 90.
    expected = {
        "events_7d": 0,
        "events_30d": 2,
        "events_90d": 2,
        "weight_30d": 6,
        "others": 2,
        "last_days": 11,
    }
    for name, value in expected.items():
        assert by_hand.column("item", name)[dear] == pytest.approx(log1p(value), rel=1e-6), name
    assert by_hand.column("item", "events_30d")[cheap] == pytest.approx(log1p(6), rel=1e-6)
    # Of 12 items with a value dear9 has the highest and cheap0 the lowest.
    value = by_hand.column("item", "value_mean")
    assert (value[dear], value[cheap]) == (1, 0)
    assert np.isnan(value[new])
    heavy, light = (by_hand.users.lookup([user])[0] for user in ("h0", "l5"))
    assert by_hand.column("user", "days")[heavy] == pytest.approx(log1p(10), rel=1e-6)
    # l5 had the two cheapest of 12: quantiles 0 and 1 / 11; h0 the ten dearest: 2 / 11 to 11 / 11.
    level = by_hand.column("user", "value_level")
    assert level[light] == pytest.approx((0 + 1) / 11 / 2, abs=1e-3)
    assert level[heavy] == pytest.approx(sum(range(2, 12)) / 11 / 10, abs=1e-3)


def test_a_cohort_takes_more_of_what_it_takes(by_hand):
    assert [cohort.name for cohort in by_hand.cohorts] == ["light", "heavy"]
    assert by_hand.cohort_by_id() == {f"h{n}": "heavy" for n in range(2)} | {
        f"l{n}": "light" for n in range(6)
    }
    # Taken: 20 purchases of weight 3 by the heavy, 13 views by the light: 73. dear0 has 6 of them.
    dear = by_hand.items.lookup(["dear0"])[0]
    light, heavy = by_hand.cohort_lift[:, dear]
    s = LIFT_SMOOTHING
    assert heavy == pytest.approx(np.log((6 + s) / (60 * 6 / 73 + s)), rel=1e-5)
    assert light == pytest.approx(np.log((0 + s) / (13 * 6 / 73 + s)), rel=1e-5)


def test_a_cross_has_the_lift_of_its_bucket(by_hand):
    cross = Cross("cohort", "value_band")
    row = by_hand.crosses.index(cross)
    # Fifths of 12 quantiles n / 11: dear7 (9 / 11) and dear8, dear9 are the highest, with 6 each of 73.
    bucket = bucket_of(cross, ["heavy"], ["highest"])[0]
    s = LIFT_SMOOTHING
    assert by_hand.cross_lift[row, bucket] == pytest.approx(np.log((18 + s) / (60 * 18 / 73 + s)), rel=1e-5)
    assert np.count_nonzero(by_hand.cross_lift[row]) == 2 * 6  # two cohorts, five bands and "none"


def test_categories_of_the_catalogue_have_codes_and_crosses(by_hand):
    place = by_hand.item_codes.columns.index("category_sort")
    assert by_hand.item_codes.categories[place] == ("gold", "none", "pen")
    code = dict(zip(("gold", "none", "pen"), (1, 2, 3), strict=True))
    rows = by_hand.items.lookup(["dear0", "dear1", "cheap0"])
    assert by_hand.item_code[rows, place].tolist() == [code["gold"], code["none"], code["pen"]]
    assert Cross("cohort", "category_sort") in by_hand.crosses


def test_only_what_was_before_the_moment_counts(stream):
    times = stream[Columns.TIMESTAMP].cast("int64").to_numpy() / 1e6
    as_of = float(times[1000])
    inside = stream.filter(np.asarray(times) < as_of)
    whole, part = computed(stream, as_of=as_of), computed(inside, as_of=as_of)
    assert whole.n_events == inside.num_rows < stream.num_rows
    for name, array in whole.to_arrays().items():
        np.testing.assert_array_equal(array, part.to_arrays()[name], err_msg=name)


def test_partitions_do_not_matter(stream, features):
    cut = computed(stream, n_partitions=9)
    assert cut.cohorts == features.cohorts
    for name, array in features.to_arrays().items():
        other = cut.to_arrays()[name]
        if array.dtype.kind == "f":
            np.testing.assert_allclose(other, array, rtol=1e-5, atol=1e-6, err_msg=name)
        else:
            np.testing.assert_array_equal(other, array, err_msg=name)


def test_features_come_back_from_their_arrays(features):
    again = HistoricalFeatures.from_arrays(features.to_arrays(), features.to_manifest())
    assert repr(again) == repr(features)
    assert again.to_manifest() == features.to_manifest()
    for name, array in features.to_arrays().items():
        np.testing.assert_array_equal(again.to_arrays()[name], array)


def test_features_never_change(features):
    with pytest.raises(ValueError, match="read-only"):
        features.item[0, 0] = 1.0
    with pytest.raises(AttributeError):
        features.version = 2


def test_a_damaged_version_is_refused(features):
    arrays, manifest = features.to_arrays(), features.to_manifest()
    with pytest.raises(CorruptionError, match="'cohort/lift': expected 2 axes; got none"):
        HistoricalFeatures.from_arrays({n: a for n, a in arrays.items() if n != "cohort/lift"}, manifest)
    with pytest.raises(CorruptionError, match=r"'user/cohort': expected shape \(\d+,\); got \(3,\)"):
        HistoricalFeatures.from_arrays(arrays | {"user/cohort": np.zeros(3, np.int32)}, manifest)
    fewer = manifest | {"item_features": manifest["item_features"][1:]}
    with pytest.raises(CorruptionError, match=r"expected the item features events_7d, .*recompute them"):
        HistoricalFeatures.from_arrays(arrays, fewer)
    with pytest.raises(CorruptionError, match="expected format 1, got 9"):
        HistoricalFeatures.from_arrays(arrays, manifest | {"features": 9})


def test_an_unknown_feature_is_refused_with_the_nearest(features):
    with pytest.raises(ValueError, match=r"no item feature 'events_9d'; did you mean 'events_90d'"):
        features.column("item", "events_9d")


def test_the_next_version_keeps_the_numbers_of_cohorts(stream, features):
    turned = replace(
        features, cohorts=features.cohorts[::-1], cohort_centres=features.cohort_centres[::-1].copy()
    )
    following = computed(stream, version=2, earlier=turned.earlier)
    n_cohorts = len(features.cohorts)
    assert following.version == 2
    assert following.user_cohort.tolist() == (n_cohorts - 1 - features.user_cohort).tolist()


def test_nothing_before_the_moment_is_said():
    with pytest.raises(InputError, match="expected events before the moment"):
        computed(table_of([("u", "a", 5.0)]), as_of=seconds(5))


def test_kernel_inputs_follow_the_kernels_numbers_and_hold_no_nan(by_hand):
    items, users = ["new", "unheard", "dear9"], ["nobody", "l0", "h1"]
    inputs = kernel_inputs(by_hand, item_ids=items, user_ids=users)
    assert [array.dtype for array in inputs] == [np.float32, np.int32, np.float32, np.float32]
    assert inputs.item_value.shape == (3, len(KERNEL_FEATURES))
    assert inputs.cohort_lift.shape == (2, 3)
    for array in inputs:
        assert np.isfinite(array).all()
        assert array.flags.c_contiguous
    known = by_hand.items.lookup(["dear9"])[0]
    for column, feature in enumerate(KERNEL_FEATURES):
        assert inputs.item_value[2, column] == by_hand.column("item", feature.name)[known]
        assert inputs.item_value[1, column] == np.float32(feature.missing)
    assert inputs.item_value[0, VALUE_COLUMN] == 0.5  # of "new" no value is known
    assert inputs.user_cohort.tolist() == [-1, 0, 1]
    assert inputs.user_value_quantile[0] == 0.5
    assert inputs.cohort_lift[:, 1].tolist() == [0, 0]
    assert inputs.cohort_lift[1, 2] == by_hand.cohort_lift[1, known]


def test_kernel_inputs_in_the_features_own_order(features):
    inputs = kernel_inputs(features)
    assert inputs.item_value.shape == (len(features.items), len(KERNEL_FEATURES))
    np.testing.assert_array_equal(inputs.user_cohort, features.user_cohort)
    np.testing.assert_array_equal(inputs.cohort_lift, features.cohort_lift)
