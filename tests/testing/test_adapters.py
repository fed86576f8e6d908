"""The numeric adapter, which lets scikit-learn's checks run."""

import pickle

import numpy as np
import pytest
from pymatgen.core import Composition
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

from skmatgnn import CGCNNClassifier, CGCNNRegressor, GraphEmbedding
from skmatgnn.errors import InvalidValueError
from skmatgnn.featurizers import MagpieFeatures
from skmatgnn.preprocessing import StructureArray
from skmatgnn.testing import expected_failed_checks, numeric_adapter
from skmatgnn.testing._adapters import row_to_formula, row_to_structure

SMALL = {"node_dim": 8, "hidden_dim": 8, "edge_step": 1.0, "max_neighbors": 4}
FAST = {**SMALL, "max_epochs": 1, "random_state": 0, "device": "cpu"}


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(12, 3))


def test_row_to_structure__any_finite_numbers__is_a_sound_crystal():
    rng = np.random.default_rng(0)
    for scale in (0.0, 1.0, 1e3, 1e300):
        for n in (1, 3, 10):
            lattice, numbers, coords = row_to_structure(scale * rng.normal(size=n))
            packed = StructureArray(
                lattice[None],
                np.ones((1, 3), dtype=bool),
                np.array([0, 2]),
                np.array(numbers, dtype=np.uint8),
                coords,
            )
            assert packed[0].distance_matrix[0, 1] > 1.5
            assert abs(np.linalg.det(lattice)) > 30


@pytest.mark.parametrize("column", range(7))
def test_row_to_anything__every_number__matters(column):
    row = np.full(7, 0.3)
    other = row.copy()
    other[column] += 0.01
    first, second = row_to_structure(row), row_to_structure(other)
    assert not (
        np.array_equal(first[0], second[0]) and np.array_equal(first[2], second[2])
    )
    if column % 4 != 3:  # the fourth moves an atom, which no formula shows
        assert row_to_formula(row) != row_to_formula(other)


def test_row_to_formula__is_one_that_pymatgen_reads(rows):
    for row in rows:
        assert set(Composition(row_to_formula(row)).as_dict()) == {"Li", "Fe", "O"}


def test_adapter__matrix__gives_what_the_structures_give(rows):
    y = rows @ [1.0, 2.0, 3.0]
    cls = numeric_adapter(CGCNNRegressor)
    adapter = cls(**FAST).fit(rows, y)
    assert cls.__name__ == "NumericCGCNNRegressor"
    assert issubclass(cls, CGCNNRegressor)
    assert adapter.n_features_in_ == 3
    parts = [row_to_structure(row) for row in rows]
    packed = StructureArray(
        np.array([part[0] for part in parts]),
        np.ones((12, 3), dtype=bool),
        np.arange(0, 26, 2),
        np.array([part[1] for part in parts], dtype=np.uint8).ravel(),
        np.concatenate([part[2] for part in parts]),
    )
    plain = CGCNNRegressor(**FAST).fit(packed, y)
    assert np.array_equal(adapter.predict(rows), plain.predict(packed))
    assert adapter.score(rows, y) == plain.score(packed, y)


def test_adapter__wrong_number_of_columns__is_refused_as_sklearn_does(rows):
    adapter = numeric_adapter(CGCNNRegressor)(**FAST).fit(rows, rows[:, 0])
    for method in (adapter.predict, adapter.embed):
        with pytest.raises(ValueError, match="X has 2 features, but Numeric"):
            method(rows[:, :2])


def test_adapter__clone_and_pickle__keep_class_and_state(rows):
    model = numeric_adapter(CGCNNClassifier)(**FAST).fit(rows, rows[:, 0] > 0)
    loaded = pickle.loads(pickle.dumps(model))
    assert np.array_equal(loaded.predict_proba(rows), model.predict_proba(rows))
    assert type(clone(model)).__name__ == "NumericCGCNNClassifier"
    assert clone(model).get_params() == model.get_params()


def test_adapter__tags__ask_for_numbers_and_leave_the_class_alone():
    model = numeric_adapter(CGCNNRegressor)()
    assert model.__sklearn_tags__().input_tags.two_d_array
    assert model.__sklearn_tags__().regressor_tags.poor_score
    assert not CGCNNRegressor().__sklearn_tags__().input_tags.two_d_array
    formulas = numeric_adapter(MagpieFeatures, rows_to="formulas")()
    assert not formulas.__sklearn_tags__().input_tags.string
    assert MagpieFeatures().__sklearn_tags__().input_tags.string


def test_adapter__transformers__give_one_row_each(rows):
    magpie = numeric_adapter(MagpieFeatures, rows_to="formulas")()
    features = magpie.fit_transform(rows)
    assert features.shape == (12, 132)
    assert len(np.unique(features, axis=0)) == 12
    embedding = numeric_adapter(GraphEmbedding)(estimator=CGCNNRegressor(**FAST))
    assert embedding.fit(rows, rows[:, 0]).transform(rows).shape == (12, 8)


def test_checks__broken_estimator__are_not_green():
    """The adapter must let scikit-learn see a fault."""

    class Rounds(CGCNNRegressor):
        def predict(self, X):
            return super().predict(X).astype(np.float32)[:, None]

    model = numeric_adapter(Rounds)(**FAST)
    results = check_estimator(model, on_fail=None, on_skip=None)
    failed = {
        result["check_name"] for result in results if result["status"] == "failed"
    }
    assert "check_regressors_train" in failed
    assert len(results) > 50


def test_expected_failures__only_with_batch_statistics__and_with_a_reason():
    model = numeric_adapter(CGCNNRegressor)
    assert expected_failed_checks(model(norm="layer")) == {}
    reasons = expected_failed_checks(model(norm="batch"))
    assert all("sample_weight" in name and text for name, text in reasons.items())


def test_numeric_adapter__unknown_kind_of_rows__is_refused():
    with pytest.raises(InvalidValueError, match=r"rows_to must be one of.*structure'"):
        numeric_adapter(CGCNNRegressor, rows_to="structure")
