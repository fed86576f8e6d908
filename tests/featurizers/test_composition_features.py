import pickle
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matminer.featurizers import composition as matminer
from pymatgen.core import Composition, Lattice, Structure
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import estimator_checks_generator
from sklearn.utils.validation import check_is_fitted

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.featurizers import CompositionFeatures, MagpieFeatures
from skmatgnn.featurizers._ion_property import _electronegativity as electronegativity
from skmatgnn.featurizers._ion_property import charges_can_balance
from skmatgnn.utils.elements import ELEMENT_SYMBOLS

DATA = Path(__file__).parents[2] / "../shared/data"
FAST = (
    "element_fraction",
    "stoichiometry",
    "valence_orbital",
    "band_center",
    "transition_metal",
)
DEFAULT = ("magpie", *FAST, "ion_property")
REAL = """
NaCl Fe3O4 Fe2O3 FeO LiFePO4 Ca3(PO4)2 K4[Fe(CN)6] BaTiO3 YBa2Cu3O7 Pb3O4 Mn3O4 Co3O4
SiO2 GaAs CdTe MgB2 Nb3Sn NiTi CuZn AlLi UO2 ThO2 Bi2Te3 CsPbI3 In2O3 Ag2O CuFeS2
Li4Ti5O12 LiMn2O4 Na3V2(PO4)3 H2O CH4 C6H12O6 NH4NO3 P4 He Xe XeF2 OsO4 Tl2Ba2CaCu2O8
LaNi5 ZrW2O8 Eu3O4 WO3 Cr2O3 PtS Au Cl2O7 N2O5
""".split()  # noqa: SIM905


def random_formulas(n, seed, *, fractional):
    rng = np.random.default_rng(seed)
    formulas = []
    for _ in range(n):
        size = rng.integers(1, 6)
        elements = rng.choice(ELEMENT_SYMBOLS[1:104], size, replace=False)
        amounts = rng.integers(1, 7, size)
        if fractional:
            amounts = rng.random(size).round(3) + 0.001
        formulas.append(
            "".join(f"{e}{a}" for e, a in zip(elements, amounts, strict=True))
        )
    return formulas


def reference_of(name, *, impute_nan=True, fast=False):
    return {
        "magpie": lambda: matminer.ElementProperty.from_preset(
            "magpie", impute_nan=impute_nan
        ),
        "element_fraction": matminer.ElementFraction,
        "stoichiometry": matminer.Stoichiometry,
        "valence_orbital": lambda: matminer.ValenceOrbital(impute_nan=impute_nan),
        "band_center": lambda: matminer.BandCenter(impute_nan=impute_nan),
        "transition_metal": matminer.TMetalFraction,
        "ion_property": lambda: matminer.IonProperty(impute_nan=impute_nan, fast=fast),
    }[name]()


def matminer_features(names, formulas, **kwargs):
    featurizers = [reference_of(name, **kwargs) for name in names]
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen's remarks on noble gases
        for formula in formulas:
            composition = Composition(formula)
            rows.append([v for f in featurizers for v in f.featurize(composition)])
    return np.array(rows, dtype=float)


def assert_close(ours, reference):
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(reference))
    scale = np.maximum(1.0, np.abs(reference))
    assert np.nanmax(np.abs(ours - reference) / scale) < 1e-9


@pytest.fixture(scope="module")
def experiment_formulas():
    path = DATA / "expt_gap.csv.gz"
    if not path.exists():
        pytest.skip("shared data file expt_gap.csv.gz is not here")
    table = pd.read_csv(path, keep_default_na=False)
    return table["composition"].sample(400, random_state=0).tolist()


@pytest.mark.parametrize("fractional", [False, True])
def test_features__random_formulas__equal_matminers(fractional):
    formulas = random_formulas(300, seed=0, fractional=fractional) + REAL
    formulas += list(ELEMENT_SYMBOLS[1:])
    ours = CompositionFeatures(sets=FAST, impute_nan=True).fit_transform(formulas)
    assert ours.dtype == np.float64
    assert_close(ours, matminer_features(FAST, formulas))


def test_features__all_default_sets_on_real_formulas__equal_matminers():
    ours = CompositionFeatures(impute_nan=True).fit_transform(REAL)
    assert ours.shape == (len(REAL), 269)
    assert_close(ours, matminer_features(DEFAULT, REAL))


def test_features__formulas_of_experiments__equal_matminers(experiment_formulas):
    names = ("ion_property", "valence_orbital", "band_center")
    ours = CompositionFeatures(sets=names, impute_nan=True, mixed_valence=False)
    reference = matminer_features(names, experiment_formulas, fast=True)
    assert 0.2 < reference[:, 0].mean() < 0.95
    assert_close(ours.transform(experiment_formulas), reference)


