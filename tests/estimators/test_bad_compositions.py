"""Formulas and compositions that cannot be used are refused by index."""

import re
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition, Lattice, Structure

from skmatgnn import ConformalRegressor
from skmatgnn.errors import SkmatgnnError
from skmatgnn.estimators import make_rf_magpie
from skmatgnn.featurizers import MagpieFeatures

MANY = settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
SALT = Structure(Lattice.cubic(4.0), ["Cs", "Cl"], [[0.0] * 3, [0.5] * 3])
BAD_FORMULAS = st.one_of(
    st.sampled_from(
        ["Xx2O", "", "  ", "nacl", "Fe-2O3", "Na(Cl", "NaCl)", "Fe2.3.4", "Na0", "1"]
    ),
    st.sampled_from([{"Fe": -1, "O": 2}, {"Xx": 1}, {"Fe": np.nan}, {}, {"Fe": "x"}]),
    st.sampled_from(
        [None, 3, 2.5, np.nan, ["Na"], b"NaCl", object(), pd.NA, np.eye(2)]
    ),
    st.from_regex(r"[A-Z][a-z]?-[1-9]", fullmatch=True),
    st.from_regex(r"(Qq|Jx|Zz|Xx)[0-9]{0,3}O[0-9]?", fullmatch=True),
    st.text(alphabet="abcdef!?#%&", min_size=1, max_size=5),
)


@MANY
@given(bad=BAD_FORMULAS, index=st.integers(0, 2))
def test_compositions__any_bad_one_anywhere__is_named(bad, index, refusal):
    good = ["NaCl", Composition("Fe2O3"), SALT]
    X = [*good[:index], bad, *good[index:]]
    for call in (MagpieFeatures().fit, MagpieFeatures().transform):
        error, text = refusal(call, X)
        assert isinstance(error, SkmatgnnError)
        assert refusal.names_index(text, index)


@MANY
@given(formula=st.text(max_size=12))
def test_compositions__any_text__is_read_or_refused(formula, refusal):
    magpie = MagpieFeatures(impute_nan=True)
    with suppress(SkmatgnnError):
        assert np.isfinite(magpie.transform(["NaCl", formula])).all()
        return
    _, text = refusal(magpie.transform, ["NaCl", formula])
    assert refusal.names_index(text, 1)


@pytest.mark.parametrize("bad", ["Xx2O", {"Fe": -2, "O": 3}, None, 7])
def test_rf_magpie__bad_composition__is_refused_in_fit_and_predict(bad, refusal):
    model = make_rf_magpie(n_estimators=2, random_state=0)
    _, text = refusal(model.fit, ["NaCl", "KCl", bad], [1.0, 2.0, 3.0])
    assert refusal.names_index(text, 2)
    model.fit(["NaCl", "KCl"], [1.0, 2.0])
    _, text = refusal(model.predict, [bad])
    assert refusal.names_index(text, 0)


BAD_TARGETS = {
    "none": (None, "requires y"),
    "nan": ([1.0, np.nan, 3.0], r"NaN at index 1, and.*Drop.*CrabNet"),
    "nan in a column": ([[1, 2], [3, 4], [5, np.nan]], r"index 2, column 1.*CrabNet"),
    "infinity": ([1.0, 2.0, -np.inf], r"infinity at index 2.*Remove"),
    "text": ([1.0, "x", 3.0], r"index 1.*classifier"),
    "one too few": ([1.0, 2.0], r"X has 3, y has 2"),
}


@pytest.mark.parametrize("kind", BAD_TARGETS)
def test_rf_magpie__bad_targets__are_named_before_anything_is_computed(
    kind, refusal, monkeypatch
):
    monkeypatch.setattr(MagpieFeatures, "transform", None)
    y, message = BAD_TARGETS[kind]
    model = make_rf_magpie(n_estimators=2)
    error, text = refusal(model.fit, ["NaCl", "KCl", "KBr"], y)
    assert isinstance(error, SkmatgnnError)
    assert re.search(message, text)


@pytest.mark.parametrize("bad", [None, np.nan, pd.NA])
def test_rf_magpie__missing_label__is_named(bad, refusal):
    model = make_rf_magpie(n_estimators=2, classification=True)
    _, text = refusal(model.fit, ["NaCl", "KCl", "KBr"], ["a", "b", bad])
    assert refusal.names_index(text, 2)
    assert "Drop" in text


def test_rf_magpie__two_columns_of_labels__are_learnt():
    X, y = ["NaCl", "KCl", "KBr"], np.array([["a", "c"], ["b", "c"], ["b", "d"]])
    model = make_rf_magpie(n_estimators=2, classification=True, random_state=0)
    assert model.fit(X, y).predict(X).shape == (3, 2)


def test_rf_magpie__without_its_forest__needs_no_targets():
    features = make_rf_magpie()[:-1].fit(["NaCl", "KCl"]).transform(["KBr"])
    assert features.shape == (1, 132)


BAD_X = {
    "none": (None, "None.*list"),
    "bare structure": (SALT, "bare Structure.*list"),
    "bare composition": (Composition("NaCl"), "bare Composition.*list"),
    "bare formula": ("NaCl", "bare str.*list"),
    "empty": ([], "0 sample"),
    "empty array": (np.empty(0, dtype=object), "0 sample"),
    "generator": ((f for f in ["NaCl"]), "got generator.*list"),
    "number": (np.array(3.0), r"ndarray|shape \(\)"),
}


def conformal_forest():
    return ConformalRegressor(make_rf_magpie(n_estimators=2))


@pytest.mark.parametrize("kind", BAD_X)
@pytest.mark.parametrize("make", [make_rf_magpie, conformal_forest])
def test_fit__no_sequence_of_samples__says_what_is_due(make, kind, refusal):
    X, message = BAD_X[kind]
    error, text = refusal(make().fit, X, [1.0, 2.0, 3.0, 4.0])
    assert isinstance(error, SkmatgnnError)
    assert re.search(message, text)
