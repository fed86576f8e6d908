"""Going on from earlier weights: warm_start, partial_fit, refitting."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from skorch.callbacks import Callback

from skmatgnn.errors import InvalidValueError


def weights(model):
    return {k: v.clone() for k, v in model.net_.module_.state_dict().items()}


def same(first, second):
    return all(torch.equal(first[key], second[key]) for key in first)


def target_of(model, data):
    return data.labels if hasattr(model, "predict_proba") else data.y


def test_warm_start__second_fit__starts_where_the_first_ended(estimator, data):
    y = target_of(estimator, data)
    estimator.set_params(max_epochs=40, lr=1e-2, norm="layer").fit(data.X, y)
    cold, first = estimator.history_[0]["train_loss"], estimator.history_[-1]
    estimator.set_params(warm_start=True, max_epochs=2).fit(data.X, y)
    assert estimator.history_[0]["train_loss"] < (cold + first["train_loss"]) / 2
    assert estimator.n_epochs_ == 2


def test_warm_start__rate_of_almost_zero__keeps_the_weights(data, small):
    model = small.model(norm="layer", weight_decay=0.0).fit(data.X, data.y)
    expected = model.predict(data.X)
    model.set_params(warm_start=True, lr=1e-30).fit(data.X, data.y)
    assert np.array_equal(model.predict(data.X), expected)


def test_warm_start__first_fit__equals_a_cold_one(estimator, data):
    y = target_of(estimator, data)
    expected = weights(clone(estimator).fit(data.X, y))
    warm = estimator.set_params(warm_start=True).fit(data.X, y)
    assert same(weights(warm), expected)


def test_warm_start__other_targets__keeps_the_scaler(data, small):
    model = small.model(warm_start=True).fit(data.X, data.y)
    mean = model.target_scaler_.mean_.copy()
    model.fit(data.X[:12], data.y[:12] + 100)
    assert np.array_equal(model.target_scaler_.mean_, mean)
    model.set_params(warm_start=False).fit(data.X[:12], data.y[:12] + 100)
    assert model.target_scaler_.mean_[0] == pytest.approx(data.y[:12].mean() + 100)


ARCHITECTURE = {
    "ALIGNNRegressor": {
        "cutoff": 6.0,
        "max_neighbors": 5,
        "n_alignn_layers": 2,
        "n_gcn_layers": 2,
        "hidden_dim": 4,
        "embedding_dim": 4,
        "n_radial": 6,
        "n_angular": 5,
        "norm": "batch",
        "element_features": "one_hot",
        "three_body_cutoff": 3.0,
        "edge_messages": None,
    },
    "CGCNNRegressor": {
        "cutoff": 6.0,
        "max_neighbors": 6,
        "n_conv_layers": 2,
        "node_dim": 4,
        "hidden_dim": 4,
        "n_hidden_layers": 2,
        "edge_step": 0.5,
        "norm": "layer",
        "element_features": "one_hot",
    },
}


@pytest.mark.parametrize("name", ARCHITECTURE)
def test_architecture__table_above__has_every_parameter_of_the_network(name, small):
    assert set(small.model(name)._architecture) <= set(ARCHITECTURE[name])


@pytest.mark.parametrize(
    ("name", "parameter", "value"),
    [(n, p, v) for n, values in ARCHITECTURE.items() for p, v in values.items()],
)
def test_warm_start__changed_architecture__is_refused_by_name(
    name, parameter, value, data, small
):
    model = small.model(name, warm_start=True).fit(data.X, data.y)
    expected = model.predict(data.X)
    original = getattr(model, parameter)
    model.set_params(**{parameter: not original if value is None else value})
    with pytest.raises(InvalidValueError, match=parameter):
        model.fit(data.X, data.y)
    model.set_params(**{parameter: original})
    assert np.array_equal(model.predict(data.X), expected)


def test_warm_start__other_element_table__is_refused(data, small):
    """Also where only a row in the middle differs, which repr does not show."""
    table = np.random.default_rng(0).normal(size=(119, 20))
    model = small.model(warm_start=True, element_features=table).fit(data.X, data.y)
    other = table.copy()
    other[60, 10] += 1
    with pytest.raises(InvalidValueError, match="element_features"):
        model.set_params(element_features=other).fit(data.X, data.y)
    model.set_params(element_features=table.copy()).fit(data.X, data.y)


def test_warm_start__other_number_of_targets__is_refused(regressor, data):
    regressor.set_params(warm_start=True).fit(data.X, data.y)
    with pytest.raises(InvalidValueError, match=r"y has 2 targets.* trained on 1"):
        regressor.fit(data.X, np.column_stack([data.y, data.y]))
    regressor.set_params(warm_start=False)
    regressor.fit(data.X, np.column_stack([data.y, data.y]))
    assert regressor.predict(data.X).shape == (24, 2)


def test_warm_start__column_after_1d__predicts_in_the_shape_of_the_last_fit(
    data, small
):
    model = small.model(warm_start=True).fit(data.X, data.y)
    assert model.fit(data.X, data.y[:, None]).predict(data.X).shape == (24, 1)


def test_warm_start__unknown_label__is_refused(classifier, data):
    classifier.set_params(warm_start=True).fit(data.X, data.labels)
    with pytest.raises(InvalidValueError, match=r"label 'new' at index 3.*fit anew"):
        classifier.fit(data.X[:4], ["hard", "soft", "hard", "new"])
    classifier.fit(data.X[:4], ["hard"] * 4)
    assert classifier.classes_.tolist() == ["hard", "soft"]


def test_warm_start__training_parameters__may_change(data, small):
    model = small.model(warm_start=True).fit(data.X, data.y)
    model.set_params(
        lr=1e-4,
        batch_size=5,
        loss="mse",
        weight_decay=0.1,
        early_stopping=True,
        lr_schedule="constant",
        random_state=9,
    )
    before = weights(model)
    model.fit(data.X[::-1], data.y[::-1])
    assert not same(before, weights(model))
    assert model.net_.lr == 1e-4


def test_partial_fit__first_call__builds_and_later_calls_go_on(estimator, data):
    y = target_of(estimator, data)
    estimator.set_params(lr=1e-2)
    net = estimator.partial_fit(data.X, y).net_
    optimizer, first = net.optimizer_, estimator.history_[0]["train_loss"]
    scaler = getattr(estimator, "target_scaler_", None)
    for _ in range(30):
        estimator.partial_fit(data.X, y)
    assert estimator.net_ is net
    assert estimator.net_.optimizer_ is optimizer
    assert getattr(estimator, "target_scaler_", None) is scaler
    assert estimator.n_epochs_ == len(estimator.history_) == 31
    assert estimator.history_[-1]["train_loss"] < 0.9 * first


def test_partial_fit__optimizer__keeps_its_moments(data, small):
    model = small.model().partial_fit(data.X, data.y)
    for _ in range(3):
        model.partial_fit(data.X, data.y)
    state = next(iter(model.net_.optimizer_.state.values()))
    assert int(state["step"]) == 4


def test_partial_fit__constant_rate__equals_a_fit_of_as_many_epochs(data, small):
    model = small.model(lr_schedule="constant", max_epochs=4).fit(data.X, data.y)
    steps = small.model(lr_schedule="constant", max_epochs=77)
    for _ in range(4):
        steps.partial_fit(data.X, data.y)
    losses = [row["train_loss"] for row in model.history_]
    assert [row["train_loss"] for row in steps.history_] == losses


def test_partial_fit__after_fit__goes_on_from_it(estimator, data):
    y = target_of(estimator, data)
    estimator.set_params(max_epochs=30, lr=1e-2, norm="layer").fit(data.X, y)
    last = estimator.history_[-1]["train_loss"]
    first = estimator.history_[0]["train_loss"]
    estimator.set_params(early_stopping=False).partial_fit(data.X, y)
    assert estimator.history_[-1]["train_loss"] < (first + last) / 2
    assert estimator.n_epochs_ == 31


def test_partial_fit__other_number_of_targets__is_refused(regressor, data):
    regressor.partial_fit(data.X, data.y)
    with pytest.raises(InvalidValueError, match="y has 2 targets"):
        regressor.partial_fit(data.X, np.column_stack([data.y, data.y]))


def test_partial_fit__classes__need_not_all_be_in_the_first_call(classifier, data):
    y = np.array(["a", "b", "c"])[np.arange(24) % 3]
    first = np.flatnonzero(y != "c")
    classifier.partial_fit(
        [data.X[i] for i in first], y[first], classes=["c", "b", "a"]
    )
    assert classifier.classes_.tolist() == ["a", "b", "c"]
    classifier.partial_fit(data.X, y)
    assert classifier.predict_proba(data.X).shape == (24, 3)


def test_partial_fit__label_outside_the_classes__is_refused(classifier, data):
    with pytest.raises(InvalidValueError, match=r"label 'soft' at index .*'hard'"):
        classifier.partial_fit(data.X, data.labels, classes=["hard", "other"])
    with pytest.raises(InvalidValueError, match=r"label 'd' at index 1"):
        classifier.partial_fit(data.X, data.labels).partial_fit(
            data.X[:2], ["hard", "d"]
        )


def test_partial_fit__other_kind_of_label__is_refused(classifier, data):
    classifier.partial_fit(data.X, np.arange(24) % 2)
    with pytest.raises((TypeError, ValueError), match="label 'hard' at index 0"):
        classifier.partial_fit(data.X[:2], ["hard", "hard"])


def test_partial_fit__other_classes_than_before__are_refused(classifier, data):
    classifier.partial_fit(data.X, data.labels, classes=["soft", "hard"])
    classifier.partial_fit(data.X, data.labels, classes=["hard", "soft"])
    for classes in (["hard", "soft", "new"], ["hard"], [0, 1]):
        with pytest.raises(InvalidValueError, match=r"not the same.*'hard', 'soft'"):
            classifier.partial_fit(data.X, data.labels, classes=classes)
    classifier.fit(data.X, data.labels)
    with pytest.raises(InvalidValueError, match="not the same as in the first fit"):
        classifier.partial_fit(data.X, data.labels, classes=["hard", "soft", "new"])


def test_partial_fit__kept_head_of_more_classes__takes_the_same_ones_again(data, small):
    three = np.array(["hard", "new", "soft"])[np.arange(24) % 3]
    source = small.model("CGCNNClassifier").fit(data.X, three)
    model = small.model(
        "CGCNNClassifier", pretrained=FrozenEstimator(source), head="keep"
    )
    for _ in range(2):
        model.partial_fit(data.X, data.labels, classes=["hard", "soft"])
    assert model.classes_.tolist() == ["hard", "new", "soft"]


def test_partial_fit__later_batch_without_a_target__learns_the_others(regressor, data):
    Y = np.column_stack([data.y, data.y**2])
    regressor.set_params(norm="layer", lr=1e-2).partial_fit(data.X, Y)
    before = regressor.predict(data.X)
    Y[:, 0] = np.nan
    regressor.partial_fit(data.X, Y)
    after = regressor.predict(data.X)
    assert np.isfinite(after).all()
    assert not np.array_equal(after[:, 1], before[:, 1])
    regressor.set_params(warm_start=True, early_stopping=True).fit(data.X, Y)
    assert np.isfinite(regressor.predict(data.X)).all()
    with pytest.raises(InvalidValueError, match="NaN only in column 0"):
        regressor.partial_fit(data.X, np.full((24, 2), np.nan))


@pytest.mark.parametrize(
    ("rows", "weight", "came"),
    [([0], None, "1 row.*only"), ([0, 0], None, "only"), ([0, 1], [1, 0], "only")],
)
def test_partial_fit__first_batch_without_a_spread__is_refused(
    rows, weight, came, regressor, data
):
    X = [data.X[row] for row in rows]
    with pytest.raises(InvalidValueError, match=rf"{came}.*column 0.*more rows"):
        regressor.partial_fit(X, data.y[rows], weight)
    regressor.partial_fit(data.X, data.y).partial_fit(X, data.y[rows], weight)


def test_partial_fit__kept_head__has_the_scale_for_a_first_batch_of_one(data, small):
    source = small.model().fit(data.X, data.y)
    model = small.model(pretrained=FrozenEstimator(source))
    model.partial_fit(data.X[:1], data.y[:1])
    assert np.array_equal(model.target_scaler_.scale_, source.target_scaler_.scale_)


def test_refit__without_warm_start__equals_a_fresh_fit(estimator, data):
    y = target_of(estimator, data)
    fresh = weights(clone(estimator).fit(data.X, y))
    estimator.fit(data.X[:9], y[:9]).partial_fit(data.X[:9], y[:9])
    assert same(weights(estimator.fit(data.X, y)), fresh)
    assert estimator.n_epochs_ == 2


def test_set_params__then_fit__uses_the_new_value(data, small):
    model = small.model().fit(data.X, data.y)
    model.set_params(node_dim=5, max_epochs=3, cutoff=5.0, max_neighbors=6)
    model.fit(data.X, data.y)
    assert model.net_.module_.atom_embedding.out_features == 5
    assert model.n_epochs_ == 3
    assert model.graph_settings_.max_neighbors == 6


def test_failed_fit__cold__leaves_no_half_fitted_model(data, small):
    from sklearn.exceptions import NotFittedError

    model = small.model().fit(data.X, data.y)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(data.X, np.full(24, np.nan))
    with pytest.raises(NotFittedError):
        model.predict(data.X)


class Broken(Callback):
    def on_train_begin(self, net, **_):
        raise RuntimeError("broken")


def test_failed_fit__warm__leaves_the_model_as_it_was(regressor, data):
    regressor.set_params(warm_start=True).fit(data.X, data.y)
    expected = regressor.predict(data.X)
    regressor.set_params(callbacks=[Broken()])
    with pytest.raises(RuntimeError, match="broken"):
        regressor.fit(data.X, data.y[:, None])
    assert np.array_equal(regressor.predict(data.X), expected)
