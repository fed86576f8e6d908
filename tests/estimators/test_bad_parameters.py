"""Parameters that cannot be used are refused by name, before any training."""

import re

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

pytestmark = pytest.mark.usefixtures("never_trains")
GOOD = [
    Structure(Lattice.cubic(4.0 + 0.1 * i), ["Cs", "Cl"], [[0.0] * 3, [0.5] * 3])
    for i in range(6)
]
BAD_PARAMETERS = {
    "cutoff": [0, -1.0, "8", None, np.nan],
    "max_neighbors": [0, -3, 2.5, "12"],
    "element_features": ["magpie", 3, None],
    "norm": ["instance", None],
    "max_epochs": [0, -1, 1.5, None],
    "batch_size": [0, 2.5, None],
    "lr": [0, -1e-3, "auto", None],
    "lr_schedule": ["cosine", None],
    "weight_decay": [-1, None],
    "early_stopping": ["yes", None, 2],
    "validation_fraction": [0, 1, 1.5, -0.1, None],
    "n_iter_no_change": [0, None],
    "random_state": [-1, "seed", 1.5],
    "device": [3, None],
    "precision": ["float16", None],
    "warm_start": ["no", None],
    "architecture": ["megnet", None],
    "head_dim": [0, None],
    "n_head_layers": [-1, 0.5],
    "property_kinds": ["classification", 3],
    "property_weights": ["equal", 3],
    "pretrained": [3, {}, ["a"]],
    "fine_tuning": ["all", None, ["full"]],
    "head": ["old", None, True],
    "checkpoint_dir": [3, b"states", ["states"]],
    "callbacks": ["all", 3, {}],
    "net_params": [[], "optimizer"],
    "n_devices": [0, -1, 1.5, "all"],
    "n_jobs": [1.5, "all"],
    "verbose": ["loud", None],
    "loss": ["mae", None],
    "three_body_cutoff": [0, -1, "4"],
    "n_alignn_layers": [-1, 1.5],
    "n_gcn_layers": [-1, None],
    "hidden_dim": [0, 1.5],
    "embedding_dim": [0, None],
    "n_radial": [1, 0],
    "n_angular": [1, 2.5],
    "n_conv_layers": [-1, None],
    "node_dim": [0, "64"],
    "n_hidden_layers": [-1, 0.5],
    "edge_step": [0, -0.2],
    "edge_messages": ["yes", None, 2],
}


def test_bad_parameters__table__covers_every_parameter(small):
    names = {p for name in small.names for p in small.model(name).get_params()}
    assert set(BAD_PARAMETERS) == names


@pytest.mark.parametrize("parameter", BAD_PARAMETERS)
def test_parameter__wrong_value__is_refused_by_name(parameter, estimator, refusal):
    from sklearn.utils._param_validation import InvalidParameterError

    if parameter not in estimator.get_params():
        pytest.skip("this estimator has no such parameter")
    for value in BAD_PARAMETERS[parameter]:
        model = type(estimator)(**{**estimator.get_params(), parameter: value})
        assert getattr(model, parameter) is value
        for method in (model.fit, model.partial_fit):
            error, text = refusal(method, GOOD, np.arange(6) % 2)
            assert isinstance(error, InvalidParameterError)
            assert f"The {parameter!r} parameter" in text


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"device": "gpu"}, "'gpu'.*'cpu' or 'cuda:0'|device must be"),
        ({"device": ""}, "device must be"),
        ({"device": "mps"}, "'mps'.*not supported.*'cpu', 'cuda' or 'auto'"),
        ({"callbacks": [3]}, "callbacks.*int.*index 0"),
        ({"callbacks": [None]}, "callbacks.*index 0"),
        ({"net_params": {"no_such_thing": 1}}, "no_such_thing"),
        ({"net_params": {"optimizer__no_such": 1}}, "no_such"),
        ({"element_features": np.ones(5)}, r"shape \(5,\)"),
        ({"element_features": np.ones((1, 5))}, r"shape \(1, 5\)"),
        ({"element_features": np.ones((119, 0))}, r"shape \(119, 0\)"),
        ({"element_features": [["a"], ["b"]]}, "element_features"),
        ({"element_features": np.ones((50, 3))}, "index 0.*number 55"),
    ],
    ids=str,
)
def test_parameter__of_the_right_type_but_unusable__is_refused(
    parameters, expected, small, refusal
):
    _, text = refusal(small.model(**parameters).fit, GOOD, np.arange(6.0))
    assert re.search(expected, text), text


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("device", ["cuda", "cuda:0", torch.device("cuda")], ids=str)
def test_device__cuda_without_cuda__is_refused(device, estimator, refusal):
    estimator.set_params(device=device)
    _, text = refusal(estimator.fit, GOOD, np.arange(6) % 2)
    assert re.search("no CUDA device.*device='auto'", text)


def test_constructor__anything__is_stored_without_a_check(small):
    for value in (-1, 3.0, "helloworld", np.array([1.0]), [1], {}, []):
        for name in small.names:
            cls = type(small.model(name))
            model = cls(**dict.fromkeys(cls().get_params(), value))
            assert all(v is value for v in model.get_params(deep=False).values())
