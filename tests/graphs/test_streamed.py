"""Graphs that stay in their file while batches are cut."""

from __future__ import annotations

import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from skmatgnn.errors import InvalidValueError
from skmatgnn.graphs import (
    DeviceGraphs,
    GraphArray,
    StreamedGraphs,
    StructureToGraph,
    place_graphs,
    resident_budget,
)
from skmatgnn.graphs import _bonds as bonds_module
from skmatgnn.graphs import _upload as upload_module

BUDGET = "SKMATGNN_RESIDENT_MB"


@pytest.fixture
def graphs(make):
    rng = np.random.default_rng(5)
    structures = [make.random_crystal(rng) for _ in range(40)]
    return StructureToGraph(three_body_cutoff=4.0).transform(structures)


@pytest.fixture
def mapped(graphs, tmp_path):
    graphs.save(tmp_path / "a.graphs")
    return GraphArray.load(tmp_path / "a.graphs")


def tensors(batch):
    """All tensors of a batch, by name."""
    found, todo = {}, [("batch", batch)]
    while todo:
        name, value = todo.pop()
        if isinstance(value, torch.Tensor):
            found[name] = value
        elif hasattr(value, "__dataclass_fields__"):
            todo += [
                (f"{name}.{f}", getattr(value, f)) for f in value.__dataclass_fields__
            ]
    return found


def assert_same(one, two):
    one, two = tensors(one), tensors(two)
    assert set(one) == set(two)
    assert len(one) > 8
    for name, value in one.items():
        assert value.dtype == two[name].dtype, name
        assert torch.equal(value, two[name]), name


@pytest.mark.parametrize("dtype", [None, torch.float32, torch.float64])
def test_streamed__any_rows__same_batches_as_on_the_device(graphs, mapped, dtype):
    resident = DeviceGraphs(graphs, "cpu", dtype=dtype)
    streamed = StreamedGraphs(mapped, "cpu", dtype=dtype)
    assert len(streamed) == 40
    rng = np.random.default_rng(0)
    batches = [rng.choice(40, n) for n in (1, 7, 40, 3)]
    for rows in batches:
        assert_same(streamed.take(rows), resident.take(rows))
    streamed.announce(batches)
    for rows in batches:
        assert_same(streamed.take(rows), resident.take(rows))


def test_streamed__announced_batches__are_cut_ahead_and_once(graphs, monkeypatch):
    streamed = StreamedGraphs(graphs, "cpu")
    cut, original = [], streamed._cut

    def note(rows):
        cut.append(rows.tolist())
        return original(rows)

    monkeypatch.setattr(streamed, "_cut", note)
    batches = [np.array([i, i + 1]) for i in range(5)]
    streamed.announce(batches)
    for index, rows in enumerate(batches):
        streamed.take(rows)
        if index < 4:
            streamed._ahead[1].result()
            assert cut[-1] == batches[index + 1].tolist()
    assert cut == [rows.tolist() for rows in batches]


def test_streamed__another_order_than_announced__is_right_too(graphs):
    resident = DeviceGraphs(graphs, "cpu")
    streamed = StreamedGraphs(graphs, "cpu")
    batches = [np.array([i, i + 1]) for i in range(5)]
    streamed.announce(batches)
    for rows in (batches[0], np.array([9]), batches[1], batches[4], batches[2]):
        assert_same(streamed.take(rows), resident.take(rows))
    streamed.announce(batches[3:])
    for rows in batches[3:]:
        assert_same(streamed.take(rows), resident.take(rows))


def test_streamed__error_while_cutting_ahead__reaches_the_caller(graphs):
    streamed = StreamedGraphs(graphs, "cpu")
    bad = np.array([99])
    streamed.announce([bad])
    with pytest.raises(IndexError, match="out of bounds"):
        streamed.take(bad)


