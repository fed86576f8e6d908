"""Classes beside real properties in MPTRegressor."""

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.model_selection import cross_val_predict, cross_val_score
from torch.nn import functional as F

from skmatgnn import CGCNNClassifier, ConformalRegressor, MPTRegressor, load_estimator
from skmatgnn.errors import InvalidValueError
from skmatgnn.nets._criteria import RegressionLoss
from skmatgnn.nets._dataset import Labels
from skmatgnn.preprocessing import merge_properties

CHECKPOINTS = Path(__file__).parents[1] / "data" / "checkpoints"
KINDS = {"is_hard": "classification"}


@pytest.fixture(scope="module")
def table(data):
    """A real property and a class, each unknown for some, the class as objects."""
    frame = pd.DataFrame(
        {"volume": [1e3 * x.volume for x in data.X], "is_hard": data.labels == "hard"}
    )
    frame.loc[::5, "volume"] = np.nan
    frame["is_hard"] = frame["is_hard"].astype(object)
    frame.loc[3:6, "is_hard"] = None
    return frame


@pytest.fixture
def make(small):
    def make(architecture="cgcnn", **parameters):
        sizes = small.alignn if architecture == "alignn" else small.cgcnn
        training = {"max_epochs": 2, "max_neighbors": 4, "random_state": 0}
        given = {**training, "head_dim": 4, "property_kinds": KINDS, **parameters}
        return MPTRegressor(architecture=architecture, device="cpu", **sizes, **given)

    return make


def weights(model):
    return {k: v.clone() for k, v in model.net_.module_.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(first[k], second[k]) for k in first
    )


@pytest.mark.parametrize("architecture", ["alignn", "cgcnn"])
def test_fit__class_beside_a_real_property__learns_both(
    architecture, make, table, data
):
    model = make(architecture, max_epochs=60, lr=1e-2).fit(data.X, table)
    predicted = model.predict(data.X)
    assert model.property_kinds_.tolist() == ["regression", "classification"]
    assert ((predicted[:, 1] > 0) & (predicted[:, 1] < 1)).all()
    known = table["is_hard"].notna().to_numpy()
    truth = table["is_hard"][known].astype(bool).to_numpy()
    scores = model.property_scores(data.X, table)
    assert scores.columns.tolist() == ["n", "mae", "smae", "r2", "accuracy", "auc"]
    real, label = scores.loc["volume"], scores.loc["is_hard"]
    assert label[["mae", "smae", "r2"]].isna().all()
    assert real[["accuracy", "auc"]].isna().all()
    assert label["accuracy"] == ((predicted[known, 1] > 0.5) == truth).mean()
    assert label["auc"] == roc_auc_score(truth, predicted[known, 1])
    assert label["auc"] > 0.8
    assert real["smae"] < 0.8
    skill = 1 - brier_score_loss(truth, predicted[known, 1]) / truth.var()
    r2 = real["r2"]
    assert model.score(data.X, table) == pytest.approx((skill + r2) / 2)


def test_probabilities__of_a_long_fit_of_the_base_rate__are_that(make, data):
    """A network that sees the same crystal over and over can learn no more."""
    X = [data.X[0]] * 20
    y = pd.DataFrame({"is_hard": [1.0] * 5 + [0.0] * 15})
    model = make(max_epochs=150, lr=0.05, batch_size=20).fit(X, y)
    assert model.predict(X) == pytest.approx(np.full((20, 1), 0.25), abs=0.02)


