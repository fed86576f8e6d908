"""Targets of any shape and unit, unknown targets, weights and groups."""

import numpy as np
import pandas as pd
import pytest
import torch

from skmatgnn.errors import InvalidValueError
from skmatgnn.nets import GraphNet, HoldOut

FULL_BATCH = {"norm": "layer", "batch_size": 64, "max_epochs": 6, "lr": 1e-2}


def relative(a, b):
    return np.abs(a - b).max() / np.ptp(b)


def two_targets(data):
    return np.column_stack([data.y, 3 - data.y**2])


@pytest.mark.parametrize("columns", [None, 1, 3])
def test_predict__any_shape_of_y__has_it_in_float64(columns, regressor, data):
    y = data.y if columns is None else np.column_stack([data.y] * columns)
    prediction = regressor.fit(data.X, y).predict(data.X[:5])
    assert prediction.shape == ((5,) if columns is None else (5, columns))
    assert prediction.dtype == np.float64
    assert regressor.n_outputs_ == (columns or 1)


def test_predict__one_column__has_the_values_of_1d(regressor, data):
    flat = regressor.fit(data.X, data.y).predict(data.X)
    column = regressor.fit(data.X, data.y[:, None]).predict(data.X)
    assert np.array_equal(column[:, 0], flat)


@pytest.mark.parametrize(
    "convert",
    [
        lambda y: y.astype(int),
        lambda y: y.astype(np.float32),
        lambda y: y.astype(int).tolist(),
        tuple,
        lambda y: pd.Series(y, index=np.arange(24)[::-1]),
        lambda y: y.astype(object),
        lambda y: y > 1,
    ],
    ids=["int", "float32", "list_of_int", "tuple", "series", "object", "bool"],
)
def test_fit__any_kind_of_y__equals_the_float_array(convert, data, small):
    y = convert(data.y * 10)
    plain = np.array([float(value) for value in y])
    expected = small.model().fit(data.X, plain).predict(data.X)
    assert np.array_equal(small.model().fit(data.X, y).predict(data.X), expected)


def test_fit__data_frame_with_pandas_na__takes_it_as_unknown(data, small):
    Y = two_targets(data)
    Y[3, 1] = np.nan
    frame = pd.DataFrame(Y, columns=["gap", "energy"]).convert_dtypes()
    assert frame.iloc[3, 1] is pd.NA
    expected = small.model().fit(data.X, Y).predict(data.X)
    assert np.array_equal(small.model().fit(data.X, frame).predict(data.X), expected)


def test_fit__unknown_targets__predictions_are_finite_for_all(regressor, data):
    Y = two_targets(data)
    Y[::2, 0] = np.nan
    Y[5:, 1] = np.nan
    prediction = regressor.fit(data.X, Y).predict(data.X)
    assert np.isfinite(prediction).all()
    assert np.isfinite(regressor.history_[-1]["train_loss"])
    assert np.isfinite(regressor.score(data.X, Y))


def test_fit__rows_without_any_known_target__have_no_influence(data, small):
    model = small.model("ALIGNNRegressor", **FULL_BATCH)
    Y = two_targets(data)
    expected = model.fit(data.X[:16], Y[:16]).predict(data.X)
    Y[16:] = np.nan
    assert relative(model.fit(data.X, Y).predict(data.X), expected) < 1e-3


def test_fit__unknown_targets__leave_the_other_column_as_it_is(data, small):
    """The scaler of a column sees only its own known values."""
    Y = two_targets(data)
    model = small.model().fit(data.X, Y)
    mean, scale = model.target_scaler_.mean_, model.target_scaler_.scale_
    Y[:8, 0] = np.nan
    model.fit(data.X, Y)
    assert model.target_scaler_.mean_[1] == mean[1]
    assert model.target_scaler_.scale_[1] == scale[1]
    assert model.target_scaler_.mean_[0] == pytest.approx(data.y[8:].mean())


@pytest.mark.parametrize("loss", ["l1", "mse", "huber"])
def test_fit__unknown_targets__gradients_are_those_of_the_known_ones(loss, data, small):
    """One column half unknown trains like the rows in which it is known."""
    model = small.model("ALIGNNRegressor", loss=loss, **FULL_BATCH)
    expected = model.fit(data.X[:12], data.y[:12, None]).predict(data.X)
    Y = data.y[:, None].copy()
    Y[12:] = np.nan
    assert relative(model.fit(data.X, Y).predict(data.X), expected) < 1e-3


