"""MPTRegressor: many properties, each known for some crystals."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, cross_val_predict
from torch.nn import functional as F

import skmatgnn
from skmatgnn import MPTRegressor, load_estimator, presets
from skmatgnn.errors import InvalidValueError
from skmatgnn.metrics import (
    masked_mean_absolute_error,
    masked_r2_score,
    neg_masked_mae,
)
from skmatgnn.nets._criteria import RegressionLoss
from skmatgnn.nets._dataset import Labels
from skmatgnn.nn.models.multi_property import PropertyHeads

SIZES = {
    "alignn": {
        "hidden_dim": 8, "embedding_dim": 8, "n_radial": 8, "n_angular": 4,
        "n_alignn_layers": 1, "n_gcn_layers": 1,
    },
    "cgcnn": {"node_dim": 8, "hidden_dim": 8, "n_conv_layers": 1, "edge_step": 1.0},
}  # fmt: skip
SINGLE = {"alignn": "ALIGNN", "cgcnn": "CGCNN"}


def make(architecture="cgcnn", **parameters):
    training = {"max_epochs": 2, "max_neighbors": 4, "random_state": 0, "device": "cpu"}
    return MPTRegressor(
        architecture=architecture,
        **{**training, **SIZES[architecture], "head_dim": 4, **parameters},
    )


@pytest.fixture(scope="module")
def table(data):
    """Three properties of very different size, the last of which is rarely known."""
    volume = np.array([structure.volume for structure in data.X])
    frame = pd.DataFrame(
        {"energy": data.y, "volume": 1e4 * volume, "atoms": [len(x) for x in data.X]},
        dtype=float,
    )
    frame.loc[::3, "energy"] = np.nan
    frame.loc[6:, "atoms"] = np.nan
    return frame


@pytest.fixture(params=["alignn", "cgcnn"])
def architecture(request):
    return request.param


def weights(model):
    return {k: v.clone() for k, v in model.net_.module_.state_dict().items()}


def test_fit__frame_with_nan__predicts_all_properties_in_their_units(
    architecture, table, data
):
    model = make(architecture, max_epochs=60, lr=1e-2).fit(data.X, table)
    predicted = model.predict(data.X)
    assert predicted.shape == (24, 3)
    assert np.isfinite(predicted).all()
    assert model.property_names_.tolist() == ["energy", "volume", "atoms"]
    scores = model.property_scores(data.X, table)
    assert scores.index.tolist() == ["energy", "volume", "atoms"]
    assert scores["n"].tolist() == [16, 24, 6]
    assert (scores["smae"] < 0.8).all()
    assert model.target_scaler_.mean_ == pytest.approx(table.mean().to_numpy())


def test_fit__frame_or_array__gives_the_same_bits(architecture, table, data):
    expected = weights(make(architecture).fit(data.X, table))
    found = weights(make(architecture).fit(data.X, table.to_numpy()))
    assert all(torch.equal(expected[k], found[k]) for k in expected)
    assert all(torch.isfinite(v).all() for v in expected.values())


def test_heads__property_unknown_in_a_batch__gets_no_gradient():
    head = PropertyHeads(5, 3, hidden_dim=4, n_layers=2)
    features = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    target = torch.ones(6, 3)
    target[:, 1] = float("nan")
    target[::2, 2] = float("nan")
    RegressionLoss("l1")(head(features), Labels(target, None)).backward()
    for parameter in head.parameters():
        assert torch.isfinite(parameter.grad).all()
        size = parameter.grad.abs().flatten(start_dim=1).sum(dim=1)
        assert (size > 0).tolist() == [True, False, True]


def test_heads__of_one_property__are_a_small_network_of_its_own():
    head = PropertyHeads(5, 3, hidden_dim=4, n_layers=2)
    features = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    for i in range(3):
        h = F.silu(features)
        for layer in head.layers:
            h = F.silu(h @ layer.weight[i].T + layer.bias[i])
        expected = h @ head.output.weight[i].T + head.output.bias[i]
        assert torch.allclose(head(features)[:, i], expected[:, 0], atol=1e-6)


def test_loss__masked__is_the_mean_over_known_cells():
    nan = float("nan")
    target = torch.tensor([[1.0, nan, 3.0], [nan, nan, -2.0], [5.0, 7.0, nan]])
    labels = Labels(target, None)
    zero = torch.zeros(3, 3)
    assert float(RegressionLoss("l1")(zero, labels)) == pytest.approx(18 / 5)
    weighted = RegressionLoss("l1", target_weights=[2.0, 0.0, 1.0])(zero, labels)
    assert float(weighted) == pytest.approx((12 + 5) / 5)
    total, known = RegressionLoss("mse").sums(zero, labels)
    assert total.tolist() == [26, 49, 13]
    assert known.tolist() == [2, 1, 2]
    total, _ = RegressionLoss("l1").sums(
        zero, Labels(target, torch.tensor([2.0, 1, 0]))
    )
    assert total.tolist() == [2, 0, 8]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None),
        ("balanced", [46 / 3 / 16, 46 / 3 / 24, 46 / 3 / 6]),
        ([1, 1, 1], [1, 1, 1]),
        ([3.0, 0.0, 0.0], [46 / 16, 0, 0]),
    ],
)
def test_property_weights__each_kind__has_a_mean_of_one_over_known_values(
    given, expected, table, data
):
    model = make(property_weights=given).fit(data.X, table)
    if expected is None:
        assert model.property_weights_ is None
        return
    assert model.property_weights_ == pytest.approx(expected)
    n_known = table.notna().sum().to_numpy()
    assert (model.property_weights_ * n_known).sum() == pytest.approx(n_known.sum())


@pytest.mark.parametrize("given", ["balanced", [1.0, 2.0, 3.0]])
def test_property_weights__later_batches__keep_those_of_the_loss(given, table, data):
    model = make(property_weights=given).partial_fit(data.X, table)
    expected = model.property_weights_
    later = table.copy()
    later.loc[4:, later.columns[0]] = np.nan
    later[later.columns[2]] = np.nan
    model.partial_fit(data.X, later)
    assert np.array_equal(model.property_weights_, expected)
    loss = model.net_.criterion_.target_weights.numpy()
    assert loss == pytest.approx(expected)


def test_property_weights__warm_start_without_a_property__weigh_the_others(table, data):
    model = make(property_weights="balanced", warm_start=True).fit(data.X, table)
    later = table.copy()
    later[later.columns[2]] = np.nan
    n_known = later.notna().sum().to_numpy()
    model.fit(data.X, later)
    total = (model.property_weights_ * n_known).sum()
    assert total == pytest.approx(n_known.sum())
    model.set_params(property_weights=[0, 0, 1])
    with pytest.raises(InvalidValueError, match="no known value of a property that"):
        model.fit(data.X, later)


def test_property_weights__all_equal__are_none(table, data):
    plain = make().fit(data.X, table).predict(data.X)
    equal = make(property_weights=[2, 2, 2]).fit(data.X, table).predict(data.X)
    assert equal == pytest.approx(plain, rel=1e-4)


def test_property_weights__zero__leaves_that_head_as_it_was_drawn(table, data):
    model = make(property_weights=[1, 1, 0], weight_decay=0.0, max_epochs=5)
    after = weights(model.fit(data.X, table))["head.output.weight"]
    model.set_params(lr=1e-30, max_epochs=1)
    drawn = weights(model.fit(data.X, table))["head.output.weight"]
    assert torch.equal(after[2], drawn[2])
    assert not torch.equal(after[0], drawn[0])


@pytest.mark.parametrize(
    "given", [[1, 1], [1, -1, 1], [0, 0, 0], [1, np.nan, 1], ["a", "b", "c"], [[1] * 3]]
)
def test_property_weights__unusable__are_refused(given, table, data):
    with pytest.raises(InvalidValueError, match="property_weights must"):
        make(property_weights=given).fit(data.X, table)


def test_early_stopping__many_properties__watches_the_mean_of_their_losses(data, table):
    model = make(early_stopping=True, validation_fraction=0.4, max_epochs=8)
    model.fit(data.X, table)
    losses = np.array([row["valid_losses"] for row in model.history_])
    assert losses.shape == (8, 3)
    watched = [row["monitored_loss"] for row in model.net_.history]
    assert watched == pytest.approx(np.nanmean(losses, axis=1))
    assert model.best_epoch_ == 1 + int(np.argmin(watched))
    plain = [row["valid_loss"] for row in model.history_]
    assert watched != pytest.approx(plain)


def test_early_stopping__property_without_validation_value__is_left_out(data, table):
    rare = table.copy()
    rare.loc[1:, "atoms"] = np.nan
    for seed in range(3):
        model = make(early_stopping=True, random_state=seed).fit(data.X, rare)
        last = model.history_[-1]["valid_losses"]
        assert np.isfinite(last[1])  # the only property that is always known
        assert np.isfinite(model.net_.history[-1, "monitored_loss"])


def test_property_names__without_a_frame__are_numbered(data, table):
    model = make().fit(data.X, table.to_numpy())
    assert model.property_names_.tolist() == ["property0", "property1", "property2"]
    model.fit(data.X, pd.Series(data.y, name="energy"))
    assert model.property_names_.tolist() == ["energy"]
    assert model.predict(data.X).shape == (24,)
    assert model.property_scores(data.X, data.y)["n"].tolist() == [24]


def test_property_names__other_or_in_another_order__are_refused(data, table):
    model = make(warm_start=True).fit(data.X, table)
    other = table[["volume", "energy", "atoms"]]
    scorers = (model.property_scores, model.score)
    for method in (model.fit, model.partial_fit, *scorers):
        with pytest.raises(InvalidValueError, match=r"'volume', 'energy'.*trained on"):
            method(data.X, other)
    twice = table.set_axis(["a", "a", "b"], axis=1)
    with pytest.raises(InvalidValueError, match="two columns named 'a'"):
        make().fit(data.X, twice)
    model.fit(data.X, table.to_numpy())  # without names their order is trusted


def test_property_scores__equal_the_metrics(data, table):
    model = make().fit(data.X, table)
    predicted = model.predict(data.X)
    scores = model.property_scores(data.X, table)
    arguments = (table, predicted)
    mae = masked_mean_absolute_error(*arguments, multioutput="raw_values")
    assert scores["mae"].to_numpy() == pytest.approx(mae)
    r2 = masked_r2_score(*arguments, multioutput="raw_values")
    assert scores["r2"].to_numpy() == pytest.approx(r2)
    assert model.score(data.X, table) == pytest.approx(np.mean(r2))
    few = table.iloc[[0, 7]]
    scores = model.property_scores([data.X[0], data.X[7]], few)
    assert scores["n"].tolist() == [1, 2, 1]
    assert np.isnan(scores["r2"]).tolist() == [True, False, True]


def test_refit__clone_pickle_and_file__predict_the_same_bits(
    architecture, data, table, tmp_path
):
    model = make(architecture, property_weights="balanced", early_stopping=True)
    expected = model.fit(data.X, table).predict(data.X)
    assert np.array_equal(clone(model).fit(data.X, table).predict(data.X), expected)
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict(data.X), expected)
    model.save(tmp_path / "mpt")
    loaded = load_estimator(tmp_path / "mpt")
    assert np.array_equal(loaded.predict(data.X), expected)
    assert loaded.property_names_.tolist() == model.property_names_.tolist()
    for m in (model, loaded):
        m.set_params(warm_start=True).fit(data.X, table)
    assert np.array_equal(loaded.predict(data.X), model.predict(data.X))


def test_auto__settings__are_those_of_the_single_estimators(data, table):
    for architecture, single in SINGLE.items():
        model = MPTRegressor(architecture=architecture, max_epochs=1, random_state=0)
        model.fit(data.X[:4], table.iloc[:4])
        plain = getattr(skmatgnn, f"{single}Regressor")(max_epochs=1, random_state=0)
        plain.fit(data.X[:4], data.y[:4])
        trunk = {k: v.shape for k, v in weights(model).items() if k[:5] != "head."}
        assert trunk == {
            k: v.shape for k, v in weights(plain).items() if k[:5] != "head."
        }


def test_preset__of_the_study__can_be_unpacked():
    model = MPTRegressor(**presets.ALIGNN_STUDY)
    model._validate_params()
    assert model.hidden_dim == 256


def test_heads__layers_and_width__are_those_asked_for(data, table):
    model = make(n_head_layers=3, head_dim=5).fit(data.X, table)
    head = model.net_.module_.head
    assert [tuple(layer.weight.shape) for layer in head.layers] == [
        (3, 5, 8), (3, 5, 5), (3, 5, 5),
    ]  # fmt: skip
    assert tuple(head.output.weight.shape) == (3, 1, 5)
    model.set_params(n_head_layers=0).fit(data.X, table)
    assert tuple(model.net_.module_.head.output.weight.shape) == (3, 1, 8)


def test_embedding__fitted_mpt__gives_the_trunk_s_features(data, table):
    model = make().fit(data.X, table)
    embedding = skmatgnn.GraphEmbedding(FrozenEstimator(model)).fit(data.X)
    assert embedding.transform(data.X).shape == (24, 8)
    assert len(embedding.get_feature_names_out()) == 8


@pytest.mark.parametrize("task", ["Regressor", "Classifier"])
def test_pretrained__for_one_property__gives_its_trunk_and_a_new_head(
    architecture, task, data, table
):
    mpt = make(architecture).fit(data.X, table)
    before = weights(mpt)
    y = data.y if task == "Regressor" else data.labels
    cls = getattr(skmatgnn, f"{SINGLE[architecture]}{task}")
    training = {"max_epochs": 1, "random_state": 0, "device": "cpu"}
    model = cls(pretrained=FrozenEstimator(mpt), fine_tuning="head", **training)
    after = weights(model.fit(data.X, y))
    trunk = {k for k in after if not k.startswith("head.")}
    assert trunk == {k for k in before if not k.startswith("head.")}
    assert all(torch.equal(after[k], before[k]) for k in trunk)
    assert after["head.weight"].shape[1] == 8
    assert model.graph_settings_ == mpt.graph_settings_
    with pytest.raises(InvalidValueError, match="head='keep' cannot keep"):
        model.set_params(head="keep").fit(data.X, y)


def test_pretrained__other_architecture__is_refused(data, table):
    mpt = make("alignn").fit(data.X, table)
    model = skmatgnn.CGCNNRegressor(pretrained=FrozenEstimator(mpt))
    with pytest.raises(InvalidValueError, match="whose network is no CGCNN"):
        model.fit(data.X, data.y)
    with pytest.raises(InvalidValueError, match="whose network is no CGCNN"):
        make("cgcnn", pretrained=FrozenEstimator(mpt)).fit(data.X, table)


def test_pretrained__mpt_from_mpt__keeps_the_heads_of_the_same_properties(data, table):
    first = make().fit(data.X, table)
    frozen = FrozenEstimator(first)
    model = MPTRegressor(
        architecture="cgcnn", head_dim=4, pretrained=frozen, device="cpu"
    )
    model.set_params(lr=1e-30, weight_decay=0.0, max_epochs=1, fine_tuning="head")
    expected = first.predict(data.X)
    assert model.fit(data.X, table).predict(data.X) == pytest.approx(expected, rel=1e-4)
    other = table[["volume", "energy"]]
    with pytest.raises(InvalidValueError, match=r"properties.*and y"):
        clone(model).set_params(head="keep").fit(data.X, other)
    assert model.fit(data.X, other).predict(data.X).shape == (24, 2)
    wider = clone(model).set_params(head_dim=6).fit(data.X, table)
    assert wider.net_.module_.head.shape == (6, 1)


def test_pretrained__single_property_into_mpt__shares_the_trunk(data, table, small):
    single = small.model("CGCNNRegressor").fit(data.X, data.y)
    model = MPTRegressor(architecture="cgcnn", pretrained=FrozenEstimator(single))
    model.set_params(max_epochs=1, fine_tuning="head", device="cpu")
    after = weights(model.fit(data.X, table))
    conv = "conv_layers.0.edge.weight"
    assert torch.equal(after[conv], weights(single)[conv])


def test_grid_search__from_mpt_in_processes__equals_the_serial_one(data, table):
    mpt = make().fit(data.X, table)
    single = skmatgnn.CGCNNRegressor(max_epochs=1, random_state=0, device="cpu")
    grid = {
        "pretrained": [FrozenEstimator(mpt)],
        "fine_tuning": ["full", "head", "two_body"],
    }
    search = GridSearchCV(single, grid, cv=2, error_score="raise")
    serial = clone(search).fit(data.X, data.y)
    parallel = search.set_params(n_jobs=2).fit(data.X, data.y)
    scores = serial.cv_results_["mean_test_score"]
    assert np.array_equal(parallel.cv_results_["mean_test_score"], scores)
    assert len(set(scores)) == 3


def test_search__over_its_own_parameters__scores_what_is_known(data, table):
    search = GridSearchCV(
        make(),
        {"property_weights": [None, "balanced"], "n_head_layers": [0, 1]},
        cv=2,
        scoring=neg_masked_mae,
        error_score="raise",
    )
    shuffled = np.random.default_rng(0).permutation(24)
    X, Y = [data.X[i] for i in shuffled], table.iloc[shuffled]
    search.fit(X, Y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    predicted = cross_val_predict(make(), X, Y, cv=2)
    assert predicted.shape == (24, 3)


def test_warm_start__other_architecture__is_refused(architecture, table, data):
    model = make(architecture, warm_start=True).fit(data.X, table)
    expected = model.predict(data.X)
    other = {"alignn": "cgcnn", "cgcnn": "alignn"}[architecture]
    with pytest.raises(InvalidValueError, match=r"continue: architecture changed"):
        model.set_params(architecture=other).fit(data.X, table)
    model.set_params(architecture=architecture)
    assert np.array_equal(model.predict(data.X), expected)
    model.fit(data.X, table)
