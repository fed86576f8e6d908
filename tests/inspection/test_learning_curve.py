from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.datasets import make_regression
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import Ridge
from sklearn.metrics import make_scorer, max_error

from skmatgnn.inspection import BootstrapLearningCurveDisplay
from skmatgnn.metrics import masked_r2, neg_masked_mae, neg_smae
from skmatgnn.model_selection import bootstrap_score

SIZES = [1.0, 0.1, 0.3]


@pytest.fixture(scope="module")
def data():
    return make_regression(120, 4, noise=20.0, random_state=0)


@pytest.fixture(scope="module")
def scores(data):
    return {
        name: bootstrap_score(
            model,
            *data,
            scoring="neg_mean_absolute_error",
            n_resamples=15,
            train_sizes=SIZES,
            random_state=0,
        )
        for name, model in (("ridge", Ridge()), ("control", DummyRegressor()))
    }


def band_edges(band, x):
    vertices = band.get_paths()[0].vertices
    at = [vertices[np.isclose(vertices[:, 0], value), 1] for value in x]
    return np.array([(ys.min(), ys.max()) for ys in at]).T


def test_curves__of_negated_losses__are_positive_and_ascend_in_size(scores):
    display = BootstrapLearningCurveDisplay.from_scores(
        scores, scoring="neg_mean_absolute_error", target_name="Band gap", units="eV"
    )
    order = [1, 2, 0]
    for line, band, (name, result) in zip(
        display.lines_, display.bands_, scores.items(), strict=True
    ):
        np.testing.assert_array_equal(line.get_xdata(), [12, 36, 120])
        np.testing.assert_allclose(line.get_ydata(), -result.scores.mean(axis=1)[order])
        assert (line.get_ydata() > 0).all()
        low, high = band_edges(band, line.get_xdata())
        ends = np.quantile(-result.scores, [0.025, 0.975], axis=1)[:, order]
        np.testing.assert_allclose((low, high), ends)
        np.testing.assert_array_equal(display.errors_[name], line.get_ydata())
        np.testing.assert_allclose((display.low_[name], display.high_[name]), ends)
    assert (display.lines_[0].get_ydata() < display.lines_[1].get_ydata()).all()
    colors = {line.get_color() for line in display.lines_}
    assert len(colors) == 2
    assert display.ax_.get_ylabel() == "MAE of band gap (eV)"
    assert display.ax_.get_xlabel() == "Training rows (drawn with replacement)"
    texts = [text.get_text() for text in display.legend_.get_texts()]
    assert texts == ["ridge", "control", "95 % of resamples"]


def test_scores__that_are_no_losses__keep_their_sign(scores):
    result = replace(scores["ridge"])
    display = BootstrapLearningCurveDisplay.from_scores(result)
    np.testing.assert_allclose(display.errors_["model"], result.mean[[1, 2, 0]])
    np.testing.assert_allclose(display.low_["model"], result.low[[1, 2, 0]])
    assert display.ax_.get_ylabel() == "Score"
    assert [t.get_text() for t in display.legend_.get_texts()] == ["95 % of resamples"]


def test_rows__distinct__are_the_number_expected_of_draws_with_replacement(scores):
    display = BootstrapLearningCurveDisplay.from_scores(scores, rows="distinct")
    rng = np.random.default_rng(0)
    expected = [
        np.mean([len(set(rng.integers(120, size=k))) for _ in range(2000)])
        for k in (12, 36, 120)
    ]
    np.testing.assert_allclose(display.n_train_["ridge"], expected, rtol=0.03)
    exact = 120 - scores["ridge"].n_test.mean()
    assert display.n_train_["ridge"][-1] == pytest.approx(exact)
    assert display.ax_.get_xlabel() == "Distinct training rows (expected)"


@pytest.mark.parametrize(
    ("scoring", "label", "sign"),
    [
        ("neg_mean_absolute_error", "MAE (V)", -1),
        ("neg_masked_rmse", "RMSE (V)", -1),
        ("neg_smae", "SMAE", -1),
        ("r2", "R²", 1),
        ("neg_max_error", "Max error", -1),
        (neg_smae, "SMAE", -1),
        (neg_masked_mae, "MAE (V)", -1),
        (masked_r2, "R²", 1),
        (make_scorer(max_error, greater_is_better=False), "Max error", -1),
        (lambda estimator, X, y: -1.0, "<lambda>", 1),
    ],
)
def test_scoring__of_any_kind__gives_name_unit_and_sign(scores, scoring, label, sign):
    display = BootstrapLearningCurveDisplay.from_scores(
        scores["ridge"], scoring=scoring, units="V"
    )
    assert display.ax_.get_ylabel() == label
    np.testing.assert_allclose(
        display.errors_["model"], sign * scores["ridge"].mean[[1, 2, 0]]
    )


