import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition, Lattice, Structure
from scipy.optimize import linprog
from scipy.stats import wasserstein_distance
from sklearn import config_context

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.metrics import (
    _element_movers,
    element_movers_distance,
    element_movers_distances,
    element_movers_distances_chunked,
    mean_element_movers_distances,
)
from skmatgnn.metrics._element_movers import MODIFIED_PETTIFOR
from skmatgnn.utils.elements import ELEMENT_SYMBOLS

POSITION = {symbol: index for index, symbol in enumerate(MODIFIED_PETTIFOR)}

compositions = st.dictionaries(
    st.sampled_from(MODIFIED_PETTIFOR),
    st.one_of(st.integers(1, 12), st.floats(0.01, 20)),
    min_size=1,
    max_size=6,
)


def random_compositions(n, seed=0, max_elements=5):
    rng = np.random.default_rng(seed)
    return [
        {
            symbol: float(rng.integers(1, 9)) if rng.random() < 0.7 else rng.random()
            for symbol in rng.choice(
                MODIFIED_PETTIFOR, rng.integers(1, max_elements + 1), replace=False
            )
        }
        for _ in range(n)
    ]


def by_scipy(a, b, position=POSITION):
    return wasserstein_distance(
        [position[e] for e in a],
        [position[e] for e in b],
        list(a.values()),
        list(b.values()),
    )


def by_transport(a, b):
    """The definition itself: the cheapest flow between the two compositions."""
    p = np.array(list(a.values())) / sum(a.values())
    q = np.array(list(b.values())) / sum(b.values())
    cost = [[abs(POSITION[i] - POSITION[j]) for j in b] for i in a]
    out_of = np.kron(np.eye(len(p)), np.ones(len(q)))
    into = np.kron(np.ones(len(p)), np.eye(len(q)))
    result = linprog(np.ravel(cost), A_eq=[*out_of, *into], b_eq=[*p, *q])
    return result.fun


def test_scale__modified_pettifor__has_each_element_up_to_lawrencium_once():
    assert sorted(MODIFIED_PETTIFOR) == sorted(ELEMENT_SYMBOLS[1:104])
    ends = ["He", "Ne", "Na", "Li", "Cl", "F", "H"]
    assert [POSITION[e] for e in ends] == [0, 1, 10, 11, 100, 101, 102]
    assert POSITION["Sr"] - POSITION["Ca"] == -1


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("CaTiO3", "SrTiO3", 0.2),
        ("He", "H", 102.0),
        ("NaCl", "Na2Cl2", 0.0),
        ("NaCl", "KCl", 0.5),
    ],
)
def test_distance__of_known_pairs__is_the_known_value(a, b, expected):
    assert element_movers_distance(a, b) == pytest.approx(expected, abs=1e-11)


@given(compositions, compositions)
@settings(max_examples=100, deadline=None)
def test_distance__of_any_pair__equals_scipys_wasserstein_distance(a, b):
    assert element_movers_distance(a, b) == pytest.approx(by_scipy(a, b), abs=1e-9)


def test_distance__of_random_pairs__equals_the_optimal_transport():
    items = random_compositions(40)
    for a, b in zip(items[::2], items[1::2], strict=True):
        assert element_movers_distance(a, b) == pytest.approx(by_transport(a, b))


@given(st.lists(compositions, min_size=3, max_size=3))
@settings(max_examples=100, deadline=None)
def test_distance__of_any_three_compositions__is_a_metric_to_the_last_bit(items):
    D = element_movers_distances(items)
    assert (D >= 0).all()
    assert (np.diag(D) == 0).all()
    assert (D == D.T).all()
    for i, j, k in [(0, 1, 2), (0, 2, 1), (1, 2, 0)]:
        assert D[i, j] <= D[i, k] + D[k, j]
    fractions = [Composition(item).fractional_composition for item in items]
    if D[0, 1] < 1e-9:
        for symbol in {*items[0], *items[1]}:
            assert fractions[0][symbol] == pytest.approx(fractions[1][symbol], abs=1e-9)


