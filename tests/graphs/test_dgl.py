"""Crystal graphs to and from DGL: fields, directions, line graph, errors.

What reads a DGLGraph does so by what it has, so a stand-in with the same attributes
tests it where DGL is not installed.
"""

from __future__ import annotations

from dataclasses import fields, replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from skmatgnn.datasets import make_crystals
from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.graphs import (
    GraphArray,
    GraphBatch,
    StructureToGraph,
    ensure_graphs,
    is_dgl_graph,
)
from skmatgnn.utils.elements import cgcnn_element_features

needs_dgl = pytest.mark.skipif(
    find_spec("dgl") is None, reason="needs the extra skmatgnn[dgl]"
)


class StandIn:
    """The attributes of a DGLGraph that are read, as NumPy would have them."""

    is_homogeneous = True

    def __init__(self, graph, batch_size=1):
        ptr = graph.edge_ptr
        receiver = np.repeat(np.arange(len(ptr) - 1), np.diff(ptr))
        self.ends = (torch.tensor(graph.sender), torch.tensor(receiver))
        self.ndata = {"Z": torch.tensor(graph.atomic_numbers)}
        self.edata = {"r": torch.tensor(-graph.displacement)}
        self.batch_size = batch_size

    def edges(self):
        return self.ends

    def num_nodes(self):
        return len(next(iter(self.ndata.values()), []))

    def batch_num_nodes(self):
        return torch.tensor([self.num_nodes()])

    def batch_num_edges(self):
        return torch.tensor([len(self.ends[0])])


@pytest.fixture(scope="module")
def packed():
    return StructureToGraph().transform(make_crystals(5, random_state=0).data)


@pytest.fixture
def graphs(packed):
    return [StandIn(graph) for graph in packed]


def shuffled(graph, seed=0):
    order = torch.randperm(
        len(graph.ends[0]), generator=torch.Generator().manual_seed(seed)
    )
    graph.ends = tuple(end[order] for end in graph.ends)
    graph.edata = {name: values[order] for name, values in graph.edata.items()}
    return graph


def assert_equal(found, expected):
    assert found.settings == expected.settings
    for field in fields(GraphArray)[:-1]:
        ours, theirs = getattr(found, field.name), getattr(expected, field.name)
        assert ours.dtype == theirs.dtype, field.name
        np.testing.assert_array_equal(ours, theirs, err_msg=field.name)


def assert_sound(graphs):
    """Edges sorted by receiver and length; the reverse of each is its opposite."""
    for graph in graphs:
        receiver = np.repeat(
            np.arange(len(graph.edge_ptr) - 1), np.diff(graph.edge_ptr)
        )
        back = graph.reverse
        assert sorted(back) == list(range(len(back)))
        np.testing.assert_array_equal(receiver[back], graph.sender)
        np.testing.assert_array_equal(graph.sender[back], receiver)
        np.testing.assert_allclose(
            graph.displacement[back], -graph.displacement, atol=1e-5
        )
        length = np.linalg.norm(graph.displacement, axis=1)
        within = np.diff(receiver) == 0
        assert (np.diff(length)[within] > -1e-5).all()


def test_from_dgl__graphs_of_ours__come_back_bit_for_bit(packed, graphs):
    assert_equal(GraphArray.from_dgl(graphs), packed)


def test_from_dgl__edges_in_any_order__are_sorted_and_paired(crystal):
    packed = StructureToGraph().transform([crystal, crystal])
    found = GraphArray.from_dgl([shuffled(StandIn(g), i) for i, g in enumerate(packed)])
    assert_sound(found)
    assert found.n_edges.tolist() == packed.n_edges.tolist()
    batches = [GraphBatch.from_graphs(g) for g in (packed, found)]
    pairs = [batch.triplets.n_edges for batch in batches]
    assert pairs[0] == pairs[1]


def test_from_dgl__edges_twice__are_paired_one_to_one(packed):
    # ALIGNN's builder without canonical edges gives every edge twice
    graph = StandIn(packed[2])
    graph.ends = tuple(torch.cat([end, end]) for end in graph.ends)
    graph.edata = {"r": torch.cat([graph.edata["r"]] * 2)}
    found = GraphArray.from_dgl([shuffled(graph)])
    assert found.n_edges.tolist() == [2 * int(packed.n_edges[2])]
    assert_sound(found)


