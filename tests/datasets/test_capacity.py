from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Composition

from skmatgnn.datasets import theoretical_capacity
from skmatgnn.errors import InvalidTypeError, InvalidValueError

ELECTRODES = (
    Path(__file__).parents[2] / "../shared/data/electrodes_mp_2019.csv.gz"
).resolve()


@pytest.fixture
def electrodes():
    if not ELECTRODES.exists():
        pytest.skip(f"the electrode table {ELECTRODES.name} is not here")
    return pd.read_csv(ELECTRODES, keep_default_na=False)


@pytest.mark.parametrize(
    ("discharged", "charged", "ion", "expected"),
    [
        ("LiFePO4", "FePO4", "Li", 169.9),  # textbook values, mAh/g
        ("LiCoO2", "CoO2", "Li", 273.8),
        ("LiCoO2", "Li0.5CoO2", "Li", 136.9),
        ("LiC6", "C", "Li", 339.2),
        ("Li4Ti5O12", "Li4Ti5O12", "Li", 0.0),
        ("Li7Ti5O12", "Li4Ti5O12", "Li", 167.5),
        ("MgMn2O4", "MnO2", "Mg", 270.5),
    ],
)
def test_capacity__of_known_electrodes__is_the_textbook_value(
    discharged, charged, ion, expected
):
    value = theoretical_capacity([discharged], [charged], [ion])
    assert value == pytest.approx([expected], abs=0.1)
    assert value.dtype == np.float64


def test_capacity__of_the_battery_explorer__is_the_listed_one(electrodes):
    capacity = theoretical_capacity(
        electrodes.formula_discharge, electrodes.formula_charge, electrodes.working_ion
    )
    error = np.abs(capacity / electrodes.capacity_grav.to_numpy() - 1)
    assert np.mean(error < 1e-3) > 0.999
    assert np.median(error) < 1e-4


@pytest.mark.parametrize("charged", ["FePO4", "Fe2P2O8", "Fe0.5P0.5O2", "P3Fe3O12"])
def test_capacity__with_the_charged_host_in_other_units__is_the_same(charged):
    expected = theoretical_capacity(["LiFePO4"], ["FePO4"], "Li")
    got = theoretical_capacity(["Li2Fe2P2O8"], [charged], "Li")
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_capacity__of_rounded_fractional_formulas__still_matches_the_host():
    got = theoretical_capacity(["LiNi0.333Mn0.333Co0.333O2"], ["Ni1Mn1Co1O6"], "Li")
    assert got == pytest.approx([277.8], rel=2e-3)


def test_capacity__from_objects_and_containers__is_that_of_the_formulas():
    discharged, charged = ["LiFePO4", "Na2FePO4F"], ["FePO4", "NaFePO4F"]
    expected = theoretical_capacity(discharged, charged, ["Li", "Na"])
    np.testing.assert_array_equal(
        theoretical_capacity(
            [Composition(f) for f in discharged],
            pd.Series(charged, index=[3, 9]),
            np.array(["Li", "Na"]),
        ),
        expected,
    )


def test_valences__given__come_before_those_built_in():
    with pytest.raises(InvalidValueError, match=r"index 0: working_ion is str .'Cu'"):
        theoretical_capacity(["CuTiS2"], ["TiS2"], "Cu")
    one = theoretical_capacity(["CuTiS2"], ["TiS2"], "Cu", valences={"Cu": 1})
    two = theoretical_capacity(["CuTiS2"], ["TiS2"], "Cu", valences={"Cu": 2})
    np.testing.assert_allclose(two, 2 * one)
    expected = 96485.33212 / 3.6 / Composition("CuTiS2").weight
    assert one == pytest.approx([expected], rel=1e-9)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("LiFePO4", "MnPO4", "Li"), "hosts without the ion differ.*most in"),
        (("LiFePO4", "FeP2O7", "Li"), "hosts without the ion differ"),
        (("FePO4", "LiFePO4", "Li"), "holds more Li .*swapped"),
        (("LiFePO4", "Li", "Li"), "differ|no element besides the ion"),
        (("Li", "Li", "Li"), "no element besides the ion"),
        (("LiXx", "FePO4", "Li"), "formula_discharge is str .'LiXx'.*unknown element"),
        (("LiFePO4", "", "Li"), "formula_charge is str"),
        (("LiFePO4", "FePO4", "Ti"), "working_ion is str .'Ti'"),
        (("LiFePO4", "FePO4", None), "working_ion is None"),
    ],
)
def test_rows__that_cannot_be_used__are_an_error_or_nan(row, reason):
    good = ("LiCoO2", "CoO2", "Li")
    columns = list(zip(good, row, good, strict=True))
    with pytest.raises(
        InvalidValueError, match=rf"1 of 3 rows .*index 1: .*({reason})"
    ):
        theoretical_capacity(*columns)
    with pytest.warns(UserWarning, match=r"1 of 3 rows .*index 1.*They are NaN"):
        values = theoretical_capacity(*columns, on_error="nan")
    assert np.isnan(values).tolist() == [False, True, False]
    assert values[0] == values[2] == pytest.approx(273.8, abs=0.1)


def test_many_bad_rows__are_counted_and_the_first_shown():
    n = 20
    with pytest.raises(InvalidValueError, match=r"20 of 20 rows") as caught:
        theoretical_capacity(["LiFePO4"] * n, ["MnO2"] * n, "Li")
    assert "index 4" in str(caught.value)
    assert "index 5" not in str(caught.value)


def test_arguments__that_do_not_fit__are_errors():
    with pytest.raises(InvalidValueError, match="formula_charge has 1"):
        theoretical_capacity(["LiFePO4", "LiCoO2"], ["FePO4"], "Li")
    with pytest.raises(InvalidValueError, match="working_ion has 1"):
        theoretical_capacity(["LiFePO4", "LiCoO2"], ["FePO4", "CoO2"], ["Li"])
    with pytest.raises(InvalidValueError, match="on_error must be"):
        theoretical_capacity(["LiFePO4"], ["FePO4"], "Li", on_error="ignore")


@pytest.mark.parametrize(
    ("valences", "error", "match"),
    [
        ([2], InvalidTypeError, "must be a mapping"),
        ({"Fe": "two"}, InvalidValueError, r"valences\['Fe'\] must be a positive"),
        ({"Fe": -2}, InvalidValueError, "positive number; got"),
        ({"Fe": np.nan}, InvalidValueError, "positive number; got"),
    ],
)
def test_capacity__bad_valences__are_named(valences, error, match):
    with pytest.raises(error, match=match):
        theoretical_capacity(["FeTiO2"], ["TiO2"], "Fe", valences=valences)
