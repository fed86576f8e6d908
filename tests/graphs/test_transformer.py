"""StructureToGraph as a scikit-learn transformer, and what it rejects."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Molecule, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from sklearn import config_context
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.graphs import GraphArray, StructureToGraph, ensure_graphs
from skmatgnn.preprocessing import StructureArray


def assert_equal(one, two):
    assert one.settings == two.settings
    for name in ("node_ptr", "atomic_numbers", "edge_ptr", "sender", "reverse"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    np.testing.assert_array_equal(one.displacement, two.displacement)


class EdgesPerAtom(RegressorMixin, BaseEstimator):
    """A regressor that reads nothing but graphs."""

    def fit(self, X, y):
        assert isinstance(X, GraphArray)
        self.ratio_ = np.mean(y / X.n_edges)
        return self

    def predict(self, X):
        return self.ratio_ * X.n_edges


def test_transform__more_than_a_chunk__graphs_in_the_order_of_x(many):
    graphs = StructureToGraph().fit_transform(many)
    assert len(graphs) == 280
    for index in (0, 127, 128, 200, 256, 279):
        assert_equal(graphs[index], StructureToGraph().transform([many[index]]))


def test_transform__two_workers__equals_one(many):
    serial = StructureToGraph(three_body_cutoff=3.0).transform(many)
    parallel = StructureToGraph(three_body_cutoff=3.0, n_jobs=2).transform(many)
    assert_equal(parallel, serial)


def test_transform__without_fit__works_and_checks_parameters(salt):
    assert len(StructureToGraph().transform([salt])) == 1
    with pytest.raises(ValueError, match=r"'max_neighbors' parameter .* Got 0"):
        StructureToGraph(max_neighbors=0).transform([salt])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cutoff", 0.0),
        ("cutoff", "8"),
        ("max_neighbors", -1),
        ("max_neighbors", 2.5),
        ("three_body_cutoff", 0),
        ("shell_tolerance", -0.1),
        ("dtype", "float16"),
        ("n_jobs", "two"),
        ("verbose", "yes"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "transform", "fit_transform"])
def test_parameters__out_of_range__are_named(salt, name, value, method):
    transformer = StructureToGraph(**{name: value})
    with pytest.raises(ValueError, match=f"The '{name}' parameter"):
        getattr(transformer, method)([salt])


def test_parameters__constraints__cover_the_constructor():
    names = StructureToGraph().get_params()
    assert set(StructureToGraph._parameter_constraints) == set(names)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_transform__dtype__is_that_of_the_vectors(salt, dtype):
    assert StructureToGraph(dtype=dtype).transform([salt]).displacement.dtype == dtype


def test_transform__settings__are_recorded(salt):
    settings = (
        StructureToGraph(cutoff=6, three_body_cutoff=3).transform([salt]).settings
    )
    assert settings.cutoff == 6.0
    assert settings.max_neighbors == 12
    assert settings.three_body_cutoff == 3.0


@pytest.mark.parametrize(
    "container",
    [
        list,
        tuple,
        lambda x: pd.Series(x, index=range(5, 5 + len(x)), dtype=object),
        lambda x: pd.DataFrame({"structure": x}),
        lambda x: np.fromiter(x, dtype=object, count=len(x)),
        StructureArray.from_structures,
    ],
)
def test_transform__any_container__same_graphs(many, container):
    expected = StructureToGraph().transform(many[:6])
    assert_equal(StructureToGraph().fit_transform(container(many[:6])), expected)


def test_transform__ase_atoms__same_graphs_as_pymatgen(many):
    atoms = [AseAtomsAdaptor.get_atoms(s, msonable=False) for s in many[:6]]
    expected = StructureToGraph(dtype="float64").transform(many[:6])
    graphs = StructureToGraph(dtype="float64").transform(atoms)
    np.testing.assert_array_equal(graphs.sender, expected.sender)
    np.testing.assert_allclose(graphs.displacement, expected.displacement, atol=1e-9)


@pytest.mark.parametrize("pbc", [(1, 1, 0), (0, 1, 0), (0, 0, 0)])
def test_transform__ase_atoms_not_repeated__have_no_bonds_across(salt, pbc):
    atoms = AseAtomsAdaptor.get_atoms(salt, msonable=False)
    atoms.pbc = pbc
    graphs = StructureToGraph(cutoff=12, max_neighbors=None).transform([atoms])
    reach = np.abs(graphs.displacement).max(axis=0)
    for axis in range(3):
        assert (reach[axis] > 5.64) == bool(pbc[axis])


def test_input__is_not_changed(many):
    before = [s.copy() for s in many[:5]]
    StructureToGraph().fit_transform(many[:5])
    assert before == many[:5]


def test_verbose__progress_bar__counts_structures(many, capsys):
    StructureToGraph(verbose=True).transform(many)
    assert "280/280" in capsys.readouterr().err
    StructureToGraph().transform(many)
    assert capsys.readouterr().err == ""


def test_estimator__cloned_and_pickled__keeps_parameters():
    transformer = StructureToGraph(cutoff=5.5, max_neighbors=None, n_jobs=2)
    for copy in (clone(transformer), pickle.loads(pickle.dumps(transformer))):
        assert copy.get_params() == transformer.get_params()
    assert not get_tags(transformer).input_tags.two_d_array
    assert not get_tags(transformer).requires_fit


def test_pipeline__cross_validated__hands_graphs_on(many):
    pipeline = make_pipeline(StructureToGraph(max_neighbors=4), EdgesPerAtom())
    y = np.array([len(s) for s in many[:30]], dtype=float)
    scores = cross_val_score(pipeline, many[:30], y, cv=3, error_score="raise")
    assert np.isfinite(scores).all()


def test_pipeline__set_output_pandas__leaves_graphs_alone(many):
    pipeline = make_pipeline(StructureToGraph(), EdgesPerAtom())
    pipeline.set_output(transform="pandas")
    pipeline.fit(many[:4], np.arange(4.0))
    with config_context(transform_output="pandas"):
        assert isinstance(StructureToGraph().fit_transform(many[:4]), GraphArray)


def test_ensure_graphs__graphs__pass_and_structures_are_built(many):
    transformer = StructureToGraph()
    graphs = transformer.transform(many[:4])
    assert ensure_graphs(graphs, transformer) is graphs
    assert_equal(ensure_graphs(list(graphs), transformer), graphs)
    assert_equal(ensure_graphs(many[:4], transformer), graphs)
    assert_equal(
        ensure_graphs(StructureArray.from_structures(many[:4]), transformer), graphs
    )


def test_ensure_graphs__empty_mixed_or_no_sequence__raises(many):
    transformer = StructureToGraph()
    graphs = transformer.transform(many[:4])
    with pytest.raises(InvalidValueError, match="X is empty"):
        ensure_graphs(graphs[:0], transformer)
    with pytest.raises(InvalidTypeError, match="at index 4; got Structure"):
        ensure_graphs([*graphs, many[0]], transformer)
    with pytest.raises(InvalidTypeError, match=r"must be a sequence .* got int"):
        ensure_graphs(3, transformer)


def overlapping(salt):
    return Structure(salt.lattice, ["Na", "Cl"], [[0.1] * 3, [0.1, 0.1, 0.1001]])


def image_overlapping(salt):
    return Structure(salt.lattice, ["Na", "Cl"], [[0.0] * 3, [0, 0.99999, 0]])


@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize("bad", [overlapping, image_overlapping])
def test_overlapping_atoms__beyond_the_first_chunk__index_of_the_user(
    many, salt, n_jobs, bad
):
    many[201] = bad(salt)
    message = (
        r"index 201 has overlapping atoms: sites 0 and 1 are .* apart.*merge_sites"
    )
    with pytest.raises(InvalidValueError, match=message):
        StructureToGraph(n_jobs=n_jobs).transform(many)


def test_overlapping_atoms__plain_radius__are_rejected_too(salt):
    with pytest.raises(InvalidValueError, match="index 1 has overlapping atoms"):
        StructureToGraph(max_neighbors=None).transform([salt, overlapping(salt)])


def test_overlapping_atoms__own_image__is_rejected():
    flat = Structure(Lattice.orthorhombic(0.05, 30, 30), ["H"], [[0] * 3])
    with pytest.raises(InvalidValueError, match="index 0 has overlapping atoms"):
        StructureToGraph().transform([flat])


BAD = {
    "disordered": (
        lambda s: Structure(s.lattice, [{"Na": 0.5, "K": 0.5}], [[0] * 3]),
        InvalidValueError,
        "disordered.*OrderDisorderedStructureTransformation",
    ),
    "vacancy": (
        lambda s: Structure(s.lattice, [{"Na": 0.5}], [[0] * 3]),
        InvalidValueError,
        "disordered",
    ),
    "no_atoms": (
        lambda s: Structure(s.lattice, [], []),
        InvalidValueError,
        "has no atoms",
    ),
    "none": (lambda s: None, InvalidTypeError, "got None"),
    "formula": (
        lambda s: "NaCl",
        InvalidTypeError,
        "got str .'NaCl'.* index 131.*make_rf_magpie",
    ),
    "number": (lambda s: 1.5, InvalidTypeError, "got float"),
    "molecule": (
        lambda s: Molecule(["H", "H"], [[0, 0, 0], [0, 0, 0.7]]),
        InvalidTypeError,
        "got Molecule at index 131.*get_boxed_structure",
    ),
    "dummy": (
        lambda s: Structure(s.lattice, ["X"], [[0] * 3]),
        InvalidValueError,
        "unknown element, X0",
    ),
    "nan": (
        lambda s: Structure(s.lattice, ["Na"], [[0, np.nan, 0]]),
        InvalidValueError,
        "not finite",
    ),
    "no_volume": (
        lambda s: Structure([[1, 0, 0], [2, 0, 0], [0, 0, 1]], ["Na"], [[0] * 3]),
        InvalidValueError,
        "zero volume",
    ),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize("method", ["transform", "fit"])
def test_bad_structure__among_many__error_names_its_index(
    many, salt, kind, n_jobs, method
):
    build, error, message = BAD[kind]
    many[131] = build(salt)
    with pytest.raises(error, match=f"^(?=.*index 131).*{message}"):
        getattr(StructureToGraph(n_jobs=n_jobs), method)(many)


@pytest.mark.parametrize("bad", [[], (), pd.Series(dtype=object)])
def test_no_structures__any_container__says_that_x_is_empty(bad):
    with pytest.raises(InvalidValueError, match="X is empty"):
        StructureToGraph().transform(bad)


def test_no_sequence__bare_structure_or_none__says_to_make_a_list(salt):
    for bad in (salt, None, "NaCl"):
        with pytest.raises(InvalidTypeError, match=r"bare .*Put a single sample into"):
            StructureToGraph().transform(bad)
