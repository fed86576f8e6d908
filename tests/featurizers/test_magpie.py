import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matminer.featurizers.composition import ElementProperty
from pymatgen.core import Composition, Lattice, Structure
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import estimator_checks_generator
from sklearn.utils.validation import check_is_fitted

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.featurizers import MagpieFeatures
from skmatgnn.utils.elements import ELEMENT_SYMBOLS

DATA = Path(__file__).parents[2] / "../shared/data"
SPECIAL = [
    "C60H122O31",
    "C1200H2400O600N3",
    "Fe0.3333333Ni0.6666667",
    "Fe0.333333Ni0.333334Co0.333333",  # a tie within matminer's tolerance
    "Na1Cl1.0001",
    "XeF4",
    "NpO2",
    "Np0.1Xe0.9",
    "Xe0.1O0.9",
    "He",
    "Og",
    "LrRf2",
    "K4[Fe(CN)6]",
    "D2O",
    "Li1e-6Fe1e-6",
    *ELEMENT_SYMBOLS[1:],
]


def random_formulas(n, seed):
    """Formulas of 1-9 elements with integer, fractional and huge amounts."""
    rng = np.random.default_rng(seed)
    formulas = []
    for _ in range(n):
        elements = rng.choice(
            ELEMENT_SYMBOLS[1:104], rng.integers(1, 10), replace=False
        )
        kind = rng.integers(4)
        amounts = [
            rng.integers(1, 9, len(elements)),
            rng.random(len(elements)).round(3) + 0.001,
            rng.integers(1, 3000, len(elements)),
            rng.choice([0.25, 0.5, 1, 2], len(elements)),
        ][kind]
        formulas.append(
            "".join(f"{e}{a}" for e, a in zip(elements, amounts, strict=True))
        )
    return formulas


def matminer_features(formulas, *, impute_nan=False):
    featurizer = ElementProperty.from_preset("magpie", impute_nan=impute_nan)
    return np.array([featurizer.featurize(Composition(f)) for f in formulas], float)


def assert_close(ours, reference):
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(reference))
    scale = np.maximum(1.0, np.abs(reference))
    assert np.nanmax(np.abs(ours - reference) / scale) < 1e-9


def test_magpie__two_thousand_formulas__equal_matminers_values_and_nan():
    formulas = random_formulas(2000 - len(SPECIAL), seed=0) + SPECIAL
    reference = matminer_features(formulas)
    ours = MagpieFeatures().fit_transform(formulas)
    assert ours.shape == (2000, 132)
    assert ours.dtype == np.float64
    assert 0.01 < np.isnan(reference).mean() < 0.5
    assert_close(ours, reference)


def test_magpie__formulas_of_experiments__equal_matminers_values():
    path = DATA / "expt_gap.csv.gz"
    if not path.exists():
        pytest.skip("shared data file expt_gap.csv.gz is not here")
    table = pd.read_csv(path, keep_default_na=False)
    formulas = table["composition"].sample(500, random_state=0).tolist()
    assert_close(MagpieFeatures().transform(formulas), matminer_features(formulas))


def test_magpie__impute_nan__equals_matminers_imputation():
    formulas = random_formulas(200, seed=1) + SPECIAL
    reference = matminer_features(formulas, impute_nan=True)
    ours = MagpieFeatures(impute_nan=True).fit_transform(formulas)
    assert not np.isnan(ours).any()
    assert_close(ours, reference)


def test_magpie__feature_names__are_matminers_labels():
    labels = ElementProperty.from_preset("magpie", impute_nan=False).feature_labels()
    names = MagpieFeatures().get_feature_names_out()
    assert names.dtype == object
    assert names.tolist() == labels


def test_magpie__tie_between_elements__mode_is_the_smallest_property():
    features = MagpieFeatures().set_output(transform="pandas")
    mode = features.fit_transform(["FeO", "FeO2", "Fe2O"])["MagpieData mode Number"]
    assert mode.tolist() == [8.0, 8.0, 26.0]


