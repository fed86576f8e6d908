import numpy as np
import pytest

from skmatgnn.feature_selection._ranking import (
    dynamic_c,
    dynamic_p,
    merge_rankings,
    rank_features,
)


def naive_ranking(relevance, table, n_ranked, count_from, p=None, c=None):
    """The formulas written out, one feature, one score and one pair at a time."""
    chosen = [max(range(len(relevance)), key=lambda i: relevance[i])]
    while len(chosen) < n_ranked:
        n = len(chosen) - 1 + count_from
        exponent = max(0.1, 4.5 - 0.4 * n**0.4) if p is None else p
        term = min(1e5, 1e-6 * n**3) if c is None else c
        scores = {
            i: min(relevance[i] / (table[i][j] ** exponent + term) for j in chosen)
            for i in range(len(relevance))
            if i not in chosen
        }
        chosen.append(max(scores, key=scores.get))
    return chosen


def random_problem(n, seed):
    rng = np.random.default_rng(seed)
    latent = rng.random((n, 3))
    table = np.exp(-((latent[:, None] - latent) ** 2).sum(axis=-1) * 4)
    return rng.random(n) * latent[:, 0], table


@pytest.mark.parametrize("count_from", [0, 1])
@pytest.mark.parametrize("seed", range(5))
def test_rank_features__random_problems__equal_the_written_out_formula(
    seed, count_from
):
    relevance, table = random_problem(60, seed)
    for n_ranked in (1, 10, 60):
        ranking = rank_features(
            relevance, lambda i, js: table[i, js], n_ranked, count_from=count_from
        )
        assert ranking == naive_ranking(relevance, table, n_ranked, count_from)


def test_rank_features__constants_for_p_and_c__equal_the_written_out_formula():
    relevance, table = random_problem(40, seed=9)
    ranking = rank_features(
        relevance, lambda i, js: table[i, js], 40, p=lambda n: 2.0, c=lambda n: 0.01
    )
    assert ranking == naive_ranking(relevance, table, 40, 1, p=2.0, c=0.01)


def test_rank_features__guess_of_similarity__saves_pairs_and_not_the_result():
    relevance, table = random_problem(150, seed=3)
    results, asked = [], []
    rng = np.random.default_rng(0)
    for similar in (None, table, rng.random(table.shape)):
        pairs = []

        def redundancy(i, js, pairs=pairs):
            pairs.extend((i, j) for j in js)
            return table[i, js]

        results.append(rank_features(relevance, redundancy, 20, similar=similar))
        asked.append(len(pairs))
        assert len(set(pairs)) == len(pairs)
    assert results[0] == results[1] == results[2]
    assert asked[1] < min(asked[0], asked[2])
    assert asked[1] < 150 * 149 / 2 / 10


def test_rank_features__zero_redundancy_and_zero_term__goes_to_the_more_relevant():
    table = np.eye(4)
    relevance = np.array([0.9, 0.1, 0.5, 0.0])
    ranking = rank_features(relevance, lambda i, js: table[i, js], 4, count_from=0)
    assert ranking == [0, 2, 1, 3]


def test_schedules__values__are_those_of_the_paper_and_package():
    assert dynamic_p(0) == 4.5
    assert dynamic_p(1) == pytest.approx(4.1)
    assert dynamic_p(10**4) == 0.1
    assert dynamic_c(10) == pytest.approx(1e-3)
    assert dynamic_c(10**5) == 1e5


def test_merge_rankings__unequal_lengths__takes_turns_in_order():
    assert merge_rankings([[0, 1, 2, 3], [3, 0], []]) == [0, 3, 1, 2]
    assert merge_rankings([]) == []
