import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, r2_score

from skmatgnn.cli._scores import bootstrap_intervals, score


@pytest.fixture
def predictions(rng):
    y = rng.normal(100, 5, 300)
    return y, y + rng.normal(0, 2, 300), np.full(300, y.mean())


def test_bootstrap__rows__agrees_with_a_loop_over_resamples(predictions, rng):
    y, p, control = predictions
    found = bootstrap_intervals(
        y, p, control, groups=None, n_resamples=4000, random_state=1
    )
    drawn = []
    for _ in range(2000):
        i = rng.integers(0, len(y), len(y))
        mae = mean_absolute_error(y[i], p[i])
        drawn.append(
            [
                mae,
                np.sqrt(np.mean((y[i] - p[i]) ** 2)),
                mae / mean_absolute_error(y[i], control[i]),
                r2_score(y[i], p[i]),
            ]
        )
    expected = np.quantile(drawn, [0.025, 0.975], axis=0).T
    for name, (low, high) in zip(("mae", "rmse", "smae", "r2"), expected, strict=True):
        width = high - low
        assert found[name] == pytest.approx([low, high], abs=0.12 * width)


def test_bootstrap__groups__are_drawn_whole_and_widen_the_interval(predictions):
    y, p, control = predictions
    options = {"n_resamples": 500, "random_state": 0}
    once = bootstrap_intervals(y, p, control, groups=None, **options)
    tripled = (np.repeat(a, 3) for a in (y, p, control))
    groups = np.repeat(np.arange(300), 3).astype(str)
    whole = bootstrap_intervals(*tripled, groups=groups, **options)
    low, high = once["mae"]
    # tripling every row adds no information
    assert whole["mae"] == pytest.approx([low, high], abs=0.15 * (high - low))


def test_bootstrap__same_seed__pairs_the_models(predictions):
    y, p, control = predictions
    options = {"groups": None, "n_resamples": 100, "random_state": 0}
    base = bootstrap_intervals(y, p, control, **options)
    doubled = bootstrap_intervals(y, y + 2 * (p - y), control, **options)
    assert doubled["mae"] == pytest.approx([2 * v for v in base["mae"]])


def test_score__constant_targets__have_no_r2_and_no_smae():
    y = np.array([2.0, 2.0])
    scores = score(y, np.array([1.0, 4.0]), np.array([2.0, 2.0]))
    assert scores["mae"] == 1.5
    assert np.isnan(scores["r2"])
    assert np.isnan(scores["smae"])