@given(
    st.permutations([("Fe", 2), ("O", 3.5), ("Li", 1), ("Zr", 0.125), ("S", 7)]),
    st.sampled_from([1, 2, 8, 64]),
)
@settings(max_examples=50, deadline=None)
def test_magpie__order_and_multiple_of_formula__do_not_matter(entries, factor):
    formula = "".join(f"{symbol}{amount * factor}" for symbol, amount in entries)
    out = MagpieFeatures().transform([formula, "Fe2O3.5LiZr0.125S7"])
    assert out[0].tolist() == out[1].tolist()


def test_magpie__rows__do_not_depend_on_their_neighbours():
    formulas = random_formulas(1100, seed=2)
    whole = MagpieFeatures().transform(formulas)
    for rows in (slice(0, 1), slice(500, 530), slice(1090, 1100)):
        alone = MagpieFeatures().transform(formulas[rows])
        np.testing.assert_array_equal(alone, whole[rows])


def test_magpie__pandas_output__keeps_index_and_names():
    X = pd.DataFrame({"composition": ["NaCl", "Fe2O3"]}, index=["a", "b"])
    frame = MagpieFeatures().set_output(transform="pandas").fit_transform(X)
    assert frame.index.tolist() == ["a", "b"]
    assert frame.loc["b", "MagpieData mean Number"] == pytest.approx(15.2)
    assert frame.loc["a", "MagpieData avg_dev Number"] == pytest.approx(3.0)


@pytest.mark.parametrize(
    "container",
    [
        tuple,
        np.array,
        lambda x: np.array(x, dtype=object),
        lambda x: np.array(x, dtype=object)[:, None],
        pd.Series,
        lambda x: [Composition(formula) for formula in x],
    ],
)
def test_magpie__any_container__gives_the_same_features(container):
    formulas = ["NaCl", "Ca3(PO4)2", "Fe0.5Ni0.5O1.25"]
    expected = MagpieFeatures().transform(formulas)
    np.testing.assert_array_equal(
        MagpieFeatures().fit_transform(container(formulas)), expected
    )


def test_magpie__structures__are_featurized_by_composition():
    structure = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0] * 3, [0.5] * 3])
    out = MagpieFeatures().transform([structure, "NaCl"])
    np.testing.assert_array_equal(out[0], out[1])


@pytest.mark.parametrize("method", ["fit", "transform", "fit_transform"])
def test_magpie__bad_samples__are_rejected_before_any_work(method):
    call = getattr(MagpieFeatures(), method)
    with pytest.raises(InvalidValueError, match=r"2 of 3 .*index 1 .*index 2 "):
        call(["NaCl", "Xx2O", "Fe-1"])
    with pytest.raises(InvalidTypeError, match=r"index 1 .None"):
        call(["NaCl", None])
    with pytest.raises(InvalidValueError, match="empty"):
        call([])


def test_magpie__stateless__is_ready_and_survives_clone_and_pickle():
    features = MagpieFeatures(impute_nan=True)
    check_is_fitted(features)
    for copy in (clone(features), pickle.loads(pickle.dumps(features))):
        assert copy.get_params() == {"impute_nan": True}
    tags = get_tags(features)
    assert (tags.requires_fit, tags.input_tags.string) == (False, True)
    assert not tags.input_tags.two_d_array
    assert set(features._parameter_constraints) == set(features.get_params())
    with pytest.raises(ValueError, match="'impute_nan' parameter"):
        MagpieFeatures(impute_nan="mean").fit(["NaCl"])


@pytest.mark.filterwarnings("ignore:Can't test estimator")
def test_magpie__sklearn_api_checks__pass():
    for estimator, check in estimator_checks_generator(MagpieFeatures()):
        check(estimator)


def test_magpie__in_parallel_search__equals_serial():
    X, y = random_formulas(60, seed=3), np.arange(60.0)
    model = make_pipeline(MagpieFeatures(), HistGradientBoostingRegressor(max_iter=5))
    serial = cross_val_score(model, X, y, cv=3, error_score="raise")
    parallel = cross_val_score(model, X, y, cv=3, n_jobs=2, error_score="raise")
    assert serial.tolist() == parallel.tolist()
    grid = {"magpiefeatures__impute_nan": [False, True]}
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(pd.Series(X), y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
