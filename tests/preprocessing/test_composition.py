import pickle

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Composition, Lattice, Structure
from sklearn import config_context
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import estimator_checks_generator
from sklearn.utils.validation import check_is_fitted

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.featurizers import MagpieFeatures
from skmatgnn.preprocessing import FormulaToComposition, StructureToComposition

FORMULAS = ["Fe4O6", "Ca3(PO4)2", "LiFePO4", "NaCl", "K4[Fe(CN)6]"]
BOTH = [FormulaToComposition, StructureToComposition]


def structures():
    return [
        Structure(Lattice.cubic(4), [a] * n + [b], np.arange(3 * n + 3).reshape(-1, 3))
        for a, b, n in [("Na", "Cl", 1), ("Fe", "O", 2), ("Li", "O", 2), ("K", "F", 1)]
    ]


@pytest.mark.parametrize(
    "container",
    [
        list,
        tuple,
        np.array,
        lambda x: np.array(x, dtype=object)[:, None],
        lambda x: pd.Series(x, index=range(5, 10)),
        lambda x: pd.DataFrame({"composition": x}),
    ],
)
def test_formula_to_composition__any_container__gives_pymatgen_compositions(container):
    out = FormulaToComposition().fit_transform(container(FORMULAS))
    assert out.shape == (5,)
    assert out.dtype == object
    assert out.tolist() == [Composition(formula) for formula in FORMULAS]


def test_formula_to_composition__formula__keeps_its_order_and_huge_amounts():
    out = FormulaToComposition().transform(["LiFePO4", "Fe(O9e9)9e9"])
    assert str(out[0]) == "Li1 Fe1 P1 O4"
    assert out[1]["O"] == pytest.approx(8.1e19)


def test_formula_to_composition__reduced__divides_by_common_factor():
    transformer = FormulaToComposition(reduced=True)
    out = transformer.fit_transform(["Fe4O6", {"Na": 3, "Cl": 3}])
    assert out.tolist() == [Composition("Fe2O3"), Composition("NaCl")]


def test_formula_to_composition__compositions__are_passed_through_unchanged():
    charged = Composition({"Fe2+": 1, "O2-": 1})
    assert FormulaToComposition().fit_transform([charged])[0] is charged


def test_formula_to_composition__structures__points_to_the_other_transformer():
    with pytest.raises(InvalidTypeError, match=r"index 1\. .*StructureToComposition"):
        FormulaToComposition().transform(["NaCl", structures()[0]])


@pytest.mark.parametrize("method", ["fit", "transform", "fit_transform"])
def test_formula_to_composition__unknown_element__is_rejected_with_index(method):
    with pytest.raises(InvalidValueError, match=r"index 2 .*unknown element 'Xx'"):
        getattr(FormulaToComposition(), method)(["NaCl", "Fe", "Xx2O"])


def test_structure_to_composition__pymatgen_and_ase__give_equal_compositions():
    ase = pytest.importorskip("ase", reason="ase is no core dependency")
    samples = structures()
    atoms = [
        ase.Atoms(s.labels, scaled_positions=s.frac_coords, cell=s.lattice.matrix)
        for s in samples
    ]
    expected = [Composition(f) for f in ("NaCl", "Fe2O", "Li2O", "KF")]
    assert StructureToComposition().fit_transform(samples).tolist() == expected
    assert StructureToComposition().fit_transform(atoms).tolist() == expected


def test_structure_to_composition__disordered_and_supercell__keeps_and_reduces():
    disordered = Structure(Lattice.cubic(4), [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]])
    large = structures()[0] * (2, 1, 1)
    kept = StructureToComposition().fit_transform([disordered, large])
    assert kept.tolist() == [Composition("Na0.5K0.5"), Composition("Na2Cl2")]
    reduced = StructureToComposition(reduced=True).fit_transform([large])
    assert reduced.tolist() == [Composition("NaCl")]


@pytest.mark.parametrize(
    ("sample", "error", "match"),
    [
        ("NaCl", InvalidTypeError, r"str \('NaCl'\) at index 2.*FormulaToComposition"),
        (Composition("NaCl"), InvalidTypeError, "Composition at index 2"),
        (None, InvalidTypeError, "None at index 2"),
        (Structure(Lattice.cubic(4), [], []), InvalidValueError, "index 2 .*no atoms"),
    ],
)
def test_structure_to_composition__no_structure__is_rejected_with_index(
    sample, error, match
):
    with pytest.raises(error, match=match):
        StructureToComposition().fit_transform([*structures()[:2], sample])


@pytest.mark.parametrize("transformer", BOTH)
def test_transformers__unfitted__are_ready_and_survive_clone_and_pickle(transformer):
    check_is_fitted(transformer())
    tags = get_tags(transformer())
    assert not tags.requires_fit
    assert not tags.input_tags.two_d_array
    assert tags.input_tags.string == (transformer is FormulaToComposition)
    original = transformer(reduced=True)
    assert clone(original).reduced
    assert pickle.loads(pickle.dumps(original)).reduced


@pytest.mark.parametrize("transformer", BOTH)
def test_transformers__invalid_parameter__is_rejected_in_fit(transformer):
    with pytest.raises(ValueError, match="'reduced' parameter"):
        transformer(reduced="yes").fit(FORMULAS)
    assert set(transformer._parameter_constraints) == set(transformer().get_params())


@pytest.mark.parametrize("transformer", BOTH)
@pytest.mark.filterwarnings("ignore:Can't test estimator")
def test_transformers__sklearn_api_checks__pass(transformer):
    checks = list(estimator_checks_generator(transformer()))
    assert checks
    for estimator, check in checks:
        check(estimator)


def test_transformers__pandas_output_asked__compositions_stay_an_object_array():
    pipeline = make_pipeline(FormulaToComposition(), MagpieFeatures())
    frame = pipeline.set_output(transform="pandas").fit_transform(FORMULAS)
    assert frame.shape == (5, 132)
    with config_context(transform_output="pandas"):
        out = FormulaToComposition().fit_transform(pd.Series(FORMULAS))
    assert isinstance(out, np.ndarray)


@pytest.mark.parametrize(
    ("transformer", "samples"),
    [(FormulaToComposition(), FORMULAS), (StructureToComposition(), structures())],
)
def test_transformers__in_parallel_cross_validation__equal_serial(transformer, samples):
    forest = RandomForestRegressor(n_estimators=3, random_state=0)
    model = make_pipeline(transformer, MagpieFeatures(), forest)
    X, y = samples * 4, np.arange(4.0 * len(samples))
    serial = cross_val_score(model, X, y, cv=3, error_score="raise")
    parallel = cross_val_score(model, X, y, cv=3, n_jobs=2, error_score="raise")
    assert serial.tolist() == parallel.tolist()