def test_loss__each_cell__is_that_of_its_kind_and_unknown_ones_have_no_gradient():
    nan = float("nan")
    logits = torch.tensor([[0.5, -2.0], [3.0, 40.0], [1.0, 0.3]], requires_grad=True)
    target = torch.tensor([[2.5, 1.0], [nan, 0.0], [1.5, nan]])
    criterion = RegressionLoss("l1", classes=[False, True])
    loss = criterion(logits, Labels(target, None))
    entropy = -F.logsigmoid(torch.tensor([-2.0])), -F.logsigmoid(torch.tensor([-40.0]))
    expected = (2.0 + 0.5 + float(entropy[0]) + float(entropy[1])) / 4
    assert float(loss.detach()) == pytest.approx(expected)
    loss.backward()
    assert logits.grad[1, 0] == logits.grad[2, 1] == 0
    assert torch.isfinite(logits.grad).all()
    slope = (torch.sigmoid(torch.tensor(-2.0)) - 1) / 4
    assert logits.grad[0, 1] == pytest.approx(float(slope))
    total, known = criterion.sums(logits.detach(), Labels(target, None))
    assert total.tolist() == pytest.approx([2.5, float(sum(entropy))])
    assert known.tolist() == [2, 2]


def test_kinds__all_real_in_any_form__change_no_bit(make, data, table):
    y = table.assign(is_hard=table["is_hard"].astype(float))
    expected = weights(make(property_kinds=None).fit(data.X, y))
    for kinds in ({}, {"volume": "regression"}, ["regression"] * 2):
        assert same(weights(make(property_kinds=kinds).fit(data.X, y)), expected)
    scores = make(property_kinds=None).fit(data.X, y).property_scores(data.X, y)
    assert scores.columns.tolist() == ["n", "mae", "smae", "r2"]


def test_kinds__by_name_or_in_order_frame_or_array__are_the_same(make, data, table):
    expected = weights(make().fit(data.X, table))
    listed = make(property_kinds=["regression", "classification"])
    assert same(weights(listed.fit(data.X, table)), expected)
    assert same(weights(listed.fit(data.X, table.to_numpy(dtype=float))), expected)
    nullable = table.assign(is_hard=table["is_hard"].astype("boolean"))
    assert same(weights(make().fit(data.X, nullable)), expected)
    assert np.isfinite(make().fit(data.X, nullable).score(data.X, nullable))
    numbered = make(property_kinds={"property1": "classification"})
    found = numbered.fit(data.X, table.to_numpy(dtype=float))
    assert same(weights(found), expected)
    single = make().fit(data.X, pd.Series(data.labels == "hard", name="is_hard"))
    assert single.predict(data.X).shape == (24,)
    assert (single.predict(data.X) < 1).all()


def test_labels__of_merged_datasets_that_differ__are_probabilities(make, data):
    first = (data.X, data.labels == "hard", "is_hard")
    second = (data.X[:4], data.labels[:4] != "hard", "is_hard")
    merged = merge_properties([first, second], match="structure")
    assert (merged.target["is_hard"] == 0.5).sum() >= 4
    model = make(max_epochs=1).fit(merged.data, merged.target)
    scores = model.property_scores(merged.data, merged.target)
    assert 0 <= scores.loc["is_hard", "auc"] <= 1


@pytest.mark.parametrize(
    ("kinds", "match"),
    [
        ({"is_soft": "classification"}, r"names 'is_soft', but y has.*'volume'"),
        ({"is_hard": "binary"}, "'regression' or 'classification'"),
        (["classification"], "each of the 2 properties"),
        (["regression", "classification", "regression"], "each of the 2"),
        ({"volume": "classification"}, r"at index 1 of 'volume'.*must be 0 or 1"),
    ],
)
def test_kinds__unusable__are_refused(kinds, match, make, data, table):
    with pytest.raises(InvalidValueError, match=match):
        make(property_kinds=kinds).fit(data.X, table)


def test_labels__strings__are_refused_with_what_to_do(make, data):
    y = pd.DataFrame({"is_hard": data.labels})
    with pytest.raises(InvalidValueError, match="y must be numeric"):
        make().fit(data.X, y)


def test_scaling__of_classes__is_none_however_weighted(make, data, table):
    model = make(property_weights="balanced")
    model.fit(data.X, table, sample_weight=np.linspace(1, 2, 24))
    assert model.target_scaler_.mean_[1] == 0
    assert model.target_scaler_.scale_[1] == 1
    assert model.target_scaler_.mean_[0] > 1e4
    known = table.notna().sum().to_numpy()
    assert model.property_weights_ * known == pytest.approx([known.sum() / 2] * 2)


