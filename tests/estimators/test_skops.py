"""Pipelines through skops, which has no pickle either."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmatgnn import GraphEmbedding, make_rf_magpie
from skmatgnn.graphs import StructureToGraph

skops_io = pytest.importorskip("skops.io")

# what the README says may be trusted
OURS = ("skmatgnn.", "skorch.", "torch.", "numpy.", "sklearn.", "functools.partial")


def again(model, path):
    skops_io.dump(model, path)
    unknown = skops_io.get_untrusted_types(file=path)
    assert all(name.startswith(OURS) for name in unknown), unknown
    return skops_io.load(path, trusted=unknown)


@pytest.mark.parametrize("name", ["CGCNNRegressor", "ALIGNNClassifier"])
def test_pipeline_with_a_network__comes_back_and_goes_on_alike(
    name, data, small, tmp_path
):
    y = data.labels.astype(str) if name.endswith("Classifier") else data.y
    pipeline = make_pipeline(StructureToGraph(max_neighbors=4), small.model(name))
    pipeline.fit(data.X, y)
    loaded = again(pipeline, tmp_path / "pipeline.skops")
    assert np.array_equal(loaded.predict(data.X), pipeline.predict(data.X))
    for model in (loaded, pipeline):
        model[-1].partial_fit(model[0].transform(data.X), y)
    assert np.array_equal(loaded.predict(data.X), pipeline.predict(data.X))


def test_pipeline_on_features_of_a_network__comes_back(data, small, tmp_path):
    pipeline = make_pipeline(
        GraphEmbedding(small.model()),
        StandardScaler(),
        make_rf_magpie(n_estimators=5, random_state=0)[-1],
    ).fit(data.X, data.y)
    loaded = again(pipeline, tmp_path / "pipeline.skops")
    assert np.array_equal(loaded.predict(data.X), pipeline.predict(data.X))


def test_forest_on_magpie_features__comes_back(data, tmp_path):
    formulas = [structure.formula for structure in data.X]
    model = make_rf_magpie(n_estimators=5, random_state=0).fit(formulas, data.y)
    loaded = again(model, tmp_path / "forest.skops")
    assert np.array_equal(loaded.predict(formulas), model.predict(formulas))


def test_load__without_trust__is_refused(data, small, tmp_path):
    skops_io.dump(small.model().fit(data.X, data.y), tmp_path / "model.skops")
    with pytest.raises(Exception, match=r"(?s)Untrusted types.*CGCNNRegressor"):
        skops_io.load(tmp_path / "model.skops")
