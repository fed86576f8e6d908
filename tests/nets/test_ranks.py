"""How processes that train together share a batch."""

from __future__ import annotations

import numpy as np
import pytest

from skmatgnn.datasets import make_crystals
from skmatgnn.graphs import StructureToGraph
from skmatgnn.nets import GraphDataset, TableDataset, TokenDataset
from skmatgnn.nets._ranks import Ranks


def shares_of(n_ranks, rows, work):
    return [Ranks(rank, n_ranks).share(rows, work) for rank in range(n_ranks)]


@pytest.mark.parametrize("n_ranks", [1, 2, 3, 5])
@pytest.mark.parametrize("n", [5, 16, 33])
@pytest.mark.parametrize("known", [False, True])
def test_share__any_batch__every_row_is_taken_once_in_its_order(n_ranks, n, known):
    rng = np.random.default_rng(n)
    rows = rng.permutation(100)[:n]
    work = rng.integers(1, 50, size=n) if known else None
    shares = shares_of(n_ranks, rows, work)
    assert sorted(np.concatenate(shares)) == sorted(rows)
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1
    place = {row: i for i, row in enumerate(rows)}
    for share in shares:
        assert [place[row] for row in share] == sorted(place[row] for row in share)


@pytest.mark.parametrize("n_ranks", [2, 4])
def test_share__samples_of_unlike_size__are_as_much_work_for_all(n_ranks):
    rng = np.random.default_rng(0)
    work = rng.lognormal(sigma=0.8, size=3000)
    excess = {True: [], False: []}
    for _ in range(100):
        rows = rng.permutation(3000)[:64]
        for known, found in excess.items():
            shares = shares_of(n_ranks, rows, work[rows] if known else None)
            sums = [work[share].sum() for share in shares]
            assert not known or max(sums) - min(sums) <= work[rows].max()
            found.append(max(sums) / np.mean(sums) - 1)
    assert np.mean(excess[True]) < 0.5 * np.mean(excess[False])


def test_work__of_each_kind_of_sample__is_what_its_size_grows_with():
    graphs = StructureToGraph().transform(make_crystals(5, random_state=0).data)
    edges = [len(graph.sender) for graph in graphs]
    assert GraphDataset(graphs).work().tolist() == edges
    tokens = TokenDataset(np.array([0, 2, 3]), np.ones(3, int), np.ones(3))
    assert tokens.work().tolist() == [2, 1]
    assert TableDataset(np.ones((3, 2))).work() is None
