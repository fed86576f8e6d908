"""Training: what is computed, recorded, kept and left alone."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from skmatgnn.nets import (
    BestModel,
    CalibrateNorm,
    EarlyStop,
    GraphDataset,
    HoldOut,
    ProgressBar,
    TrainingInterruptedWarning,
)
from skmatgnn.nets._precision import numerics
from skmatgnn.nets._seeding import initialize_weights
from skmatgnn.nn import CGCNN


class Recorder(Callback):
    """Copy the weights after every epoch and the rate of every step."""

    def on_train_begin(self, net, **_):
        self.states, self.rates = [], []

    def on_epoch_end(self, net, **_):
        state = net.module_.state_dict()
        self.states.append({key: value.clone() for key, value in state.items()})

    def on_grad_computed(self, net, training=False, **_):
        self.rates.append(net.optimizer_.param_groups[0]["lr"])


class Script(Callback):
    """Do something at the beginning of an epoch, or of its second batch."""

    def __init__(self, epoch, action, *, on_batch=False):
        self.epoch, self.action, self.on_batch = epoch, action, on_batch

    def on_train_begin(self, net, **_):
        self.batches = 0

    def on_epoch_begin(self, net, **_):
        self.batches = 0
        if len(net.history) == self.epoch and not self.on_batch:
            self.action(net)

    def on_batch_begin(self, net, **_):
        self.batches += 1
        if self.on_batch and len(net.history) == self.epoch and self.batches == 2:
            self.action(net)


def interrupt(_):
    raise KeyboardInterrupt


def spoil(net):
    with torch.no_grad():
        net.module_.head.weight.fill_(torch.nan)


def assert_state(net, state):
    for key, value in net.module_.state_dict().items():
        assert torch.equal(value, state[key]), key


def test_fit__float64__equals_a_plain_loop(make_net, dataset):
    net = make_net(precision="float64", lr_schedule="constant", seed=5)
    net.fit(dataset)

    module = CGCNN(**net.get_params_for("module"))
    initialize_weights(module, 5)
    module.double().train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.01)
    shuffle = np.random.RandomState(5)
    packed = dataset.pack("cpu", torch.float64)
    for row in net.history:
        total = 0.0
        for rows in np.array_split(shuffle.permutation(23), 3):
            batch, labels = packed.take(rows)
            optimizer.zero_grad()
            loss = ((module(batch) - labels.target) ** 2).mean()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        assert row["train_loss"] == pytest.approx(total / 23, rel=1e-12)
        assert row["train_batch_count"] == 3
    best = net.history[net.best_epoch_ - 1, "train_loss"]
    assert best == min(net.history[:, "train_loss"])


def test_valid_loss__held_out_part__equals_the_criterion_in_evaluation(
    make_net, dataset
):
    recorder = Recorder()
    net = make_net(recorder, train_split=HoldOut(0.3, 2), precision="float64")
    net.fit(dataset)
    _, valid = HoldOut(0.3, 2)(dataset)
    batch, labels = dataset.pack("cpu", torch.float64).take(valid.rows)
    for row, state in zip(net.history, recorder.states, strict=True):
        net.module_.load_state_dict(state)
        with torch.no_grad():
            output = net.module_.eval()(batch)
        expected = ((output - labels.target) ** 2).mean().item()
        assert row["valid_loss"] == pytest.approx(expected, rel=1e-10)


def test_fit__weights_of_samples__weigh_their_loss(make_net, graphs):
    target = np.ones((23, 1))
    weight = np.where(np.arange(23) < 5, 3.0, 0.0)
    kwargs = {"module__n_outputs": 1, "batch_size": 23, "max_epochs": 1}
    kwargs |= {"precision": "float64", "lr": 0.0}
    net = make_net(**kwargs).fit(GraphDataset(graphs, target, weight))
    module, packed = net.module_, GraphDataset(graphs).pack("cpu", torch.float64)
    output = module.train()(packed.take(np.arange(23))[0]).detach().numpy()
    expected = (3 * (output[:5] - 1) ** 2).sum() / 23
    assert net.history[0, "train_loss"] == pytest.approx(expected, rel=1e-12)


def test_best_model__worse_later__weights_of_the_best_epoch_are_restored(
    make_net, dataset
):
    recorder = Recorder()
    net = make_net(recorder, train_split=HoldOut(0.3, 0), lr=0.3, max_epochs=12)
    net.fit(dataset)
    losses = net.history[:, "valid_loss"]
    best = int(np.argmin(losses))
    assert best < 11
    assert net.best_epoch_ == best + 1
    assert net.best_loss_ == losses[best]
    assert_state(net, recorder.states[best])


def test_best_model__nothing_held_out__follows_the_training_loss(make_net, dataset):
    recorder = Recorder()
    net = make_net(recorder, lr=0.5, max_epochs=10).fit(dataset)
    best = int(np.argmin(net.history[:, "train_loss"]))
    assert_state(net, recorder.states[best])


@pytest.mark.parametrize(("n_samples", "n_steps"), [(23, 15), (2, 5), (1, 5)])
def test_one_cycle__run__rises_to_lr_and_falls_to_nothing(
    make_net, dataset, n_samples, n_steps
):
    recorder = Recorder()
    net = make_net(recorder, max_epochs=5, lr=0.02)
    net.fit(dataset.subset(np.arange(n_samples)))
    rates = recorder.rates
    assert len(rates) == n_steps
    assert rates[0] == pytest.approx(0.02 / 25)
    assert max(rates) <= 0.02
    assert rates[-1] < (0.02 if n_steps > 10 else 0.2) * max(rates)
    assert max(rates) > (0.018 if n_steps > 10 else 0.01)
    peak = int(np.argmax(rates))
    assert (np.diff(rates[: peak + 1]) > 0).all()
    assert (np.diff(rates[peak:]) < 0).all()


def test_one_cycle__constant__keeps_lr_even_after_a_cycle(make_net, dataset):
    recorder = Recorder()
    net = make_net(recorder, lr=0.02).fit(dataset)
    net.lr_schedule = "constant"
    net.partial_fit(dataset)
    assert set(recorder.rates) == {0.02}
    net.lr_schedule = "one_cycle"
    net.partial_fit(dataset)
    assert recorder.rates[0] == pytest.approx(0.02 / 25)


def test_early_stop__no_improvement__stops_after_patience(make_net, dataset):
    net = make_net(
        EarlyStop(3), train_split=HoldOut(0.3, 0), lr=0.5, max_epochs=200
    ).fit(dataset)
    assert len(net.history) == net.best_epoch_ + 3
    assert len(net.history) < 200


def test_early_stop__nothing_held_out__never_stops(make_net, dataset):
    net = make_net(EarlyStop(1), lr=1.0, max_epochs=15).fit(dataset)
    assert len(net.history) == 15


@pytest.mark.parametrize("on_batch", [False, True])
def test_interrupt__in_a_later_epoch__keeps_the_best_model_and_says_so(
    make_net, dataset, on_batch
):
    recorder = Recorder()
    net = make_net(recorder, Script(4, interrupt, on_batch=on_batch), max_epochs=30)
    message = r"interrupted after 3 of 30 epochs; the best model so far, of epoch \d"
    with pytest.warns(TrainingInterruptedWarning, match=message):
        net.fit(dataset)
    assert len(net.history) == 3
    assert_state(net, recorder.states[net.best_epoch_ - 1])
    assert np.isfinite(net.apply(dataset, net.module_)).all()


@pytest.mark.parametrize("on_batch", [False, True])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_interrupt__before_an_epoch_is_done__propagates(
    make_net, dataset, on_batch, method
):
    net = make_net(Script(1, interrupt, on_batch=on_batch))
    with pytest.raises(KeyboardInterrupt):
        getattr(net, method)(dataset)


def test_interrupt__then_trained_on__continues(make_net, dataset):
    script = Script(3, interrupt)
    net = make_net(script, max_epochs=5)
    with pytest.warns(TrainingInterruptedWarning, match="after 2 of 5"):
        net.fit(dataset)
    script.epoch = 0
    net.partial_fit(dataset)
    assert len(net.history) == 7


def test_divergence__nan_loss__stops_and_keeps_the_best(make_net, dataset):
    recorder = Recorder()
    net = make_net(recorder, Script(4, spoil), max_epochs=30)
    message = r"became nan in epoch 4; training stops and the model of epoch \d is kept"
    with pytest.warns(TrainingInterruptedWarning, match=message):
        net.fit(dataset)
    assert len(net.history) == 4
    assert_state(net, recorder.states[net.best_epoch_ - 1])


def test_divergence__at_once__says_that_no_model_is_kept(make_net, dataset):
    net = make_net(Script(1, spoil))
    with pytest.warns(TrainingInterruptedWarning, match=r"epoch 1;.*no model is kept"):
        net.fit(dataset)


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16", "float64"])
def test_precision__each__trains_and_predicts_alike(make_net, dataset, precision):
    kwargs = {"lr": 1e-3, "max_epochs": 1}
    net = make_net(precision=precision, **kwargs).fit(dataset)
    exact = make_net(precision="float64", **kwargs).fit(dataset)
    dtype = torch.float64 if precision == "float64" else torch.float32
    assert {p.dtype for p in net.module_.parameters()} == {dtype}
    output = net.apply(dataset, net.module_)
    assert output.dtype == np.float64
    expected = exact.apply(dataset, exact.module_)
    tolerance = {"bfloat16": 0.05, "tf32": 1e-3, "float64": 0.0}.get(precision, 5e-4)
    np.testing.assert_allclose(output, expected, atol=tolerance, rtol=0)
    assert (output != expected).any() == (precision != "float64")


def test_numerics__inside_and_after__sets_and_restores_the_global_settings():
    before = torch.get_float32_matmul_precision()
    for precision, inside in (("tf32", "high"), ("float32", "highest")):
        with numerics(precision, "cpu"):
            assert torch.get_float32_matmul_precision() == inside
        assert torch.get_float32_matmul_precision() == before
    with numerics("bfloat16", "cpu"):
        assert torch.is_autocast_enabled("cpu")
    assert not torch.is_autocast_enabled("cpu")
    with pytest.raises(RuntimeError, match="boom"), numerics("tf32", "cpu"):
        raise RuntimeError("boom")
    assert torch.get_float32_matmul_precision() == before


@pytest.mark.parametrize("n_threads", [1, 2, None])
def test_threads__while_training__as_asked_and_restored(make_net, dataset, n_threads):
    seen, before = [], torch.get_num_threads()
    script = Script(2, lambda _: seen.append(torch.get_num_threads()))
    make_net(script, n_threads=n_threads).fit(dataset)
    assert seen == [n_threads or before]
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("calibrate", [True, False])
def test_calibrate_norm__after_training__statistics_of_the_final_weights(
    make_net, dataset, calibrate
):
    net = make_net(
        CalibrateNorm(),
        calibrate_norm=calibrate,
        precision="float64",
        batch_size=8,
        lr=0.1,
    ).fit(dataset)
    norm, inputs = net.module_.conv_layers[0].logit_norm, []
    norm.register_forward_hook(lambda _, args, __: inputs.append(args[0]))
    net.apply(dataset, net.module_)
    mean = torch.stack([x.mean(dim=0) for x in inputs]).mean(dim=0)
    var = torch.stack([x.var(dim=0) for x in inputs]).mean(dim=0)
    same = torch.allclose(norm.running_mean, mean, rtol=1e-10)
    assert same == torch.allclose(norm.running_var, var, rtol=1e-10) == calibrate
    assert norm.momentum == 0.1


def test_training__interrupted__restores_the_global_settings(make_net, dataset):
    torch.set_float32_matmul_precision("medium")
    try:
        with pytest.raises(KeyboardInterrupt):
            make_net(Script(1, interrupt), precision="tf32").fit(dataset)
        assert torch.get_float32_matmul_precision() == "medium"
        assert torch.is_grad_enabled()
    finally:
        torch.set_float32_matmul_precision("highest")


def test_seed__same__bitwise_equal_whatever_the_global_generators(
    make_net, dataset, weights
):
    runs = []
    for noise in (0, 1):
        torch.manual_seed(noise)
        np.random.seed(noise)
        net = make_net(seed=3).fit(dataset)
        runs.append((weights(net), net.history[:, "train_loss"]))
    assert torch.equal(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]
    assert not torch.equal(weights(make_net(seed=4).fit(dataset)), runs[0][0])


def test_training__once_initialized__draws_nothing_from_global_generators(
    make_net, dataset
):
    net = make_net().initialize()
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    net.partial_fit(dataset)
    net.apply(dataset, net.module_)
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpy_before).all()


def test_initial_weights__seeded__are_uniform_and_cover_every_linear_layer():
    module = torch.nn.Sequential(torch.nn.Linear(100, 300), torch.nn.LayerNorm(300))
    initialize_weights(module, 0)
    weight, bias = module[0].weight, module[0].bias
    for values in (weight, bias):
        assert values.abs().max() <= 0.1
        assert values.abs().max() > 0.098
    assert weight.std().item() == pytest.approx(0.1 / 3**0.5, rel=0.02)
    assert (module[1].weight == 1).all()


@pytest.mark.parametrize("n_samples", [1, 2, 5, 9])
def test_fit__fewer_samples_than_a_batch__works(make_net, dataset, n_samples):
    few = dataset.subset(np.arange(n_samples))
    net = make_net(train_split=HoldOut(0.2, 0)).fit(few)
    assert net.apply(few, net.module_).shape == (n_samples, 2)


def test_fit__unknown_targets__give_finite_losses_and_weights(
    make_net, graphs, weights
):
    target = np.random.default_rng(0).normal(size=(23, 2))
    target[np.random.default_rng(1).random((23, 2)) < 0.6] = np.nan
    net = make_net(batch_size=3).fit(GraphDataset(graphs, target))
    assert np.isfinite(net.history[:, "train_loss"]).all()
    assert torch.isfinite(weights(net)).all()


def test_apply__any_batch_size__same_rows_in_order_without_training(
    make_net, dataset, weights
):
    net = make_net(precision="float64").fit(dataset)
    before = weights(net)
    expected = net.apply(dataset, net.module_)
    net.batch_size = 5
    np.testing.assert_allclose(net.apply(dataset, net.module_), expected, rtol=1e-12)
    part = dataset.subset(np.array([7, 3]))
    np.testing.assert_allclose(net.apply(part, net.module_.embed).shape, (2, 8))
    np.testing.assert_allclose(
        net.apply(part, net.module_), expected[[7, 3]], rtol=1e-12
    )
    assert torch.equal(weights(net), before)


def test_forward_iter__as_in_skorch__gives_the_same_outputs(make_net, dataset):
    net = make_net().fit(dataset)
    outputs = torch.cat(list(net.forward_iter(dataset)))
    np.testing.assert_allclose(
        outputs.numpy(), net.apply(dataset, net.module_), rtol=1e-6
    )


def test_partial_fit__again__continues_from_the_present_weights(
    make_net, dataset, weights
):
    net = make_net(lr_schedule="constant").fit(dataset)
    start = weights(net)
    with net.epochs(2):
        net.partial_fit(dataset)
    assert len(net.history) == 6
    assert net.max_epochs == 4
    assert not torch.equal(weights(net), start)
    assert net.history[-1, "train_loss"] < net.history[0, "train_loss"]


def test_fit__again__starts_afresh(make_net, dataset, weights):
    net = make_net().fit(dataset)
    first = weights(net)
    assert torch.equal(weights(net.fit(dataset)), first)
    assert len(net.history) == 4


def test_net__pickled__predicts_and_trains_on_the_same(make_net, dataset, weights):
    net = make_net(ProgressBar(), train_split=HoldOut(0.2, 0)).fit(dataset)
    copy = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(
        copy.apply(dataset, copy.module_), net.apply(dataset, net.module_)
    )
    net.partial_fit(dataset)
    copy.partial_fit(dataset)
    assert torch.equal(weights(copy), weights(net))


def test_progress_bar__epochs__are_counted_with_losses(make_net, dataset, capsys):
    make_net(ProgressBar(), train_split=HoldOut(0.2, 0)).fit(dataset)
    shown = capsys.readouterr().err
    assert "4/4" in shown
    assert "train_loss=" in shown
    assert "valid_loss=" in shown


def test_progress_bar__interrupted__is_closed(make_net, dataset):
    bar = ProgressBar()
    with pytest.raises(KeyboardInterrupt):
        make_net(bar, Script(1, interrupt)).fit(dataset)
    assert all(cb.bar_ is None for cb in [bar])


def test_best_model__pickled_net__carries_no_copy_of_the_weights(make_net, dataset):
    net = make_net().fit(dataset)
    best = dict(net.callbacks_)["best"]
    assert isinstance(best, BestModel)
    assert best.state_ is None
    assert dict(net.callbacks_)["cycle"].scheduler_ is None


def test_numerics__bfloat16__weights_changed_within_are_used():
    layer, x = torch.nn.Linear(4, 4), torch.ones(2, 4)
    with numerics("bfloat16", "cpu"):
        before = layer(x).detach()
        with torch.no_grad():
            layer.weight.add_(1.0)
        after = layer(x).detach()
    torch.testing.assert_close(after, before + 4, rtol=0.02, atol=0.05)
