"""CrabNet estimators: compositions in, original units out, the known traps avoided."""

import pickle
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from joblib import Parallel, delayed, parallel_config
from pymatgen.core import Composition, Lattice, Structure
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict
from sklearn.utils._param_validation import InvalidParameterError

from skmatgnn import CrabNetClassifier, CrabNetRegressor, presets
from skmatgnn.errors import InvalidValueError
from skmatgnn.estimators._element_table import element_table, standardised
from skmatgnn.utils.validation import to_object_array

SMALL = {
    "d_model": 16,
    "n_layers": 1,
    "max_epochs": 2,
    "random_state": 0,
    "device": "cpu",
}
METALS, ANIONS = ["Li", "Na", "K", "Mg", "Ca", "Al", "Fe", "Zn"], ["O", "S", "Cl", "F"]
FORMULAS = [f"{m}{1 + i % 2}{a}{1 + (i + j) % 3}" for i, m in enumerate(METALS)
            for j, a in enumerate(ANIONS)]  # fmt: skip
Y = np.array([Composition(f).average_electroneg for f in FORMULAS])
LABELS = np.where(np.median(Y) < Y, "high", "low").astype(object)


def make_model(cls=CrabNetRegressor, **parameters):
    return cls(**{**SMALL, **parameters})


@pytest.fixture(params=[CrabNetRegressor, CrabNetClassifier])
def case(request):
    """An estimator class, its target, and a function of its outputs."""
    if request.param is CrabNetRegressor:
        return SimpleNamespace(cls=request.param, y=Y, out=lambda m, X: m.predict(X))
    return SimpleNamespace(
        cls=request.param, y=LABELS, out=lambda m, X: m.predict_proba(X)
    )


def salt(formula="NaCl"):
    return Structure(Lattice.cubic(4), re.findall("[A-Z][a-z]?", formula),
                     [[0] * 3, [0.5] * 3])  # fmt: skip


# --- what it learns and gives


def test_regressor__enough_epochs__learns_a_property_of_the_elements():
    model = make_model(max_epochs=60, lr=5e-3, dropout=0.0).fit(FORMULAS, Y)
    assert model.score(FORMULAS, Y) > 0.9
    assert model.n_epochs_ == len(model.history_) == 60


def test_classifier__enough_epochs__separates_the_classes():
    model = make_model(CrabNetClassifier, max_epochs=40, lr=5e-3).fit(FORMULAS, LABELS)
    assert model.score(FORMULAS, LABELS) > 0.9
    proba = model.predict_proba(FORMULAS)
    assert proba.sum(axis=1) == pytest.approx(1)
    assert set(model.predict(FORMULAS)) == {"high", "low"}


def test_predict__std__is_in_original_units_and_follows_the_noise():
    rng = np.random.default_rng(0)
    X = [f"Na{a}Cl{b}" for a in range(1, 11) for b in range(1, 11)]
    X += [f"Fe{a}O{b}" for a in range(1, 11) for b in range(1, 11)]
    noisy = np.array(["Fe" in formula for formula in X])
    y = 1e4 + 1e3 * np.where(noisy, rng.normal(size=len(X)), 0.05 * noisy)
    model = make_model(max_epochs=30, lr=5e-3, average_duplicates=False).fit(X, y)
    value, std = model.predict(X, return_std=True)
    assert np.array_equal(value, model.predict(X))
    assert value.shape == std.shape == (len(X),)
    assert (std > 0).all()
    assert np.median(std[noisy]) > 4 * np.median(std[~noisy])
    assert 300 < np.median(std[noisy]) < 2500
    scaled = make_model(max_epochs=30, lr=5e-3, average_duplicates=False)
    _, small = scaled.fit(X, (y - 1e4) / 1e3).predict(X, return_std=True)
    assert small == pytest.approx(std / 1e3, rel=1e-2)


def test_predict__std_of_the_published_loss__is_positive():
    model = make_model(loss="robust_l1").fit(FORMULAS, Y)
    _, std = model.predict(FORMULAS, return_std=True)
    assert (std > 0).all()


def test_predict__std_of_another_loss__is_refused():
    for loss in ("l1", "mse", "huber"):
        model = make_model(loss=loss).fit(FORMULAS, Y)
        assert model.predict(FORMULAS).shape == Y.shape
        with pytest.raises(InvalidValueError, match="'l1_with_std' or 'robust_l1'"):
            model.predict(FORMULAS, return_std=True)


