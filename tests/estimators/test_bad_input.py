"""Input that cannot be used is refused by index, before any training."""

import datetime as dt
import re
from itertools import count

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymatgen.core import (
    Composition,
    DummySpecies,
    Element,
    Lattice,
    Molecule,
    Structure,
)
from scipy import sparse

from skmatgnn.errors import SkmatgnnError
from skmatgnn.graphs import GraphArray, StructureToGraph
from skmatgnn.nets import GraphNet
from skmatgnn.preprocessing import StructureArray
from skmatgnn.utils.validation import to_object_array

CUBE = Lattice.cubic(4.0)
ORIGIN, CENTRE = [0.0] * 3, [0.5] * 3
pytestmark = pytest.mark.usefixtures("never_trains")
MANY = settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


def salt(*, a=4.0):
    return Structure(Lattice.cubic(a), ["Cs", "Cl"], [ORIGIN, CENTRE])


GOOD = [salt(a=4.0 + 0.1 * i) for i in range(6)]
GRAPHS = StructureToGraph(max_neighbors=4).transform(GOOD)


def make_atoms(**arguments):
    ase = pytest.importorskip("ase")
    return ase.Atoms(**arguments)


# what is wrong -> (the sample, what the message must say)
BAD_SAMPLES = {
    "none": (lambda: None, "got None"),
    "formula": (lambda: "NaCl", "make_rf_magpie"),
    "file_name": (lambda: "POSCAR", "Structure.from_file"),
    "bytes": (lambda: b"NaCl", "got bytes"),
    "number": (lambda: 3.0, r"got float \(3.0\)"),
    "nan": (lambda: float("nan"), "got float"),
    "dict": (lambda: salt().as_dict(), "got dict"),
    "list": (lambda: [salt()], "got list"),
    "array": (lambda: np.eye(3), "got ndarray"),
    "class": (lambda: Structure, "Structure"),
    "composition": (lambda: Composition("NaCl"), "got Composition"),
    "lattice": (lambda: CUBE, "got Lattice"),
    "element": (lambda: Element("Na"), "got Element"),
    "pandas_na": (lambda: pd.NA, "got NAType"),
    "tensor": (lambda: torch.eye(3), "got Tensor"),
    "molecule": (lambda: Molecule(["O"], [ORIGIN]), "get_boxed_structure"),
    "packed": (lambda: StructureArray.from_structures(GOOD), "got StructureArray"),
    "dummy": (lambda: Structure(CUBE, [DummySpecies("X")], [ORIGIN]), "unknown elem"),
    "dummy_xx": (
        lambda: Structure(CUBE, ["Na", DummySpecies("Xx")], [ORIGIN, CENTRE]),
        "unknown element, Xx",
    ),
    "no_features": (
        lambda: Structure(CUBE, ["Na", "Lr"], [ORIGIN, CENTRE]),
        r"atomic number 103.*element_features='one_hot'",
    ),
    "overlap": (
        lambda: Structure(CUBE, ["Na", "Cl"], [ORIGIN, ORIGIN]),
        r"sites 0 and 1.*merge_sites",
    ),
    "near_overlap": (
        lambda: Structure(CUBE, ["Na", "Cl"], [ORIGIN, [0.999, 0.0, 0.0]]),
        "Angstrom apart",
    ),
    "flat": (
        lambda: Structure(Lattice([[4, 0, 0], [0, 4, 0], [4, 4, 0]]), ["Na"], [ORIGIN]),
        "zero volume",
    ),
    "no_lattice": (
        lambda: Structure(Lattice(np.zeros((3, 3))), ["Na"], [ORIGIN]),
        "zero volume",
    ),
    "nan_coordinate": (
        lambda: Structure(CUBE, ["Na", "Cl"], [ORIGIN, [np.nan, 0, 0]]),
        "not finite",
    ),
    "inf_coordinate": (
        lambda: Structure(CUBE, ["Na", "Cl"], [ORIGIN, [np.inf, 0, 0]]),
        "not finite",
    ),
    "nan_lattice": (
        lambda: Structure(Lattice(np.full((3, 3), np.nan)), ["Na"], [ORIGIN]),
        "not finite",
    ),
    "disordered": (
        lambda: Structure(CUBE, [{"Na": 0.5, "K": 0.5}], [ORIGIN]),
        "OrderDisorderedStructureTransformation",
    ),
    "vacancy": (lambda: Structure(CUBE, [{"Na": 0.5}], [ORIGIN]), "disordered"),
    "empty": (lambda: Structure(CUBE, [], []), "no atoms"),
    "graph_class": (lambda: GraphArray, "GraphArray"),
    "ase_empty": (make_atoms, "no atoms"),
    "ase_molecule": (
        lambda: make_atoms(symbols="H2", positions=[[0, 0, 0], [0, 0, 0.7]]),
        "vacuum",
    ),
    "ase_dummy": (
        lambda: make_atoms(numbers=[0], positions=[[0, 0, 0]], cell=[4] * 3),
        "atomic number 0",
    ),
    "ase_nan": (
        lambda: make_atoms(symbols="H", positions=[[0, np.nan, 0]], cell=[4] * 3),
        "not finite",
    ),
}
CONTAINERS = {
    "list": list,
    "tuple": tuple,
    "object_array": to_object_array,
    "column": lambda X: to_object_array(X)[:, None],
    "series": lambda X: pd.Series(X, dtype=object, index=range(50, 50 + len(X))),
    "frame": lambda X: pd.DataFrame({"s": pd.Series(X, dtype=object)}),
}


