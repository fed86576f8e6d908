"""Packed graphs as an array and as a file."""

from __future__ import annotations

import json
import pickle
import struct

import numpy as np
import pytest
from sklearn.model_selection import GroupKFold, KFold, train_test_split
from sklearn.utils import resample, shuffle

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.graphs import GraphArray, StructureToGraph

COLUMNS = (
    *("node_ptr", "atomic_numbers", "edge_ptr", "bond_count"),
    *("sender", "reverse", "displacement"),
)


@pytest.fixture
def structures(make):
    rng = np.random.default_rng(1)
    return [make.random_crystal(rng) for _ in range(9)]


@pytest.fixture
def graphs(structures):
    return StructureToGraph(three_body_cutoff=3.0).transform(structures)


def assert_equal(one, two):
    assert one.settings == two.settings
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), name)
        assert getattr(one, name).dtype == getattr(two, name).dtype, name


@pytest.mark.parametrize(
    "key",
    [
        slice(2, 7),
        slice(None, None, -2),
        [4, 4, 0],
        np.array([8, 1, -1]),
        np.arange(9) % 2 == 0,
        [True] + [False] * 8,
        (np.array([3, 5]), Ellipsis),
        (slice(1, 3), slice(None)),
        (np.arange(9) > 6, Ellipsis),
    ],
)
def test_slice__any_index__equals_graphs_of_the_selected(structures, graphs, key):
    rows = np.arange(9)[key[0] if isinstance(key, tuple) else key]
    expected = StructureToGraph(three_body_cutoff=3.0).transform(
        [structures[row] for row in rows]
    )
    assert_equal(graphs[key], expected)


def test_slice__integer__is_a_single_graph(structures, graphs):
    for row in (3, np.int32(3), -6):
        assert len(graphs[row]) == 1
        assert_equal(graphs[row], graphs[3:4])


def test_slice__nothing__is_empty(graphs):
    assert len(graphs[[]]) == len(graphs[9:]) == 0
    assert len(graphs[np.zeros(9, dtype=bool)]) == 0


@pytest.mark.parametrize(
    ("key", "error"),
    [
        (9, IndexError),
        ([0, 12], IndexError),
        ([True, False], IndexError),
        (None, InvalidTypeError),
        ("a", InvalidTypeError),
        (1.0, InvalidTypeError),
        ([[0, 1]], InvalidTypeError),
        ((0, 1), InvalidTypeError),
    ],
)
def test_slice__bad_index__raises(graphs, key, error):
    with pytest.raises(error, match=r"out of bounds|did not match|[Ii]ndex"):
        graphs[key]


def test_iteration__all__gives_each_graph_once(graphs):
    parts = list(graphs)
    assert len(parts) == len(graphs) == graphs.shape[0] == 9
    assert_equal(GraphArray.concatenate(parts), graphs)


