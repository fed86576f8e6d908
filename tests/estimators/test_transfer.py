"""Starting from a pretrained estimator: what is kept, what is trained, what is not."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from joblib import parallel_config
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import skmatgnn
from skmatgnn import ALIGNNRegressor, CGCNNRegressor, MODNetRegressor, load_estimator
from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.graphs import StructureToGraph
from skmatgnn.nets import GraphNet
from skmatgnn.nets._fine_tuning import STRATEGIES
from skmatgnn.nn._noise import Dropout
from skmatgnn.nn.layers import BatchNorm

CRABNET = {"d_model": 8, "n_heads": 2, "n_layers": 2}
TRAINING = {"max_epochs": 2, "random_state": 1, "device": "cpu"}
NETWORKS = ("ALIGNN", "CGCNN", "CrabNet")
TRAINED = {  # first parts of the names of what a strategy trains
    ("ALIGNN", "head"): ("head",),
    ("ALIGNN", "two_body"): ("head", "gcn_layers", "alignn_layers.0.node_update"),
    ("ALIGNN", "three_body"): ("head", "alignn_layers.0.edge_update"),
    ("ALIGNN", "all_but_embedding"): ("head", "gcn_layers", "alignn_layers"),
    ("CGCNN", "head"): ("head",),
    ("CGCNN", "two_body"): ("head", "conv_layers"),
    ("CGCNN", "all_but_embedding"): ("head", "conv_layers", "hidden_layers"),
    ("CrabNet", "head"): ("head",),
    ("CrabNet", "all_but_embedding"): ("head", "layers"),
}
for network in NETWORKS:
    for strategy in ("full", "gradual", "discriminative"):
        TRAINED[network, strategy] = ("",)


def weights(model):
    return {k: v.clone() for k, v in model.net_.module_.state_dict().items()}


def moved(before, after):
    return {k for k in before if k in after and not torch.equal(before[k], after[k])}


@pytest.fixture(scope="module")
def source(data, small):
    """Fitted estimators of all networks and tasks, with batch norm where there is."""
    formulas = [structure.formula for structure in data.X]
    found = {}
    for task, y in (("Regressor", data.y), ("Classifier", data.labels)):
        for network in ("ALIGNN", "CGCNN"):
            model = small.model(network + task, norm="batch", max_neighbors=6)
            found[network + task] = model.fit(data.X, y)
        model = getattr(skmatgnn, f"CrabNet{task}")(**TRAINING, **CRABNET)
        found[f"CrabNet{task}"] = model.fit(formulas, y)
    return SimpleNamespace(**found, of=found.__getitem__, formulas=formulas)


def of_network(name, source, **parameters):
    """An estimator that starts from the source, with nothing but its training set."""
    model = source.of(name)
    arguments = {"pretrained": FrozenEstimator(model), **TRAINING, **parameters}
    return getattr(skmatgnn, name)(**arguments)


@pytest.fixture
def no_training(source, monkeypatch):
    """Fail as soon as a network is trained, other than the sources."""

    def fail(*_, **__):
        raise AssertionError("training began")

    monkeypatch.setattr(GraphNet, "fit_loop", fail)


@pytest.fixture
def sample(source, data):
    """Half of the data, in the form that a network takes."""

    def sample(name):
        return (source.formulas if name.startswith("CrabNet") else data.X)[:12]

    return sample


@pytest.mark.parametrize(("network", "strategy"), TRAINED)
def test_strategy__each__moves_all_that_it_names_and_nothing_else(
    network, strategy, source, sample, data
):
    name = f"{network}Regressor"
    before = weights(source.of(name))
    model = of_network(name, source, fine_tuning=strategy, lr=1e-2, max_epochs=8)
    model.set_params(weight_decay=0.1).fit(sample(name), data.y[:12])
    trained = {
        key
        for key, _ in model.net_.module_.named_parameters()
        if any(key.startswith(p) for p in TRAINED[network, strategy])
    }
    changed = moved(before, weights(model))
    parameters = {key for key, _ in model.net_.module_.named_parameters()}
    assert changed & parameters <= trained
    assert len(trained - changed) <= 0.1 * len(trained)  # some start at a minimum
    assert moved(before, weights(source.of(name))) == set()


@pytest.mark.parametrize("network", ["ALIGNN", "CGCNN"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_strategy__batch_norm_of_frozen_blocks__keeps_its_running_statistics(
    network, strategy, source, sample, data
):
    if (network, strategy) not in TRAINED:
        pytest.skip("this network has no such blocks")
    name = f"{network}Regressor"
    before = weights(source.of(name))
    model = of_network(name, source, fine_tuning=strategy, batch_size=4, norm="batch")
    model.fit(sample(name), data.y[:12])
    statistics = {
        f"{key}.{buffer}"
        for key, module in model.net_.module_.named_modules()
        if isinstance(module, BatchNorm)
        for buffer in ("running_mean", "running_var", "num_batches_tracked")
    }
    trained = {
        key
        for key in statistics
        if any(key.startswith(p) for p in TRAINED[network, strategy])
    }
    assert len(statistics) >= 6
    assert moved(before, weights(model)) & statistics == trained


@pytest.mark.parametrize(
    ("network", "strategy"),
    [
        ("CGCNN", "three_body"),
        ("CrabNet", "two_body"),
        ("CrabNet", "three_body"),
    ],
)
@pytest.mark.usefixtures("no_training")
def test_strategy__blocks_that_the_network_lacks__are_refused_before_training(
    network, strategy, source, sample, data
):
    model = of_network(f"{network}Regressor", source, fine_tuning=strategy)
    with pytest.raises(InvalidValueError, match=rf"{strategy}.*not have.*'full'"):
        model.fit(sample(f"{network}Regressor"), data.y[:12])


@pytest.mark.usefixtures("no_training")
def test_strategy__network_without_layers_of_that_kind__is_refused(source, data):
    unlike = pickle.loads(pickle.dumps(source.of("ALIGNNRegressor")))
    unlike.net_.module_.alignn_layers = torch.nn.ModuleList()
    model = ALIGNNRegressor(
        pretrained=FrozenEstimator(unlike), fine_tuning="three_body"
    )
    with pytest.raises(InvalidValueError, match="three_body blocks"):
        model.fit(data.X, data.y)


@pytest.mark.parametrize("name", [f"{n}Regressor" for n in NETWORKS])
def test_discriminative__rates__fall_with_the_distance_from_the_head(
    name, source, sample, data
):
    model = of_network(name, source, fine_tuning="discriminative", lr=0.01)
    net = model.fit(sample(name), data.y[:12]).net_
    rate = {}
    for group in net.optimizer_.param_groups:
        rate |= {id(parameter): group["peak_lr"] for parameter in group["params"]}
    last = net.module_.blocks()[-1].depth
    for block_name, _, depth in net.module_.blocks():
        for key, parameter in net.module_.named_parameters():
            if key == block_name or key.startswith(block_name + "."):
                expected = 0.01 * 2.6 ** (depth - last)
                assert rate[id(parameter)] == pytest.approx(expected)


def test_discriminative__own_groups_in_net_params__are_a_contradiction(source, data):
    groups = {"optimizer__param_groups": [("head.*", {"lr": 0.1})]}
    model = of_network(
        "CGCNNRegressor", source, fine_tuning="discriminative", net_params=groups
    )
    with pytest.raises(InvalidValueError, match="param_groups out of net_params"):
        model.fit(data.X, data.y)


def test_gradual__epochs__open_one_depth_after_another(source, data):
    from skorch.callbacks import Callback

    class Watch(Callback):
        def on_epoch_end(self, net, **_):
            blocks = net.module_.blocks()
            parameters = dict(net.module_.named_parameters())
            open_ = {
                block.depth
                for block in blocks
                for key, p in parameters.items()
                if key.startswith(block.name) and p.requires_grad
            }
            seen.append(open_)

    seen = []
    model = of_network(
        "CGCNNRegressor",
        source,
        fine_tuning="gradual",
        max_epochs=12,
        callbacks=[Watch()],
    )
    model.fit(data.X, data.y)
    assert [min(depths) for depths in seen] == [3, 3, 2, 2, 1, 1] + [0] * 6
    assert all(max(depths) == 3 for depths in seen)


def test_gradual__one_epoch__trains_the_head_alone(source, data):
    model = of_network("CGCNNRegressor", source, fine_tuning="gradual", max_epochs=1)
    model.fit(data.X, data.y)
    before = weights(source.of("CGCNNRegressor"))
    assert moved(before, weights(model)) == {"head.weight", "head.bias"}


def test_strategy__partial_fit__holds_in_later_calls_too(source, data):
    model = of_network("CGCNNRegressor", source, fine_tuning="head")
    before = weights(source.of("CGCNNRegressor"))
    for _ in range(3):
        model.partial_fit(data.X, data.y)
    assert moved(before, weights(model)) == {"head.weight", "head.bias"}


def test_strategy__loaded_from_a_file__holds_in_partial_fit(source, data, tmp_path):
    model = of_network("CGCNNRegressor", source, fine_tuning="head")
    model.fit(data.X, data.y).save(tmp_path / "model")
    loaded = load_estimator(tmp_path / "model").partial_fit(data.X, data.y)
    before = weights(source.of("CGCNNRegressor"))
    assert moved(before, weights(loaded)) == {"head.weight", "head.bias"}


def test_strategy__warm_start__freezes_the_estimator_s_own_weights(data, small):
    model = small.model("ALIGNNRegressor").fit(data.X, data.y)
    before = weights(model)
    model.set_params(warm_start=True, fine_tuning="head").fit(data.X, data.y)
    assert moved(before, weights(model)) == {"head.weight", "head.bias"}


def test_strategy__nothing_pretrained__has_no_effect(estimator, data):
    y = data.labels if hasattr(estimator, "predict_proba") else data.y
    expected = weights(clone(estimator).fit(data.X, y))
    estimator.set_params(fine_tuning="head", head="keep")
    assert moved(expected, weights(estimator.fit(data.X, y))) == set()


@pytest.mark.parametrize("name", [n + t for n in NETWORKS for t in ("Regressor",)])
def test_head_keep__tiny_rate__predicts_as_the_pretrained_one(
    name, source, sample, data
):
    model = of_network(name, source, head="keep", lr=1e-30, weight_decay=0.0)
    model.set_params(fine_tuning="head", max_epochs=1).fit(sample(name), data.y[:12])
    X = source.formulas if name.startswith("CrabNet") else data.X
    assert model.predict(X) == pytest.approx(source.of(name).predict(X), rel=1e-5)


def test_head_keep__same_property__inherits_the_scale(source, data):
    theirs = source.of("CGCNNRegressor").target_scaler_
    model = of_network("CGCNNRegressor", source, head="keep")
    model.fit(data.X[:3], data.y[:3])
    assert np.array_equal(model.target_scaler_.mean_, theirs.mean_)
    model.fit(data.X[:1], data.y[:1])  # which has no spread of its own
    assert np.array_equal(model.target_scaler_.scale_, theirs.scale_)
    model.set_params(head="new").fit(data.X[:3], data.y[:3])
    assert model.target_scaler_.mean_ == pytest.approx([data.y[:3].mean()])


@pytest.mark.parametrize(("factor", "shift"), [(500, 0), (1, 1e4), (0.01, 0)])
def test_head_keep__property_of_another_size__has_its_own_scale(
    factor, shift, source, data
):
    y = factor * (data.y - data.y.mean()) + data.y.mean() + shift
    model = of_network("CGCNNRegressor", source, head="keep").fit(data.X, y)
    assert model.target_scaler_.mean_ == pytest.approx([y.mean()])
    assert model.target_scaler_.scale_ == pytest.approx([y.std()])
    kept, new = (
        of_network("CGCNNRegressor", source, head=h, lr=1e-30, fine_tuning="head")
        for h in ("keep", "new")
    )
    head = weights(source.of("CGCNNRegressor"))["head.weight"]
    assert torch.equal(weights(kept.fit(data.X, y))["head.weight"], head)
    assert not torch.equal(weights(new.fit(data.X, y))["head.weight"], head)


@pytest.mark.parametrize("name", [f"{n}Classifier" for n in NETWORKS])
def test_head_keep__classifier__keeps_its_classes(name, source, sample, data):
    model = of_network(name, source, head="keep", fine_tuning="head", lr=1e-30)
    X = sample(name)
    model.fit(X, ["hard"] * 12)
    assert model.classes_.tolist() == ["hard", "soft"]
    expected = source.of(name).predict_proba(X)
    assert model.predict_proba(X) == pytest.approx(expected, rel=1e-4)
    with pytest.raises(InvalidValueError, match=r"classes \['hard', 'soft'\], and y"):
        clone(model).fit(X, ["hard", "new"] * 6)
    model.set_params(head="auto").fit(X, ["hard", "new"] * 6)
    assert model.classes_.tolist() == ["hard", "new"]


def test_head_auto__keeps_only_what_fits(source, data):
    head = weights(source.of("CGCNNRegressor"))["head.weight"]

    def kept(model, y):
        model.set_params(fine_tuning="head", lr=1e-30).fit(data.X, y)
        own = weights(model)["head.weight"]
        return own.shape == head.shape and torch.equal(own, head)

    assert kept(of_network("CGCNNRegressor", source), data.y)
    two = np.column_stack([data.y, data.y])
    assert not kept(of_network("CGCNNRegressor", source), two)
    frozen = FrozenEstimator(source.of("CGCNNRegressor"))
    classifier = skmatgnn.CGCNNClassifier(pretrained=frozen, **TRAINING)
    assert not kept(classifier, data.labels)
    with pytest.raises(InvalidValueError, match="it is a regressor, and this a class"):
        classifier.set_params(head="keep").fit(data.X, data.labels)
    with pytest.raises(InvalidValueError, match="it has 1 targets, and y 2"):
        of_network("CGCNNRegressor", source, head="keep").fit(data.X, two)


def test_head_crabnet__loss_without_spread__needs_a_new_one(source, data):
    model = of_network("CrabNetRegressor", source, loss="mse")
    model.fit(source.formulas, data.y)
    assert model.net_.module_.uncertainty is False
    with pytest.raises(InvalidValueError, match="learns the spread"):
        model.set_params(head="keep").fit(source.formulas, data.y)


def test_architecture__defaults__come_from_the_pretrained_one(source, sample, data):
    for name in ("ALIGNNRegressor", "CGCNNRegressor", "CrabNetRegressor"):
        model = of_network(name, source)
        before = model.get_params()
        model.fit(sample(name), data.y[:12])
        assert model.get_params() == before
        assert model.signature_ == source.of(name).signature_
        again = clone(model).fit(sample(name), data.y[:12])
        X = sample(name)
        assert np.array_equal(again.predict(X), model.predict(X))
    assert source.of("CGCNNRegressor").graph_settings_.max_neighbors == 6
    model = of_network("CGCNNRegressor", source).fit(data.X, data.y)
    assert model.graph_settings_.max_neighbors == 6


@pytest.mark.parametrize(
    ("name", "parameter", "value"),
    [
        ("ALIGNNRegressor", "hidden_dim", 9),
        ("ALIGNNRegressor", "three_body_cutoff", 3.0),
        ("ALIGNNRegressor", "edge_messages", False),
        ("ALIGNNRegressor", "element_features", "one_hot"),
        ("CGCNNRegressor", "cutoff", 5.0),
        ("CGCNNRegressor", "max_neighbors", None),
        ("CGCNNRegressor", "norm", "layer"),
        ("CrabNetRegressor", "d_model", 16),
        ("CrabNetRegressor", "element_features", np.ones((119, 4))),
    ],
)
@pytest.mark.usefixtures("no_training")
def test_architecture__contradiction__is_refused_by_name(
    name, parameter, value, source, sample, data
):
    model = of_network(name, source, **{parameter: value})
    with pytest.raises(InvalidValueError, match=rf"{parameter}=.* in place of"):
        model.fit(sample(name), data.y[:12])


def test_architecture__stated_as_it_is__is_accepted(source, data):
    model = of_network("CGCNNRegressor", source, node_dim=8, max_neighbors=6)
    model.fit(data.X, data.y)


def test_architecture__own_element_table__is_taken_over(data, small, tmp_path):
    table = np.random.default_rng(0).normal(size=(119, 5))
    first = small.model(element_features=table).fit(data.X, data.y)
    second = CGCNNRegressor(pretrained=FrozenEstimator(first), **TRAINING)
    second.fit(data.X, data.y).save(tmp_path / "model")
    third = CGCNNRegressor(pretrained=tmp_path / "model", **TRAINING)
    third.fit(data.X, data.y)
    expected = third.predict(data.X)
    third.save(tmp_path / "model")
    assert np.array_equal(load_estimator(tmp_path / "model").predict(data.X), expected)
    assert third.net_.module_.elements.table.shape == (119, 5)
    with pytest.raises(InvalidValueError, match=r"element_features=.* a table"):
        third.set_params(element_features="one_hot").fit(data.X, data.y)


def test_architecture__graphs_as_x__must_be_those_of_the_pretrained_one(source, data):
    model = of_network("CGCNNRegressor", source)
    graphs = StructureToGraph(cutoff=8.0, max_neighbors=6).fit_transform(data.X)
    assert np.array_equal(
        clone(model).fit(graphs, data.y).predict(graphs),
        clone(model).fit(data.X, data.y).predict(data.X),
    )
    other = StructureToGraph(cutoff=6.0, max_neighbors=6).fit_transform(data.X)
    with pytest.raises(InvalidValueError, match=r"cutoff=6.0 instead of 8.0"):
        model.fit(other, data.y)
    on_graphs = small_on(other, data)
    model = CGCNNRegressor(pretrained=FrozenEstimator(on_graphs), **TRAINING)
    assert model.fit(other, data.y).graph_settings_.cutoff == 6.0
    assert model.fit(data.X, data.y).graph_settings_.cutoff == 6.0


def small_on(graphs, data):
    model = CGCNNRegressor(node_dim=4, hidden_dim=4, edge_step=1.0, **TRAINING)
    return model.fit(graphs, data.y)


def test_warm_start__after_pretrained__goes_on_from_its_own_weights(source, data):
    model = of_network("CGCNNRegressor", source, warm_start=True, max_epochs=5)
    model.fit(data.X, data.y)
    own, scaler = weights(model), model.target_scaler_
    model.set_params(lr=1e-30, weight_decay=0.0, fine_tuning="head")
    model.fit(data.X, data.y)
    assert moved(own, weights(model)) == set()
    assert model.target_scaler_ is scaler
    model.set_params(pretrained=None).fit(data.X, data.y)  # it knows its own form
    assert moved(own, weights(model)) == set()
    with pytest.raises(InvalidValueError, match="node_dim changed"):
        model.set_params(node_dim=5).fit(data.X, data.y)


def test_fit__pretrained_taken_away__is_an_ordinary_fit(source, data):
    model = of_network("CGCNNRegressor", source).fit(data.X, data.y)
    model.set_params(pretrained=None).fit(data.X, data.y)
    assert model.net_.module_.atom_embedding.out_features == 64
    expected = CGCNNRegressor(**TRAINING).fit(data.X, data.y).predict(data.X)
    assert np.array_equal(model.predict(data.X), expected)


@pytest.mark.parametrize("name", [f"{n}Regressor" for n in NETWORKS])
def test_source__fine_tuning_of_any_kind__never_changes_it(name, source, sample, data):
    model = source.of(name)
    before, state = weights(model), pickle.dumps(model.get_params())
    flags = [p.requires_grad for p in model.net_.module_.parameters()]
    expected = model.predict(sample(name))
    for strategy in ("full", "head", "gradual", "discriminative"):
        of_network(name, source, fine_tuning=strategy).fit(sample(name), data.y[:12])
    assert moved(before, weights(model)) == set()
    assert pickle.dumps(model.get_params()) == state
    assert [p.requires_grad for p in model.net_.module_.parameters()] == flags
    assert np.array_equal(model.predict(sample(name)), expected)


@pytest.mark.usefixtures("no_training")
def test_pretrained__what_cannot_be_used__is_refused_with_the_remedy(data, tmp_path):
    def refused(pretrained, match, error=InvalidValueError):
        model = CGCNNRegressor(pretrained=pretrained)
        for method in (model.fit, model.partial_fit):
            with pytest.raises(error, match=match):
                method(data.X, data.y)

    refused(CGCNNRegressor(), r"bare CGCNNRegressor.*sklearn\.frozen\.FrozenEstimator")
    refused(FrozenEstimator(CGCNNRegressor()), "unfitted CGCNNRegressor")
    refused(FrozenEstimator(Ridge()), "Ridge, which has no network", InvalidTypeError)
    refused(
        FrozenEstimator(make_pipeline(CGCNNRegressor())), "Pipeline", InvalidTypeError
    )
    refused(FrozenEstimator(MODNetRegressor()), "MODNet.*no network", InvalidTypeError)
    refused(tmp_path / "nowhere", "nowhere does not exist")
    (tmp_path / "bad").write_text("nothing")
    refused(str(tmp_path / "bad"), "damaged or not in the safetensors format")


@pytest.mark.parametrize("network", NETWORKS)
def test_pretrained__other_network__is_refused(network, source, sample, data):
    name = f"{network}Regressor"
    other = source.of(f"{NETWORKS[NETWORKS.index(network) - 1]}Regressor")
    model = of_network(name, source, pretrained=FrozenEstimator(other))
    with pytest.raises(InvalidValueError, match=f"is no {network}"):
        model.fit(sample(name), data.y[:12])


def test_pretrained__bare_fitted_one__would_be_emptied_by_clone_and_is_refused(
    source, data
):
    model = CGCNNRegressor(pretrained=source.of("CGCNNRegressor"), **TRAINING)
    with pytest.raises(InvalidValueError, match="clone would empty"):
        model.fit(data.X, data.y)


@pytest.mark.parametrize("name", [n + "Regressor" for n in NETWORKS])
def test_pretrained__path__equals_the_estimator_itself(
    name, source, sample, data, tmp_path
):
    source.of(name).save(tmp_path / "source")
    expected = of_network(name, source).fit(sample(name), data.y[:12])
    for path in (tmp_path / "source", str(tmp_path / "source")):
        model = clone(of_network(name, source, pretrained=path))
        model.fit(sample(name), data.y[:12])
        X = sample(name)
        assert np.array_equal(model.predict(X), expected.predict(X))


def test_save__estimator_with_pretrained__can_be_refitted(source, data, tmp_path):
    model = of_network("ALIGNNRegressor", source, fine_tuning="two_body")
    model.fit(data.X, data.y).save(tmp_path / "model")
    loaded = load_estimator(tmp_path / "model")
    expected = model.predict(data.X)
    assert np.array_equal(loaded.predict(data.X), expected)
    assert np.array_equal(clone(loaded).fit(data.X, data.y).predict(data.X), expected)


def test_numeric_precision__other_than_the_source_s__is_converted(source, data):
    model = of_network("CGCNNRegressor", source, precision="float64", lr=1e-30)
    model.fit(data.X, data.y)
    assert model.net_.module_.head.weight.dtype == torch.float64


def test_failed_fit__with_pretrained__leaves_no_trace(source, data):
    model = of_network("CGCNNRegressor", source)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(data.X, np.full(24, np.nan))
    assert not hasattr(model, "_source")
    with pytest.raises(ValueError, match="three_body"):
        model.set_params(fine_tuning="three_body").fit(data.X, data.y)
    assert not hasattr(model, "_source")


def test_crabnet__frozen_layers__have_no_dropout_and_the_others_do(source, data):
    from skorch.callbacks import Callback

    class Watch(Callback):
        def on_batch_end(self, net, training=False, **_):
            if training:
                seen.append(
                    {k for k in dropouts if net.module_.get_submodule(k).training}
                )

    formulas = source.formulas[:12]
    dropouts = {
        k
        for k, m in source.of("CrabNetRegressor").net_.module_.named_modules()
        if isinstance(m, Dropout)
    }
    assert len(dropouts) >= 2
    for strategy, expected in (("head", "head"), ("all_but_embedding", "")):
        seen = []
        model = of_network(
            "CrabNetRegressor", source, fine_tuning=strategy, callbacks=[Watch()]
        )
        model.fit(formulas, data.y[:12])
        active = {k for k in dropouts if k.startswith(expected)}
        assert all(found == active for found in seen)
        assert seen


def grids(network, source, path):
    """Strategies with heads and rates, and what to start from, for each network."""
    source.of(f"{network}Regressor").save(path)
    regressor, classifier = (
        FrozenEstimator(source.of(f"{network}{task}"))
        for task in ("Regressor", "Classifier")
    )
    strategies = {
        "CGCNN": ["full", "head", "two_body", "gradual", "discriminative"],
        "ALIGNN": ["two_body", "three_body"],
        "CrabNet": ["head", "all_but_embedding", "gradual"],
    }[network]
    rates = [1e-2, 1e-3] if network == "CGCNN" else [1e-2]
    start = [None, regressor, classifier, str(path)]
    return [
        {"fine_tuning": strategies, "lr": rates, "head": ["keep", "new"]},
        {"pretrained": start, "head": ["auto"]},
    ]


@pytest.mark.parametrize(
    ("backend", "network"),
    [("loky", "CGCNN"), ("loky", "ALIGNN"), ("loky", "CrabNet"), ("dask", "CGCNN")],
)
def test_grid_search__strategies_heads_rates_and_sources__equals_the_serial_one(
    backend, network, source, data, tmp_path
):
    name = f"{network}Regressor"
    path = tmp_path / "source"
    search = GridSearchCV(
        of_network(name, source),
        grids(network, source, path),
        cv=2,
        error_score="raise",
        scoring="neg_mean_absolute_error",
    )
    X = source.formulas if network == "CrabNet" else data.X
    serial = clone(search).fit(X, data.y)
    if backend == "dask":
        distributed = pytest.importorskip("distributed")
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        )
        with cluster, distributed.Client(cluster), parallel_config(backend="dask"):
            parallel = clone(search).fit(X, data.y)
    else:
        parallel = clone(search).set_params(n_jobs=2).fit(X, data.y)
    scores = serial.cv_results_["mean_test_score"]
    assert np.array_equal(parallel.cv_results_["mean_test_score"], scores)
    assert parallel.best_params_.keys() == serial.best_params_.keys()
    assert parallel.best_index_ == serial.best_index_
    assert np.array_equal(parallel.predict(X), serial.predict(X))
    # the estimator and its file are the same; of CGCNN one candidate is in both grids
    n_different = {"CGCNN": 22, "ALIGNN": 7, "CrabNet": 9}[network]
    assert len(np.unique(scores)) == n_different
