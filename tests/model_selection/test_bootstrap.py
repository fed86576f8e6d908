import numpy as np
import pandas as pd
import pytest
import scipy.stats
from pymatgen.core import Lattice, Structure
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.datasets import make_classification, make_regression
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import mean_absolute_error, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.metrics import masked_mean_absolute_error
from skmatgnn.model_selection import bootstrap_score

MAE = "neg_mean_absolute_error"
X, y = make_regression(90, 5, noise=20.0, random_state=0)
GROUPS = np.repeat(np.arange(18), 5)


class Rows(RegressorMixin, BaseEstimator):
    """Remembers the rows that it was fitted on; X are row numbers."""

    def fit(self, X, y, groups=None):
        self.rows_ = np.ravel(X)
        self.groups_ = groups
        return self

    def predict(self, X):
        return np.zeros(len(X))


def trained_and_tested(model, X, y):
    """A scorer that returns nothing of interest but checks the split."""
    LOG.append((model.rows_, np.ravel(X), model.groups_))
    return float(len(y))


LOG = []


@pytest.fixture
def log():
    LOG.clear()
    return LOG


def run_rows(n_samples=60, **options):
    rows = np.arange(n_samples).reshape(-1, 1)
    return bootstrap_score(
        Rows(), rows, np.zeros(n_samples), scoring=trained_and_tested, **options
    )


def test_refit__each_resample__is_tested_on_exactly_the_rows_it_missed(log):
    result = run_rows(n_resamples=20, random_state=0)
    assert len(log) == 20
    for trained, tested, _ in log:
        assert len(trained) == 60
        assert len(np.unique(trained)) < 60  # with replacement
        assert sorted({*trained, *tested}) == list(range(60))
        assert not set(trained) & set(tested)
    assert result.n_test.tolist() == [len(tested) for _, tested, _ in log]
    assert result.n_train.tolist() == [60] * 20
    fraction = result.n_test.mean() / 60
    assert fraction == pytest.approx(np.exp(-1), abs=0.05)


def test_refit__with_groups__draws_them_whole_and_hands_them_on(log):
    groups = np.repeat(list("abcdefghij"), 6)
    run_rows(groups=groups, n_resamples=20, random_state=0)
    for trained, tested, handed in log:
        assert not set(groups[trained]) & set(groups[tested])
        counts = np.bincount(trained, minlength=60).reshape(10, 6)
        assert (counts == counts[:, :1]).all()
        assert (tested.reshape(-1, 6) % 6 == np.arange(6)).all()
        codes = np.searchsorted(list("abcdefghij"), groups[trained])
        np.testing.assert_array_equal(handed, codes)


def test_refit__without_groups__marks_the_copies_of_a_row_as_one_group(log):
    run_rows(n_resamples=2, random_state=0)
    for trained, _, handed in log:
        np.testing.assert_array_equal(handed, trained)


def test_refit__with_sizes__nests_the_draws_and_keeps_the_test_rows(log):
    sizes = [0.1, 0.5, 1.0]
    result = run_rows(train_sizes=sizes, n_resamples=7, random_state=3)
    for start in range(0, 21, 3):
        (small, test, _), (middle, test_2, _), (whole, test_3, _) = log[
            start : start + 3
        ]
        assert (len(small), len(middle), len(whole)) == (6, 30, 60)
        np.testing.assert_array_equal(small, middle[:6])
        np.testing.assert_array_equal(middle, whole[:30])
        np.testing.assert_array_equal(test, test_2)
        np.testing.assert_array_equal(test, test_3)
        assert not set(whole) & set(test)
    assert result.scores.shape == result.n_train.shape == (3, 7)
    assert result.mean.shape == result.low.shape == result.high.shape == (3,)
    assert result.train_sizes.tolist() == sizes


def test_refit__learning_curve__of_a_regression_improves_with_size():
    result = bootstrap_score(
        Ridge(0.1),
        X,
        y,
        scoring=MAE,
        train_sizes=[0.1, 0.3, 1.0],
        n_resamples=30,
        random_state=0,
    )
    assert (np.diff(result.mean) > 0).all()
    assert (result.low <= result.mean).all()
    assert (result.mean <= result.high).all()
    last = bootstrap_score(
        Ridge(0.1), X, y, scoring=MAE, n_resamples=30, random_state=0
    )
    np.testing.assert_array_equal(last.scores, result.scores[-1])
    assert last.mean == result.mean[-1]


