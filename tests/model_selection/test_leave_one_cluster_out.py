import pickle
import warnings
from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import (
    GridSearchCV,
    LeaveOneGroupOut,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
)
from sklearn.pipeline import make_pipeline

from skmatgnn.featurizers import MagpieFeatures
from skmatgnn.model_selection import ClusterGroups, LeaveOneClusterOut


class CountingKMeans(KMeans):
    calls = 0

    def fit_predict(self, X, y=None, sample_weight=None):
        CountingKMeans.calls += 1
        return super().fit_predict(X, y, sample_weight)


@pytest.fixture
def blobs():
    X, groups = make_blobs([10, 20, 15], n_features=3, cluster_std=0.2, random_state=1)
    return X, X @ [1.0, 2.0, 3.0], groups


@pytest.mark.parametrize("labels", [[4, 0, 9], ["a", "b", "c"], [0.5, 1.5, 2.5]])
@pytest.mark.parametrize("container", [np.array, list, pd.Series])
def test_groups_given__all_tested__equals_leave_one_group_out(blobs, labels, container):
    X, y, groups = blobs
    named = container(np.array(labels)[groups])
    ours = list(LeaveOneClusterOut().split(X, y, named))
    theirs = list(LeaveOneGroupOut().split(X, y, named))
    assert len(ours) == len(theirs) == LeaveOneClusterOut().get_n_splits(groups=named)
    for pair, reference in zip(ours, theirs, strict=True):
        for rows, expected in zip(pair, reference, strict=True):
            np.testing.assert_array_equal(rows, expected)
    expected = sorted(set(named))
    assert LeaveOneClusterOut().test_groups(groups=named).tolist() == expected


def test_no_groups__clusters_itself__as_cluster_groups_would(blobs):
    X, y, truth = blobs
    clusters = ClusterGroups(KMeans(3, n_init=5), random_state=0)
    cv = LeaveOneClusterOut(clusters)
    groups = clone(clusters).fit_predict(X)
    assert cv.get_n_splits(X) == 3
    for (_, test), group in zip(cv.split(X, y), cv.test_groups(X), strict=True):
        np.testing.assert_array_equal(test, np.flatnonzero(groups == group))
        assert len(set(truth[test])) == 1
    plain = LeaveOneClusterOut(KMeans(3, n_init=5))
    for pair, other in zip(plain.split(X), cv.split(X), strict=True):
        np.testing.assert_array_equal(pair[1], other[1])


def test_dropped_samples__label_minus_one__are_in_no_set():
    groups = np.array([0, 0, 1, -1, 1, 2, -1])
    for train, test in LeaveOneClusterOut().split(np.zeros((7, 1)), groups=groups):
        rows = np.concatenate([train, test])
        assert sorted(rows) == [0, 1, 2, 4, 5]
        assert len(set(groups[test])) == 1
        assert not set(groups[test]) & set(groups[train])


@pytest.mark.parametrize(
    ("groups", "tested"),
    [
        (np.array([0, 0, 1, 1, -1, -1], dtype=object), [0, 1]),
        (np.array([[n, "x"] for n in [0, 0, 1, 1, -1, -1]], object)[:, 0], [0, 1]),
        (pd.Series([0, 0, 1, 1, -1, -1], dtype="Int64"), [0, 1]),
        (pd.Series([0, 0, 1, 1, -1, -1]).astype("category"), [0, 1]),
        ([0.0, 0.0, 1.0, 1.0, -1.0, -1.0], [0, 1]),
        (np.array(["a", "a", "b", "b", -1, -1], dtype=object), ["a", "b"]),
        (["a", "a", "b", "b", -1, np.int64(-1)], ["a", "b"]),
    ],
)  # fmt: skip
def test_dropped_samples__of_any_kind_of_array__are_in_no_set(groups, tested):
    cv = LeaveOneClusterOut()
    splits = [(a.tolist(), b.tolist()) for a, b in cv.split(np.eye(6), groups=groups)]
    assert splits == [([2, 3], [0, 1]), ([0, 1], [2, 3])]
    assert cv.test_groups(groups=groups).tolist() == tested


def test_labels__that_read_minus_one__are_a_cluster_of_texts():
    labels = np.array(["-1", "a"] * 3)
    assert LeaveOneClusterOut().test_groups(groups=labels).tolist() == ["-1", "a"]


SIZES = np.repeat([0, 1, 2, 3], [6, 5, 2, 1])


def test_small_clusters__train__are_trained_on_and_never_tested():
    splits = list(LeaveOneClusterOut(min_size=3).split(SIZES, groups=SIZES))
    assert [len(test) for _, test in splits] == [6, 5]
    assert [len(train) for train, _ in splits] == [8, 9]


def test_small_clusters__merge__are_tested_together():
    cv = LeaveOneClusterOut(min_size=3, small="merge")
    splits = list(cv.split(SIZES, groups=SIZES))
    assert [len(test) for _, test in splits] == [6, 5, 3]
    assert cv.test_groups(groups=SIZES).tolist() == [0, 1, "small"]
    predicted = cross_val_predict(
        DummyRegressor(), SIZES[:, None], SIZES * 1.0, groups=SIZES, cv=cv
    )
    assert predicted[-1] == pytest.approx(SIZES[:-3].mean())


def test_dominating_cluster__over_half__warns_in_split_only():
    groups = [0] * 6 + [1] * 5
    cv = LeaveOneClusterOut()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cv.get_n_splits(groups=groups) == 2
        list(cv.split(groups, groups=[0] * 5 + [1] * 5 + [-1]))
    with pytest.warns(UserWarning, match=r"One group holds 6 of 11 samples \(55%\)"):
        list(cv.split(groups, groups=groups))