def test_regressor__several_targets_partly_unknown__are_predicted_with_spread():
    table = np.column_stack([Y, 100 * Y + 5])
    table[3, 1] = table[7, 0] = np.nan
    model = make_model().fit(FORMULAS, table)
    value, std = model.predict(FORMULAS, return_std=True)
    assert value.shape == std.shape == table.shape
    assert np.isfinite(value).all()
    assert (std[:, 1] / std[:, 0]).mean() > 20
    assert np.isfinite(model.score(FORMULAS, table))


def test_attention__weights__name_elements_and_sum_to_one():
    model = make_model(n_layers=2).fit(FORMULAS, Y)
    X = ["NaCl", "Li2FeSiO4", "Fe"]
    last = model.attention(X)
    assert [a["elements"] for a in last] == [
        ("Na", "Cl"),
        ("Li", "O", "Si", "Fe"),
        ("Fe",),
    ]
    assert last[1]["fractions"] == pytest.approx([2 / 8, 4 / 8, 1 / 8, 1 / 8])
    for a in last:
        n = len(a["elements"])
        assert a["weights"].shape == (4, n, n)
        assert a["weights"].sum(axis=-1) == pytest.approx(1, abs=1e-6)
    first = model.attention(X, layer=0)
    assert not np.allclose(first[0]["weights"], last[0]["weights"])
    with pytest.raises(InvalidValueError, match="from -2 to 1"):
        model.attention(X, layer=2)


def test_embed__gives_the_tokens_mean():
    assert make_model().fit(FORMULAS, Y).embed(["NaCl", "KCl"]).shape == (2, 16)


@pytest.mark.parametrize("features", ["matscholar", "magpie", "one_hot", "own"])
def test_element_features__each__are_used(features):
    own = np.random.default_rng(0).normal(size=(60, 3))
    given = own if features == "own" else features
    model = make_model(element_features=given).fit(FORMULAS, Y)
    table = model.net_.module_.elements.table
    width = {"matscholar": 200, "magpie": 22, "one_hot": 119, "own": 3}[features]
    assert table.shape[1] == width
    if features != "one_hot":
        rows = table[1:] if features != "own" else table
        known = rows[rows.abs().sum(dim=1) > 0]
        assert known.mean(dim=0).abs().max() < 1e-4
    assert np.isfinite(model.predict(FORMULAS)).all()


def test_element_tables__matscholar_and_magpie__cover_the_elements():
    for name, last in (("matscholar", 103), ("magpie", 94)):
        known = np.isfinite(element_table(name)).all(axis=1)
        assert known[1 : last + 1].all()
        assert not known[0]
    assert standardised(np.full((3, 2), np.nan)).shape == (3, 2)


# --- containers, copies, searches


@pytest.mark.parametrize(
    "contain",
    [
        tuple,
        to_object_array,
        lambda X: to_object_array(X).reshape(-1, 1),
        lambda X: pd.Series(X, index=range(100, 100 + len(X))),
        lambda X: pd.DataFrame({"formula": X}),
        lambda X: [Composition(x) for x in X],
        lambda X: [Composition(x).as_dict() for x in X],
    ],
)
def test_containers__any__give_the_same_bits(contain, case):
    expected = case.out(make_model(case.cls).fit(FORMULAS, case.y), FORMULAS)
    model = make_model(case.cls).fit(contain(FORMULAS), case.y)
    assert np.array_equal(case.out(model, contain(FORMULAS)), expected)


def test_structures__are_read_as_their_compositions():
    model = make_model().fit(FORMULAS, Y)
    found = model.predict([salt("NaCl"), salt("LiF")])
    assert np.array_equal(found, model.predict(["NaCl", "LiF"]))


def test_pickle_and_clone__keep_the_model(case):
    model = make_model(case.cls).fit(FORMULAS, case.y)
    expected = case.out(model, FORMULAS)
    copy = pickle.loads(pickle.dumps(model))
    assert np.array_equal(case.out(copy, FORMULAS), expected)
    again = clone(model).fit(FORMULAS, case.y)
    assert np.array_equal(case.out(again, FORMULAS), expected)
    for twin in (model, copy):  # dropout goes on from where it was
        twin.partial_fit(FORMULAS, case.y)
    assert np.array_equal(case.out(model, FORMULAS), case.out(copy, FORMULAS))


def test_grid_search__in_two_processes__finds_what_one_finds():
    grid = {"lr": [1e-4, 1e-2], "element_features": ["matscholar", "one_hot"]}
    scores = [
        GridSearchCV(make_model(), grid, cv=2, n_jobs=n, error_score="raise")
        .fit(FORMULAS, Y)
        .cv_results_["mean_test_score"]
        for n in (1, 2)
    ]
    assert np.array_equal(*scores)
    assert len(set(scores[0])) == 4


