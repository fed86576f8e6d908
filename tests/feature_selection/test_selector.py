import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.feature_selection import mutual_info_regression
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from skmatgnn.errors import InvalidValueError
from skmatgnn.feature_selection import RelevanceRedundancySelector, mutual_information
from skmatgnn.feature_selection._ranking import merge_rankings

Selector = RelevanceRedundancySelector


def make_data(n=250, n_features=12, seed=0):
    """Groups of redundant features, two relevant ones, noise; values do not repeat."""
    rng = np.random.default_rng(seed)
    latent = rng.standard_normal((n, 4))
    X = latent[:, np.arange(n_features) % 4]
    X = (
        X
        + 0.3 * rng.standard_normal((n, n_features)) * np.arange(1, n_features + 1) / 4
    )
    y = latent[:, 0] + latent[:, 1] ** 2 + 0.1 * rng.standard_normal(n)
    return X, y


def naive_selection(X, y, n_ranked, count_from):
    """MODNet's ranking from scikit-learn's estimates of every pair."""
    X = (X - X.min(0)) / np.ptp(X, axis=0) - 0.5
    p = X.shape[1]

    def information(a, b):
        return mutual_info_regression(a[:, None], b, random_state=0)[0]

    own = [information(X[:, i], X[:, i]) for i in range(p)]
    own_y = information(y, y)
    relevance = [information(X[:, i], y) / (0.5 * (own[i] + own_y)) for i in range(p)]
    table = np.array(
        [
            [
                information(X[:, i], X[:, j]) / (0.5 * (own[i] + own[j]))
                for j in range(p)
            ]
            for i in range(p)
        ]
    )
    chosen = [int(np.argmax(relevance))]
    while len(chosen) < n_ranked:
        n = len(chosen) - 1 + count_from
        exponent, term = max(0.1, 4.5 - 0.4 * n**0.4), min(1e5, 1e-6 * n**3)
        left = [i for i in range(p) if i not in chosen]
        scores = [
            min(relevance[i] / (table[i, j] ** exponent + term) for j in chosen)
            for i in left
        ]
        chosen.append(left[int(np.argmax(scores))])
    return chosen, np.array(relevance), table


@parametrize_with_checks(
    [Selector(random_state=0), Selector(n_features=2, discrete_target=True)]
)
def test_selector__scikit_learns_checks__pass(estimator, check):
    check(estimator)


@pytest.mark.parametrize("count_from", [0, 1])
def test_selector__values_without_ties__equals_the_naive_ranking(count_from):
    X, y = make_data()
    with np.errstate(divide="ignore", invalid="ignore"):
        ranking, relevance, table = naive_selection(X, y, 12, count_from)
    # with c = 0 the naive order of features without redundancy is that of columns
    n_same = 12 if count_from == 1 else 1
    selector = Selector(n_features=None, count_from=count_from, random_state=0).fit(
        X, y
    )
    assert selector.ranking_[:n_same].tolist() == ranking[:n_same]
    np.testing.assert_allclose(selector.target_nmi_[:, 0], relevance, atol=2e-3)
    off = ~np.eye(12, dtype=bool)
    np.testing.assert_allclose(selector.cross_nmi_[off], table[off], atol=2e-3)
    assert np.diag(selector.cross_nmi_).tolist() == [1.0] * 12


def test_selector__redundant_copy__comes_after_an_independent_feature():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 400))
    X = np.stack([a, a + 0.01 * rng.standard_normal(400), b], axis=1)
    selector = Selector(n_features=2, random_state=0).fit(X, 2 * a + b)
    assert sorted(selector.ranking_[:2].tolist())[1] == 2
    assert selector.get_support(indices=True).tolist() == sorted(selector.ranking_)
    np.testing.assert_array_equal(selector.transform(X), X[:, selector.get_support()])