def test_streamed__whole_pass__needs_the_memory_of_a_few_batches(graphs, tmp_path):
    large = GraphArray.concatenate([graphs] * 60)
    large.save(tmp_path / "large")
    mapped = GraphArray.load(tmp_path / "large")
    rows = np.random.default_rng(0).permutation(len(mapped))

    def peak(place):
        tracemalloc.start()
        placed = place(mapped, "cpu")
        for part in np.array_split(rows, 300)[:100]:
            placed.take(part)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(StreamedGraphs) < large.nbytes / 20
    assert peak(DeviceGraphs) > large.nbytes / 20  # so the measure sees a copy


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_streamed__large_file__does_not_stay_in_the_process(graphs, tmp_path):
    large = GraphArray.concatenate([graphs] * 1000)
    large.save(tmp_path / "large")
    mapped = GraphArray.load(tmp_path / "large")
    assert large.nbytes > 50e6
    rows = np.random.default_rng(0).permutation(len(mapped))
    streamed = StreamedGraphs(mapped, "cpu")
    before = file_pages()
    for part in np.array_split(rows, 500):
        streamed.take(part)
    assert file_pages() - before < 8e6
    mapped.displacement.sum()
    assert file_pages() - before > 25e6  # so the measure sees pages


def file_pages():
    """Bytes of files that count as memory of this process."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(1024 * int(x.split()[1]) for x in lines if x.startswith("RssFile"))


@pytest.mark.parametrize(
    ("megabytes", "kind"),
    [("0", StreamedGraphs), ("1e-4", StreamedGraphs), ("100", DeviceGraphs)],
)
def test_place__budget_of_the_environment__decides(
    mapped, monkeypatch, megabytes, kind
):
    monkeypatch.setenv(BUDGET, megabytes)
    placed = place_graphs(mapped, "cpu", dtype=torch.float64)
    assert type(placed) is kind
    assert placed.take(np.arange(2)).displacement.dtype == torch.float64


def test_place__graphs_at_the_budget__are_kept_whole(mapped, monkeypatch):
    monkeypatch.setenv(BUDGET, str(mapped.nbytes / 2**20))
    assert isinstance(place_graphs(mapped, "cpu"), DeviceGraphs)
    monkeypatch.setenv(BUDGET, str((mapped.nbytes - 1) / 2**20))
    assert isinstance(place_graphs(mapped, "cpu"), StreamedGraphs)


def test_budget__environment__is_read_in_megabytes(monkeypatch):
    monkeypatch.setenv(BUDGET, "1.5")
    assert resident_budget("cpu") == resident_budget("cuda:0") == 3 * 2**19
    monkeypatch.delenv(BUDGET)
    assert resident_budget("cpu") == 2**30
    for text in ("much", "inf", "nan"):
        monkeypatch.setenv(BUDGET, text)
        with pytest.raises(InvalidValueError, match=f"number of MiB.*{text}"):
            resident_budget("cpu")


def test_three_body_cutoff__array_on_disk__is_applied_piece_by_piece(
    graphs, mapped, monkeypatch
):
    expected = graphs.with_three_body_cutoff(3.0)
    assert 0 < expected.bond_count.sum() < graphs.bond_count.sum()
    monkeypatch.setattr(bonds_module, "ATOMS_AT_ONCE", 7)
    found = mapped.with_three_body_cutoff(3.0)
    np.testing.assert_array_equal(found.bond_count, expected.bond_count)
    assert found.bond_count.dtype == np.int32
    assert found.displacement is mapped.displacement


@pytest.mark.parametrize("shape", [(0,), (1,), (17,), (17, 3)])
def test_upload__in_pieces__is_a_copy_of_all(shape, monkeypatch):
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    array.flags.writeable = False
    for limit in (1, 20, 10**6):
        monkeypatch.setattr(upload_module, "PIECE_BYTES", limit)
        tensor = upload_module.upload(array, "cpu")
        assert tensor.dtype == torch.float32
        assert tensor.shape == array.shape
        np.testing.assert_array_equal(tensor.numpy(), array)
        assert not np.shares_memory(tensor.numpy(), array)
