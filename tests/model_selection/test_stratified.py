import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score

from skmatgnn.model_selection import StratifiedRegressionKFold


def fold_numbers(cv, n_samples, y=None, X=None):
    folds = np.full(n_samples, -1)
    X = np.zeros((n_samples, 1)) if X is None else X
    for number, (train, test) in enumerate(cv.split(X, y)):
        assert (folds[test] == -1).all()
        folds[test] = number
        np.testing.assert_array_equal(
            np.sort(np.concatenate([train, test])), np.arange(n_samples)
        )
    assert (folds >= 0).all()
    return folds


@given(
    seed=st.integers(0, 2**31 - 1),
    n_samples=st.integers(5, 300),
    n_splits=st.integers(2, 5),
    n_values=st.sampled_from([1, 2, 7, 10**6]),
    shuffle=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_quantile_bins__of_any_target__are_dealt_out_evenly(
    seed, n_samples, n_splits, n_values, shuffle
):
    y = np.random.default_rng(seed).integers(n_values, size=n_samples) / 7
    cv = StratifiedRegressionKFold(
        n_splits, shuffle=shuffle, random_state=0 if shuffle else None
    )
    folds = fold_numbers(cv, n_samples, y)
    assert np.ptp(np.bincount(folds, minlength=n_splits)) <= 1
    n_bins = max(1, min(10, n_samples // n_splits))
    edges = np.unique(np.quantile(y, np.arange(1, n_bins) / n_bins))
    bins = np.searchsorted(edges, y, side="right")
    for member in np.unique(bins):
        counts = np.bincount(folds[bins == member], minlength=n_splits)
        assert np.ptp(counts) <= 1


def test_folds__of_a_skewed_target__have_closer_means_than_kfold():
    y = np.random.default_rng(0).lognormal(sigma=1.5, size=200)

    def spread(cv):
        return np.std([np.mean(y[test]) for _, test in cv.split(y, y)])

    plain = np.mean([spread(KFold(5, shuffle=True, random_state=s)) for s in range(9)])
    ours = np.mean(
        [
            spread(StratifiedRegressionKFold(shuffle=True, random_state=s))
            for s in range(9)
        ]
    )
    assert ours < 0.8 * plain


def test_shuffle__same_seed__same_folds_and_another_seed_others():
    y = np.random.default_rng(0).normal(size=60)
    folds = [
        fold_numbers(StratifiedRegressionKFold(shuffle=True, random_state=s), 60, y)
        for s in (0, 0, 1)
    ]
    np.testing.assert_array_equal(folds[0], folds[1])
    assert (folds[0] != folds[2]).any()


@pytest.mark.parametrize("container", [list, np.array, pd.Series])
def test_by_labels__working_ions__balances_them_in_every_fold(container):
    ions = ["Li"] * 31 + ["Na"] * 12 + ["Mg"] * 7
    order = np.random.default_rng(0).permutation(50)
    ions = [ions[i] for i in order]
    cv = StratifiedRegressionKFold(5, by=container(ions))
    folds = fold_numbers(cv, 50)
    for ion in set(ions):
        counts = np.bincount(folds[np.array(ions) == ion], minlength=5)
        assert np.ptp(counts) <= 1


def test_by_column__of_a_frame__survives_nested_splitting():
    frame = pd.DataFrame({"x": np.arange(40.0), "ion": ["Li", "Na"] * 20})
    cv = StratifiedRegressionKFold(4, by="ion")
    folds = fold_numbers(cv, 40, X=frame)
    assert set(np.bincount(folds[frame.ion == "Li"])) == {5}
    part = frame.iloc[5:25]
    assert len(np.unique(fold_numbers(cv, 20, X=part))) == 4


def test_by_floats__a_second_property__is_binned_like_a_target():
    values = np.random.default_rng(0).normal(size=50)
    by_array = fold_numbers(StratifiedRegressionKFold(5, by=values), 50)
    by_target = fold_numbers(StratifiedRegressionKFold(5), 50, values)
    np.testing.assert_array_equal(by_array, by_target)


def test_rare_labels__fewer_than_folds__warn_and_work():
    labels = ["Li"] * 20 + ["Cs"] * 3 + ["Y"]
    cv = StratifiedRegressionKFold(5, by=labels)
    with pytest.warns(UserWarning, match=r"fewer than n_splits=5 .*Cs \(3\), Y \(1\)"):
        folds = fold_numbers(cv, 24)
    assert len(set(folds[20:23])) == 3


def test_n_bins__more_than_the_samples_allow__warns():
    y = np.arange(20.0)
    with pytest.warns(UserWarning, match="n_bins=4 or less has"):
        fold_numbers(StratifiedRegressionKFold(5, n_bins=10), 20, y)


def test_splitter__in_cross_validation_and_search__runs(rocksalts):
    X, y = np.arange(30.0)[:, None], np.arange(30.0)
    cv = StratifiedRegressionKFold(3, shuffle=True, random_state=0)
    twin = pickle.loads(pickle.dumps(cv))
    np.testing.assert_array_equal(
        cross_val_score(Ridge(), X, y, cv=cv), cross_val_score(Ridge(), X, y, cv=twin)
    )
    search = GridSearchCV(Ridge(), {"alpha": [0.1, 1e6]}, cv=cv, n_jobs=2)
    assert clone(search).fit(X, y).best_params_ == {"alpha": 0.1}
    assert repr(cv).startswith("StratifiedRegressionKFold(by='target', n_bins='auto'")
    scores = cross_val_score(
        DummyRegressor(),
        rocksalts,
        np.arange(5.0),
        cv=StratifiedRegressionKFold(2),
        scoring="neg_mean_absolute_error",
    )
    assert np.isfinite(scores).all()


def test_groups__given__are_ignored_with_a_warning():
    with pytest.warns(UserWarning, match="groups is ignored"):
        next(StratifiedRegressionKFold(2).split([1, 2], [1.0, 2.0], groups=[0, 1]))


@pytest.mark.parametrize(
    ("options", "y", "match"),
    [
        ({"n_splits": 1}, [1.0] * 6, "n_splits must be 2 or more; got 1"),
        ({"n_splits": 2.5}, [1.0] * 6, r"n_splits must be an integer .* got float"),
        ({"n_splits": 7}, [1.0] * 6, "greater than the number of samples"),
        ({"n_bins": 0}, [1.0] * 6, "n_bins must be 'auto' or 1 or more"),
        ({"n_bins": "many"}, [1.0] * 6, "n_bins must be 'auto' or an integer"),
        ({"random_state": 0}, [1.0] * 6, "no effect without shuffle=True"),
        ({}, None, "needs y, but y is None"),
        ({}, [1, 2, 3, 4, np.nan, 6], "y contains nan at index 4"),
        ({}, [[1.0, 2.0]] * 6, r"by=Y\[:, 0\]"),
        ({}, ["a"] * 6, "needs a numeric y; got str"),
        ({}, [1.0] * 5, "inconsistent numbers of samples"),
        ({"by": ["a"] * 5}, None, "by has 5 values, but X has 6 samples"),
        ({"by": ["a", None, "b", "a", "b", "c"]}, None, "contains None at index 1"),
        ({"by": "ion"}, None, "X must be a frame; got ndarray"),
    ],
)
def test_bad_input__of_any_kind__says_what_is_wrong(options, y, match):
    cv = StratifiedRegressionKFold(**{"n_splits": 2, **options})
    with pytest.raises((ValueError, TypeError), match=match):
        list(cv.split(np.zeros((6, 1)), y))


def test_by_column__that_is_missing__lists_the_columns():
    cv = StratifiedRegressionKFold(2, by="ion")
    with pytest.raises(ValueError, match=r"no column of X, which has \['a', 'b'\]"):
        next(cv.split(pd.DataFrame({"a": [1, 2], "b": [1, 2]})))


def test_get_n_splits__any_arguments__is_n_splits():
    assert StratifiedRegressionKFold(4).get_n_splits() == 4
    with pytest.raises(ValueError, match="n_splits must be 2 or more"):
        StratifiedRegressionKFold(0).get_n_splits()
