"""What is handed on to skorch with net_params."""

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from skorch.callbacks import Callback
from skorch.dataset import ValidSplit

LABELS = []


class Power(torch.nn.Module):
    """A loss of the user's, whose arguments are not those of ours."""

    def __init__(self, power=2.0):
        super().__init__()
        self.power = power

    def forward(self, prediction, labels):
        LABELS.append(labels)
        known = labels.target.isfinite()
        error = (prediction - labels.target)[known].abs() ** self.power
        return error.mean()


class Rates(Callback):
    """Note what the optimizer steps with."""

    def __init__(self, *names):
        self.names = names
        self.seen = []

    def on_grad_computed(self, net, training=False, **_):
        group = net.optimizer_.param_groups[0]
        self.seen.append(tuple(group[name] for name in self.names))


@pytest.mark.parametrize(
    ("criterion", "power"),
    [
        ({"criterion": Power}, 2.0),
        ({"criterion": Power, "criterion__power": 1.0}, 1.0),
        ({"criterion": Power(3.0)}, 3.0),
    ],
)
def test_net_params__criterion_of_the_user__is_minimised(criterion, power, data, small):
    LABELS.clear()
    weight = np.linspace(0.1, 1.9, len(data.y))
    model = small.model(net_params=criterion).fit(data.X, data.y, weight)
    assert model.net_.criterion_.power == power
    expected = model.target_scaler_.transform(data.y[:, None])
    found = LABELS[0]
    assert sorted(found.target.ravel().tolist()) == pytest.approx(
        sorted(expected.ravel()), rel=1e-5
    )
    assert float(found.weight.mean()) == pytest.approx(1)


def test_net_params__criterion_of_the_user__can_stop_early_with_many_properties(
    data, small
):
    y = np.column_stack([data.y, -data.y])
    y[::3, 0] = np.nan
    model = small.model("MPTRegressor", early_stopping=True, max_epochs=3)
    model.set_params(net_params={"criterion": Power}).fit(data.X, y)
    losses = [row["valid_loss"] for row in model.history_]
    assert model.best_epoch_ == np.argmin(losses) + 1


@pytest.mark.parametrize("optimizer", ["Rprop", "LBFGS"])
def test_net_params__optimizer_without_weight_decay__is_used(optimizer, data, small):
    cls = getattr(torch.optim, optimizer)
    model = small.model(net_params={"optimizer": cls}).fit(data.X, data.y)
    assert type(model.net_.optimizer_) is cls


@pytest.mark.parametrize(
    ("net_params", "name", "expected"),
    [
        ({"optimizer": torch.optim.SGD}, "momentum", 0),
        (
            {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.5},
            "momentum",
            0.5,
        ),
        ({"optimizer": torch.optim.RMSprop}, "momentum", 0),
        ({"optimizer__betas": (0.5, 0.99)}, "betas", (0.5, 0.99)),
    ],
)
def test_one_cycle__momentum_of_the_user__is_left_alone(
    net_params, name, expected, data, small
):
    rates = Rates("lr", name)
    model = small.model(net_params=net_params, callbacks=[rates], max_epochs=4)
    model.fit(data.X, data.y)
    assert {found for _, found in rates.seen} == {expected}
    assert len({lr for lr, _ in rates.seen}) == 4


def test_one_cycle__momentum_that_nobody_set__goes_down_and_up(data, small):
    rates = Rates("betas")
    small.model(callbacks=[rates], max_epochs=8).fit(data.X, data.y)
    first = [betas[0] for (betas,) in rates.seen]
    assert first[0] == pytest.approx(0.95)
    assert min(first) < 0.88


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize(
    "without", [{"callbacks": []}, {"callbacks__best_model": None}]
)
def test_net_params__without_the_best_model__keeps_the_last(
    without, early_stopping, data, small
):
    model = small.model(net_params=without, early_stopping=early_stopping)
    model.fit(data.X, data.y)
    assert model.best_epoch_ is None
    assert model.n_epochs_ == 2
    assert np.isfinite(model.predict(data.X)).all()


def test_net_params__split_of_skorch__holds_its_part_out(data, small):
    seen = []

    class Notes(Callback):
        def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **_):
            seen.append((dataset_train.rows.tolist(), dataset_valid.rows.tolist()))

    model = small.model(net_params={"train_split": ValidSplit(4)}, callbacks=[Notes()])
    model.fit(data.X, data.y)
    assert seen[0] == (list(range(6, 24)), list(range(6)))
    losses = [row["valid_loss"] for row in model.history_]
    assert model.best_epoch_ == np.argmin(losses) + 1


def test_gradual__epochs_of_net_params__end_with_all_that_is_trained(data, small):
    source = small.model().fit(data.X, data.y)
    model = small.model(
        pretrained=FrozenEstimator(source),
        fine_tuning="gradual",
        max_epochs=100,
        net_params={"max_epochs": 6},
    )
    model.fit(data.X, data.y)
    assert model.n_epochs_ == 6
    assert all(p.requires_grad for p in model.net_.module_.parameters())
