"""Graphs written to a file as they come."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.graphs import GraphArray, GraphWriter, StructureToGraph
from skmatgnn.preprocessing import StructureArray


def assert_equal(one, two):
    assert one.settings == two.settings
    for name in (
        *("node_ptr", "atomic_numbers", "edge_ptr", "bond_count"),
        *("sender", "reverse", "displacement"),
    ):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), name)
        assert getattr(one, name).dtype == getattr(two, name).dtype, name


@pytest.mark.parametrize(
    "container",
    [list, iter, StructureArray.from_structures, pd.Series, lambda X: (x for x in X)],
    ids=["list", "iterator", "StructureArray", "Series", "generator"],
)
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_to_file__any_container__equals_the_graphs_in_memory(
    many, tmp_path, container, n_jobs
):
    converter = StructureToGraph(three_body_cutoff=3.0, n_jobs=n_jobs)
    written = converter.transform_to_file(container(many), tmp_path / "a.graphs")
    assert_equal(written, converter.transform(many))
    assert not written.displacement.flags.writeable
    assert [path.name for path in tmp_path.iterdir()] == ["a.graphs"]


def test_to_file__iterator__is_read_only_as_far_as_needed(many, tmp_path):
    taken, written_after = [], []

    def source():
        for index, structure in enumerate(many):
            taken.append(index)
            yield structure

    class Spy(GraphWriter):
        def append(self, graphs):
            written_after.append(len(taken))
            super().append(graphs)

    converter = StructureToGraph()
    with Spy(tmp_path / "a") as writer:
        for part in converter._parts(source(), converter._settings()):
            writer.append(part)
    assert len(GraphArray.load(tmp_path / "a")) == 280
    assert written_after[0] < 280


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_to_file__failing_iterator__keeps_the_old_file(many, tmp_path, n_jobs):
    def source():
        yield from many[:200]
        raise ZeroDivisionError("unreadable file")

    path = tmp_path / "a"
    StructureToGraph().transform_to_file(many[:3], path)
    before = path.read_bytes()
    with pytest.raises(ZeroDivisionError, match="unreadable file"):
        StructureToGraph(n_jobs=n_jobs).transform_to_file(source(), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def flat(structure):
    cell = np.array(structure.lattice.matrix)
    cell[2] = cell[1]
    return SimpleAtoms(cell, structure)


class SimpleAtoms:
    """What ase.Atoms offers, without its checks."""

    def __init__(self, cell, structure):
        self.cell, self.positions = cell, structure.cart_coords
        self.pbc, self.numbers = [True] * 3, structure.atomic_numbers

    def get_atomic_numbers(self):
        return np.array(self.numbers)


def touching(structure):
    return Structure(Lattice.cubic(4), ["Na", "Na"], [[0] * 3, [0, 0, 0.001]])


def endless(structure):
    frac = structure.frac_coords.copy()
    frac[0, 0] = np.nan
    return Structure(structure.lattice, structure.species, frac)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda _: "NaCl", "at index 201"),
        (flat, r"index 201 .*zero volume"),
        (touching, r"index 201 has overlapping atoms"),
        (endless, r"index 201 has a coordinate"),
    ],
)
def test_to_file__bad_structure_in_an_iterator__is_named(many, tmp_path, spoil, reason):
    many[201] = spoil(many[201])
    with pytest.raises((InvalidValueError, InvalidTypeError), match=reason):
        StructureToGraph().transform_to_file(iter(many), tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_to_file__nothing__raises(tmp_path, n_jobs):
    converter = StructureToGraph(n_jobs=n_jobs)
    with pytest.raises(InvalidValueError, match="no graphs were given"):
        converter.transform_to_file(iter([]), tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_to_file__verbose__shows_a_bar(many, tmp_path, capsys):
    StructureToGraph(verbose=True).transform_to_file(many[:5], tmp_path / "a")
    assert "5/5" in capsys.readouterr().err
    StructureToGraph(verbose=True).transform_to_file(iter(many[:5]), tmp_path / "a")
    assert "5structure" in capsys.readouterr().err


def test_writer__parts__make_what_save_makes(many, tmp_path):
    graphs = StructureToGraph(dtype="float64").transform(many[:9])
    with GraphWriter(tmp_path / "a") as writer:
        for part in (graphs[:4], graphs[[]], graphs[4:]):
            writer.append(part)
        assert len(writer) == 9
        assert not (tmp_path / "a").exists()
    assert_equal(GraphArray.load(tmp_path / "a"), graphs)


def test_writer__other_graphs__raises(many, tmp_path):
    graphs = StructureToGraph().transform(many[:3])
    others = {
        "max_neighbors=4": StructureToGraph(max_neighbors=4).transform(many[:3]),
        "float64": StructureToGraph(dtype="float64").transform(many[:3]),
    }
    for reason, other in others.items():
        with GraphWriter(tmp_path / "a") as writer:
            writer.append(graphs)
            with pytest.raises(InvalidValueError, match=f"from index 3 on .*{reason}"):
                writer.append(other)
            writer.append(graphs)
        assert len(GraphArray.load(tmp_path / "a")) == 6
    with (
        pytest.raises(InvalidTypeError, match=r"Expected a GraphArray; got .*list"),
        GraphWriter(tmp_path / "b") as writer,
    ):
        writer.append([graphs])
    assert not (tmp_path / "b").exists()
