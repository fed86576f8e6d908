"""Small and odd data, parameters, presets and state of the graph estimators."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from sklearn.base import clone
from sklearn.dummy import DummyRegressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GroupKFold, cross_val_score
from skorch.callbacks import Callback

from skmatgnn import CGCNNRegressor
from skmatgnn.datasets import load_prototypes
from skmatgnn.errors import InvalidValueError
from skmatgnn.graphs import StructureToGraph


def target_of(model, data):
    return data.labels if hasattr(model, "predict_proba") else data.y


@pytest.mark.parametrize("n", [1, 2, 3, 10])
@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_few_structures__any_batch_size__fits_and_predicts(
    n, batch_size, estimator, data
):
    y = target_of(estimator, data)[:n]
    estimator.set_params(batch_size=batch_size).fit(data.X[:n], y)
    assert estimator.predict(data.X).shape == (24,)
    assert np.isfinite(estimator.embed(data.X)).all()


@pytest.mark.parametrize("n", [5, 9, 13])
def test_last_batch_of_one__both_norms__is_finite(n, estimator, data):
    y = target_of(estimator, data)[:n]
    for norm in ("layer", "batch"):
        estimator.set_params(batch_size=4, norm=norm).fit(data.X[:n], y)
        assert np.isfinite(estimator.embed(data.X)).all()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_early_stopping__few_structures__fits(n, estimator, data):
    y = target_of(estimator, data)[:n]
    estimator.set_params(early_stopping=True, validation_fraction=0.9)
    estimator.fit(data.X[:n], y)
    assert ("valid_loss" in estimator.history_[0]) == (n > 1)
    assert estimator.predict(data.X[:n]).shape == (n,)


def test_early_stopping__one_group__trains_on_all(data, small):
    model = small.model(early_stopping=True)
    model.fit(data.X, data.y, groups=np.zeros(24))
    assert "valid_loss" not in model.history_[0]


def test_one_atom_cells__all_norms__fit(estimator):
    X = [Structure(Lattice.cubic(a), ["Po"], [[0] * 3]) for a in (3.0, 3.2, 3.4, 3.6)]
    y = [0, 1, 0, 1]
    for norm in ("layer", "batch"):
        estimator.set_params(norm=norm).fit(X, y)
        assert np.isfinite(estimator.embed(X)).all()
        assert np.ptp(estimator.embed(X), axis=0).max() > 0


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_radius_graphs__atoms_without_neighbours__are_finite(norm, estimator):
    lone = Structure(Lattice.cubic(20), ["Xe"], [[0] * 3])
    pair = Structure(Lattice.cubic(20), ["H", "H"], [[0] * 3, [0.037, 0, 0]])
    mixed = Structure(
        Lattice.cubic(20), ["H", "H", "Ar"], [*pair.frac_coords, [0.5] * 3]
    )
    X = [lone, pair, mixed, Structure(Lattice.cubic(3), ["Po"], [[0] * 3])]
    estimator.set_params(max_neighbors=None, cutoff=4.0, norm=norm)
    estimator.fit(X, [0, 1, 0, 1])
    assert np.isfinite(estimator.embed(X)).all()
    only = [lone, lone.copy()]
    assert np.isfinite(estimator.fit(only, [0, 1]).embed(only)).all()


def test_large_and_small_cells__in_one_batch__predict_as_alone(data, small):
    X = [*data.X[:6], data.X[0] * (3, 3, 3)]
    model = small.model("ALIGNNRegressor", precision="float64").fit(data.X, data.y)
    prediction = model.predict(X)
    assert prediction[-1] == pytest.approx(prediction[0], rel=1e-9)


def test_prototypes__real_cells__fit(estimator):
    bunch = load_prototypes()
    X, y = list(bunch.data)[:40], np.asarray(bunch.target)[:40]
    if hasattr(estimator, "predict_proba"):
        y = np.where(y > np.median(y), "open", "dense")
    estimator.fit(X, y)
    assert np.isfinite(estimator.embed(X)).all()
    assert estimator.predict(X).shape == (40,)


@pytest.mark.parametrize("precision", ["float32", "float64", "tf32", "bfloat16"])
def test_precision__each__stays_near_float64(precision, regressor, data):
    regressor.set_params(norm="layer")
    expected = regressor.set_params(precision="float64").fit(data.X, data.y)
    expected = expected.predict(data.X)
    regressor.set_params(precision=precision).fit(data.X, data.y)
    prediction = regressor.predict(data.X)
    tolerance = {"bfloat16": 0.5}.get(precision, 1e-3) * data.y.std()
    assert np.abs(prediction - expected).max() < tolerance
    dtype = next(regressor.net_.module_.parameters()).dtype
    assert dtype == (torch.float64 if precision == "float64" else torch.float32)


def test_element_features__one_hot_or_table__are_used(data, small):
    model = small.model(element_features="one_hot").fit(data.X, data.y)
    assert model.net_.module_.atom_embedding.in_features == 119
    table = np.random.default_rng(0).normal(size=(95, 3))
    model.set_params(element_features=table).fit(data.X, data.y)
    assert model.net_.module_.atom_embedding.in_features == 3
    first = model.predict(data.X)
    model.set_params(element_features=table.tolist()).fit(data.X, data.y)
    assert np.array_equal(model.predict(data.X), first)
    table[:] = 1.0
    same = model.set_params(element_features=table).fit(data.X, data.y)
    assert not np.array_equal(same.predict(data.X), first)


def test_element_features__table_with_nan_row__refuses_only_that_element(data, small):
    table = np.ones((119, 2))
    table[55] = np.nan
    salt = Structure(Lattice.cubic(4.1), ["Cs", "Cl"], [[0] * 3, [0.5] * 3])
    model = small.model(element_features=table)
    rocks = [x for x in data.X if "Cs" not in x.composition]
    model.fit(rocks, np.arange(len(rocks)))
    with pytest.raises(InvalidValueError, match=r"index 1 has .* number 55"):
        model.predict([rocks[0], salt])


def test_lone_heavy_element__one_hot__is_accepted(small):
    heavy = [Structure(Lattice.cubic(a), ["Lr"], [[0] * 3]) for a in (4.0, 4.5)]
    model = small.model(element_features="one_hot").fit(heavy, [0.0, 1.0])
    assert np.isfinite(model.predict(heavy)).all()


def test_graphs_as_x__keep_their_own_settings(data, small):
    graphs = StructureToGraph(cutoff=5.0, max_neighbors=6).fit_transform(data.X)
    model = small.model(cutoff=8.0, max_neighbors=12).fit(graphs, data.y)
    settings = model.graph_settings_
    assert (settings.cutoff, settings.max_neighbors) == (5.0, 6)
    assert model.predict(graphs).shape == (24,)
    with pytest.raises(InvalidValueError, match=r"max_neighbors=12 instead of 6"):
        model.predict(data.X)
    other = StructureToGraph(cutoff=5.0, max_neighbors=7).fit_transform(data.X)
    with pytest.raises(InvalidValueError, match=r"max_neighbors=7 instead of 6"):
        model.predict(other)


def test_graphs_as_x__with_all_angles__are_cut_as_the_model_wants(data, small):
    model = small.model("ALIGNNRegressor", three_body_cutoff=3.0)
    expected = model.fit(data.X, data.y).predict(data.X)
    graphs = StructureToGraph(max_neighbors=4).fit_transform(data.X)
    assert np.array_equal(model.predict(graphs), expected)
    assert np.array_equal(model.fit(graphs, data.y).predict(data.X), expected)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "score", "embed"])
def test_unfitted__any_method__says_so(method, estimator, data):
    if hasattr(estimator, method):
        arguments = (data.X, data.y) if method == "score" else (data.X,)
        with pytest.raises(NotFittedError, match="fit"):
            getattr(estimator, method)(*arguments)


def test_device__name_or_object__is_kept_as_given(data, small):
    device = torch.device("cpu")
    model = small.model(device=device).fit(data.X, data.y)
    assert model.device is device
    assert model.device_ == "cpu"
    assert small.model(device="auto").fit(data.X, data.y).device_ in {"cpu", "cuda"}


class Count(Callback):
    def on_train_begin(self, net, **_):
        self.n_epochs_ = self.n_batches_ = 0

    def on_epoch_end(self, net, **_):
        self.n_epochs_ += 1

    def on_batch_end(self, net, training=False, **_):
        self.n_batches_ += training


def test_callbacks__of_the_user__are_called(data, small):
    count = Count()
    small.model(callbacks=[count], batch_size=8, max_epochs=3).fit(data.X, data.y)
    assert (count.n_epochs_, count.n_batches_) == (3, 9)


@pytest.mark.parametrize("optimizer", ["SGD", "RMSprop", "Adam", "NAdam", "Adagrad"])
def test_net_params__other_optimizer__is_used(optimizer, data, small):
    cls = getattr(torch.optim, optimizer)
    model = small.model(net_params={"optimizer": cls}, lr_schedule="constant")
    assert type(model.fit(data.X, data.y).net_.optimizer_) is cls


@pytest.mark.parametrize("option", ["foreach", "fused"])
def test_net_params__way_of_the_optimizer__is_taken_and_changes_digits_only(
    option, data, small
):
    expected = small.model(max_epochs=1).fit(data.X, data.y)
    assert expected.net_.optimizer_.defaults["fused"]
    value = option == "foreach"  # the other is switched off
    model = small.model(max_epochs=1, net_params={f"optimizer__{option}": value})
    model.fit(data.X, data.y)
    assert model.net_.optimizer_.defaults[option] is value
    assert not model.net_.optimizer_.defaults["fused"]
    np.testing.assert_allclose(
        model.predict(data.X), expected.predict(data.X), rtol=1e-4
    )


def test_net_params__gradient_clipping_by_skorch__works(data, small):
    from skorch.callbacks import GradientNormClipping

    model = small.model(callbacks=[GradientNormClipping(1e-6)]).fit(data.X, data.y)
    assert not np.array_equal(
        model.predict(data.X), small.model().fit(data.X, data.y).predict(data.X)
    )


def test_parameters__numbers_of_numpy__give_the_same_model(estimator, data):
    y = data.labels if hasattr(estimator, "predict_proba") else data.y
    given = estimator.get_params(deep=False).items()
    numbers = {k: v for k, v in given if type(v) in (int, float)}
    expected = clone(estimator).fit(data.X, y).embed(data.X)
    estimator.set_params(**{k: np.array([v])[0] for k, v in numbers.items()})
    assert np.array_equal(estimator.fit(data.X, y).embed(data.X), expected)


def test_lr_schedule__one_cycle__ends_near_zero(data, small):
    rates = []

    class Watch(Callback):
        def on_batch_end(self, net, training=False, **_):
            rates.append(net.optimizer_.param_groups[0]["lr"])

    small.model(callbacks=[Watch()], max_epochs=10, lr=0.01).fit(data.X, data.y)
    assert max(rates) == pytest.approx(0.01, rel=0.2)
    assert rates[-1] < 1e-3
    rates.clear()
    model = small.model(callbacks=[Watch()], lr=0.01, lr_schedule="constant")
    model.fit(data.X, data.y)
    assert set(rates) == {0.01}


def test_weight_decay__large__shrinks_the_weights(data, small):
    sizes = []
    for decay in (0.0, 50.0):
        model = small.model(weight_decay=decay, lr=1e-2, lr_schedule="constant")
        module = model.fit(data.X, data.y).net_.module_
        sizes.append(float(module.head.weight.detach().norm()))
    assert sizes[1] < 0.8 * sizes[0]


def test_three_body_cutoff__changes_the_angles(data, small):
    short = small.model("ALIGNNRegressor", three_body_cutoff=2.0).fit(data.X, data.y)
    long = small.model("ALIGNNRegressor", three_body_cutoff=None).fit(data.X, data.y)
    assert short.graph_settings_.three_body_cutoff == 2.0
    assert long.graph_settings_.three_body_cutoff is None
    assert not np.array_equal(short.predict(data.X), long.predict(data.X))


def test_verbose__shows_bars_with_the_loss(data, small, capsys):
    small.model(verbose=True, max_epochs=3).fit(data.X, data.y)
    shown = capsys.readouterr()
    assert "graphs: 100%" in shown.err
    assert "epochs: 100%" in shown.err
    assert "train_loss=" in shown.err
    assert shown.out == ""


def test_quiet__shows_nothing(estimator, data, capfd):
    estimator.fit(data.X, target_of(estimator, data)).predict(data.X)
    shown = capfd.readouterr()
    assert (shown.out, shown.err) == ("", "")


def test_repr_and_html__fitted__work(estimator, data):
    estimator.fit(data.X, target_of(estimator, data))
    assert type(estimator).__name__ in repr(estimator)
    assert "hidden_dim" in estimator._repr_html_()
    assert not hasattr(estimator, "n_features_in_")


@pytest.fixture(scope="module")
def refractive_indices():
    path = Path(__file__).parents[2] / "../shared/data/dielectric_constant.json.gz"
    if not path.exists():
        pytest.skip("shared data file dielectric_constant.json.gz is not here")
    with gzip.open(path) as file:
        rows = json.load(file)
    rows = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))[:150]]
    X = [Structure(r["lattice"], r["species"], r["frac_coords"]) for r in rows]
    return X, np.array([r["n"] for r in rows]), [r["formula"] for r in rows]


def test_real_data__one_line_grouped_cross_validation__beats_the_median(
    refractive_indices,
):
    X, y, groups = refractive_indices
    arguments = {
        "groups": groups,
        "cv": GroupKFold(3),
        "scoring": "neg_median_absolute_error",
        "error_score": "raise",
    }
    model = CGCNNRegressor(max_epochs=15, random_state=0, device="cpu")
    ours = -cross_val_score(model, X, y, **arguments).mean()
    zeros = np.zeros((len(y), 1))
    median = DummyRegressor(strategy="median")
    assert ours < 0.85 * -cross_val_score(median, zeros, y, **arguments).mean()


def test_element_features__any_layout_in_memory__same_model(data, small):
    table = np.random.default_rng(0).normal(size=(119, 3))
    backwards = table[::-1].copy()[::-1]
    models = [
        small.model(element_features=given).fit(data.X, data.y)
        for given in (table, backwards, np.asfortranarray(table))
    ]
    one, two, three = (model.predict(data.X) for model in models)
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one, three)