def test_cross_validation__loky_and_threads__equal_serial(case):
    method = "predict_proba" if case.y is LABELS else "predict"
    arguments = {"cv": KFold(3, shuffle=True, random_state=0), "method": method}
    serial = cross_val_predict(make_model(case.cls), FORMULAS, case.y, **arguments)
    for backend in ("loky", "threading"):
        with parallel_config(backend=backend, n_jobs=2):
            found = cross_val_predict(
                make_model(case.cls), FORMULAS, case.y, **arguments
            )
        assert np.array_equal(found, serial)


def test_seed__same_or_other__same_or_other_bits(case):
    first = case.out(make_model(case.cls).fit(FORMULAS, case.y), FORMULAS)
    torch.rand(3)
    state = torch.get_rng_state()
    again = case.out(make_model(case.cls).fit(FORMULAS, case.y), FORMULAS)
    assert np.array_equal(first, again)
    assert torch.equal(torch.get_rng_state(), state)
    other = make_model(case.cls, random_state=1).fit(FORMULAS, case.y)
    assert not np.allclose(case.out(other, FORMULAS), first)


def test_threads__many_fits_at_once__leave_each_other_alone():
    models = [make_model(random_state=s, dropout=0.5) for s in range(4)]
    serial = [clone(m).fit(FORMULAS, Y).predict(FORMULAS) for m in models]
    fits = (delayed(clone(m).fit)(FORMULAS, Y) for m in models)
    for model, expected in zip(
        Parallel(n_jobs=4, backend="threading")(fits), serial, strict=True
    ):
        assert np.array_equal(model.predict(FORMULAS), expected)


def test_warm_start__continues_and_refuses_another_head():
    model = make_model(warm_start=True).fit(FORMULAS, Y)
    before = model.predict(FORMULAS)
    fresh = make_model(max_epochs=1).fit(FORMULAS, Y).predict(FORMULAS)
    model.set_params(max_epochs=1, lr=1e-9).fit(FORMULAS, Y)
    assert model.predict(FORMULAS) == pytest.approx(before, rel=1e-4)
    assert not np.allclose(fresh, before, rtol=1e-4)
    model.set_params(loss="l1")
    with pytest.raises(InvalidValueError, match="loss changed"):
        model.fit(FORMULAS, Y)


# --- the traps of the published implementation


def test_trap_1__early_stopping__holds_compositions_and_groups_out(monkeypatch):
    seen = []
    from skmatgnn.nets import HoldOut

    call = HoldOut.__call__

    def record(self, dataset, *args, **kwargs):
        train, valid = call(self, dataset, *args, **kwargs)
        seen.append((train, valid))
        return train, valid

    monkeypatch.setattr(HoldOut, "__call__", record)
    X = FORMULAS + [f"({f})2" for f in FORMULAS]
    y = np.concatenate([Y, Y + 1])
    model = make_model(early_stopping=True, average_duplicates=False)
    model.fit(X, y)
    train, valid = seen.pop()
    assert len(train) + len(valid) == 64
    assert not set(train.rows % 32) & set(valid.rows % 32)
    assert all("valid_loss" in row for row in model.history_)

    groups = np.arange(32) // 4
    make_model(early_stopping=True).fit(FORMULAS, Y, groups=groups)
    train, valid = seen.pop()
    assert not set(groups[train.rows]) & set(groups[valid.rows])


@pytest.mark.parametrize("loss", ["l1_with_std", "robust_l1"])
def test_early_stopping__loss_that_learns_the_spread__watches_the_error(loss):
    from skorch.callbacks import Callback

    class Spy(Callback):
        """Mean absolute error of the values on the held-out rows, without the net's."""

        def __init__(self):
            self.errors = []

        def on_epoch_begin(self, net, dataset_valid=None, **_):
            self.valid = dataset_valid

        def on_epoch_end(self, net, **_):
            value = net.apply(self.valid, net.module_)[:, :2]
            error = np.abs(value - self.valid.target[self.valid.rows])
            weight = self.valid.weight[self.valid.rows]
            known = np.isfinite(error)
            self.errors.append((error * weight[:, None])[known].sum() / known.sum())

    rng = np.random.default_rng(0)
    noise = rng.standard_t(1, size=(32, 2))  # outliers, which spoil a likelihood
    targets = Y[:, None] + 0.1 * noise
    targets[::3, 1] = np.nan
    weight = rng.uniform(0.5, 1.5, size=32)
    for seed in range(4):
        spy = Spy()
        model = make_model(loss=loss, early_stopping=True, validation_fraction=0.4,
                           max_epochs=40, lr=1e-2, precision="float64",
                           callbacks=[spy], random_state=seed)  # fmt: skip
        model.fit(FORMULAS, targets, sample_weight=weight)
        watched = [row["valid_mae"] for row in model.history_]
        assert watched == pytest.approx(spy.errors, rel=1e-6)
        assert model.best_epoch_ == 1 + int(np.argmin(watched))
        losses = [row["valid_loss"] for row in model.history_]
        if np.argmin(losses) != np.argmin(watched):
            return
    pytest.fail("loss and error were lowest in the same epoch, whatever the seed")