def test_refit__interval__is_the_quantiles_of_the_scores():
    result = bootstrap_score(
        Ridge(), X, y, n_resamples=40, confidence_level=0.8, random_state=0
    )
    assert result.scores.shape == (40,)
    expected = np.quantile(result.scores, [0.1, 0.9])
    np.testing.assert_allclose([result.low, result.high], expected)
    assert result.mean == pytest.approx(result.scores.mean())
    assert result.std == pytest.approx(result.scores.std())
    assert np.isnan(result.observed)
    # the default is the estimator's own score, here R2
    assert 0.9 < result.mean < 1.0


@pytest.mark.parametrize("method", ["refit", "fixed"])
@pytest.mark.parametrize("groups", [None, GROUPS])
def test_scores__with_workers__equal_the_serial_ones_bit_for_bit(method, groups):
    forest = RandomForestRegressor(4)  # no seed of its own
    if method == "fixed":
        forest = RandomForestRegressor(4, random_state=0).fit(X[::2], y[::2])
    interval = "bca" if method == "fixed" else "percentile"
    serial, parallel = (
        bootstrap_score(
            forest,
            X,
            y,
            groups=groups,
            scoring=MAE,
            method=method,
            interval=interval,
            n_resamples=6,
            n_jobs=n_jobs,
            random_state=5,
        )
        for n_jobs in (None, 2)
    )
    np.testing.assert_array_equal(serial.scores, parallel.scores)
    assert (serial.low, serial.high) == (parallel.low, parallel.high)


def test_seeds__of_the_estimator__are_filled_in_only_where_there_are_none():
    def seeds(estimator):
        seen = []

        def scorer(model, X, y):
            seen.append(model.get_params()[key])
            return 0.0

        key = next(k for k in estimator.get_params() if k.endswith("random_state"))
        bootstrap_score(estimator, X, y, scoring=scorer, n_resamples=3, random_state=0)
        return seen

    unset = make_pipeline(StandardScaler(), RandomForestRegressor(2))
    assert len(set(seeds(unset))) == 3
    assert seeds(RandomForestRegressor(2, random_state=7)) == [7, 7, 7]
    assert unset.get_params()["randomforestregressor__random_state"] is None


def test_seed__other_or_none__gives_other_draws():
    scores = [
        bootstrap_score(Ridge(), X, y, n_resamples=5, random_state=seed).scores.tolist()
        for seed in (0, 0, 1, None)
    ]
    assert scores[0] == scores[1]
    assert scores[0] != scores[2] != scores[3]


def test_fixed__interval_of_a_mean_error__agrees_with_scipys_bootstrap():
    error = np.random.default_rng(0).lognormal(sigma=1.2, size=80)
    truth = np.zeros(80)
    for interval in ("percentile", "bca"):
        ours = bootstrap_score(
            error,
            None,
            truth,
            method="fixed",
            scoring=MAE,
            interval=interval,
            n_resamples=1000,
            random_state=0,
        )
        theirs = scipy.stats.bootstrap(
            (-error,),
            np.mean,
            method=interval,
            n_resamples=1000,
            random_state=np.random.default_rng(1),
        ).confidence_interval
        width = theirs.high - theirs.low
        assert ours.low == pytest.approx(theirs.low, abs=0.08 * width)
        assert ours.high == pytest.approx(theirs.high, abs=0.08 * width)
        assert ours.observed == pytest.approx(-error.mean())
        assert ours.n_train.sum() == 0
        assert (ours.n_test == 80).all()


def test_fixed__bca_of_skewed_errors__is_not_the_percentile_interval():
    error = np.random.default_rng(0).lognormal(sigma=1.2, size=80)
    options = {"method": "fixed", "scoring": MAE, "random_state": 0}
    plain = bootstrap_score(error, None, 0 * error, **options)
    bca = bootstrap_score(error, None, 0 * error, interval="bca", **options)
    np.testing.assert_array_equal(plain.scores, bca.scores)
    assert bca.low < plain.low  # the true mean error may well be larger
    assert bca.high < plain.high


def test_fixed__of_perfect_predictions__has_an_interval_of_no_width():
    result = bootstrap_score(
        y, None, y, method="fixed", interval="bca", n_resamples=20, random_state=0
    )
    assert (result.observed, result.low, result.high) == (1.0, 1.0, 1.0)


