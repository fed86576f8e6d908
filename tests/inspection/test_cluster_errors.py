import itertools

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import GroupKFold, LeaveOneGroupOut, ShuffleSplit

from skmatgnn import make_rf_magpie
from skmatgnn.errors import InvalidValueError
from skmatgnn.inspection import ClusterErrorDisplay, cluster_representatives
from skmatgnn.inspection._text import pretty, three_digits
from skmatgnn.metrics import scaled_mean_absolute_error
from skmatgnn.model_selection import LeaveOneClusterOut, bootstrap_score

LABELS = np.array(["b"] * 20 + ["a"] * 40 + ["c"] * 5 + ["lone"])


class MeanOfKnown(RegressorMixin, BaseEstimator):
    def fit(self, X, y):
        self.mean_ = np.nanmean(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    y = rng.gamma(2, size=66) + (LABELS == "b")
    return y, {
        "good": y + rng.normal(0, 0.2, size=66),
        "bad": y + rng.normal(0, 1.0, size=66),
    }


def widths(container):
    return [bar.get_width() for bar in container]


def whiskers(container):
    (lines,) = container.lines[2]
    return [segment[:, 0] for segment in lines.get_segments() if len(segment)]


def test_bars__of_two_models__are_the_errors_by_decreasing_size(data):
    y, predictions = data
    display = ClusterErrorDisplay.from_predictions(
        y, predictions, LABELS, random_state=0, target_name="Voltage", units="V"
    )
    assert display.clusters_ == ["a", "b", "c", "lone"]
    assert display.sizes_.tolist() == [40, 20, 5, 1]
    for bars, name in zip(display.bars_, predictions, strict=True):
        expected = [
            mean_absolute_error(y[c == LABELS], predictions[name][c == LABELS])
            for c in display.clusters_
        ]
        np.testing.assert_allclose(widths(bars), expected)
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels == ["a (40)", "b (20)", "c (5)", "lone (1)"]
    assert display.ax_.get_xlabel() == "MAE of voltage (V)"
    colors = {bars[0].get_facecolor() for bars in display.bars_}
    assert len(colors) == 2
    ys = [bars[0].get_y() + bars[0].get_height() / 2 for bars in display.bars_]
    assert ys[0] < 0 < ys[1]
    top, bottom = display.ax_.get_ylim()
    assert top > bottom


def test_pooled_lines__are_errors_over_all_samples(data):
    y, predictions = data
    display = ClusterErrorDisplay.from_predictions(
        y, predictions, LABELS, random_state=0
    )
    pooled = [mean_absolute_error(y, p) for p in predictions.values()]
    drawn = [line.get_xdata()[0] for line in display.pooled_lines_]
    np.testing.assert_allclose(drawn, pooled)
    texts = [text.get_text() for text in display.legend_.get_texts()]
    assert texts == [
        "good",
        "bad",
        f"pooled good: {three_digits(pooled[0])}",
        f"pooled bad: {three_digits(pooled[1])}",
        "95 % interval",
        "control (mean)",
    ]


@pytest.mark.parametrize("metric", ["mae", "smae"])
def test_intervals__of_a_cluster__are_quantiles_of_resampled_rows(data, metric):
    y, predictions = data
    display = ClusterErrorDisplay.from_predictions(
        y,
        predictions,
        LABELS,
        control=y.mean(),
        metric=metric,
        confidence_level=0.8,
        n_resamples=300,
        random_state=5,
    )
    rng = np.random.RandomState(5)
    for place, label in enumerate(["a", "b", "c"]):
        rows = np.flatnonzero(label == LABELS)
        draws = [rows[rng.randint(len(rows), size=len(rows))] for _ in range(300)]
        for model, predicted in enumerate(predictions.values()):
            scores = [
                mean_absolute_error(y[d], predicted[d])
                if metric == "mae"
                else scaled_mean_absolute_error(y[d], predicted[d], baseline=y.mean())
                for d in draws
            ]
            ends = np.quantile(scores, [0.1, 0.9])
            np.testing.assert_allclose(
                whiskers(display.errorbars_[model])[place], ends, rtol=1e-6
            )
    assert np.isnan(display.low_[:, 3]).all()
    assert len(whiskers(display.errorbars_[0])) == 3


def test_intervals__agree_with_bootstrap_score(data):
    y, predictions = data
    display = ClusterErrorDisplay.from_predictions(
        y, predictions["bad"], LABELS, n_resamples=4000, random_state=0
    )
    rows = LABELS == "a"
    other = bootstrap_score(
        predictions["bad"][rows],
        None,
        y[rows],
        method="fixed",
        scoring="neg_mean_absolute_error",
        n_resamples=2000,
        random_state=1,
    )
    assert display.low_[0, 0] == pytest.approx(-other.high, rel=0.05)
    assert display.high_[0, 0] == pytest.approx(-other.low, rel=0.05)


def test_intervals__of_samples_drawn_together__agree_with_bootstrap_score(data):
    y, predictions = data
    compounds = np.array([f"{label}{i // 4}" for i, label in enumerate(LABELS)])
    options = {"n_resamples": 4000, "random_state": 0}
    display = ClusterErrorDisplay.from_predictions(
        y, predictions["bad"], LABELS, drawn_together=compounds, **options
    )
    rows = LABELS == "a"
    other = bootstrap_score(
        predictions["bad"][rows],
        None,
        y[rows],
        groups=compounds[rows],
        method="fixed",
        scoring="neg_mean_absolute_error",
        n_resamples=4000,
        random_state=1,
    )
    assert display.low_[0, 0] == pytest.approx(-other.high, rel=0.03)
    assert display.high_[0, 0] == pytest.approx(-other.low, rel=0.03)
    alone = ClusterErrorDisplay.from_predictions(
        y, predictions["bad"], LABELS, drawn_together=np.arange(66), **options
    )
    single = ClusterErrorDisplay.from_predictions(
        y, predictions["bad"], LABELS, **options
    )
    np.testing.assert_allclose(alone.low_, single.low_)
    one = ClusterErrorDisplay.from_predictions(
        y, predictions["bad"], LABELS, drawn_together=LABELS, **options
    )
    assert np.isnan(one.low_).all()


def test_intervals__of_no_resamples__are_not_drawn(data):
    y, predictions = data
    display = ClusterErrorDisplay.from_predictions(
        y, predictions, LABELS, n_resamples=0
    )
    assert np.isnan(display.low_).all()
    assert np.isnan(display.high_).all()
    assert not whiskers(display.errorbars_[0])
    texts = [text.get_text() for text in display.legend_.get_texts()]
    assert not [text for text in texts if "interval" in text]


def test_intervals__of_a_seed__are_the_same_again_and_others_differ(data):
    y, predictions = data
    first, again, other = (
        ClusterErrorDisplay.from_predictions(
            y, predictions, LABELS, n_resamples=50, random_state=seed
        ).low_[:, :3]
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_large_clusters__are_resampled_in_parts_that_change_nothing(data, monkeypatch):
    y, predictions = data
    options = {"n_resamples": 30, "random_state": 0}
    whole = ClusterErrorDisplay.from_predictions(y, predictions, LABELS, **options)
    monkeypatch.setattr("skmatgnn.inspection._cluster_errors._CHUNK", 100)
    parts = ClusterErrorDisplay.from_predictions(y, predictions, LABELS, **options)
    np.testing.assert_array_equal(whole.low_, parts.low_)


def test_control__by_default__predicts_the_mean_of_the_other_clusters(data):
    y, predictions = data
    labels = LABELS.astype(object)
    labels[:3] = -1
    display = ClusterErrorDisplay.from_predictions(
        y, predictions, labels, metric="smae", random_state=0
    )
    used = labels != -1
    assert display.sizes_.sum() == 63
    total = 0.0
    for place, cluster in enumerate(display.clusters_):
        own = labels == cluster
        control = y[used & ~own].mean()
        total += np.abs(y[own] - control).sum()
        expected = scaled_mean_absolute_error(
            y[own], predictions["bad"][own], baseline=control
        )
        assert display.errors_[1, place] == pytest.approx(expected)
    error = np.abs(y - predictions["bad"])[used].sum() / total
    assert display.pooled_[1] == pytest.approx(error)
    np.testing.assert_array_equal(display.control_errors_, 1)
    assert display.ax_.get_xlabel() == "SMAE"
    mae = ClusterErrorDisplay.from_predictions(y, predictions, labels, random_state=0)
    marks = [s[0, 0] for s in mae.control_marks_.get_segments()]
    own = labels == "a"
    expected = np.abs(y[own] - y[used & ~own].mean()).mean()
    assert marks[0] == pytest.approx(expected)


def test_control__that_makes_no_error__leaves_the_scaled_error_undefined():
    display = ClusterErrorDisplay.from_predictions(
        [1.0, 1.0, 5.0, 6.0],
        [1.0, 2.0, 5.0, 5.0],
        [0, 0, 1, 1],
        control=[1.0, 1.0, 4.0, 4.0],
        metric="smae",
        random_state=0,
    )
    assert np.isnan(display.errors_[0, 0])
    assert display.errors_[0, 1] == pytest.approx(1 / 3)


def test_nan_pairs__of_any_model__are_left_out_for_all(data):
    y, predictions = data
    y, bad = y.copy(), predictions["bad"].copy()
    y[25], bad[30:55], bad[65] = np.nan, np.nan, np.nan
    display = ClusterErrorDisplay.from_predictions(
        pd.Series(y, name="Gap"), {**predictions, "bad": bad}, LABELS, random_state=0
    )
    assert display.clusters_ == ["b", "a", "c"]
    assert display.sizes_.tolist() == [20, 14, 5]
    keep = (LABELS == "a") & ~np.isnan(y) & ~np.isnan(bad)
    expected = mean_absolute_error(y[keep], predictions["good"][keep])
    assert display.errors_[0, 1] == pytest.approx(expected)
    assert display.ax_.get_xlabel() == "MAE of gap"


def test_group_names__of_a_mapping_or_medoids__label_the_ticks(data):
    y, predictions = data
    display = ClusterErrorDisplay.from_predictions(
        y, predictions["good"], LABELS, group_names={"a": "Li3PO4"}, random_state=0
    )
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels[:2] == ["Li$_{3}$PO$_{4}$ (40)", "b (20)"]
    assert len(display.legend_.get_texts()) == 3
    medoids = cluster_representatives(
        ["NaCl", "KCl", "RbCl", "W", "Mo"], [7, 7, 7, 3, 3]
    )
    by_medoid = ClusterErrorDisplay.from_predictions(
        np.arange(5.0), np.ones(5), [7, 7, 7, 3, 3], group_names=medoids, legend=False
    )
    labels = [label.get_text() for label in by_medoid.ax_.get_yticklabels()]
    assert labels == ["KCl (3)", "W (2)"]
    assert by_medoid.legend_ is None


def test_texts__of_long_names__are_inside_the_figure(data):
    y, predictions = data
    names = {"a": "Li4Mn3Cr3(SnO8)2", "b": "a name that is much too long for its tick"}
    display = ClusterErrorDisplay.from_predictions(
        y, predictions, LABELS, group_names=names, random_state=0
    )
    display.figure_.canvas.draw()
    box = display.figure_.bbox
    parts = [*display.ax_.get_yticklabels(), display.ax_.yaxis.label, display.legend_]
    for extent in (part.get_window_extent() for part in parts):
        assert box.x0 <= extent.x0 < extent.x1 <= box.x1 + 1
    ticks = [label.get_window_extent() for label in display.ax_.get_yticklabels()]
    assert not any(a.overlaps(b) for a, b in itertools.pairwise(ticks))


def test_from_cross_validation__loco__predicts_each_cluster_unseen():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), rng.normal(size=40)
    groups = np.array([0] * 18 + [5] * 12 + [3] * 8 + [-1] * 2)
    models = {"ols": LinearRegression(), "ridge": Ridge(50)}
    display = ClusterErrorDisplay.from_cross_validation(
        models, X, y, groups=groups, random_state=0
    )
    assert display.clusters_ == [0, 5, 3]
    for row, model in enumerate(models.values()):
        for place, cluster in enumerate([0, 5, 3]):
            train = (groups != cluster) & (groups != -1)
            fitted = model.fit(X[train], y[train])
            test = groups == cluster
            expected = mean_absolute_error(y[test], fitted.predict(X[test]))
            assert display.errors_[row, place] == pytest.approx(expected)
            dummy = DummyRegressor().fit(X[train], y[train])
            expected = mean_absolute_error(y[test], dummy.predict(X[test]))
            assert display.control_errors_[place] == pytest.approx(expected)


def test_from_cross_validation__of_formulas__can_name_clusters_by_medoids():
    formulas = ["LiCl", "NaCl", "KCl", "RbCl", "CsCl", "Fe2O3", "Cr2O3", "V2O3"]
    groups = [0] * 5 + [1] * 3
    display = ClusterErrorDisplay.from_cross_validation(
        make_rf_magpie(n_estimators=3, random_state=0),
        formulas,
        np.arange(8.0),
        groups=groups,
        cv=LeaveOneGroupOut(),
        group_names="medoid",
        random_state=0,
    )
    medoids = [pretty(f) for f in cluster_representatives(formulas, groups).formulas]
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels == [f"{medoids[0]} (5)", f"{medoids[1]} (3)"]


def test_from_cross_validation__small_clusters__are_shown_as_the_splitter_tests_them():
    groups = np.array(["a"] * 4 + ["b", "c", "d", "d"])
    y = np.arange(8.0)
    merged, trained = (
        ClusterErrorDisplay.from_cross_validation(
            DummyRegressor(),
            np.zeros((8, 1)),
            y,
            groups=groups,
            cv=LeaveOneClusterOut(min_size=2, small=small),
            random_state=0,
        )
        for small in ("merge", "train")
    )
    assert merged.clusters_ == ["a", "small", "d"]
    assert merged.sizes_.tolist() == [4, 2, 2]
    assert trained.clusters_ == ["a", "d"]
    np.testing.assert_allclose(trained.errors_[0], trained.control_errors_)


@pytest.mark.parametrize(
    ("cv", "expected"),
    [(3, ["fold 0", "fold 1", "fold 2"]), (GroupKFold(2), ["x", "y"])],
)
def test_from_cross_validation__other_splitters__show_folds_or_groups(cv, expected):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(12, 2)), rng.normal(size=12)
    groups = None if cv == 3 else ["x", "y"] * 6
    display = ClusterErrorDisplay.from_cross_validation(
        LinearRegression(), X, y, cv=cv, groups=groups, random_state=0
    )
    assert sorted(display.clusters_) == expected


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"y_pred": [1, 2]}, r"y_true has 3, y_pred\['y_pred'\] has 2"),
        ({"groups": [1]}, "groups has 1"),
        ({"groups": [0, None, 1]}, "groups has no label at index 1"),
        ({"y_pred": {}}, "y_pred is empty"),
        ({"y_pred": {3: [1, 2, 3]}}, r"names as keys; got int \(3\)"),
        ({"y_pred": {"rf": [1, np.inf, 3]}}, r"y_pred\['rf'\] contains infinity"),
        ({"y_pred": [np.nan] * 3}, "None of the 3 samples"),
        ({"groups": [-1] * 3}, "None of the 3 samples"),
        ({"metric": "rmse"}, "metric must be one of"),
        ({"confidence_level": 95}, "confidence_level must be between 0 and 1"),
        ({"n_resamples": -1}, "n_resamples must be an integer of 0 or more; got -1"),
        ({"drawn_together": [1]}, "drawn_together has 1"),
        ({"control": [1, np.nan, 2]}, "control is NaN at index 1"),
        ({"control": [1, 2]}, "control has 2"),
        ({"metric": "smae", "groups": [0] * 3}, "needs control="),
        ({"group_names": "medoid"}, "mapping of label to text; got str"),
        ({"group_names": {"z": "x"}}, "None of the names"),
        ({"ax": [1]}, "ax must be one matplotlib Axes"),
    ],
)
def test_bad_input__of_any_kind__says_what_is_wrong(arguments, match):
    good = {"y_true": [1.0, 2.0, 3.0], "y_pred": [1.0, 2.0, 2.0], "groups": [0, 0, 1]}
    with pytest.raises((ValueError, TypeError), match=match):
        ClusterErrorDisplay.from_predictions(**{**good, **arguments})