@pytest.fixture(scope="module")
def fitted(small):
    """Models that predict, fitted before training was forbidden."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GraphNet, "fit_loop", lambda net, *_, **__: net)
        patch.setattr("skmatgnn.nets.BestModel.on_train_end", lambda *_, **__: None)
        y = np.arange(6.0)
        regressor = small.model().fit(GOOD, y)
        return regressor, small.model("CGCNNClassifier").fit(GOOD, y > 2)


@pytest.mark.parametrize("kind", BAD_SAMPLES)
def test_fit__one_bad_sample__is_named_with_its_remedy(kind, estimator, refusal):
    make, expected = BAD_SAMPLES[kind]
    X = [*GOOD[:3], make(), *GOOD[3:]]
    error, text = refusal(estimator.fit, X, np.arange(7) % 2)
    assert isinstance(error, SkmatgnnError)
    assert refusal.names_index(text, 3)
    assert re.search(expected, text)
    assert not hasattr(estimator, "net_")


@pytest.mark.parametrize("kind", BAD_SAMPLES)
def test_predict__one_bad_sample__is_named(kind, fitted, refusal):
    make, expected = BAD_SAMPLES[kind]
    for method in (fitted[0].predict, fitted[0].embed, fitted[1].predict_proba):
        error, text = refusal(method, [*GOOD[:3], make(), *GOOD[3:]])
        assert isinstance(error, SkmatgnnError)
        assert refusal.names_index(text, 3)
        assert re.search(expected, text)


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("kind", ["none", "formula", "overlap", "flat", "disordered"])
def test_fit__bad_sample_in_any_container__is_named_by_position(
    kind, container, small, refusal
):
    X = CONTAINERS[container]([*GOOD[:4], BAD_SAMPLES[kind][0](), GOOD[4]])
    _, text = refusal(small.model().fit, X, np.arange(6.0))
    assert refusal.names_index(text, 4)


def test_fit__bad_sample_far_behind__is_named_by_its_index_in_x(small, refusal):
    """Graphs are built in chunks, which must not shift the index."""
    X = GOOD * 50
    X[271] = BAD_SAMPLES["overlap"][0]()
    _, text = refusal(small.model().fit, X, np.arange(300.0))
    assert refusal.names_index(text, 271)


BAD_X = {
    "none": (lambda: None, "sequence of structures.*got a bare None"),
    "structure": (salt, r"bare Structure.*\[x\]"),
    "molecule": (lambda: Molecule(["O"], [ORIGIN]), r"bare Molecule.*\[x\]"),
    "formula": (lambda: "NaCl", r"bare str \('NaCl'\).*\[x\]"),
    "bytes": (lambda: b"NaCl", "bare bytes"),
    "number": (lambda: 3, r"got int \(3\)"),
    "dict": (lambda: dict(enumerate(GOOD)), "got a bare dict"),
    "set": (lambda: {1, 2}, "got set.*list"),
    "generator": (lambda: (s for s in GOOD), "got generator.*list"),
    "endless": (count, "got a?.*count"),
    "class": (lambda: Structure, "got the class Structure"),
    "empty_list": (list, "empty"),
    "empty_tuple": (tuple, "empty"),
    "empty_array": (lambda: np.empty(0, dtype=object), "empty"),
    "empty_series": (lambda: pd.Series([], dtype=object), "empty"),
    "empty_graphs": (lambda: GRAPHS[:0], "empty"),
    "empty_packed": (lambda: StructureArray.from_structures(GOOD)[:0], "empty"),
    "nested": (lambda: [GOOD[:2], GOOD[2:4]], "got list at index 0"),
    "sites": (lambda: list(salt()), "got PeriodicSite at index 0"),
    "matrix": (lambda: np.zeros((6, 3)), r"shape \(6, 3\)"),
    "vector": (lambda: np.zeros(6), r"got float64.*at index 0"),
    "tensor3": (lambda: np.zeros((6, 3, 3)), r"shape \(6, 3, 3\)"),
    "scalar_array": (lambda: np.array(3.0), r"shape \(\)"),
    "numbers": (lambda: [1, 2, 3], r"got int \(1\) at index 0"),
    "range": (lambda: range(6), r"got int \(0\) at index 0"),
    "formulas": (lambda: ["NaCl", "KCl"], r"str \('NaCl'\) at index 0.*make_rf_magpie"),
    "frame_two_columns": (
        lambda: pd.DataFrame({"a": [1, 2], "b": [3, 4]}),
        r"2 columns \['a', 'b'\].*Select",
    ),
    "frame_no_column": (lambda: pd.DataFrame(index=range(3)), "0 columns"),
    "torch": (lambda: torch.zeros(6, 3), "got Tensor at index 0"),
    "sparse": (lambda: sparse.csr_matrix(np.eye(6)), "csr_matrix"),
    "mixed": (lambda: [GRAPHS[0], GOOD[1]], "graph at index 1; got Structure"),
    "mixed_graph_last": (lambda: [GOOD[1], GRAPHS[0]], "graph at index 0"),
    "graphs_of_graphs": (lambda: [GRAPHS[:1], GRAPHS[:5]], "one graph at index 1"),
}


@pytest.mark.parametrize("kind", BAD_X)
def test_fit_and_predict__x_of_another_kind__is_refused(kind, small, fitted, refusal):
    make, expected = BAD_X[kind]
    n = len(make()) if hasattr(make(), "__len__") and kind not in (
        "sparse", "scalar_array", "class") else 6  # fmt: skip
    models = [small.model("ALIGNNRegressor"), small.model("CGCNNClassifier")]
    calls = [(model.fit, np.arange(n) % 2) for model in models]
    calls += [(model.partial_fit, np.arange(n) % 2) for model in models]
    calls += [(fitted[0].predict,), (fitted[1].predict_proba,), (fitted[0].embed,)]
    for call, *y in calls:
        error, text = refusal(call, make(), *y)
        assert isinstance(error, SkmatgnnError) or "0 sample" in text, text
        assert re.search(expected, text) or (y and "y" in text and n == 0), text


def with_value(value, *, shape=(6,)):
    y = np.arange(6.0).repeat(shape[1]).reshape(shape) if len(shape) > 1 else None
    y = np.arange(6.0) if y is None else y
    y = y.astype(object)
    y[(2, *([1] * (len(shape) - 1)))] = value
    return y


BAD_Y = {
    "none": (None, "requires y to be passed"),
    "nan": (with_value(np.nan).astype(float), "NaN at index 2 of 6.*2-D"),
    "inf": (with_value(np.inf).astype(float), "infinity at index 2"),
    "minus_inf": (with_value(-np.inf).astype(float), "infinity at index 2"),
    "inf_2d": (with_value(np.inf, shape=(6, 2)), "infinity at index 2, column 1"),
    "none_inside": (with_value(None), "NaN at index 2"),
    "na_inside": (with_value(pd.NA), "NaN at index 2"),
    "all_nan": (np.full(6, np.nan), "NaN"),
    "nan_column": (
        np.column_stack([np.arange(6.0), np.full(6, np.nan)]),
        "NaN only in column 1.*Drop",
    ),
    "all_nan_2d": (np.full((6, 2), np.nan), "NaN only in column 0"),
    "strings": (["a"] * 6, "numeric.*use a classifier"),
    "string_inside": (with_value("x"), "numeric"),
    "bare_string": ("energy", "numeric"),
    "complex": (np.arange(6) * 1j, "Complex data not supported"),
    "dates": (pd.Series(pd.date_range("2020", periods=6)), "dates or times"),
    "dicts": ([{}] * 6, "numeric"),
    "dict": ({"a": 1}, "numeric"),
    "generator": ((i for i in range(6)), "numeric"),
    "ragged": ([[1.0], [1.0, 2.0]] * 3, "numeric"),
    "scalar": (3.0, "0 dimensions"),
    "three_d": (np.zeros((6, 1, 1)), "3 dimensions"),
    "no_columns": (np.zeros((6, 0)), "0 columns"),
    "short": (np.arange(5.0), "X has 6, y has 5"),
    "long": (np.arange(7.0), "X has 6, y has 7"),
    "empty": ([], "X has 6, y has 0"),
    "structures": (GOOD, "numeric"),
}


@pytest.mark.parametrize("kind", BAD_Y)
def test_regressor__bad_y__is_refused(kind, regressor, refusal):
    y, expected = BAD_Y[kind]
    error, text = refusal(regressor.fit, GOOD, y)
    assert isinstance(error, SkmatgnnError)
    assert re.search(expected, text)


BAD_LABELS = {
    "none": (None, "requires y to be passed"),
    "none_inside": (["a", None, *"abab"], "index 1"),
    "nan_inside": (["a", "b", np.nan, *"aba"], "index 2"),
    "inf": ([0.0, np.inf, 1, 0, 1, 0], "infinity"),
    "continuous": (np.linspace(0, 1, 6), "continuous"),
    "mixed": (np.array([1, "a", 2, "b", 1, 2], dtype=object), "labels|label type"),
    "objects": ([{}, {}, {}, {}, {}, {}], "label"),
    "two_columns": (np.zeros((6, 2), dtype=int), "1d array"),
    "short": (list("abaab"), "X has 6, y has 5"),
    "empty": ([], "X has 6, y has 0"),
    "scalar": (3, "1d array"),
    "bare_string": ("abc", "1d array"),
    "structures": (GOOD, "1d array"),
}


@pytest.mark.parametrize("kind", BAD_LABELS)
def test_classifier__bad_y__is_refused(kind, classifier, refusal):
    y, expected = BAD_LABELS[kind]
    _, text = refusal(classifier.fit, GOOD, y)
    assert re.search(expected, text), text


BAD_WEIGHTS = {
    "short": (np.ones(5), "X has 6, sample_weight has 5"),
    "negative": ([1, 1, -1, 1, 1, 1], "index 2.*zero"),
    "nan": ([1, 1, 1, np.nan, 1, 1], "index 3"),
    "inf": ([np.inf, 1, 1, 1, 1, 1], "index 0"),
    "zero": (np.zeros(6), "at least one non-zero"),
    "two_d": (np.ones((6, 1)), "1D array"),
    "strings": (["a"] * 6, "numbers"),
    "generator": ((1 for _ in range(6)), "got generator"),
    "string": ("balanced", "X has 6, sample_weight has 8"),
}
BAD_GROUPS = {
    "short": ([1, 2], "X has 6, groups has 2"),
    "string": ("formula", "one label for each sample"),
    "number": (3, "one label for each sample"),
    "none_inside": ([1, None, 2, 2, 3, 3], "index 1"),
    "nan_inside": (np.array([1, 1, np.nan, 2, 3, 3]), "index 2"),
    "two_columns": (np.zeros((6, 2)), "one-dimensional"),
    "unhashable": ([[1], [1], [2], [2], [3], [3]], "index 0"),
    "generator": ((i for i in range(6)), "got generator"),
}


@pytest.mark.parametrize("early_stopping", [True, False])
@pytest.mark.parametrize(
    ("name", "kind"),
    [("sample_weight", k) for k in BAD_WEIGHTS] + [("groups", k) for k in BAD_GROUPS],
)
def test_fit__bad_weights_or_groups__are_refused(
    name, kind, early_stopping, estimator, refusal
):
    value, expected = {"sample_weight": BAD_WEIGHTS, "groups": BAD_GROUPS}[name][kind]
    estimator.set_params(early_stopping=early_stopping)
    _, text = refusal(estimator.fit, GOOD, np.arange(6) % 2, **{name: value})
    assert re.search(expected, text), text


junk = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    st.text(max_size=8),
    st.binary(max_size=8),
    st.just(pd.NA),
    st.just(np.datetime64("2020-01-01")),
    st.just(dt.date(2020, 1, 1)),
    st.builds(object),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    st.builds(lambda n: np.zeros((n, 3)), st.integers(0, 3)),
    st.sampled_from(sorted(BAD_SAMPLES)).map(lambda kind: BAD_SAMPLES[kind][0]()),
)


@st.composite
def bad_structure(draw):
    """A structure with one thing wrong, otherwise at random."""
    n = draw(st.integers(1, 4))
    coords = draw(
        st.lists(
            st.tuples(*[st.integers(0, 3)] * 3), min_size=n, max_size=n, unique=True
        )
    )
    coords = np.array(coords) / 4.0
    species = draw(st.lists(st.sampled_from(["H", "Fe", "U"]), min_size=n, max_size=n))
    matrix = np.diag(draw(st.tuples(*[st.floats(3, 30)] * 3)))
    atom = draw(st.integers(0, n - 1))
    wrong = draw(
        st.sampled_from(["coordinate", "lattice", "flat", "species", "overlap", "mix"])
    )
    if wrong == "coordinate":
        coords[atom, draw(st.integers(0, 2))] = draw(st.sampled_from([np.nan, np.inf]))
    elif wrong == "lattice":
        matrix[draw(st.integers(0, 2)), draw(st.integers(0, 2))] = np.nan
    elif wrong == "flat":
        matrix[draw(st.integers(0, 2))] = draw(st.sampled_from([0.0, 1e-5]))
    elif wrong == "species":
        species[atom] = draw(st.sampled_from([DummySpecies("X"), Element("No")]))
    elif wrong == "mix":
        species[atom] = {"Fe": draw(st.floats(0.05, 0.45)), "Co": 0.5}
    else:
        shift = np.array(draw(st.tuples(*[st.floats(-1e-3, 1e-3)] * 3)))
        image = draw(st.tuples(*[st.integers(-2, 2)] * 3))
        coords = np.vstack([coords, coords[atom] + shift + image])
        species.append("O")
    return Structure(Lattice(matrix), species, coords)


@MANY
@given(
    bad=st.one_of(junk, bad_structure()),
    index=st.integers(0, 5),
    container=st.sampled_from(sorted(CONTAINERS)),
)
def test_fit__any_bad_sample_anywhere__is_named(small, bad, index, container, refusal):
    X = [*GOOD[:index], bad, *GOOD[index:]]
    error, text = refusal(small.model().fit, CONTAINERS[container](X), np.arange(7.0))
    assert isinstance(error, SkmatgnnError)
    assert refusal.names_index(text, index)


@MANY
@given(bad=st.one_of(junk, bad_structure()), index=st.integers(0, 5))
def test_predict__any_bad_sample_anywhere__is_named(fitted, bad, index, refusal):
    error, text = refusal(fitted[0].predict, [*GOOD[:index], bad, *GOOD[index:]])
    assert isinstance(error, SkmatgnnError)
    assert refusal.names_index(text, index)


@MANY
@given(X=junk)
def test_fit_and_predict__anything_as_x__is_refused(small, fitted, X, refusal):
    if isinstance(X, StructureArray) or (isinstance(X, list) and salt() in X):
        return  # these are structures
    error, _ = refusal(small.model().fit, X, [1.0])
    assert isinstance(error, SkmatgnnError)
    error, _ = refusal(fitted[0].predict, X)
    assert isinstance(error, SkmatgnnError)


bad_targets = st.one_of(
    junk,
    st.lists(st.one_of(st.floats(), st.none(), st.text(max_size=2)), max_size=7),
    st.builds(
        with_value,
        st.sampled_from([np.nan, np.inf, -np.inf, None, pd.NA, "x", 1j, [], {}]),
    ),
    st.builds(
        lambda value, n: with_value(value, shape=(6, n)),
        st.sampled_from([np.inf, -np.inf, "x", 1j, object()]),
        st.integers(2, 3),
    ),
)


# scikit-learn looks whether float labels are whole numbers by casting them
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
@MANY
@given(y=bad_targets)
def test_fit__anything_as_y__is_refused_or_numbers(small, y, refusal):
    try:
        usable = np.asarray(y, dtype=float)
    except (TypeError, ValueError):
        usable = np.empty(0)
    if usable.shape == (6,) and np.isfinite(usable).all():
        return
    error, _ = refusal(small.model().fit, GOOD, y)
    assert isinstance(error, SkmatgnnError)
    labels = isinstance(y, list) and len(y) == 6
    if usable.shape != (6,) and not labels:  # six texts or numbers are fine labels
        refusal(small.model("CGCNNClassifier").fit, GOOD, y)