def test_search__counts_and_splits__clusters_once(blobs):
    X, y, _ = blobs
    CountingKMeans.calls = 0
    cv = LeaveOneClusterOut(ClusterGroups(CountingKMeans(3, n_init=2), random_state=0))
    search = GridSearchCV(Ridge(), {"alpha": [1e-3, 1e3]}, cv=cv, error_score="raise")
    assert search.fit(X, y).best_params_ == {"alpha": 1e-3}
    assert CountingKMeans.calls == 1
    list(cv.split(X + np.arange(len(X))[:, None], y))
    assert CountingKMeans.calls == 2


def test_splitter__copied_and_pickled__carries_no_clusters(blobs):
    X, _, _ = blobs
    cv = LeaveOneClusterOut(KMeans(3, n_init=2), min_size=2)
    expected = [test for _, test in cv.split(X)]
    for twin in (
        pickle.loads(pickle.dumps(cv)),
        deepcopy(cv),
        clone(GridSearchCV(Ridge(), {}, cv=cv)).cv,
    ):
        assert vars(twin).keys() == {"cluster_groups", "min_size", "small"}
        for (_, test), reference in zip(twin.split(X), expected, strict=True):
            np.testing.assert_array_equal(test, reference)
    assert repr(cv) == (
        "LeaveOneClusterOut(cluster_groups=KMeans(n_clusters=3, n_init=2), "
        "min_size=2,\n          small='train')"
    )


def test_formulas__with_and_without_groups__run_through_every_tool(formulas, families):
    y = np.arange(len(formulas), dtype=float)
    model = make_pipeline(MagpieFeatures(), Ridge())
    cv = LeaveOneClusterOut(KMeans(3, n_init=5))
    options = {"cv": cv, "error_score": "raise", "scoring": "neg_mean_absolute_error"}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "One group holds")
        warnings.filterwarnings("ignore", "Ill-conditioned")
        own = cross_val_score(model, formulas, y, **options)
        given = cross_val_score(model, formulas, y, groups=families, **options)
        assert own.shape == given.shape == (3,)
        assert np.isfinite(own).all()
        result = cross_validate(model, formulas, y, n_jobs=2, **options)
        np.testing.assert_allclose(result["test_score"], own, rtol=1e-6)
        search = GridSearchCV(model, {"ridge__alpha": [1.0, 10.0]}, n_jobs=2, **options)
        assert search.fit(formulas, y).n_splits_ == 3
        search.fit(formulas, y, groups=families)
        sizes, _, scores = learning_curve(
            model, formulas, y, groups=families, train_sizes=[0.5, 1.0], **options
        )
    assert scores.shape == (len(sizes), 3)


def test_structures__bare_list__is_clustered_and_scored(rocksalts):
    scores = cross_val_score(
        DummyRegressor(),
        rocksalts,
        np.arange(5.0),
        cv=LeaveOneClusterOut(KMeans(3, n_init=5)),
        scoring="neg_mean_absolute_error",
        error_score="raise",
    )
    assert np.isfinite(scores).all()


def test_metadata_routing__enabled__requests_groups(blobs):
    X, y, groups = blobs
    cv = LeaveOneClusterOut(KMeans(2))
    with sklearn.config_context(enable_metadata_routing=True):
        routed = cross_val_score(Ridge(), X, y, cv=cv, params={"groups": groups})
        assert len(routed) == 3
        search = GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=cv).fit(X, y, groups=groups)
    assert search.n_splits_ == 3


@pytest.mark.parametrize(
    ("options", "groups", "match"),
    [
        ({}, [0] * 6, r"sizes \{0: 6\} with min_size=1"),
        ({}, [-1] * 6, r"got 0 cluster\(s\)"),
        ({}, [-1] * 5 + [2], r"got 1 cluster\(s\)"),
        ({"min_size": 4}, [0, 0, 0, 1, 1, 1], "min_size=4. Use more clusters"),
        ({"min_size": 0}, [0, 1] * 3, "min_size must be 1 or more"),
        ({"min_size": 1.5}, [0, 1] * 3, "min_size must be an integer"),
        ({"small": "drop"}, [0, 1] * 3, "small must be one of"),
        ({}, [0, 1, np.nan, 1, 0, 0], "groups contains nan at index 2"),
        ({}, [0, 1, None, 1, 0, 0], "groups contains None at index 2"),
        ({}, ["a", "b", np.nan] * 2, "groups contains nan at index 2"),
        ({}, pd.Series([0, 1, None] * 2, dtype="Int64"), "contains <NA> at index 2"),
        ({}, [0, 1, None, 1, 0, 0], "; -1 leaves a sample out altogether"),
        ({}, [[0, 1]] * 6, r"got shape \(6, 2\)"),
        ({}, [0, 1], "X has 6, groups has 2"),
        ({"cluster_groups": [0, 1]}, None, "must be a ClusterGroups or another"),
    ],
)
def test_bad_input__of_any_kind__says_what_is_wrong(options, groups, match):
    with pytest.raises((ValueError, TypeError), match=match):
        list(LeaveOneClusterOut(**options).split(np.eye(6), groups=groups))


def test_one_cluster_and_training_only_rows__is_enough():
    cv = LeaveOneClusterOut(min_size=2)
    splits = list(cv.split(np.eye(5), groups=[0, 0, 1, 2, 3]))
    assert [(len(train), len(test)) for train, test in splits] == [(3, 2)]


def test_get_n_splits__neither_x_nor_groups__says_what_is_needed():
    with pytest.raises(ValueError, match="needs X to cluster, or groups"):
        LeaveOneClusterOut().get_n_splits()