def test_from_dgl__opposites_a_little_different__are_within_a_cutoff_together():
    cube = Structure(Lattice.cubic(3.5), ["Po"], [[0, 0, 0]])
    packed = StructureToGraph(max_neighbors=6).transform([cube])
    noise = torch.Generator().manual_seed(0)
    for _ in range(10):
        graph = StandIn(packed[0])
        graph.edata["r"] += 4e-4 * (torch.rand((6, 3), generator=noise) - 0.5)
        found = GraphArray.from_dgl([graph], three_body_cutoff=3.5)
        assert_sound(found)
        bonds = range(found.bond_count[0])
        assert sorted(found.reverse[bonds]) == list(bonds)
        opposite = -found.displacement[found.reverse]
        np.testing.assert_array_equal(found.displacement, opposite)


def test_from_dgl__settings__are_those_that_were_said(graphs):
    found = GraphArray.from_dgl(
        graphs, cutoff=5, max_neighbors=None, three_body_cutoff=3, shell_tolerance=0
    )
    assert found.settings.cutoff == 5.0
    assert found.settings.three_body_cutoff == 3.0
    length = np.linalg.norm(found.displacement, axis=1)
    assert found.bond_count.sum() == (length <= 3.0).sum()


@pytest.mark.parametrize(
    ("name", "shape"),
    [("atomic_number", ()), ("atomic_numbers", (1,)), ("atom_features", (1,))],
)
def test_from_dgl__names_of_atomic_numbers__are_all_read(packed, graphs, name, shape):
    for graph in graphs:
        numbers = graph.ndata.pop("Z")
        graph.ndata[name] = numbers.reshape(-1, *shape).float()
    assert_equal(GraphArray.from_dgl(graphs), packed)


def test_from_dgl__cgcnn_features__give_the_elements(packed, graphs):
    table = torch.tensor(cgcnn_element_features())
    for graph in graphs:
        graph.ndata["atom_features"] = table[graph.ndata.pop("Z").long()].float()
    assert_equal(GraphArray.from_dgl(graphs), packed)


@pytest.mark.parametrize(
    ("number", "shift", "what"),
    [(57, 0.0, "of La and Ce"), (11, 0.5, "of no element"), (11, 0.2, "of Na")],
)
def test_from_dgl__ambiguous_features__name_the_atom(graphs, number, shift, what):
    row = torch.tensor(cgcnn_element_features()[number]) + shift
    graphs[3].ndata = {"atom_features": row.repeat(2, 1)}
    with pytest.raises(InvalidValueError, match=rf"index 3 .*atom 0 .*{what}.*'Z'"):
        GraphArray.from_dgl(graphs)


def test_from_dgl__name_of_vectors_in_matgl__is_read(packed, graphs):
    for graph in graphs:
        graph.edata["bond_vec"] = graph.edata.pop("r")
    assert_equal(GraphArray.from_dgl(graphs), packed)


@pytest.mark.parametrize(("name", "shape"), [("r", ()), ("d", (1,)), ("bond_dist", ())])
def test_from_dgl__lengths_only__will_do_without_angles(packed, graphs, name, shape):
    for graph in graphs:
        length = graph.edata.pop("r").norm(dim=1)
        graph.edata[name] = length.reshape(-1, *shape)
        shuffled(graph)
    found = GraphArray.from_dgl(graphs, angles=False)
    assert found.bond_count.sum() == 0
    assert found.settings.three_body_cutoff == 0.0
    for ours, theirs in zip(found, packed, strict=True):
        lengths = [np.linalg.norm(g.displacement, axis=1) for g in (ours, theirs)]
        np.testing.assert_allclose(*lengths, rtol=1e-6)
        np.testing.assert_allclose(lengths[0][ours.reverse], lengths[0], rtol=1e-6)
        assert sorted(ours.reverse) == list(range(len(ours.reverse)))
    with pytest.raises(InvalidValueError, match=rf"index 0 .*edata\['{name}'\].*CGCNN"):
        GraphArray.from_dgl(graphs)