def test_fixed__with_groups__has_the_wider_interval_that_they_warrant():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 25)
    error = np.repeat(rng.exponential(size=40), 25)  # all members err alike
    options = {"method": "fixed", "scoring": MAE, "random_state": 0}
    alone = bootstrap_score(error, None, 0 * error, **options)
    together = bootstrap_score(error, None, 0 * error, groups=groups, **options)
    assert together.std / alone.std == pytest.approx(5, rel=0.15)


def test_fixed__of_a_fitted_model__resamples_its_predictions_without_refitting():
    model = Ridge().fit(X[:45], y[:45])
    predictions = model.predict(X[45:])
    options = {"method": "fixed", "n_resamples": 50, "random_state": 0}
    for scoring in (None, MAE, "neg_smae"):
        by_model = bootstrap_score(model, X[45:], y[45:], scoring=scoring, **options)
        by_array = bootstrap_score(
            predictions, None, y[45:], scoring=scoring, **options
        )
        np.testing.assert_array_equal(by_model.scores, by_array.scores)
    assert bootstrap_score(model, X[45:], y[45:], **options).observed == pytest.approx(
        model.score(X[45:], y[45:])
    )


def test_fixed__prediction__happens_once_on_all_samples():
    class Counting(Ridge):
        calls = 0

        def predict(self, X):
            type(self).calls += 1
            return super().predict(X)

    model = Counting().fit(X, y)
    bootstrap_score(model, X, y, method="fixed", scoring=MAE, n_resamples=30)
    assert Counting.calls == 1


def test_fixed__of_a_classifier__serves_scorers_of_labels_and_probabilities():
    X, labels = make_classification(200, random_state=0)
    names = np.array(["metal", "insulator"])[labels]
    model = LogisticRegression().fit(X[:100], names[:100])
    X, names = X[100:], names[100:]
    options = {"method": "fixed", "n_resamples": 20, "random_state": 0}
    default = bootstrap_score(model, X, names, **options)
    assert default.observed == pytest.approx(model.score(X, names))
    auc = bootstrap_score(model, X, names, scoring="roc_auc", n_jobs=2, **options)
    expected = roc_auc_score(names, model.decision_function(X))
    assert auc.observed == pytest.approx(expected)
    log_loss = bootstrap_score(model, X, names, scoring="neg_log_loss", **options)
    assert -1 < log_loss.observed < 0
    given = bootstrap_score(
        model.predict(X), None, names, scoring="accuracy", **options
    )
    np.testing.assert_array_equal(given.scores, default.scores)


def test_fixed__with_unknown_targets__scores_the_known_ones():
    Y = np.column_stack([y, -y])
    Y[::3, 1] = np.nan
    predictions = np.nan_to_num(Y) + 1.0
    result = bootstrap_score(
        predictions, None, Y, method="fixed", scoring="neg_masked_mae", random_state=0
    )
    assert result.observed == -masked_mean_absolute_error(Y, predictions)


def test_refit__on_structures_formulas_and_frames__slices_them():
    structures = [
        Structure(Lattice.cubic(4 + 0.1 * i), ["Na", "Cl"], [[0] * 3, [0.5] * 3])
        for i in range(12)
    ]
    volumes = [s.volume for s in structures]

    class Volume(DummyRegressor):
        def predict(self, X):
            return np.array([s.volume for s in X])

    for container in (structures, tuple(structures)):
        result = bootstrap_score(
            Volume(), container, volumes, scoring=MAE, n_resamples=4, random_state=0
        )
        assert result.scores.tolist() == [0.0] * 4
    frame = pd.DataFrame(X, index=range(500, 590)).add_prefix("x")
    by_frame = bootstrap_score(
        Ridge(), frame, pd.Series(y), n_resamples=4, random_state=0
    )
    by_array = bootstrap_score(Ridge(), X, y, n_resamples=4, random_state=0)
    np.testing.assert_allclose(by_frame.scores, by_array.scores)


def test_refit__with_two_groups__always_leaves_one_to_test(log):
    run_rows(groups=np.arange(60) % 2, n_resamples=20, random_state=0)
    for trained, tested, _ in log:
        assert len(set(trained % 2)) == len(set(tested % 2)) == 1


def test_inputs__read_only__are_left_alone():
    frozen_X, frozen_y = X.copy(), y.copy()
    frozen_X.flags.writeable = frozen_y.flags.writeable = False
    for method, model in (("refit", Ridge()), ("fixed", Ridge().fit(X, y))):
        bootstrap_score(model, frozen_X, frozen_y, method=method, n_resamples=3)