def test_early_stopping__loss_of_values_or_classes__watches_the_loss(case):
    loss = "mse" if case.cls is CrabNetRegressor else "auto"
    model = make_model(case.cls, loss=loss, early_stopping=True, max_epochs=8)
    model.fit(FORMULAS, case.y)
    losses = [row["valid_loss"] for row in model.history_]
    assert model.best_epoch_ == 1 + int(np.argmin(losses))
    assert not any("valid_mae" in row for row in model.history_)


def test_trap_2__prediction_while_training__leaves_dropout_on():
    from skorch.callbacks import Callback

    modes = []

    class Spy(Callback):
        def on_batch_end(self, net, training=False, **_):
            modes.append((training, net.module_.layers[0].dropout.training))

    make_model(early_stopping=True, max_epochs=3, callbacks=[Spy()]).fit(FORMULAS, Y)
    assert (True, True) in modes
    assert (False, False) in modes
    assert all(training == dropping for training, dropping in modes)


def test_trap_3__more_elements_than_in_training__all_count():
    model = make_model(precision="float64").fit(["NaCl", "KCl", "MgO", "Fe"], range(4))
    long = "Li2Be3B4C5N6O7F8Na9Mg10Al11Si12P1"
    without_the_rarest = long.removesuffix("P1")
    full, cut = model.predict([long, without_the_rarest])
    assert full != pytest.approx(cut, rel=1e-9)
    assert model.predict([long]) == pytest.approx([full], rel=1e-9)


@pytest.mark.parametrize("max_epochs", [1, 3, 7])
def test_trap_4__any_number_of_epochs__is_run(max_epochs):
    model = make_model(max_epochs=max_epochs).fit(FORMULAS, Y)
    assert model.n_epochs_ == max_epochs
    assert np.isfinite(model.predict(FORMULAS)).all()


def test_trap_5__order_and_batch_of_predictions__do_not_matter():
    model = make_model(precision="float64").fit(FORMULAS, Y)
    expected = model.predict(FORMULAS)
    order = np.random.default_rng(0).permutation(len(FORMULAS))
    shuffled = model.predict([FORMULAS[i] for i in order])
    assert shuffled == pytest.approx(expected[order], rel=1e-9)
    single = np.concatenate([model.predict([x]) for x in FORMULAS])
    assert single == pytest.approx(expected, rel=1e-9)
    assert np.array_equal(model.predict(FORMULAS), expected)


@pytest.mark.parametrize("value", [0.0, -3.5, 1e6])
def test_trap_6__constant_target__is_predicted(value):
    model = make_model(max_epochs=10).fit(FORMULAS, np.full(32, value))
    found, std = model.predict(["NaCl", "KBr"], return_std=True)
    assert found == pytest.approx([value] * 2, rel=2e-2, abs=2.0)
    assert np.isfinite(std).all()


def test_trap_7__fit_and_predict__write_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_model(early_stopping=True).fit(FORMULAS, Y).predict(FORMULAS)
    assert list(tmp_path.iterdir()) == []


def test_trap_8__import__needs_no_data_beyond_the_dependencies():
    model = CrabNetRegressor(**presets.CRABNET_2021)
    assert (model.d_model, model.dim_feedforward, model.max_epochs) == (512, 2048, 300)
    assert model.element_features == "matscholar"


def test_trap_9__integer_and_half_precision_targets__are_accepted():
    for dtype in (np.int64, np.float16, object):
        y = (10 * Y).astype(int).astype(dtype)
        assert make_model().fit(FORMULAS, y).predict(["NaCl"]).dtype == np.float64