def spoilt(graph, how):  # noqa: C901 - one line for each way
    if how == "no elements":
        graph.ndata = {"node_type": graph.ndata["Z"]}
    elif how == "wide":
        graph.ndata = {"atom_features": torch.zeros(graph.num_nodes(), 7)}
    elif how == "number":
        graph.ndata = {"Z": graph.ndata["Z"].float() + 0.5}
    elif how == "no vectors":
        graph.edata = {"distance": graph.edata["r"]}
    elif how == "zero":
        graph.edata["r"][4] = 0.0
    elif how == "nan":
        graph.edata["r"][4, 1] = torch.nan
    elif how == "directed":
        graph.ends = tuple(end[1:] for end in graph.ends)
        graph.edata = {"r": graph.edata["r"][1:]}
    elif how == "kinds":
        graph.is_homogeneous = False
    elif how == "empty":
        graph.ndata = {"Z": torch.zeros(0)}
    elif how == "batched":
        graph.batch_size = 2
    return graph


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("no elements", r"elements its atoms are: .*\['node_type'\].*ndata\['Z'\]"),
        ("wide", r"shape \(1, 7\).*92 features"),
        ("number", r"of atom 0, which is no atomic number"),
        ("no vectors", r"no bond vectors: .*\['distance'\].*edata\['r'\]"),
        ("zero", r"edata\['r'\] of edge 4 the length 0.0"),
        ("nan", r"of edge 4 the length nan"),
        ("directed", r"has the edge \d+ but not its opposite"),
        ("kinds", "several kinds"),
        ("empty", "no atoms"),
        ("batched", r"batch of 2.*dgl.unbatch"),
    ],
)
def test_from_dgl__unusable_graph__is_named_by_its_index(graphs, how, message):
    spoilt(graphs[3], how)
    with pytest.raises(InvalidValueError, match=rf"DGLGraph at index 3 .*{message}"):
        GraphArray.from_dgl(graphs)


def test_from_dgl__one_direction_of_lengths__is_an_error(graphs):
    for graph in graphs:
        graph.edata["d"] = graph.edata.pop("r").norm(dim=1)
    graphs[1].ends = tuple(end[1:] for end in graphs[1].ends)
    graphs[1].edata = {"d": graphs[1].edata["d"][1:]}
    with pytest.raises(InvalidValueError, match="index 1 has the edge"):
        GraphArray.from_dgl(graphs, angles=False)


def test_from_dgl__other_things__are_named_by_their_index(packed, graphs):
    with pytest.raises(InvalidTypeError, match="at index 1; got GraphArray"):
        GraphArray.from_dgl([graphs[0], packed[0]])
    with pytest.raises(InvalidTypeError, match=r"DGLGraph or a list.*got int"):
        GraphArray.from_dgl(3)
    with pytest.raises(InvalidValueError, match="There are no graphs"):
        GraphArray.from_dgl([])


def test_ensure_graphs__dgl_graphs__have_the_settings_of_the_transformer(graphs):
    transformer = StructureToGraph(cutoff=6.0, three_body_cutoff=3.0)
    found = ensure_graphs(graphs, transformer)
    assert found.settings == transformer.transform(make_crystals(2).data).settings


def test_is_dgl_graph__others__are_none(packed, graphs, salt):
    assert is_dgl_graph(graphs[0])
    for value in (packed, salt, "NaCl", None, 3, StandIn, {"ndata": 1}):
        assert not is_dgl_graph(value)


