"""Every network: shapes, no side effects, batching, and the symmetries of a crystal."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from torch import Tensor
from torch.nn import functional as F

from skmatgnn.graphs import GraphBatch, StructureToGraph
from skmatgnn.nn import ALIGNN
from skmatgnn.nn.models.alignn import ALIGNNLayer
from skmatgnn.nn.ops import Adjacency

GRAPHS = {
    "all_angles": {},
    "short_angles": {"three_body_cutoff": 3.0},
    "radius": {"max_neighbors": None, "cutoff": 4.3, "three_body_cutoff": 3.1},
}
TOLERANCE = {"float32": 1e-4, "float64": 1e-9}


@pytest.fixture(params=GRAPHS)
def settings(request):
    return GRAPHS[request.param]


@pytest.fixture
def structures(crystals, make):
    rng = np.random.default_rng(0)
    return [*crystals.values(), *(make.random_crystal(rng) for _ in range(4))]


def to_batch(structures, **settings):
    return GraphBatch.from_graphs(StructureToGraph(**settings).transform(structures))


def tensors(batch):
    for field in fields(batch):
        value = getattr(batch, field.name)
        if isinstance(value, Tensor):
            yield value
        elif value is not None:
            yield from tensors(value)


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("training", [False, True])
def test_network__batch_of_any_size__output_is_two_dimensional(
    make_model, structures, settings, n_outputs, training
):
    model = make_model(n_outputs=n_outputs).train(training)
    for n in (1, 2, len(structures)):
        output = model(to_batch(structures[:n], **settings))
        assert output.shape == (n, n_outputs)
        assert torch.isfinite(output).all()
        assert model.embed(to_batch(structures[:n], **settings)).shape[0] == n


@pytest.mark.parametrize("training", [False, True])
def test_network__forward_and_backward__leaves_the_batch_alone(
    make_model, structures, settings, training
):
    batch = to_batch(structures, **settings)
    before = [tensor.clone() for tensor in tensors(batch)]
    make_model().train(training)(batch).sum().backward()
    for old, new in zip(before, tensors(batch), strict=True):
        assert torch.equal(old, new)
        assert not new.requires_grad


def test_network__batch__equals_single_graphs(make_model, structures, settings):
    model = make_model(n_outputs=2).double()
    settings = {**settings, "dtype": "float64"}
    together = model(to_batch(structures, **settings))
    single = torch.cat([model(to_batch([s], **settings)) for s in structures])
    torch.testing.assert_close(together, single, rtol=1e-11, atol=1e-11)
    assert together.std(dim=0).min() > 1e-3


def test_network__same_batch_twice__bitwise_equal(make_model, structures, settings):
    model, batch = make_model(), to_batch(structures, **settings)
    assert torch.equal(model(batch), model(batch))


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_network__equivalent_descriptions__same_output(
    make_model, crystal, make, settings, dtype
):
    rng = np.random.default_rng(1)
    same = make.equivalents(crystal, rng)
    batch = to_batch([crystal, *same.values()], **settings, dtype=dtype)
    model = make_model(n_outputs=4).to(getattr(torch, dtype))
    with torch.no_grad():
        output = model(batch)
    assert output.dtype == getattr(torch, dtype)
    difference = (output - output[0]).abs().amax(dim=1) / output[0].abs().max()
    errors = dict(zip(["itself", *same], difference.tolist(), strict=True))
    assert max(errors.values()) < TOLERANCE[dtype], errors


def test_network__random_crystals_described_otherwise__same_output(make_model, make):
    rng = np.random.default_rng(8)
    model = make_model(n_outputs=4).double()
    for _ in range(3):
        structure = make.random_crystal(rng)
        same = make.equivalents(structure, rng).values()
        with torch.no_grad():
            output = model(to_batch([structure, *same], dtype="float64"))
        error = (output - output[0]).abs().max() / output[0].abs().max()
        assert error < TOLERANCE["float64"]


def test_network__mirror_image__same_output_but_a_sheared_crystal_differs(
    make_model, make
):
    structure = make.random_crystal(np.random.default_rng(9), n_atoms=5)
    mirrored, sheared = structure.copy(), structure.copy()
    mirrored.lattice = structure.lattice.matrix * [1, 1, -1]
    sheared.apply_strain([0.05, 0, 0])
    model = make_model().double()
    a, b, c = model(to_batch([structure, mirrored, sheared], dtype="float64"))
    assert (a - b).abs().max() < 1e-9
    if has_convolutions(model):
        assert (a - c).abs().max() > 1e-6


def has_convolutions(model):
    return any("conv_layers." in n or "gcn_layers." in n for n in model.state_dict())


def test_network__graph_without_any_edge__gives_finite_output(make_model, structures):
    for n in (1, 3):
        batch = to_batch(structures[:n], max_neighbors=None, cutoff=0.5)
        assert batch.edges.n_edges == 0
        for training in (False, True):
            model = make_model().train(training)
            output = model(batch)
            output.sum().backward()
            assert output.shape == (n, 1)
            assert torch.isfinite(output).all()


def test_network__training__reaches_every_weight_that_matters(
    make_model, structures, settings
):
    model = make_model().train()
    model(to_batch(structures, **settings)).square().sum().backward()
    silent = {
        name.split(".")[0]
        for name, parameter in model.named_parameters()
        if parameter.grad is None
    }
    # without the layers that read them, embeddings and last edge updates do nothing
    assert silent <= {"edge_embedding", "angle_embedding", "alignn_layers"}
    if getattr(model, "gcn_layers", None) and model.alignn_layers:
        assert not silent


def test_alignn__angles__tell_apart_what_distances_cannot(randomise):
    """Two bent chains with the same bonds; gates are normalised, so it takes two
    layers until the angle reaches the atom where bonds compete."""
    elements = ["C", "N", "O"]

    def chain(angle):
        ends = [[1.5, 0, 0], [2 * np.cos(angle), 2 * np.sin(angle), 0]]
        points = np.array([[0, 0, 0], *ends]) + 10
        box = Lattice.cubic(20)
        return Structure(box, elements, points, coords_are_cartesian=True)

    chains = [chain(1.8), chain(2.2)]
    batch = to_batch(chains, max_neighbors=None, cutoff=2.1, dtype="float64")
    assert batch.edges.n_edges == 8
    table = torch.eye(10)
    sizes = {"hidden_dim": 8, "n_gcn_layers": 1}
    blind = randomise(ALIGNN(table, n_alignn_layers=0, **sizes)).double()
    sees = randomise(ALIGNN(table, n_alignn_layers=2, **sizes)).double()
    assert blind(batch).diff(dim=0).abs().max() < 1e-12
    assert sees(batch).diff(dim=0).abs().max() > 1e-5


def test_alignn__edges_beyond_the_angle_cutoff__are_updated_all_the_same(randomise):
    """As in alignn 2026: they are nodes of the line graph, without neighbours."""
    layer = randomise(ALIGNNLayer(4, "layer").double())
    edges = torch.randn(
        3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    none = torch.zeros(0, dtype=torch.int64)
    alone = Adjacency.from_edges(none, none, 3)
    angles = edges[:0]
    updated, _ = layer.edge_update(edges, angles, alone)
    _, update = layer.edge_update.receiver(edges).split(4, dim=1)
    expected = edges + F.silu(layer.edge_update.node_norm(update))
    torch.testing.assert_close(updated, expected)
