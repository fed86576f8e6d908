"""Grid and genetic search for MODNet's parameters."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import ShuffleSplit

from skmatgnn import MODNetClassifier, MODNetRegressor, MODNetSearchCV
from skmatgnn.estimators import modnet_search
from skmatgnn.estimators.modnet_search import GENES, QUICK, _next_generation

NAMES = list(GENES)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    return X, X[:, 0]


def rank_by_settings(estimator, X, y):
    """Score that needs no training: wide, little decay, standard scaling."""
    params = estimator.get_params()
    score = params["n_neurons"][0][0] / 512 + (params["feature_scaling"] == "standard")
    return score + (params["weight_decay"] == 1e-5) + (params["lr"] == 5e-3)


@pytest.fixture
def fast():
    """Estimator whose fit does nothing."""

    class Quick(MODNetRegressor):
        def fit(self, X, y):
            self.net_ = True
            return self

    return Quick()


def genetic(estimator, **parameters):
    settings = {"preset": "genetic", "cv": 2, "random_state": 0, "refit": False}
    return MODNetSearchCV(
        estimator, scoring=rank_by_settings, **{**settings, **parameters}
    )


def test_quick__grid__is_evaluated_as_a_whole(fast, data):
    search = MODNetSearchCV(fast, scoring=rank_by_settings, cv=2, refit=False)
    search.fit(*data)
    assert len(search.cv_results_["params"]) == 18
    assert search.best_params_["n_neurons"] == QUICK["n_neurons"][2]
    assert search.best_params_["lr"] == 5e-3


def test_genetic__generations__find_better_settings(fast, data):
    search = genetic(
        fast, population_size=30, n_generations=12, n_iter_no_change=12
    ).fit(*data)
    scores = search.cv_results_["mean_test_score"]
    first, last = (scores[search.generations_[i]] for i in (0, -1))
    assert last.max() > first.max()
    assert last.mean() > first.mean() + 0.5
    assert search.best_score_ == scores.max() > 3.5
    best = [scores[rows].max() for rows in search.generations_]
    assert best == sorted(best)  # the best is never lost


def test_genetic__random_draws_of_the_same_number__are_worse(fast, data):
    search = genetic(
        fast, population_size=30, n_generations=12, n_iter_no_change=12
    ).fit(*data)
    n = len(search.cv_results_["params"])
    drawn = genetic(fast, population_size=n, n_generations=1).fit(*data)
    assert len(drawn.cv_results_["params"]) == n
    mean = search.cv_results_["mean_test_score"].mean()
    assert mean > drawn.cv_results_["mean_test_score"].mean() + 0.3


def test_genetic__same_seed__same_settings(fast, data):
    search = genetic(fast, population_size=6, n_generations=4)
    first = clone(search).fit(*data).cv_results_["params"]
    assert clone(search).fit(*data).cv_results_["params"] == first
    other = clone(search).set_params(random_state=1).fit(*data)
    assert other.cv_results_["params"] != first


def test_genetic__settings__are_evaluated_once(fast, data):
    search = genetic(fast, population_size=10, n_generations=8).fit(*data)
    settings = [repr(sorted(p.items(), key=str)) for p in search.cv_results_["params"]]
    shared = {row for rows in search.generations_[1:] for row in rows}
    assert len(set(settings)) >= 0.9 * len(settings)  # roundings of widths may agree
    assert shared & set(search.generations_[0])


def test_genetic__nothing_better__ends_the_search(fast, data):
    search = genetic(fast, n_generations=30, n_iter_no_change=2, population_size=4)
    search.set_params(scoring=lambda estimator, X, y: 1.0)
    assert len(search.fit(*data).generations_) == 3


def test_children__without_mutation__have_each_gene_from_a_parent():
    rng = np.random.RandomState(0)
    sizes = np.full(8, 1000)
    population = np.arange(5)[:, None] + 10 * np.arange(8)
    fitness = np.arange(5.0)
    children = _next_generation(population, fitness, sizes, 0.0, rng)
    assert np.array_equal(children[:2], population[[4, 3]])
    genes = children[2:] - 10 * np.arange(8)
    assert ((genes >= 0) & (genes < 5)).all()
    assert any(len(set(child)) == 2 for child in genes.tolist())  # really crossed
    assert all(len(set(child)) <= 2 for child in genes.tolist())


def test_children__with_mutation__have_new_genes_in_every_place():
    rng = np.random.RandomState(0)
    population = np.zeros((200, 6), dtype=int)
    children = _next_generation(population, np.ones(200), np.full(6, 50), 0.2, rng)
    changed = (children != 0).mean(axis=0)
    assert (changed > 0.1).all()
    assert (changed < 0.3).all()


def test_parents__of_higher_score__have_more_children():
    rng = np.random.RandomState(0)
    population = np.repeat(np.arange(100)[:, None], 4, axis=1)
    children = _next_generation(population, np.arange(100.0), np.full(4, 100), 0.0, rng)
    assert children.mean() > 65  # of three uniform draws the largest is 75 on average


@pytest.mark.parametrize("task", [MODNetRegressor, MODNetClassifier])
@pytest.mark.parametrize("preset", ["quick", "genetic"])
def test_search__real_fits__predicts_with_the_best(data, task, preset):
    X, y = data
    y = y if task is MODNetRegressor else y > 0
    space = {"lr": [1e-2], "n_features": [1, None]}
    if preset == "quick":
        space["n_neurons"] = [((8,), (), (), ())]
    else:
        space.update(first_width=[4, 8], batch_size=[16])
    model = task(featurizer=None, max_epochs=3, n_models=2, random_state=0)
    search = MODNetSearchCV(
        model, preset=preset, space=space, cv=2, population_size=3, n_generations=2,
        random_state=0,
    )  # fmt: skip
    search.fit(X, y)
    assert search.predict(X).shape == (40,)
    best = search.best_estimator_.get_params()
    assert {name: best[name] for name in search.best_params_} == search.best_params_


@pytest.mark.parametrize(
    ("space", "match"),
    [
        ({"width": [1]}, "'width'"),
        ({"n_neurons": [((8,), (), (), ())]}, "'n_neurons'"),
        ({"lr": []}, "list of values"),
        ({"lr": 1e-3}, "list of values"),
    ],
)
def test_space__bad__is_named(fast, data, space, match):
    with pytest.raises(ValueError, match=match):
        genetic(fast, space=space).fit(*data)


def test_splitter_without_a_seed__splits_once_for_all_settings(fast, data):
    splits = []

    class Spied(ShuffleSplit):
        def split(self, X, y=None, groups=None):
            for train, test in super().split(X, y, groups):
                splits.append(test)
                yield train, test

    def first_of_test(estimator, X, y):
        return X[0, 0]

    search = MODNetSearchCV(fast, scoring=first_of_test, cv=Spied(2), refit=False)
    search.fit(*data)
    assert len(splits) == 2
    assert len(set(search.cv_results_["split0_test_score"])) == 1


@pytest.mark.parametrize(
    ("cv", "n_splits"),
    [(3, 3), (None, 5), ([([0, 1], [2])], 1), (iter([([0, 1], [2])]), 1)],
)
def test_cv__number_or_iterable__is_that_of_scikit_learn(cv, n_splits, fast, data):
    search = MODNetSearchCV(fast, scoring=rank_by_settings, cv=cv, refit=False)
    assert search.fit(*data).n_splits_ == n_splits
    assert len(search.cv_results_["params"]) == 18


def test_genes__of_the_default_space__are_parameters_of_both_estimators():
    for task in (MODNetRegressor, MODNetClassifier):
        known = {*task().get_params(), *modnet_search._WIDTHS}
        assert set(NAMES) <= known
        assert set(QUICK) <= known