@given(compositions, st.integers(2, 9))
@settings(max_examples=50, deadline=None)
def test_distance__of_a_multiple_of_a_formula__is_zero(item, factor):
    multiple = {symbol: factor * amount for symbol, amount in item.items()}
    assert element_movers_distance(item, multiple) == pytest.approx(0, abs=1e-11)


@pytest.mark.parametrize("n", [1, 2, 95, 96, 97, 200])
def test_matrix__of_any_size__holds_the_pairs_in_order(n):
    items = random_compositions(n, seed=n)
    D = element_movers_distances(items)
    assert D.shape == (n, n)
    assert D.dtype == np.float64
    assert (D == D.T).all()
    assert (np.diag(D) == 0).all()
    rng = np.random.default_rng(1)
    for i, j in rng.integers(n, size=(50, 2)):
        assert D[i, j] == pytest.approx(by_scipy(items[i], items[j]), abs=1e-9)


def test_matrix__of_two_sets__equals_the_block_of_the_whole():
    items = random_compositions(170)
    whole = element_movers_distances(items)
    np.testing.assert_array_equal(
        element_movers_distances(items[:70], items[70:]), whole[:70, 70:]
    )
    np.testing.assert_array_equal(element_movers_distances(items, items), whole)


@pytest.mark.parametrize(("megabytes", "n_chunks"), [(1e-9, 150), (0.05, 4), (None, 1)])
def test_chunks__whatever_the_memory__make_up_the_matrix(megabytes, n_chunks):
    items = random_compositions(150)
    chunks = list(element_movers_distances_chunked(items, working_memory=megabytes))
    assert len(chunks) == n_chunks
    assert [i for rows, _ in chunks for i in range(*rows.indices(150))] == [*range(150)]
    blocks = np.concatenate([block for _, block in chunks])
    np.testing.assert_array_equal(blocks, element_movers_distances(items))


def test_chunks__without_an_argument__follow_sklearns_working_memory():
    items = random_compositions(150)
    with config_context(working_memory=0.05):
        chunks = list(element_movers_distances_chunked(items, items[:50]))
    assert max(block.nbytes for _, block in chunks) <= 0.05 * 2**20
    assert len(chunks) == 2


def test_matrix__from_objects_and_containers__is_that_of_the_formulas():
    lattice = Lattice.cubic(4.0)
    structure = Structure(lattice, ["Na", "Cl"], [[0] * 3, [0.5] * 3])
    expected = element_movers_distances(["NaCl", "KCl", "RbBr"])
    for items in (
        [structure, Composition("KCl"), {"Rb": 1, "Br": 1}],
        pd.Series(["NaCl", "KCl", "RbBr"], index=[5, 6, 7]),
        pd.DataFrame({"formula": ["NaCl", "KCl", "RbBr"]}),
        np.array([["NaCl"], ["KCl"], ["RbBr"]], dtype=object),
    ):
        np.testing.assert_array_equal(element_movers_distances(items), expected)


@pytest.mark.parametrize("max_elements", [1, 5])
def test_mean_distances__without_the_matrix__are_its_row_means(max_elements):
    items = random_compositions(300, max_elements=max_elements)
    np.testing.assert_allclose(
        mean_element_movers_distances(items),
        element_movers_distances(items).mean(axis=1),
        atol=1e-9,
    )


def test_mean_distances__of_equal_compositions__are_equal_to_the_last_bit():
    means = mean_element_movers_distances(["Fe2O3", "Ga3N7", "Fe4O6", "Fe0.4O0.6"])
    assert means[0] == means[2] == means[3]
    assert (mean_element_movers_distances(["Fe", "Fe2"]) == 0).all()


