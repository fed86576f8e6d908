"""Formulas and compositions that cannot be used are refused by index."""

from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition, Lattice, Structure

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