def test_splitters__of_scikit_learn__slice_it(graphs):
    y = np.arange(9.0)
    train, test, _, y_test = train_test_split(graphs, y, random_state=0)
    assert len(train) + len(test) == 9
    assert_equal(test, graphs[y_test.astype(int)])
    mixed, order = shuffle(graphs, y, random_state=0)
    assert_equal(mixed, graphs[order.astype(int)])
    assert len(resample(graphs, n_samples=20, random_state=0)) == 20
    for cv, groups in ((KFold(3), None), (GroupKFold(3), np.arange(9) // 2)):
        splits = list(cv.split(graphs, y, groups=groups))
        assert sorted(np.concatenate([test for _, test in splits])) == list(range(9))


def test_counts__all__agree_with_the_structures(structures, graphs):
    assert graphs.n_atoms.tolist() == [len(s) for s in structures]
    assert graphs.n_edges.tolist() == [len(graph.sender) for graph in graphs]
    assert graphs.nbytes == sum(getattr(graphs, name).nbytes for name in COLUMNS)


def test_concatenate__parts__equals_all_at_once(graphs):
    joined = GraphArray.concatenate([graphs[:4], graphs[4:5], graphs[5:]])
    assert_equal(joined, graphs)


def test_concatenate__nothing__raises():
    with pytest.raises(InvalidValueError, match="no graphs to join"):
        GraphArray.concatenate([])


def test_concatenate__other_settings__names_the_index(structures, graphs):
    other = StructureToGraph(max_neighbors=4).transform(structures)
    with pytest.raises(InvalidValueError, match=r"index 1 was made with.*Make all"):
        GraphArray.concatenate([graphs, other])


def test_concatenate__a_structure_among_them__names_the_index(structures, graphs):
    with pytest.raises(InvalidTypeError, match=r"index 1; got Structure.*Do not mix"):
        GraphArray.concatenate([graphs, structures[0]])


@pytest.mark.parametrize("memory_map", [True, False])
def test_file__written_and_read__is_the_same(graphs, tmp_path, memory_map):
    graphs.save(tmp_path / "a.graphs")
    loaded = GraphArray.load(tmp_path / "a.graphs", memory_map=memory_map)
    assert_equal(loaded, graphs)
    assert_equal(loaded[[7, 2]], graphs[[7, 2]])
    assert loaded.displacement.flags.writeable is not memory_map
    assert [path.name for path in tmp_path.iterdir()] == ["a.graphs"]


def test_file__without_settings_given__keeps_none(structures, tmp_path):
    graphs = StructureToGraph(max_neighbors=None, cutoff=3).transform(structures)
    graphs.save(str(tmp_path / "b"))
    loaded = GraphArray.load(str(tmp_path / "b"))
    assert loaded.settings.max_neighbors is None
    assert_equal(loaded, graphs)


@pytest.mark.parametrize("cutoff", [np.int64(3), np.float32(3.0), 3])
def test_file__cutoff_that_is_a_number_of_numpy__is_written(graphs, tmp_path, cutoff):
    given = graphs.with_three_body_cutoff(cutoff)
    given.save(tmp_path / "graphs")
    assert_equal(GraphArray.load(tmp_path / "graphs"), graphs)


def test_file__failing_write__leaves_the_old_one(graphs, tmp_path, monkeypatch):
    path = tmp_path / "a.graphs"
    graphs.save(path)
    before = path.read_bytes()

    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr("safetensors.numpy.save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        graphs[:2].save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.graphs"]


@pytest.mark.parametrize("keep", [0, 5, 8, 100, 0.5, -1])
@pytest.mark.parametrize("memory_map", [True, False])
def test_file__cut_short__raises(graphs, tmp_path, keep, memory_map):
    path = tmp_path / "a.graphs"
    graphs.save(path)
    data = path.read_bytes()
    keep = int(keep * len(data)) if isinstance(keep, float) else keep
    path.write_bytes(data[:keep])
    with pytest.raises(InvalidValueError, match=r"a\.graphs is damaged"):
        GraphArray.load(path, memory_map=memory_map)


def rewrite_header(path, change):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


def drop_column(header):
    del header["sender"]


def add_column(header):
    header["extra"] = header["sender"]


def unknown_dtype(header):
    header["sender"]["dtype"] = "F8_E4M3"


def wrong_shape(header):
    header["displacement"]["shape"][0] += 1


def no_settings(header):
    del header["__metadata__"]["settings"]


def bad_settings(header):
    header["__metadata__"]["settings"] = '{"cutoff": 1}'


@pytest.mark.parametrize(
    "change",
    [drop_column, add_column, unknown_dtype, wrong_shape, no_settings, bad_settings],
)
def test_file__damaged_header__raises(graphs, tmp_path, change):
    path = tmp_path / "a.graphs"
    graphs.save(path)
    rewrite_header(path, change)
    with pytest.raises(InvalidValueError, match=r"a\.graphs is damaged"):
        GraphArray.load(path)


@pytest.mark.parametrize(("key", "value"), [("version", "99"), ("format", "other")])
def test_file__of_another_kind__says_so(graphs, tmp_path, key, value):
    path = tmp_path / "a.graphs"
    graphs.save(path)
    rewrite_header(path, lambda header: header["__metadata__"].update({key: value}))
    with pytest.raises(InvalidValueError, match="holds no GraphArray of version 1"):
        GraphArray.load(path)


@pytest.mark.parametrize("content", [b"hello, this is text", b"\xff" * 64, b"[]"])
def test_file__no_safetensors__raises(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(InvalidValueError, match="damaged or not in the safetensors"):
        GraphArray.load(tmp_path / "a")


def test_file__missing__raises_the_usual_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        GraphArray.load(tmp_path / "nowhere")


def test_pickle__round_trip__is_the_same_and_small(structures, graphs):
    data = pickle.dumps(graphs)
    assert_equal(pickle.loads(data), graphs)
    assert len(data) < graphs.nbytes + 2000
    assert len(pickle.dumps(graphs[[0]])) < graphs[[0]].nbytes + 2000


def test_pickle__memory_mapped_slice__carries_its_rows_only(graphs, tmp_path):
    graphs.save(tmp_path / "a")
    part = GraphArray.load(tmp_path / "a")[3:5]
    data = pickle.dumps(part)
    assert len(data) < part.nbytes + 2000
    assert_equal(pickle.loads(data), graphs[3:5])


def test_repr__any__tells_the_sizes(graphs):
    assert repr(graphs) == (
        f"GraphArray of 9 graphs, {graphs.n_atoms.sum()} atoms, "
        f"{graphs.n_edges.sum()} edges"
    )