def test_ion_property__mixed_valence__equals_the_search_over_all_states(
    experiment_formulas,
):
    # matminer takes seconds for many atoms and raises for fractions of atoms
    formulas = [
        f
        for f in experiment_formulas
        if Composition(f).num_atoms <= 20
        and all(float(a).is_integer() for a in Composition(f).values())
    ][:150]
    formulas += [f for f in random_formulas(150, 1, fractional=False) if len(f) < 12]
    ours = CompositionFeatures(sets=("ion_property",), impute_nan=True)
    reduced = [Composition(f).reduced_formula for f in formulas]
    assert_close(
        ours.transform(formulas), matminer_features(("ion_property",), reduced)
    )


@pytest.mark.parametrize("mixed_valence", [False, True])
@pytest.mark.parametrize("fractional", [False, True])
def test_ion_property__unknown_electronegativity__is_nan_or_imputed(
    fractional, mixed_valence
):
    formulas = ["He0.5O0.5" if fractional else "HeO", "NaCl"]
    kwargs = {"sets": ("ion_property",), "mixed_valence": mixed_valence}
    out = CompositionFeatures(**kwargs).transform(formulas)
    assert np.isnan(out[0, 1:]).all()
    assert out[0, 0] == 0
    assert np.isfinite(out[1]).all()
    assert np.isfinite(
        CompositionFeatures(impute_nan=True, **kwargs).transform(formulas)
    ).all()


def test_electronegativity__first_use__leaves_the_filters_of_warnings_alone(
    monkeypatch,
):
    """Threads that change and restore them in turns would restore each other's."""

    def fail(*_, **__):
        raise AssertionError("the filters of the process were changed")

    monkeypatch.setattr(warnings, "catch_warnings", fail)
    table = electronegativity.__wrapped__(impute_nan=False)
    assert table[[9, 11]].tolist() == [3.98, 0.93]
    assert np.isnan(table[[0, 2, 10]]).all()


@pytest.mark.parametrize(
    ("formula", "single", "mixed"),
    [
        ("Fe3O4", False, True),
        ("Fe0.75O", False, True),  # the same
        ("Fe0.3333Ni0.6667O1.123", False, True),  # judged by the range of charges
        ("Fe0.123457Ni0.876543O2.5", False, False),
        ("NaCl", True, True),
        ("Na0.5Cl0.5", True, True),
        ("NaMg", False, False),
        ("Li400Na600Cl1000", True, True),
        ("Fe30000O40000", False, True),  # beyond the search over atoms
        ("He", True, True),
    ],
)
def test_charges_can_balance__known_cases__are_decided(formula, single, mixed):
    composition = Composition(formula)
    numbers = [element.Z for element in composition]
    amounts = list(composition.values())
    assert charges_can_balance(numbers, amounts, mixed_valence=False) is single
    assert charges_can_balance(numbers, amounts, mixed_valence=True) is mixed


def test_features__no_imputation__is_nan_where_tables_end():
    features = CompositionFeatures(sets=FAST).set_output(transform="pandas")
    table = features.fit_transform(["NpO2", "NaCl", "ThO2"])
    assert table["band center"].isna().tolist() == [True, False, True]
    assert table["Np"].tolist() == pytest.approx([1 / 3, 0, 0])
    assert not table.drop(columns="band center").loc[1].isna().any()
    magpie = CompositionFeatures(sets=("magpie",)).transform(["NpO2", "XeF2"])
    np.testing.assert_array_equal(magpie, MagpieFeatures().transform(["NpO2", "XeF2"]))


@pytest.mark.parametrize("name", DEFAULT)
def test_features__names__are_matminers_labels(name):
    names = CompositionFeatures(sets=[name]).get_feature_names_out()
    assert names.dtype == object
    assert names.tolist() == reference_of(name).feature_labels()


def test_features__slow_sets__are_matminers_run_once_for_each_composition(monkeypatch):
    calls = []
    original = matminer.AtomicOrbitals.featurize

    def counted(self, composition):
        calls.append(composition)
        return original(self, composition)

    monkeypatch.setattr(matminer.AtomicOrbitals, "featurize", counted)
    names = ("atomic_orbitals", "yang_solid_solution", "miedema")
    features = CompositionFeatures(sets=names, impute_nan=True)
    formulas = ["NiTi", "CuZn", "Ni2Ti2", "Ti0.5Ni0.5", "Fe3Al"]
    out = features.set_output(transform="pandas").fit_transform(formulas)
    assert len(calls) == 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of matminer with pandas
        miedema = matminer.Miedema()
    labels = [
        *matminer.AtomicOrbitals().feature_labels(),
        *matminer.YangSolidSolution().feature_labels(),
        *miedema.feature_labels(),
    ]
    assert out.columns.tolist() == labels
    np.testing.assert_array_equal(out.iloc[0], out.iloc[2])
    np.testing.assert_array_equal(out.iloc[0], out.iloc[3])
    expected = matminer.YangSolidSolution(impute_nan=True).featurize(
        Composition("CuZn")
    )
    assert out.loc[1, ["Yang omega", "Yang delta"]].tolist() == pytest.approx(expected)
    character, element, energy = original(
        matminer.AtomicOrbitals(), Composition("Fe3Al")
    )[:3]
    assert out.loc[4, "HOMO_character"] == "_spdf".index(character)
    assert ELEMENT_SYMBOLS[int(out.loc[4, "HOMO_element"])] == element
    assert out.loc[4, "HOMO_energy"] == energy


