"""Every container of structures that scikit-learn hands around."""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    cross_val_predict,
    cross_val_score,
    train_test_split,
)
from sklearn.utils import shuffle

from skmatgnn.datasets import make_crystals
from skmatgnn.preprocessing import StructureArray
from skmatgnn.utils.validation import to_object_array


def to_column(X):
    return to_object_array(X).reshape(-1, 1)


def to_series(X):
    index = [f"mp-{7 * i % 100}" for i in range(len(X))]
    return pd.Series(X, index=index, dtype=object)


def to_frame(X):
    return pd.DataFrame({"structure": to_series(X)})


STRUCTURES = {
    "list": list,
    "tuple": tuple,
    "object_array": to_object_array,
    "column": to_column,
    "series": to_series,
    "frame": to_frame,
    "structure_array": StructureArray.from_structures,
}
GRAPHS = {
    "graph_array": lambda graphs: graphs,
    "list_of_graphs": list,
    "tuple_of_graphs": tuple,
    "object_array_of_graphs": to_object_array,
    "column_of_graphs": to_column,
    "series_of_graphs": to_series,
    "frame_of_graphs": to_frame,
}


@pytest.fixture(params=[*STRUCTURES, *GRAPHS])
def contain(request, small):
    """Put structures into a container, as graphs where it is one of graphs."""

    def contain(structures, model):
        if request.param in STRUCTURES:
            return STRUCTURES[request.param](structures)
        return GRAPHS[request.param](small.graphs(model, structures))

    return contain


def test_container__fit_and_predict__gives_the_list_s_predictions(
    contain, regressor, data
):
    expected = regressor.fit(data.X, data.y).predict(data.X)
    X = contain(data.X, regressor)
    assert np.array_equal(regressor.predict(X), expected)
    assert np.array_equal(regressor.fit(X, data.y).predict(X), expected)
    assert np.ptp(expected) > 0


def test_container__structures_of_equal_size__are_not_unpacked(contain, small):
    X, y = make_crystals(
        8, prototypes=["rocksalt", "cscl"], random_state=0, return_X_y=True
    )
    model = small.model()
    expected = model.fit(list(X), y).predict(list(X))
    assert expected.shape == (8,)
    X = contain(list(X), model)
    assert np.array_equal(model.fit(X, y).predict(X), expected)


def test_container__ase_atoms__predict_as_structures_do(data, small):
    pytest.importorskip("ase")
    from pymatgen.io.ase import AseAtomsAdaptor

    atoms = [AseAtomsAdaptor.get_atoms(structure) for structure in data.X]
    model = small.model()
    expected = model.fit(data.X, data.y).predict(data.X)
    assert model.predict(atoms) == pytest.approx(expected, rel=1e-5)
    mixed = [*atoms[:12], *data.X[12:]]
    assert model.fit(mixed, data.y).predict(mixed) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    "splitter", [KFold(3), GroupKFold(3), LeaveOneGroupOut()], ids=str
)
def test_container__any_splitter__cross_validates(contain, data, small, splitter):
    model = small.model(max_epochs=1)
    groups = None if isinstance(splitter, KFold) else data.groups // 2
    arguments = {"groups": groups, "cv": splitter, "error_score": "raise"}
    expected = cross_val_score(model, data.X, data.y, **arguments)
    X = contain(data.X, model)
    assert np.array_equal(cross_val_score(model, X, data.y, **arguments), expected)


def test_container__cross_val_predict__keeps_the_order(contain, data, small):
    model = small.model()
    expected = np.empty(24)
    for train, test in KFold(3).split(data.X):
        model.fit([data.X[i] for i in train], data.y[train])
        expected[test] = model.predict([data.X[i] for i in test])
    X = contain(data.X, model)
    assert np.array_equal(cross_val_predict(model, X, data.y, cv=KFold(3)), expected)


def test_container__grid_search_in_processes__equals_the_serial_one(
    contain, data, small
):
    X = contain(data.X, small.model())
    grid = {"hidden_dim": [4, 8], "loss": ["l1", "mse"]}
    arguments = {"cv": 2, "error_score": "raise"}
    serial = GridSearchCV(small.model(), grid, **arguments).fit(data.X, data.y)
    search = GridSearchCV(small.model(), grid, n_jobs=2, **arguments).fit(X, data.y)
    assert search.best_params_ == serial.best_params_
    scores = (search.cv_results_["mean_test_score"], serial.cv_results_)
    assert np.array_equal(scores[0], scores[1]["mean_test_score"])
    assert np.array_equal(search.predict(X), serial.predict(data.X))


def test_container__train_test_split_and_shuffle__keep_pairs(contain, data, small):
    model = small.model().fit(data.X, data.y)
    expected = dict(zip(data.y, model.predict(data.X), strict=True))
    X = contain(data.X, model)
    X, y = shuffle(X, data.y, random_state=1)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    for part, target in ((X_train, y_train), (X_test, y_test)):
        of_target = [expected[value] for value in target]
        assert model.predict(part) == pytest.approx(of_target, rel=1e-4)


def test_container__row_index_of_a_series__does_not_matter(data, small):
    index = np.random.default_rng(0).permutation(24)
    X, y = pd.Series(data.X, index=index), pd.Series(data.y, index=index[::-1])
    model = small.model()
    expected = model.fit(data.X, data.y).predict(data.X)
    assert np.array_equal(model.fit(X, y).predict(X), expected)