def test_refit__clone_pickle_and_file__predict_the_same_bits(
    make, data, table, tmp_path
):
    model = make(early_stopping=True, validation_fraction=0.3)
    expected = model.fit(data.X, table).predict(data.X)
    losses = np.array([row["valid_losses"] for row in model.history_])
    assert losses.shape == (2, 2)
    assert (losses[:, 1] < 1.5).all()
    assert np.array_equal(clone(model).fit(data.X, table).predict(data.X), expected)
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict(data.X), expected)
    model.save(tmp_path / "mpt")
    loaded = load_estimator(tmp_path / "mpt")
    assert np.array_equal(loaded.predict(data.X), expected)
    for m in (model, loaded):
        m.set_params(warm_start=True).fit(data.X, table)
    assert np.array_equal(loaded.predict(data.X), model.predict(data.X))


def test_checkpoint__from_before_kinds__still_has_real_properties_only(data):
    loaded = load_estimator(CHECKPOINTS / "mpt_regressor_v1.safetensors")
    assert not hasattr(loaded, "property_kinds_")
    predicted = loaded.predict(data.X)
    scores = loaded.property_scores(data.X, predicted)
    assert scores["r2"].to_numpy() == pytest.approx(np.ones(len(scores)))
    loaded.partial_fit(data.X, predicted)
    assert set(loaded.property_kinds_) == {"regression"}


def test_warm_start__kinds__cannot_change(make, data, table):
    model = make(warm_start=True).fit(data.X, table)
    model.partial_fit(data.X, table).fit(data.X, table)
    with pytest.raises(InvalidValueError, match="property_kinds changed"):
        model.set_params(property_kinds=None).fit(data.X, table)
    with pytest.raises(InvalidValueError, match="targets; the model"):
        model.set_params(property_kinds=KINDS).fit(data.X, np.ones((24, 1)))
    model.set_params(warm_start=False, property_kinds=None)
    model.fit(data.X, table)
    assert set(model.property_kinds_) == {"regression"}


def test_pretrained__head_of_a_class__is_kept_for_a_class_only(make, data, table):
    frozen = FrozenEstimator(make().fit(data.X, table))
    tuned = make(pretrained=frozen, lr=1e-30, fine_tuning="head", max_epochs=1)
    expected = frozen.predict(data.X)
    assert tuned.fit(data.X, table).predict(data.X) == pytest.approx(expected, rel=1e-4)
    other = clone(tuned).set_params(property_kinds=None)
    head = "head.output.weight"
    theirs = frozen.estimator.net_.module_.state_dict()[head]
    assert not torch.equal(weights(other.fit(data.X, table))[head], theirs)
    with pytest.raises(InvalidValueError, match="classes are numbers here"):
        other.set_params(head="keep").fit(data.X, table)
    classifier = CGCNNClassifier(pretrained=frozen, max_epochs=1, device="cpu")
    classifier.fit(data.X, data.labels)
    assert classifier.predict_proba(data.X).shape == (24, 2)


def test_validation__of_classes__works_with_the_tools_of_scikit_learn(
    make, data, table
):
    assert np.isfinite(cross_val_score(make(), data.X, table, cv=2)).all()
    predicted = cross_val_predict(make(), data.X, table, cv=2)
    assert ((predicted[:, 1] > 0) & (predicted[:, 1] < 1)).all()
    intervals = ConformalRegressor(make(), confidence_level=0.5, random_state=0)
    low, high = intervals.fit(data.X, table).predict_interval(data.X)
    assert (low < high).all()


def test_partial_fit__first_batch_of_one_class__needs_no_scale_of_it(data, make):
    frame = pd.DataFrame({"is_hard": data.labels == "hard"})
    hard = np.flatnonzero(frame["is_hard"])[:3]
    model = make(property_kinds=KINDS)
    model.partial_fit([data.X[row] for row in hard], frame.iloc[hard])
    assert model.target_scaler_.scale_.tolist() == [1.0]
