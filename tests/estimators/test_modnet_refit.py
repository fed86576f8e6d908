"""MODNet from one fit to the next, and what its hold-out and its weights leave out."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skmatgnn import MODNetClassifier, MODNetRegressor, load_estimator
from skmatgnn.errors import InvalidValueError
from skmatgnn.estimators._duplicates import row_codes
from skmatgnn.featurizers import CompositionFeatures, MagpieFeatures
from skmatgnn.nets import GraphNet

SMALL = {
    "n_neurons": ((8,), (8,), (8,), ()),
    "max_epochs": 2,
    "n_models": 2,
    "random_state": 0,
    "device": "cpu",
}
FORMULAS = ["NaCl", "KCl", "NaBr", "KBr", "LiF", "LiCl", "MgO", "CaO", "SrO", "ZnO"]


def regressor(**parameters):
    return MODNetRegressor(**{**SMALL, **parameters})


def on_table(**parameters):
    return regressor(featurizer=None, **parameters)


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    return X, np.column_stack([X[:, 0], X[:, 1] ** 2])


# --- equal samples and early stopping


@pytest.fixture
def split(monkeypatch):
    """Give a function that fits, and returns the rows on either side."""
    seen = []
    run = GraphNet.get_split_datasets

    def spied(self, X, y=None, **params):
        train, valid = run(self, X, y, **params)
        seen[:] = [[r.tobytes() for r in d.table[d.rows]] for d in (train, valid)]
        return train, valid

    monkeypatch.setattr(GraphNet, "get_split_datasets", spied)

    def fit(model, *arguments, **parameters):
        model.set_params(early_stopping=True, validation_fraction=0.3)
        model.fit(*arguments, **parameters)
        return seen

    return fit


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_early_stopping__equal_compositions__stay_on_one_side(seed, split):
    X = [*FORMULAS, *[f.replace("O", "2O2") for f in FORMULAS], *FORMULAS]
    X[2], X[12] = "Na0.5Br0.5", "Br2Na2"
    y = np.arange(30.0)
    for model, target in ((regressor(), y), (MODNetClassifier(**SMALL), y > 9)):
        train, valid = split(model.set_params(random_state=seed), X, target)
        assert len(train) + len(valid) == 30
        assert valid
        assert not set(train) & set(valid)


def test_early_stopping__equal_rows_of_a_table__stay_on_one_side(split, table):
    X = np.repeat(table[0][:10], 4, axis=0)
    X[:20, 1] = np.nan
    for seed in range(3):
        model = on_table(random_state=seed)
        train, valid = split(model, X, np.arange(40.0))
        assert not set(train) & set(valid)


def test_row_codes__kinds_of_zero_and_of_nan__are_one():
    table = np.array([[1, 0.0], [1, np.nan], [1, -0.0], [1, -np.nan], [2, 0]])
    assert row_codes(table).tolist() == [0, 1, 0, 1, 2]


def test_early_stopping__equal_rows_of_no_weight__change_nothing(split, table):
    X, Y = table
    expected = list(split(on_table(), X, Y))
    weight = np.repeat([1.0, 0.0], 40)
    twice = split(on_table(), np.tile(X, (2, 1)), np.tile(Y, (2, 1)), weight)
    assert twice == expected


def test_early_stopping__groups__are_kept_as_given(split, table):
    X = np.repeat(table[0][:10], 4, axis=0)
    train, valid = split(on_table(), X, np.arange(40.0), groups=np.arange(40) % 4)
    assert set(train) & set(valid)


# --- weights of zero


def test_target__known_in_rows_of_no_weight_alone__is_refused(table):
    X, Y = table
    Y = Y.copy()
    Y[:30, 1] = np.nan
    weight = np.repeat([1.0, 0.0], [30, 10])
    for method in ("fit", "partial_fit"):
        with pytest.raises(InvalidValueError, match=r"column 1, once.*sample_weight"):
            getattr(on_table(), method)(X, Y, sample_weight=weight)
    model = on_table().partial_fit(X, Y).partial_fit(X, Y, sample_weight=weight)
    assert np.isfinite(model.predict(X)).all()
    with pytest.raises(InvalidValueError, match=r"NaN only in column 0, once"):
        model.partial_fit(X[20:], Y[20:] * [np.nan, 1.0], weight[20:])


# --- one fit after another


def test_predict__random_state_of_numpy__is_not_advanced(table):
    X, Y = table
    state = np.random.RandomState(0)
    model = on_table(random_state=state).fit(X, Y)
    before = state.get_state()[1:3]
    model.predict(X)
    after = state.get_state()[1:3]
    assert np.array_equal(before[0], after[0])
    assert before[1] == after[1]


def test_refit__on_compositions_after_a_table__forgets_its_columns(table):
    X, Y = table
    model = on_table().fit(pd.DataFrame(X, columns=list("abc")), Y)
    assert (model.n_features_in_, len(model.feature_names_in_)) == (3, 3)
    model.set_params(featurizer="composition").fit(FORMULAS, np.arange(10.0))
    assert not hasattr(model, "n_features_in_")
    assert not hasattr(model, "feature_names_in_")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("composition", MagpieFeatures()),
        (MagpieFeatures(), "composition"),
        (CompositionFeatures(), MagpieFeatures()),
        (
            make_pipeline(MagpieFeatures(), StandardScaler()),
            make_pipeline(MagpieFeatures(), StandardScaler(with_std=False)),
        ),
    ],
)
def test_warm_start__other_featurizer__is_refused(first, second):
    y = np.arange(10.0)
    model = regressor(featurizer=first, warm_start=True).fit(FORMULAS, y)
    expected = model.predict(FORMULAS)
    model.set_params(featurizer=second)
    with pytest.raises(InvalidValueError, match="featurizer changed"):
        model.fit(FORMULAS, y)
    assert np.array_equal(model.predict(FORMULAS), expected)
    same = first if isinstance(first, str) else clone(first)
    model.set_params(featurizer=same).fit(FORMULAS, y)


def test_warm_start__featurizer_changed_in_place__is_refused(tmp_path):
    y = np.arange(10.0)
    featurizer = make_pipeline(MagpieFeatures(), StandardScaler())
    model = regressor(featurizer=featurizer, warm_start=True).fit(FORMULAS, y)
    featurizer[-1].set_params(with_mean=False)
    with pytest.raises(InvalidValueError, match="featurizer changed"):
        model.fit(FORMULAS, y)
    saved = regressor(featurizer=MagpieFeatures(), warm_start=True).fit(FORMULAS, y)
    saved.save(tmp_path / "model")
    loaded = load_estimator(tmp_path / "model").fit(FORMULAS, y)
    loaded = load_estimator(tmp_path / "model").set_params(featurizer="composition")
    with pytest.raises(InvalidValueError, match="featurizer changed"):
        loaded.fit(FORMULAS, y)


def test_warm_start__table_in_place_of_compositions__is_refused(table):
    model = regressor(warm_start=True).fit(FORMULAS, np.arange(10.0))
    with pytest.raises(InvalidValueError, match="featurizer changed"):
        model.set_params(featurizer=None).fit(*table)
    model = on_table(warm_start=True).fit(*table)
    with pytest.raises(InvalidValueError, match="featurizer changed"):
        model.set_params(featurizer="composition").fit(FORMULAS, np.arange(10.0))


def test_warm_start__featurizer_with_a_local_function__goes_on(table):
    def double(X):
        return 2 * X

    X, Y = table
    model = regressor(featurizer=FunctionTransformer(double), warm_start=True)
    model.fit(X, Y).fit(X, Y)
    with pytest.raises(InvalidValueError, match="featurizer changed"):
        model.set_params(featurizer=StandardScaler()).fit(X, Y)


@pytest.mark.parametrize(
    "widths", [np.full((4, 1), 8), [np.array([8]), (8,), [8], [8]]]
)
def test_warm_start__widths_as_an_array__go_on_and_are_compared(widths, table):
    X, Y = table
    model = on_table(n_neurons=widths, warm_start=True, target_groups=[[0], [1]])
    model.fit(X, Y).set_params(n_neurons=((8,),) * 4, target_groups=((0,), (1,)))
    model.fit(X, Y).set_params(n_neurons=np.full((4, 2), 8))
    with pytest.raises(InvalidValueError, match="n_neurons changed"):
        model.fit(X, Y)


def test_warm_start__list_of_widths_changed_in_place__is_noticed(table, tmp_path):
    X, Y = table
    widths = [[8], [8], [4], []]
    model = on_table(n_neurons=widths, warm_start=True).fit(X, Y)
    expected = model.predict(X)
    widths[0][0] = 16
    with pytest.raises(InvalidValueError, match="n_neurons changed"):
        model.fit(X, Y)
    model.save(tmp_path / "model")
    assert np.array_equal(load_estimator(tmp_path / "model").predict(X), expected)
