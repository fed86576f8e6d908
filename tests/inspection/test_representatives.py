from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.inspection import cluster_representatives
from skmatgnn.metrics import element_movers_distances
from skmatgnn.model_selection import formula_groups

ELECTRODES = (
    Path(__file__).parents[2] / "../shared/data/electrodes_mp_2019.csv.gz"
).resolve()
FORMULAS = ["NaCl", "Fe2O3", "KCl", "Al2O3", "RbCl", "Cr2O3", "V2O3", "LiF"]
GROUPS = ["salt", "oxide", "salt", "oxide", "salt", "oxide", "oxide", "lone"]


def by_matrix(formulas, groups):
    """Argmin of the mean of the full matrix, cluster by cluster."""
    groups = np.asarray(groups)
    medoids = {}
    for group in pd.unique(groups):
        members = np.flatnonzero(groups == group)
        means = element_movers_distances([formulas[i] for i in members]).mean(axis=1)
        nearest = np.flatnonzero(means <= means.min() + 1e-9)[0]
        medoids[group] = members[nearest], means[nearest]
    return medoids


def test_medoids__of_clusters__are_the_argmin_of_the_mean_distance():
    result = cluster_representatives(FORMULAS, GROUPS)
    expected = by_matrix(FORMULAS, GROUPS)
    assert result.labels.tolist() == ["salt", "oxide", "lone"]
    assert result.indices.tolist() == [expected[g][0] for g in result.labels]
    np.testing.assert_allclose(
        result.mean_distances, [expected[g][1] for g in result.labels], atol=1e-9
    )
    assert result.sizes.tolist() == [3, 4, 1]
    assert result.formulas.tolist() == [FORMULAS[i] for i in result.indices]
    assert len(result) == 3


def test_medoids__of_equally_central_members__are_the_first():
    for formulas in (["NaCl", "KCl"], ["KCl", "NaCl"], ["K2Cl2", "Na2Cl2"]):
        assert cluster_representatives(formulas, [0, 0]).indices.tolist() == [0]
    result = cluster_representatives(["Fe2O3", "Fe4O6", "O3Fe2"], ["a"] * 3)
    assert (result.indices[0], result.mean_distances[0]) == (0, 0.0)


def test_noise__of_a_clusterer__has_no_representative():
    result = cluster_representatives(FORMULAS, np.array([-1, 4, 0, 4, 0, 4, -1, 0]))
    assert result.labels.tolist() == [4, 0]
    assert result.sizes.tolist() == [3, 3]
    assert len(cluster_representatives(["NaCl"], [-1])) == 0


def test_medoids__of_the_working_ions__are_those_of_the_full_matrix():
    if not ELECTRODES.exists():
        pytest.skip(f"the electrode table {ELECTRODES.name} is not here")
    table = pd.read_csv(ELECTRODES, keep_default_na=False)
    formulas = table.formula_discharge.tolist()
    result = cluster_representatives(formulas, table.working_ion)
    expected = by_matrix(formulas, table.working_ion)
    for label, index, formula in zip(
        result.labels, result.indices, result.formulas, strict=True
    ):
        assert index == expected[label][0]
        assert formula == formula_groups([formulas[index]])[0]
    assert result.sizes.sum() == len(table)


def test_arguments__that_do_not_fit__are_errors():
    with pytest.raises(InvalidValueError, match="X has 2, groups has 1"):
        cluster_representatives(["NaCl", "KCl"], [0])
    with pytest.raises(InvalidValueError, match="no label at index 1"):
        cluster_representatives(["NaCl", "KCl"], ["a", None])
    with pytest.raises(InvalidTypeError, match="bare str"):
        cluster_representatives("NaCl", [0])
    with pytest.raises(InvalidValueError, match="no position for Rf"):
        cluster_representatives(["NaCl", "RfCl4"], [0, 0])
