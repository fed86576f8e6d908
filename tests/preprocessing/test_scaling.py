"""Scaling of targets with unknown values."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from skmatgnn.preprocessing import TargetScaler


@pytest.fixture
def y():
    rng = np.random.default_rng(0)
    y = rng.normal([5.0, -300.0, 1e-6], [2.0, 80.0, 1e-8], size=(40, 3))
    y[rng.random(y.shape) < 0.3] = np.nan
    return y


def test_fit__unknown_values__equals_scikit_learns_scaler(y):
    ours, theirs = TargetScaler().fit(y), StandardScaler().fit(y)
    np.testing.assert_allclose(ours.mean_, theirs.mean_, rtol=1e-12)
    np.testing.assert_allclose(ours.scale_, theirs.scale_, rtol=1e-9)
    np.testing.assert_allclose(ours.transform(y), theirs.transform(y), atol=1e-6)


def test_transform__and_back__is_the_identity_and_keeps_nan(y):
    scaler = TargetScaler().fit(y)
    scaled = scaler.transform(y)
    np.testing.assert_array_equal(np.isnan(scaled), np.isnan(y))
    np.testing.assert_allclose(np.nanmean(scaled, axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(np.nanstd(scaled, axis=0), 1, rtol=1e-9)
    np.testing.assert_allclose(scaler.inverse_transform(scaled), y, rtol=1e-12)


def test_fit__integer_weights__equal_repeated_rows(y):
    weight = np.random.default_rng(1).integers(0, 4, size=40)
    weighted = TargetScaler().fit(y, weight)
    repeated = TargetScaler().fit(np.repeat(y, weight, axis=0))
    np.testing.assert_allclose(weighted.mean_, repeated.mean_, rtol=1e-12)
    np.testing.assert_allclose(weighted.scale_, repeated.scale_, rtol=1e-9)


def test_fit__known_values_without_weight__are_used_rather_than_none():
    y = np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, 7.0]])
    scaler = TargetScaler().fit(y, np.array([1.0, 1.0, 0.0]))
    assert scaler.mean_.tolist() == [2.0, 7.0]
    np.testing.assert_allclose(scaler.scale_, [1.0, 7e-3])


@pytest.mark.parametrize(
    ("value", "scale"), [(0.0, 1.0), (0.1, 1e-4), (1e8 / 3, 1e5 / 3), (-1e-300, 1e-303)]
)
def test_fit__equal_values__scale_follows_their_size(value, scale):
    y = np.full((50, 1), value)
    y[7] = np.nan
    scaler = TargetScaler().fit(y)
    assert scaler.scale_[0] == pytest.approx(scale)
    np.testing.assert_allclose(scaler.transform(y)[0], 0, atol=1e-6)


def test_fit__single_row__is_a_constant():
    assert TargetScaler().fit(np.array([[4.0]])).scale_.tolist() == [4e-3]


def test_fit__infinite_value__counts_as_unknown():
    scaler = TargetScaler().fit(np.array([[1.0], [3.0], [np.inf]]))
    assert (scaler.mean_[0], scaler.scale_[0]) == (2.0, 1.0)


@pytest.mark.parametrize("power", [-1070, -700, 600, 1000])
def test_fit__huge_or_tiny_values__has_the_digits_of_ordinary_ones(power):
    y, weight = np.array([[1.0], [2.0], [np.nan], [-6.0]]), np.array([1.0, 2, 1, 3])
    plain = TargetScaler().fit(y, weight)
    scaled = TargetScaler().fit(np.ldexp(y, power), weight)
    exact = power > -1000  # smaller ones have fewer digits
    for ours, theirs in ((scaled.mean_, plain.mean_), (scaled.scale_, plain.scale_)):
        expected = np.ldexp(theirs, power)
        assert ours == (expected if exact else pytest.approx(expected, rel=0.1))


def test_fit__huge_value_of_no_weight__does_not_matter():
    y, weight = np.array([[1.0], [3.0], [1e300]]), np.array([1.0, 1.0, 0.0])
    scaler = TargetScaler().fit(y, weight)
    assert (scaler.mean_[0], scaler.scale_[0]) == (2.0, 1.0)


def test_fit__least_of_numbers__has_a_scale():
    y = np.array([[5e-324], [0.0], [0.0]])
    assert TargetScaler().fit(y).transform(y).ravel().tolist() == [1.0, 0.0, 0.0]