@pytest.mark.parametrize("value", [0.0, 7.5, 1e12, -1e12, 1e-12])
def test_fit__constant_target__is_predicted_nearly(value, regressor, data):
    prediction = regressor.fit(data.X, np.full(24, value)).predict(data.X)
    assert np.abs(prediction - value).max() < (3e-3 * abs(value) or 3)


@pytest.mark.parametrize("unit", [1e3, 1e12, 1e-12, -1.0])
def test_fit__y_in_another_unit__scales_the_predictions(unit, regressor, data):
    expected = regressor.set_params(norm="layer").fit(data.X, data.y).predict(data.X)
    prediction = regressor.fit(data.X, data.y * unit).predict(data.X)
    if unit > 0:
        assert relative(prediction / unit, expected) < 1e-4
    assert np.ptp(prediction) == pytest.approx(np.ptp(expected) * abs(unit), rel=0.9)


def test_fit__y_on_a_huge_offset__keeps_its_spread(regressor, data):
    expected = regressor.set_params(norm="layer").fit(data.X, data.y).predict(data.X)
    prediction = regressor.fit(data.X, data.y + 1e8).predict(data.X)
    assert relative(prediction - 1e8, expected) < 1e-3


def test_fit__training__reaches_a_useful_model(small, data):
    model = small.model("ALIGNNRegressor", hidden_dim=16, max_epochs=150, lr=1e-2)
    assert model.fit(data.X, data.y).score(data.X, data.y) > 0.8
    assert model.history_[-1]["train_loss"] < model.history_[0]["train_loss"] / 3


def test_score__unknown_targets__is_r2_over_the_known(regressor, data):
    Y = two_targets(data)
    Y[:10, 1] = np.nan
    regressor.fit(data.X, Y)
    prediction = regressor.predict(data.X)
    r2 = []
    for column, rows in ((0, slice(None)), (1, slice(10, None))):
        true = Y[rows, column]
        error = ((true - prediction[rows, column]) ** 2).sum()
        r2.append(1 - error / ((true - true.mean()) ** 2).sum())
    assert regressor.score(data.X, Y) == pytest.approx(np.mean(r2))


@pytest.mark.parametrize("name", ["ALIGNNRegressor", "CGCNNRegressor"])
def test_sample_weight__zero__leaves_the_sample_out(name, data, small):
    model = small.model(name, **FULL_BATCH)
    weight = np.r_[np.ones(16), np.zeros(8)]
    expected = model.fit(data.X[:16], data.y[:16]).predict(data.X)
    y = data.y.copy()
    y[16:] = 1e6
    model.fit(data.X, y, sample_weight=weight)
    assert relative(model.predict(data.X), expected) < 1e-3
    assert model.target_scaler_.mean_[0] == pytest.approx(data.y[:16].mean())


def test_sample_weight__two__counts_as_a_repeated_sample(data, small):
    model = small.model("ALIGNNRegressor", **FULL_BATCH)
    expected = model.fit(data.X + data.X[:8], np.r_[data.y, data.y[:8]])
    expected = expected.predict(data.X)
    weight = np.r_[2 * np.ones(8), np.ones(16)]
    model.fit(data.X, data.y, sample_weight=weight)
    assert relative(model.predict(data.X), expected) < 1e-3
    plain = model.fit(data.X, data.y).predict(data.X)
    assert relative(plain, expected) > 1e-3


@pytest.mark.parametrize("factor", [1.0, 1e-6, 1e6])
def test_sample_weight__equal_for_all__changes_nothing(factor, data, small):
    model = small.model("ALIGNNRegressor", **FULL_BATCH)
    expected = model.fit(data.X, data.y).predict(data.X)
    model.fit(data.X, data.y, sample_weight=np.full(24, factor))
    assert relative(model.predict(data.X), expected) < 1e-3


@pytest.fixture
def splits(monkeypatch):
    """Rows of training and validation of each hold-out split."""
    found = []
    split = HoldOut.__call__

    def record(self, dataset, y=None, **parameters):
        train, valid = split(self, dataset, y, **parameters)
        found.append((train.rows, valid.rows))
        return train, valid

    monkeypatch.setattr(HoldOut, "__call__", record)
    return found


@pytest.mark.parametrize("labels", ["integers", "strings", "sorted_series"])
def test_early_stopping__groups__stay_together(labels, data, small, splits):
    groups = np.arange(24) % 6
    if labels == "strings":
        groups = [f"material {group}" for group in groups]
    elif labels == "sorted_series":
        groups = pd.Series(groups, index=np.arange(24)[::-1])
    model = small.model(early_stopping=True, validation_fraction=0.3)
    model.fit(data.X, data.y, groups=groups)
    (train, valid) = splits[0]
    assert sorted([*train, *valid]) == list(range(24))
    assert len(valid) == 8
    codes = np.arange(24) % 6
    assert not set(codes[train]) & set(codes[valid])


