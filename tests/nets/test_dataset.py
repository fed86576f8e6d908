"""Batches on the device, and the split for early stopping."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skmatgnn.nets import (
    GraphDataset,
    GraphIterator,
    HoldOut,
    TableDataset,
    TokenDataset,
)


@pytest.fixture
def labelled(graphs):
    """Targets and weights are the row numbers."""
    rows = np.arange(len(graphs), dtype=float)
    return GraphDataset(graphs, np.column_stack([rows, -rows]), rows + 0.5)


def flatten(batches):
    return [row for batch in batches for row in batch]


def rows_of(batches):
    return [labels.target[:, 0].long().tolist() for _, labels in batches]


@pytest.mark.parametrize("batch_size", [1, 4, 8, 22, 23, 100])
def test_iterator__any_batch_size__covers_all_rows_in_even_batches(
    labelled, batch_size
):
    iterator = GraphIterator(labelled, batch_size, "cpu")
    batches = rows_of(iterator)
    sizes = [len(batch) for batch in batches]
    assert len(iterator) == len(batches) == -(-23 // batch_size)
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1
    assert flatten(batches) == list(range(23))


def test_iterator__graphs_targets_and_weights__belong_together(labelled, graphs):
    rng = np.random.RandomState(0)
    for batch, labels in GraphIterator(labelled, 5, "cpu", random_state=rng):
        rows = labels.target[:, 0].long().numpy()
        assert len(batch) == len(rows)
        assert batch.node_ptr.diff().tolist() == graphs.n_atoms[rows].tolist()
        assert batch.atomic_numbers.tolist() == graphs[rows].atomic_numbers.tolist()
        np.testing.assert_array_equal(
            batch.displacement.numpy(), graphs[rows].displacement.astype(np.float32)
        )
        assert labels.target[:, 1].tolist() == (-rows).tolist()
        assert labels.weight.tolist() == (rows + 0.5).tolist()


def test_iterator__seeded__same_orders_and_each_pass_anew(labelled):
    def passes():
        rng = np.random.RandomState(3)
        iterator = GraphIterator(labelled, 6, "cpu", random_state=rng)
        return [rows_of(iterator) for _ in range(3)]

    first, second = passes(), passes()
    assert first == second
    flat = [flatten(batches) for batches in first]
    assert all(sorted(order) == list(range(23)) for order in flat)
    assert flat[0] != flat[1] != flat[2] != flat[0]
    assert flat[0] != list(range(23))


def test_iterator__dtype__is_that_of_all_floats(labelled):
    for dtype in (torch.float32, torch.float64):
        batch, labels = next(iter(GraphIterator(labelled, 3, "cpu", dtype=dtype)))
        assert batch.displacement.dtype == dtype
        assert labels.target.dtype == labels.weight.dtype == dtype


def test_dataset__without_targets__gives_empty_labels(graphs):
    _, labels = next(iter(GraphIterator(GraphDataset(graphs), 3, "cpu")))
    assert labels.target is None
    assert labels.weight is None


def test_dataset__subset_of_subset__selects_and_shares_the_packed_data(labelled):
    part = labelled.subset(np.array([20, 3, 5, 7])).subset(np.array([2, 0]))
    assert len(part) == 2
    assert rows_of(GraphIterator(part, 9, "cpu")) == [[5, 20]]
    graph, target = part[1]
    assert target.tolist() == [20, -20]
    assert graph.n_atoms.tolist() == labelled.graphs[20].n_atoms.tolist()
    assert part.pack("cpu", torch.float32) is labelled.pack("cpu", torch.float32)
    assert part.pack("cpu", torch.float64) is not labelled.pack("cpu", torch.float32)


@pytest.mark.parametrize(
    ("fraction", "expected"), [(0.1, 2), (0.5, 12), (0.001, 1), (0.999, 22)]
)
def test_hold_out__fraction__is_kept_and_something_left(labelled, fraction, expected):
    train, valid = HoldOut(fraction, 0)(labelled)
    assert len(valid) == expected
    assert sorted([*train.rows, *valid.rows]) == list(range(23))


def test_hold_out__seed__decides(labelled):
    splits = [HoldOut(0.3, seed)(labelled)[1].rows.tolist() for seed in (0, 0, 1)]
    assert splits[0] == splits[1] != splits[2]
    assert splits[0] != sorted(splits[0]) or splits[2] != sorted(splits[2])


def test_hold_out__groups__stay_together(graphs):
    groups = np.array([f"g{i % 5}" for i in range(23)])
    dataset = GraphDataset(graphs, np.zeros((23, 1)), groups=groups)
    seen = set()
    for seed in range(20):
        train, valid = HoldOut(0.4, seed)(dataset)
        inside = set(groups[valid.rows])
        assert len(inside) == 2
        assert not inside & set(groups[train.rows])
        assert len(train) + len(valid) == 23
        seen |= inside
    assert len(seen) == 5


def test_hold_out__nothing_to_spare__trains_on_all(graphs):
    alone = GraphDataset(graphs[:1], np.zeros((1, 1)))
    one_group = GraphDataset(graphs, np.zeros((23, 1)), groups=np.zeros(23))
    for dataset in (alone, one_group):
        train, valid = HoldOut(0.5, 0)(dataset)
        assert valid is None
        assert len(train) == len(dataset)


def test_hold_out__two_samples__one_each(graphs):
    train, valid = HoldOut(0.9, 0)(GraphDataset(graphs[:2], np.zeros((2, 1))))
    assert len(train) == len(valid) == 1


def test_tokens__any_rows__are_cut_out_with_their_targets():
    counts = np.array([2, 1, 4, 1, 3])
    ptr = np.concatenate([[0], np.cumsum(counts)])
    numbers = np.arange(1, 12)
    rows = np.arange(5.0)
    dataset = TokenDataset(ptr, numbers, numbers / 20, rows[:, None], rows)
    iterator = GraphIterator(dataset.subset(np.array([4, 1, 0])), 2, "cpu")
    (first, labels), (second, _) = iterator
    assert first.atomic_numbers.tolist() == [9, 10, 11, 3]
    assert first.fractions.tolist() == pytest.approx([0.45, 0.5, 0.55, 0.15])
    assert first.place.tolist() == [0, 1, 2, 3]
    assert (len(first), first.width) == (2, 3)
    assert labels.target[:, 0].tolist() == labels.weight.tolist() == [4.0, 1.0]
    assert second.atomic_numbers.tolist() == [1, 2]
    assert (len(second), second.width) == (1, 2)
    (sample_numbers, fractions), target = dataset[2]
    assert sample_numbers.tolist() == [4, 5, 6, 7]
    assert fractions.tolist() == [0.2, 0.25, 0.3, 0.35]
    assert target.tolist() == [2.0]


def test_table__any_rows__are_cut_out_with_their_targets():
    table = np.arange(12.0).reshape(4, 3)
    dataset = TableDataset(table, table[:, :1], groups=np.arange(4))
    batch, labels = next(
        iter(GraphIterator(dataset.subset(np.array([3, 1])), 5, "cpu"))
    )
    assert batch.dtype == torch.float32
    assert batch.tolist() == table[[3, 1]].tolist()
    assert labels.target.tolist() == table[[3, 1], :1].tolist()
    row, target = dataset[2]
    assert row.tolist() == table[2].tolist()
    assert target.tolist() == [6.0]


def test_pack__twice__puts_the_data_on_the_device_once():
    dataset = TableDataset(np.ones((3, 2)))
    packed = dataset.pack("cpu", torch.float32)
    assert dataset.subset(np.array([1])).pack("cpu", torch.float32) is packed
    assert dataset.pack("cpu", torch.float64) is not packed


def test_iterator__graphs_beyond_the_budget__are_not_resident(labelled, monkeypatch):
    assert GraphIterator(labelled, 5, "cpu").is_resident()
    monkeypatch.setenv("SKMATGNN_RESIDENT_MB", "0")
    fresh = GraphDataset(labelled.graphs, labelled.target, labelled.weight)
    iterator = GraphIterator(fresh, 5, "cpu")
    assert not iterator.is_resident()
    assert flatten(rows_of(iterator)) == list(range(23))
    table = TableDataset(np.ones((3, 2)))
    assert GraphIterator(table, 2, "cpu").is_resident()


@pytest.mark.parametrize("grouped", [False, True])
def test_hold_out__rows_without_a_loss__are_not_drawn(graphs, grouped):
    groups = np.arange(23) // 2 if grouped else None
    target, weight = np.zeros((23, 2)), np.ones(23)
    target[4:12], weight[12:20] = np.nan, 0.0
    target[0, 0] = np.nan  # known in the other column
    dataset = GraphDataset(graphs, target, weight, groups=groups)
    seen = set()
    for seed in range(20):
        train, valid = HoldOut(0.3, seed)(dataset)
        assert not set(train.rows) & set(valid.rows)
        seen |= set(valid.rows.tolist())
    assert seen == {0, 1, 2, 3, 20, 21, 22}


def test_hold_out__one_row_with_a_loss__trains_on_all(graphs):
    weight = np.zeros(23)
    weight[7] = 1.0
    train, valid = HoldOut(0.5, 0)(GraphDataset(graphs, np.zeros((23, 1)), weight))
    assert valid is None
    assert len(train) == 23