def test_scale__of_ones_own__is_the_ground_distance():
    scale = {symbol: z / 3 for z, symbol in enumerate(ELEMENT_SYMBOLS) if symbol}
    items = random_compositions(80)
    D = element_movers_distances(items, scale=scale)
    for i, j in [(0, 1), (5, 70), (3, 66)]:
        assert D[i, j] == pytest.approx(by_scipy(items[i], items[j], scale), abs=1e-9)
    np.testing.assert_allclose(
        mean_element_movers_distances(items, scale=scale), D.mean(axis=1), atol=1e-9
    )
    assert element_movers_distance("Og", "Rf", scale=scale) == pytest.approx(14 / 3)
    same = {"Na": 1.0, "K": 1.0, "Cl": 2.0}
    assert element_movers_distance("NaCl", "KCl", scale=same) == 0
    assert element_movers_distance("NaK", "KCl2", scale=same) == pytest.approx(2 / 3)


def test_heavy_elements__without_a_position__are_named_with_the_index():
    with pytest.raises(
        InvalidValueError, match=r"no position for Rf, which 1 of 2 .* X .* index 1"
    ):
        element_movers_distances(["NaCl", "RfCl4"])
    with pytest.raises(InvalidValueError, match=r"samples of Y contain.* index 0"):
        element_movers_distances_chunked(["NaCl"], ["OgO"])


@pytest.mark.parametrize(
    ("scale", "error", "message"),
    [
        ("petti", InvalidValueError, "must be 'mod_petti' or a mapping.*'petti'"),
        ({"Xx": 1}, InvalidValueError, "'Xx', which is no element"),
        ({"Na": "one"}, InvalidTypeError, r"scale\['Na'\] must be a number"),
        ({"Na": np.inf}, InvalidValueError, "infinite position"),
        ({"Na": 1.0}, InvalidValueError, "no position for Cl"),
    ],
)
def test_scale__that_cannot_be_used__is_an_error(scale, error, message):
    with pytest.raises(error, match=message):
        element_movers_distances(["NaCl"], scale=scale)


def test_bad_formulas__are_named_with_their_index():
    with pytest.raises(InvalidValueError, match=r"index 1 .*'Xx2'.*unknown element"):
        element_movers_distances(["NaCl", "Xx2"])
    with pytest.raises(InvalidTypeError, match="bare str"):
        element_movers_distances("NaCl")


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 130, 300])
@pytest.mark.parametrize("max_elements", [1, 5])
@pytest.mark.parametrize("fraction", [1, 3])
def test_matrix__with_and_without_numba__is_equal_to_the_last_bit(
    monkeypatch, n, max_elements, fraction
):
    pytest.importorskip("numba", reason="needs the extra cpu")
    items = random_compositions(n, seed=n, max_elements=max_elements)
    items[-1] = items[0]
    scale = {s: z / fraction for z, s in enumerate(ELEMENT_SYMBOLS) if s}
    some = items[: max(1, n // 3)]
    found = []
    for least in (0, 2**62):
        monkeypatch.setattr(_element_movers, "_WORTH_COMPILED", least)
        square = element_movers_distances(items, scale=scale)
        assert (square == square.T).all()
        assert (np.diag(square) == 0).all()
        found.append((square, element_movers_distances(some, items, scale=scale)))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])


def test_matrix__of_few_pairs__does_not_load_numba(monkeypatch):
    loaded = []
    monkeypatch.setattr(
        _element_movers, "compiled_module", lambda name, _: loaded.append(name)
    )
    items = random_compositions(40)
    small = element_movers_distances(items)
    assert loaded == []
    monkeypatch.setattr(_element_movers, "_WORTH_COMPILED", 40 * 20)
    np.testing.assert_array_equal(element_movers_distances(items), small)
    assert loaded == ["skmatgnn.metrics._element_movers_numba"]


def test_matrix__of_a_thousand__takes_microseconds_a_pair_at_most():
    items, seconds = random_compositions(1000), []
    for _ in range(2):  # the first may load and compile
        start = time.process_time()
        element_movers_distances(items)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 1.0


def test_mean_distances__wide_scale_of_whole_numbers__do_not_overflow():
    formulas, scale = ["F"] * 600 + ["W"] * 400, {"F": 53, "W": 10**6}
    np.testing.assert_allclose(
        mean_element_movers_distances(formulas, scale=scale),
        element_movers_distances(formulas, scale=scale).mean(axis=1),
        rtol=1e-9,
    )
