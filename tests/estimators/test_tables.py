"""Scaling of feature tables."""

import numpy as np
import pytest

from skmatgnn.estimators._tables import FeatureScaler


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(30, 4)) * [1, 1e3, 1e-3, 1] + [0, 5e3, 1, 0]
    table[::7, 3] = np.nan
    return table


def test_standard__training_rows__have_zero_mean_and_unit_variance(table):
    scaled = FeatureScaler("standard").fit(table).transform(table)
    known = np.isfinite(table)
    for j in range(4):
        column = scaled[known[:, j], j]
        assert abs(column.mean()) < 1e-9
        assert column.std() == pytest.approx(1)
    assert (scaled[~known] == 0).all()


def test_minmax__training_rows__fill_the_range_and_unknown_is_apart(table):
    scaled = FeatureScaler("minmax").fit(table).transform(table)
    known = np.isfinite(table)
    assert scaled[known].min() == pytest.approx(-0.5)
    assert np.where(known, scaled, -9).max(axis=0) == pytest.approx([0.5] * 4)
    assert (scaled[~known] == -1).all()


def test_minmax__unknown_only_later__is_the_mean_of_the_feature(table):
    scaler = FeatureScaler("minmax").fit(table)
    later = scaler.transform(np.full((1, 4), np.nan))[0]
    mean = scaler.transform(np.nanmean(table, axis=0)[None])[0]
    assert later[:3] == pytest.approx(mean[:3])
    assert later[3] == -1


@pytest.mark.parametrize("kind", ["standard", "minmax"])
def test_scaler__weights__count_as_repeated_rows(table, kind):
    times = np.arange(30) % 3 + 1
    weighted = FeatureScaler(kind).fit(table, times.astype(float))
    repeated = FeatureScaler(kind).fit(np.repeat(table, times, axis=0))
    assert weighted.transform(table) == pytest.approx(repeated.transform(table))


@pytest.mark.parametrize("kind", ["standard", "minmax"])
def test_scaler__constant_unknown_or_huge_columns__stay_finite(kind):
    table = np.array([[1 / 3, np.nan, -1.7e308], [1 / 3, np.nan, 1.7e308]] * 5)
    scaler = FeatureScaler(kind).fit(table)
    with np.errstate(all="raise", under="ignore"):
        scaled = scaler.transform(table)
    assert np.isfinite(scaled).all()
    assert np.ptp(scaled, axis=0) == pytest.approx([0, 0, scaled[1, 2] * 2])
    assert scaled[1, 2] >= 0.5
    unusual = scaler.transform(np.array([[1e300, 0.0, 0.0]]))
    assert np.abs(unusual).max() <= 10