def test_from_cross_validation__repeated_tests_or_a_wrong_name__are_refused():
    X, y = np.eye(6), np.arange(6.0)
    with pytest.raises(ValueError, match="in more than one test set"):
        ClusterErrorDisplay.from_cross_validation(
            LinearRegression(), X, y, cv=ShuffleSplit(4, random_state=0)
        )
    with pytest.raises(ValueError, match="group_names must be 'medoid'"):
        ClusterErrorDisplay.from_cross_validation(
            LinearRegression(), X, y, cv=2, group_names="medoids"
        )


def test_from_cross_validation__unknown_targets__control_is_the_mean_of_the_known():
    X, y = np.arange(12.0)[:, None], np.arange(12.0)
    y[[0, 5]] = np.nan
    groups = np.repeat(["a", "b", "c"], 4)
    display = ClusterErrorDisplay.from_cross_validation(
        MeanOfKnown(), X, y, cv=GroupKFold(3), groups=groups
    )
    # the model is the control
    np.testing.assert_allclose(display.control_errors_, display.errors_[0])
    assert display.sizes_.sum() == 10


def test_from_cross_validation__two_targets__are_refused_before_any_fit():
    X, Y = np.zeros((6, 1)), np.zeros((6, 2))
    with pytest.raises(InvalidValueError, match=r"shape \(6, 2\).*y=Y\[:, 0\]"):
        ClusterErrorDisplay.from_cross_validation(MeanOfKnown(), X, Y, cv=3)
