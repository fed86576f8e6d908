import pickle
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.cluster import DBSCAN, AgglomerativeClustering, KMeans
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skmatgnn.model_selection import ClusterGroups


@parametrize_with_checks([ClusterGroups(random_state=0)])
@pytest.mark.filterwarnings("ignore:One group holds:UserWarning")
def test_cluster_groups__scikit_learns_checks__pass(estimator, check):
    check(estimator)


def element_count(X):
    return np.array([[formula.count("O"), len(formula)] for formula in X], dtype=float)


class LabelsGiven(BaseEstimator):
    def __init__(self, labels):
        self.labels = labels

    def fit_predict(self, X):
        return np.asarray(self.labels)


@pytest.mark.parametrize("kind", [list, np.array, pd.Series, pd.DataFrame])
def test_default__formulas_in_any_container__finds_the_families(
    formulas, families, kind
):
    clusters = ClusterGroups(KMeans(3, n_init=10), random_state=0)
    groups = clusters.fit_predict(kind(formulas))
    assert adjusted_rand_score(groups, families) > 0.6
    assert clusters.points_.shape == (24, 132)


def test_default__structures_and_their_formulas__give_the_same_groups(rocksalts):
    cluster = ClusterGroups(KMeans(2, n_init=5), random_state=0)
    with pytest.warns(UserWarning, match="One group holds 3 of 5"):
        structures = cluster.fit_predict(rocksalts)
    with pytest.warns(UserWarning, match="One group holds"):
        formulas = cluster.fit_predict([s.formula for s in rocksalts])
    np.testing.assert_array_equal(structures, formulas)


@pytest.mark.filterwarnings("ignore:One group holds 7 of 12:UserWarning")
def test_default__clusters__grow_with_the_samples_up_to_eight():
    X, _ = make_blobs(400, n_features=5, centers=8, random_state=0)
    for n_samples, expected in ((400, 8), (50, 5), (12, 2)):
        groups = ClusterGroups(random_state=0).fit(X[:n_samples])
        assert groups.n_groups_ == expected
    with pytest.warns(UserWarning, match="100%"):
        assert ClusterGroups().fit(np.ones((30, 2))).n_groups_ == 1


def test_default__on_the_battery_explorer__is_stable_and_balanced(electrodes):
    formulas = electrodes.formula_discharge.to_numpy()[::3]
    groups = [ClusterGroups(random_state=s).fit_predict(formulas) for s in range(2)]
    assert adjusted_rand_score(*groups) > 0.6
    assert np.bincount(groups[0]).max() < 0.5 * len(formulas)


def test_groups__of_any_clusterer__are_numbered_by_size():
    labels = [7] * 2 + [3] * 4 + [5] * 3
    groups = ClusterGroups(LabelsGiven(labels)).fit_predict(np.eye(9))
    assert groups.tolist() == [2] * 2 + [0] * 4 + [1] * 3


NOISY = [0, 0, 0, -1, 1, 1, 1, -1]
POINTS = np.array([[0.0], [1], [2], [2.5], [8], [9], [10], [4.5]])


@pytest.mark.parametrize(
    ("noise", "expected"),
    [
        ("own_group", [0, 0, 0, 2, 1, 1, 1, 2]),
        ("drop", [0, 0, 0, -1, 1, 1, 1, -1]),
        ("nearest", [0, 0, 0, 0, 1, 1, 1, 0]),
    ],
)
@pytest.mark.filterwarnings("ignore:One group holds:UserWarning")
def test_noise__three_ways__is_treated_as_said(noise, expected):
    clusters = ClusterGroups(LabelsGiven(NOISY), scaler=False, noise=noise)
    assert clusters.fit_predict(POINTS).tolist() == expected
    np.testing.assert_array_equal(clusters.noise_mask_, np.array(NOISY) < 0)
    assert clusters.n_groups_ == len(set(expected) - {-1})
    report = clusters.report()
    assert report["size"].sum() == 8
    assert report["noise"].sum() == 2
    assert report["share"].to_dict() == {
        group: expected.count(group) / 8 for group in sorted(set(expected))
    }


@pytest.mark.parametrize("noise", ["drop", "nearest"])
def test_noise__nothing_else_found__says_how_to_loosen(noise):
    clusters = ClusterGroups(DBSCAN(eps=1e-9), noise=noise)
    with pytest.raises(ValueError, match=r"calls all 8 samples noise.*larger eps"):
        clusters.fit(POINTS)


def test_noise__nothing_else_found_own_group__is_one_dominating_group():
    with pytest.warns(UserWarning, match="One group holds 8 of 8 samples"):
        groups = ClusterGroups(DBSCAN(eps=1e-9)).fit_predict(POINTS)
    assert groups.tolist() == [0] * 8


@pytest.mark.parametrize(
    "embedding", [None, "pca", "tsne", PCA(2), FunctionTransformer()]
)
def test_embedding__of_separated_blobs__keeps_them_apart(embedding):
    X, truth = make_blobs(
        90, n_features=6, centers=3, cluster_std=0.3, random_state=3, center_box=(-9, 9)
    )
    clusters = ClusterGroups(
        AgglomerativeClustering(3), embedding=embedding, random_state=0
    ).fit(X)
    assert adjusted_rand_score(clusters.groups_, truth) == 1.0
    twin = clone(clusters).fit(X)
    np.testing.assert_array_equal(twin.points_, clusters.points_)