def test_log_axes__have_plain_numbers_that_can_be_read(scores):
    display = BootstrapLearningCurveDisplay.from_scores(
        scores, scoring="neg_mean_absolute_error"
    )
    assert display.ax_.get_xscale() == "linear"
    display.plot(x_scale="log", y_scale="log", title="Ridge")
    ax = display.ax_
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    display.figure_.canvas.draw()
    for axis, ends in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
        shown = [
            label.get_text()
            for place, label in zip(
                axis.get_ticklocs(), axis.get_ticklabels(), strict=True
            )
            if ends[0] <= place <= ends[1]
        ]
        assert len(shown) >= 2
        assert all(float(text.replace(",", "")) > 0 for text in shown)
    assert ax.get_title() == "Ridge"


def test_from_estimator__of_several_models__is_what_bootstrap_score_gives(data, scores):
    display = BootstrapLearningCurveDisplay.from_estimator(
        {"ridge": Ridge(), "control": DummyRegressor()},
        *data,
        train_sizes=SIZES,
        n_resamples=15,
        random_state=0,
        rows="distinct",
    )
    for name, result in scores.items():
        np.testing.assert_array_equal(display.scores[name].scores, result.scores)
        np.testing.assert_allclose(display.errors_[name], -result.mean[[1, 2, 0]])
    assert display.rows == "distinct"
    one = BootstrapLearningCurveDisplay.from_estimator(
        Ridge(), *data, train_sizes=[0.5, 1], n_resamples=3, random_state=0
    )
    assert list(one.errors_) == ["Ridge"]


def test_from_estimator__with_groups__counts_the_rows_of_the_groups_drawn(data):
    groups = np.repeat(np.arange(30), 4)
    display = BootstrapLearningCurveDisplay.from_estimator(
        Ridge(),
        *data,
        groups=groups,
        train_sizes=[0.5, 1.0],
        n_resamples=40,
        random_state=0,
        rows="distinct",
    )
    expected = 120 * (1 - (1 - 1 / 30) ** np.array([15, 30]))
    np.testing.assert_allclose(display.n_train_["Ridge"], expected, rtol=0.05)


def test_plot__on_given_axes__uses_them_and_the_style(scores):
    figure, (ax, _) = plt.subplots(1, 2)
    display = BootstrapLearningCurveDisplay.from_scores(
        scores["ridge"], ax=ax, line_kwargs={"color": "red"}
    )
    assert display.figure_ is figure
    assert display.lines_[0].get_color() == "red"
    assert tuple(display.bands_[0].get_facecolor()[0][:3]) == (1, 0, 0)


def test_levels__that_differ__are_not_told_as_one(scores):
    other = replace(scores["control"], confidence_level=0.5)
    display = BootstrapLearningCurveDisplay.from_scores(
        {"a": scores["ridge"], "b": other}
    )
    assert [text.get_text() for text in display.legend_.get_texts()] == ["a", "b"]


def test_bad_input__of_any_kind__says_what_is_wrong(data, scores):
    draw = BootstrapLearningCurveDisplay.from_scores
    single = bootstrap_score(Ridge(), *data, n_resamples=2, random_state=0)
    for arguments, match in (
        (({"rf": single},), "'rf' are those of one training size"),
        (({},), "scores is empty"),
        (([1.0, 2.0],), "must be BootstrapScores.*got list for 'model'"),
    ):
        with pytest.raises((ValueError, TypeError), match=match):
            draw(*arguments)
    for options, match in (
        ({"rows": "all"}, "rows must be one of"),
        ({"x_scale": "symlog"}, "x_scale must be one of"),
        ({"y_scale": "log"}, "needs positive errors"),
        ({"ax": 3}, "ax must be one matplotlib Axes"),
    ):
        with pytest.raises((ValueError, TypeError), match=match):
            draw(scores, **options)


@pytest.mark.parametrize("groups", [None, np.repeat(np.arange(5), 4)])
def test_rows__distinct_of_small_data__never_exceed_the_rows_there_are(groups):
    X, y = np.zeros((20, 1)), np.arange(20.0)
    display = BootstrapLearningCurveDisplay.from_estimator(
        DummyRegressor(),
        *(X, y),
        groups=groups,
        train_sizes=[0.01, 0.5, 1.0],
        n_resamples=200,
        random_state=0,
        rows="distinct",
    )
    units = 20 if groups is None else 5
    drawn = np.array([1, round(0.5 * units), units])
    expected = 20 * (1 - (1 - 1 / units) ** drawn)
    np.testing.assert_allclose(display.n_train_["DummyRegressor"], expected, rtol=0.15)
