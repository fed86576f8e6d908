"""Every container of structures and formulas that scikit-learn hands around."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import StackingRegressor, VotingRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    cross_val_predict,
    cross_val_score,
    learning_curve,
    train_test_split,
)
from sklearn.pipeline import make_pipeline
from sklearn.utils import shuffle

from skmatgnn import CrabNetRegressor, GraphEmbedding
from skmatgnn.datasets import make_crystals
from skmatgnn.errors import InvalidTypeError
from skmatgnn.estimators.composition import make_rf_magpie
from skmatgnn.graphs import StructureToGraph
from skmatgnn.preprocessing import FormulaToComposition, StructureArray
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
FORMULAS = {
    "list": list,
    "tuple": tuple,
    "string_array": np.array,
    "object_array": to_object_array,
    "column": to_column,
    "series": to_series,
    "column_of_a_frame": lambda formulas: to_frame(formulas)["structure"],
    "frame": to_frame,
    "compositions": FormulaToComposition().transform,
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


@pytest.mark.parametrize("container", STRUCTURES)
def test_pipeline__container_of_structures__predicts_as_the_bare_model(
    container, data, small
):
    model = small.model()
    graphs = StructureToGraph(max_neighbors=model.max_neighbors)
    expected = small.model().fit(data.X, data.y).predict(data.X)
    X = STRUCTURES[container](data.X)
    pipeline = make_pipeline(graphs, model).fit(X, data.y)
    assert np.array_equal(pipeline.predict(X), expected)
    assert np.array_equal(pipeline.predict(data.X), expected)


@pytest.mark.parametrize("container", GRAPHS)
def test_pipeline__graphs_to_be_made_of_graphs__is_refused(container, data, small):
    model = small.model()
    X = GRAPHS[container](small.graphs(model, data.X))
    pipeline = make_pipeline(StructureToGraph(), model)
    message = "got GraphArray at index 0. Graphs are made already"
    with pytest.raises(InvalidTypeError, match=message):
        pipeline.fit(X, data.y)
    with pytest.raises(InvalidTypeError, match=message):
        pipeline.fit(data.X, data.y).predict(X)


def test_pipeline__container_for_an_embedding__gives_the_list_s_predictions(
    contain, data, small
):
    model = make_pipeline(GraphEmbedding(small.model()), Ridge())
    expected = model.fit(data.X, data.y).predict(data.X)
    X = contain(data.X, small.model())
    assert np.array_equal(model.predict(X), expected)
    assert np.array_equal(model.fit(X, data.y).predict(X), expected)


def test_stacking_regressor__container__gives_the_list_s_predictions(
    contain, data, small
):
    members = [("a", small.model()), ("b", small.model(random_state=1))]
    stack = StackingRegressor(members, final_estimator=Ridge(), cv=2)
    expected = stack.fit(data.X, data.y).predict(data.X)
    weights = stack.final_estimator_.coef_
    assert np.ptp(expected) > 0
    X = contain(data.X, small.model())
    assert np.array_equal(stack.predict(X), expected)
    assert np.array_equal(stack.fit(X, data.y).predict(X), expected)
    assert np.array_equal(stack.final_estimator_.coef_, weights)


def test_voting_regressor__container__gives_the_list_s_predictions(
    contain, data, small
):
    members = [("a", small.model()), ("b", small.model(random_state=1))]
    vote = VotingRegressor(members)
    expected = vote.fit(data.X, data.y).predict(data.X)
    X = contain(data.X, small.model())
    assert np.array_equal(vote.predict(X), expected)
    assert np.array_equal(vote.fit(X, data.y).transform(X), vote.transform(data.X))
    assert np.array_equal(vote.predict(X), expected)


def test_learning_curve__container__gives_the_list_s_scores(contain, data, small):
    arguments = {"train_sizes": [4, 12], "cv": 2, "error_score": "raise"}
    arguments |= {"shuffle": True, "random_state": 0}
    model = small.model(max_epochs=1)
    expected = learning_curve(model, data.X, data.y, **arguments)
    found = learning_curve(model, contain(data.X, model), data.y, **arguments)
    for ours, theirs in zip(found, expected, strict=True):
        assert np.array_equal(ours, theirs)
    assert expected[2].shape == (2, 2)


def members_of_formulas():
    forest = make_rf_magpie(n_estimators=2, random_state=0)
    sizes = {"d_model": 8, "n_layers": 1, "n_heads": 2, "max_epochs": 1}
    crabnet = CrabNetRegressor(**sizes, random_state=0, device="cpu")
    return [("forest", forest), ("crabnet", crabnet)]


@pytest.fixture(params=FORMULAS)
def formulas(request):
    """The same twenty salts as a list and in a container, and their target."""
    salts = [f"{cation}{anion}" for cation in ("Li", "Na", "K", "Rb", "Cs")
             for anion in ("F", "Cl", "Br", "I")]  # fmt: skip
    y = np.random.default_rng(0).normal(size=20)
    return salts, FORMULAS[request.param](salts), y


def test_formulas__any_container__cross_validate(formulas):
    salts, X, y = formulas
    for _, model in members_of_formulas():
        expected = cross_val_score(model, salts, y, cv=2, error_score="raise")
        found = cross_val_score(model, X, y, cv=2, error_score="raise")
        assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    "ensemble",
    [VotingRegressor, partial(StackingRegressor, final_estimator=Ridge(), cv=2)],
    ids=["voting", "stacking"],
)
def test_formulas__any_container__give_the_list_s_predictions(formulas, ensemble):
    salts, X, y = formulas
    ensemble = ensemble(members_of_formulas())
    expected = ensemble.fit(salts, y).predict(salts)
    assert np.array_equal(ensemble.predict(X), expected)
    assert np.array_equal(ensemble.fit(X, y).predict(X), expected)
    assert np.ptp(expected) > 0
