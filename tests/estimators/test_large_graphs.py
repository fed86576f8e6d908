"""Estimators that train from a file of graphs."""

from __future__ import annotations

import numpy as np
import pytest

from skmatgnn import ALIGNNRegressor, CGCNNRegressor
from skmatgnn.datasets import make_crystals
from skmatgnn.graphs import DeviceGraphs, GraphArray, StreamedGraphs, StructureToGraph
from skmatgnn.nets import GraphDataset


@pytest.fixture
def crystals():
    return make_crystals(40, random_state=0, return_X_y=True)


@pytest.fixture
def path(crystals, tmp_path):
    StructureToGraph().transform_to_file(crystals[0], tmp_path / "x.graphs")
    return tmp_path / "x.graphs"


@pytest.fixture
def placed(monkeypatch):
    """Kinds of storage that are used."""
    kinds, original = [], GraphDataset._pack_inputs

    def note(self, *args):
        found = original(self, *args)
        kinds.append(type(getattr(found, "__self__", found)))
        return found

    monkeypatch.setattr(GraphDataset, "_pack_inputs", note)
    return kinds


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("estimator", [ALIGNNRegressor, CGCNNRegressor])
def test_fit__graphs_on_disk__learns_the_same_to_the_last_digit(
    crystals, path, placed, monkeypatch, estimator, early_stopping
):
    X, y = crystals

    def fit(graphs):
        model = estimator(
            max_epochs=3,
            batch_size=8,
            random_state=0,
            device="cpu",
            early_stopping=early_stopping,
        )
        model.fit(graphs, y)
        losses = [(row["train_loss"], row.get("valid_loss")) for row in model.history_]
        return losses, model.predict(graphs)

    losses, predicted = fit(StructureToGraph().transform(X))
    assert set(placed) == {DeviceGraphs}
    placed.clear()
    monkeypatch.setenv("SKMATGNN_RESIDENT_MB", "0")
    assert fit(GraphArray.load(path))[0] == losses
    assert set(placed) == {StreamedGraphs}
    np.testing.assert_array_equal(fit(GraphArray.load(path))[1], predicted)


def test_fit__unknown_element_on_disk__is_named(crystals, path):
    graphs = GraphArray.load(path)
    numbers = np.array(graphs.atomic_numbers)
    numbers[graphs.node_ptr[7]] = 118
    spoilt = GraphArray(
        **{**graphs._arrays(), "atomic_numbers": numbers}, settings=graphs.settings
    )
    with pytest.raises(ValueError, match="at index 7 has the element of atomic number"):
        CGCNNRegressor(max_epochs=1).fit(spoilt, crystals[1])
