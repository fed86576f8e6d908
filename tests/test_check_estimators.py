"""scikit-learn's own checks, on every public estimator through the adapter."""

import pytest
from matminer.featurizers.composition import Stoichiometry
from matminer.featurizers.structure import DensityFeatures
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold
from sklearn.utils.estimator_checks import parametrize_with_checks

import skmatgnn
from skmatgnn.featurizers import CompositionFeatures, MagpieFeatures, MatminerFeatures
from skmatgnn.graphs import StructureToGraph
from skmatgnn.preprocessing import FormulaToComposition, StructureToComposition
from skmatgnn.testing import expected_failed_checks, numeric_adapter

SMALL_ALIGNN = {
    "n_alignn_layers": 1,
    "n_gcn_layers": 1,
    "hidden_dim": 8,
    "embedding_dim": 8,
    "n_radial": 8,
    "n_angular": 4,
}
SMALL_CGCNN = {"node_dim": 8, "hidden_dim": 8, "edge_step": 1.0}
# noise depends on the number of rows, which weights and repetitions tell apart
SMALL_CRABNET = {
    "d_model": 8,
    "n_layers": 1,
    "n_heads": 2,
    "dropout": 0.0,
    "fraction_noise": 0.0,
    "max_epochs": 2,
    "batch_size": 1000,
    "random_state": 0,
    "precision": "float64",
}
SMALL_MODNET = {
    "n_neurons": ((8,), (8,), (), ()),
    "n_models": 2,
    "max_epochs": 2,
    "random_state": 0,
    "precision": "float64",
}
# subsets of a batch agree to rounding, which the checks want below 1e-7
GRAPH = {
    "max_epochs": 2,
    "max_neighbors": 4,
    "random_state": 0,
    "precision": "float64",
}
GIVE_OBJECTS = (StructureToGraph, FormulaToComposition, StructureToComposition)
COMPARE_NUMBERS = (
    "check_estimators_pickle",
    "check_fit_idempotent",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_pipeline_consistency",
    "check_transformer_data_not_an_array",
    "check_transformer_general",
    "check_transformer_preserve_dtypes",
)


def estimators():
    for task in ("Regressor", "Classifier"):
        alignn = getattr(skmatgnn, f"ALIGNN{task}")
        cgcnn = getattr(skmatgnn, f"CGCNN{task}")
        yield numeric_adapter(alignn)(**GRAPH, **SMALL_ALIGNN)
        yield numeric_adapter(cgcnn)(**GRAPH, **SMALL_CGCNN)
        crabnet = getattr(skmatgnn, f"CrabNet{task}")
        yield numeric_adapter(crabnet, rows_to="formulas")(**SMALL_CRABNET)
        modnet = getattr(skmatgnn, f"MODNet{task}")
        yield numeric_adapter(modnet, rows_to="formulas")(**SMALL_MODNET)
        # on tables the checks expect accuracy, too
        trained = {**SMALL_MODNET, "max_epochs": 30, "lr": 2e-2, "bootstrap": True}
        yield modnet(featurizer=None, n_features=8, **trained)
    mpt = numeric_adapter(skmatgnn.MPTRegressor)
    yield mpt(**GRAPH, **SMALL_ALIGNN, head_dim=8)
    yield mpt(architecture="cgcnn", **GRAPH, **SMALL_CGCNN, head_dim=8)
    model = skmatgnn.CGCNNRegressor(**GRAPH, **SMALL_CGCNN)
    yield numeric_adapter(skmatgnn.GraphEmbedding)(estimator=model)
    yield from transformers()
    yield from wrappers()
    yield from searches()


def transformers():
    yield numeric_adapter(MagpieFeatures, rows_to="formulas")()
    yield numeric_adapter(CompositionFeatures, rows_to="formulas")()
    yield numeric_adapter(MatminerFeatures, rows_to="formulas")(Stoichiometry())
    yield numeric_adapter(MatminerFeatures)(DensityFeatures())
    yield numeric_adapter(FormulaToComposition, rows_to="formulas")()
    yield numeric_adapter(StructureToComposition)()
    yield numeric_adapter(StructureToGraph)(max_neighbors=4)


def wrappers():
    """Those around another estimator, which itself takes numbers."""
    graphs = numeric_adapter(skmatgnn.CGCNNRegressor)(**GRAPH, **SMALL_CGCNN)
    classifier = numeric_adapter(skmatgnn.CGCNNClassifier)(**GRAPH, **SMALL_CGCNN)
    yield skmatgnn.DeepEnsembleRegressor(graphs, n_models=2, random_state=0)
    yield skmatgnn.DeepEnsembleClassifier(classifier, n_models=2, random_state=0)
    few = {"confidence_level": 0.5, "random_state": 0}  # of the checks' few samples
    yield skmatgnn.ConformalRegressor(graphs, **few)
    for method in ("split", "cv+"):
        yield skmatgnn.ConformalRegressor(Ridge(), method=method, cv=2, **few)


def searches():
    """On tables, where the checks expect accuracy, too."""
    rates = {"n_features": [None], "lr": [0.05, 0.1]}
    small = {"featurizer": None, "max_epochs": 5, "n_models": 1, "random_state": 0}
    yield skmatgnn.MODNetSearchCV(
        skmatgnn.MODNetClassifier(**small),
        space={**rates, "n_neurons": [((8,), (), (), ())]},
        # to stratify, scikit-learn casts y with a warning before it refuses infinity
        cv=KFold(2, shuffle=True, random_state=0),
    )
    yield skmatgnn.MODNetSearchCV(
        skmatgnn.MODNetRegressor(**small),
        preset="genetic",
        space={**rates, "first_width": [8], "batch_size": [64]},
        population_size=3,
        n_generations=2,
        cv=2,
        random_state=0,
    )


def expected_failures(estimator):
    if isinstance(estimator, GIVE_OBJECTS):
        return dict.fromkeys(COMPARE_NUMBERS, "output is not numeric")
    return expected_failed_checks(estimator)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(list(estimators()), expected_failed_checks=expected_failures)
def test_sklearn_check__every_estimator__passes(estimator, check):
    check(estimator)