def test_duplicates__however_written__become_one_row():
    X = ["LiFePO4", "Li2Fe2P2O8", "NaCl", "Li0.5Fe0.5P0.5O2", "KCl"]
    y = [1.0, 3.0, 5.0, 8.0, 7.0]
    merged = make_model().fit(X, y)
    assert merged.target_scaler_.mean_ == pytest.approx([24 / 5])
    expected = make_model().fit(["LiFePO4", "NaCl", "KCl"], [4.0, 5.0, 7.0], [3, 1, 1])
    assert np.array_equal(merged.predict(X), expected.predict(X))
    apart = make_model(average_duplicates=False).fit(X, y)
    assert not np.allclose(apart.predict(X), merged.predict(X))


def test_duplicates__unknown_targets_weights_and_classes__are_kept_apart():
    X = ["NaCl", "Na2Cl2", "KCl", "K2Cl2"]
    y = np.array([[1.0, np.nan], [3.0, 4.0], [5.0, np.nan], [7.0, 6.0]])
    model = make_model().fit(X, y, sample_weight=[1, 3, 0, 0])
    assert model.target_scaler_.mean_ == pytest.approx([2.5, 4.0])
    labels = ["a", "b", "a", "a"]
    first = make_model(CrabNetClassifier).fit(X, labels).predict_proba(X)
    merged = make_model(CrabNetClassifier).fit(X[:3], labels[:3], [1, 1, 2])
    assert np.array_equal(merged.predict_proba(X), first)


# --- refusals


@pytest.mark.parametrize("bad", ["Xx2O", "", None, 3.0, {"Fe": -1}, object()])
def test_bad_composition__anywhere__is_named(bad, case, refusal):
    y = case.y[:3]
    _, text = refusal(make_model(case.cls).fit, ["NaCl", bad, "KCl"], y)
    assert refusal.names_index(text, 1)
    model = make_model(case.cls).fit(FORMULAS, case.y)
    _, text = refusal(model.predict, ["NaCl", "KCl", bad])
    assert refusal.names_index(text, 2)


def test_element_without_features__is_named(refusal):
    _, text = refusal(make_model().fit, ["NaCl", "OgO2"], [1.0, 2.0])
    assert refusal.names_index(text, 1)
    assert "one_hot" in text
    model = make_model(element_features="one_hot").fit(["NaCl", "OgO2"], [1.0, 2.0])
    assert np.isfinite(model.predict(["Og"])).all()
    own = make_model(element_features=np.ones((20, 3)))
    _, text = refusal(own.fit, ["NaCl", "FeO2"], [1.0, 2.0])
    assert re.search("index 1 has the element Fe", text)


BAD_PARAMETERS = {
    "d_model": [0, 2.5, None],
    "n_layers": [-1, None],
    "n_heads": [0, "4"],
    "dim_feedforward": [0, 1.5],
    "norm_first": ["yes", None],
    "dropout": [-0.1, 1.0, None],
    "element_features": ["cgcnn", 3, None],
    "fraction_noise": [-0.1, 1, None],
    "average_duplicates": ["yes", None],
    "loss": ["mae", None],
    "batch_size": [0, "all", None],
}


@pytest.mark.parametrize("parameter", BAD_PARAMETERS)
def test_bad_parameter__is_refused_by_name(parameter, case, refusal):
    for value in BAD_PARAMETERS[parameter]:
        model = make_model(case.cls, **{parameter: value})
        error, text = refusal(model.fit, FORMULAS, case.y)
        assert isinstance(error, InvalidParameterError)
        assert f"The {parameter!r} parameter" in text


def test_width__that_heads_do_not_divide__is_refused(refusal):
    for parameters in ({"d_model": 10}, {"n_heads": 3}):
        _, text = refusal(make_model(**parameters).fit, FORMULAS, Y)
        assert "multiple of four and of n_heads" in text


def test_losses__of_the_other_task__are_refused(refusal):
    refusal(make_model(loss="cross_entropy").fit, FORMULAS, Y)
    refusal(make_model(CrabNetClassifier, loss="robust_l1").fit, FORMULAS, LABELS)


@pytest.mark.parametrize("n", [1, 2, 31])
def test_small_data__trains(n, case):
    model = make_model(case.cls, early_stopping=True).fit(FORMULAS[:n], case.y[:n])
    assert np.isfinite(case.out(model, FORMULAS)).all()


@pytest.mark.parametrize(
    ("n_samples", "expected"), [(10, 10), (400, 16), (1000, 32), (10**6, 512)]
)
def test_batch_size__auto__follows_the_data(n_samples, expected):
    assert CrabNetRegressor()._batch_size(n_samples) == expected
    assert CrabNetRegressor(batch_size=7)._batch_size(n_samples) == 7