@needs_dgl
def test_to_dgl__line_graph__has_the_angles_that_dgl_finds(packed):
    batch = GraphBatch.from_graphs(packed)
    graph, lines = batch.to_dgl(line_graph=True)
    expected = graph.line_graph(shared=True)

    def bond_cosines(edges):  # as ALIGNN's published code takes them
        first, second = -edges.src["r"], edges.dst["r"]
        norms = first.norm(dim=1) * second.norm(dim=1)
        return {"h": ((first * second).sum(dim=1) / norms).clamp(-1, 1)}

    expected.apply_edges(bond_cosines)
    assert lines.num_nodes() == expected.num_nodes() == graph.num_edges()

    def ordered(line_graph):
        source, target = (end.numpy() for end in line_graph.edges())
        order = np.lexsort((source, target))
        order = order[source[order] != target[order]]
        ends = (torch.tensor(end[order]) for end in (source, target))
        return *ends, line_graph.edata["h"][order]

    # DGL leaves out the angle of 180 degrees between an atom, its image and the next
    source, target = graph.edges()
    straight = int((source == target).sum())
    assert straight > 0
    assert lines.num_edges() == expected.num_edges() + straight

    for ours, theirs in zip(ordered(lines), ordered(expected), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    assert torch.equal(lines.ndata["r"], graph.edata["r"])
    assert lines.batch_num_edges().sum() == lines.num_edges()
    assert torch.equal(lines.batch_num_nodes(), graph.batch_num_edges())


@needs_dgl
def test_to_dgl__vectors__run_from_source_to_destination(crystal):
    packed = StructureToGraph(dtype="float64").transform([crystal])
    graph = packed.to_dgl()[0]
    source, target = (end.numpy() for end in graph.edges())
    ends = crystal.cart_coords[target] - crystal.cart_coords[source]
    images = (graph.edata["r"].numpy() - ends) @ np.linalg.inv(crystal.lattice.matrix)
    np.testing.assert_allclose(images, np.round(images), atol=1e-6)
    assert graph.ndata["Z"].tolist() == [site.specie.Z for site in crystal]
    assert graph.ndata["atom_features"].shape == (len(crystal), 1)


@needs_dgl
def test_batch__there_and_back__is_the_same_bit_for_bit(packed):
    for graphs in (packed, replace(packed, displacement=packed.displacement * 1.0)):
        batch = GraphBatch.from_graphs(graphs.with_three_body_cutoff(3.5))
        back = GraphBatch.from_dgl(batch.to_dgl(), three_body_cutoff=3.5)
        for name in ("node_ptr", "node_graph", "atomic_numbers", "displacement"):
            assert torch.equal(getattr(back, name), getattr(batch, name))
        for name in ("edges", "triplets"):
            before, after = getattr(batch, name), getattr(back, name)
            for field in (field.name for field in fields(before)):
                a, b = getattr(before, field), getattr(after, field)
                same = torch.equal(a, b) if torch.is_tensor(a) else a == b
                assert same, f"{name}.{field}"


@needs_dgl
def test_transformer__output_dgl__gives_what_packs_to_the_same(packed):
    crystals = make_crystals(5, random_state=0).data
    transformer = StructureToGraph(output="dgl")
    graphs = transformer.fit_transform(crystals)
    assert isinstance(graphs, list)
    assert all(is_dgl_graph(graph) for graph in graphs)
    assert_equal(GraphArray.from_dgl(graphs), packed)
    assert_equal(transformer.transform_to_packed(crystals), packed)


@needs_dgl
def test_to_dgl__cgcnn_features__are_those_of_the_table(packed):
    graph = packed.to_dgl(atom_features="cgcnn")[0]
    expected = cgcnn_element_features()[graph.ndata["Z"]]
    np.testing.assert_array_equal(graph.ndata["atom_features"], expected)
    heavy = replace(packed[:1], atomic_numbers=np.full(2, 103, np.uint8))
    with pytest.raises(InvalidValueError, match="no features of the element 103"):
        heavy.to_dgl(atom_features="cgcnn")
    with pytest.raises(InvalidValueError, match=r"one of .*; got str"):
        packed.to_dgl(atom_features="magpie")


def test_to_dgl__without_dgl__names_the_extra(packed, monkeypatch):
    def missing(*, purpose):
        raise ImportError(f"{purpose} needs skmatgnn[dgl]")

    monkeypatch.setattr("skmatgnn.graphs._dgl.import_dgl", missing)
    for make in (packed.to_dgl, GraphBatch.from_graphs(packed).to_dgl):
        with pytest.raises(ImportError, match=r"DGLGraph needs skmatgnn\[dgl\]"):
            make()