def test_selector__few_features__computes_fewer_pairs_and_selects_the_same(tmp_path):
    X, y = make_data(n_features=40)
    lazy = Selector(n_features=8, random_state=0).fit(X, y)
    whole = Selector(n_features=8, random_state=0, memory=str(tmp_path)).fit(X, y)
    parallel = Selector(n_features=8, random_state=0, n_jobs=2).fit(X, y)
    assert lazy.ranking_.tolist() == whole.ranking_.tolist()
    assert lazy.ranking_.tolist() == parallel.ranking_.tolist()
    known = np.isfinite(lazy.cross_nmi_)
    assert known.sum() < 0.6 * known.size
    assert np.isfinite(whole.cross_nmi_).all()
    np.testing.assert_array_equal(whole.cross_nmi_, parallel.cross_nmi_)
    np.testing.assert_array_equal(whole.cross_nmi_[known], lazy.cross_nmi_[known])


def test_selector__memory__serves_other_targets_and_settings(tmp_path, monkeypatch):
    X, y = make_data(n_features=6)
    memory = joblib.Memory(tmp_path, verbose=0)
    Selector(memory=memory, random_state=0).fit(X, y)

    def fail(*args, **kwargs):
        raise AssertionError("the pairs were computed again")

    monkeypatch.setattr("skmatgnn.feature_selection._cross._some_pairs", fail)
    again = Selector(memory=memory, random_state=0, n_features=3, p=1.0).fit(X, -(y**3))
    assert len(again.ranking_) == 3
    with pytest.raises(AssertionError, match="computed again"):
        Selector(memory=memory, random_state=1).fit(X, y)


def test_selector__nan__is_a_level_of_its_own_and_passes_through():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 4))
    X[:150, 2] = np.nan
    y = np.isnan(X[:, 2]) + 0.01 * rng.standard_normal(300)
    selector = Selector(n_features=1, random_state=0).fit(X, y)
    assert selector.ranking_.tolist() == [2]
    np.testing.assert_array_equal(selector.transform(X), X[:, [2]])


def test_selector__little_information__is_dropped():
    rng = np.random.default_rng(0)
    rare = (np.arange(300) < 5).astype(float)
    X = np.stack([np.ones(300), rare, rng.random(300), np.full(300, np.nan)], axis=1)
    y = 10 * rare + rng.random(300)
    selector = Selector(random_state=0).fit(X, y)
    assert selector.ranking_.tolist() == [2]
    assert selector.self_information_[[0, 3]].tolist() == [0, 0]
    assert np.isnan(selector.target_nmi_[[0, 1, 3]]).all()
    loose = Selector(random_state=0, drop_threshold=0.01).fit(X, y)
    assert sorted(loose.ranking_) == [1, 2]


def test_selector__several_targets__take_turns_in_their_order():
    X, y = make_data()
    Y = np.stack([X[:, 3], y, X[:, 6]], axis=1)
    Y[::7, 1] = np.nan
    selector = Selector(n_features=5, random_state=0).fit(X, Y)
    rankings = [ranking.tolist() for ranking in selector.target_rankings_]
    assert [rankings[0][0], rankings[2][0]] == [3, 6]
    assert selector.ranking_.tolist() == merge_rankings(rankings)[:5]
    assert selector.ranking_[0] == 3
    swapped = Selector(n_features=5, random_state=0).fit(X, Y[:, ::-1])
    assert swapped.ranking_[0] == 6
    alone = Selector(n_features=5, random_state=0).fit(
        X[Y[:, 1] == Y[:, 1]], y[::1][Y[:, 1] == Y[:, 1]]
    )
    assert rankings[1][0] == alone.ranking_[0]


def test_selector__classes__ranks_by_their_information():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 5))
    labels = np.where(X[:, 4] > 0, "metal", "insulator")
    selector = Selector(n_features=1, discrete_target=True, random_state=0)
    assert selector.fit(X, labels).ranking_.tolist() == [4]
    expected = mutual_information(X, labels, discrete_target=True, random_state=3)
    own = selector.self_information_ + np.log(2)
    nmi = selector.target_nmi_[:, 0]
    np.testing.assert_allclose(nmi, 2 * expected / own, atol=5e-3)
    table = np.stack([labels, np.where(X[:, 1] > 1, 1, 0)], axis=1).astype(object)
    table[:20, 1] = None
    both = Selector(n_features=2, discrete_target=True, random_state=0).fit(X, table)
    assert both.ranking_.tolist() == [4, 1]


