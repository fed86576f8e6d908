"""Graph estimators inside scikit-learn's pipelines, searches and ensembles."""

import pickle
from copy import deepcopy

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    RandomizedSearchCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
)
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmatgnn import GraphEmbedding
from skmatgnn.estimators._base import BaseGraphEstimator
from skmatgnn.featurizers import MagpieFeatures
from skmatgnn.graphs import StructureToGraph
from skmatgnn.preprocessing import StructureToComposition


@pytest.fixture
def graphs_of(small):
    model = small.model()
    return StructureToGraph(cutoff=model.cutoff, max_neighbors=model.max_neighbors)


@pytest.fixture
def received(monkeypatch):
    """Arguments that reach the estimators' common fit."""
    calls = []
    fit = BaseGraphEstimator._fit

    def record(self, X, y, sample_weight, groups):
        calls.append({"n": len(X), "sample_weight": sample_weight, "groups": groups})
        return fit(self, X, y, sample_weight, groups)

    monkeypatch.setattr(BaseGraphEstimator, "_fit", record)
    return calls


def test_pipeline__of_graphs_and_regressor__predicts_like_the_bare_one(
    data, small, graphs_of
):
    expected = small.model().fit(data.X, data.y).predict(data.X)
    pipeline = make_pipeline(graphs_of, small.model()).fit(data.X, data.y)
    assert np.array_equal(pipeline.predict(data.X), expected)
    assert pipeline.score(data.X, data.y) == small.model().fit(data.X, data.y).score(
        data.X, data.y
    )