def test_result__of_a_mean_predictor__covers_the_error_that_it_has():
    result = bootstrap_score(DummyRegressor(), X, y, scoring=MAE, random_state=0)
    assert result.low < -mean_absolute_error(y, np.full(90, y.mean())) < result.high


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "jackknife"}, "method must be one of"),
        ({"interval": "normal"}, "interval must be one of"),
        ({"interval": "bca"}, "needs|use 'percentile', or method='fixed'"),
        ({"n_resamples": 0}, "n_resamples must be an integer of 1"),
        ({"n_resamples": 2.5}, "n_resamples must be an integer"),
        ({"confidence_level": 95}, "between 0 and 1; got 95"),
        ({"train_sizes": [0.5, 1.5]}, "fractions of the data"),
        ({"train_sizes": []}, "fractions of the data"),
        ({"train_sizes": [10]}, "fractions of the data"),
        ({"train_sizes": [0.5], "method": "fixed"}, "train_sizes needs"),
        ({"groups": np.zeros(90)}, "got 90 sample.*in one group"),
        ({"groups": np.zeros(3)}, "X has 90, groups has 3"),
        ({"scoring": "neg_mea"}, "scoring must be one of"),
    ],
)
def test_options__that_cannot_be_used__are_errors(options, message):
    with pytest.raises(InvalidValueError, match=message):
        bootstrap_score(Ridge(), X, y, **options)


def test_arguments__that_do_not_fit__are_errors():
    with pytest.raises(InvalidValueError, match="X has 90, y has 80"):
        bootstrap_score(Ridge(), X, y[:80])
    with pytest.raises(InvalidValueError, match="y is None"):
        bootstrap_score(Ridge(), X, None)
    with pytest.raises(NotFittedError):
        bootstrap_score(Ridge(), X, y, method="fixed")
    with pytest.raises(InvalidValueError, match="X is None"):
        bootstrap_score(Ridge().fit(X, y), None, y, method="fixed")
    with pytest.raises(InvalidTypeError, match="array of predictions; got None"):
        bootstrap_score(None, None, y, method="fixed")
    with pytest.raises(InvalidValueError, match="y has 90, predictions has 2"):
        bootstrap_score([1.0, 2.0], None, y, method="fixed")
    with pytest.raises(InvalidTypeError, match="needs an estimator with fit, and X"):
        bootstrap_score(y, None, y)


@pytest.mark.filterwarnings("ignore:R.2 score is not well-defined")
def test_refit__r2_of_one_sample__is_left_out_with_a_warning():
    few, targets = X[:5], y[:5]
    options = {"n_resamples": 60, "random_state": 0}
    with pytest.warns(UserWarning, match=r"of 60 scores are NaN.* \(1 sample") as said:
        result = bootstrap_score(Ridge(), few, targets, scoring="r2", **options)
    undefined = np.isnan(result.scores)
    np.testing.assert_array_equal(undefined, result.n_test == 1)
    assert 0 < undefined.sum() < 60
    own = [w for w in said if "scores are NaN" in str(w.message)]
    assert str(own[0].message).startswith(f"{undefined.sum()} of 60")
    assert own[0].filename == __file__
    known = result.scores[~undefined]
    assert result.mean == pytest.approx(known.mean())
    assert result.std == pytest.approx(known.std())
    assert (result.low, result.high) == tuple(np.quantile(known, [0.025, 0.975]))
    by_error = bootstrap_score(Ridge(), few, targets, scoring=MAE, **options)
    assert np.isfinite(by_error.scores).all()


@pytest.mark.filterwarnings("ignore:R.2 score is not well-defined")
def test_refit__r2_that_is_never_defined__is_nan_with_a_warning():
    with pytest.warns(UserWarning, match="5 of 5 scores are NaN"):
        result = bootstrap_score(
            Ridge(), X[:2], y[:2], scoring="r2", n_resamples=5, random_state=0
        )
    assert np.isnan([result.mean, result.std, result.low, result.high]).all()


def test_fixed__bca_with_undefined_scores__is_that_of_the_others():
    def spread_or_nan(model, X, y):
        return np.nan if np.ptp(y) == 0 else float(np.ptp(y))

    targets = np.array([1.0, 1.0, 1.0, 1.0, 9.0])
    with pytest.warns(UserWarning, match="scores are NaN"):
        result = bootstrap_score(
            targets,
            None,
            targets,
            method="fixed",
            scoring=spread_or_nan,
            interval="bca",
            n_resamples=50,
            random_state=0,
        )
    assert (result.low, result.high) == (8.0, 8.0)