def test_selector__more_rows_than_n_samples__uses_a_seeded_sample():
    X, y = make_data(n=600)
    kwargs = {"n_samples": 200, "n_features": 6}
    first = Selector(random_state=5, **kwargs).fit(X, y)
    again = Selector(random_state=5, **kwargs).fit(X, y)
    np.testing.assert_array_equal(first.target_nmi_, again.target_nmi_)
    other = Selector(random_state=6, **kwargs).fit(X, y)
    assert (first.target_nmi_ != other.target_nmi_).any()
    assert first.target_nmi_.shape == (12, 1)


def test_selector__rows_of_other_folds__have_no_influence():
    X, y = make_data()
    train, test = next(KFold(2).split(X))
    selector = Selector(random_state=0)
    first = selector.fit(X[train], y[train]).target_nmi_
    X[test], y[test] = 99, 99
    np.testing.assert_array_equal(selector.fit(X[train], y[train]).target_nmi_, first)


def test_selector__schedules__are_constants_or_functions():
    X, y = make_data()
    seen = []

    def c(n):
        seen.append(n)
        return 1e5  # redundancy does not matter: the order is that of relevance

    selector = Selector(n_features=None, c=c, p=1.5, random_state=0).fit(X, y)
    relevance = selector.target_nmi_[:, 0]
    assert selector.ranking_.tolist() == np.argsort(-relevance, kind="stable").tolist()
    assert seen == list(range(1, 12))


def test_selector__frame__keeps_names_order_and_index():
    X, y = make_data(n_features=5)
    frame = pd.DataFrame(X, columns=list("abcde"), index=np.arange(len(X)) + 7)
    selector = Selector(n_features=3, random_state=0).set_output(transform="pandas")
    out = selector.fit_transform(frame, pd.Series(y, index=frame.index))
    assert out.columns.tolist() == [n for n in "abcde" if n in out.columns]
    assert out.columns.tolist() == selector.get_feature_names_out().tolist()
    assert out.index.tolist() == frame.index.tolist()
    assert selector.feature_names_in_.tolist() == list("abcde")
    restored = selector.inverse_transform(out.to_numpy())
    assert restored.shape == X.shape


def test_selector__clone_pickle_search_and_pipeline__work():
    X, y = make_data()
    selector = Selector(n_features=4, random_state=0)
    fitted = clone(selector).fit(X, y)
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copy.transform(X), fitted.transform(X))
    assert set(selector._parameter_constraints) == set(selector.get_params())
    forest = RandomForestRegressor(10, random_state=0)
    model = make_pipeline(selector, forest)
    serial = cross_val_score(model, X, y, cv=2, error_score="raise")
    assert serial.tolist() == cross_val_score(model, X, y, cv=2, n_jobs=2).tolist()
    grid = {"relevanceredundancyselector__n_features": [1, 4]}
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_selector__bad_input__says_what_is_wrong():
    X, y = make_data(n=30)
    with pytest.raises(ValueError, match="X has 30, y has 29"):
        Selector().fit(X, y[:-1])
    with pytest.raises(InvalidValueError, match="y to be passed"):
        Selector().fit(X, None)
    with pytest.raises(InvalidValueError, match="y to be passed"):
        Selector(discrete_target=True).fit(X, None)
    with pytest.raises(InvalidValueError, match="NaN at index 2 of 30"):
        Selector().fit(X, np.where(np.arange(30) == 2, np.nan, y))
    with pytest.raises(InvalidValueError, match="NaN at index 0 of 30"):
        Selector(discrete_target=True).fit(X, [None, *"ab" * 14, "a"])
    sparse = np.full((30, 2), np.nan)
    sparse[:, 0], sparse[0, 1] = y, 1
    with pytest.raises(InvalidValueError, match="Target 1 has fewer than 2 known"):
        Selector().fit(X, sparse)
    with pytest.raises(ValueError, match="infinity"):
        Selector().fit(np.where(X > 2, np.inf, X), y)
    with pytest.raises(ValueError, match="'count_from' parameter"):
        Selector(count_from=2).fit(X, y)