def test_embedding__tsne_of_few_samples__lowers_the_perplexity():
    points = ClusterGroups(KMeans(2), embedding="tsne", random_state=0).fit(
        np.arange(8.0)[:, None]
    )
    assert points.points_.shape == (8, 2)


def test_embedding__umap_not_installed__names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ImportError, match=r"pip install 'skmatgnn\[umap\]'"):
        ClusterGroups(embedding="umap").fit(np.eye(20))


def test_embedding__umap_installed__is_seeded_and_fits_few_samples(monkeypatch):
    class UMAP(PCA):
        def __init__(self, n_neighbors, n_jobs, random_state=None):
            super().__init__(2, random_state=random_state)
            self.n_neighbors = n_neighbors
            self.n_jobs = n_jobs
            seen.append(self)

    seen = []
    module = type(sys)("umap")
    module.UMAP = UMAP
    monkeypatch.setitem(sys.modules, "umap", module)
    X, _ = make_blobs(9, n_features=4, centers=3, random_state=0)
    ClusterGroups(KMeans(3), embedding="umap", random_state=5).fit(X)
    assert seen[-1].n_neighbors == 8
    assert seen[-1].random_state == 5


@pytest.mark.filterwarnings("ignore:One group holds:UserWarning")
def test_features__own_transformer__is_used_imputed_and_not_fitted(formulas):
    features = FunctionTransformer(element_count)
    clusters = ClusterGroups(KMeans(3), features, scaler=False, random_state=0)
    clusters.fit(formulas)
    np.testing.assert_array_equal(clusters.points_, element_count(formulas))
    assert not hasattr(features, "n_features_in_")

    def with_holes(X):
        table = element_count(X)
        table[3, 0] = np.nan
        return np.column_stack([table, np.full(len(table), np.nan)])

    holes = ClusterGroups(
        KMeans(3), FunctionTransformer(with_holes), scaler=False, random_state=0
    )
    points = holes.fit(formulas).points_
    known = np.delete(element_count(formulas)[:, 0], 3)
    assert points[3, 0] == np.median(known)
    assert (points[:, 2] == 0).all()


def test_features__frozen_transformer__keeps_its_fit():
    X, _ = make_blobs(30, n_features=4, centers=3, random_state=0)
    pca = PCA(1).fit(X[:10])
    clusters = ClusterGroups(
        KMeans(3), FrozenEstimator(pca), scaler=False, random_state=0
    )
    np.testing.assert_allclose(clusters.fit(X).points_, pca.transform(X))


def test_scaler__true_false_or_own__is_applied():
    X = np.random.default_rng(0).normal(3, [1, 100], size=(40, 2))
    k = KMeans(4, random_state=0)
    scaled = ClusterGroups(k).fit(X).points_
    np.testing.assert_allclose(scaled.std(axis=0), 1)
    np.testing.assert_array_equal(ClusterGroups(k, scaler=False).fit(X).points_, X)
    own = ClusterGroups(k, scaler=MinMaxScaler()).fit(X).points_
    np.testing.assert_allclose([own.min(), own.max()], [0, 1])


# without a seed the clusters are of any size
@pytest.mark.filterwarnings("ignore:One group holds")
def test_random_state__of_a_step__is_left_alone_where_set():
    X = np.random.default_rng(0).normal(size=(40, 2))
    kept = ClusterGroups(KMeans(3, random_state=1), random_state=9).fit(X)
    assert kept.clusterer_.random_state == 1
    seeded = ClusterGroups(KMeans(3), random_state=9).fit(X)
    assert seeded.clusterer_.random_state == 9
    drawn = ClusterGroups(KMeans(3), random_state=np.random.RandomState(0)).fit(X)
    assert isinstance(drawn.clusterer_.random_state, int)
    assert ClusterGroups(KMeans(3)).fit(X).clusterer_.random_state is None


def test_fitted_groups__pickled__are_kept():
    X, _ = make_blobs(40, centers=4, random_state=0)
    clusters = ClusterGroups(random_state=0).fit(X)
    twin = pickle.loads(pickle.dumps(clusters))
    np.testing.assert_array_equal(twin.groups_, clusters.groups_)


@pytest.mark.parametrize(
    ("X", "match"),
    [
        (["NaCl", "Xx2O"], "index 1 .*unknown element"),
        ("NaCl", "bare str"),
        ([None, "NaCl"], "index 0"),
        (["NaCl", 3.0], "index 1"),
        ([object(), object()], r"index 0.*ClusterGroups\(features=\.\.\.\)"),
        ([], "0 sample"),
        ([[1.0, np.nan], [2.0, 3.0]], "NaN"),
        ([1.0, 2.0, 3.0], "Expected 2D array"),
        (pd.DataFrame({"a": ["x", "y"], "b": [1, 2]}), "convert"),
    ],
)
def test_bad_input__of_any_kind__is_refused_with_its_place(X, match):
    with pytest.raises((ValueError, TypeError), match=match):
        ClusterGroups().fit(X)


@pytest.mark.parametrize(
    "options",
    [
        {"noise": "keep"},
        {"embedding": "pls"},
        {"clusterer": 3},
        {"scaler": None},
        {"features": "magpie"},
        {"random_state": "a"},
    ],
)
def test_parameters__out_of_range__are_refused_in_fit(options):
    with pytest.raises(ValueError, match=f"The '{next(iter(options))}' parameter"):
        ClusterGroups(**options).fit(np.eye(5))


def test_report__before_fit__is_not_fitted():
    with pytest.raises(NotFittedError):
        ClusterGroups().report()
