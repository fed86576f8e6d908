"""Compiled counting of neighbours against plain NumPy: the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skmatgnn.feature_selection import (
    RelevanceRedundancySelector,
    _mutual_info,
    mutual_information,
)
from skmatgnn.feature_selection._columns import prepare_column
from skmatgnn.utils import _compiled

pytest.importorskip("numba", reason="needs the extra cpu")
LOOPS = _compiled.compiled_module("skmatgnn.feature_selection._counts_numba", "all is")


def column(x, k, seed=0):
    x = np.asarray(x, dtype=float)
    return prepare_column(x, n_neighbors=k, rng=np.random.default_rng(seed))


def features(n, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.standard_normal(n)
    sparse = np.where(rng.random(n) < 0.85, 0.0, rng.random(n))
    return {
        "normal": z,
        "dependent": z + 0.01 * rng.standard_normal(n),
        "lognormal": np.exp(3 * rng.standard_normal(n)),
        "integer": np.floor(4 * z),
        "binary": (z > 1).astype(float),
        "twin levels": np.round(z) * (1 + 4e-16 * rng.integers(-1, 2, n)),
        "mostly zero": sparse,
        "mostly zero, dependent": np.where(sparse > 0.3, sparse, 0.0),
        "mixed": np.where(z > 0, z, np.round(3 * z)),
        "constant but one": np.arange(n) == n // 2,
        "constant": np.ones(n),
        "duplicates": np.repeat(rng.random(n), 2)[:n],
    }


@pytest.mark.parametrize("k", [1, 3, 8, 9])
@pytest.mark.parametrize("n", [10, 97, 1500])
def test_counts__of_all_kinds_of_features__are_those_of_numpy(n, k):
    table = features(n, seed=n)
    columns = [column(x, k, seed) for seed, x in enumerate(table.values())]
    step = 1 if n < 1000 else 5
    for i, x in enumerate(columns):
        for y in columns[i::step]:
            expected = _mutual_info.count_neighbors(x, y, k)
            np.testing.assert_array_equal(LOOPS.count_neighbors(x, y, k), expected)
            np.testing.assert_array_equal(LOOPS.count_neighbors(y, x, k), expected)


@given(
    st.integers(4, 250), st.integers(1, 40), st.integers(1, 40), st.integers(0, 10**6)
)
@settings(max_examples=60, deadline=None)
def test_counts__on_any_grid__are_those_of_numpy(n, a, b, seed):
    rng = np.random.default_rng(seed)
    x, y = column(rng.integers(0, a, n), 3), column(rng.integers(0, b, n) ** 2, 3, 1)
    np.testing.assert_array_equal(
        LOOPS.count_neighbors(x, y, 3), _mutual_info.count_neighbors(x, y, 3)
    )


def test_counts__with_and_without_numba__make_equal_rankings(monkeypatch):
    table = features(400)
    X = np.stack(list(table.values()), axis=1)
    X[:30, 0] = np.nan
    y = table["normal"] ** 2 + table["integer"]
    found = []
    for least in (0, 2**62):
        monkeypatch.setattr(_mutual_info, "_WORTH_COMPILED", least)
        for _ in range(2):
            selector = RelevanceRedundancySelector(n_features=None, random_state=0)
            selector.fit(X, y)
            shared = mutual_information(X[:, 1:], y, random_state=0)
            found.append((selector, shared))
    first, shared = found[0]
    assert len(first.ranking_) > 5
    for other, again in found[1:]:
        np.testing.assert_array_equal(other.ranking_, first.ranking_)
        np.testing.assert_array_equal(other.cross_nmi_, first.cross_nmi_)
        np.testing.assert_array_equal(other.target_nmi_, first.target_nmi_)
        np.testing.assert_array_equal(again, shared)


def test_counting__of_few_pairs__does_not_load_numba():
    assert _mutual_info.counting_for(4000, 20) is _mutual_info.count_neighbors
    assert _mutual_info.counting_for(4000, 10**4) is LOOPS.count_neighbors


def test_broken_numba__is_a_warning_and_numpy_counts(monkeypatch):
    def broken():
        raise OSError("no compiler")

    monkeypatch.setattr(LOOPS, "probe", broken)
    _compiled.compiled_module.cache_clear()
    try:
        with pytest.warns(
            RuntimeWarning, match=r"no compiler\); neighbours .* without"
        ):
            count = _mutual_info.counting_for(4000, 10**4)
    finally:
        _compiled.compiled_module.cache_clear()
    assert count is _mutual_info.count_neighbors


def test_missing_numba__is_silent_and_numpy_counts(monkeypatch):
    monkeypatch.setattr(_compiled, "find_spec", lambda _: None)
    _compiled.compiled_module.cache_clear()
    try:
        count = _mutual_info.counting_for(4000, 10**4)
    finally:
        _compiled.compiled_module.cache_clear()
    assert count is _mutual_info.count_neighbors
