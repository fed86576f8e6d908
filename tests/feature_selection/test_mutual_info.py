from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import digamma
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.feature_selection import mutual_information
from skmatgnn.feature_selection._columns import prepare_column
from skmatgnn.feature_selection._mutual_info import entropy
from skmatgnn.feature_selection._neighbors import kth_neighbor_distance
from skmatgnn.featurizers import CompositionFeatures

DATA = Path(__file__).parents[2] / "../shared/data"


def column(x, k=3, seed=0):
    x = np.asarray(x, dtype=float)
    return prepare_column(x, n_neighbors=k, rng=np.random.default_rng(seed))


def kth_by_brute_force(x, y, k):
    gaps = np.maximum(
        np.abs(np.subtract.outer(x.values, x.values)),
        np.abs(np.subtract.outer(y.values, y.values)),
    )
    np.fill_diagonal(gaps, np.inf)
    return np.sort(gaps, axis=1)[:, k - 1]


def many_kinds(n, seed):
    """Columns as features are: smooth, heavy-tailed, discrete, mostly zero, mixed."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal(n)
    mostly_zero = np.where(rng.random(n) < 0.85, 0.0, rng.random(n))
    return {
        "normal": z,
        "dependent": z + 0.01 * rng.standard_normal(n),
        "noisy": z**2 + rng.standard_normal(n),
        "lognormal": np.exp(3 * rng.standard_normal(n)),
        "integer": np.floor(4 * z),
        "binary": (z + rng.standard_normal(n) > 1).astype(float),
        "rounded": np.round(z + rng.standard_normal(n), 1),
        "mostly_zero": mostly_zero,
        "mixed": np.where(z > 0, z, np.round(3 * z)),
        "offset": 1e6 + z,
    }


@pytest.fixture(scope="module")
def composition_table():
    path = DATA / "expt_gap.csv.gz"
    if not path.exists():
        pytest.skip("shared data file expt_gap.csv.gz is not here")
    formulas = pd.read_csv(path, keep_default_na=False)["composition"]
    formulas = formulas.sample(1500, random_state=0)
    table = CompositionFeatures(impute_nan=True).transform(formulas)
    return table[:, table.std(axis=0) > 0.05 * np.ptp(table, axis=0)]


@pytest.mark.parametrize("n", [2, 5, 40, 97, 300, 2000])
@pytest.mark.parametrize("k", [1, 3, 6])
def test_mutual_information__no_ties__equals_scikit_learn(n, k):
    kinds = many_kinds(n, seed=n)
    X = np.stack([kinds[name] for name in ("normal", "noisy", "lognormal")], axis=1)
    y = kinds["dependent"] + 0.3 * kinds["noisy"]
    k_possible = min(k, n - 1)
    reference = mutual_info_regression(X, y, n_neighbors=k_possible, random_state=0)
    ours = mutual_information(X, y, n_neighbors=k, random_state=0)
    np.testing.assert_allclose(ours, reference, atol=1e-9 + 2 / n * (n > 1000) * 1e-3)


def test_mutual_information__ties__lies_within_the_noise_of_scikit_learn():
    kinds = many_kinds(700, seed=1)
    X = np.stack(list(kinds.values()), axis=1)
    for target in ("integer", "mostly_zero", "mixed", "rounded"):
        y = kinds[target]
        runs = np.array(
            [mutual_info_regression(X, y, random_state=seed) for seed in range(8)]
        )
        ours = np.mean(
            [mutual_information(X, y, random_state=seed) for seed in range(4)], axis=0
        )
        error = runs.std(axis=0, ddof=1) * np.sqrt(1 / 8 + 1 / 4)
        assert (np.abs(ours - runs.mean(axis=0)) < 5 * error + 2e-3).all(), target


def test_mutual_information__features_of_compositions__have_no_bias(composition_table):
    rng = np.random.default_rng(0)
    differences, noise = [], []
    for i, j in rng.integers(0, 100, (70, 2)):
        X, y = composition_table[:, [i]], composition_table[:, j]
        ours = mutual_information(X, y, random_state=0)[0]
        # Near zero both are clipped, and the mean of what is clipped noise is not zero.
        if ours > 0.1 and i != j:
            seeds = rng.integers(0, 2**31, 2).tolist()
            first, second = (
                mutual_info_regression(X, y, random_state=seed)[0] for seed in seeds
            )
            differences.append(ours - (first + second) / 2)
            noise.append(first - second)
    assert len(differences) > 25
    assert np.max(np.abs(differences)) < 1.5 * np.max(np.abs(noise))
    assert abs(np.mean(differences)) < 4e-3


def test_mutual_information__equal_values_but_for_rounding__count_as_ties():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 6, 1000) / 7
    rounded = x * (1 + 4e-16 * rng.integers(-1, 2, 1000))
    y = x + (rng.random(1000) < 0.3)
    exact, inexact = mutual_information(np.stack([x, rounded], 1), y, random_state=0)
    assert inexact == pytest.approx(exact, abs=1e-12)


def test_mutual_information__discrete_data__is_that_of_the_table_of_counts():
    # more than k rows in every cell: no search takes place and psi(n) is nearly log(n)
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 3, (2, 6000))
    y = np.where(rng.random(6000) < 0.5, x, y)
    joint = np.bincount(3 * x + y, minlength=9).reshape(3, 3) / 6000
    expected = (joint * np.log(joint / np.outer(joint.sum(1), joint.sum(0)))).sum()
    ours = mutual_information(x[:, None], y)[0]
    assert ours == pytest.approx(expected, abs=2e-3)


def naive_discrete(x, labels, k):
    x = x / x.std()
    psi_k, psi_m, psi_size = [], [], []
    for i, label in enumerate(labels):
        same = np.flatnonzero(labels == label)
        others = same[same != i]
        k_here = min(k, len(others))
        radius = np.sort(np.abs(x[others] - x[i]))[k_here - 1]
        psi_k.append(digamma(k_here))
        psi_size.append(digamma(len(same)))
        psi_m.append(digamma(np.count_nonzero(np.abs(x - x[i]) < radius - 1e-13)))
    return digamma(len(x)) + np.mean(psi_k) - np.mean(psi_size) - np.mean(psi_m)


@pytest.mark.parametrize("n", [30, 400])
@pytest.mark.parametrize("k", [1, 3, 7])
def test_mutual_information__classes__equals_the_formula(n, k):
    rng = np.random.default_rng(n)
    x = rng.standard_normal(n)
    labels = np.digitize(x + 0.5 * rng.standard_normal(n), [-1, 1])
    labels[:2] = 7  # fewer members than neighbours
    ours = mutual_information(
        x[:, None], labels, discrete_target=True, n_neighbors=k, random_state=0
    )
    assert ours[0] == pytest.approx(naive_discrete(x, labels, k), abs=1e-6)


def test_mutual_information__large_classes__equals_scikit_learn():
    kinds = many_kinds(800, seed=3)
    X = np.stack([kinds[name] for name in ("normal", "lognormal", "noisy")], axis=1)
    names = np.where(kinds["dependent"] > 0.4, "insulator", "metal")
    reference = mutual_info_classif(X, names, random_state=0)
    ours = mutual_information(X, names, discrete_target=True, random_state=0)
    np.testing.assert_allclose(ours, reference, atol=1e-9)


def test_mutual_information__class_of_one_row__is_left_out():
    x = np.random.default_rng(0).standard_normal((50, 1))
    labels = np.repeat(["a", "b"], 25)
    whole = mutual_information(x, labels, discrete_target=True)
    alone = mutual_information(
        np.append(x, [[0.1]], axis=0), [*labels, "c"], discrete_target=True
    )
    assert alone == pytest.approx(whole, abs=0.05)
    nothing = mutual_information(x[:3], ["a", "b", "c"], discrete_target=True)
    assert nothing.tolist() == [0.0]


def test_entropy__classes__is_in_nats():
    assert entropy(np.array([0, 0, 1, 1])) == pytest.approx(np.log(2))


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("n", [97, 400, 1500])
def test_kth_neighbor__every_pair_of_kinds__equals_brute_force(n, k):
    columns = [column(x, k, seed) for seed, x in enumerate(many_kinds(n, 5).values())]
    everything = np.ones(n, dtype=bool)
    step = 1 if n < 1500 else 4
    for i, x in enumerate(columns):
        for y in columns[i + 1 :: step]:
            ours = kth_neighbor_distance(x, y, everything, k)
            np.testing.assert_allclose(
                ours, kth_by_brute_force(x, y, k), rtol=1e-9, atol=1e-15
            )


@given(
    st.integers(97, 250),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 10**6),
)
@settings(max_examples=40, deadline=None)
def test_kth_neighbor__any_grid_and_wanted_rows__equals_brute_force(n, a, b, seed):
    rng = np.random.default_rng(seed)
    x, y = column(rng.integers(0, a, n)), column(rng.integers(0, b, n) ** 2, seed=1)
    wanted = rng.random(n) < rng.random()
    ours = kth_neighbor_distance(x, y, wanted, 3)[wanted]
    expected = kth_by_brute_force(x, y, 3)[wanted]
    np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-15)


def test_mutual_information__same_seed__does_not_depend_on_other_features():
    kinds = many_kinds(300, seed=2)
    X = np.stack([kinds["integer"], kinds["mixed"], kinds["binary"]], axis=1)
    first = mutual_information(X, kinds["rounded"], random_state=1)
    again = mutual_information(X[:, :2], kinds["rounded"], random_state=1)
    assert first[:2].tolist() == again.tolist()
    other = mutual_information(X, kinds["rounded"], random_state=2)
    assert first.tolist() != other.tolist()


def test_mutual_information__constant__is_zero():
    X = np.stack([np.ones(200), np.arange(200.0)], axis=1)
    shared = mutual_information(X, np.arange(200.0), random_state=0)
    assert shared[0] == 0
    assert shared[1] > 3.5


def test_mutual_information__bad_input__says_what_is_wrong():
    X = np.arange(20.0)[:, None]
    with pytest.raises(InvalidValueError, match="NaN at index 3"):
        mutual_information(X, [0, 1, 2, np.nan, *range(16)])
    with pytest.raises(InvalidValueError, match=r"X has 20, y has 5"):
        mutual_information(X, np.arange(5))
    with pytest.raises(InvalidValueError, match="n_neighbors must be at least 1"):
        mutual_information(X, X[:, 0], n_neighbors=0)
    with pytest.raises(
        (InvalidValueError, InvalidTypeError), match=r"classifier|numeric"
    ):
        mutual_information(X, ["metal"] * 20)