def test_early_stopping__without_groups__draws_a_seeded_random_part(
    data, small, splits
):
    model = small.model(early_stopping=True, validation_fraction=0.25)
    for seed in (0, 0, 1):
        model.set_params(random_state=seed).fit(data.X, data.y)
    parts = [sorted(valid) for _, valid in splits]
    assert [len(part) for part in parts] == [6] * 3
    assert parts[0] == parts[1] != parts[2]
    assert parts[0] != list(range(6))


def test_early_stopping__no_improvement__stops_and_keeps_the_best_epoch(data, small):
    model = small.model(
        early_stopping=True, n_iter_no_change=2, max_epochs=300, lr=0.05
    )
    model.set_params(validation_fraction=0.3).fit(data.X, data.y)
    losses = [row["valid_loss"] for row in model.history_]
    assert model.n_epochs_ < 300
    assert model.best_epoch_ == np.argmin(losses) + 1
    assert model.n_epochs_ == model.best_epoch_ + 2


def test_best_epoch__is_restored(data, small):
    """Training for as many epochs as the best one gives the same weights."""
    model = small.model(max_epochs=25, batch_size=4, lr=0.1, lr_schedule="constant")
    model.fit(data.X, data.y)
    assert model.best_epoch_ < 25
    shorter = model.set_params(max_epochs=model.best_epoch_)
    kept = {k: v.clone() for k, v in model.net_.module_.state_dict().items()}
    again = shorter.fit(data.X, data.y).net_.module_.state_dict()
    assert all(torch.equal(kept[key], again[key]) for key in kept)


@pytest.mark.parametrize("loss", ["l1", "mse", "huber"])
def test_loss__each_kind__trains_and_differs(loss, data, small):
    model = small.model(loss=loss).fit(data.X, data.y)
    assert np.isfinite(model.predict(data.X)).all()
    auto = small.model().fit(data.X, data.y).predict(data.X)
    assert np.array_equal(auto, model.predict(data.X)) == (loss == "l1")


def test_loss__cross_entropy_for_a_regressor__is_refused(data, small):
    with pytest.raises(InvalidValueError, match="use 'l1', 'mse' or 'huber'"):
        small.model(loss="cross_entropy").fit(data.X, data.y)


def test_diverging_training__huge_rate__stops_and_warns(data, small):
    model = small.model(lr=1e20, max_epochs=50, lr_schedule="constant", norm="layer")
    model.set_params(n_conv_layers=0, n_hidden_layers=0, loss="mse")
    with pytest.warns(UserWarning, match="Lower lr"):
        model.fit(data.X, data.y)
    assert model.n_epochs_ < 50


def test_net__is_a_skorch_net_with_history(data, small):
    model = small.model(max_epochs=3).fit(data.X, data.y)
    assert isinstance(model.net_, GraphNet)
    assert model.n_epochs_ == len(model.history_) == len(model.net_.history) == 3
    assert set(model.history_[0]) == {"epoch", "train_loss", "dur"}
    assert model.device_ == "cpu"


@pytest.mark.parametrize("power", [-700, 600])
def test_fit__unit_that_makes_targets_huge_or_tiny__changes_no_digit(
    power, regressor, data
):
    plain = regressor.fit(data.X, data.y)
    expected, score = plain.predict(data.X), plain.score(data.X, data.y)
    y = np.ldexp(data.y, power)
    regressor.fit(data.X, y)
    assert np.array_equal(regressor.predict(data.X), np.ldexp(expected, power))
    assert regressor.score(data.X, y) == score


def test_fit__targets_beyond_all_measure__are_refused_by_place(data, small):
    Y = two_targets(data)
    Y[3, 1] = -1e305
    with pytest.raises(InvalidValueError, match=r"-1e\+305 at index 3, column 1.*unit"):
        small.model().fit(data.X, Y)


@pytest.mark.parametrize("power", [-1060, 1021])
def test_fit__huge_or_tiny_weights__equal_ordinary_ones(power, data, small):
    weight = 1.0 + np.arange(24) % 3
    expected = small.model().fit(data.X, data.y, weight).predict(data.X)
    model = small.model().fit(data.X, data.y, np.ldexp(weight, power))
    assert np.array_equal(model.predict(data.X), expected)