def test_features__matminer_fails_in_a_slow_set__warns_and_gives_nan(monkeypatch):
    def fail(self, composition):
        raise KeyError("no such orbital")

    monkeypatch.setattr(matminer.AtomicOrbitals, "featurize", fail)
    features = CompositionFeatures(sets=("atomic_orbitals", "stoichiometry"))
    with pytest.warns(UserWarning, match="could not featurize 1 of 1 samples"):
        out = features.transform(["NaCl", "Na2Cl2"])
    assert np.isnan(out[:, :7]).all()
    assert np.isfinite(out[:, 7:]).all()


def test_features__multiples_of_a_formula__have_the_same_features():
    rows = CompositionFeatures().transform(["Fe3O4", "Fe6O8", "Fe1.5O2", "O4Fe3"])
    for row in rows[1:]:
        np.testing.assert_allclose(row, rows[0], rtol=1e-12)


def test_features__rows__do_not_depend_on_their_neighbours():
    formulas = random_formulas(700, 5, fractional=True)
    whole = CompositionFeatures().transform(formulas)
    np.testing.assert_allclose(
        CompositionFeatures().transform(formulas[600:]), whole[600:], rtol=1e-13
    )


@pytest.mark.parametrize(
    "container",
    [
        tuple,
        np.array,
        lambda x: np.array(x, dtype=object)[:, None],
        pd.Series,
        lambda x: pd.DataFrame({"formula": x}),
        lambda x: [Composition(formula) for formula in x],
    ],
)
def test_features__any_container__gives_the_same_features(container):
    formulas = ["NaCl", "Ca3(PO4)2", "Fe0.5Ni0.5O1.25"]
    expected = CompositionFeatures().transform(formulas)
    ours = CompositionFeatures().fit_transform(container(formulas))
    np.testing.assert_array_equal(ours, expected)


def test_features__structures__are_featurized_by_composition():
    structure = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0] * 3, [0.5] * 3])
    out = CompositionFeatures().transform([structure, "NaCl"])
    np.testing.assert_array_equal(out[0], out[1])


@pytest.mark.parametrize("method", ["fit", "transform", "fit_transform"])
def test_features__bad_samples_or_sets__are_rejected(method):
    with pytest.raises(InvalidValueError, match=r"2 of 3 .*index 1 .*index 2 "):
        getattr(CompositionFeatures(), method)(["NaCl", "Xx2O", "Fe-1"])
    with pytest.raises(InvalidTypeError, match=r"index 1 .None"):
        getattr(CompositionFeatures(), method)(["NaCl", None])
    unknown = CompositionFeatures(sets=("magpie", "magpi"))
    with pytest.raises(InvalidValueError, match=r"unknown name 'magpi' at index 1"):
        getattr(unknown, method)(["NaCl"])
    with pytest.raises(InvalidValueError, match="twice"):
        getattr(CompositionFeatures(sets=("magpie", "magpie")), method)(["NaCl"])
    with pytest.raises(InvalidValueError, match="empty"):
        getattr(CompositionFeatures(sets=()), method)(["NaCl"])
    with pytest.raises((InvalidTypeError, ValueError), match=r"'?sets"):
        getattr(CompositionFeatures(sets="magpie"), method)(["NaCl"])


def test_features__stateless__is_ready_and_survives_clone_and_pickle():
    features = CompositionFeatures(sets=("magpie", "ion_property"), mixed_valence=False)
    check_is_fitted(features)
    for copy in (clone(features), pickle.loads(pickle.dumps(features))):
        assert copy.get_params() == features.get_params()
    tags = get_tags(features)
    assert (tags.requires_fit, tags.input_tags.string) == (False, True)
    assert set(features._parameter_constraints) == set(features.get_params())


@pytest.mark.filterwarnings("ignore:Can't test estimator")
def test_features__sklearn_api_checks__pass():
    for estimator, check in estimator_checks_generator(CompositionFeatures()):
        check(estimator)


def test_features__in_parallel_search__equals_serial():
    X, y = random_formulas(60, 3, fractional=False), np.arange(60.0)
    model = make_pipeline(
        CompositionFeatures(), HistGradientBoostingRegressor(max_iter=5)
    )
    serial = cross_val_score(model, X, y, cv=3, error_score="raise")
    parallel = cross_val_score(model, X, y, cv=3, n_jobs=2, error_score="raise")
    assert serial.tolist() == parallel.tolist()
    grid = {"compositionfeatures__sets": [("magpie",), DEFAULT]}
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(pd.Series(X), y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_features__sets_without_an_order__are_refused():
    with pytest.raises(InvalidTypeError, match="sets must be a sequence"):
        CompositionFeatures(sets={"magpie", "stoichiometry"}).transform(["NaCl"])
    with pytest.raises(InvalidValueError, match=r"unknown name \['magpie'\]"):
        CompositionFeatures(sets=[["magpie"]]).transform(["NaCl"])
