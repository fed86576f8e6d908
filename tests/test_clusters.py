"""Searches and cross-validation on dask workers that are processes."""

import os
import sys

import numpy as np
import pytest
import torch
from joblib import parallel_config
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, cross_val_score

from skmatgnn import ALIGNNRegressor, CGCNNRegressor
from skmatgnn.clusters import local_cluster
from skmatgnn.datasets import make_crystals
from skmatgnn.errors import InvalidValueError
from skmatgnn.graphs import GraphArray, StructureToGraph
from skmatgnn.metrics import neg_smae
from skmatgnn.model_selection import (
    LeaveOneClusterOut,
    bootstrap_score,
    transfer_matrix,
)
from skmatgnn.preprocessing import StructureArray

distributed = pytest.importorskip("distributed", reason="needs the extra dask")

TINY = {
    "hidden_dim": 8,
    "embedding_dim": 8,
    "n_radial": 8,
    "n_angular": 4,
    "n_alignn_layers": 1,
    "n_gcn_layers": 1,
    "max_neighbors": 4,
    "max_epochs": 1,
    "random_state": 0,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def client():
    with local_cluster(2, gpus=False) as cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture(scope="module")
def crystals():
    X, y = make_crystals(24, random_state=0, return_X_y=True)
    return list(X), y


@pytest.fixture(scope="module")
def graphs(crystals):
    converter = StructureToGraph(max_neighbors=4, three_body_cutoff=4.0)
    return converter.transform(crystals[0])


@pytest.fixture
def count_pickles(monkeypatch):
    """How often graphs are pickled in this process."""
    counted = []

    def reduce(self, protocol):
        counted.append(len(self))
        return object.__reduce_ex__(self, protocol)

    monkeypatch.setattr(GraphArray, "__reduce_ex__", reduce)
    return counted


def test_search__over_strategies__is_the_serial_one(
    client, graphs, crystals, count_pickles
):
    _, y = crystals
    sources = [
        FrozenEstimator(ALIGNNRegressor(**{**TINY, "random_state": n}).fit(graphs, -y))
        for n in (1, 2)
    ]
    search = GridSearchCV(
        ALIGNNRegressor(**TINY, batch_size=3),
        {"pretrained": sources, "fine_tuning": ["head", "discriminative"]},
        cv=2,
        error_score="raise",
    )
    expected = search.fit(graphs, y).cv_results_["mean_test_score"]
    assert len(set(expected)) == 4
    count_pickles.clear()
    with parallel_config("dask", client=client):
        search.fit(graphs, y)
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], expected)
    assert len(count_pickles) <= 1, "X was sent with every task"


def test_leave_one_cluster_out__is_the_serial_one(client, crystals):
    X, y = crystals
    arguments = {
        "cv": LeaveOneClusterOut(),
        "groups": np.arange(len(y)) % 3,
        "scoring": neg_smae,
        "error_score": "raise",
    }
    model = ALIGNNRegressor(**TINY)
    expected = cross_val_score(model, X, y, **arguments)
    with parallel_config("dask", client=client, scatter=[X]):
        found = cross_val_score(model, X, y, **arguments)
    np.testing.assert_array_equal(found, expected)


def test_bootstrap__is_the_serial_one(client, graphs, crystals, count_pickles):
    _, y = crystals
    arguments = {"n_resamples": 4, "random_state": 0}
    model = ALIGNNRegressor(**TINY)
    expected = bootstrap_score(model, graphs, y, **arguments)
    count_pickles.clear()
    with parallel_config("dask", client=client):
        found = bootstrap_score(model, graphs, y, **arguments)
    np.testing.assert_array_equal(found.scores, expected.scores)
    assert len(count_pickles) <= 1


def test_transfer_matrix__is_the_serial_one(client, crystals):
    X, y = crystals
    datasets = {"energy": (X, y), "volume": (X[:18], [x.volume for x in X[:18]])}
    model = CGCNNRegressor(node_dim=8, hidden_dim=8, n_conv_layers=1, max_epochs=1)
    arguments = {
        "designs": ("scratch", "pair"),
        "fine_tuning_sizes": (8,),
        "trials": 1,
        "random_state": 0,
    }
    expected = transfer_matrix(datasets, model, **arguments)
    with parallel_config("dask", client=client):
        found = transfer_matrix(datasets, model, **arguments)
    assert found["mae"].tolist() == expected["mae"].tolist()


def test_size__as_dask_asks_for_it__has_the_arrays(graphs, crystals):
    packed = StructureArray.from_structures(crystals[0])
    assert graphs.nbytes < sys.getsizeof(graphs) < graphs.nbytes + 1000
    assert packed.frac_coords.nbytes < sys.getsizeof(packed)


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    made = {}

    def cluster(**arguments):
        made.update(arguments)
        return made

    monkeypatch.setattr(distributed, "SpecCluster", cluster)
    return made


@pytest.mark.parametrize(
    ("visible", "names"),
    [(None, ["0", "1"]), ("5,3", ["5", "3"]), ("7,6,", ["7", "6"])],
)
def test_cluster__of_gpus__gives_each_worker_its_own(
    two_gpus, visible, names, monkeypatch
):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    local_cluster(env={"A": "b"}, nthreads=2)
    options = [worker["options"] for worker in two_gpus["workers"].values()]
    assert [o["env"].pop("CUDA_VISIBLE_DEVICES") for o in options] == names
    assert all(o["env"] == {"A": "b"} and o["nthreads"] == 2 for o in options)


def test_cluster__of_gpus__has_no_more_workers(two_gpus):
    with pytest.raises(InvalidValueError, match=r"n_workers=3 .* sees 2 GPU"):
        local_cluster(3)
    local_cluster(3, gpus=False)
    options = [worker["options"] for worker in two_gpus["workers"].values()]
    assert [o["env"] for o in options] == [{}] * 3


def test_cluster__of_gpus_where_none_are__is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(InvalidValueError, match="torch sees no GPU"):
        local_cluster(gpus=True)


def test_cluster__without_dask__names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"skmatgnn\[dask\]"):
        local_cluster()


def test_cluster__beside_another__starts_without_a_warning(client):
    with local_cluster(1, gpus=False) as cluster:
        assert cluster.scheduler.port != client.cluster.scheduler.port


def test_workers__are_other_processes_of_this_machine(client):
    pids = set(client.run(os.getpid).values())
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert all(address.startswith("tcp://127.0.0.1:") for address in client.ncores())


def test_local_cluster__no_workers__is_refused_as_it_would_wait_for_ever():
    with pytest.raises(InvalidValueError, match="n_workers must be"):
        local_cluster(-1, gpus=False)
