"""transfer_matrix: hold-outs that do not leak, pre-training once, and resuming."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.dummy import DummyRegressor
from sklearn.frozen import FrozenEstimator
from skorch.callbacks import Callback

from skmatgnn import (
    ALIGNNRegressor,
    CGCNNClassifier,
    CGCNNRegressor,
    CrabNetRegressor,
    MPTRegressor,
)
from skmatgnn.datasets import make_crystals
from skmatgnn.graphs import StructureToGraph
from skmatgnn.model_selection import (
    _transfer_matrix,
    _transfer_plan,
    formula_groups,
    transfer_matrix,
)
from skmatgnn.model_selection._transfer_checks import make_plan, pretrainings_of
from skmatgnn.model_selection._transfer_data import join
from skmatgnn.model_selection._transfer_plan import DESIGNS, Fit

COLUMNS = [
    *("target", "design", "source", "size", "trial", "n_train", "n_test"),
    *("mae", "smae", "r2", "seconds"),
]
MODEL = CGCNNRegressor(
    node_dim=8, hidden_dim=8, n_conv_layers=1, edge_step=1.0, max_neighbors=4,
    max_epochs=1, device="cpu",
)  # fmt: skip
SMALL = {"fine_tuning_sizes": (4, 8), "trials": 2, "test_size": 0.25}
PLAN = {
    "targets": None, "sources": None, "source_estimator": None, "mpt_estimator": None,
    "fine_tuning_params": None, "designs": DESIGNS, "exclude_test": True,
    "random_state": 0, **SMALL,
}  # fmt: skip


@pytest.fixture(scope="module")
def datasets():
    """Three properties of overlapping sets of few formulas."""
    X, y = make_crystals(
        60, prototypes=["rocksalt", "cscl"], elements=["Na", "K", "Mg", "O", "Cl", "S"],
        random_state=0, return_X_y=True,
    )  # fmt: skip
    volume = np.array([x.volume for x in X])
    atoms = np.array([x.density for x in X])
    return {
        "energy": (list(X[:40]), y[:40]),
        "volume": (list(X[20:]), volume[20:]),
        "density": (list(X[10:50]), atoms[10:50]),
    }


def plan_of(datasets, estimator=MODEL, **changed):
    return make_plan(datasets, estimator, **{**PLAN, **changed})


@pytest.fixture
def counted(monkeypatch):
    """Count the calls of the two kinds of training."""
    calls = {"fit_and_save": 0, "fit_and_predict": 0}

    def counting(name):
        real = getattr(_transfer_plan, name)

        def call(*arguments):
            calls[name] += 1
            return real(*arguments)

        return call

    for name in calls:
        monkeypatch.setattr(_transfer_matrix, name, counting(name))
    return calls


def same(a, b):
    return pd.testing.assert_frame_equal(
        a.drop(columns="seconds"), b.drop(columns="seconds")
    )


def test_hold_out__of_every_target__shares_no_formula_with_any_training(datasets):
    plan = plan_of(datasets)
    held = set()
    for name, test in plan.test.items():
        formulas = formula_groups(datasets[name][0])
        assert 2 <= test.sum() <= 0.25 * len(test)
        assert not set(formulas[test]) & set(formulas[~test])
        held |= set(formulas[test])
    for fit in plan.fits():
        test = plan.test[fit.target]
        rows = plan.train_rows(fit)
        assert len(rows) == fit.size == len(set(rows))
        assert not test[rows].any()
        pretraining = plan.pretraining(fit)
        if pretraining is not None:
            for name, used in plan.pretraining_rows(pretraining).items():
                assert not held & set(formula_groups(datasets[name][0])[used])


def test_exclude_test__if_not__lets_test_materials_be_seen_elsewhere_only(datasets):
    plan = plan_of(datasets, exclude_test=False)
    kept = plan_of(datasets)
    seen_elsewhere = 0
    for fit in plan.fits():
        test = plan.test[fit.target]
        np.testing.assert_array_equal(test, kept.test[fit.target])
        pretraining = plan.pretraining(fit)
        if pretraining is None:
            continue
        held = set(formula_groups(datasets[fit.target][0])[test])
        for name, used in plan.pretraining_rows(pretraining).items():
            if name == fit.target:
                assert not test[used].any()
            else:
                assert len(used) == len(datasets[name][1])
                formulas = formula_groups(datasets[name][0])
                seen_elsewhere += bool(held & set(formulas[used]))
    assert seen_elsewhere > 0


def test_draws__are_random_by_trial_nested_and_the_same_for_all_designs(datasets):
    plan = plan_of(datasets)
    rows = {
        (size, trial): plan.train_rows(Fit("energy", "scratch", None, size, trial))
        for size in (4, 8)
        for trial in (0, 1)
    }
    np.testing.assert_array_equal(rows[4, 0], rows[8, 0][:4])
    assert set(rows[8, 0]) != set(rows[8, 1])
    for design, source in (("pair", "volume"), ("mpt", None)):
        other = plan.train_rows(Fit("energy", design, source, 8, 0))
        np.testing.assert_array_equal(rows[8, 0], other)
    alone = plan_of({"energy": datasets["energy"]}, designs=("scratch",))
    again = alone.train_rows(Fit("energy", "scratch", None, 8, 0))
    np.testing.assert_array_equal(rows[8, 0], again)


def test_hold_out__of_datasets_with_the_same_materials__is_the_same(datasets):
    X, y = datasets["energy"]
    order = np.random.default_rng(0).permutation(len(y))
    shuffled = ([X[i] for i in order], y[order])
    plan = plan_of({"a": (X, y), "b": shuffled})
    np.testing.assert_array_equal(plan.test["a"][order], plan.test["b"])


def test_groups__are_not_parted_and_neither_are_formulas(datasets):
    X, y = datasets["energy"]
    formulas = formula_groups(X)
    other = np.flatnonzero(formulas != formulas[0])[0]
    groups = np.arange(40)
    groups[other] = groups[0]
    units = plan_of({"a": (X, y)}, designs=("scratch",)).datasets["a"].units
    assert units[other] != units[0]
    plan = plan_of({"a": (X, y, groups)}, designs=("scratch",), test_size=0.6)
    test = plan.test["a"]
    assert test.any()
    assert plan.datasets["a"].units[other] == plan.datasets["a"].units[0]
    for labels in (groups, formulas):
        assert not set(labels[test]) & set(labels[~test])


def test_join__equal_structures__are_one_row_with_both_properties(datasets):
    plan = plan_of(datasets)
    pretraining = plan.pretraining(Fit("density", "mpt_without_target", None, 4, 0))
    assert pretraining.names == ("energy", "volume")
    rows = plan.pretraining_rows(pretraining)
    parts = [(plan.datasets[name], used) for name, used in rows.items()]
    X, Y, groups = join(parts)
    energy, volume = set(rows["energy"]), {row + 20 for row in rows["volume"]}
    assert len(X) == len(Y) == len(groups) == len(energy | volume)
    assert list(Y.columns) == ["energy", "volume"]
    both = Y.notna().all(axis=1).to_numpy()
    assert both.sum() == len(energy & volume) > 0
    merged = dict(Y[both].to_numpy().tolist())
    for row in sorted(energy & volume):
        assert merged[datasets["energy"][1][row]] == datasets["volume"][1][row - 20]
    # the graphs follow their values
    first = StructureToGraph(max_neighbors=4).transform(
        [datasets["energy"][0][rows["energy"][3]]]
    )
    np.testing.assert_array_equal(X[3].displacement, first.displacement)


def test_frame__has_all_designs_and_the_scores_of_the_models(datasets, counted):
    frame = transfer_matrix(datasets, MODEL, random_state=0, **SMALL)
    assert frame.columns.tolist() == COLUMNS
    # 3 pairs of sources shared by targets, one MPT of all, one without each
    assert counted["fit_and_save"] == 3 + 1 + 3
    assert len(frame) == counted["fit_and_predict"] == 3 * (1 + 2 + 1 + 1) * 2 * 2
    assert set(frame.loc[frame.design == "pair", "source"]) == set(datasets)
    assert not (frame.source == frame.target).any()
    assert frame.loc[frame.design != "pair", "source"].isna().all()
    assert (frame.n_train == frame["size"]).all()
    assert np.isfinite(frame[["mae", "smae", "r2", "seconds"]]).all().all()
    plan = plan_of(datasets)
    fit = Fit("energy", "scratch", None, 8, 1)
    model, X, y, _, X_test = plan.fit_task(fit, None)
    held = plan.test["energy"]
    truth = datasets["energy"][1][held]
    error = np.abs(clone(model).fit(X, y).predict(X_test) - truth)
    row = frame[(frame.target == "energy") & (frame.design == "scratch")].iloc[3]
    assert (row["size"], row.trial, row.n_test) == (8, 1, held.sum())
    assert row.mae == pytest.approx(error.mean(), rel=1e-12)
    assert row.smae == pytest.approx(error.mean() / np.abs(truth - truth.mean()).mean())
    report = frame.attrs["pretraining"]
    assert len(report) == 7
    for entry in report:
        for name in entry["datasets"]:
            total = len(datasets[name][1])
            assert entry["rows"][name] + entry["left_out"][name] == total
            assert entry["left_out"][name] >= plan.test[name].sum()


def test_fine_tuning__starts_from_the_pretrained_model(datasets):
    """With no step to speak of, it predicts what the source has learnt."""
    X, y = datasets["energy"]
    twice = {"energy": (X, y), "same": (X, y)}
    source = clone(MODEL).set_params(max_epochs=8, lr=1e-2)
    frame = transfer_matrix(
        twice, MODEL, targets=["energy"], designs=("scratch", "pair"),
        source_estimator=source, fine_tuning_params={"lr": 1e-9, "fine_tuning": "head"},
        random_state=0, **SMALL,
    )  # fmt: skip
    pair = frame[frame.design == "pair"]
    assert pair.mae.std() < 1e-3 * pair.mae.mean()
    assert frame[frame.design == "scratch"].mae.std() > 1e-3


def test_run__stopped_resumed_or_parallel__gives_the_same(
    datasets, counted, monkeypatch, tmp_path, capsys
):
    options = {
        "targets": ["energy", "volume"], "designs": ("scratch", "pair", "mpt"),
        "sources": ["energy", "density"], "random_state": 1, **SMALL,
    }  # fmt: skip
    whole = transfer_matrix(datasets, MODEL, **options)
    n_starts, n_fits = counted["fit_and_save"], counted["fit_and_predict"]
    counted.update(fit_and_save=0, fit_and_predict=0)
    real = _transfer_matrix.fit_and_predict

    def stop_at_the_fifth(*arguments):
        if counted["fit_and_predict"] == 4:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(_transfer_matrix, "fit_and_predict", stop_at_the_fifth)
    folder = tmp_path / "kept"
    with pytest.raises(KeyboardInterrupt):
        transfer_matrix(datasets, MODEL, cache_dir=folder, **options)
    assert counted == {"fit_and_save": n_starts, "fit_and_predict": 4}
    (first, *_) = sorted((folder / "pretrained").iterdir())
    first.write_bytes(first.read_bytes()[:-9])  # as a full disk leaves it
    monkeypatch.setattr(_transfer_matrix, "fit_and_predict", real)
    same(whole, transfer_matrix(datasets, MODEL, cache_dir=folder, **options))
    assert counted == {"fit_and_save": n_starts + 1, "fit_and_predict": n_fits}
    again = transfer_matrix(datasets, MODEL, cache_dir=folder, verbose=True, **options)
    shown = capsys.readouterr().err
    assert f"{n_fits}/{n_fits}" in shown.replace(" ", "")
    pd.testing.assert_frame_equal(
        again, transfer_matrix(datasets, MODEL, cache_dir=folder, **options)
    )
    assert counted["fit_and_predict"] == n_fits
    other = transfer_matrix(
        datasets, clone(MODEL).set_params(lr=1e-3), cache_dir=folder,
        **{**options, "designs": ("scratch",)},
    )  # fmt: skip
    assert counted["fit_and_predict"] == n_fits + 8
    assert (other.mae.to_numpy() != whole[whole.design == "scratch"].mae).all()


def test_run__in_two_processes__gives_the_same(datasets):
    options = {"targets": ["energy"], "sources": ["volume"], "random_state": 1}
    options |= {**SMALL, "trials": 1, "designs": ("pair", "mpt_without_target")}
    serial = transfer_matrix(datasets, MODEL, **options)
    same(serial, transfer_matrix(datasets, MODEL, n_jobs=2, **options))


def test_datasets__as_a_list_or_as_graphs__give_the_same(datasets):
    options = {"targets": ["energy"], "designs": ("scratch",), "random_state": 0}
    options |= {**SMALL, "trials": 1}
    expected = transfer_matrix(datasets, MODEL, **options)
    listed = [(X, y, name) for name, (X, y) in datasets.items()]
    same(expected, transfer_matrix(listed, MODEL, **options))
    to_graph = StructureToGraph(max_neighbors=4)
    graphs = {name: (to_graph.transform(X), y) for name, (X, y) in datasets.items()}
    same(expected, transfer_matrix(graphs, MODEL, **options))


def test_estimator__of_formulas__has_pairs(datasets):
    formulas = {name: ([x.formula for x in X], y) for name, (X, y) in datasets.items()}
    model = CrabNetRegressor(d_model=8, n_heads=2, n_layers=1, max_epochs=1)
    frame = transfer_matrix(
        formulas, model, targets=["energy"], sources=["volume"],
        designs=("scratch", "pair"), random_state=0, **{**SMALL, "trials": 1},
    )  # fmt: skip
    assert frame.design.tolist() == ["scratch"] * 2 + ["pair"] * 2
    with pytest.raises(TypeError, match="no MPTRegressor for CrabNetRegressor"):
        transfer_matrix(formulas, model, random_state=0)


class Interrupt(Callback):
    """What Ctrl-C does in the second epoch."""

    def on_epoch_end(self, net, **_):
        if len(net.history) == 2:
            raise KeyboardInterrupt


def test_training__that_is_interrupted__is_not_taken_for_a_result(datasets, tmp_path):
    model = clone(MODEL).set_params(callbacks=[Interrupt()], max_epochs=3)
    for designs in (("scratch",), ("pair",)):
        with pytest.raises(KeyboardInterrupt):
            transfer_matrix(
                datasets, model, cache_dir=tmp_path / "kept", designs=designs,
                random_state=0, **SMALL,
            )  # fmt: skip
    assert not list((tmp_path / "kept").rglob("*.*"))


def test_callbacks__of_what_is_pretrained__need_not_be_saved(datasets):
    model = clone(MODEL).set_params(callbacks=[Interrupt()])  # one epoch: never
    options = {**SMALL, "targets": ["energy"], "random_state": 0, "trials": 1}
    same(
        transfer_matrix(datasets, MODEL, designs=("mpt",), **options),
        transfer_matrix(datasets, model, designs=("mpt",), **options),
    )
    model = clone(MODEL).set_params(net_params={"optimizer__betas": object()})
    with pytest.raises(TypeError, match="source_estimator, the parameter net_params"):
        transfer_matrix(datasets, model, designs=("pair",), **options)


def test_default_mpt__takes_over_the_parameters_of_the_estimator():
    model = ALIGNNRegressor(hidden_dim=32, lr=1e-3, cutoff=6.0, fine_tuning="head")
    mpt = _transfer_plan.default_mpt(model)
    assert isinstance(mpt, MPTRegressor)
    assert (mpt.architecture, mpt.hidden_dim, mpt.lr, mpt.cutoff, mpt.fine_tuning) == (
        "alignn", 32, 1e-3, 6.0, "full",
    )  # fmt: skip
    assert _transfer_plan.default_mpt(MODEL).architecture == "cgcnn"


def test_pretrainings__without_exclusion__are_one_for_each_target(datasets):
    plan = plan_of(datasets, exclude_test=False, designs=("mpt",))
    found = pretrainings_of(plan, plan.fits())
    assert [p.spared for p in found] == list(datasets)


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"targets": ["gap"]}, "targets must be some of .*got \\['gap'\\]"),
        ({"sources": "energy"}, "sources must be a sequence of str"),
        ({"designs": ("scratch", "all")}, "designs must be some of"),
        ({"fine_tuning_sizes": (10, 10)}, "must be different numbers of rows"),
        ({"fine_tuning_sizes": (0.5,)}, "must be different numbers of rows"),
        ({"trials": 0}, "trials must be an integer of 1 or more; got 0"),
        ({"test_size": 1.5}, "test_size must be between 0 and 1"),
        ({"fine_tuning_sizes": (4, 39)}, "'energy' has 3. rows to train on.*\\(39\\)"),
        ({"test_size": 0.01}, "'energy': a hold-out of 0 of its 40 rows"),
        ({"sources": ["energy"]}, "needs a source other than the target 'energy'"),
        ({"fine_tuning_params": {"fine_tuning": "two"}}, "'fine_tuning' parameter"),
        ({"cache_dir": "kept", "random_state": None}, "needs an int as random_state"),
    ],
)
def test_bad_option__is_told_before_anything_is_trained(
    datasets, counted, changed, match, tmp_path
):
    if "cache_dir" in changed:
        changed = {**changed, "cache_dir": tmp_path / "kept"}
    options = {"random_state": 0, **SMALL, **changed}
    with pytest.raises((ValueError, TypeError), match=match):
        transfer_matrix(datasets, MODEL, **options)
    assert counted == {"fit_and_save": 0, "fit_and_predict": 0}
    assert not (tmp_path / "kept").exists()


def test_bad_dataset__is_named(datasets, salt):
    X, y = datasets["energy"]
    for bad, match in (
        ((X, y[:-1]), "'bad': .*structures has 40, y has 39"),
        ((X, np.where(np.arange(40) == 7, np.nan, y)), "'bad': .*NaN at index 7"),
        ((X, np.array(["x"] * 40)), "'bad': y must be numeric"),
        ((["NaCl", *X[1:]], y), "'bad': .*index 0"),
        ((X, np.c_[y, y]), "'bad': y has 2 columns"),
        ((X,), "'bad': expected a tuple .structures, y."),
        ((X, y, [1, 2]), "'bad': .*groups has 2"),
        (([salt] * 40, y), "'bad': a hold-out .* cannot be made"),
    ):
        with pytest.raises((ValueError, TypeError), match=match):
            plan_of({**datasets, "bad": bad})
    for given, match in (
        ({}, "datasets is empty"),
        ([(X, y)], "tuples .structures, y, name.*at index 0"),
        ([(X, y, "a"), (X, y, "a")], "Two datasets are named 'a'"),
        ({1: (X, y)}, "name of a dataset must be a str; got int"),
        ("energy", "datasets must be a dict"),
    ):
        with pytest.raises((ValueError, TypeError), match=match):
            plan_of(given)


def test_bad_estimator__says_what_it_lacks(datasets):
    fitted = clone(MODEL).fit(*datasets["energy"])
    for model, match in (
        (
            clone(MODEL).set_params(pretrained=FrozenEstimator(fitted)),
            "estimator has p",
        ),
        (CGCNNRegressor, "must be an estimator; got the class CGCNNRegressor"),
        (CGCNNClassifier(), "must be a regressor.*got CGCNNClassifier"),
        (clone(MODEL).set_params(max_epochs=0), "'max_epochs' parameter"),
    ):
        with pytest.raises((ValueError, TypeError), match=match):
            plan_of(datasets, model)
    with pytest.raises(TypeError, match="DummyRegressor, has no parameter pretrained"):
        plan_of(datasets, DummyRegressor(), designs=("pair",))


def test_source__all_of_whose_formulas_are_tested__is_told(datasets):
    X, y = datasets["energy"]
    test = plan_of(datasets).test["energy"]
    inside = np.flatnonzero(test)
    few = ([X[i] for i in inside], y[inside])
    with pytest.raises(ValueError, match="'few': nothing is left to pre-train on"):
        plan_of({"energy": (X, y), "few": few}, targets=["energy"])