def test_pipeline__searched_over_graph_settings__uses_them(data, small, graphs_of):
    pipeline = make_pipeline(graphs_of, small.model())
    grid = {"structuretograph__max_neighbors": [2, 6]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise", n_jobs=2)
    search.fit(data.X, data.y)
    assert len(set(search.cv_results_["mean_test_score"])) == 2
    settings = search.best_estimator_[-1].graph_settings_
    assert settings.max_neighbors == next(iter(search.best_params_.values()))


def test_pipeline__with_memory__gives_the_same(tmp_path, data, small, graphs_of):
    plain = make_pipeline(graphs_of, small.model()).fit(data.X, data.y)
    cached = make_pipeline(graphs_of, small.model(), memory=str(tmp_path))
    for _ in range(2):
        assert np.array_equal(
            cached.fit(data.X, data.y).predict(data.X), plain.predict(data.X)
        )


def test_column_transformer__structure_column_by_name__becomes_magpie_features(
    data, small
):
    frame = pd.DataFrame({"structure": pd.Series(data.X, dtype=object), "t": data.y})
    columns = ColumnTransformer(
        [
            ("magpie", make_pipeline(StructureToComposition(), MagpieFeatures()),
             "structure"),
            ("embed", GraphEmbedding(small.model()), "structure"),
        ]
    )  # fmt: skip
    features = columns.fit_transform(frame, data.y)
    assert features.shape == (24, 132 + 8)


def test_stacking_regressor__object_x__stacks_out_of_fold_predictions(data, small):
    members = [("a", small.model()), ("b", small.model("ALIGNNRegressor"))]
    stack = StackingRegressor(members, final_estimator=Ridge(), cv=3)
    stack.fit(data.X, data.y)
    columns = [cross_val_predict(m, data.X, data.y, cv=3) for _, m in members]
    expected = Ridge().fit(np.column_stack(columns), data.y)
    assert stack.final_estimator_.coef_ == pytest.approx(expected.coef_, rel=1e-9)
    assert stack.predict(data.X).shape == (24,)


def test_voting_regressor__object_x__averages(data, small):
    members = [("a", small.model()), ("b", small.model(random_state=1))]
    vote = VotingRegressor(members, n_jobs=2).fit(data.X, data.y)
    each = [model.fit(data.X, data.y).predict(data.X) for _, model in members]
    assert vote.predict(data.X) == pytest.approx(np.mean(each, axis=0), rel=1e-12)
    assert not np.array_equal(each[0], each[1])


def test_learning_curve__list_of_structures__scores_each_size(data, small):
    sizes, train, test = learning_curve(
        small.model(),
        data.X,
        data.y,
        train_sizes=[1, 4, 12],
        cv=2,
        scoring="neg_mean_absolute_error",
        error_score="raise",
    )
    assert sizes.tolist() == [1, 4, 12]
    assert np.isfinite(train).all()
    assert np.isfinite(test).all()


def test_bagging__one_column_frame__bootstraps_structures(data, small):
    frame = pd.DataFrame({"structure": pd.Series(data.X, dtype=object)})
    bag = BaggingRegressor(
        small.model(), n_estimators=3, random_state=0, oob_score=True
    )
    with pytest.warns(UserWarning, match="do not have OOB scores"):
        bag.fit(frame, data.y)
    each = [model.predict(data.X) for model in bag.estimators_]
    assert bag.predict(frame) == pytest.approx(np.mean(each, axis=0), rel=1e-6)
    assert len({tuple(prediction) for prediction in each}) == 3


def test_multi_output_regressor__two_columns__fits_one_model_each(data, small):
    Y = np.column_stack([data.y, -2 * data.y])
    model = MultiOutputRegressor(small.model()).fit(data.X, Y)
    single = small.model().fit(data.X, Y[:, 1])
    assert model.predict(data.X).shape == (24, 2)
    assert np.array_equal(model.predict(data.X)[:, 1], single.predict(data.X))


def test_transformed_target__logarithm__is_undone(data, small):
    model = TransformedTargetRegressor(small.model(), func=np.exp, inverse_func=np.log)
    model.fit(data.X, data.y / 10)
    inner = small.model().fit(data.X, np.exp(data.y / 10)).predict(data.X)
    assert model.predict(data.X) == pytest.approx(np.log(inner), rel=1e-9)
    scaled = TransformedTargetRegressor(small.model(), transformer=StandardScaler())
    assert scaled.fit(data.X, data.y).predict(data.X).shape == (24,)


def test_randomized_search__classifier_by_groups__refits_the_best(data, small):
    model = small.model("CGCNNClassifier")
    search = RandomizedSearchCV(
        model,
        {"lr": [1e-3, 1e-2], "node_dim": [4, 8]},
        n_iter=3,
        cv=GroupKFold(3),
        random_state=0,
        error_score="raise",
    )
    search.fit(data.X, data.labels, groups=data.groups)
    assert set(search.predict(data.X)) <= {"hard", "soft"}


def test_cross_validate__groups_in_params__reach_every_fit_sliced(
    data, small, received
):
    model = small.model(early_stopping=True)
    cross_validate(
        model,
        data.X,
        data.y,
        params={"groups": data.groups, "sample_weight": np.arange(24.0)},
        cv=3,
        error_score="raise",
    )
    assert [call["n"] for call in received] == [16] * 3
    assert received[0]["groups"].tolist() == data.groups[8:].tolist()
    assert received[0]["sample_weight"].tolist() == list(range(8, 24))


def test_metadata_routing__requested_groups__reach_splitter_and_fit(
    data, small, received
):
    with config_context(enable_metadata_routing=True):
        model = small.model().set_fit_request(groups=True, sample_weight=False)
        search = GridSearchCV(model, {"lr": [1e-3]}, cv=GroupKFold(2), refit=False)
        search.fit(data.X, data.y, groups=data.groups)
        pipeline = make_pipeline(StructureToGraph(max_neighbors=4), model)
        cross_validate(
            pipeline,
            data.X,
            data.y,
            params={"groups": data.groups},
            cv=GroupKFold(2),
            error_score="raise",
        )
    assert len(received) == 4
    train, other = (set(call["groups"]) for call in received[:2])
    assert not train & other
    assert train | other == set(data.groups)


def test_metadata_routing__unrequested_weights__are_refused(data, small):
    with config_context(enable_metadata_routing=True):
        search = GridSearchCV(small.model(), {"lr": [1e-3]}, cv=2)
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            search.fit(data.X, data.y, sample_weight=np.ones(24))


def test_clone__of_fitted_model__is_unfitted_with_the_same_parameters(estimator, data):
    y = data.labels if hasattr(estimator, "predict_proba") else data.y
    estimator.fit(data.X, y)
    copy = clone(estimator)
    assert not hasattr(copy, "net_")
    assert copy.get_params() == estimator.get_params()
    assert np.array_equal(
        copy.fit(data.X, y).predict(data.X), estimator.predict(data.X)
    )


@pytest.mark.parametrize("how", ["pickle", "joblib", "deepcopy"])
def test_stored_model__loaded_again__predicts_bitwise_the_same(
    how, estimator, data, tmp_path
):
    y = data.labels if hasattr(estimator, "predict_proba") else data.y
    estimator.fit(data.X, y)
    if how == "joblib":
        joblib.dump(estimator, tmp_path / "model.joblib")
        loaded = joblib.load(tmp_path / "model.joblib")
    elif how == "deepcopy":
        loaded = deepcopy(estimator)
    else:
        loaded = pickle.loads(pickle.dumps(estimator))
    assert np.array_equal(loaded.predict(data.X), estimator.predict(data.X))
    if hasattr(estimator, "predict_proba"):
        assert np.array_equal(
            loaded.predict_proba(data.X), estimator.predict_proba(data.X)
        )
    loaded.partial_fit(data.X, y)
    assert np.array_equal(
        loaded.predict(data.X), estimator.partial_fit(data.X, y).predict(data.X)
    )


def test_stored_model__does_not_contain_the_training_data(data, small):
    few = small.model().fit(data.X, data.y)
    many = small.model().fit(data.X * 20, np.tile(data.y, 20))
    assert len(pickle.dumps(many)) < len(pickle.dumps(few)) + 1000


def test_stacking_classifier__string_labels__uses_probabilities(data, small):
    members = [
        ("a", small.model("CGCNNClassifier")),
        ("b", small.model("ALIGNNClassifier")),
    ]
    stack = StackingClassifier(members, LogisticRegression(), cv=2)
    stack.fit(data.X, data.labels)
    assert stack.transform(data.X).shape == (24, 2)
    assert stack.predict_proba(data.X).sum(axis=1) == pytest.approx(np.ones(24))
    assert stack.classes_.tolist() == ["hard", "soft"]


def test_voting_classifier__soft__averages_probabilities(data, small):
    members = [("a", small.model("CGCNNClassifier")),
               ("b", small.model("CGCNNClassifier", random_state=1))]  # fmt: skip
    vote = VotingClassifier(members, voting="soft").fit(data.X, data.labels)
    each = [m.fit(data.X, data.labels).predict_proba(data.X) for _, m in members]
    assert vote.predict_proba(data.X) == pytest.approx(np.mean(each, axis=0))


def test_calibrated_classifier__object_x__calibrates(data, small):
    model = CalibratedClassifierCV(small.model("CGCNNClassifier"), cv=2)
    probability = model.fit(data.X, data.labels).predict_proba(data.X)
    assert probability.shape == (24, 2)
    assert probability.sum(axis=1) == pytest.approx(np.ones(24))
    scores = cross_val_score(
        small.model("CGCNNClassifier"),
        data.X,
        data.labels,
        scoring="neg_log_loss",
        cv=2,
        error_score="raise",
    )
    assert np.isfinite(scores).all()


class _Constant(RegressorMixin, BaseEstimator):
    def fit(self, X, y):
        self.mean_ = np.mean(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_)


def test_voting__beside_an_estimator_that_is_not_ours__works(data, small):
    vote = VotingRegressor([("gnn", small.model()), ("mean", _Constant())])
    prediction = vote.fit(data.X, data.y).predict(data.X)
    alone = small.model().fit(data.X, data.y).predict(data.X)
    assert prediction == pytest.approx((alone + data.y.mean()) / 2)
